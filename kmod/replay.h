/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gutless: which packets of a key came already (docs/protocol.md, section 7.4)
 *
 * Sequence numbers are times, so between two of them is any number of others: what
 * is remembered is the numbers themselves, as many as the highest of them there
 * is room for. Below those nobody can tell, and nothing passes. As wire.h, these lines
 * are compiled into programs of user space, too.
 */
#ifndef _GUTLESS_REPLAY_H
#define _GUTLESS_REPLAY_H

#include "wire.h"

#define GL_REPLAY_WINDOW	1024	/* a power of two */

/* A receiver that remembers too little takes what its clock says is new: ns */
#define GL_REPLAY_SKEW		300000000000ULL

/* struct gl_replay - numbers that came; all zero: none */
struct gl_replay {
	__u32 n;
	__u32 last;	/* where the highest is */
	__u64 at[GL_REPLAY_WINDOW];	/* a ring, rising towards it */
};

/* The one that @i others are higher than */
static inline __u64 *gl_replay_nth(struct gl_replay *r, __u32 i)
{
	return &r->at[(r->last - i) & (GL_REPLAY_WINDOW - 1)];
}

/*
 * gl_replay_test - may a packet pass?
 * @r: what came
 * @sequence: its number
 * @now: CLOCK_REALTIME, ns
 *
 * Return: 0, or the attribute that counts the reason to drop.
 */
static inline int gl_replay_test(struct gl_replay *r, __u64 sequence, __u64 now)
{
	__u32 low = 0, high = r->n;

	while (low < high) {
		__u32 mid = (low + high) / 2;

		if (*gl_replay_nth(r, mid) > sequence)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < r->n)
		return *gl_replay_nth(r, low) == sequence ?
			GUTLESS_A_RX_DROP_AUTH_REPLAY : 0;
	if (r->n == GL_REPLAY_WINDOW)
		return GUTLESS_A_RX_DROP_AUTH_REPLAY;
	/* below all that came since we listen: only the clock can tell */
	if ((sequence > now ? sequence - now : now - sequence) > GL_REPLAY_SKEW)
		return GUTLESS_A_RX_DROP_AUTH_TIME;
	return 0;
}

/* gl_replay_add - remember a number, for which gl_replay_test() was 0 */
static inline void gl_replay_add(struct gl_replay *r, __u64 sequence)
{
	__u32 i;

	/* the next place is free, or the lowest one's */
	r->last = (r->last + 1) & (GL_REPLAY_WINDOW - 1);
	if (r->n < GL_REPLAY_WINDOW)
		r->n++;
	for (i = 0; i + 1 < r->n; i++) {
		if (*gl_replay_nth(r, i + 1) <= sequence)
			break;
		*gl_replay_nth(r, i) = *gl_replay_nth(r, i + 1);
	}
	*gl_replay_nth(r, i) = sequence;
}

#endif /* _GUTLESS_REPLAY_H */
