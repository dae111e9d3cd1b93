// SPDX-License-Identifier: Apache-2.0
/*
 * Instructions for one forwarded packet: it arrives at an Ethernet device with its checksum in place, is routed, and
 * leaves by another. Both devices are taps of this program, which have no offloads: what arrives was verified by nobody,
 * what leaves is complete. Counted is the write; what left is read and looked at afterwards.
 *
 * A packet is put into a tunnel on its way (forward), or taken out of one (decap).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"

#define WARM_UP 50
#define ROOM 16384

/* A router's two devices, and the frame that is put into one of them. */
struct way {
	int in, out;
	unsigned char frame[ROOM], left[ROOM];
	size_t len;
	size_t octets;	/* of data, with which the frame ends, and what leaves */
};

static int tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
		die("tap %s: %s", name, strerror(errno));
	return fd;
}

static void hardware_address(const char *name, unsigned char *octets)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		die("address of %s: %s", name, strerror(errno));
	memcpy(octets, request.ifr_hwaddr.sa_data, ETH_ALEN);
	close(fd);
}

/* One UDP packet of @octets, where the frame's IP packet goes. Return: its length. */
static size_t datagram(unsigned char *ip, const char *source, const char *destination, size_t octets)
{
	struct flow flow = { source, destination, 9000, 9001 };
	unsigned char first[16], *data = ip + (address(source, first) == AF_INET ? 20 : 40) + 8;

	for (size_t i = 0; i < octets; i++)
		data[i] = i * 7 + 1;
	return udp_packet(ip, &flow, octets);
}

/* The Ethernet header in front of an IP packet of @len octets */
static void address_frame(struct way *way, const char *device, size_t len)
{
	unsigned char *ip = way->frame + ETH_HLEN;

	hardware_address(device, way->frame);
	memcpy(way->frame + ETH_ALEN, (const unsigned char[]){ 2, 0, 0, 0, 0, 0x99 }, ETH_ALEN);
	way->frame[12] = ip[0] >> 4 == 4 ? 0x08 : 0x86;
	way->frame[13] = ip[0] >> 4 == 4 ? 0x00 : 0xdd;
	way->len = ETH_HLEN + len;
}

/* Is what left a packet as @check says? */
static void verify(const unsigned char *frame, const char *check)
{
	const unsigned char *ip = frame + ETH_HLEN, *udp = ip + ip_header_len(ip);
	int protocol = ip[0] >> 4 == 4 ? ip[9] : ip[6];

	if (!strcmp(check, "none"))
		return;
	if (protocol != IPPROTO_UDP)
		die("protocol %d left, not UDP", protocol);
	if (!strcmp(check, "zero") ? udp[6] || udp[7] : !(udp[6] | udp[7]) || udp_sum(ip) != 0xffff)
		die("UDP checksum %02x%02x left, where %s was expected", udp[6], udp[7], check);
}

/* The next frame that ends as the one put in does; what the kernel sends by itself is passed over. */
static ssize_t leaves(struct way *way)
{
	const unsigned char *data = way->frame + way->len - way->octets;
	ssize_t n;

	do
		n = read(way->out, way->left, ROOM);
	while (n > 0 && (n < (ssize_t)way->octets || memcmp(way->left + n - way->octets, data, way->octets)));
	return n;
}

/* A device that just came up drops for a moment. */
static void come_up(struct way *way)
{
	for (int tries = 0; tries < 500; tries++) {
		if (write(way->in, way->frame, way->len) == (ssize_t)way->len && leaves(way) > 0)
			return;
		usleep(10000);
	}
	die("nothing leaves");
}

/* @check: what leaves; @len: of it, where that is known, else 0 */
static void count_packets(struct way *way, size_t count, const char *check, size_t len)
{
	uint64_t *counts = calloc(count, sizeof(*counts));

	if (!counts || !count)
		die("no room to count in");
	come_up(way);
	for (size_t i = 0; i < WARM_UP + count; i++) {
		uint64_t begin = instructions();
		ssize_t n;

		if (i >= WARM_UP)
			mark_begin();
		n = write(way->in, way->frame, way->len);
		if (i >= WARM_UP) {
			mark_end();
			counts[i - WARM_UP] = instructions() - begin;
		}
		if (n != (ssize_t)way->len)
			die("a frame could not be put in: %s", strerror(errno));
		n = leaves(way);
		if (n <= 0)
			die("packet %zu did not leave: %s", i, strerror(errno));
		if (len && n != (ssize_t)len)
			die("%zd octets left, not %zu", n, len);
		verify(way->left, check);
	}
	print_counts(counts, count);
}

static struct way *between(char **words, size_t octets)
{
	static struct way way;

	enter(words[0]);
	way.in = tap(words[1]);
	way.out = tap(words[2]);
	way.octets = octets;
	return &way;
}

/* NS IN OUT SOURCE DESTINATION OCTETS COUNT CHECK; CHECK: none (not UDP), zero, full */
int cmd_forward(char **words)
{
	size_t octets = number(words[5], 8000), count = number(words[6], 1000000);
	struct way *way = between(words, octets);

	address_frame(way, words[1], datagram(way->frame + ETH_HLEN, words[3], words[4], octets));
	count_packets(way, count, words[7], 0);
	return 0;
}

/*
 * NS IN OUT SOURCE DESTINATION OCTETS COUNT OUTER-SOURCE OUTER-DESTINATION PORT FRONT CHECK
 * FRONT: what is between UDP and the packet inside: nothing, gue, gutless (four octets), check (the same, with Check)
 * CHECK: the outer checksum: zero, full
 */
int cmd_decap(char **words)
{
	size_t octets = number(words[5], 8000), count = number(words[6], 1000000), len;
	struct flow outer = { words[7], words[8], 50000, number(words[9], 65535) };
	struct way *way = between(words, octets);
	static unsigned char inner[ROOM];

	len = datagram(inner, words[3], words[4], octets);
	address_frame(way, words[1],
		      tunnel_packet(way->frame + ETH_HLEN, &outer, words[10], !strcmp(words[11], "full"), inner, len));
	count_packets(way, count, "full", ETH_HLEN + len);
	return 0;
}
