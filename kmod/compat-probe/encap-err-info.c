// SPDX-License-Identifier: GPL-2.0-only
/* the handler of a tunnel socket's ICMP errors is told what they say */
#include <net/udp_tunnel.h>

static void probe(struct sock *sk, struct sk_buff *skb, int err, __be16 port,
		  u32 info, u8 *payload)
{
}

struct udp_tunnel_sock_cfg cfg = { .encap_err_rcv = probe };
