/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gutless: the formats on the wire (docs/protocol.md)
 *
 * No kernel dependency beyond the types: the same lines are compiled into
 * programs of user space that compare them with gutctl/encap.py and fuzz them.
 * Every function states how many octets it reads; the caller has them.
 */
#ifndef _GUTLESS_WIRE_H
#define _GUTLESS_WIRE_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <uapi/linux/gutless.h>
#else
#include <linux/gutless.h>
#include <stdbool.h>
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

#define GL_GUE_REMCSUM		0x0200	/* the draft's flag R */
#define GL_GUE_PRIVATE		0x0001	/* Linux's private flags follow */
#define GL_GUE_PRIVATE_REMCSUM	0x80	/* in the first octet of those */
#define GL_GUE_TYPE_EXPERIMENT	255	/* control: a number of 4 octets follows */

#define GL_OPT_PAD1		0x00
#define GL_OPT_PADN		0x01
#define GL_OPT_TIMING		0x1c
#define GL_OPT_TIMING_LEN	12
#define GL_OPT_MIN_PATH_MTU	0x30
#define GL_OPT_MIN_PATH_MTU_LEN	4
#define GL_OPT_GROUP		0x58	/* these four: once in a header at most */
#define GL_OPT_REMCSUM		0x59
#define GL_OPT_SESSION		0x5a
#define GL_OPT_AUTH		0x5b
#define GL_OPT_ACTION_MASK	0xc0	/* 00: skip what you do not know */
#define GL_OPT_DATA_MAX		(GL_OPTIONS_MAX - 2)
#define GL_KNOWN_LEN		32	/* octets with a bit for each type */

/* struct gl_wire - a received header, taken apart */
struct gl_wire {
	__u8 format;	/* one of enum gutless_accept */
	__u8 proto;	/* of what follows */
	__u8 len;	/* octets from the first bit to what follows */
	bool check;	/* GUT-less: the Check word is in use */
	bool remcsum;	/* a checksum is left to us, and these are valid: */
	__u16 start;	/* where its sum begins, in what follows */
	__u16 offset;	/* where it is */
};

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
		/* a bare packet tells its version in four bits */
		return first >> 4 == 4 || first >> 4 == 6 ?
			GUTLESS_ACCEPT_BARE : 0;
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

/*
 * gl_gue_fields_len - octets that the flags of GUE variant 0 ask for
 * @flags: host order
 *
 * Return: -1 where a flag, or a value of the security field, is undefined.
 */
static inline int gl_gue_fields_len(__u16 flags)
{
	/* security cookies and HMAC, by the value of their three bits */
	static const __s8 sec[8] = { 0, 8, 16, 32, 40, -1, -1, -1 };
	int len = sec[(flags >> 12) & 7];

	if (len < 0 || flags & 0x001e)
		return -1;
	if (flags & 0x8000)	/* group */
		len += 4;
	if (flags & 0x0800)	/* fragmentation */
		len += 8;
	if (flags & 0x0400)	/* transform */
		len += 4;
	if (flags & 0x0200)	/* remote checksum */
		len += 4;
	if (flags & 0x0100)	/* checksum */
		len += 4;
	if (flags & 0x0080)	/* NAT */
		len += 4;
	if (flags & 0x0040)	/* alternate checksum */
		len += 8;
	if (flags & 0x0020)	/* magic number */
		len += 8;
	if (flags & 0x0001)	/* Linux's private flags */
		len += 4;
	return len;
}

static inline void gl_wire_remcsum(const __u8 *p, struct gl_wire *w)
{
	w->remcsum = true;
	w->start = p[0] << 8 | p[1];
	w->offset = p[2] << 8 | p[3];
}

/*
 * gl_wire_singleton_len - octets of data of an option that stands in a header
 * once at most
 *
 * Return: -1 for a type that may stand there again and be of any length.
 */
static inline int gl_wire_singleton_len(__u8 type)
{
	static const __u8 len[] = { 4, 4, 8, 26 };

	if (type < GL_OPT_GROUP || type > GL_OPT_AUTH)
		return -1;
	return len[type - GL_OPT_GROUP];
}

/*
 * gl_wire_next_option - find an option that is not padding
 * @opt: an area of options
 * @len: its octets
 * @at: where to begin, and then where the option is
 *
 * Return: false where there is none any more, or it overruns the area.
 */
static inline bool gl_wire_next_option(const __u8 *opt, unsigned int len,
				       unsigned int *at)
{
	while (*at < len) {
		if (opt[*at] == GL_OPT_PAD1) {
			(*at)++;
			continue;
		}
		if (len - *at < 2 || len - *at - 2 < opt[*at + 1])
			return false;
		if (opt[*at] != GL_OPT_PADN)
			return true;
		*at += 2 + opt[*at + 1];
	}
	return false;
}

/*
 * gl_wire_options - walk the options of a GUT-less header
 * @opt: them
 * @len: their octets, all of which it may read
 * @known: GL_KNOWN_LEN octets, a bit for each type whose action bits do not
 *	count; NULL: all types
 * @w: told of those that are acted on
 *
 * Return: 0, or the attribute that counts the reason to drop.
 */
static inline int gl_wire_options(const __u8 *opt, unsigned int len,
				  const __u8 *known, struct gl_wire *w)
{
	unsigned int at = 0, seen = 0;
	int once;
	__u8 type;

	while (at < len) {
		type = opt[at];
		if (type == GL_OPT_PAD1) {
			at++;
			continue;
		}
		if (len - at < 2 || len - at - 2 < opt[at + 1])
			return GUTLESS_A_RX_DROP_OPTIONS;
		once = gl_wire_singleton_len(type);
		if (once >= 0) {
			if (seen & 1U << (type - GL_OPT_GROUP) ||
			    opt[at + 1] != once)
				return GUTLESS_A_RX_DROP_OPTIONS;
			seen |= 1U << (type - GL_OPT_GROUP);
		}
		if (type == GL_OPT_REMCSUM) {
			gl_wire_remcsum(opt + at + 2, w);
			if ((w->start | w->offset) & 1)
				return GUTLESS_A_RX_DROP_REMCSUM;
		} else if (type != GL_OPT_PADN && type & GL_OPT_ACTION_MASK &&
			   known && !(known[type / 8] >> type % 8 & 1)) {
			return GUTLESS_A_RX_DROP_OPTIONS;
		}
		at += 2 + opt[at + 1];
	}
	return 0;
}

/*
 * The extension fields of GUE variant 0, of which w->len has room for some.
 * All that the flags ask for must be there before any is looked at. What is
 * behind them is surplus and means nothing.
 */
static inline int gl_wire_gue_fields(const __u8 *p, __u16 flags,
				     struct gl_wire *w)
{
	const int room = w->len - GL_BASE_LEN;
	int len = gl_gue_fields_len(flags);

	if (len < 0)
		return GUTLESS_A_RX_DROP_FLAGS;
	if (len > room)
		return GUTLESS_A_RX_DROP_LENGTH;
	p += GL_BASE_LEN;
	if (flags & GL_GUE_PRIVATE) {
		const __u8 *private = p + len - 4;

		if (private[0] & ~GL_GUE_PRIVATE_REMCSUM ||
		    private[1] || private[2] || private[3])
			return GUTLESS_A_RX_DROP_FLAGS;
		if (private[0]) {
			if (len + 4 > room)
				return GUTLESS_A_RX_DROP_LENGTH;
			gl_wire_remcsum(private + 4, w);
		}
	}
	if (flags & ~(GL_GUE_REMCSUM | GL_GUE_PRIVATE))
		return GUTLESS_A_RX_DROP_FLAGS;
	if (flags & GL_GUE_REMCSUM) {
		if (w->remcsum)
			return GUTLESS_A_RX_DROP_FLAGS;
		gl_wire_remcsum(p, w);
	}
	return 0;
}

/*
 * gl_wire_parse - take a header apart
 * @p: the payload of UDP
 * @len: all of its octets, of which those behind the header are not read
 * @format: what gl_wire_format() said of it
 * @known: types of options, as for gl_wire_options()
 * @w: filled in on success
 *
 * Reads gl_wire_len() octets, the first one where that is 0; @len is not less.
 *
 * Return: 0, or the attribute that counts the reason to drop.
 */
static inline int gl_wire_parse(const __u8 *p, unsigned int len, __u8 format,
				const __u8 *known, struct gl_wire *w)
{
	int reason = 0;
	__u16 word;

	w->format = format;
	w->len = gl_wire_len(format, p[0]);
	w->check = false;
	w->remcsum = false;
	if (format == GUTLESS_ACCEPT_BARE) {
		w->proto = gl_wire_bare_proto(p[0]);
		return 0;
	}
	w->proto = p[1];
	word = p[2] << 8 | p[3];
	len -= w->len;

	if (format == GUTLESS_ACCEPT_GUE0) {
		/* word: flags */
		if (word)
			reason = gl_wire_gue_fields(p, word, w);
		if (!reason && p[0] & GL_CONTROL)
			return w->proto == GL_GUE_TYPE_EXPERIMENT && len < 4 ?
				GUTLESS_A_RX_DROP_TRUNCATED :
				GUTLESS_A_RX_DROP_CONTROL;
	} else {
		/* word: Check */
		if (p[0] & GL_CONTROL)
			return GUTLESS_A_RX_DROP_CONTROL;
		w->check = word;
		reason = gl_wire_options(p + GL_BASE_LEN, w->len - GL_BASE_LEN,
					 known, w);
		/* a checksum still to be made says nothing of the sum */
		if (!reason && w->check && w->remcsum)
			reason = GUTLESS_A_RX_DROP_OPTIONS;
	}
	if (reason)
		return reason;
	if (!w->proto)
		return GUTLESS_A_RX_DROP_PROTOCOL_ZERO;
	if (w->remcsum && (w->start > w->offset || w->offset + 2U > len))
		return GUTLESS_A_RX_DROP_REMCSUM;
	return 0;
}

/* gl_wire_put - write a number of some octets, most significant first */
static inline void gl_wire_put(__u8 *p, __u64 value, unsigned int octets)
{
	while (octets--) {
		p[octets] = value & 0xff;
		value >>= 8;
	}
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

/*
 * gl_wire_build_remcsum - write a header that leaves a checksum to the receiver
 * @p: GL_BASE_LEN octets and 4 for each word
 * @bits: of the format
 * @words: 1 for the draft's flag R of GUE, 2 for the others
 * @start: where its sum begins, from the end of this header
 * @offset: where it is
 */
static inline void gl_wire_build_remcsum(__u8 *p, __u8 bits, __u8 words,
					 __u8 proto, __u16 start, __u16 offset)
{
	gl_wire_build(p, bits | words, proto);
	if (bits == GL_BITS_GUTLESS) {
		p[4] = GL_OPT_REMCSUM;
		p[5] = 4;
		p[10] = GL_OPT_PADN;
		p[11] = 0;
		p += 6;
	} else if (words == 1) {
		p[2] = GL_GUE_REMCSUM >> 8;
		p += 4;
	} else {
		p[3] = GL_GUE_PRIVATE;
		p[4] = GL_GUE_PRIVATE_REMCSUM;
		p[5] = 0;
		p[6] = 0;
		p[7] = 0;
		p += 8;
	}
	p[0] = start >> 8;
	p[1] = start & 0xff;
	p[2] = offset >> 8;
	p[3] = offset & 0xff;
}

#endif /* _GUTLESS_WIRE_H */
