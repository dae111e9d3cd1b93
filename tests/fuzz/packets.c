// SPDX-License-Identifier: Apache-2.0
/*
 * Sends mutated packets of every format to receiving ports: packets WAY SEED COUNT CORPUS
 *
 *	raw	   frames, right to the end of the outer UDP header
 *	vnet	   the same, with octets in pages and the checksum left to the device (virtio_net_hdr)
 *	udp	   by a UDP socket, in pieces (MSG_MORE) and zero-copy: octets in pages
 *	fragments  the outer packet in fragments, in any order
 *	gro	   bursts of a stream's segments, most of them unchanged, so that they merge
 *	tap	   into a tap (IFF_NAPI_FRAGS), cut anywhere: GRO has to look for headers in many pages
 *	outer	   frames mutated anywhere, outer headers and fragments included
 *	icmp	   ICMP errors that quote packets of the formats
 *
 * Every packet of the first six ways has to reach a port. Says on standard output how many were sent, and how many of
 * these have to end in which counter: "30 2:20 7:10". The topology is that of traffic.py: device eth0, for the tap tap0.
 */
#define _GNU_SOURCE
#include "send.h"

static unsigned int port_for(const struct burst *b)
{
	unsigned int i;

	if (b->fou && !chance(8))
		for (i = 0; i < sizeof(fou_protocols); i++)
			if (fou_protocols[i] == b->fou)
				return PORT_ALL + 1 + i;
	if (chance(24))
		return PORT_SOURCE;
	if (chance(4))
		return PORT_CLOSER + below(PORTS_CLOSER);
	return chance(3) ? PORT_INNER : PORT_ALL + (chance(12) ? below(5) : 0);
}

static int version_for(const struct burst *b)
{
	/* GRO merges inner IPv4 in outer IPv6 as well, so any will do */
	(void)b;
	return chance(2) ? 4 : 6;
}

/* Payload number i of a burst, mutated or not; returns its length. */
static unsigned int payload(uint8_t *p, const struct burst *b, unsigned int i, unsigned int unchanged_in)
{
	unsigned int len = b->len[i];

	memcpy(p, b->data[i], len);
	return unchanged_in && !below(unchanged_in) ? len : mutate(p, len, PAYLOAD_MAX);
}

static enum checksum some_checksum(void)
{
	return chance(3) ? CSUM_ZERO : CSUM_FULL;
}

static unsigned int some_sport(void)
{
	return 49152 + below(16384);
}

static const struct burst *some_burst(void)
{
	return &corpus[below(corpus_n)];
}

static void way_raw(unsigned long count)
{
	const struct burst *b;
	unsigned int len;
	uint8_t *frame;
	int version;

	out_open(0);
	while (sent + out.n < count) {
		b = some_burst();
		version = version_for(b);
		frame = out_next();
		len = payload(payload_at(frame, version), b, below(b->n), 8);
		out_put(frame_around(frame, version, some_sport(), port_for(b), len, some_checksum()));
	}
	out_flush();
}

/* Of a packet above a page the octets behind hdr_len are in pages; below, all are in one piece. */
static void way_vnet(unsigned long count)
{
	struct virtio_net_hdr *head;
	unsigned int len, size, at;
	const struct burst *b;
	uint8_t *frame;
	int version, partial;

	out_open(1);
	while (sent + out.n < count) {
		b = some_burst();
		version = version_for(b);
		partial = !chance(4);
		frame = out_next();
		len = payload(payload_at(frame, version), b, below(b->n), 8);
		while (chance(2) && len < 4000) {
			payload_at(frame, version)[len] = rng();
			len += 1 + below(4500);
		}
		size = frame_around(frame, version, some_sport(), port_for(b), len, partial ? CSUM_PARTIAL : some_checksum());
		head = out_put(size);
		at = payload_at(frame, version) - frame - 8;
		if (partial) {
			head->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
			head->csum_start = at;
			head->csum_offset = 6;
		}
		head->hdr_len = at + 8 + (chance(2) ? below(24) : 0);
		if (head->hdr_len > size)
			head->hdr_len = size;
	}
	out_flush();
}

/* ---- by UDP's own hands ---- */

static void drain_errors(int fd)
{
	char control[256];
	struct msghdr msg = { .msg_control = control };

	do
		msg.msg_controllen = sizeof(control);
	while (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0);
}

static void send_pieces(int fd, const uint8_t *p, unsigned int len, const struct sockaddr *to, socklen_t size)
{
	unsigned int pieces = 1 + below(3), n;

	for (; pieces; pieces--) {
		n = pieces == 1 ? len : chance(2) ? below(len + 1) : below(len < 24 ? len + 1 : 24);
		while (sendto(fd, p, n, pieces == 1 ? 0 : MSG_MORE, to, size) < 0)
			if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED)
				die("sendto");
		p += n;
		len -= n;
	}
}

static void way_udp(unsigned long count)
{
	static uint8_t data[FRAME_MAX];
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	struct sockaddr *to;
	const struct burst *b;
	unsigned int len, port;
	socklen_t size;
	struct sockaddr_storage own;
	unsigned int sport[2];
	int fd[2], one = 1, i;
	ssize_t done;

	memcpy(&to4.sin_addr, addr4_b, 4);
	memcpy(&to6.sin6_addr, addr6_b, 16);
	for (i = 0; i < 2; i++) {
		fd[i] = socket(i ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
		if (fd[i] < 0 || setsockopt(fd[i], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
			die("UDP socket");
		/* connected to nothing yet, it gets its number by this */
		memset(&own, 0, sizeof(own));
		own.ss_family = i ? AF_INET6 : AF_INET;
		size = sizeof(own);
		if (bind(fd[i], (void *)&own, i ? sizeof(to6) : sizeof(to4)) || getsockname(fd[i], (void *)&own, &size))
			die("bind");
		sport[i] = ntohs(((struct sockaddr_in *)&own)->sin_port);
	}
	for (; sent < count; sent++) {
		b = some_burst();
		i = version_for(b) == 6;
		port = htons(port_for(b));
		to4.sin_port = port;
		to6.sin6_port = port;
		to = i ? (void *)&to6 : (void *)&to4;
		size = i ? sizeof(to6) : sizeof(to4);
		len = payload(data, b, below(b->n), 8);
		expected[verdict(ntohs(port), data, len, 1, ends_sum(i ? 6 : 4, sport[i], ntohs(port)))]++;
		if (chance(2)) {
			send_pieces(fd[i], data, len, to, size);
			continue;
		}
		while ((done = sendto(fd[i], data, len, MSG_ZEROCOPY, to, size)) < 0) {
			if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED)
				die("sendto");
			drain_errors(fd[i]);
		}
		if (chance(8))
			drain_errors(fd[i]);
	}
}

static void way_fragments(unsigned long count)
{
	static uint8_t datagram[FRAME_MAX];
	unsigned long datagrams;
	const struct burst *b;
	unsigned int len, port, sport;
	enum checksum how;
	int version;

	out_open(0);
	for (datagrams = 0; datagrams < count; datagrams++) {
		b = some_burst();
		version = version_for(b);
		port = port_for(b);
		how = some_checksum();
		len = payload(datagram + 8, b, below(b->n), 8);
		sport = some_sport();
		expected[verdict(port, datagram + 8, len, how != CSUM_ZERO, ends_sum(version, sport, port))]++;
		len = put_udp(datagram, version, sport, port, len, how);
		if (out.n > BATCH - 8)
			out_flush();
		put_fragments(datagram, len, version, 0);
	}
	out_flush();
	sent = datagrams;
}

/* ---- bursts ---- */

static const struct burst *merging_burst(void)
{
	return &corpus[below(corpus_merging)];
}

static void way_gro(unsigned long count)
{
	unsigned int len, i, sport, dport, mutants;
	enum checksum how;
	const struct burst *b;
	uint8_t *frame;
	int version;

	out_open(0);
	while (sent + out.n < count) {
		b = chance(6) ? some_burst() : merging_burst();
		version = version_for(b);
		sport = some_sport();
		dport = port_for(b);
		how = some_checksum();
		mutants = chance(2) ? 0 : 4;
		for (i = 0; i < b->n; i++) {
			frame = out_next();
			if (mutants && chance(mutants))
				len = payload(payload_at(frame, version), b, i, 0);
			else
				len = payload(payload_at(frame, version), b, i, 1);
			out_put(frame_around(frame, version, sport, dport, len, how));
		}
		if (chance(3))
			out_flush();
	}
	out_flush();
}

static void way_tap(unsigned long count)
{
	static uint8_t frame[FRAME_MAX];
	unsigned int len, i, sport, dport;
	const struct burst *b;
	int fd = tap_open();
	enum checksum how;
	int version;

	while (sent < count) {
		b = chance(2) ? some_burst() : merging_burst();
		version = version_for(b);
		sport = some_sport();
		dport = port_for(b);
		how = some_checksum();
		for (i = 0; i < b->n; i++) {
			len = payload(payload_at(frame, version), b, i, 2);
			if (!tap_write(fd, frame, frame_around(frame, version, sport, dport, len, how)))
				continue;
			expected[last_verdict]++;
			sent++;
		}
	}
	close(fd);
}

/* ---- anything may be wrong ---- */

static void way_outer(unsigned long count)
{
	static uint8_t datagram[FRAME_MAX];
	const struct burst *b;
	unsigned int len;
	uint8_t *frame;
	int version;

	out_open(0);
	while (sent + out.n < count) {
		b = some_burst();
		version = version_for(b);
		if (chance(3)) {
			len = payload(datagram + 8, b, below(b->n), 2);
			len = put_udp(datagram, version, some_sport(), port_for(b), len, some_checksum());
			put_fragments(datagram, len, version, 1);
			continue;
		}
		frame = out_next();
		len = payload(payload_at(frame, version), b, below(b->n), 2);
		len = frame_around(frame, version, some_sport(), port_for(b), len, some_checksum());
		len = 14 + mutate(frame + 14, len - 14, MTU);
		out_put(len < 15 ? 15 : len);
	}
	out_flush();
}

static unsigned int put_icmp(uint8_t *p, int version, unsigned int quoted)
{
	static const uint8_t type4[] = { 3, 3, 3, 5, 11, 12 }, type6[] = { 1, 2, 3, 4 };
	unsigned int len = 8 + quoted;

	memset(p, 0, 8);
	p[0] = version == 4 ? type4[below(sizeof(type4))] : type6[below(sizeof(type6))];
	p[1] = chance(2) ? 4 * (version == 4 && p[0] == 3) : below(16);
	put16(p + 6, 1280 + below(300));
	put16(p + 2, ~fold(sum_add(version == 4 ? 0 : pseudo(6, 58, len), p, len)));
	return len;
}

/* The router at a's says of packets that b has sent, from a port to a, that they went no further. */
static void way_icmp(unsigned long count)
{
	const struct burst *b;
	unsigned int len, at, ip;
	uint8_t *frame, *quote;
	int version;

	out_open(0);
	while (sent + out.n < count) {
		b = some_burst();
		version = version_for(b);
		ip = version == 4 ? 20 : 40;
		frame = out_next();
		quote = frame + 14 + ip + 8;
		len = payload(quote + ip + 8, b, 0, 2);
		put_udp(quote + ip, version, chance(3) ? PORT_TUNNEL : some_sport(),
			chance(4) ? some_sport() : PORT_TUNNEL, len, CSUM_ZERO);
		put_ip(quote, version, 17, 8 + len);
		/* b's packet: the other way round */
		if (version == 4) {
			memcpy(quote + 12, addr4_b, 4);
			memcpy(quote + 16, addr4_a, 4);
		} else {
			memcpy(quote + 8, addr6_b, 16);
			memcpy(quote + 24, addr6_a, 16);
		}
		len += ip + 8;
		if (chance(2))
			len = mutate(quote, len, PAYLOAD_MAX - 64);
		if (chance(2) && len > ip + 8)
			len = ip + 8 + below(len - ip - 8);
		if (len > 1200)
			len = 1200;
		len = put_icmp(frame + 14 + ip, version, len);
		at = put_ethernet(frame, version);
		at += put_ip(frame + at, version, version == 4 ? 1 : 58, len);
		out_put(at + len);
	}
	out_flush();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(unsigned long count);
	} ways[] = {
		{ "raw", way_raw }, { "vnet", way_vnet }, { "udp", way_udp }, { "fragments", way_fragments },
		{ "gro", way_gro }, { "tap", way_tap }, { "outer", way_outer }, { "icmp", way_icmp },
	};
	unsigned int i;

	if (argc != 5) {
		fprintf(stderr, "usage: packets WAY SEED COUNT CORPUS\n");
		return 2;
	}
	rng_state = strtoull(argv[2], NULL, 0) * 0x9e3779b97f4a7c15ULL | 1;
	addresses();
	corpus_read(argv[4]);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (strcmp(argv[1], ways[i].name))
			continue;
		ways[i].run(strtoul(argv[3], NULL, 0));
		say_expected(sent);
		return 0;
	}
	fprintf(stderr, "packets: no such way: %s\n", argv[1]);
	return 2;
}
