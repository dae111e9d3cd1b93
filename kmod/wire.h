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

#include "wire_gue.h"

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
			w->auth |= type == GL_OPT_AUTH;
		}
		if (type == GL_OPT_REMCSUM) {
			gl_wire_remcsum(opt + at + 2, w);
			if ((w->start | w->offset) & 1)
				return GUTLESS_A_RX_DROP_REMCSUM;
		} else if (type != GL_OPT_PADN && type & GL_OPT_ACTION_MASK &&
			   known && !(known[type / 8] >> type % 8 & 1)) {
			w->unknown = type;
			w->unknown_at = GL_BASE_LEN + at;
			return GUTLESS_A_RX_DROP_OPTIONS;
		}
		at += 2 + opt[at + 1];
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
 * Return: 0, or the attribute that counts the reason to drop. A control message
 * is no data: GUTLESS_A_RX_DROP_CONTROL, and w->control where it can be acted on.
 */
static inline int gl_wire_parse(const __u8 *p, unsigned int len, __u8 format,
				const __u8 *known, struct gl_wire *w)
{
	int reason = 0;
	__u16 word;

	*w = (struct gl_wire) {
		.format = format,
		.len = gl_wire_len(format, p[0]),
	};
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
		w->check = word;
		reason = gl_wire_options(p + GL_BASE_LEN, w->len - GL_BASE_LEN,
					 known, w);
		/* a checksum still to be made says nothing of the sum */
		if (!reason && w->remcsum && (w->check || p[0] & GL_CONTROL))
			reason = GUTLESS_A_RX_DROP_OPTIONS;
		if (p[0] & GL_CONTROL) {
			/* nothing is reported of a control message */
			w->unknown = 0;
			w->control = !reason;
			return reason ?: GUTLESS_A_RX_DROP_CONTROL;
		}
	}
	if (reason)
		return reason;
	if (!w->proto)
		return GUTLESS_A_RX_DROP_PROTOCOL_ZERO;
	if (w->remcsum && (w->start > w->offset || w->offset + 2U > len))
		return GUTLESS_A_RX_DROP_REMCSUM;
	return 0;
}

/* Octets that a tag is of, in front of what follows the header */
#define GL_AUTH_HEAD(len)	(1 + GL_OPT_SESSION_LEN + (len))

/*
 * gl_wire_auth - what the tag of option auth is of, but for what follows the header
 * @p: a header of GUT-less whose options are in order
 * @len: octets of it
 * @direction: of the key
 * @to: filled in with GL_AUTH_HEAD(@len) octets
 *
 * What the way may change is taken as zero: Check, and data of mutable options.
 *
 * Return: where in the header the option's data is; 0: there is no option auth.
 */
static inline unsigned int gl_wire_auth(const __u8 *p, unsigned int len,
					__u8 direction, __u8 *to)
{
	const __u8 *opt = p + GL_BASE_LEN;
	__u8 *head = to + GL_AUTH_HEAD(0);
	unsigned int at, data, found = 0;

	__builtin_memset(to, 0, GL_AUTH_HEAD(0));
	to[0] = direction;
	__builtin_memcpy(head, p, len);
	head[2] = 0;
	head[3] = 0;
	for (at = 0; gl_wire_next_option(opt, len - GL_BASE_LEN, &at);
	     at += 2 + opt[at + 1]) {
		data = GL_BASE_LEN + at + 2;
		if (opt[at] == GL_OPT_AUTH && opt[at + 1] == GL_OPT_AUTH_LEN) {
			found = data;
			__builtin_memset(head + data + GL_OPT_AUTH_TAG, 0,
					 GL_OPT_AUTH_TAG_LEN);
		} else if (opt[at] == GL_OPT_SESSION &&
			   opt[at + 1] == GL_OPT_SESSION_LEN) {
			__builtin_memcpy(to + 1, p + data, GL_OPT_SESSION_LEN);
		} else if (opt[at] & GL_OPT_MUTABLE) {
			__builtin_memset(head + data, 0, opt[at + 1]);
		}
	}
	return found;
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
