// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer's target for the module's wire.h and onpath.h. An input is two octets that say what the port is (inputs.py has
 * the same), and the payload of UDP.
 *
 *	octet 0, bits 0-2: 0 a FOU port, else the formats gue0, bare, gutless
 *		 bit 3:	   the datagram had a UDP checksum
 *		 bits 4-5: inner protocols: 0 the default ones, 1 all, 2 the default ones and octet 1, 3 octet 1
 *		 bit 6:	   there is a rule for each type of option
 *		 bit 7:	   it requires group 7, the checksum and the cookie 01..08 of GUE
 *	octet 1:	   FOU's protocol, or the inner one of above
 *
 * With GUTLESS_FUZZ_PIPE=N in the environment every input and what was made of it goes to descriptor N:
 * length of the input (2 octets, network order), the input, reason, format, protocol, octets of header, Check in use,
 * checksum left to the receiver, start (2), offset (2).
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include "judge.h"
#include "onpath.h"

#define DEMAND(what) do { if (!(what)) {						\
	fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);		\
	abort(); } } while (0)

static FILE *reader;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *number = getenv("GUTLESS_FUZZ_PIPE");

	(void)argc;
	(void)argv;
	if (number) {
		reader = fdopen(atoi(number), "wb");
		DEMAND(reader);
		setvbuf(reader, NULL, _IOFBF, 1 << 16);
	}
	return 0;
}

static void accept_inner(struct judge_port *port, unsigned char proto)
{
	if (proto)
		port->inner[proto / 8] |= 1 << proto % 8;
}

static void make_port(struct judge_port *port, const uint8_t *said)
{
	static const unsigned char usual[] = { 4, 41, 47, 143 };
	unsigned int i, which = said[0] >> 4 & 3;

	memset(port, 0, sizeof(*port));
	memset(port->known, said[0] & 0x40 ? 0xff : 0, sizeof(port->known));
	port->summed = said[0] >> 3 & 1;
	port->ends[1] = 1;
	if (!(said[0] & 7)) {
		port->accept = GUTLESS_ACCEPT_FOU;
		port->fou = said[1] ? said[1] : GL_PROTO_IPV4;
		accept_inner(port, port->fou);
		return;
	}
	port->accept = (said[0] & 7) << 1;
	if (said[0] & 0x80) {
		port->gue_flags[0] = (GL_GUE_GROUP | 0x1000 | GL_GUE_CSUM) >> 8;
		port->gue_group[3] = 7;
		for (i = 0; i < 8; i++)
			port->gue_cookie[i] = i + 1;
	}
	if (which == 1)
		memset(port->inner, 0xff, sizeof(port->inner));
	if (which == 0 || which == 2)
		for (i = 0; i < sizeof(usual); i++)
			accept_inner(port, usual[i]);
	if (which >= 2)
		accept_inner(port, said[1]);
	port->inner[0] &= ~1;
}

static void tell(const uint8_t *data, size_t size, int reason, const struct gl_wire *w)
{
	const uint8_t length[2] = { size >> 8, size };
	const uint8_t answer[10] = {
		reason, w->format, w->proto, w->len, w->check, w->remcsum,
		w->start >> 8, w->start, w->offset >> 8, w->offset,
	};

	if (fwrite(length, 1, sizeof(length), reader) != sizeof(length) || fwrite(data, 1, size, reader) != size ||
	    fwrite(answer, 1, sizeof(answer), reader) != sizeof(answer))
		_exit(0);	/* nobody reads on */
}

/* What the module writes it takes, and reads as it was meant. */
static void build_and_parse(const uint8_t *data, size_t size)
{
	static const struct { __u8 bits, words; } forms[] = {
		{ GL_BITS_GUE0, 0 }, { GL_BITS_GUTLESS, 0 },
		{ GL_BITS_GUE0, 1 }, { GL_BITS_GUE0, 2 }, { GL_BITS_GUTLESS, 2 },
	};
	const __u8 bits = forms[data[0] % 5].bits, words = forms[data[0] % 5].words;
	const __u8 proto = data[1] ? data[1] : 1;
	const __u8 format = bits ? GUTLESS_ACCEPT_GUTLESS : GUTLESS_ACCEPT_GUE0;
	unsigned int len = GL_BASE_LEN + 4 * words;
	unsigned int start = 0, offset = 0;
	struct gl_wire w;
	__u8 *p = malloc(len);

	DEMAND(p);
	if (size >= 6) {
		start = (data[2] << 8 | data[3]) & 0xfffe;
		offset = (data[4] << 8 | data[5]) & 0xfffe;
	}
	if (words)
		gl_wire_build_remcsum(p, bits, words, proto, start, offset);
	else
		gl_wire_build(p, bits, proto);
	DEMAND(gl_wire_format(p[0]) == format);
	DEMAND(gl_wire_len(format, p[0]) == len);
	DEMAND(!words || start <= offset ||
	       gl_wire_parse(p, len + 0x10000, format, NULL, &w) == GUTLESS_A_RX_DROP_REMCSUM);
	if (!words || start <= offset) {
		/* the fewest octets behind it with which it is right, and one less */
		const unsigned int fits = words ? len + offset + 2 : len;

		DEMAND(!words || gl_wire_parse(p, fits - 1, format, NULL, &w) == GUTLESS_A_RX_DROP_REMCSUM);
		DEMAND(gl_wire_parse(p, fits, format, NULL, &w) == 0);
		DEMAND(w.format == format && w.proto == proto && w.len == len && !w.check);
		DEMAND(w.remcsum == !!words && (!words || (w.start == start && w.offset == offset)));
	}
	free(p);
}

/* The reply to a request is as long, is taken, and says what it should where there was room. */
static void answer(const uint8_t *data, size_t size, const struct gl_wire *request)
{
	struct gl_seen seen = { .version = data[0] & 1 ? 4 : 6, .port = { 0xc0, 0x01 } };
	const unsigned int len = size - 2;
	struct gl_wire w;
	uint8_t *p = malloc(request->len);

	DEMAND(p);
	memcpy(p, data + 2, request->len);
	memset(seen.addr, 0xa5, sizeof(seen.addr));
	memset(seen.understood, 0x5a, sizeof(seen.understood));
	gl_wire_answer(p, request->len, &seen);
	DEMAND(p[0] == data[2]);
	DEMAND(gl_wire_parse(p, len, GUTLESS_ACCEPT_GUTLESS, NULL, &w) == GUTLESS_A_RX_DROP_CONTROL);
	DEMAND(w.control && !w.check && w.len == request->len);
	DEMAND(gl_wire_control(w.proto, len - w.len) == GUTLESS_A_RX_ECHO_REPLIES);
	free(p);
}

static unsigned long sum_of(const uint8_t *p, unsigned int len)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < len; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	return sum % 0xffff;
}

/*
 * What a node on the path does to the packet: the MTU is that of the two octets in front. Nothing but the minima
 * and Check changes, the sum stays, and then there is nothing left to do.
 */
static void on_path(const uint8_t *data, size_t size)
{
	const unsigned int len = size - 2, mtu = data[0] << 8 | data[1];
	unsigned int header, i, changed = 0;
	uint8_t *p;
	int verdict;

	if (!len || gl_wire_format(data[2]) != GUTLESS_ACCEPT_GUTLESS)
		return;
	header = gl_wire_len(GUTLESS_ACCEPT_GUTLESS, data[2]);
	if (header > len)
		header = len;
	p = malloc(header);
	DEMAND(p);
	memcpy(p, data + 2, header);
	verdict = gl_onpath_judge(p, len, mtu);
	DEMAND(!memcmp(p, data + 2, header));
	DEMAND(verdict >= GUTLESS_A_ONPATH_LOWERED && verdict <= GUTLESS_A_ONPATH_LEFT_MALFORMED);
	if (verdict == GUTLESS_A_ONPATH_LOWERED) {
		gl_onpath_lower(p, mtu);
		DEMAND(p[2] || p[3]);
		DEMAND(sum_of(p, header) == sum_of(data + 2, header));
		DEMAND(p[0] == data[2] && p[1] == data[3]);
		for (i = GL_BASE_LEN; i < header; i++)
			changed += p[i] != data[2 + i];
		DEMAND(changed);
		DEMAND(gl_onpath_judge(p, len, mtu) == GUTLESS_A_ONPATH_LEFT_ENOUGH);
	}
	free(p);
}

/* So are the fields of GUE that it writes, where each is looked for. */
static void fields_and_parse(const uint8_t *data, size_t size)
{
	static const __u16 sec[] = { 0, 0x1000, 0x2000, 0x3000 };
	struct gl_gue gue = { .flags = sec[data[0] & 3] | (data[0] & 4 ? GL_GUE_GROUP : 0) |
				       (data[0] & 8 ? GL_GUE_CSUM : 0) };
	const __u8 words = (data[0] >> 4) % 3, proto = data[1] ? data[1] : 1;
	struct gl_gue other;
	unsigned int len, at;
	struct gl_wire w;
	__u8 *p;

	/* the other values of its three bits are no cookie's; HMACs are refused */
	DEMAND(!gl_gue_cookie_len(GL_GUE_HMAC));
	gue.len = gl_gue_fields_len(gue.flags);
	memset(gue.group, data[1], sizeof(gue.group));
	memset(gue.cookie, data[0], gl_gue_cookie_len(gue.flags));
	len = GL_BASE_LEN + gue.len + 4 * words;
	p = malloc(len);
	DEMAND(p);
	at = gl_wire_build_gue(p, &gue, words, proto, 20, 26);
	DEMAND(!at == !(gue.flags & GL_GUE_CSUM));
	DEMAND(!at || (at >= GL_BASE_LEN && at + 4 <= len && !p[at] && !p[at + 1] && !p[at + 2] && !p[at + 3]));
	DEMAND(gl_wire_len(GUTLESS_ACCEPT_GUE0, p[0]) == len);
	DEMAND(gl_wire_parse(p, len + 28, GUTLESS_ACCEPT_GUE0, NULL, &w) == 0);
	DEMAND(w.proto == proto && w.len == len && w.remcsum == !!words && !w.coverage);
	DEMAND(!words || (w.start == 20 && w.offset == 26));
	DEMAND(gl_wire_gue_judge(p, &w, &gue, true) == 0);
	if (at)
		DEMAND(gl_wire_gue_judge(p, &w, &gue, false) == GUTLESS_A_RX_DROP_GUE_CSUM);
	other = gue;
	other.group[size % 4] ^= 1;
	if (gue.flags & GL_GUE_GROUP)
		DEMAND(gl_wire_gue_judge(p, &w, &other, true) == GUTLESS_A_RX_DROP_GUE_GROUP);
	if (gl_gue_cookie_len(gue.flags)) {
		other.cookie[size % gl_gue_cookie_len(gue.flags)] ^= 1;
		DEMAND(gl_wire_gue_judge(p, &w, &other, true) == GUTLESS_A_RX_DROP_GUE_COOKIE);
	}
	free(p);
}

/* To whom no rule is told every type is known. */
static void all_known(const uint8_t *p, unsigned int len, const __u8 *known)
{
	const __u8 format = gl_wire_format(p[0]);
	struct gl_wire a, b;

	if (!format || len < gl_wire_len(format, p[0]))
		return;
	DEMAND(judge_parse(p, len, format, NULL, &a) == judge_parse(p, len, format, known, &b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct judge_port port;
	struct gl_wire w;
	unsigned int len;
	uint8_t *p;
	int reason;

	if (size < 2 || size > 0xffff)
		return -1;
	make_port(&port, data);
	len = size - 2;
	p = malloc(len);
	DEMAND(p || !len);
	if (len)
		memcpy(p, data + 2, len);
	reason = judge(p, len, &port, &w);
	DEMAND(!len || !memcmp(p, data + 2, len));
	if (len && data[0] & 0x40)
		all_known(p, len, port.known);
	free(p);

	DEMAND(!reason || (reason >= GUTLESS_A_RX_DROP_TRUNCATED && reason <= GUTLESS_A_RX_DROP_GUE_CSUM &&
			   reason != GUTLESS_A_RX_GRO_PACKETS &&
			   reason != GUTLESS_A_RX_DROP_NESTING && reason != GUTLESS_A_RX_DROP_NO_MEMORY) ||
	       (reason >= GUTLESS_A_RX_ECHO_REQUESTS && reason <= GUTLESS_A_RX_REPORTS && w.control));
	DEMAND(!w.unknown || (reason == GUTLESS_A_RX_DROP_OPTIONS && !w.control && w.unknown_at < w.len &&
			      data[2 + w.unknown_at] == w.unknown));
	if (reason == GUTLESS_A_RX_ECHO_REQUESTS)
		answer(data, size, &w);
	if (!reason) {
		DEMAND(w.proto && w.len <= len && w.len <= GL_HEADER_MAX);
		DEMAND(!w.remcsum || (w.start <= w.offset && w.len + w.offset + 2U <= len));
		DEMAND(!w.remcsum || !w.check);
	}
	if (reader)
		tell(data, size, reason, &w);
	build_and_parse(data, size);
	on_path(data, size);
	fields_and_parse(data, size);
	return 0;
}
