/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gutless: what a node on the path does to a GUT-less header (docs/protocol.md)
 *
 * It reads the encoding of options, changes the data of one type, and judges
 * nothing else: whether the packet is right is its receiver's business. As
 * wire.h, these lines are compiled into programs of user space, too.
 */
#ifndef _GUTLESS_ONPATH_H
#define _GUTLESS_ONPATH_H

#include "wire.h"

static inline __u32 gl_onpath_number(const __u8 *p)
{
	return p[0] << 8 | p[1];
}

/*
 * gl_onpath_judge - what has to be done to a GUT-less packet
 * @p: the payload of UDP, which begins with bits 10
 * @len: all of its octets, of which those behind the header are not read
 * @mtu: of the way it takes from here, octets
 *
 * Return: the attribute that counts it; GUTLESS_A_ONPATH_LOWERED where there is
 * something to do.
 */
static inline int gl_onpath_judge(const __u8 *p, unsigned int len, __u32 mtu)
{
	int verdict = GUTLESS_A_ONPATH_LEFT_NO_OPTION;
	unsigned int at = GL_BASE_LEN, end;

	end = gl_wire_len(GUTLESS_ACCEPT_GUTLESS, p[0]);
	if (len < end)
		return GUTLESS_A_ONPATH_LEFT_MALFORMED;
	if (!gl_onpath_number(p + 2))
		return GUTLESS_A_ONPATH_LEFT_NO_CHECK;

	while (at < end) {
		if (p[at] == GL_OPT_PAD1) {
			at++;
			continue;
		}
		if (end - at < 2 || end - at - 2 < p[at + 1])
			return GUTLESS_A_ONPATH_LEFT_MALFORMED;
		if (p[at] == GL_OPT_MIN_PATH_MTU) {
			if (p[at + 1] != GL_OPT_MIN_PATH_MTU_LEN)
				return GUTLESS_A_ONPATH_LEFT_MALFORMED;
			if (gl_onpath_number(p + at + 2) > mtu)
				verdict = GUTLESS_A_ONPATH_LOWERED;
			else if (verdict != GUTLESS_A_ONPATH_LOWERED)
				verdict = GUTLESS_A_ONPATH_LEFT_ENOUGH;
		}
		at += 2 + p[at + 1];
	}
	return verdict;
}

/* What a number counts in the sum of a payload, where it stands at @at */
static inline __u32 gl_onpath_word(__u32 n, unsigned int at)
{
	return at & 1 ? (n & 0xff) << 8 | n >> 8 : n;
}

/*
 * gl_onpath_lower - lower what is more than the MTU, and mend Check with it
 * @p: a payload of which gl_onpath_judge() said that there is something to do
 * @mtu: as it was told; there it was less than a number of 16 bits
 *
 * The sum of the payload stays what it was, right or wrong, and the UDP checksum
 * with it. A Check that is not 0 does not become 0: the one's complement sum of
 * numbers that are not all 0 is none.
 */
static inline void gl_onpath_lower(__u8 *p, __u32 mtu)
{
	unsigned int end = gl_wire_len(GUTLESS_ACCEPT_GUTLESS, p[0]);
	__u32 check = gl_onpath_number(p + 2);
	unsigned int at = GL_BASE_LEN, value;

	while (at < end) {
		if (p[at] == GL_OPT_PAD1) {
			at++;
			continue;
		}
		value = at + 2;
		if (p[at] == GL_OPT_MIN_PATH_MTU &&
		    gl_onpath_number(p + value) > mtu) {
			/* minus the new one: plus its complement */
			check += gl_onpath_word(gl_onpath_number(p + value),
						value);
			check += gl_onpath_word(~mtu & 0xffff, value);
			p[value] = mtu >> 8;
			p[value + 1] = mtu & 0xff;
		}
		at += 2 + p[at + 1];
	}
	check = (check & 0xffff) + (check >> 16);
	check = (check & 0xffff) + (check >> 16);
	p[2] = check >> 8;
	p[3] = check & 0xff;
}

#endif /* _GUTLESS_ONPATH_H */
