// SPDX-License-Identifier: Apache-2.0
/* The two ends of a WireGuard tunnel, whose keys are known to everybody. */
#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <string.h>
#include <sys/socket.h>
#include "bench.h"

/* The private keys are 32 octets 0x11 and 0x22; these are the public ones (X25519). */
static const unsigned char public_keys[2][WG_KEY_LEN] = {
	{ 0x7b, 0x4e, 0x90, 0x9b, 0xbe, 0x7f, 0xfe, 0x44, 0xc4, 0x65, 0xa2, 0x20, 0x03, 0x7d, 0x60, 0x8e,
	  0xe3, 0x58, 0x97, 0xd3, 0x1e, 0xf9, 0x72, 0xf0, 0x7f, 0x74, 0x89, 0x2c, 0xb0, 0xf7, 0x3f, 0x13 },
	{ 0x0f, 0xaa, 0x68, 0x4e, 0xd2, 0x88, 0x67, 0xb9, 0x7f, 0x4a, 0x6a, 0x2d, 0xee, 0x5d, 0xf8, 0xce,
	  0x97, 0x4e, 0x76, 0xb7, 0x01, 0x8e, 0x3f, 0x22, 0xa1, 0xc4, 0xcf, 0x26, 0x78, 0x57, 0x0f, 0x20 },
};

static void put_endpoint(struct request *r, const char *word, uint16_t port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	unsigned char octets[16];

	if (address(word, octets) == AF_INET) {
		memcpy(&four.sin_addr, octets, 4);
		nl_put(r, WGPEER_A_ENDPOINT, &four, sizeof(four));
	} else {
		memcpy(&six.sin6_addr, octets, 16);
		nl_put(r, WGPEER_A_ENDPOINT, &six, sizeof(six));
	}
}

static void put_allowed(struct request *r, uint16_t family)
{
	static const unsigned char any[16];
	size_t nest = nl_nest(r, 0);

	nl_put_u16(r, WGALLOWEDIP_A_FAMILY, family);
	nl_put(r, WGALLOWEDIP_A_IPADDR, any, family == AF_INET ? 4 : 16);
	nl_put_u8(r, WGALLOWEDIP_A_CIDR_MASK, 0);
	nl_end(r, nest);
}

/* NS DEVICE SIDE LISTEN PEER-ADDRESS PEER-PORT; SIDE is 0 or 1 */
int cmd_wireguard(char **words)
{
	unsigned long side = number(words[2], 1);
	unsigned char private_key[WG_KEY_LEN];
	size_t peers, peer, allowed;
	struct genlmsghdr *g;
	struct request r;
	int fd;

	enter(words[0]);
	fd = nl_open(NETLINK_GENERIC);
	g = NLMSG_DATA(nl_begin(&r, nl_family(fd, WG_GENL_NAME), 0, sizeof(*g)));
	g->cmd = WG_CMD_SET_DEVICE;
	g->version = WG_GENL_VERSION;
	memset(private_key, side ? 0x22 : 0x11, sizeof(private_key));
	nl_put_text(&r, WGDEVICE_A_IFNAME, words[1]);
	nl_put(&r, WGDEVICE_A_PRIVATE_KEY, private_key, sizeof(private_key));
	nl_put_u16(&r, WGDEVICE_A_LISTEN_PORT, number(words[3], 65535));
	peers = nl_nest(&r, WGDEVICE_A_PEERS);
	peer = nl_nest(&r, 0);
	nl_put(&r, WGPEER_A_PUBLIC_KEY, public_keys[!side], WG_KEY_LEN);
	put_endpoint(&r, words[4], number(words[5], 65535));
	allowed = nl_nest(&r, WGPEER_A_ALLOWEDIPS);
	put_allowed(&r, AF_INET);
	put_allowed(&r, AF_INET6);
	nl_end(&r, allowed);
	nl_end(&r, peer);
	nl_end(&r, peers);
	nl_do(fd, &r, words[1]);
	return 0;
}
