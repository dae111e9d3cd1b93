// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: merging received packets, and finishing what was merged
 *
 * Packets merge when everything in front of the inner packet is the same and the
 * inner protocol's own code agrees. The inner protocol's code is that of the
 * socket's family: it is the outer header that the merged packet begins with.
 */
#include <linux/tcp.h>
#include <net/gro.h>
#include <net/ipv6.h>
#include <net/protocol.h>
#include <net/udp.h>
#include "gutless.h"

static const struct net_offload *gl_inner_offload(const struct sock *sk, u8 proto)
{
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6)
		return rcu_dereference(inet6_offloads[proto]);
#endif
	return rcu_dereference(inet_offloads[proto]);
}

/* Packets held whose encapsulation header differs in any octet are other flows. */
static void gl_gro_compare(struct list_head *head, const u8 *header,
			   unsigned int off, unsigned int len)
{
	struct sk_buff *p;

	list_for_each_entry(p, head, list) {
		if (NAPI_GRO_CB(p)->same_flow &&
		    memcmp(header, p->data + off, len))
			NAPI_GRO_CB(p)->same_flow = 0;
	}
}

/*
 * An inner checksum that was left to the receiver needs no verification where
 * UDP's own is good, and merging makes it anew. The inner protocol is told where
 * it begins. Nothing is written here: others may look at the same octets.
 *
 * Return: false, do not merge.
 */
static bool gl_gro_remcsum(struct sk_buff *skb, unsigned int off,
			   const struct gl_wire *w)
{
	struct gro_remcsum grc;

	if (!NAPI_GRO_CB(skb)->csum_valid)
		return false;
	/*
	 * TCP's alone: merged datagrams are taken apart before we get them, since
	 * UDP does not expect them here, and have their checksums by then.
	 */
	if (w->offset - w->start != offsetof(struct tcphdr, check))
		return false;
	/* lists of packets leave as they came, which these must not */
	if (skb->dev->features & NETIF_F_GRO_FRAGLIST)
		return false;
	skb_gro_remcsum_init(&grc);
	skb_gro_remcsum_process(skb, NULL, off, w->len, w->start, w->offset,
				&grc, false);
	return true;
}

/* Return: length of the encapsulation header, or negative: do not merge. */
static int gl_gro_header(struct list_head *head, struct sk_buff *skb,
			 const struct gl_rules *rules, u8 *proto)
{
	unsigned int off = skb_gro_offset(skb);
	struct gl_wire w;
	const u8 *header;
	u8 format, len;

	header = skb_gro_header(skb, off + 1, off);
	if (unlikely(!header))
		return -1;
	format = gl_wire_format(header[0]);
	if (unlikely(!(format & rules->accept)))
		return -1;

	len = gl_wire_len(format, header[0]);
	header = skb_gro_header(skb, off + max_t(u8, len, 1), off);
	if (unlikely(!header || skb_gro_len(skb) < len ||
		     gl_wire_parse(header, skb_gro_len(skb), format,
				   rules->known, &w)))
		return -1;
	/*
	 * these hold for one packet only, and a copy of one is no other; a
	 * sum of headers is that of all of them
	 */
	if (unlikely(w.check || w.auth || w.coverage))
		return -1;
	if (w.remcsum && !gl_gro_remcsum(skb, off, &w))
		return -1;

	*proto = w.proto;
	if (format == GUTLESS_ACCEPT_BARE) {
		/* the version in it is part of the inner header */
		gl_gro_compare(head, header, off, 1);
		return 0;
	}
	gl_gro_compare(head, header, off, len);
	skb_gro_pull(skb, len);
	skb_gro_postpull_rcsum(skb, header, len);
	return len;
}

struct sk_buff *gl_gro_receive(struct sock *sk, struct list_head *head,
			       struct sk_buff *skb)
{
	const struct net_offload *ops;
	const struct gl_rules *rules;
	struct sk_buff *pp = NULL;
	struct gl_port *port;
	int flush = 1;
	u8 proto;

	port = rcu_dereference_sk_user_data(sk);
	if (unlikely(!port))
		goto out;
	if (!GL_GRO_FINDS_BOUND_PORTS && !ipv6_addr_any(&port->key.local))
		goto out;
	rules = rcu_dereference(port->rules);

	if (rules->accept & GUTLESS_ACCEPT_FOU)
		proto = rules->fou_protocol;
	else if (gl_gro_header(head, skb, rules, &proto) < 0)
		goto out;
	if (unlikely(!test_bit(proto, rules->inner)))
		goto out;

	/*
	 * To the inner protocol this is its own outer header with a few octets
	 * more in it, not a second tunnel.
	 */
	NAPI_GRO_CB(skb)->encap_mark = 0;
	NAPI_GRO_CB(skb)->is_fou = 1;

	ops = gl_inner_offload(sk, proto);
	if (!ops || !ops->callbacks.gro_receive)
		goto out;

	pp = call_gro_receive(ops->callbacks.gro_receive, head, skb);
	flush = 0;

out:
	skb_gro_flush_final(skb, pp, flush);
	return pp;
}

int gl_gro_complete(struct sock *sk, struct sk_buff *skb, int nhoff)
{
	const u8 *header = skb->data + nhoff;
	const struct net_offload *ops;
	const struct gl_rules *rules;
	struct gl_port *port;
	struct gl_wire w;
	unsigned int type;
	int err;

	port = rcu_dereference_sk_user_data(sk);
	if (unlikely(!port))
		return -ENOENT;
	rules = rcu_dereference(port->rules);

	if (rules->accept & GUTLESS_ACCEPT_FOU) {
		w.proto = rules->fou_protocol;
	} else {
		u8 format = gl_wire_format(header[0]);

		/* what is known may have changed since it was merged */
		if (unlikely(!format ||
			     gl_wire_parse(header, skb->len - nhoff, format,
					   NULL, &w)))
			return -EINVAL;
		nhoff += w.len;
	}

	ops = gl_inner_offload(sk, w.proto);
	if (unlikely(!ops || !ops->callbacks.gro_complete))
		return -EOPNOTSUPP;

	/*
	 * GRE's code sets the type anew where others add to it. Without the bit of
	 * UDP, UDP would take the packet for one that should not have been merged,
	 * and lose it.
	 */
	type = skb_shinfo(skb)->gso_type;
	err = ops->callbacks.gro_complete(skb, nhoff);
	skb_shinfo(skb)->gso_type |= type;
	skb_set_inner_mac_header(skb, nhoff);
	return err;
}
