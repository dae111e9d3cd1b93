/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of the module's rx.c around wire.h, for programs of user space: what a port says to a
 * payload of UDP. docs/protocol.md section 9, steps 3 to 13.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include <stdlib.h>
#include <string.h>
#include "wire.h"

/* A port, and whether the datagram had a UDP checksum. */
struct judge_port {
	unsigned char accept;
	unsigned char fou;		/* the protocol, where it accepts FOU */
	unsigned char summed;
	unsigned char inner[32];	/* accepted inner protocols, a bit each */
	unsigned char known[GL_KNOWN_LEN];	/* types of options there are rules for */
};

/* One's complement sum, an octet at a time; the kernel's own is not to be had here. */
static inline int judge_neutral(const unsigned char *p, unsigned int len)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < len; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
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

/* Return: 0 and w is filled in, or the attribute that counts the reason to drop. */
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
		if (reason)
			return reason;
		if (w->check && !port->summed && !judge_neutral(p, len))
			return GUTLESS_A_RX_DROP_CHECK;
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
