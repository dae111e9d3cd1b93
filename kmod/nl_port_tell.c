// SPDX-License-Identifier: GPL-2.0-only
/* gutless: ports over netlink: what is told */
#include <net/ipv6.h>
#include "nl_auth.h"
#include "nl_gue.h"
#include "nl_port.h"

/* Sources that an event or a reply to one request carries; a dump has them all. */
#define GL_MSG_SOURCES_MAX	256
#define GL_MSG_SIZE \
	(GENLMSG_DEFAULT_SIZE + GL_MSG_SOURCES_MAX * nla_total_size(32))

/* A part of a dump has room for this much, whoever asks. */
#define GL_DUMP_SIZE		32768

static int gl_source_fill(struct sk_buff *msg, const struct gl_prefix *p,
			  u8 family)
{
	struct nlattr *nest = nla_nest_start(msg, GUTLESS_A_PORT_SOURCE);
	int err;

	if (!nest)
		return -EMSGSIZE;
	err = family == AF_INET ?
		nla_put_in_addr(msg, GUTLESS_A_SOURCE_V4, htonl(p->first)) :
		nla_put_in6_addr(msg, GUTLESS_A_SOURCE_V6, &p->addr);
	if (err || nla_put_u8(msg, GUTLESS_A_SOURCE_PREFIX_LEN, p->len)) {
		nla_nest_cancel(msg, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(msg, nest);
	return 0;
}

/* By the numbers that name a port wherever one is named */
int gl_port_fill_key(struct sk_buff *msg, const struct gl_port_key *key)
{
	int err = 0;

	if (nla_put_u8(msg, GUTLESS_A_PORT_FAMILY, key->family) ||
	    nla_put_be16(msg, GUTLESS_A_PORT_PORT, key->port))
		return -EMSGSIZE;
	if (!ipv6_addr_any(&key->local))
		err = key->family == AF_INET ?
			nla_put_in_addr(msg, GUTLESS_A_PORT_LOCAL_V4,
					key->local.s6_addr32[0]) :
			nla_put_in6_addr(msg, GUTLESS_A_PORT_LOCAL_V6,
					 &key->local);
	if (!err && key->ifindex)
		err = nla_put_u32(msg, GUTLESS_A_PORT_IFINDEX, key->ifindex);
	return err;
}

static int gl_port_fill_settings(struct sk_buff *msg, const struct gl_port *port,
				 const struct gl_rules *r)
{
	unsigned int proto;
	u8 inner[256];
	int n = 0;

	for_each_set_bit(proto, r->inner, 256)
		inner[n++] = proto;
	if (nla_put_u32(msg, GUTLESS_A_PORT_ACCEPT, r->accept) ||
	    nla_put(msg, GUTLESS_A_PORT_INNER, n, inner) ||
	    nla_put_u8(msg, GUTLESS_A_PORT_ANY_SOURCE, r->any_source) ||
	    nla_put_u8(msg, GUTLESS_A_PORT_ZERO_CSUM6, port->zero_csum6) ||
	    nla_put_u8(msg, GUTLESS_A_PORT_ORIGIN, port->origin) ||
	    nla_put_u8(msg, GUTLESS_A_PORT_REMCSUM_NOPARTIAL,
		       r->remcsum_nopartial) ||
	    nla_put_u8(msg, GUTLESS_A_PORT_VERIFY_HEADERS,
		       port->verify_headers) ||
	    nla_put_u8(msg, GUTLESS_A_PORT_CONTROL, r->control) ||
	    gl_keys_fill(msg, r->keys) ||
	    gl_gue_fill(msg, GUTLESS_A_PORT_GUE, &r->gue))
		return -EMSGSIZE;
	if (r->fou_protocol)
		return nla_put_u8(msg, GUTLESS_A_PORT_FOU_PROTOCOL,
				  r->fou_protocol);
	return 0;
}

/*
 * All but the rules for options and the sources; in the messages that go on with
 * them, the key alone.
 */
static int gl_port_fill(struct sk_buff *msg, const struct gl_port *port,
			const struct gl_rules *r, bool more)
{
	int err = gl_port_fill_key(msg, &port->key);

	if (err || more)
		return err;
	err = gl_port_fill_settings(msg, port, r);
	if (err)
		return err;
	return gl_nl_put_stats(msg, GUTLESS_A_PORT_STATS, GUTLESS_A_RX_PAD,
			       port->stats, GUTLESS_A_RX_PACKETS,
			       GUTLESS_A_RX_MAX);
}

/* What a port has any number of: rules for options, then sources */
static u32 gl_port_items(const struct gl_rules *r)
{
	return (r->options ? r->options->n : 0) + r->n_sources;
}

static int gl_port_fill_item(struct sk_buff *msg, const struct gl_port *port,
			     const struct gl_rules *r, u32 i)
{
	u32 n = r->options ? r->options->n : 0;

	if (i < n)
		return gl_option_rule_fill(msg, r->options->rule[i]);
	return gl_source_fill(msg, &r->sources[i - n], port->key.family);
}

/* One port in one message, with all of its sources or with none. */
static struct sk_buff *gl_port_msg(struct gl_net *gn, const struct gl_port *port,
				   u32 portid, u32 seq, u8 cmd)
{
	const struct gl_rules *r = gl_port_rules(gn, port);
	struct sk_buff *msg;
	void *hdr;
	u32 i, rules = r->options ? r->options->n : 0;
	u32 n = rules;

	if (r->n_sources <= GL_MSG_SOURCES_MAX)
		n += r->n_sources;
	msg = nlmsg_new(GL_MSG_SIZE + rules * GL_OPTION_RULE_SIZE + GL_KEYS_SIZE,
			GFP_KERNEL);
	if (!msg)
		return NULL;
	hdr = genlmsg_put(msg, portid, seq, &gl_family, 0, cmd);
	if (!hdr || gl_port_fill(msg, port, r, false))
		goto err;
	for (i = 0; i < n; i++)
		if (gl_port_fill_item(msg, port, r, i))
			goto err;
	genlmsg_end(msg, hdr);
	return msg;
err:
	nlmsg_free(msg);
	return NULL;
}

void gl_port_event(struct net *net, const struct gl_port *port, u8 cmd)
{
	gl_nl_event(net, gl_port_msg(gl_net(net), port, 0, 0, cmd));
}

int gl_nl_port_get(struct sk_buff *skb, struct genl_info *info)
{
	struct gl_net *gn = gl_net(genl_info_net(info));
	struct sk_buff *msg = NULL;
	struct gl_port_key key;
	struct gl_port *port;
	int err;

	err = gl_port_parse_key(info->attrs, &key, info->extack);
	if (err)
		return err;

	mutex_lock(&gn->lock);
	err = -ENOENT;
	port = gl_port_named(gn, info, &key);
	if (!port)
		goto out;
	err = -EMSGSIZE;
	if (gl_port_rules(gn, port)->n_sources > GL_MSG_SOURCES_MAX) {
		GENL_SET_ERR_MSG(info,
				 "the port has more sources than one message takes: dump it");
		goto out;
	}
	err = -ENOMEM;
	msg = gl_port_msg(gn, port, info->snd_portid, info->snd_seq,
			  GUTLESS_CMD_PORT_GET);
out:
	mutex_unlock(&gn->lock);
	return msg ? genlmsg_reply(msg, info) : err;
}

/* ---- dumps: args[0] is the id to go on with, args[1] the item of it ---- */

int gl_nl_port_dump_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = gl_dump_attrs(cb);
	struct gl_port_key key;

	cb->min_dump_alloc = GL_DUMP_SIZE;
	if (!attrs)
		return 0;
	/* a filter is a family or a whole key: half a key would be a surprise */
	if (attrs[GUTLESS_A_PORT_PORT] || attrs[GUTLESS_A_PORT_LOCAL_V4] ||
	    attrs[GUTLESS_A_PORT_LOCAL_V6] || attrs[GUTLESS_A_PORT_IFINDEX])
		return gl_port_parse_key(attrs, &key, cb->extack);
	return gl_port_parse_family(attrs, &key.family, cb->extack);
}

static bool gl_port_wanted(const struct gl_port *port, struct nlattr **attrs)
{
	struct gl_port_key key;

	if (!attrs)
		return true;
	if (attrs[GUTLESS_A_PORT_PORT])
		return !gl_port_parse_key(attrs, &key, NULL) &&
		       !memcmp(&key, &port->key, sizeof(key));
	return !attrs[GUTLESS_A_PORT_FAMILY] ||
	       nla_get_u8(attrs[GUTLESS_A_PORT_FAMILY]) == port->key.family;
}

/* One message, with as many items from @first on as go in. Return: the next */
static int gl_port_dump_one(struct sk_buff *skb, struct netlink_callback *cb,
			    const struct gl_port *port, const struct gl_rules *r,
			    u32 first)
{
	u32 i, n = gl_port_items(r);
	void *hdr;

	hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			  &gl_family, NLM_F_MULTI, GUTLESS_CMD_PORT_GET);
	if (!hdr)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, hdr);
	if (gl_port_fill(skb, port, r, first > 0))
		goto cancel;
	for (i = first; i < n; i++)
		if (gl_port_fill_item(skb, port, r, i))
			break;
	/* every message must bring the dump forward */
	if (i == first && i < n)
		goto cancel;
	genlmsg_end(skb, hdr);
	return i;

cancel:
	genlmsg_cancel(skb, hdr);
	return -EMSGSIZE;
}

int gl_nl_port_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct gl_net *gn = gl_net(sock_net(skb->sk));
	struct nlattr **attrs = gl_dump_attrs(cb);
	unsigned long id = cb->args[0];
	const struct gl_rules *r;
	struct gl_port *port;
	int next = 0;

	mutex_lock(&gn->lock);
	cb->seq = gn->generation;
	xa_for_each_start(&gn->ports, id, port, id) {
		if (!gl_port_wanted(port, attrs))
			continue;
		r = gl_port_rules(gn, port);
		/* begun with in the last part: go on; any other: anew */
		next = id == cb->args[0] ? cb->args[1] : 0;
		cb->args[1] = 0;
		next = gl_port_dump_one(skb, cb, port, r, next);
		if (next < 0 || next < gl_port_items(r))
			break;
	}
	mutex_unlock(&gn->lock);

	if (!port) {
		cb->args[0] = ULONG_MAX;
		return skb->len;
	}
	if (next < 0 && id == cb->args[0] && !skb->len)
		return next;
	if (next >= 0)
		cb->args[1] = next;
	cb->args[0] = id;
	return skb->len;
}
