// SPDX-License-Identifier: GPL-2.0-only
/* setup_udp_tunnel_sock() takes struct sock */
#include <net/udp_tunnel.h>

void gl_probe(struct net *net, struct sock *sk, struct udp_tunnel_sock_cfg *cfg);

void gl_probe(struct net *net, struct sock *sk, struct udp_tunnel_sock_cfg *cfg)
{
	setup_udp_tunnel_sock(net, sk, cfg);
}
