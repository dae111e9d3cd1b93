// SPDX-License-Identifier: Apache-2.0
/*
 * The module's csum.h as a program: the sums of packets from its standard input.
 *
 * In, for each packet: IP protocol number (1 octet), octets that can be read (2, network
 * order), octets in all (2), the readable ones. Out: whether there is an answer (1),
 * octets it is of (2, network order), the sum, folded, as it would stand in a packet (2).
 * What can be read stands in memory of exactly its size.
 */
#include <stdio.h>
#include <stdlib.h>
#include "csum.h"

int main(void)
{
	unsigned char head[5], answer[5];

	while (fread(head, sizeof(head), 1, stdin) == 1) {
		unsigned int avail = head[1] << 8 | head[2], len = head[3] << 8 | head[4];
		unsigned char *p = malloc(avail);
		struct gl_csum c = { 0, 0 };
		__u16 folded;

		if (avail && (!p || fread(p, avail, 1, stdin) != 1))
			return 2;
		answer[0] = gl_csum_packet(p, avail, len, head[0], &c);
		answer[1] = c.len >> 8;
		answer[2] = c.len;
		folded = ~gl_csum_not(c.sum);
		__builtin_memcpy(answer + 3, &folded, 2);
		fwrite(answer, sizeof(answer), 1, stdout);
		free(p);
	}
	return 0;
}
