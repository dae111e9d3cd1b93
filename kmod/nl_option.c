// SPDX-License-Identifier: GPL-2.0-only
/* gutless: options over netlink: rules for them, and those that are delivered */
#include <linux/ktime.h>
#include <net/ipv6.h>
#include "nl_port.h"

const struct nla_policy
gl_option_rule_policy[GUTLESS_A_OPTION_RULE_MAX + 1] = {
	[GUTLESS_A_OPTION_RULE_TYPE] = { .type = NLA_U8 },
	[GUTLESS_A_OPTION_RULE_ACTION] =
		NLA_POLICY_MAX(NLA_U8, GUTLESS_OPTION_ACTION_DROP),
	[GUTLESS_A_OPTION_RULE_DELIVER] = NLA_POLICY_MAX(NLA_U8, 1),
	[GUTLESS_A_OPTION_RULE_VALUE] = { .type = NLA_BINARY,
					  .len = GL_OPT_DATA_MAX },
};

/* ---- rules ---- */

/* Return: can a port have a rule like this one? If not, says why. */
static bool gl_option_rule_makes_sense(const struct gl_option_rule *rule,
				       const struct nlattr *nest,
				       struct netlink_ext_ack *extack)
{
	int once = gl_wire_singleton_len(rule->type);

	if (rule->type == GL_OPT_PAD1 || rule->type == GL_OPT_PADN) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "there are no rules for padding");
		return false;
	}
	if (rule->type == GL_OPT_REMCSUM) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "a remote checksum is acted on: there are no rules for it");
		return false;
	}
	if (rule->has_value && rule->action != GUTLESS_OPTION_ACTION_REQUIRE) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "only a rule that requires an option has a value");
		return false;
	}
	if (rule->has_value && once >= 0 && rule->len != once) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "options of this type are of another length");
		return false;
	}
	if (rule->deliver && rule->action != GUTLESS_OPTION_ACTION_IGNORE &&
	    rule->action != GUTLESS_OPTION_ACTION_REQUIRE) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "only what passes by a rule can be delivered");
		return false;
	}
	return true;
}

/* Return: the rule that @nest asks for, or an error pointer */
static struct gl_option_rule *
gl_option_rule_parse(const struct nlattr *nest, struct netlink_ext_ack *extack)
{
	struct nlattr *tb[GUTLESS_A_OPTION_RULE_MAX + 1], *at;
	struct gl_option_rule *rule;
	int err;

	err = nla_parse_nested(tb, GUTLESS_A_OPTION_RULE_MAX, nest,
			       gl_option_rule_policy, extack);
	if (err)
		return ERR_PTR(err);
	if (!tb[GUTLESS_A_OPTION_RULE_TYPE] ||
	    !tb[GUTLESS_A_OPTION_RULE_ACTION]) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "a rule is a type of option and an action");
		return ERR_PTR(-EINVAL);
	}
	rule = gl_option_rule_alloc();
	if (!rule)
		return ERR_PTR(-ENOMEM);
	rule->type = nla_get_u8(tb[GUTLESS_A_OPTION_RULE_TYPE]);
	rule->action = nla_get_u8(tb[GUTLESS_A_OPTION_RULE_ACTION]);
	at = tb[GUTLESS_A_OPTION_RULE_DELIVER];
	if (at)
		rule->deliver = nla_get_u8(at);
	at = tb[GUTLESS_A_OPTION_RULE_VALUE];
	if (at) {
		rule->has_value = true;
		rule->len = nla_len(at);
		memcpy(rule->value, nla_data(at), rule->len);
	}
	if (gl_option_rule_makes_sense(rule, nest, extack))
		return rule;
	gl_option_rule_put(rule);
	return ERR_PTR(-EINVAL);
}

static bool gl_option_rule_equal(const struct gl_option_rule *a,
				 const struct gl_option_rule *b)
{
	return a->action == b->action && a->deliver == b->deliver &&
	       a->has_value == b->has_value && a->len == b->len &&
	       !memcmp(a->value, b->value, a->len);
}

/*
 * Put @rule, which is used up, into a set that has room. The same rule as was
 * there leaves that where it is, with its counters.
 */
static int gl_option_rule_enter(struct gl_option_rules *set,
				struct gl_option_rule *rule)
{
	struct gl_option_rule *old = gl_option_rule(set, rule->type);
	u32 place;

	if (rule->action == GUTLESS_OPTION_ACTION_NONE) {
		gl_option_rule_put(rule);
		if (!old)
			return -ENOENT;
		/* the last one takes its place */
		place = set->at[old->type] - 1;
		set->rule[place] = set->rule[set->n - 1];
		set->at[set->rule[place]->type] = place + 1;
		set->n--;
		set->at[old->type] = 0;
		gl_option_rule_put(old);
	} else if (!old) {
		set->n++;
		set->rule[set->n - 1] = rule;
		set->at[rule->type] = set->n;
	} else if (gl_option_rule_equal(old, rule)) {
		gl_option_rule_put(rule);
	} else {
		set->rule[set->at[rule->type] - 1] = rule;
		gl_option_rule_put(old);
	}
	return 0;
}

static int gl_option_rules_enter(struct genl_info *info,
				 struct gl_option_rules *set)
{
	struct netlink_ext_ack *extack = info->extack;
	DECLARE_BITMAP(named, 256) = {};
	struct gl_option_rule *rule;
	struct nlattr *at;
	int err, rem;

	nlmsg_for_each_attr(at, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(at) != GUTLESS_A_PORT_OPTION_RULE)
			continue;
		rule = gl_option_rule_parse(at, extack);
		if (IS_ERR(rule))
			return PTR_ERR(rule);
		if (__test_and_set_bit(rule->type, named)) {
			gl_option_rule_put(rule);
			NL_SET_ERR_MSG_ATTR(extack, at,
					    "two rules for one type of option");
			return -EINVAL;
		}
		err = gl_option_rule_enter(set, rule);
		if (err) {
			NL_SET_ERR_MSG_ATTR(extack, at,
					    "the port has no rule for this type");
			return err;
		}
	}
	return 0;
}

static u32 gl_option_rules_asked(struct genl_info *info)
{
	struct nlattr *at;
	u32 n = 0;
	int rem;

	nlmsg_for_each_attr(at, info->nlhdr, GENL_HDRLEN, rem)
		n += nla_type(at) == GUTLESS_A_PORT_OPTION_RULE;
	return n;
}

/* What follows from the rules, for those who look at packets */
static void gl_option_rules_index(struct gl_rules *r)
{
	const struct gl_option_rule *rule;
	u32 i;

	r->plain = r->accept;
	r->expects = false;
	if (r->options) {
		gl_options_expect(r->options);
		r->expects = r->options->expected_len;
	}
	for (i = 0; r->options && i < r->options->n; i++) {
		rule = r->options->rule[i];
		r->known[rule->type / 8] |= 1 << rule->type % 8;
		/* the short way knows no options: it would let pass */
		if (rule->action == GUTLESS_OPTION_ACTION_REQUIRE)
			r->plain = 0;
	}
}

/**
 * gl_option_rules_parse - the rules for options that a request asks for
 * @info: the request
 * @r: rules of the port that shall have them, with all else filled in
 * @old: those of the port now, NULL for a new one
 *
 * Return: 0 or a negative error.
 */
int gl_option_rules_parse(struct genl_info *info, struct gl_rules *r,
			  const struct gl_rules *old)
{
	const struct gl_option_rules *before = old ? old->options : NULL;
	u32 i, n = before ? before->n : 0, room;
	struct nlattr *at;
	int err;

	room = n + gl_option_rules_asked(info);
	if (room) {
		r->options = gl_option_rules_alloc(room);
		if (!r->options)
			return -ENOMEM;
		r->options->n = n;
		for (i = 0; i < n; i++) {
			refcount_inc(&before->rule[i]->users);
			r->options->rule[i] = before->rule[i];
		}
		if (n)
			memcpy(r->options->at, before->at,
			       sizeof(before->at));
		err = gl_option_rules_enter(info, r->options);
		if (err)
			return err;
		if (!r->options->n) {
			gl_option_rules_free(r->options);
			r->options = NULL;
		}
	}
	if (r->options && !(r->accept & GUTLESS_ACCEPT_GUTLESS)) {
		at = info->attrs[GUTLESS_A_PORT_OPTION_RULE] ?:
		     info->attrs[GUTLESS_A_PORT_ACCEPT];
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "rules for options are for a port that accepts GUT-less");
		return -EINVAL;
	}
	gl_option_rules_index(r);
	return 0;
}

/* A rule and its counters, as an attribute of a port */
int gl_option_rule_fill(struct sk_buff *msg, const struct gl_option_rule *rule)
{
	struct nlattr *nest = nla_nest_start(msg, GUTLESS_A_PORT_OPTION_RULE);

	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u8(msg, GUTLESS_A_OPTION_RULE_TYPE, rule->type) ||
	    nla_put_u8(msg, GUTLESS_A_OPTION_RULE_ACTION, rule->action) ||
	    nla_put_u8(msg, GUTLESS_A_OPTION_RULE_DELIVER, rule->deliver) ||
	    (rule->has_value &&
	     nla_put(msg, GUTLESS_A_OPTION_RULE_VALUE, rule->len,
		     rule->value)) ||
	    gl_nl_put_stats(msg, GUTLESS_A_OPTION_RULE_STATS,
			    GUTLESS_A_RULE_STATS_PAD, rule->stats,
			    GUTLESS_A_RULE_STATS_MATCHED,
			    GUTLESS_A_RULE_STATS_MAX)) {
		nla_nest_cancel(msg, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(msg, nest);
	return 0;
}

/* ---- options delivered ---- */

#define GL_DELIVERED_SIZE						\
	(2 * nla_total_size_64bit(sizeof(u64)) + nla_total_size(0) +	\
	 nla_total_size(sizeof(struct in6_addr)) +			\
	 5 * nla_total_size(sizeof(u32)) + nla_total_size(sizeof(u8)) +	\
	 nla_total_size(GL_OPT_DATA_MAX) +				\
	 nla_total_size(sizeof(struct in6_addr)) +			\
	 nla_total_size(sizeof(u16)))

static int gl_option_fill_source(struct sk_buff *msg, const struct sk_buff *skb,
				 const struct udphdr *uh, u8 family)
{
	int err;

	if (family == AF_INET)
		err = nla_put_in_addr(msg, GUTLESS_A_DELIVERED_SOURCE_V4,
				      ip_hdr(skb)->saddr);
	else
		err = nla_put_in6_addr(msg, GUTLESS_A_DELIVERED_SOURCE_V6,
				       &ipv6_hdr(skb)->saddr);
	return err ?: nla_put_be16(msg, GUTLESS_A_DELIVERED_SOURCE_PORT,
				   uh->source);
}

/* Return: the message without its number, for which @sequence has room, or NULL */
static struct sk_buff *gl_option_msg(const struct gl_port *port,
				     const struct sk_buff *skb,
				     unsigned int hlen, const u8 *opt,
				     struct nlattr **sequence)
{
	const struct udphdr *uh = (const struct udphdr *)(skb->data - hlen) - 1;
	struct sk_buff *msg = genlmsg_new(GL_DELIVERED_SIZE, GFP_ATOMIC);
	struct nlattr *nest;
	void *hdr;

	if (!msg)
		return NULL;
	hdr = genlmsg_put(msg, 0, 0, &gl_family, 0, GUTLESS_CMD_OPTION_NTF);
	if (!hdr)
		goto err;
	*sequence = nla_reserve_64bit(msg, GUTLESS_A_DELIVERED_SEQUENCE,
				      sizeof(u64), GUTLESS_A_DELIVERED_PAD);
	nest = nla_nest_start(msg, GUTLESS_A_DELIVERED_PORT);
	if (!*sequence || !nest || gl_port_fill_key(msg, &port->key))
		goto err;
	nla_nest_end(msg, nest);
	if (nla_put_u32(msg, GUTLESS_A_DELIVERED_PORT_ID, port->id) ||
	    nla_put_u8(msg, GUTLESS_A_DELIVERED_TYPE, opt[0]) ||
	    nla_put(msg, GUTLESS_A_DELIVERED_DATA, opt[1], opt + 2) ||
	    gl_option_fill_source(msg, skb, uh, port->key.family) ||
	    nla_put_u64_64bit(msg, GUTLESS_A_DELIVERED_TIME,
			      ktime_get_real_ns(), GUTLESS_A_DELIVERED_PAD) ||
	    nla_put_u32(msg, GUTLESS_A_DELIVERED_PACKETS, gl_segs(skb)))
		goto err;
	genlmsg_end(msg, hdr);
	return msg;
err:
	nlmsg_free(msg);
	return NULL;
}

/**
 * gl_nl_option_event - tell who listens of an option
 * @port: that its packet came to
 * @skb: the packet, which begins behind its header
 * @hlen: octets of that header, which the one of UDP is in front of
 * @opt: the option, its type first
 *
 * The packet does not wait: what finds no memory, or no room with a reader, is
 * missing in the row of numbers, which are given in the order of delivery.
 *
 * Return: does anybody listen?
 */
bool gl_nl_option_event(const struct gl_port *port, const struct sk_buff *skb,
			unsigned int hlen, const u8 *opt)
{
	struct net *net = dev_net(skb->dev);
	struct gl_net *gn = gl_net_rcu(net);
	struct nlattr *sequence;
	struct sk_buff *msg;

	if (!genl_has_listeners(&gl_family, net, GL_GROUP_OPTIONS))
		return false;
	msg = gl_option_msg(port, skb, hlen, opt, &sequence);
	spin_lock(&gn->delivery);
	gn->delivered++;
	if (msg) {
		memcpy(nla_data(sequence), &gn->delivered,
		       sizeof(gn->delivered));
		genlmsg_multicast_netns(&gl_family, net, msg, 0,
					GL_GROUP_OPTIONS, GFP_ATOMIC);
	}
	spin_unlock(&gn->delivery);
	return true;
}
