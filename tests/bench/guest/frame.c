// SPDX-License-Identifier: Apache-2.0
/* IP packets with UDP in them, made by hand with right checksums, and looked at. */
#include <netinet/in.h>
#include <string.h>
#include "bench.h"

#define UDP_HEADER 8

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

static void put_sum(unsigned char *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

size_t ip_header_len(const unsigned char *ip)
{
	return ip[0] >> 4 == 4 ? 20 : 40;
}

uint16_t udp_sum(const unsigned char *ip)
{
	const unsigned char *udp = ip + ip_header_len(ip);
	size_t len = udp[4] << 8 | udp[5];
	uint64_t addresses = ip[0] >> 4 == 4 ? sum(ip + 12, 8) : sum(ip + 8, 32);

	return fold(addresses + IPPROTO_UDP + len + sum(udp, len));
}

size_t udp_packet(unsigned char *ip, const struct flow *flow, size_t octets)
{
	unsigned char src[16], dst[16], *udp;
	size_t len = UDP_HEADER + octets;
	int family = address(flow->source, src);
	uint16_t check;

	if (address(flow->destination, dst) != family)
		die("%s and %s: two families", flow->source, flow->destination);
	if (family == AF_INET) {
		size_t total = 20 + len;

		memcpy(ip, (const unsigned char[]){ 0x45, 0, total >> 8, total, 0, 1, 0x40, 0, 64, IPPROTO_UDP, 0, 0 }, 12);
		memcpy(ip + 12, src, 4);
		memcpy(ip + 16, dst, 4);
		put_sum(ip + 10, ~fold(sum(ip, 20)));
	} else {
		memcpy(ip, (const unsigned char[]){ 0x60, 0, 0, 0, len >> 8, len, IPPROTO_UDP, 64 }, 8);
		memcpy(ip + 8, src, 16);
		memcpy(ip + 24, dst, 16);
	}
	udp = ip + ip_header_len(ip);
	memcpy(udp, (const unsigned char[]){ flow->sport >> 8, flow->sport, flow->dport >> 8, flow->dport, len >> 8, len, 0, 0 },
	       UDP_HEADER);
	check = ~udp_sum(ip);
	put_sum(udp + 6, check ? check : 0xffff);
	return ip_header_len(ip) + len;
}

size_t tunnel_packet(unsigned char *ip, const struct flow *outer, const char *front, bool checksum, const unsigned char *inner,
		     size_t len)
{
	unsigned char first[16], *udp, *payload;
	size_t hlen = strcmp(front, "nothing") ? 4 : 0, made;

	ip[0] = address(outer->source, first) == AF_INET ? 0x40 : 0x60;
	udp = ip + ip_header_len(ip);
	payload = udp + UDP_HEADER;
	memcpy(payload + hlen, inner, len);
	if (hlen) {
		bool gue = !strcmp(front, "gue"), check = !strcmp(front, "check");

		if (!gue && !check && strcmp(front, "gutless"))
			die("%s: not nothing, gue, gutless or check", front);
		memcpy(payload, (const unsigned char[]){ gue ? 0 : 0x80, inner[0] >> 4 == 4 ? IPPROTO_IPIP : IPPROTO_IPV6, 0, 0 }, 4);
		if (check) {
			uint16_t value = ~fold(sum(payload, hlen + len));

			put_sum(payload + 2, value ? value : 0xffff);
		}
	}
	made = udp_packet(ip, outer, hlen + len);
	if (!checksum)
		put_sum(udp + 6, 0);
	return made;
}
