// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: the way in
 *
 * UDP has verified the checksum and hands the packet over with skb->data at the
 * UDP header. What passes is given back to IP under the number of its inner
 * protocol; what does not is counted under the reason and freed.
 */
#include <linux/skbuff.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/udp.h>
#include "auth.h"
#include "control.h"

/*
 * The sum over the payload of UDP is one's complement zero where Check is used.
 * With a UDP checksum that was verified nothing more is to be learnt from it.
 */
static bool gl_check_ok(const struct sk_buff *skb)
{
	const unsigned int off = sizeof(struct udphdr);

	if (udp_hdr(skb)->check)
		return true;
	return csum_fold(skb_checksum(skb, off, skb->len - off, 0)) == 0;
}

/*
 * Return: 0, also of a control message that can be acted on, or the attribute that
 * counts the reason to drop.
 */
static int gl_rcv_header(struct sk_buff *skb, const struct gl_rules *rules,
			 struct gl_wire *w)
{
	const unsigned int off = sizeof(struct udphdr);
	unsigned int len = skb->len - off;
	int reason;
	u8 format, first;

	if (!len)
		return GUTLESS_A_RX_DROP_TRUNCATED;
	if (!pskb_may_pull(skb, off + 1))
		return GUTLESS_A_RX_DROP_NO_MEMORY;
	first = skb->data[off];
	format = gl_wire_format(first);
	if (unlikely(!format))
		return GUTLESS_A_RX_DROP_VARIANT;
	if (unlikely(!(rules->accept & format)))
		return GUTLESS_A_RX_DROP_FORMAT;
	if (unlikely(len < gl_wire_len(format, first)))
		return GUTLESS_A_RX_DROP_TRUNCATED;
	if (!pskb_may_pull(skb, off + gl_wire_len(format, first)))
		return GUTLESS_A_RX_DROP_NO_MEMORY;

	reason = gl_wire_parse(skb->data + off, len, format, rules->known, w);
	if (unlikely(reason && !w->control))
		return reason;
	if (unlikely(w->check && !gl_check_ok(skb)))
		return GUTLESS_A_RX_DROP_CHECK;
	if (w->flags & GL_GUE_JUDGED || rules->gue.wire.flags)
		return gl_gue_judge(skb, rules, w);
	return 0;
}

/* What may follow, and is there all of its header? */
static int gl_rcv_inner(struct sk_buff *skb, const struct gl_rules *rules,
			unsigned int hlen, u8 proto)
{
	unsigned int min = gl_wire_inner_min(proto);

	if (unlikely(!test_bit(proto, rules->inner)))
		return GUTLESS_A_RX_DROP_PROTOCOL;
	if (unlikely(skb->len < hlen + min))
		return GUTLESS_A_RX_DROP_INNER;
	if (unlikely(!pskb_may_pull(skb, hlen + min)))
		return GUTLESS_A_RX_DROP_NO_MEMORY;
	if (min && unlikely(!gl_wire_inner_fits(proto, skb->data[hlen])))
		return GUTLESS_A_RX_DROP_INNER;
	/* this encapsulation, and those inside */
	if (!gl_shallow(skb, hlen, proto) &&
	    unlikely(1 + gl_nesting(skb, hlen, proto) > GL_NESTING_MAX))
		return GUTLESS_A_RX_DROP_NESTING;
	return 0;
}

/*
 * A tunnel's own code looks at skb->len alone. Other protocols, and programs on
 * raw sockets, may look at the length in the outer IP header, which now lies:
 * set it right, in a copy where somebody else has the header too. A length of 0
 * stands for one that does not fit (jumbo, BIG TCP) and stays.
 */
static int gl_rcv_fix_length(struct sk_buff *skb, u8 family, unsigned int hlen)
{
	int err = skb_unclone(skb, GFP_ATOMIC);

	if (err)
		return err;
	if (family == AF_INET) {
		struct iphdr *iph = ip_hdr(skb);
		__be16 len = htons(ntohs(iph->tot_len) - hlen);

		if (iph->tot_len) {
			csum_replace2(&iph->check, iph->tot_len, len);
			iph->tot_len = len;
		}
	} else {
		struct ipv6hdr *ip6h = ipv6_hdr(skb);

		if (ip6h->payload_len)
			ip6h->payload_len = htons(ntohs(ip6h->payload_len) -
						  hlen);
	}
	return 0;
}

/*
 * Write a checksum whose sum begins at start. What is known of the sum of the
 * whole stays known, so that the inner protocol can tell by it whether what was
 * written here is right.
 */
static void gl_write_remcsum(struct sk_buff *skb, u16 start, u16 offset)
{
	__wsum rest = skb_checksum(skb, start, skb->len - start, 0);
	__sum16 old, check = csum_fold(rest);

	/* UDP takes 0 for none; to the others the two are the same */
	if (!check)
		check = CSUM_MANGLED_0;
	memcpy(&old, skb->data + offset, sizeof(old));
	memcpy(skb->data + offset, &check, sizeof(check));

	if (skb->ip_summed != CHECKSUM_COMPLETE) {
		skb->csum = csum_block_add(skb_checksum(skb, 0, start, 0),
					   rest, start);
		skb->ip_summed = CHECKSUM_COMPLETE;
		skb->csum_complete_sw = 1;
		skb->csum_valid = 0;
	}
	skb->csum = csum_block_sub(skb->csum, csum_unfold(old), offset);
	skb->csum = csum_block_add(skb->csum, csum_unfold(check), offset);
}

/*
 * The sender left a checksum of the inner packet, which begins at skb->data, to
 * us. UDP's has been verified, so what it would say is known. It is either left
 * to whoever needs it in writing, or written at once.
 *
 * Only a transport's own checksum is left: a sum that begins in a header which
 * is taken off before it is made would be looked for where there is no packet.
 *
 * Of a merged packet the inner protocol's GRO has set it up already, to be made
 * for each segment.
 */
static int gl_rcv_remcsum(struct sk_buff *skb, const struct gl_wire *w,
			  bool nopartial)
{
	unsigned int end = w->offset + sizeof(__sum16);
	int err;

	if (skb_is_gso(skb))
		return 0;
	if (!nopartial &&
	    gl_is_transport_csum(skb, w->proto, w->start, w->offset)) {
		if (!pskb_may_pull(skb, end))
			return -ENOMEM;
		skb_remcsum_process(skb, skb->data, w->start, w->offset, false);
		return 0;
	}
	err = skb_ensure_writable(skb, end);
	if (!err)
		gl_write_remcsum(skb, w->start, w->offset);
	return err;
}

static bool gl_proto_is_tunnel(u8 proto)
{
	return proto == GL_PROTO_IPV4 || proto == GL_PROTO_IPV6 ||
	       proto == GL_PROTO_GRE || proto == GL_PROTO_ETHERNET;
}

/* The inner packet begins @hlen octets further on. */
static __always_inline void gl_rcv_pull(struct sk_buff *skb, unsigned int hlen)
{
	__skb_pull(skb, hlen);
	skb_postpull_rcsum(skb, udp_hdr(skb), hlen);
	skb_reset_transport_header(skb);
}

/*
 * Of a packet whose sender has to prove who he is, nothing is told, delivered or
 * answered before he has: option auth is looked at right behind the header.
 *
 * Return: as gl_rcv()
 */
static noinline int gl_rcv_any(struct gl_port *port,
			       const struct gl_rules *rules,
			       struct sk_buff *skb)
{
	unsigned int hlen = sizeof(struct udphdr);
	unsigned int gro;
	struct gl_wire w = {};
	int reason;

	reason = GUTLESS_A_RX_DROP_SOURCE;
	if (unlikely(!gl_source_allowed(rules, skb)))
		goto drop;

	if (rules->accept & GUTLESS_ACCEPT_FOU) {
		w.proto = rules->fou_protocol;
	} else {
		reason = gl_rcv_header(skb, rules, &w);
		if (likely(!reason) && rules->keys)
			reason = gl_auth_judge(rules->keys, skb, &w);
		if (unlikely(w.unknown))
			gl_control_report(port, rules, skb, &w);
		if (unlikely(reason))
			goto drop;
		/* rules are about what is carried */
		if (unlikely(w.control)) {
			gl_control_rcv(port, rules, skb, &w);
			return 0;
		}
		if (rules->options)
			reason = gl_options_judge(rules->options, skb, &w);
		if (unlikely(reason))
			goto drop;
		hlen += w.len;
	}

	reason = gl_rcv_inner(skb, rules, hlen, w.proto);
	if (unlikely(reason))
		goto drop;

	reason = GUTLESS_A_RX_DROP_NO_MEMORY;
	if (!gl_proto_is_tunnel(w.proto) &&
	    gl_rcv_fix_length(skb, port->key.family, hlen))
		goto drop;
	gro = skb_is_gso(skb) ? gl_segs(skb) : 0;
	if (unlikely(iptunnel_pull_offloads(skb)))
		goto drop;
	if (gro)
		gl_fixedid_pull(skb);

	gl_rcv_pull(skb, hlen);
	/* what UDP found may be about headers alone (verify.c) */
	if (w.check)
		skb->csum_valid = 0;
	if (w.remcsum && gl_rcv_remcsum(skb, &w, rules->remcsum_nopartial))
		goto drop;

	gl_count_packet(port->stats, GUTLESS_A_RX_PACKETS, gl_segs(skb),
			skb->len);
	if (gro)
		gl_count(port->stats, GUTLESS_A_RX_GRO_PACKETS, gro);
	if (rules->options)
		gl_options_passed(port, rules->options, skb, &w);
	return -w.proto;

drop:
	gl_count(port->stats, reason, gl_segs(skb));
	kfree_skb(skb);
	return 0;
}

/*
 * gl_rcv_plain() for a packet in format GUT-less with options about which nothing
 * needs to be done but to see that they are those which the port's rules are for,
 * and to count them.
 *
 * Return: octets in front of the inner packet, 0 where somebody has to look closer.
 */
static noinline unsigned int gl_rcv_options(const struct sk_buff *skb,
					    const struct gl_rules *rules)
{
	const u8 *p = skb->data + sizeof(struct udphdr);
	unsigned int len = 4 * (p[0] & GL_HLEN_MASK);
	unsigned int hlen = sizeof(struct udphdr) + GL_BASE_LEN + len;

	/* neither a control message nor with Check */
	if ((p[0] & ~GL_HLEN_MASK) != GL_BITS_GUTLESS || p[2] | p[3] ||
	    skb_headlen(skb) < hlen ||
	    !gl_options_expected(rules->options, p + GL_BASE_LEN, len) ||
	    !test_bit(p[1], rules->inner) || !gl_shallow(skb, hlen, p[1]))
		return 0;
	gl_options_count(rules->options);
	return hlen;
}

/*
 * Is this the packet that most are? That is, IP without a tunnel in it, in one of
 * the formats, with options at most of which the port knows at once that they pass,
 * one packet, its headers in one piece. False says nothing but that somebody has to
 * look closer; where it is true, the options are counted.
 *
 * @hlen: octets in front of the inner packet
 */
static __always_inline bool gl_rcv_plain(const struct sk_buff *skb,
					 const struct gl_rules *rules,
					 unsigned int *hlen, u8 *proto)
{
	const u8 *p = skb->data + sizeof(struct udphdr);

	if (skb_is_gso(skb) ||
	    skb_headlen(skb) < sizeof(struct udphdr) + GL_BASE_LEN)
		return false;
	if (!gl_source_allowed(rules, skb))
		return false;

	*hlen = sizeof(struct udphdr);
	if (rules->plain & GUTLESS_ACCEPT_FOU) {
		*proto = rules->fou_protocol;
	} else if (gl_wire_is_bare(p[0])) {
		if (!(rules->plain & GUTLESS_ACCEPT_BARE))
			return false;
		*proto = gl_wire_bare_proto(p[0]);
	} else if (gl_wire_is_plain(p)) {
		if (!(rules->plain & (p[0] ? GUTLESS_ACCEPT_GUTLESS :
					     GUTLESS_ACCEPT_GUE0)))
			return false;
		*proto = p[1];
		*hlen += GL_BASE_LEN;
	} else {
		*proto = p[1];
		*hlen = rules->expects ? gl_rcv_options(skb, rules) : 0;
		return *hlen;
	}

	return test_bit(*proto, rules->inner) &&
	       gl_shallow(skb, *hlen, *proto);
}

/**
 * gl_rcv - receive a packet for a port
 * @sk: the port's socket
 * @skb: the packet, at its UDP header, which is linear
 *
 * Return: minus the protocol under which IP shall take the rest, or 0 where the
 * packet is gone.
 */
int gl_rcv(struct sock *sk, struct sk_buff *skb)
{
	const struct gl_rules *rules;
	struct gl_port *port;
	unsigned int hlen;
	u8 proto;

	port = rcu_dereference_sk_user_data(sk);
	if (unlikely(!port)) {
		kfree_skb(skb);
		return 0;
	}
	rules = rcu_dereference(port->rules);
	if (!gl_rcv_plain(skb, rules, &hlen, &proto))
		return gl_rcv_any(port, rules, skb);

	skb->encapsulation = 0;
	gl_rcv_pull(skb, hlen);
	gl_count_packet(port->stats, GUTLESS_A_RX_PACKETS, 1, skb->len);
	return -proto;
}
