/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gutless: control messages of GUT-less on the wire (docs/protocol.md, section 8)
 *
 * As wire.h, these lines are compiled into programs of user space, too.
 */
#ifndef _GUTLESS_WIRE_CONTROL_H
#define _GUTLESS_WIRE_CONTROL_H

#include "wire.h"

/* Types of control messages of GUT-less */
#define GL_CONTROL_ECHO_REQUEST	1
#define GL_CONTROL_ECHO_REPLY	2
#define GL_CONTROL_REPORT	3

#define GL_CONTROL_BODY_MIN	4	/* of those three */
#define GL_REPORT_UNKNOWN	1	/* code: an option that is not known */
#define GL_REPORT_QUOTE_MAX	64

/* struct gl_seen - what the reply to an echo request tells of it */
struct gl_seen {
	__u8 version;	/* of IP: 4 or 6 */
	__u8 port[2];	/* it came from, as on the wire */
	__u8 addr[16];	/* IPv4: the first four */
	__u8 understood[32];	/* types acted on, a bit each, 0x00 the highest */
};

/*
 * gl_wire_control - what becomes of a control message of GUT-less
 * @type: of it
 * @len: octets of its body
 *
 * Return: the attribute that counts it; where nobody acts on it,
 * GUTLESS_A_RX_DROP_CONTROL.
 */
static inline int gl_wire_control(__u8 type, unsigned int len)
{
	if (len < GL_CONTROL_BODY_MIN)
		return GUTLESS_A_RX_DROP_CONTROL;
	switch (type) {
	case GL_CONTROL_ECHO_REQUEST:
		return GUTLESS_A_RX_ECHO_REQUESTS;
	case GL_CONTROL_ECHO_REPLY:
		return GUTLESS_A_RX_ECHO_REPLIES;
	case GL_CONTROL_REPORT:
		return len <= GL_CONTROL_BODY_MIN + GL_REPORT_QUOTE_MAX ?
			GUTLESS_A_RX_REPORTS : GUTLESS_A_RX_DROP_CONTROL;
	default:
		return GUTLESS_A_RX_DROP_CONTROL;
	}
}

/*
 * gl_wire_build_report - write a report without its quote
 * @p: GL_BASE_LEN + GL_CONTROL_BODY_MIN octets
 * @pointer: where the option is that is not known
 */
static inline void gl_wire_build_report(__u8 *p, __u8 pointer)
{
	gl_wire_build(p, GL_BITS_GUTLESS | GL_CONTROL, GL_CONTROL_REPORT);
	p[4] = GL_REPORT_UNKNOWN;
	p[5] = pointer;
	p[6] = 0;
	p[7] = 0;
}

/* Room that an option leaves, from its type on, becomes padding. */
static inline void gl_wire_pad(__u8 *opt, unsigned int len)
{
	__builtin_memset(opt, 0, len);
	if (len >= 2) {
		opt[0] = GL_OPT_PADN;
		opt[1] = len - 2;
	}
}

/* Return: false where the option's data has no room for it. */
static inline bool gl_wire_observed(__u8 *opt, const struct gl_seen *seen)
{
	unsigned int size = seen->version == 4 ? 4 : 16;
	unsigned int room = opt[1];

	if (room < 3 + size)
		return false;
	opt[1] = 3 + size;
	opt[2] = seen->version;
	__builtin_memcpy(opt + 3, seen->port, 2);
	__builtin_memcpy(opt + 5, seen->addr, size);
	gl_wire_pad(opt + 5 + size, room - 3 - size);
	return true;
}

/*
 * gl_wire_answer - make an echo request's header that of its reply
 * @p: the header
 * @len: octets of it; gl_wire_parse() has taken it
 * @seen: what there is to tell
 *
 * An option that has room for an answer gets it, all others become padding: the
 * reply is as long as the request. Check is left to the caller.
 */
static inline void gl_wire_answer(__u8 *p, unsigned int len,
				  const struct gl_seen *seen)
{
	unsigned int at = GL_BASE_LEN;

	p[1] = GL_CONTROL_ECHO_REPLY;
	p[2] = 0;
	p[3] = 0;
	while (at < len) {
		__u8 *opt = p + at;
		unsigned int octets;

		if (opt[0] == GL_OPT_PAD1) {
			at++;
			continue;
		}
		octets = 2 + opt[1];
		if (opt[0] == GL_OPT_UNDERSTOOD &&
		    opt[1] == sizeof(seen->understood))
			__builtin_memcpy(opt + 2, seen->understood,
					 sizeof(seen->understood));
		else if (opt[0] != GL_OPT_OBSERVED ||
			 !gl_wire_observed(opt, seen))
			gl_wire_pad(opt, octets);
		at += octets;
	}
}

#endif /* _GUTLESS_WIRE_CONTROL_H */
