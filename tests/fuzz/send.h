/* SPDX-License-Identifier: Apache-2.0 */
/* How packets.c sends: frames many at a time, the outer packet in fragments, writes into a tap. Counts what was sent. */
#ifndef SEND_H
#define SEND_H

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
#include "expect.h"

#define BATCH 64

static unsigned long sent;
/* Of the frame made last. */
static int last_verdict;

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

	last_verdict = verdict(dport, payload_at(frame, version), len, how != CSUM_ZERO,
			       ends_sum(version, sport, dport));
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
	int verdict[BATCH];
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
			done++;
			continue;
		}
		sent += n;
		for (; n; n--)
			expected[out.verdict[done++]]++;
	}
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

	out.verdict[i] = last_verdict;
	out.iov[i][0] = (struct iovec){ &out.head[i], sizeof(out.head[i]) };
	out.iov[i][1] = (struct iovec){ out.frame[i], len };
	memset(&out.msg[i], 0, sizeof(out.msg[i]));
	out.msg[i].msg_hdr.msg_iov = out.vnet ? out.iov[i] : out.iov[i] + 1;
	out.msg[i].msg_hdr.msg_iovlen = out.vnet ? 2 : 1;
	return &out.head[i];
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

#endif
