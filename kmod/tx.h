/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: the way out, what both families of links share */
#ifndef _GUTLESS_TX_H
#define _GUTLESS_TX_H

#include <linux/rcupdate.h>
#include <net/udp.h>
#include "gutless.h"

/* struct gl_tx - one packet's way */
struct gl_tx {
	const struct gl_profile *profile;
	struct net *net;	/* that the link sends from */
	bool header;		/* the link has room for a base header */
	bool csum;
	bool summed;		/* the inner packet has this sum, or, with Check,
				 * what UDP carries has none
				 */
	__wsum sum;
	unsigned int base;	/* octets between UDP and the inner packet */
	u16 mtu;		/* of the path, where an option says it */
	bool remote;		/* the inner checksum is left to the receiver: */
	u16 start;		/* where its sum begins in the inner packet */
	u16 offset;		/* where it is */
	unsigned int gue_csum;	/* where in them GUE's checksum is, 0: nowhere */
	__be16 sport;
};

/* tx.c: the long way */
int gl_tx_profile(struct gl_tx *tx, const struct ip_tunnel_encap *e,
		  const struct sk_buff *skb, unsigned int csum_flag);
int gl_tx_build(struct gl_tx *tx, struct sk_buff *skb,
		const struct ip_tunnel_encap *e, u8 proto, unsigned int outer);
struct udphdr *gl_push_udp(struct sk_buff *skb, __be16 sport,
			   const struct ip_tunnel_encap *e);
__wsum gl_tx_sum(const struct gl_tx *tx, struct udphdr *uh);

static __always_inline __be16
gl_source_port(const struct ip_tunnel_encap *e,
	       const struct gl_profile *profile, struct sk_buff *skb)
{
	u32 n = profile->sport_n;
	u32 hash;

	if (e->sport)
		return e->sport;
	if (n == 1)
		return htons(profile->sport_min);

	hash = skb_get_hash(skb);
	if (unlikely(!hash))
		hash = udp_flow_hashrnd();
	/* the port takes the upper bits: let the lower ones count as well */
	hash ^= hash << 16;
	return htons(profile->sport_min + reciprocal_scale(hash, n));
}

/*
 * What goes in front of the inner packet, if anything.
 * @header: the link has room for a base header
 * @ip: the inner packet is one of IP
 *
 * Return: octets, or -1 where the profile's format cannot be sent by the link.
 */
static __always_inline int gl_tx_base(u8 format, bool header, bool ip)
{
	switch (format) {
	case 0:		/* no profile: the link's type says it all */
		return header ? GL_BASE_LEN : 0;
	case GUTLESS_FORMAT_FOU:
		return header ? -1 : 0;
	case GUTLESS_FORMAT_GUTLESS:
		if (ip)
			return 0;
		fallthrough;
	default:
		return header ? GL_BASE_LEN : -1;
	}
}

static __always_inline u8 gl_tx_bits(u8 format)
{
	return format == GUTLESS_FORMAT_GUTLESS ? GL_BITS_GUTLESS :
						  GL_BITS_GUE0;
}

static __always_inline bool gl_is_ip(u8 proto)
{
	return proto == IPPROTO_IPIP || proto == IPPROTO_IPV6;
}

/* The header that all packets of a profile have, but for the protocol */
static inline void gl_tx_head(const struct gl_profile *profile, u8 *p, u8 proto)
{
	unsigned int at;

	/* whole words, of which there are few: cheaper than a call */
	for (at = 0; at < profile->head_len; at += 4)
		memcpy(p + at, profile->head + at, 4);
	p[1] = proto;
}

/* struct gl_plain - what the short way leaves to do: with @csum, what it is of */
struct gl_plain {
	bool csum;
	__wsum sum;
};

/*
 * The way of most packets: one packet, nothing inside to look at closer, a checksum
 * that needs no pass over it, room in front that is ours.
 *
 * Return: the UDP header without its checksum, or NULL, and nothing is done, where
 * it has to be the long way.
 */
static __always_inline struct udphdr *
gl_tx_plain(struct sk_buff *skb, const struct ip_tunnel_encap *e,
	    struct net *net, u8 proto, bool header, u16 csum_flag,
	    struct gl_plain *left)
{
	unsigned int number = e->flags >> GUTLESS_PROFILE_SHIFT;
	bool partial = skb->ip_summed == CHECKSUM_PARTIAL;
	struct gl_net *gn = gl_net_rcu(net);
	const struct gl_profile *profile;
	unsigned int inner = skb->len;
	struct udphdr *uh;
	__be16 sport;
	int base;

	profile = number ? xa_load(&gn->profiles, number) :
			   rcu_dereference(gn->plain);
	if (unlikely(!profile) || profile->special || skb_is_gso(skb))
		return NULL;

	base = profile->head_len;
	if (unlikely(base)) {
		if (!header)
			return NULL;
	} else {
		base = gl_tx_base(profile->format, header, gl_is_ip(proto));
	}
	if (base < 0 || skb_header_cloned(skb) ||
	    skb_headroom(skb) < base + sizeof(*uh) ||
	    inner + base + sizeof(*uh) + sizeof(struct iphdr) > IP_MAX_MTU ||
	    gl_xmit_depth() > GL_XMIT_DEPTH_MAX ||
	    !gl_shallow(skb, 0, proto))
		return NULL;
	left->csum = number ? profile->csum != GUTLESS_CSUM_ZERO :
			      e->flags & csum_flag;
	if (left->csum && !partial) {
		s64 sum = gl_csum_inner(skb, proto);

		if (sum < 0)
			return NULL;
		left->sum = (__force __wsum)(u32)sum;
	}

	if (!partial) {
		skb->ip_summed = CHECKSUM_NONE;
		skb->encapsulation = 0;
	} else if (!skb->encapsulation) {
		skb_reset_inner_headers(skb);
		skb->encapsulation = 1;
	}
	sport = gl_source_port(e, profile, skb);
	uh = __skb_push(skb, base + sizeof(*uh));
	if (unlikely(profile->head_len))
		gl_tx_head(profile, (u8 *)(uh + 1), proto);
	else if (base)
		gl_wire_build((u8 *)(uh + 1), gl_tx_bits(profile->format),
			      proto);
	skb_reset_transport_header(skb);
	uh->source = sport;
	uh->dest = e->dport;
	uh->len = htons(skb->len);
	uh->check = 0;
	if (left->csum)
		left->sum = partial ? lco_csum(skb) :
			csum_partial(uh, base + sizeof(*uh), left->sum);
	gl_count_packet(profile->stats, GUTLESS_A_TX_PACKETS, 1, inner);
	return uh;
}

#endif /* _GUTLESS_TX_H */
