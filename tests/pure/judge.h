/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of the module's rx.c around wire.h, for programs of user space: what a port says to a
 * payload of UDP. docs/protocol.md section 9, steps 3 to 13.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include <stdlib.h>
#include <string.h>
#include "wire_control.h"

/* A port, and whether the datagram had a UDP checksum. */
struct judge_port {
	unsigned char accept;
	unsigned char fou;		/* the protocol, where it accepts FOU */
	unsigned char summed;
	unsigned char inner[32];	/* accepted inner protocols, a bit each */
	unsigned char known[GL_KNOWN_LEN];	/* types of options there are rules for */
	unsigned char ends[2];		/* the sum of addresses and ports; 0: GUE's checksum is right */
	unsigned char gue_flags[2];	/* fields of GUE that it requires, */
	unsigned char gue_group[4];	/* and what is in them */
	unsigned char gue_cookie[GL_GUE_COOKIE_MAX];
};

/* Is the one's complement sum minus zero? An octet at a time; the kernel's own is not to be had here. */
static inline int judge_sum(const unsigned char *p, unsigned int len, unsigned long sum)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* The fields of GUE, as gue.c has it. */
static inline int judge_gue(const unsigned char *p, unsigned int len, const struct judge_port *port,
			    const struct gl_wire *w)
{
	unsigned int ends = port->ends[0] << 8 | port->ends[1];
	struct gl_gue want = { .flags = port->gue_flags[0] << 8 | port->gue_flags[1] };
	bool summed = true;

	memcpy(want.group, port->gue_group, sizeof(want.group));
	memcpy(want.cookie, port->gue_cookie, sizeof(want.cookie));
	if (!(w->flags | want.flags))
		return 0;
	if (w->flags & GL_GUE_CSUM) {
		summed = w->coverage <= len - w->len;
		if (summed && ends)
			summed = judge_sum(p, w->len + w->coverage, ends);
	}
	return gl_wire_gue_judge(p, w, &want, summed);
}

/*
 * The kernel has pulled the header's octets and no more. So has the parser here: memory of exactly that
 * size, in which the sanitizer sees every step beyond.
 */
static inline int judge_parse(const unsigned char *p, unsigned int len, __u8 format, const __u8 *known,
			      struct gl_wire *w)
{
	unsigned int size = gl_wire_len(format, p[0]);
	unsigned char *pulled;
	int reason;

	if (!size)
		size = 1;
	pulled = malloc(size);
	if (!pulled)
		abort();
	memcpy(pulled, p, size);
	reason = gl_wire_parse(pulled, len, format, known, w);
	free(pulled);
	return reason;
}

/*
 * Return: 0 and w is filled in, or the attribute that counts the reason to drop; of a control message that is acted
 * on, the one that counts it.
 */
static inline int judge(const unsigned char *p, unsigned int len, const struct judge_port *port,
			struct gl_wire *w)
{
	unsigned int min;
	__u8 format;
	int reason;

	memset(w, 0, sizeof(*w));
	if (port->accept & GUTLESS_ACCEPT_FOU) {
		w->format = GUTLESS_ACCEPT_FOU;
		w->proto = port->fou;
	} else {
		if (!len)
			return GUTLESS_A_RX_DROP_TRUNCATED;
		format = gl_wire_format(p[0]);
		if (!format)
			return GUTLESS_A_RX_DROP_VARIANT;
		if (!(port->accept & format))
			return GUTLESS_A_RX_DROP_FORMAT;
		if (len < gl_wire_len(format, p[0]))
			return GUTLESS_A_RX_DROP_TRUNCATED;
		reason = judge_parse(p, len, format, port->known, w);
		if (reason && !w->control)
			return reason;
		if (w->check && !port->summed && !judge_sum(p, len, 0))
			return GUTLESS_A_RX_DROP_CHECK;
		reason = judge_gue(p, len, port, w);
		if (reason)
			return reason;
		if (w->control)
			return gl_wire_control(w->proto, len - w->len);
	}
	if (!(port->inner[w->proto / 8] >> w->proto % 8 & 1))
		return GUTLESS_A_RX_DROP_PROTOCOL;
	min = gl_wire_inner_min(w->proto);
	if (len - w->len < min)
		return GUTLESS_A_RX_DROP_INNER;
	if (min && !gl_wire_inner_fits(w->proto, p[w->len]))
		return GUTLESS_A_RX_DROP_INNER;
	return 0;
}

#endif
