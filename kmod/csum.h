/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gutless: the sum of a packet, told by its headers (docs/protocol.md)
 *
 * A packet whose own checksums are in place has a sum that needs no pass over it:
 * a valid IPv4 header sums to minus zero; so does a transport segment together
 * with its pseudo-header, whatever it carries. What comes out is as wrong as the
 * packet is: a damaged one makes the outer checksum wrong by the same amount.
 *
 * Sums are of 16-bit words as they lie in memory, not folded. As wire.h, these
 * lines are compiled into programs of user space, too.
 */
#ifndef _GUTLESS_CSUM_H
#define _GUTLESS_CSUM_H

#include "wire.h"

#define GL_CSUM_ICMP		1
#define GL_CSUM_TCP		6
#define GL_CSUM_UDP		17
#define GL_CSUM_ICMPV6		58

/* GRE with key and sequence number, Ethernet, IPv6, UDP: what is looked at */
#define GL_CSUM_HEADERS		(12 + 14 + 40 + 8)

/* struct gl_csum - what is known of a packet's sum */
struct gl_csum {
	__u32 sum;
	__u32 len;	/* octets from its start that the sum is of */
};

/* Two octets, in the order in which they lie */
static inline __u32 gl_csum_word(const __u8 *p)
{
	__u16 word;

	__builtin_memcpy(&word, p, sizeof(word));
	return word;
}

/* A number of 16 bits as the word it would be in a packet */
static inline __u32 gl_csum_number(__u32 n)
{
	const __u8 octets[2] = { n >> 8, n };

	return gl_csum_word(octets);
}

/* Of few octets, an even number of them */
static inline __u32 gl_csum_words(const __u8 *p, __u32 len)
{
	__u32 sum = 0, i;

	for (i = 0; i < len; i += 2)
		sum += gl_csum_word(p + i);
	return sum;
}

static inline __u32 gl_csum_not(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/*
 * gl_csum_covered - octets that the checksum of a transport header is of
 * @p: that header
 * @avail: octets of it that can be read
 * @len: of it and all behind it, by the IP header's word
 *
 * Return: their number; 0 where there is no checksum, or none that we know.
 */
static inline __u32 gl_csum_covered(const __u8 *p, __u32 avail, __u32 len,
				    __u8 proto)
{
	__u32 covered;

	switch (proto) {
	case GL_CSUM_TCP:
		return len >= 20 ? len : 0;
	case GL_CSUM_UDP:
		if (avail < 8 || len < 8 || !gl_csum_word(p + 6))
			return 0;
		/* what is behind UDP's own length is not UDP's */
		covered = p[4] << 8 | p[5];
		return covered >= 8 && covered <= len ? covered : 0;
	case GL_CSUM_ICMP:
	case GL_CSUM_ICMPV6:
		return len >= 8 ? len : 0;
	default:
		return 0;
	}
}

/*
 * gl_csum_ipv4 - the sum of an IPv4 packet
 * @p: the packet
 * @avail: octets of it that can be read
 * @len: octets of it and what is behind it
 *
 * Options may hold a route, and then the pseudo-header another address. A fragment
 * holds a part of what a checksum is of.
 *
 * Return: whether @c is filled in; no where only a pass over it would tell.
 */
static inline bool gl_csum_ipv4(const __u8 *p, __u32 avail, __u32 len,
				struct gl_csum *c)
{
	__u32 total, covered;

	if (avail < 20 || p[0] != 0x45 || p[6] & 0x3f || p[7])
		return false;
	total = p[2] << 8 | p[3];
	if (total < 20 || total > len)
		return false;
	if (p[9] == GL_CSUM_ICMPV6)
		return false;
	covered = gl_csum_covered(p + 20, avail - 20, total - 20, p[9]);
	if (!covered)
		return false;
	c->len = 20 + covered;
	/* ICMP's is of the message alone */
	c->sum = p[9] == GL_CSUM_ICMP ? 0 :
		gl_csum_not(gl_csum_words(p + 12, 8) +
			    gl_csum_number(p[9]) + gl_csum_number(covered));
	return true;
}

/*
 * gl_csum_ipv6 - the sum of an IPv6 packet; as gl_csum_ipv4()
 *
 * The addresses, once in the header and once, inverted, in the pseudo-header,
 * are gone from the sum. Extension headers need the pass: some make the
 * pseudo-header another one.
 */
static inline bool gl_csum_ipv6(const __u8 *p, __u32 avail, __u32 len,
				struct gl_csum *c)
{
	__u32 payload, covered;

	if (avail < 40 || p[0] >> 4 != 6 || p[6] == GL_CSUM_ICMP)
		return false;
	payload = p[4] << 8 | p[5];
	if (payload > len - 40)
		return false;
	covered = gl_csum_covered(p + 40, avail - 40, payload, p[6]);
	if (!covered)
		return false;
	c->len = 40 + covered;
	c->sum = gl_csum_words(p, 8) +
		 gl_csum_not(gl_csum_number(p[6]) + gl_csum_number(covered));
	return true;
}

static inline bool gl_csum_ethertype(const __u8 *type, const __u8 *p,
				     __u32 avail, __u32 len, struct gl_csum *c)
{
	switch (type[0] << 8 | type[1]) {
	case 0x0800:
		return gl_csum_ipv4(p, avail, len, c);
	case 0x86dd:
		return gl_csum_ipv6(p, avail, len, c);
	default:
		return false;
	}
}

/* gl_csum_ethernet - the sum of a frame; as gl_csum_ipv4() */
static inline bool gl_csum_ethernet(const __u8 *p, __u32 avail, __u32 len,
				    struct gl_csum *c)
{
	if (avail < 14 ||
	    !gl_csum_ethertype(p + 12, p + 14, avail - 14, len - 14, c))
		return false;
	c->sum += gl_csum_words(p, 14);
	c->len += 14;
	return true;
}

/*
 * gl_csum_gre - the sum of a GRE packet; as gl_csum_ipv4()
 *
 * With a checksum of its own the whole is neutral.
 */
static inline bool gl_csum_gre(const __u8 *p, __u32 avail, __u32 len,
			       struct gl_csum *c)
{
	__u32 hlen = 4;

	/* version, routing, reserved */
	if (avail < 4 || p[0] & 0x4f || p[1])
		return false;
	if (p[0] & 0x80) {
		if (len < 8)
			return false;
		c->sum = 0;
		c->len = len;
		return true;
	}
	hlen += (p[0] & 0x20 ? 4 : 0) + (p[0] & 0x10 ? 4 : 0);
	if (avail < hlen)
		return false;
	if (p[2] == 0x65 && p[3] == 0x58) {
		if (!gl_csum_ethernet(p + hlen, avail - hlen, len - hlen, c))
			return false;
	} else if (!gl_csum_ethertype(p + 2, p + hlen, avail - hlen,
				      len - hlen, c)) {
		return false;
	}
	c->sum += gl_csum_words(p, hlen);
	c->len += hlen;
	return true;
}

/*
 * gl_csum_packet - the sum of an inner packet, where its headers tell it
 * @p: the packet
 * @avail: octets of it that can be read, at most @len
 * @len: octets of it
 * @proto: its IP protocol number
 * @c: the answer; what is behind its length has still to be added
 *
 * Return: whether there is an answer.
 */
static inline bool gl_csum_packet(const __u8 *p, __u32 avail, __u32 len,
				  __u8 proto, struct gl_csum *c)
{
	switch (proto) {
	case GL_PROTO_IPV4:
		return gl_csum_ipv4(p, avail, len, c);
	case GL_PROTO_IPV6:
		return gl_csum_ipv6(p, avail, len, c);
	case GL_PROTO_GRE:
		return gl_csum_gre(p, avail, len, c);
	case GL_PROTO_ETHERNET:
		return gl_csum_ethernet(p, avail, len, c);
	default:
		return false;
	}
}

/*
 * gl_csum_ipv4_at - where the IPv4 header of an inner packet is
 *
 * Arguments as of gl_csum_packet(). The sum of a packet says nothing of its
 * addresses: they are in the pseudo-header, too, the other way round. IPv4 has a
 * sum of its own for them.
 *
 * Return: octets in front of it; -1 where there is none, or a checksum around it.
 */
static inline int gl_csum_ipv4_at(const __u8 *p, __u32 avail, __u8 proto)
{
	__u32 at = 0;

	if (proto == GL_PROTO_GRE) {
		if (avail < 4 || p[0] & 0xcf || p[1])
			return -1;
		at = 4 + (p[0] & 0x20 ? 4 : 0) + (p[0] & 0x10 ? 4 : 0);
		if (p[2] == 0x08 && !p[3])
			proto = GL_PROTO_IPV4;
		else if (p[2] == 0x65 && p[3] == 0x58)
			proto = GL_PROTO_ETHERNET;
	}
	if (proto == GL_PROTO_ETHERNET) {
		if (avail < at + 14 || p[at + 12] != 0x08 || p[at + 13])
			return -1;
		at += 14;
	} else if (proto != GL_PROTO_IPV4) {
		return -1;
	}
	return avail < at + 20 || p[at] != 0x45 ? -1 : (int)at;
}

#endif /* _GUTLESS_CSUM_H */
