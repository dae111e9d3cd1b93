// SPDX-License-Identifier: GPL-2.0-only
/* gutless: control messages over netlink: echo requests to send, and what came */
#include <linux/ktime.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include "control.h"
#include "netlink.h"
#include "nl_port.h"
#include "wire_control.h"

/* What a message takes without its options and its body */
#define GL_CONTROL_MSG_SIZE	256

/* Octets that an echo request may have sent for it: more than any wire takes */
#define GL_ECHO_BODY_MAX	16384

const struct nla_policy gl_echo_policy[GUTLESS_A_CONTROL_MAX + 1] = {
	[GUTLESS_A_CONTROL_FAMILY] = { .type = NLA_U8 },
	[GUTLESS_A_CONTROL_PORT] = { .type = NLA_U16 },
	[GUTLESS_A_CONTROL_LOCAL_V4] = { .type = NLA_U32 },
	[GUTLESS_A_CONTROL_LOCAL_V6] =
		NLA_POLICY_EXACT_LEN(sizeof(struct in6_addr)),
	[GUTLESS_A_CONTROL_IFINDEX] = { .type = NLA_U32 },
	[GUTLESS_A_CONTROL_PEER_V4] = { .type = NLA_U32 },
	[GUTLESS_A_CONTROL_PEER_V6] =
		NLA_POLICY_EXACT_LEN(sizeof(struct in6_addr)),
	[GUTLESS_A_CONTROL_PEER_PORT] = { .type = NLA_U16 },
	[GUTLESS_A_CONTROL_PEER_IFINDEX] = { .type = NLA_U32 },
	[GUTLESS_A_CONTROL_OPTIONS] = { .type = NLA_BINARY,
					.len = GL_HEADER_MAX - GL_BASE_LEN },
	[GUTLESS_A_CONTROL_BODY] = { .type = NLA_BINARY,
				     .len = GL_ECHO_BODY_MAX },
};

/* ---- what came ---- */

static int gl_control_fill_peer(struct sk_buff *msg, const struct sk_buff *skb,
				u8 family)
{
	int err, iif;

	if (family == AF_INET) {
		err = nla_put_in_addr(msg, GUTLESS_A_CONTROL_PEER_V4,
				      ip_hdr(skb)->saddr);
		iif = inet_iif(skb);
	} else {
		err = nla_put_in6_addr(msg, GUTLESS_A_CONTROL_PEER_V6,
				       &ipv6_hdr(skb)->saddr);
		iif = inet6_iif(skb);
	}
	return err ?: nla_put_be16(msg, GUTLESS_A_CONTROL_PEER_PORT,
				   udp_hdr(skb)->source) ?:
		nla_put_u32(msg, GUTLESS_A_CONTROL_PEER_IFINDEX, iif);
}

static int gl_control_fill_octets(struct sk_buff *msg, int attr,
				  const struct sk_buff *skb, unsigned int off,
				  unsigned int len)
{
	struct nlattr *at = nla_reserve(msg, attr, len);

	return at ? skb_copy_bits(skb, off, nla_data(at), len) : -EMSGSIZE;
}

static int gl_control_fill(struct sk_buff *msg, const struct gl_port *port,
			   const struct sk_buff *skb, const struct gl_wire *w)
{
	const unsigned int off = sizeof(struct udphdr);

	if (gl_port_fill_key(msg, &port->key) ||
	    gl_control_fill_peer(msg, skb, port->key.family) ||
	    nla_put_u8(msg, GUTLESS_A_CONTROL_TYPE, w->proto) ||
	    nla_put_u64_64bit(msg, GUTLESS_A_CONTROL_TIME, ktime_get_real_ns(),
			      GUTLESS_A_CONTROL_PAD) ||
	    gl_control_fill_octets(msg, GUTLESS_A_CONTROL_OPTIONS, skb,
				   off + GL_BASE_LEN, w->len - GL_BASE_LEN))
		return -EMSGSIZE;
	return gl_control_fill_octets(msg, GUTLESS_A_CONTROL_BODY, skb,
				      off + w->len, skb->len - off - w->len);
}

/**
 * gl_nl_control_event - tell of a control message
 * @port: it came to
 * @skb: it, at its UDP header
 * @w: its header, taken apart
 *
 * Costs little where nobody listens; who is too slow hears that something is lost.
 */
void gl_nl_control_event(const struct gl_port *port, const struct sk_buff *skb,
			 const struct gl_wire *w)
{
	struct net *net = sock_net(port->sock->sk);
	struct sk_buff *msg;
	void *hdr;

	if (!genl_has_listeners(&gl_family, net, GL_GROUP_CONTROL))
		return;
	msg = genlmsg_new(GL_CONTROL_MSG_SIZE + skb->len, GFP_ATOMIC);
	if (!msg)
		goto lost;
	hdr = genlmsg_put(msg, 0, 0, &gl_family, 0, GUTLESS_CMD_CONTROL_NTF);
	if (!hdr || gl_control_fill(msg, port, skb, w)) {
		nlmsg_free(msg);
		goto lost;
	}
	genlmsg_end(msg, hdr);
	genlmsg_multicast_netns(&gl_family, net, msg, 0, GL_GROUP_CONTROL,
				GFP_ATOMIC);
	return;

lost:
	genl_set_err(&gl_family, net, 0, GL_GROUP_CONTROL, -ENOBUFS);
}

/* ---- what shall go ---- */

static int gl_echo_peer4(struct nlattr **attrs, struct gl_way *way)
{
	__be32 addr = nla_get_in_addr(attrs[GUTLESS_A_CONTROL_PEER_V4]);

	way->peer.s6_addr32[0] = addr;
	return ipv4_is_multicast(addr) || ipv4_is_lbcast(addr) ||
	       ipv4_is_zeronet(addr) ? -EINVAL : 0;
}

static int gl_echo_peer6(struct nlattr **attrs, struct gl_way *way)
{
	way->peer = nla_get_in6_addr(attrs[GUTLESS_A_CONTROL_PEER_V6]);
	return ipv6_addr_type(&way->peer) & IPV6_ADDR_UNICAST ? 0 : -EINVAL;
}

static int gl_echo_parse_peer(struct genl_info *info,
			      const struct gl_port_key *key,
			      struct gl_way *way)
{
	struct nlattr *v4 = info->attrs[GUTLESS_A_CONTROL_PEER_V4];
	struct nlattr *v6 = info->attrs[GUTLESS_A_CONTROL_PEER_V6];
	struct netlink_ext_ack *extack = info->extack;
	struct nlattr *at = key->family == AF_INET ? v4 : v6;

	memset(way, 0, sizeof(*way));
	way->family = key->family;
	if (!at || (v4 && v6)) {
		NL_SET_ERR_MSG_ATTR(extack, v4 ?: v6,
				    "a peer is one address of the port's family");
		return -EINVAL;
	}
	if (key->family == AF_INET ? gl_echo_peer4(info->attrs, way) :
				     gl_echo_peer6(info->attrs, way)) {
		NL_SET_ERR_MSG_ATTR(extack, at,
				    "the peer is not the address of one host");
		return -EINVAL;
	}

	at = info->attrs[GUTLESS_A_CONTROL_PEER_PORT];
	way->port = at ? nla_get_be16(at) : 0;
	if (!way->port) {
		NL_SET_ERR_MSG_ATTR(extack, at, "the peer's port is missing");
		return -EINVAL;
	}
	at = info->attrs[GUTLESS_A_CONTROL_PEER_IFINDEX];
	way->oif = at ? nla_get_u32(at) : 0;
	if (way->oif < 0) {
		NL_SET_ERR_MSG_ATTR(extack, at, "no such device");
		return -ENODEV;
	}
	if (key->ifindex)
		way->oif = key->ifindex;
	if (!ipv6_addr_any(&key->local))
		way->local = key->local;
	return 0;
}

/* Any type may be asked about; only the order of the octets has to be right. */
static int gl_echo_check_options(const u8 *opt, unsigned int len)
{
	unsigned int at = 0;

	while (at < len) {
		if (opt[at] == GL_OPT_PAD1) {
			at++;
			continue;
		}
		if (len - at < 2 || len - at - 2 < opt[at + 1] ||
		    opt[at] == GL_OPT_REMCSUM)
			return -EINVAL;
		at += 2 + opt[at + 1];
	}
	return len % 4 ? -EINVAL : 0;
}

/* Return: the request as the payload of UDP, or an error pointer. */
static struct sk_buff *gl_echo_build(struct genl_info *info)
{
	struct nlattr *options = info->attrs[GUTLESS_A_CONTROL_OPTIONS];
	struct nlattr *body = info->attrs[GUTLESS_A_CONTROL_BODY];
	unsigned int len = GL_BASE_LEN, room;
	struct sk_buff *skb;
	u8 *p;

	if (!body || nla_len(body) < GL_CONTROL_BODY_MIN) {
		NL_SET_ERR_MSG_ATTR(info->extack, body,
				    "the body of an echo has 4 octets at least");
		return ERR_PTR(-EINVAL);
	}
	if (options && gl_echo_check_options(nla_data(options),
					     nla_len(options))) {
		NL_SET_ERR_MSG_ATTR(info->extack, options,
				    "options are whole words, none overruns them, and none is a remote checksum");
		return ERR_PTR(-EINVAL);
	}
	if (options)
		len += nla_len(options);
	room = MAX_HEADER + sizeof(struct ipv6hdr) + sizeof(struct udphdr);
	skb = alloc_skb(room + len + nla_len(body), GFP_KERNEL);
	if (!skb)
		return ERR_PTR(-ENOMEM);
	skb_reserve(skb, room);
	p = skb_put(skb, len);
	gl_wire_build(p, GL_BITS_GUTLESS | GL_CONTROL |
		      (len - GL_BASE_LEN) / 4, GL_CONTROL_ECHO_REQUEST);
	if (options)
		memcpy(p + GL_BASE_LEN, nla_data(options), nla_len(options));
	skb_put_data(skb, nla_data(body), nla_len(body));
	return skb;
}

/* With the lock held. Return: 0 and the time in @sent, or a negative error. */
static int gl_echo_send(struct net *net, struct genl_info *info,
			const struct gl_port_key *key, struct gl_way *way,
			struct sk_buff *skb, u64 *sent)
{
	struct gl_net *gn = gl_net(net);
	struct nlattr *at = info->attrs[GUTLESS_A_CONTROL_PORT];
	const struct gl_rules *rules;
	struct gl_port *port;
	int err;

	port = gl_port_find(gn, key);
	if (!port) {
		NL_SET_ERR_MSG_ATTR(info->extack, at, "no such port");
		err = -ENOENT;
		goto drop;
	}
	rules = rcu_dereference_protected(port->rules,
					  lockdep_is_held(&gn->lock));
	err = -EACCES;
	if (!(rules->accept & GUTLESS_ACCEPT_GUTLESS)) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "the port does not accept GUT-less: no answer could come");
		goto drop;
	}
	if (!gl_address_allowed(rules, key->family, &way->peer)) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "the port does not let the peer in: no answer could come");
		goto drop;
	}
	*sent = ktime_get_real_ns();
	err = gl_control_xmit(port, skb, way);
	if (err)
		GENL_SET_ERR_MSG(info, "the peer cannot be reached");
	return err;

drop:
	kfree_skb(skb);
	return err;
}

int gl_nl_echo(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	struct sk_buff *msg, *request;
	struct gl_port_key key;
	struct gl_way way;
	u64 sent;
	void *hdr;
	int err;

	BUILD_BUG_ON((int)GUTLESS_A_CONTROL_FAMILY != (int)GUTLESS_A_PORT_FAMILY);
	BUILD_BUG_ON((int)GUTLESS_A_CONTROL_IFINDEX != (int)GUTLESS_A_PORT_IFINDEX);
	err = gl_nl_permitted(skb, info);
	if (err)
		return err;
	err = gl_port_parse_key(info->attrs, &key, info->extack);
	if (err)
		return err;
	err = gl_echo_parse_peer(info, &key, &way);
	if (err)
		return err;
	request = gl_echo_build(info);
	if (IS_ERR(request))
		return PTR_ERR(request);
	/* what may fail comes before anything is sent */
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg) {
		kfree_skb(request);
		return -ENOMEM;
	}

	mutex_lock(&gl_net(net)->lock);
	err = gl_echo_send(net, info, &key, &way, request, &sent);
	mutex_unlock(&gl_net(net)->lock);
	if (err)
		goto err_free;
	err = -EMSGSIZE;
	hdr = genlmsg_put_reply(msg, info, &gl_family, 0, GUTLESS_CMD_ECHO);
	if (!hdr || nla_put_u64_64bit(msg, GUTLESS_A_CONTROL_TIME, sent,
				      GUTLESS_A_CONTROL_PAD))
		goto err_free;
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);

err_free:
	nlmsg_free(msg);
	return err;
}
