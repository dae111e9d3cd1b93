// SPDX-License-Identifier: Apache-2.0
/*
 * The module's wire.h as a program: judges packets from its standard input.
 *
 * In, for each packet: accept (1 octet), FOU protocol (1), whether the datagram had
 * a UDP checksum (1), inner protocols (32, a bit each), length (2, network order), the
 * payload of UDP. Out: reason (0: passes), protocol, octets of header. Each payload
 * stands in memory of exactly its size, so that the sanitizer sees whatever is read
 * beyond it. The order of the steps is that of rx.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include "wire.h"

/* One's complement sum, an octet at a time; the kernel's own is not to be had here. */
static int neutral(const unsigned char *p, unsigned int len)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < len; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static int judge(const unsigned char *p, unsigned int len, const unsigned char *head,
		 struct gl_wire *w)
{
	const unsigned char *inner = head + 3;
	unsigned int min;
	__u8 format;
	int reason;

	w->len = 0;
	if (head[0] & GUTLESS_ACCEPT_FOU) {
		w->proto = head[1];
	} else {
		if (!len)
			return GUTLESS_A_RX_DROP_TRUNCATED;
		format = gl_wire_format(p[0]);
		if (!format)
			return GUTLESS_A_RX_DROP_VARIANT;
		if (!(head[0] & format))
			return GUTLESS_A_RX_DROP_FORMAT;
		if (len < gl_wire_len(format, p[0]))
			return GUTLESS_A_RX_DROP_TRUNCATED;
		reason = gl_wire_parse(p, len, format, w);
		if (reason)
			return reason;
		if (w->check && !head[2] && !neutral(p, len))
			return GUTLESS_A_RX_DROP_CHECK;
	}
	if (!(inner[w->proto / 8] >> w->proto % 8 & 1))
		return GUTLESS_A_RX_DROP_PROTOCOL;
	min = gl_wire_inner_min(w->proto);
	if (len - w->len < min)
		return GUTLESS_A_RX_DROP_INNER;
	if (min && !gl_wire_inner_fits(w->proto, p[w->len]))
		return GUTLESS_A_RX_DROP_INNER;
	return 0;
}

int main(void)
{
	unsigned char head[37], out[3];
	struct gl_wire w = { 0 };
	unsigned int len;
	unsigned char *p;

	while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
		len = head[35] << 8 | head[36];
		p = malloc(len);
		if (len && (!p || fread(p, 1, len, stdin) != len))
			return 2;
		out[0] = judge(p, len, head, &w);
		out[1] = w.proto;
		out[2] = w.len;
		free(p);
		fwrite(out, 1, sizeof(out), stdout);
	}
	return 0;
}
