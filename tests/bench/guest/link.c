// SPDX-License-Identifier: Apache-2.0
/* Tunnel links, whose encapsulation types iproute2 has no words for, and offloads of devices. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/if_tunnel.h>
#include <linux/ip6_tunnel.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "bench.h"

/* of net/if.h, which does not go together with the kernel's headers above */
extern unsigned int if_nametoindex(const char *name);

/* The same settings have other numbers in the two families of kinds. */
struct attributes {
	uint16_t local, remote, ttl, type, flags, sport, dport;
};

static const struct attributes plain = {
	IFLA_IPTUN_LOCAL,	IFLA_IPTUN_REMOTE,	IFLA_IPTUN_TTL,		IFLA_IPTUN_ENCAP_TYPE,
	IFLA_IPTUN_ENCAP_FLAGS,	IFLA_IPTUN_ENCAP_SPORT,	IFLA_IPTUN_ENCAP_DPORT,
};

static const struct attributes gre = {
	IFLA_GRE_LOCAL,		IFLA_GRE_REMOTE,	IFLA_GRE_TTL,		IFLA_GRE_ENCAP_TYPE,
	IFLA_GRE_ENCAP_FLAGS,	IFLA_GRE_ENCAP_SPORT,	IFLA_GRE_ENCAP_DPORT,
};

static void put_encap(struct request *r, const struct attributes *kind, char **words)
{
	for (char **w = words; *w; w += 2) {
		uint16_t big;

		if (!w[1])
			die("%s wants a value", *w);
		if (!strcmp(*w, "type")) {
			nl_put_u16(r, kind->type, number(w[1], 65535));
		} else if (!strcmp(*w, "flags")) {
			nl_put_u16(r, kind->flags, number(w[1], 65535));
		} else if (!strcmp(*w, "dport")) {
			big = htons(number(w[1], 65535));
			nl_put(r, kind->dport, &big, sizeof(big));
		} else if (!strcmp(*w, "mode")) {
			nl_put_u8(r, IFLA_IPTUN_PROTO, number(w[1], 255));
		} else {
			die("%s: unknown word", *w);
		}
	}
}

/*
 * NS NAME KIND LOCAL REMOTE [WORD VALUE]...
 * Words: type N, flags N, dport N (of the encapsulation), mode N (protocol inside; 0: any)
 */
int cmd_link(char **words)
{
	const char *kind = words[2];
	bool is_gre = strstr(kind, "gre"), six = strchr(kind, '6');
	const struct attributes *as = is_gre ? &gre : &plain;
	unsigned char local[16], remote[16];
	size_t info, data;
	struct request r;
	int fd;

	if (address(words[3], local) != address(words[4], remote) || (address(words[3], local) == AF_INET6) != six)
		die("%s: addresses of another family", words[1]);
	enter(words[0]);
	fd = nl_open(NETLINK_ROUTE);
	nl_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	nl_put_text(&r, IFLA_IFNAME, words[1]);
	info = nl_nest(&r, IFLA_LINKINFO);
	nl_put_text(&r, IFLA_INFO_KIND, kind);
	data = nl_nest(&r, IFLA_INFO_DATA);
	nl_put(&r, as->local, local, six ? 16 : 4);
	nl_put(&r, as->remote, remote, six ? 16 : 4);
	nl_put_u8(&r, as->ttl, 64);
	if (six) {
		/* no destination option in front of what is inside */
		nl_put_u32(&r, is_gre ? IFLA_GRE_FLAGS : IFLA_IPTUN_FLAGS, IP6_TNL_F_IGN_ENCAP_LIMIT);
	}
	put_encap(&r, as, words + 5);
	nl_end(&r, data);
	nl_end(&r, info);
	nl_do(fd, &r, words[1]);
	return 0;
}

/* NS DEVICE [WORD on|off]...  Words: tx, rx (checksums), sg, tso, gso, gro */
int cmd_offloads(char **words)
{
	static const struct {
		const char *word;
		uint32_t command;
	} known[] = {
		{ "tx", ETHTOOL_STXCSUM }, { "rx", ETHTOOL_SRXCSUM }, { "sg", ETHTOOL_SSG },
		{ "tso", ETHTOOL_STSO },   { "gso", ETHTOOL_SGSO },   { "gro", ETHTOOL_SGRO },
	};
	int fd;

	enter(words[0]);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	for (char **w = words + 2; *w; w += 2) {
		struct ethtool_value value = {};
		struct ifreq request = {};

		for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (!strcmp(*w, known[i].word))
				value.cmd = known[i].command;
		if (!value.cmd || !w[1])
			die("%s: unknown word", *w);
		value.data = !strcmp(w[1], "on");
		snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", words[1]);
		request.ifr_data = (void *)&value;
		if (ioctl(fd, SIOCETHTOOL, &request))
			die("%s %s %s: %s", words[1], *w, w[1], strerror(errno));
	}
	return 0;
}

/* NS DEVICE: what is sent goes to the device at once, as it does where a device has no queue of its own */
int cmd_noqueue(char **words)
{
	struct request r;
	struct tcmsg *t;
	int fd;

	enter(words[0]);
	fd = nl_open(NETLINK_ROUTE);
	t = NLMSG_DATA(nl_begin(&r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*t)));
	t->tcm_ifindex = if_nametoindex(words[1]);
	t->tcm_parent = TC_H_ROOT;
	nl_put_text(&r, TCA_KIND, "noqueue");
	nl_do(fd, &r, "noqueue");
	return 0;
}
