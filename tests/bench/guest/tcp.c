// SPDX-License-Identifier: Apache-2.0
/* Instructions for bulk TCP from one namespace to another, sender, receiver and acknowledgements together. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "bench.h"

#define PORT 9001
#define CHUNK 65536
#define WARM_UP (2 << 20)
#define PATIENCE 10000000	/* rounds in which nothing moves */

/* Move @octets; nobody ever sleeps, so that no idle time is counted. */
static void move(int from, int to, size_t octets)
{
	static char buffer[CHUNK];
	size_t sent = 0, got = 0;
	unsigned long idle = 0;

	while (got < octets) {
		size_t want = octets - sent < CHUNK ? octets - sent : CHUNK;
		ssize_t n = want ? send(from, buffer, want, MSG_DONTWAIT) : 0;
		ssize_t m = recv(to, buffer, CHUNK, MSG_DONTWAIT);

		if ((n < 0 || m < 0) && errno != EAGAIN)
			die("TCP: %s", strerror(errno));
		idle = n > 0 || m > 0 ? 0 : idle + 1;
		if (idle > PATIENCE)
			die("TCP stands still after %zu of %zu octets", got, octets);
		sent += n > 0 ? n : 0;
		got += m > 0 ? m : 0;
	}
}

/* NS-A NS-B SOURCE DESTINATION OCTETS: prints instructions per 1000 octets */
int cmd_tcp(char **words)
{
	size_t octets = number(words[4], 1UL << 32);
	const struct linger at_once = { .l_onoff = 1 };
	struct sockaddr_storage name;
	int listener, from, to;
	uint64_t begin;
	socklen_t len;

	enter(words[1]);
	len = endpoint(&name, words[3], PORT);
	listener = socket(name.ss_family, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (void *)&name, len) || listen(listener, 1))
		die("listen on %s: %s", words[3], strerror(errno));
	enter(words[0]);
	from = socket(name.ss_family, SOCK_STREAM, 0);
	if (from < 0 || connect(from, (void *)&name, len))
		die("connect to %s: %s", words[3], strerror(errno));
	to = accept(listener, NULL, NULL);
	if (to < 0)
		die("accept: %s", strerror(errno));
	/* no connection is left waiting, which the next one would find in its way */
	if (setsockopt(from, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)))
		die("linger: %s", strerror(errno));
	move(from, to, WARM_UP);
	begin = instructions();
	mark_begin();
	move(from, to, octets);
	mark_end();
	printf("%lu\n", (instructions() - begin) * 1000 / octets);
	return 0;
}
