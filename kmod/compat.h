/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gutless: differences between kernels
 *
 * Found by compiling the files in compat-probe/, never by a version number:
 * distributions port interfaces back. compat-gen.h has a GL_HAVE_ line for each
 * probe that compiled.
 */
#ifndef _GUTLESS_COMPAT_H
#define _GUTLESS_COMPAT_H

#include <crypto/blake2s.h>
#include <linux/minmax.h>
#include <linux/netdevice.h>
#include <net/genetlink.h>
#include <net/udp_tunnel.h>
#include "compat-gen.h"

#ifndef __counted_by
#define __counted_by(member)
#endif

/* newer kernels define a MAX for constant expressions */
#ifndef MAX
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif

/* not in the first releases of 6.1, whose counters are plain numbers */
#ifndef DEV_STATS_INC
#define DEV_STATS_INC(dev, field) ((dev)->stats.field++)
#endif

/* the socket of a tunnel is handed over as struct sock from 7.x on */
static inline void gl_setup_udp_tunnel(struct net *net, struct socket *sock,
				       struct udp_tunnel_sock_cfg *cfg)
{
#ifdef GL_HAVE_TUNNEL_SETUP_SOCK
	setup_udp_tunnel_sock(net, sock->sk, cfg);
#else
	setup_udp_tunnel_sock(net, sock, cfg);
#endif
}

/* the parsed attributes of a dump request */
static inline struct nlattr **gl_dump_attrs(struct netlink_callback *cb)
{
#ifdef GL_HAVE_GENL_INFO_DUMP
	return genl_info_dump(cb)->attrs;
#else
	return (struct nlattr **)genl_dumpit_info(cb)->attrs;
#endif
}

/*
 * Finishing a merged packet, UDP looks up its port once more. Where it takes the
 * inner packet's addresses for that, a port bound to an address is not found and
 * the packet is lost.
 */
#ifdef GL_HAVE_GRO_NETWORK_OFFSETS
#define GL_GRO_FINDS_BOUND_PORTS	true
#else
#define GL_GRO_FINDS_BOUND_PORTS	false
#endif

/*
 * Of merged packets kernels of late note whether the IPv4 identification was the
 * same in all of them: of the outermost header by one bit, of those inside by
 * another. Nobody moves these bits when a header is taken off or put on, and then
 * the segments of the inner packet have numbers after the outer header's pattern.
 */
static inline void gl_fixedid_pull(struct sk_buff *skb)
{
#ifdef GL_HAVE_FIXEDID_INNER
	unsigned int *type = &skb_shinfo(skb)->gso_type;

	/* what is still inside shares its bit with what was */
	if (*type & SKB_GSO_TCP_FIXEDID_INNER)
		*type |= SKB_GSO_TCP_FIXEDID;
	else
		*type &= ~SKB_GSO_TCP_FIXEDID;
#endif
}

/* The header in front of it will have numbers of its own, which rise. */
static inline void gl_fixedid_push(struct sk_buff *skb)
{
#ifdef GL_HAVE_FIXEDID_INNER
	unsigned int *type = &skb_shinfo(skb)->gso_type;

	if (*type & SKB_GSO_TCP_FIXEDID) {
		*type |= SKB_GSO_TCP_FIXEDID_INNER;
		*type &= ~SKB_GSO_TCP_FIXEDID;
	}
#endif
}

/* how many devices the packet in hand is inside of on its way out */
static inline unsigned int gl_xmit_depth(void)
{
#if defined(GL_HAVE_RECURSION_LEVEL)
	return dev_recursion_level();
#elif defined(GL_HAVE_SOFTNET_RECURSION)
	return __this_cpu_read(softnet_data.xmit.recursion);
#else
	return 0;	/* nesting in the packet itself remains the limit */
#endif
}

/*
 * What a secret is known by without being told: enough of its hash to tell two of
 * them apart. The kernel's random numbers need BLAKE2s, so that it is always there.
 */
#define GL_FINGERPRINT_LEN	8

static inline void gl_fingerprint(u8 *out, const u8 *secret, size_t len)
{
#ifdef GL_HAVE_BLAKE2S_KEY_FIRST
	blake2s(NULL, 0, secret, len, out, GL_FINGERPRINT_LEN);
#else
	blake2s(out, secret, NULL, GL_FINGERPRINT_LEN, len, 0);
#endif
}

#endif /* _GUTLESS_COMPAT_H */
