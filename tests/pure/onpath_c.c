// SPDX-License-Identifier: Apache-2.0
/*
 * The module's onpath.h as a program: what a node on the path does to packets from its standard input.
 *
 * In, for each packet: the MTU (4 octets, network order), length (2), the payload of UDP, whose first bits are 10.
 * Out: the attribute that counts it (1 octet), and the payload. Of each the header alone, where it is all there,
 * stands in memory of exactly its size, so that the sanitizer sees whatever is read or written beyond it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "onpath.h"

int main(void)
{
	unsigned char head[6];

	while (fread(head, sizeof(head), 1, stdin) == 1) {
		__u32 mtu = (__u32)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
		unsigned int len = head[4] << 8 | head[5], size;
		unsigned char *whole = malloc(len), *p, verdict;

		if (!len || !whole || fread(whole, len, 1, stdin) != 1)
			return 2;
		size = gl_wire_len(GUTLESS_ACCEPT_GUTLESS, whole[0]);
		if (size > len)
			size = len;
		p = malloc(size);
		if (!p)
			return 2;
		memcpy(p, whole, size);
		verdict = gl_onpath_judge(p, len, mtu);
		if (memcmp(p, whole, size))
			return 3;
		if (verdict == GUTLESS_A_ONPATH_LOWERED)
			gl_onpath_lower(p, mtu);
		memcpy(whole, p, size);
		putchar(verdict);
		fwrite(whole, len, 1, stdout);
		free(p);
		free(whole);
	}
	return 0;
}
