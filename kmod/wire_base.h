/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gutless: what all formats on the wire share (docs/protocol.md)
 *
 * No kernel dependency beyond the types: the same lines are compiled into
 * programs of user space that compare them with gutctl/encap.py and fuzz them.
 * Every function states how many octets it reads; the caller has them.
 */
#ifndef _GUTLESS_WIRE_BASE_H
#define _GUTLESS_WIRE_BASE_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/string.h>
#include <uapi/linux/gutless.h>
#else
#include <linux/gutless.h>
#include <stdbool.h>
#include <string.h>
#endif

#define GL_BASE_LEN		4	/* of GUE 0 and of GUT-less */
#define GL_HLEN_MASK		0x1f
#define GL_CONTROL		0x20
#define GL_OPTIONS_MAX		(4 * GL_HLEN_MASK)
#define GL_HEADER_MAX		(GL_BASE_LEN + GL_OPTIONS_MAX)

#define GL_BITS_GUE0		0x00
#define GL_BITS_GUTLESS		0x80

#define GL_PROTO_IPV4		4
#define GL_PROTO_IPV6		41
#define GL_PROTO_GRE		47
#define GL_PROTO_ETHERNET	143

#define GL_OPT_PAD1		0x00
#define GL_OPT_PADN		0x01
#define GL_OPT_OBSERVED		0x1b
#define GL_OPT_UNDERSTOOD	0x1d
#define GL_OPT_TIMING		0x1c
#define GL_OPT_TIMING_LEN	12
#define GL_OPT_MIN_PATH_MTU	0x30
#define GL_OPT_MIN_PATH_MTU_LEN	4
#define GL_OPT_GROUP		0x58	/* these four: once in a header at most */
#define GL_OPT_REMCSUM		0x59
#define GL_OPT_SESSION		0x5a
#define GL_OPT_AUTH		0x5b
#define GL_OPT_SESSION_LEN	8
#define GL_OPT_AUTH_LEN		26
#define GL_OPT_AUTH_SEQUENCE	2	/* where it is in the data */
#define GL_OPT_AUTH_TAG		10
#define GL_OPT_AUTH_TAG_LEN	16
#define GL_OPT_MUTABLE		0x20	/* the way may change the data */
#define GL_OPT_ACTION_MASK	0xc0	/* 00: skip what you do not know */
#define GL_OPT_DATA_MAX		(GL_OPTIONS_MAX - 2)
#define GL_KNOWN_LEN		32	/* octets with a bit for each type */
#define GL_OPT_REPORT		0x80	/* else drop and send a report ... */
#define GL_OPT_REPORT_UNICAST	0xc0	/* ... of what was sent to one host */

/* struct gl_wire - a received header, taken apart */
struct gl_wire {
	__u8 format;	/* one of enum gutless_accept */
	__u8 proto;	/* of what follows */
	__u8 len;	/* octets from the first bit to what follows */
	bool check;	/* GUT-less: the Check word is in use */
	bool auth;	/* GUT-less: there is an option auth */
	bool remcsum;	/* a checksum is left to us, and these are valid: */
	__u16 start;	/* where its sum begins, in what follows */
	__u16 offset;	/* where it is */
	__u16 flags;	/* of GUE 0 */
	__u16 coverage;	/* octets of what follows in GUE's checksum */
	bool control;	/* GUT-less: a control message in good order */
	__u8 unknown;	/* type of the option for which a packet is dropped */
	__u8 unknown_at;	/* and where it is, from the first bit */
};

/* gl_wire_is_bare - does a packet of IP itself begin with @first? Its version does. */
static inline bool gl_wire_is_bare(__u8 first)
{
	/* 4 and 6 are one bit apart */
	return (first & 0xd0) == 0x40;
}

/*
 * gl_wire_format - which format a payload is in
 * @first: its first octet
 *
 * Return: one of enum gutless_accept, or 0 where no format begins like this.
 */
static inline __u8 gl_wire_format(__u8 first)
{
	switch (first >> 6) {
	case 0:
		return GUTLESS_ACCEPT_GUE0;
	case 1:
		return gl_wire_is_bare(first) ? GUTLESS_ACCEPT_BARE : 0;
	case 2:
		return GUTLESS_ACCEPT_GUTLESS;
	default:
		return 0;
	}
}

/*
 * gl_wire_is_plain - is this the shortest data header of GUE 0 or of GUT-less?
 * @p: four octets
 *
 * That is one without options, flags or Check.
 */
static inline bool gl_wire_is_plain(const __u8 *p)
{
	return !(p[0] & 0x7f) && !p[2] && !p[3];
}

/* gl_wire_no_data - are two octets not the beginning of a data header? */
static inline bool gl_wire_no_data(const __u8 *p)
{
	return p[0] >> 6 != 1 && (p[0] & GL_CONTROL || !p[1]);
}

/* gl_wire_len - octets of header that the first octet announces */
static inline __u8 gl_wire_len(__u8 format, __u8 first)
{
	if (format == GUTLESS_ACCEPT_BARE)
		return 0;
	return GL_BASE_LEN + 4 * (first & GL_HLEN_MASK);
}

/* gl_wire_bare_proto - inner protocol of a bare packet */
static inline __u8 gl_wire_bare_proto(__u8 first)
{
	return first >> 4 == 4 ? GL_PROTO_IPV4 : GL_PROTO_IPV6;
}

static inline void gl_wire_remcsum(const __u8 *p, struct gl_wire *w)
{
	w->remcsum = true;
	w->start = p[0] << 8 | p[1];
	w->offset = p[2] << 8 | p[3];
}

/* gl_wire_put - write a number of some octets, most significant first */
static inline void gl_wire_put(__u8 *p, __u64 value, unsigned int octets)
{
	while (octets--) {
		p[octets] = value & 0xff;
		value >>= 8;
	}
}

/* gl_wire_get - read a number of some octets, most significant first */
static inline __u64 gl_wire_get(const __u8 *p, unsigned int octets)
{
	__u64 value = 0;

	while (octets--)
		value = value << 8 | *p++;
	return value;
}

/* gl_wire_inner_min - octets of the smallest header of an inner protocol */
static inline __u8 gl_wire_inner_min(__u8 proto)
{
	switch (proto) {
	case 4:		/* IPv4 */
	case 6:		/* TCP */
		return 20;
	case 41:	/* IPv6 */
		return 40;
	case 143:	/* Ethernet */
		return 14;
	case 33:	/* DCCP */
	case 132:	/* SCTP */
		return 12;
	case 1:		/* ICMP */
	case 17:	/* UDP */
	case 50:	/* ESP */
	case 58:	/* ICMPv6 */
	case 136:	/* UDP-Lite */
		return 8;
	case 47:	/* GRE */
		return 4;
	default:
		return 0;
	}
}

/* gl_wire_inner_fits - the first inner octet names the version it should */
static inline bool gl_wire_inner_fits(__u8 proto, __u8 first)
{
	switch (proto) {
	case GL_PROTO_IPV4:
		return first >> 4 == 4;
	case GL_PROTO_IPV6:
		return first >> 4 == 6;
	default:
		return true;
	}
}

/* gl_wire_build - write the base header of a data packet without options */
static inline void gl_wire_build(__u8 *p, __u8 bits, __u8 proto)
{
	p[0] = bits;
	p[1] = proto;
	p[2] = 0;
	p[3] = 0;
}

#endif /* _GUTLESS_WIRE_BASE_H */
