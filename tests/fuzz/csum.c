// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer's target for the module's csum.h: the sum that headers tell against a pass over every octet.
 *
 * An input is an octet that chooses the protocol, one that says how much of the packet can be read, two that name a
 * bit to damage, and the packet. Hardly any input has a right checksum, so all of them are made right first, by
 * a walk of this file's own; what the headers tell must then be the sum. With one bit damaged it must not be, or
 * the damage would pass.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "csum.h"

#define DEMAND(what) do { if (!(what)) {						\
	fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);		\
	abort(); } } while (0)

/* One's complement sum of words in network order, in 0..0xffff; 0 and 0xffff are the same number. */
static unsigned int sum_of(const uint8_t *p, unsigned int len)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < len; i++)
		sum += i % 2 ? p[i] : p[i] << 8;
	return sum % 0xffff;
}

static void put16(uint8_t *p, unsigned int value)
{
	p[0] = value >> 8;
	p[1] = value;
}

static unsigned int get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

/* Where things are in a packet, as this file sees it. */
struct layout {
	unsigned int ip;	/* the IP header */
	unsigned int version;
	unsigned int transport;
	unsigned int proto;
	unsigned int covered;	/* octets that the transport's checksum is of */
	unsigned int gre;	/* 1: GRE's checksum covers all */
	unsigned int end;	/* where the sum ends that headers tell */
};

/* Octets of the checksum's place in a transport header. */
static unsigned int place(unsigned int proto)
{
	switch (proto) {
	case 6:
		return 16;
	case 17:
		return 6;
	default:
		return 2;
	}
}

/* Return: whether there is one transport with a checksum over all of it. */
static int find_ip(const uint8_t *p, unsigned int len, unsigned int at, struct layout *l)
{
	unsigned int room, size;

	if (len < at + 1)
		return 0;
	l->ip = at;
	l->version = p[at] >> 4;
	switch (l->version) {
	case 4:
		if (len < at + 20 || (p[at] & 15) != 5 || get16(p + at + 6) & 0x3fff)
			return 0;
		size = get16(p + at + 2);
		if (size < 20 || at + size > len)
			return 0;
		room = size - 20;
		l->transport = at + 20;
		l->proto = p[at + 9];
		break;
	case 6:
		if (len < at + 40)
			return 0;
		room = get16(p + at + 4);
		if (at + 40 + room > len)
			return 0;
		l->transport = at + 40;
		l->proto = p[at + 6];
		break;
	default:
		return 0;
	}
	if (l->proto == (l->version == 4 ? 1 : 58) || l->proto == 6) {
		if (room < (l->proto == 6 ? 20 : 8))
			return 0;
		l->covered = room;
	} else if (l->proto == 17) {
		if (room < 8 || !get16(p + l->transport + 6))
			return 0;
		l->covered = get16(p + l->transport + 4);
		if (l->covered < 8 || l->covered > room)
			return 0;
	} else {
		return 0;
	}
	l->end = l->transport + l->covered;
	return 1;
}

static int find_type(const uint8_t *p, unsigned int len, unsigned int type, unsigned int at, struct layout *l)
{
	if (type == 0x86dd || type == 0x0800)
		return find_ip(p, len, at, l) && l->version == (type == 0x0800 ? 4 : 6);
	return 0;
}

static int find_ethernet(const uint8_t *p, unsigned int len, unsigned int at, struct layout *l)
{
	return len >= at + 14 && find_type(p, len, get16(p + at + 12), at + 14, l);
}

static int find(const uint8_t *p, unsigned int len, unsigned int proto, struct layout *l)
{
	unsigned int flags, hlen = 4;

	memset(l, 0, sizeof(*l));
	switch (proto) {
	case 4:
	case 41:
		return find_ip(p, len, 0, l) && l->version == (proto == 4 ? 4 : 6);
	case 143:
		return find_ethernet(p, len, 0, l);
	case 47:
		if (len < 4)
			return 0;
		flags = get16(p);
		if (flags & ~0xb000)
			return 0;
		if (flags & 0x8000) {
			l->gre = 1;
			l->end = len;
			return len >= 8;
		}
		hlen += (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0);
		if (get16(p + 2) == 0x6558)
			return find_ethernet(p, len, hlen, l);
		return find_type(p, len, get16(p + 2), hlen, l);
	default:
		return 0;
	}
}

/* Make every checksum of the packet right, as who sent it would have. */
static void mend(uint8_t *p, const struct layout *l)
{
	unsigned int pseudo, at = l->transport + place(l->proto);

	if (l->gre) {
		put16(p + 4, 0);
		put16(p + 4, ~sum_of(p, l->end) & 0xffff);
		return;
	}
	if (l->version == 4) {
		put16(p + l->ip + 10, 0);
		put16(p + l->ip + 10, ~sum_of(p + l->ip, 20) & 0xffff);
		pseudo = sum_of(p + l->ip + 12, 8);
	} else {
		pseudo = sum_of(p + l->ip + 8, 32);
	}
	pseudo += l->proto + l->covered;
	if (l->proto == 1)
		pseudo = 0;
	put16(p + at, 0);
	put16(p + at, ~((pseudo + sum_of(p + l->transport, l->covered)) % 0xffff) & 0xffff);
	/* sum_of() is never 0xffff, so this is never 0 */
	DEMAND(get16(p + at));
}

/* The header's words are all that can be read: memory of just that size. */
static int told(const uint8_t *p, unsigned int avail, unsigned int len, unsigned int proto, struct gl_csum *c)
{
	uint8_t *head = malloc(avail);
	int answer;

	DEMAND(head || !avail);
	if (avail)
		memcpy(head, p, avail);
	answer = gl_csum_packet(head, avail, len, proto, c);
	free(head);
	return answer;
}

/* A sum of words as they lie in memory, as one of words in network order. */
static unsigned int network(uint32_t sum)
{
	uint16_t word;

	word = sum % 0xffff;
	return get16((const uint8_t *)&word) % 0xffff;
}

static void damage(uint8_t *p, unsigned int len, unsigned int proto, unsigned int bit, const struct layout *before)
{
	unsigned int at = bit / 8 % before->end;
	struct layout l;
	struct gl_csum c;

	p[at] ^= 1 << bit % 8;
	/* a packet with other fields in other places is another packet */
	if (!find(p, len, proto, &l) || memcmp(&l, before, sizeof(l)))
		return;
	/* link headers, and what IPv6 has ahead of its addresses, no inner checksum is of: they are summed as they are */
	if (!l.gre && at < l.ip + (l.version == 6 ? 8 : 0))
		return;
	DEMAND(told(p, len, len, proto, &c));
	DEMAND(network(c.sum) != sum_of(p, c.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t protos[] = { 4, 41, 47, 143 };
	unsigned int len, avail, proto;
	struct gl_csum c, part;
	struct layout l;
	uint8_t *p;
	int known;

	if (size < 4 || size > 2048)
		return -1;
	proto = data[0] < 0xf0 ? protos[data[0] % 4] : data[0];
	len = size - 4;
	avail = data[1] < len ? data[1] : len;
	p = malloc(len + 1);
	DEMAND(p);
	memcpy(p, data + 4, len);

	/* whatever it is, nothing is read that is not there, and an answer does not hang on how much is */
	known = told(p, len, len, proto, &c);
	if (told(p, avail, len, proto, &part))
		DEMAND(known && part.sum == c.sum && part.len == c.len);
	if (known)
		DEMAND(c.len <= len);

	/* possible just where this file thinks so, in every place that a network card may leave unread */
	DEMAND(known == find(p, len, proto, &l));
	if (known) {
		DEMAND(c.len == l.end);
		mend(p, &l);
		DEMAND(told(p, len, len, proto, &c) && c.len == l.end);
		DEMAND(network(c.sum) == sum_of(p, c.len));
		damage(p, len, proto, data[2] << 8 | data[3], &l);
	}
	free(p);
	return 0;
}
