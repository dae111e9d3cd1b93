// SPDX-License-Identifier: GPL-2.0-only
/* gutless: profiles over netlink */
#include "nl_auth.h"
#include "nl_gue.h"
#include "nl_profile.h"

const struct nla_policy gl_profile_policy[GUTLESS_A_PROFILE_MAX + 1] = {
	[GUTLESS_A_PROFILE_NUMBER] = { .type = NLA_U16 },
	[GUTLESS_A_PROFILE_FORMAT] = { .type = NLA_U8 },
	[GUTLESS_A_PROFILE_CSUM] = { .type = NLA_U8 },
	[GUTLESS_A_PROFILE_SPORT_MIN] = { .type = NLA_U16 },
	[GUTLESS_A_PROFILE_SPORT_MAX] = { .type = NLA_U16 },
	[GUTLESS_A_PROFILE_ORIGIN] = { .type = NLA_U8 },
	[GUTLESS_A_PROFILE_OPTIONS] = { .type = NLA_BINARY,
					.len = GL_OPTIONS_MAX },
	[GUTLESS_A_PROFILE_ROOM] = NLA_POLICY_MAX(NLA_U8, GL_HLEN_MASK),
	[GUTLESS_A_PROFILE_RULE] = NLA_POLICY_NESTED(gl_rule_policy),
	[GUTLESS_A_PROFILE_FLAGS] =
		NLA_POLICY_MASK(NLA_U32, GUTLESS_PROFILE_F_REPLACE_RULES),
	[GUTLESS_A_PROFILE_KEY] = NLA_POLICY_NESTED(gl_key_policy),
	[GUTLESS_A_PROFILE_GUE] = NLA_POLICY_NESTED(gl_gue_policy),
};

const struct nla_policy gl_profile_key_policy[GUTLESS_A_PROFILE_MAX + 1] = {
	[GUTLESS_A_PROFILE_NUMBER] = { .type = NLA_U16 },
};

static int gl_profile_fill(struct sk_buff *msg, const struct gl_profile *p,
			   bool stats)
{
	if (nla_put_u16(msg, GUTLESS_A_PROFILE_NUMBER, p->number) ||
	    nla_put_u8(msg, GUTLESS_A_PROFILE_FORMAT, p->format) ||
	    nla_put_u8(msg, GUTLESS_A_PROFILE_CSUM, p->csum) ||
	    nla_put_u16(msg, GUTLESS_A_PROFILE_SPORT_MIN, p->sport_min) ||
	    nla_put_u16(msg, GUTLESS_A_PROFILE_SPORT_MAX, p->sport_max) ||
	    nla_put_u8(msg, GUTLESS_A_PROFILE_ORIGIN, p->origin) ||
	    gl_profile_fill_extend(msg, p) ||
	    gl_gue_fill(msg, GUTLESS_A_PROFILE_GUE, &p->gue))
		return -EMSGSIZE;
	if (stats)
		return gl_nl_put_stats(msg, GUTLESS_A_PROFILE_STATS,
				       GUTLESS_A_TX_PAD, p->stats,
				       GUTLESS_A_TX_PACKETS, GUTLESS_A_TX_MAX);
	return 0;
}

static struct sk_buff *gl_profile_msg(const struct gl_profile *p, u32 portid,
				      u32 seq, u8 cmd, bool stats)
{
	struct sk_buff *msg;
	void *hdr;

	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		return NULL;
	hdr = genlmsg_put(msg, portid, seq, &gl_family, 0, cmd);
	if (!hdr || gl_profile_fill(msg, p, stats)) {
		nlmsg_free(msg);
		return NULL;
	}
	genlmsg_end(msg, hdr);
	return msg;
}

static void gl_profile_event(struct net *net, const struct gl_profile *p, u8 cmd)
{
	gl_nl_event(net, gl_profile_msg(p, 0, 0, cmd, true));
}

/* Words of options that a checksum left to the receiver needs */
static u8 gl_profile_remcsum(const struct gl_profile *p)
{
	switch (p->csum) {
	case GUTLESS_CSUM_REMOTE:
		return 2;
	case GUTLESS_CSUM_REMOTE_DRAFT:
		return 1;
	default:
		return 0;
	}
}

/* Which way packets of @p go, and, where all have the same header, that header */
static void gl_profile_prepare(struct gl_profile *p)
{
	const bool fills = p->remcsum || p->timing || p->mtu || p->auth ||
			   p->gue.wire.flags & GL_GUE_CSUM;
	u8 *opt = p->head + GL_BASE_LEN;

	p->special = fills || p->check || p->n_rules;
	p->head_len = 0;
	if (p->special || !p->words)
		return;
	p->head_len = GL_BASE_LEN + 4 * p->words;
	if (p->format == GUTLESS_FORMAT_GUE) {
		gl_wire_build_gue(p->head, &p->gue.wire, 0, 0, 0, 0);
		return;
	}
	gl_wire_build(p->head, GL_BITS_GUTLESS | p->words, 0);
	memcpy(opt, p->options, p->options_len);
}

/* What a request says, into @p, which holds the defaults or what was there. */
static int gl_profile_parse(struct genl_info *info, struct gl_profile *p)
{
	struct nlattr **a = info->attrs;
	struct nlattr *at;
	int err;

	at = a[GUTLESS_A_PROFILE_FORMAT];
	if (at) {
		p->format = nla_get_u8(at);
		if (p->format < GUTLESS_FORMAT_FOU ||
		    p->format > GUTLESS_FORMAT_GUTLESS) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "unknown format");
			return -EINVAL;
		}
	}
	at = a[GUTLESS_A_PROFILE_CSUM];
	if (at) {
		p->csum = nla_get_u8(at);
		if (p->csum < GUTLESS_CSUM_FULL ||
		    p->csum > GUTLESS_CSUM_NEUTRAL) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "unknown checksum mode");
			return -EINVAL;
		}
	}
	at = a[GUTLESS_A_PROFILE_CSUM] ?: a[GUTLESS_A_PROFILE_FORMAT];
	if (p->csum == GUTLESS_CSUM_REMOTE && p->format == GUTLESS_FORMAT_FOU) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "FOU has no header to say that a checksum is left to the receiver");
		return -EINVAL;
	}
	if (p->csum == GUTLESS_CSUM_REMOTE_DRAFT &&
	    p->format != GUTLESS_FORMAT_GUE) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "the draft's remote checksum is one of format GUE");
		return -EINVAL;
	}
	if (p->csum == GUTLESS_CSUM_NEUTRAL &&
	    p->format != GUTLESS_FORMAT_GUTLESS) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "only format GUT-less has a Check word");
		return -EINVAL;
	}
	p->check = p->csum == GUTLESS_CSUM_NEUTRAL;
	p->remcsum = gl_profile_remcsum(p);
	at = a[GUTLESS_A_PROFILE_ORIGIN];
	if (at) {
		p->origin = nla_get_u8(at);
		if (p->origin > GUTLESS_ORIGIN_TUNNEL) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "unknown origin");
			return -EINVAL;
		}
	}
	if (a[GUTLESS_A_PROFILE_SPORT_MIN])
		p->sport_min = nla_get_u16(a[GUTLESS_A_PROFILE_SPORT_MIN]);
	if (a[GUTLESS_A_PROFILE_SPORT_MAX])
		p->sport_max = nla_get_u16(a[GUTLESS_A_PROFILE_SPORT_MAX]);
	at = a[GUTLESS_A_PROFILE_SPORT_MIN] ?: a[GUTLESS_A_PROFILE_SPORT_MAX];
	if (at && !p->sport_min) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "source port 0 is no port");
		return -EINVAL;
	}
	if (at && p->sport_min > p->sport_max) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "the source port range ends before it begins");
		return -EINVAL;
	}
	p->sport_n = p->sport_max - p->sport_min + 1;
	err = gl_gue_parse_profile(info, p);
	if (!err)
		err = gl_profile_parse_options(info, p);
	if (!err)
		err = gl_profile_parse_key(info, p);
	if (!err)
		err = gl_profile_parse_rules(info, p);
	if (!err)
		gl_profile_prepare(p);
	return err;
}

/* The number a request must name. Return: it, or a negative error. */
static int gl_profile_number(struct genl_info *info)
{
	struct nlattr *at = info->attrs[GUTLESS_A_PROFILE_NUMBER];

	if (!at) {
		GENL_SET_ERR_MSG(info, "the profile's number is missing");
		return -EINVAL;
	}
	return nla_get_u16(at);
}

static struct gl_profile *gl_profile_find(struct gl_net *gn,
					  struct genl_info *info, int number)
{
	struct gl_profile *p = xa_load(&gn->profiles, number);

	if (!p)
		NL_SET_ERR_MSG_ATTR(info->extack,
				    info->attrs[GUTLESS_A_PROFILE_NUMBER],
				    "no such profile");
	return p;
}

/* Which number a new profile gets: the one asked for, or any free one. */
static int gl_profile_choose(struct gl_net *gn, struct genl_info *info,
			     const struct gl_profile *p)
{
	struct nlattr *at = info->attrs[GUTLESS_A_PROFILE_NUMBER];
	struct nlattr *room = info->attrs[GUTLESS_A_PROFILE_ROOM];
	int number = at ? nla_get_u16(at) : 0;
	unsigned int words = p->words;

	if (room)
		words = max_t(unsigned int, words, nla_get_u8(room));
	if (number) {
		if (!(number & GL_PROFILES_MAX) ||
		    number >> GUTLESS_PROFILE_INDEX_BITS > GL_HLEN_MASK ||
		    number >> GUTLESS_PROFILE_INDEX_BITS < words) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "a profile's number is 1 to 255, and 256 more for each 4 octets of its options, at least");
			return -EINVAL;
		}
		if (xa_load(&gn->profiles, number)) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "this profile is there already");
			return -EEXIST;
		}
	}
	if (gn->n_profiles >= GL_PROFILES_MAX) {
		GENL_SET_ERR_MSG(info, "all profile numbers are taken");
		return -ENOSPC;
	}
	if (!number) {
		number = (words << GUTLESS_PROFILE_INDEX_BITS) + 1;
		while (xa_load(&gn->profiles, number))
			number++;
	}
	return number;
}

static int gl_profile_add(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	struct gl_net *gn = gl_net(net);
	struct gl_profile *p;
	struct sk_buff *reply;
	int err;

	err = gl_nl_permitted(skb, info);
	if (err)
		return err;
	if (!info->attrs[GUTLESS_A_PROFILE_FORMAT]) {
		GENL_SET_ERR_MSG(info, "the format is missing");
		return -EINVAL;
	}
	p = gl_profile_alloc(0);
	if (!p)
		return -ENOMEM;
	err = gl_profile_parse(info, p);
	if (err)
		goto err_free;

	mutex_lock(&gn->lock);
	err = gl_profile_choose(gn, info, p);
	if (err < 0)
		goto err_unlock;
	p->number = err;
	err = gl_profile_check_rules(gn, info, p);
	if (err)
		goto err_unlock;
	err = -ENOMEM;
	reply = gl_profile_msg(p, info->snd_portid, info->snd_seq,
			       GUTLESS_CMD_PROFILE_ADD, false);
	if (!reply)
		goto err_unlock;
	err = xa_err(xa_store(&gn->profiles, p->number, p, GFP_KERNEL_ACCOUNT));
	if (err)
		goto err_reply;
	WRITE_ONCE(gn->n_profiles, gn->n_profiles + 1);
	gn->generation++;
	gl_profile_event(net, p, GUTLESS_CMD_PROFILE_ADD_NTF);
	mutex_unlock(&gn->lock);
	return genlmsg_reply(reply, info);

err_reply:
	nlmsg_free(reply);
err_unlock:
	mutex_unlock(&gn->lock);
err_free:
	gl_profile_free(p);
	return err;
}

static int gl_profile_set(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	struct gl_net *gn = gl_net(net);
	struct gl_profile *old, *new;
	struct nlattr *room;
	int err, number;

	err = gl_nl_permitted(skb, info);
	if (err)
		return err;
	number = gl_profile_number(info);
	if (number < 0)
		return number;

	mutex_lock(&gn->lock);
	err = -ENOENT;
	old = gl_profile_find(gn, info, number);
	if (!old)
		goto err_unlock;
	err = -ENOMEM;
	new = gl_profile_copy(old);
	if (!new)
		goto err_unlock;
	err = gl_profile_parse(info, new);
	if (err)
		goto err_free;
	err = -EINVAL;
	room = info->attrs[GUTLESS_A_PROFILE_ROOM];
	if (room && nla_get_u8(room) != number >> GUTLESS_PROFILE_INDEX_BITS) {
		NL_SET_ERR_MSG_ATTR(info->extack, room,
				    "the room for options is part of the profile's number and stays");
		goto err_free;
	}
	if (new->words > number >> GUTLESS_PROFILE_INDEX_BITS) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    info->attrs[GUTLESS_A_PROFILE_OPTIONS] ?:
				    info->attrs[GUTLESS_A_PROFILE_GUE] ?:
				    info->attrs[GUTLESS_A_PROFILE_CSUM] ?:
				    info->attrs[GUTLESS_A_PROFILE_FORMAT],
				    "links keep room for the header that the profile's number tells, which this is longer than");
		goto err_free;
	}
	err = gl_profile_check_rules(gn, info, new);
	if (err)
		goto err_free;
	/* in place of an entry that is there: needs no memory, cannot fail */
	xa_store(&gn->profiles, number, new, GFP_KERNEL);
	gn->generation++;
	gl_profile_event(net, new, GUTLESS_CMD_PROFILE_SET_NTF);
	mutex_unlock(&gn->lock);
	gl_profile_replaced(old);
	return 0;

err_free:
	gl_profile_copy_free(new);
err_unlock:
	mutex_unlock(&gn->lock);
	return err;
}

int gl_nl_profile_add(struct sk_buff *skb, struct genl_info *info)
{
	int err = gl_profile_add(skb, info);

	gl_keys_wipe(info, GUTLESS_A_PROFILE_KEY);
	return err;
}

int gl_nl_profile_set(struct sk_buff *skb, struct genl_info *info)
{
	int err = gl_profile_set(skb, info);

	gl_keys_wipe(info, GUTLESS_A_PROFILE_KEY);
	return err;
}

int gl_nl_profile_del(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	struct gl_net *gn = gl_net(net);
	struct gl_profile *p;
	int err, number;

	err = gl_nl_permitted(skb, info);
	if (err)
		return err;
	number = gl_profile_number(info);
	if (number < 0)
		return number;

	mutex_lock(&gn->lock);
	p = gl_profile_find(gn, info, number);
	if (p) {
		gl_profile_event(net, p, GUTLESS_CMD_PROFILE_DEL_NTF);
		gl_profile_release(gn, p);
		gn->generation++;
	}
	mutex_unlock(&gn->lock);
	return p ? 0 : -ENOENT;
}

int gl_nl_profile_get(struct sk_buff *skb, struct genl_info *info)
{
	struct gl_net *gn = gl_net(genl_info_net(info));
	struct sk_buff *msg = NULL;
	struct gl_profile *p;
	int number;

	number = gl_profile_number(info);
	if (number < 0)
		return number;

	mutex_lock(&gn->lock);
	p = gl_profile_find(gn, info, number);
	if (p)
		msg = gl_profile_msg(p, info->snd_portid, info->snd_seq,
				     GUTLESS_CMD_PROFILE_GET, true);
	mutex_unlock(&gn->lock);
	if (!p)
		return -ENOENT;
	if (!msg)
		return -ENOMEM;
	return genlmsg_reply(msg, info);
}

int gl_nl_profile_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct gl_net *gn = gl_net(sock_net(skb->sk));
	unsigned long number = cb->args[0];
	struct gl_profile *p;
	void *hdr;
	int err = 0;

	mutex_lock(&gn->lock);
	cb->seq = gn->generation;
	xa_for_each_start(&gn->profiles, number, p, number) {
		hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				  cb->nlh->nlmsg_seq, &gl_family, NLM_F_MULTI,
				  GUTLESS_CMD_PROFILE_GET);
		if (!hdr) {
			err = -EMSGSIZE;
			break;
		}
		genl_dump_check_consistent(cb, hdr);
		err = gl_profile_fill(skb, p, true);
		if (err) {
			genlmsg_cancel(skb, hdr);
			break;
		}
		genlmsg_end(skb, hdr);
	}
	mutex_unlock(&gn->lock);

	/* the one that did not fit begins the next part */
	cb->args[0] = err ? number : ULONG_MAX;
	return skb->len ?: err;
}
