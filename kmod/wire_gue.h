/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gutless: the fields of GUE variant 0 on the wire (docs/protocol.md)
 *
 * As wire.h: for programs of user space too.
 */
#ifndef _GUTLESS_WIRE_GUE_H
#define _GUTLESS_WIRE_GUE_H

#include "wire_base.h"
#ifdef __KERNEL__
#include <crypto/algapi.h>
#else
/* the kernel's takes as long, whatever differs */
#define crypto_memneq memcmp
#endif

#define GL_GUE_GROUP		0x8000	/* the draft's flag G, */
#define GL_GUE_SECURITY		0x7000	/* SEC: three bits for a size, */
#define GL_GUE_HMAC		0x4000	/* and from here on no cookie's; */
#define GL_GUE_REMCSUM		0x0200	/* R, */
#define GL_GUE_CSUM		0x0100	/* and K */
#define GL_GUE_JUDGED		(GL_GUE_GROUP | GL_GUE_SECURITY | GL_GUE_CSUM)
#define GL_GUE_PRIVATE		0x0001	/* Linux's private flags follow */
#define GL_GUE_PRIVATE_REMCSUM	0x80	/* in the first octet of those */
#define GL_GUE_COOKIE_MAX	32
#define GL_GUE_TYPE_EXPERIMENT	255	/* control: a number of 4 octets follows */

/* struct gl_gue - fields of GUE 0 that are sent, or that are required */
struct gl_gue {
	__u16 flags;	/* that ask for them */
	__u8 len;	/* their octets */
	__u8 group[4];
	__u8 cookie[GL_GUE_COOKIE_MAX];
};

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

/* gl_gue_cookie_len - octets of the cookie that flags announce, or 0 */
static inline __u8 gl_gue_cookie_len(__u16 flags)
{
	return flags & GL_GUE_SECURITY && !(flags & GL_GUE_HMAC) ?
		4 << ((flags & GL_GUE_SECURITY) >> 12) : 0;
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
	w->flags = flags;
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
	if (flags & ~(GL_GUE_GROUP | GL_GUE_SECURITY | GL_GUE_REMCSUM |
		      GL_GUE_CSUM | GL_GUE_PRIVATE) || flags & GL_GUE_HMAC)
		return GUTLESS_A_RX_DROP_FLAGS;
	/* those with a larger bit stand first */
	p += (flags & GL_GUE_GROUP ? 4 : 0) + gl_gue_cookie_len(flags);
	if (flags & GL_GUE_REMCSUM) {
		if (w->remcsum)
			return GUTLESS_A_RX_DROP_FLAGS;
		gl_wire_remcsum(p, w);
		p += 4;
	}
	if (flags & GL_GUE_CSUM)
		w->coverage = p[2] << 8 | p[3];
	return 0;
}

/*
 * gl_wire_gue_judge - are the fields of GUE those that a port requires?
 * @p: the header, of any format
 * @w: what gl_wire_parse() said of it
 * @want: the fields
 * @summed: the checksum, if there is one, is right
 *
 * A group or a cookie that nobody asked for is not supported: who sends one means
 * to be told apart by it.
 *
 * Return: 0, or the attribute that counts the reason to drop.
 */
static inline int gl_wire_gue_judge(const __u8 *p, const struct gl_wire *w,
				    const struct gl_gue *want, bool summed)
{
	const __u16 has = w->flags;

	if ((has & GL_GUE_GROUP && !(want->flags & GL_GUE_GROUP)) ||
	    (has & GL_GUE_SECURITY && !(want->flags & GL_GUE_SECURITY)))
		return GUTLESS_A_RX_DROP_FLAGS;
	if (!summed || want->flags & ~has & GL_GUE_CSUM)
		return GUTLESS_A_RX_DROP_GUE_CSUM;
	p += GL_BASE_LEN + (has & GL_GUE_GROUP ? 4 : 0);
	if ((has ^ want->flags) & GL_GUE_SECURITY ||
	    crypto_memneq(p, want->cookie, gl_gue_cookie_len(has)))
		return GUTLESS_A_RX_DROP_GUE_COOKIE;
	if (want->flags & GL_GUE_GROUP &&
	    (!(has & GL_GUE_GROUP) || memcmp(p - 4, want->group, 4)))
		return GUTLESS_A_RX_DROP_GUE_GROUP;
	return 0;
}

/*
 * gl_wire_build_gue - write a header of GUE with fields
 * @p: GL_BASE_LEN octets, those of the fields, and 4 for each word
 * @gue: the fields
 * @words: of a checksum left to the receiver: 0 for none, 1 for the draft's
 *	flag R, 2 for Linux's private one
 * @start: where its sum begins, from the end of this header
 * @offset: where it is
 *
 * Return: where in it GUE's own checksum is to stand, which covers none of what
 * follows; 0 for none.
 */
static inline unsigned int
gl_wire_build_gue(__u8 *p, const struct gl_gue *gue, __u8 words, __u8 proto,
		  __u16 start, __u16 offset)
{
	unsigned int cookie = gl_gue_cookie_len(gue->flags);
	unsigned int at = GL_BASE_LEN, csum = 0;
	__u16 flags = gue->flags;

	if (words)
		flags |= words == 1 ? GL_GUE_REMCSUM : GL_GUE_PRIVATE;
	gl_wire_build(p, GL_BITS_GUE0 | (gue->len / 4 + words), proto);
	gl_wire_put(p + 2, flags, 2);
	if (flags & GL_GUE_GROUP) {
		memcpy(p + at, gue->group, 4);
		at += 4;
	}
	memcpy(p + at, gue->cookie, cookie);
	at += cookie;
	if (flags & GL_GUE_REMCSUM) {
		gl_wire_put(p + at, (__u32)start << 16 | offset, 4);
		at += 4;
	}
	if (flags & GL_GUE_CSUM) {
		csum = at;
		gl_wire_put(p + at, 0, 4);
		at += 4;
	}
	if (flags & GL_GUE_PRIVATE) {
		p[at] = GL_GUE_PRIVATE_REMCSUM;
		gl_wire_put(p + at + 1, 0, 3);
		gl_wire_put(p + at + 4, (__u32)start << 16 | offset, 4);
	}
	return csum;
}

#endif /* _GUTLESS_WIRE_GUE_H */
