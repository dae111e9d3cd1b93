// SPDX-License-Identifier: Apache-2.0
/* Ports and profiles of the module, by generic netlink. */
#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/gutless.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "bench.h"

static void begin(struct request *r, int fd, uint8_t command)
{
	static uint16_t family;
	struct genlmsghdr *g;

	if (!family)
		family = nl_family(fd, GUTLESS_GENL_NAME);
	g = NLMSG_DATA(nl_begin(r, family, 0, sizeof(*g)));
	g->cmd = command;
	g->version = GUTLESS_GENL_VERSION;
}

/* An allowed source, as one host */
static void put_source(struct request *r, const char *word)
{
	size_t nest = nl_nest(r, GUTLESS_A_PORT_SOURCE);
	unsigned char octets[16];
	int family = address(word, octets);

	nl_put(r, family == AF_INET ? GUTLESS_A_SOURCE_V4 : GUTLESS_A_SOURCE_V6, octets, family == AF_INET ? 4 : 16);
	nl_put_u8(r, GUTLESS_A_SOURCE_PREFIX_LEN, family == AF_INET ? 32 : 128);
	nl_end(r, nest);
}

/* Octets in hex go to @to, which has room for @max. Return: how many. */
static size_t hex(const char *word, unsigned char *to, size_t max)
{
	size_t n = 0;

	for (; *word; word += 2) {
		unsigned int octet;

		if (n == max || sscanf(word, "%2x", &octet) != 1 || !word[1])
			die("%s: no octets in hex", word);
		to[n++] = octet;
	}
	return n;
}

/* A key of option auth, always of the same secret */
static void put_key(struct request *r, int attr, uint16_t id)
{
	static const unsigned char secret[32] = { 1, 2, 3 };
	size_t nest = nl_nest(r, attr);

	nl_put_u16(r, GUTLESS_A_KEY_ID, id);
	nl_put(r, GUTLESS_A_KEY_SECRET, secret, sizeof(secret));
	nl_end(r, nest);
}

/* An option, in hex as in a header, that the port requires */
static void put_required(struct request *r, const char *word)
{
	size_t nest = nl_nest(r, GUTLESS_A_PORT_OPTION_RULE), len;
	unsigned char octets[124];

	len = hex(word, octets, sizeof(octets));
	nl_put_u8(r, GUTLESS_A_OPTION_RULE_TYPE, octets[0]);
	nl_put_u8(r, GUTLESS_A_OPTION_RULE_ACTION, GUTLESS_OPTION_ACTION_REQUIRE);
	nl_put(r, GUTLESS_A_OPTION_RULE_VALUE, octets + 2, len - 2);
	nl_end(r, nest);
}

/*
 * NS PORT FAMILY ACCEPT [WORD VALUE]...
 * Words: protocol N (of FOU), source ADDRESS, zero-csum6 1, verify-headers 1, require OPTION, key ID,
 * many N (that many ports, numbers rising from PORT)
 */
int cmd_port(char **words)
{
	unsigned long port = number(words[1], 65535), family = number(words[2], 10), accept = number(words[3], 15);
	unsigned long many = 1;
	struct request r;
	int fd;

	enter(words[0]);
	fd = nl_open(NETLINK_GENERIC);
	for (char **w = words + 4; *w; w += 2)
		if (!strcmp(*w, "many"))
			many = number(w[1], 65535);
	for (unsigned long i = 0; i < many; i++) {
		uint16_t big = htons(port + i);

		begin(&r, fd, GUTLESS_CMD_PORT_ADD);
		nl_put_u8(&r, GUTLESS_A_PORT_FAMILY, family == 4 ? AF_INET : AF_INET6);
		nl_put(&r, GUTLESS_A_PORT_PORT, &big, sizeof(big));
		nl_put_u32(&r, GUTLESS_A_PORT_ACCEPT, accept);
		for (char **w = words + 4; *w; w += 2) {
			if (!w[1])
				die("%s wants a value", *w);
			if (!strcmp(*w, "protocol"))
				nl_put_u8(&r, GUTLESS_A_PORT_FOU_PROTOCOL, number(w[1], 255));
			else if (!strcmp(*w, "source"))
				put_source(&r, w[1]);
			else if (!strcmp(*w, "zero-csum6"))
				nl_put_u8(&r, GUTLESS_A_PORT_ZERO_CSUM6, number(w[1], 1));
			else if (!strcmp(*w, "verify-headers"))
				nl_put_u8(&r, GUTLESS_A_PORT_VERIFY_HEADERS, number(w[1], 1));
			else if (!strcmp(*w, "require"))
				put_required(&r, w[1]);
			else if (!strcmp(*w, "key"))
				put_key(&r, GUTLESS_A_PORT_KEY, number(w[1], 65535));
			else if (strcmp(*w, "many"))
				die("%s: unknown word", *w);
		}
		nl_do(fd, &r, "gutless port");
	}
	return 0;
}

/* NS PORT FAMILY [many N] */
int cmd_unport(char **words)
{
	unsigned long port = number(words[1], 65535), family = number(words[2], 10), many = 1;
	struct request r;
	int fd;

	enter(words[0]);
	fd = nl_open(NETLINK_GENERIC);
	if (words[3] && words[4])
		many = number(words[4], 65535);
	for (unsigned long i = 0; i < many; i++) {
		uint16_t big = htons(port + i);

		begin(&r, fd, GUTLESS_CMD_PORT_DEL);
		nl_put_u8(&r, GUTLESS_A_PORT_FAMILY, family == 4 ? AF_INET : AF_INET6);
		nl_put(&r, GUTLESS_A_PORT_PORT, &big, sizeof(big));
		nl_do(fd, &r, "gutless port, deleting");
	}
	return 0;
}

/* NS NUMBER FORMAT CSUM [options OCTETS] [key ID] */
int cmd_profile(char **words)
{
	struct request r;
	int fd;

	enter(words[0]);
	fd = nl_open(NETLINK_GENERIC);
	begin(&r, fd, GUTLESS_CMD_PROFILE_ADD);
	nl_put_u16(&r, GUTLESS_A_PROFILE_NUMBER, number(words[1], 0x1fff));
	nl_put_u8(&r, GUTLESS_A_PROFILE_FORMAT, number(words[2], 255));
	nl_put_u8(&r, GUTLESS_A_PROFILE_CSUM, number(words[3], 255));
	for (char **w = words + 4; *w; w += 2) {
		unsigned char octets[124];

		if (!w[1])
			die("%s wants a value", *w);
		if (!strcmp(*w, "options"))
			nl_put(&r, GUTLESS_A_PROFILE_OPTIONS, octets, hex(w[1], octets, sizeof(octets)));
		else if (!strcmp(*w, "key"))
			put_key(&r, GUTLESS_A_PROFILE_KEY, number(w[1], 65535));
		else
			die("%s: unknown word", *w);
	}
	nl_do(fd, &r, "gutless profile");
	return 0;
}

/* NS NUMBER */
int cmd_unprofile(char **words)
{
	struct request r;
	int fd;

	enter(words[0]);
	fd = nl_open(NETLINK_GENERIC);
	begin(&r, fd, GUTLESS_CMD_PROFILE_DEL);
	nl_put_u16(&r, GUTLESS_A_PROFILE_NUMBER, number(words[1], 0x1fff));
	nl_do(fd, &r, "gutless profile, deleting");
	return 0;
}
