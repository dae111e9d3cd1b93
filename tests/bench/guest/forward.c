// SPDX-License-Identifier: Apache-2.0
/*
 * Instructions for one forwarded packet: it arrives at an Ethernet device with its checksum in place, is routed, and
 * leaves by another. Both devices are taps of this program, which have no offloads: what arrives was verified by nobody,
 * what leaves is complete. Counted is the write; what left is read and looked at afterwards.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"

#define WARM_UP 50
#define UDP_HEADER 8

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

/* The sum of 16-bit words in network order, not yet folded; @len octets. */
static uint64_t sum(const unsigned char *octets, size_t len)
{
	uint64_t total = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		total += octets[i] << 8 | octets[i + 1];
	return len & 1 ? total + (octets[len - 1] << 8) : total;
}

static uint16_t fold(uint64_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

/* The sum over an IP packet's pseudo-header and its UDP, which is 0xffff where the checksum is right. */
static uint16_t udp_sum(const unsigned char *ip, int family, const unsigned char *udp)
{
	size_t len = udp[4] << 8 | udp[5];

	return fold((family == AF_INET ? sum(ip + 12, 8) : sum(ip + 8, 32)) + IPPROTO_UDP + len + sum(udp, len));
}

/* An Ethernet frame with one UDP packet of @octets in it. Return: its length. */
static size_t make(unsigned char *frame, const char *device, const char *source, const char *destination, size_t octets)
{
	unsigned char *ip = frame + ETH_HLEN, *udp, src[16], dst[16];
	size_t len = UDP_HEADER + octets;
	int family = address(source, src);
	uint16_t check;

	if (address(destination, dst) != family)
		die("%s and %s: two families", source, destination);
	hardware_address(device, frame);
	memcpy(frame + ETH_ALEN, (const unsigned char[]){ 2, 0, 0, 0, 0, 0x99 }, ETH_ALEN);
	frame[12] = family == AF_INET ? 0x08 : 0x86;
	frame[13] = family == AF_INET ? 0x00 : 0xdd;
	if (family == AF_INET) {
		size_t total = 20 + len;

		memcpy(ip, (const unsigned char[]){ 0x45, 0, total >> 8, total, 0, 1, 0x40, 0, 64, IPPROTO_UDP, 0, 0 }, 12);
		memcpy(ip + 12, src, 4);
		memcpy(ip + 16, dst, 4);
		check = ~fold(sum(ip, 20));
		ip[10] = check >> 8;
		ip[11] = check;
		udp = ip + 20;
	} else {
		memcpy(ip, (const unsigned char[]){ 0x60, 0, 0, 0, len >> 8, len, IPPROTO_UDP, 64 }, 8);
		memcpy(ip + 8, src, 16);
		memcpy(ip + 24, dst, 16);
		udp = ip + 40;
	}
	memcpy(udp, (const unsigned char[]){ 0x23, 0x28, 0x23, 0x29, len >> 8, len, 0, 0 }, UDP_HEADER);
	for (size_t i = 0; i < octets; i++)
		udp[UDP_HEADER + i] = i * 7 + 1;
	check = ~udp_sum(ip, family, udp);
	udp[6] = check >> 8;
	udp[7] = check;
	return udp + len - frame;
}

/* Is what left an outer packet as @check says? */
static void verify(const unsigned char *frame, const char *check)
{
	const unsigned char *ip = frame + ETH_HLEN;
	int family = frame[12] == 0x08 ? AF_INET : AF_INET6;
	const unsigned char *udp = ip + (family == AF_INET ? 20 : 40);
	int protocol = family == AF_INET ? ip[9] : ip[6];

	if (!strcmp(check, "none"))
		return;
	if (protocol != IPPROTO_UDP)
		die("protocol %d left, not UDP", protocol);
	if (!strcmp(check, "zero") ? udp[6] || udp[7] : !(udp[6] | udp[7]) || udp_sum(ip, family, udp) != 0xffff)
		die("UDP checksum %02x%02x left, where %s was expected", udp[6], udp[7], check);
}

/* The next frame that ends as the one put in does; what the kernel sends by itself is passed over. */
static ssize_t leaves(int out, unsigned char *left, size_t room, const unsigned char *sent, size_t octets)
{
	ssize_t n;

	do
		n = read(out, left, room);
	while (n > 0 && (n < (ssize_t)octets || memcmp(left + n - octets, sent, octets)));
	return n;
}

/* A device that just came up drops for a moment. */
static void come_up(int in, int out, const unsigned char *frame, size_t len, size_t octets)
{
	unsigned char left[16384];

	for (int tries = 0; tries < 500; tries++) {
		if (write(in, frame, len) == (ssize_t)len &&
		    leaves(out, left, sizeof(left), frame + len - octets, octets) > 0)
			return;
		usleep(10000);
	}
	die("nothing leaves");
}

/* NS IN OUT SOURCE DESTINATION OCTETS COUNT CHECK; CHECK: none (not UDP), zero, full */
int cmd_forward(char **words)
{
	size_t octets = number(words[5], 8000), count = number(words[6], 1000000), len;
	static unsigned char frame[16384], left[16384];
	uint64_t *counts = calloc(count, sizeof(*counts));
	int in, out;

	if (!counts || !count)
		die("no room to count in");
	enter(words[0]);
	in = tap(words[1]);
	out = tap(words[2]);
	len = make(frame, words[1], words[3], words[4], octets);
	come_up(in, out, frame, len, octets);
	for (size_t i = 0; i < WARM_UP + count; i++) {
		uint64_t begin = instructions();
		ssize_t n;

		if (i >= WARM_UP)
			mark_begin();
		n = write(in, frame, len);
		if (i >= WARM_UP) {
			mark_end();
			counts[i - WARM_UP] = instructions() - begin;
		}
		if (n != (ssize_t)len)
			die("write to %s: %s", words[1], strerror(errno));
		n = leaves(out, left, sizeof(left), frame + len - octets, octets);
		if (n <= 0)
			die("packet %zu did not leave: %s", i, strerror(errno));
		verify(left, words[7]);
	}
	print_counts(counts, count);
	return 0;
}
