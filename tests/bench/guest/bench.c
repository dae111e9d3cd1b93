// SPDX-License-Identifier: Apache-2.0
/*
 * The benchmark's program in the guest. One command a call:
 *
 *   bench link NS NAME KIND LOCAL REMOTE [WORD VALUE]...   a tunnel link, see link.c
 *   bench offloads NS DEVICE [WORD on|off]...               see link.c
 *   bench noqueue NS DEVICE
 *   bench port NS PORT FAMILY ACCEPT [WORD VALUE]...        a gutless port, see gutless.c
 *   bench profile NS NUMBER FORMAT CSUM [WORD VALUE]...     a gutless profile
 *   bench unport NS PORT FAMILY [many N]
 *   bench unprofile NS NUMBER
 *   bench wireguard NS DEVICE SIDE LISTEN PEER-ADDRESS PEER-PORT
 *   bench udp NS-A NS-B SOURCE DESTINATION OCTETS COUNT     instructions per packet
 *   bench forward NS IN OUT SOURCE DESTINATION OCTETS COUNT CHECK
 *   bench decap NS IN OUT SOURCE DESTINATION OCTETS COUNT OUTER-SOURCE OUTER-DESTINATION PORT FRONT CHECK
 *   bench tcp NS-A NS-B SOURCE DESTINATION OCTETS           instructions per 1000 octets
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"

void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

unsigned long number(const char *word, unsigned long max)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(word, &end, 0);
	if (errno || end == word || *end || value > max)
		die("%s is not a number of 0 to %lu", word, max);
	return value;
}

void enter(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("%s: %s", path, strerror(errno));
	close(fd);
}

int address(const char *word, void *octets)
{
	if (inet_pton(AF_INET, word, octets) == 1)
		return AF_INET;
	if (inet_pton(AF_INET6, word, octets) == 1)
		return AF_INET6;
	die("%s is not an address", word);
}

socklen_t endpoint(struct sockaddr_storage *s, const char *word, uint16_t port)
{
	struct sockaddr_in6 *six = (void *)s;
	struct sockaddr_in *four = (void *)s;
	unsigned char octets[16];

	memset(s, 0, sizeof(*s));
	if (address(word, octets) == AF_INET) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		memcpy(&four->sin_addr, octets, 4);
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	memcpy(&six->sin6_addr, octets, 16);
	return sizeof(*six);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int words;	/* at least */
		int (*run)(char **words);
	} commands[] = {
		{ "link", 5, cmd_link },
		{ "offloads", 2, cmd_offloads },
		{ "noqueue", 2, cmd_noqueue },
		{ "port", 4, cmd_port },
		{ "profile", 4, cmd_profile },
		{ "unport", 3, cmd_unport },
		{ "unprofile", 2, cmd_unprofile },
		{ "wireguard", 6, cmd_wireguard },
		{ "udp", 6, cmd_udp },
		{ "forward", 8, cmd_forward },
		{ "decap", 12, cmd_decap },
		{ "tcp", 5, cmd_tcp },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].words)
			return commands[i].run(argv + 2);
	die("unknown command, or too few words for it");
}
