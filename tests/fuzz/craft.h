/* SPDX-License-Identifier: Apache-2.0 */
/* Packets by hand for packets.c: random numbers, the corpus, mutations, outer headers with right checksums. */
#ifndef CRAFT_H
#define CRAFT_H

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MTU		9000
#define FRAME_MAX	(14 + MTU)
#define PAYLOAD_MAX	(MTU - 40 - 8)

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* ---- random numbers: xorshift64*, the same everywhere for one seed ---- */

static uint64_t rng_state;

static uint32_t rng(void)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return rng_state * 0x2545f4914f6cdd1dULL >> 32;
}

static uint32_t below(uint32_t n)
{
	return rng() % n;
}

static int chance(uint32_t in)
{
	return !below(in);
}

/* ---- the corpus: bursts of payloads, each for a FOU port of a protocol, or for the others ---- */

struct burst {
	uint8_t fou;
	uint8_t n;
	uint16_t len[16];
	const uint8_t *data[16];
};

static struct burst *corpus;
static unsigned int corpus_n, corpus_merging;

/*
 * A file of: bursts that GRO merges (2 octets, big endian), all bursts (2); for each FOU protocol (1), payloads (1),
 * and for each of them its length (2) and octets.
 */
static void corpus_read(const char *path)
{
	static uint8_t raw[1 << 22];
	const uint8_t *p = raw + 4;
	FILE *f = fopen(path, "rb");
	unsigned int i, j;
	size_t size;

	if (!f)
		die(path);
	size = fread(raw, 1, sizeof(raw), f);
	fclose(f);
	corpus_merging = raw[0] << 8 | raw[1];
	corpus_n = raw[2] << 8 | raw[3];
	corpus = calloc(corpus_n, sizeof(*corpus));
	if (!corpus || !corpus_n || size < 4 || size == sizeof(raw)) {
		fprintf(stderr, "%s is no corpus\n", path);
		exit(2);
	}
	for (i = 0; i < corpus_n; i++) {
		corpus[i].fou = *p++;
		corpus[i].n = *p++;
		for (j = 0; j < corpus[i].n && j < 16; j++) {
			corpus[i].len[j] = p[0] << 8 | p[1];
			corpus[i].data[j] = p + 2;
			p += 2 + corpus[i].len[j];
		}
	}
	if (p != raw + size) {
		fprintf(stderr, "%s ends at %td of %zu\n", path, p - raw, size);
		exit(2);
	}
}

/* ---- mutations ---- */

static uint8_t odd_octet(void)
{
	static const uint8_t some[] = { 0, 1, 2, 4, 6, 0x1f, 0x20, 0x2f, 0x45, 0x59, 0x60, 0x7f, 0x80, 0x8f, 0xff };

	return chance(2) ? rng() : some[below(sizeof(some))];
}

/* Places near the front count most: there the headers are. */
static unsigned int odd_place(unsigned int len)
{
	unsigned int near = len < 8 ? len : chance(2) ? 8 : 48;

	return below(chance(4) || near > len ? len : near);
}

static unsigned int mutate_once(uint8_t *p, unsigned int len, unsigned int max)
{
	const struct burst *other;
	unsigned int at, n;
	uint16_t word;

	if (!len) {
		p[0] = odd_octet();
		return 1;
	}
	at = odd_place(len);
	switch (below(10)) {
	case 0:
	case 1:
	case 2:
		p[at] ^= 1 << below(8);
		return len;
	case 3:
		p[at] = odd_octet();
		return len;
	case 4:	/* a length, an offset, a checksum: a little more or less */
		if (at + 2 > len)
			return len;
		memcpy(&word, p + at, 2);
		word = htons(ntohs(word) + (chance(2) ? 1 : -1) * (1 << below(9)));
		memcpy(p + at, &word, 2);
		return len;
	case 5:
		return chance(3) ? at : below(len + 1);
	case 6:	/* longer */
		n = chance(16) ? below(max - len + 1) : below(64);
		if (n > max - len)
			n = max - len;
		for (at = 0; at < n; at++)
			p[len + at] = rng();
		return len + n;
	case 7:	/* the head of another one */
		other = &corpus[below(corpus_n)];
		n = below(other->len[0] + 1);
		if (n > 140)
			n = below(140);
		memcpy(p, other->data[0], n);
		return n > len ? n : len;
	case 8:	/* something put in */
		n = 4 * (1 + below(8));
		if (len + n > max)
			return len;
		memmove(p + at + n, p + at, len - at);
		return len + n;
	default:	/* something taken out */
		n = 1 + below(8);
		if (at + n > len)
			return at;
		memmove(p + at, p + at + n, len - at - n);
		return len - n;
	}
}

static unsigned int mutate(uint8_t *p, unsigned int len, unsigned int max)
{
	unsigned int i, n = 1 + below(chance(4) ? 8 : 2);

	for (i = 0; i < n; i++)
		len = mutate_once(p, len, max);
	return len;
}

/* ---- outer headers ---- */

static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0xa }, mac_b[6] = { 2, 0, 0, 0, 0, 0xb };
static uint8_t addr4_a[4], addr4_b[4], addr6_a[16], addr6_b[16];

static void addresses(void)
{
	if (inet_pton(AF_INET, "198.51.100.1", addr4_a) != 1 || inet_pton(AF_INET, "198.51.100.2", addr4_b) != 1 ||
	    inet_pton(AF_INET6, "2001:db8::1", addr6_a) != 1 || inet_pton(AF_INET6, "2001:db8::2", addr6_b) != 1)
		die("inet_pton");
}

static void put16(uint8_t *p, unsigned int value)
{
	p[0] = value >> 8;
	p[1] = value;
}

static uint32_t sum_add(uint32_t sum, const uint8_t *p, unsigned int len)
{
	unsigned int i;

	for (i = 0; i + 1 < len; i += 2)
		sum += p[i] << 8 | p[i + 1];
	if (len & 1)
		sum += p[len - 1] << 8;
	return sum;
}

static unsigned int fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static unsigned int pseudo(int version, unsigned int proto, unsigned int len)
{
	uint32_t sum = proto + len;

	if (version == 4)
		return fold(sum_add(sum_add(sum, addr4_a, 4), addr4_b, 4));
	return fold(sum_add(sum_add(sum, addr6_a, 16), addr6_b, 16));
}

/* An IP header; returns its length. */
static unsigned int put_ip(uint8_t *p, int version, unsigned int proto, unsigned int len)
{
	static uint16_t id;

	if (version == 4) {
		memset(p, 0, 20);
		p[0] = 0x45;
		put16(p + 2, 20 + len);
		put16(p + 4, ++id);
		p[8] = 64;
		p[9] = proto;
		memcpy(p + 12, addr4_a, 4);
		memcpy(p + 16, addr4_b, 4);
		put16(p + 10, ~fold(sum_add(0, p, 20)));
		return 20;
	}
	memset(p, 0, 8);
	p[0] = 0x60;
	put16(p + 4, len);
	p[6] = proto;
	p[7] = 64;
	memcpy(p + 8, addr6_a, 16);
	memcpy(p + 24, addr6_b, 16);
	return 40;
}

/* The sum of addresses and ports, which GUE's checksum covers. */
static unsigned int ends_sum(int version, unsigned int sport, unsigned int dport)
{
	unsigned long sum = sport + dport;

	if (version == 4)
		return fold(sum_add(sum_add(sum, addr4_a, 4), addr4_b, 4));
	return fold(sum_add(sum_add(sum, addr6_a, 16), addr6_b, 16));
}

enum checksum { CSUM_FULL, CSUM_ZERO, CSUM_PARTIAL };

/* A UDP datagram around what is at p + 8; returns its length. */
static unsigned int put_udp(uint8_t *p, int version, unsigned int sport, unsigned int dport, unsigned int len,
			    enum checksum how)
{
	unsigned int sum;

	put16(p, sport);
	put16(p + 2, dport);
	put16(p + 4, 8 + len);
	put16(p + 6, 0);
	if (how == CSUM_PARTIAL) {
		put16(p + 6, pseudo(version, 17, 8 + len));
	} else if (how == CSUM_FULL) {
		sum = ~fold(sum_add(pseudo(version, 17, 8 + len), p, 8 + len)) & 0xffff;
		put16(p + 6, sum ? sum : 0xffff);
	}
	return 8 + len;
}

static unsigned int put_ethernet(uint8_t *p, int version)
{
	memcpy(p, mac_b, 6);
	memcpy(p + 6, mac_a, 6);
	put16(p + 12, version == 4 ? 0x0800 : 0x86dd);
	return 14;
}

#endif
