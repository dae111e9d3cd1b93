// SPDX-License-Identifier: Apache-2.0
/*
 * The module's wire.h as a program: judges packets from its standard input.
 *
 * In, for each packet: accept (1 octet), FOU protocol (1), whether the datagram had
 * a UDP checksum (1), inner protocols (32, a bit each), known types of options (32,
 * likewise), sum of addresses and ports (2, 0: not known), fields of GUE it requires (flags
 * 2, group 4, cookie 32), length (2, network order), the payload of UDP. Out: reason
 * (0: passes), protocol, octets of header. Each payload
 * stands in memory of exactly its size, so that the sanitizer sees whatever is read
 * beyond it.
 */
#include <stdio.h>
#include "judge.h"

int main(void)
{
	unsigned char size[2], out[3];
	struct judge_port port;
	unsigned int len;
	struct gl_wire w;
	unsigned char *p;

	while (fread(&port, 1, sizeof(port), stdin) == sizeof(port)) {
		if (fread(size, 1, sizeof(size), stdin) != sizeof(size))
			return 2;
		len = size[0] << 8 | size[1];
		p = malloc(len);
		if (len && (!p || fread(p, 1, len, stdin) != len))
			return 2;
		out[0] = judge(p, len, &port, &w);
		out[1] = w.proto;
		out[2] = w.len;
		free(p);
		fwrite(out, 1, sizeof(out), stdout);
	}
	return 0;
}
