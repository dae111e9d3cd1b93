// SPDX-License-Identifier: Apache-2.0
/* Instructions for one UDP packet from one namespace to another: both system calls, and all that is between. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "bench.h"

#define PORT 30000	/* beyond 10,000 ports of tunnels */
#define WARM_UP 50

static int bound(const char *ns, const char *local, const char *peer)
{
	struct timeval limit = { .tv_sec = 3 };
	struct sockaddr_storage name;
	socklen_t len;
	int fd;

	enter(ns);
	len = endpoint(&name, local, PORT);
	fd = socket(name.ss_family, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (void *)&name, len))
		die("bind %s: %s", local, strerror(errno));
	len = endpoint(&name, peer, PORT);
	if (connect(fd, (void *)&name, len))
		die("connect %s: %s", peer, strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		die("receive time-out: %s", strerror(errno));
	return fd;
}

/* NS-A NS-B SOURCE DESTINATION OCTETS COUNT */
int cmd_udp(char **words)
{
	static char sent[65536], got[65536];
	size_t octets = number(words[4], 65000), count = number(words[5], 1000000);
	int a = bound(words[0], words[2], words[3]), b = bound(words[1], words[3], words[2]);
	uint64_t *counts = calloc(count, sizeof(*counts));

	if (!counts || !count)
		die("no room to count in");
	for (size_t i = 0; i < octets; i++)
		sent[i] = i * 7 + 1;
	for (size_t i = 0; i < WARM_UP + count; i++) {
		uint64_t begin = instructions();
		ssize_t n;

		if (i >= WARM_UP)
			mark_begin();
		n = send(a, sent, octets, 0);
		if (n == (ssize_t)octets)
			n = recv(b, got, sizeof(got), 0);
		if (i >= WARM_UP) {
			mark_end();
			counts[i - WARM_UP] = instructions() - begin;
		}
		if (n != (ssize_t)octets || memcmp(sent, got, octets))
			die("packet %zu of %zu octets to %s was lost or changed: %s", i, octets, words[3],
			    n < 0 ? strerror(errno) : "other octets");
	}
	print_counts(counts, count);
	return 0;
}
