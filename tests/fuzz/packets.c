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
 * Every packet of the first six ways has to reach a port. Says on standard output how many were sent. The topology
 * is that of traffic.py: device eth0, for the tap tap0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "craft.h"

#define BATCH 64
/* Ports of traffic.py: all formats; FOU of the protocols; every inner protocol; not for our address */
#define PORT_ALL 7000
#define PORT_INNER 7005
#define PORT_SOURCE 7006

static unsigned long sent;

static unsigned int port_for(const struct burst *b)
{
	static const uint8_t fou[] = { 4, 41, 47, 143 };
	unsigned int i;

	if (b->fou && !chance(8))
		for (i = 0; i < sizeof(fou); i++)
			if (fou[i] == b->fou)
				return PORT_ALL + 1 + i;
	if (chance(24))
		return PORT_SOURCE;
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

/* A frame around a payload that stands at its place already. */
static uint8_t *payload_at(uint8_t *frame, int version)
{
	return frame + 14 + (version == 4 ? 20 : 40) + 8;
}

static unsigned int frame_around(uint8_t *frame, int version, unsigned int sport, unsigned int dport, unsigned int len,
				 enum checksum how)
{
	unsigned int at = put_ethernet(frame, version);
	unsigned int size = 8 + len;

	at += put_ip(frame + at, version, 17, size);
	put_udp(frame + at, version, sport, dport, len, how);
	return at + size;
}

/* ---- frames, many at a time ---- */

static struct {
	int fd;
	unsigned int n;
	int vnet;
	uint8_t frame[BATCH][FRAME_MAX + 64];
	struct virtio_net_hdr head[BATCH];
	struct iovec iov[BATCH][2];
	struct mmsghdr msg[BATCH];
} out;

static void out_open(int vnet)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("eth0") };
	int size = 1 << 22;

	out.fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (out.fd < 0 || !to.sll_ifindex || bind(out.fd, (void *)&to, sizeof(to)))
		die("packet socket on eth0");
	setsockopt(out.fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	out.vnet = vnet;
	if (vnet && setsockopt(out.fd, SOL_PACKET, PACKET_VNET_HDR, &vnet, sizeof(vnet)))
		die("PACKET_VNET_HDR");
}

static void out_flush(void)
{
	unsigned int done = 0;
	int n;

	while (done < out.n) {
		n = sendmmsg(out.fd, out.msg + done, out.n - done, 0);
		if (n < 0) {
			if (errno == ENOBUFS || errno == EAGAIN || errno == EINTR) {
				usleep(1000);
				continue;
			}
			/* what the socket refuses was never sent */
			if (errno != EINVAL && errno != EMSGSIZE)
				die("sendmmsg");
			n = 1;
			sent--;
		}
		done += n;
	}
	sent += out.n;
	out.n = 0;
}

static uint8_t *out_next(void)
{
	if (out.n == BATCH)
		out_flush();
	memset(&out.head[out.n], 0, sizeof(out.head[0]));
	return out.frame[out.n];
}

static struct virtio_net_hdr *out_put(unsigned int len)
{
	unsigned int i = out.n++;

	out.iov[i][0] = (struct iovec){ &out.head[i], sizeof(out.head[i]) };
	out.iov[i][1] = (struct iovec){ out.frame[i], len };
	memset(&out.msg[i], 0, sizeof(out.msg[i]));
	out.msg[i].msg_hdr.msg_iov = out.vnet ? out.iov[i] : out.iov[i] + 1;
	out.msg[i].msg_hdr.msg_iovlen = out.vnet ? 2 : 1;
	return &out.head[i];
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
	int fd[2], one = 1, i;
	ssize_t done;

	memcpy(&to4.sin_addr, addr4_b, 4);
	memcpy(&to6.sin6_addr, addr6_b, 16);
	for (i = 0; i < 2; i++) {
		fd[i] = socket(i ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
		if (fd[i] < 0 || setsockopt(fd[i], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
			die("UDP socket");
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

/* ---- fragments ---- */

static unsigned int put_fragment(uint8_t *frame, int version, const uint8_t *from, unsigned int at, unsigned int n,
				 int more, uint32_t id)
{
	unsigned int head = put_ethernet(frame, version);
	uint8_t *p = frame + head;

	if (version == 4) {
		put_ip(p, 4, 17, n);
		put16(p + 4, id);
		put16(p + 6, at / 8 | (more ? 0x2000 : 0));
		put16(p + 10, 0);
		put16(p + 10, ~fold(sum_add(0, p, 20)));
		head += 20;
	} else {
		put_ip(p, 6, 44, 8 + n);
		p += 40;
		p[0] = 17;
		p[1] = 0;
		put16(p + 2, at | more);
		put16(p + 4, id >> 16);
		put16(p + 6, id);
		head += 48;
	}
	memcpy(frame + head, from + at, n);
	return head + n;
}

/* All fragments of a datagram, in any order; with `wrong` also some missing, some twice, some that overlap. */
static void put_fragments(const uint8_t *datagram, unsigned int len, int version, int wrong)
{
	static uint32_t id;
	unsigned int cut[8], n = 0, i, j, at = 0, end, order[8];

	if (!id)
		id = rng();
	id++;
	while (at < len && n < 5) {
		/* the first cuts lie where UDP's, our and the inner headers are */
		at += 8 * (1 + below(chance(2) ? 4 : 24));
		cut[n] = at < len && n < 4 ? at : len;
		at = cut[n];
		order[n] = n;
		n++;
	}
	for (i = n; i > 1; i--) {
		j = below(i);
		at = order[i - 1];
		order[i - 1] = order[j];
		order[j] = at;
	}
	for (i = 0; i < n; i++) {
		if (wrong && chance(6))
			continue;
		at = order[i] ? cut[order[i] - 1] : 0;
		end = cut[order[i]];
		if (wrong && chance(6) && at >= 8)
			at -= 8;
		out_put(put_fragment(out_next(), version, datagram, at, end - at, end < len, id));
		if (wrong && chance(6))
			out_put(put_fragment(out_next(), version, datagram, at, end - at, end < len, id));
	}
}

static void way_fragments(unsigned long count)
{
	static uint8_t datagram[FRAME_MAX];
	unsigned long datagrams;
	const struct burst *b;
	unsigned int len;
	int version;

	out_open(0);
	for (datagrams = 0; datagrams < count; datagrams++) {
		b = some_burst();
		version = version_for(b);
		len = payload(datagram + 8, b, below(b->n), 8);
		len = put_udp(datagram, version, some_sport(), port_for(b), len, some_checksum());
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

/* ---- a tap whose packets are all pages ---- */

static int tap_open(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_NAPI | IFF_NAPI_FRAGS };
	int fd = open("/dev/net/tun", O_RDWR);

	strcpy(ifr.ifr_name, "tap0");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
		die("tap0");
	return fd;
}

static int tap_write(int fd, uint8_t *frame, unsigned int len)
{
	struct iovec iov[6];
	unsigned int n = 0, size;

	while (len) {
		/* the first piece is the linear part; it has the Ethernet header at least, or the tap refuses it */
		size = n ? 1 + below(chance(2) ? 40 : 2000) : 14 + (chance(2) ? below(80) : 0);
		if (size > len || n == 5)
			size = len;
		if (n && size > 4096)
			size = 4096;
		if (n == 6)
			return 0;
		iov[n++] = (struct iovec){ frame, size };
		frame += size;
		len -= size;
	}
	return writev(fd, iov, n) >= 0;
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
			if (tap_write(fd, frame, frame_around(frame, version, sport, dport, len, how)))
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
		put_udp(quote + ip, version, chance(3) ? some_sport() : 6080, chance(4) ? some_sport() : 6080, len, CSUM_ZERO);
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
		printf("%lu\n", sent);
		return 0;
	}
	fprintf(stderr, "packets: no such way: %s\n", argv[1]);
	return 2;
}
