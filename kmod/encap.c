// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: the encapsulation types
 *
 * The kernel's tunnel links call us with the inner packet to put the UDP header,
 * and what is between it and the packet, in front; they add the outer IP header.
 */
#include <linux/if_arp.h>
#include <net/dst_cache.h>
#include <net/ip6_checksum.h>
#include <net/ip6_fib.h>
#include <net/ip6_route.h>
#include <net/ip6_tunnel.h>
#include <net/ip_tunnels.h>
#include <net/route.h>
#include "icmp.h"
#include "tx.h"

#define GL_FLAGS_WORDS_SHIFT \
	(GUTLESS_PROFILE_SHIFT + GUTLESS_PROFILE_INDEX_BITS)

/* Octets in front of the inner packet. The number of a profile tells it. */
static size_t gl_hlen(const struct ip_tunnel_encap *e, bool header)
{
	return sizeof(struct udphdr) + (header ? GL_BASE_LEN : 0) +
	       4 * (e->flags >> GL_FLAGS_WORDS_SHIFT);
}

static size_t gl_hlen_bare(struct ip_tunnel_encap *e)
{
	return gl_hlen(e, false);
}

static size_t gl_hlen_header(struct ip_tunnel_encap *e)
{
	return gl_hlen(e, true);
}

/* The link whose own structure we are handed, which is so most often. */
static struct ip_tunnel *gl_tx_link4(const struct sk_buff *skb,
				     const struct ip_tunnel_encap *e)
{
	struct ip_tunnel *t = netdev_priv(skb->dev);

	return e == &t->encap ? t : NULL;
}

/*
 * Does a link have to ask for more room in front of packets? What sit has is plenty,
 * and is made whole so that nobody needs to look again.
 */
static noinline void gl_tx_ask_room(const struct sk_buff *skb,
				    const struct ip_tunnel_encap *e,
				    unsigned int hlen)
{
	struct ip_tunnel *t = gl_tx_link4(skb, e);
	struct net_device *dev = skb->dev;
	unsigned short room = READ_ONCE(dev->needed_headroom);

	/* what the link itself puts between IP and us is there already */
	if (t && (dev->type == ARPHRD_SIT ||
		  skb_headroom(skb) + t->tun_hlen < room + hlen))
		WRITE_ONCE(dev->needed_headroom, ALIGN(room, HH_DATA_MOD));
}

/*
 * ip_tunnel_xmit() wants room for our header a second time after we have put it
 * there, and room for packets is given out in steps of 16 octets, of which the
 * broken one is lost (LL_RESERVED_SPACE()). A device whose packets have too little
 * asks for whole steps, and gets one more: enough that not each of them has to move
 * to a larger buffer. Links over IPv6 look for room before we are asked, once.
 */
static __always_inline void gl_tx_whole_steps(const struct sk_buff *skb,
					      const struct ip_tunnel_encap *e,
					      bool header)
{
	if (unlikely(READ_ONCE(skb->dev->needed_headroom) % HH_DATA_MOD))
		gl_tx_ask_room(skb, e, gl_hlen(e, header));
}

/*
 * ip_tunnel_xmit() looks up its route after us; until then a link without a
 * local address has no source for the checksum to cover. It will find the same,
 * most often in the link's cache.
 */
static int gl_source_addr4(struct net *net, struct ip_tunnel *t,
			   struct flowi4 *fl4)
{
	struct flowi4 fl = *fl4;
	struct rtable *rt = NULL;

	if (t && t->parms.iph.daddr)
		rt = dst_cache_get_ip4(&t->dst_cache, &fl.saddr);
	if (!rt)
		rt = ip_route_output_key(net, &fl);
	if (IS_ERR(rt))
		return PTR_ERR(rt);
	ip_rt_put(rt);
	fl4->saddr = fl.saddr;
	return 0;
}

/* Where the link was made, wherever its device is now */
static struct net *gl_tx_net4(const struct sk_buff *skb,
			      const struct ip_tunnel_encap *e)
{
	struct ip_tunnel *t = netdev_priv(skb->dev);

	return e == &t->encap ? t->net : dev_net(skb->dev);
}

/*
 * The MTU of the way to the peer, as far as it is known here. ip_tunnel_xmit() has
 * not looked up its route yet, and will find the same.
 */
static u16 gl_path_mtu4(struct net *net, const struct flowi4 *fl4)
{
	struct flowi4 fl = *fl4;
	struct rtable *rt = ip_route_output_key(net, &fl);
	u32 mtu;

	if (IS_ERR(rt))
		return 0;
	mtu = dst_mtu(&rt->dst);
	ip_rt_put(rt);
	return min_t(u32, mtu, U16_MAX);
}

static noinline int gl_build4_any(struct sk_buff *skb,
				  const struct ip_tunnel_encap *e,
				  u8 *protocol, struct flowi4 *fl4, bool header)
{
	struct udphdr *uh;
	struct gl_tx out = {
		.net = gl_tx_net4(skb, e),
		.header = header,
	};
	int err;

	err = gl_tx_profile(&out, e, skb, TUNNEL_ENCAP_FLAG_CSUM);
	if (err)
		return err;
	if (unlikely(!fl4->saddr) &&
	    (out.csum || out.profile->gue.wire.flags & GL_GUE_CSUM)) {
		err = gl_source_addr4(out.net, gl_tx_link4(skb, e), fl4);
		if (err)
			return err;
	}
	if (out.profile->mtu)
		out.mtu = gl_path_mtu4(out.net, fl4);
	err = gl_tx_build(&out, skb, e, *protocol, sizeof(struct iphdr));
	if (err)
		return err;

	uh = gl_push_udp(skb, out.sport, e);
	if (out.gue_csum)
		gl_gue_seal(uh, out.base, out.gue_csum,
			    csum_add((__force __wsum)fl4->saddr,
				     (__force __wsum)fl4->daddr));
	if (out.summed)
		uh->check = udp_v4_check(skb->len, fl4->saddr, fl4->daddr,
					 gl_tx_sum(&out, uh)) ?: CSUM_MANGLED_0;
	else
		udp_set_csum(!out.csum, skb, fl4->saddr, fl4->daddr, skb->len);
	*protocol = IPPROTO_UDP;
	return 0;
}

static __always_inline int gl_build4(struct sk_buff *skb,
				     const struct ip_tunnel_encap *e,
				     u8 *protocol, struct flowi4 *fl4,
				     bool header)
{
	struct net *net = gl_tx_net4(skb, e);
	struct udphdr *uh = NULL;
	struct gl_plain left;

	gl_tx_whole_steps(skb, e, header);
	if (fl4->saddr)
		uh = gl_tx_plain(skb, e, net, *protocol, header,
				 TUNNEL_ENCAP_FLAG_CSUM, &left);
	if (!uh)
		return gl_build4_any(skb, e, protocol, fl4, header);
	if (left.csum)
		uh->check = udp_v4_check(skb->len, fl4->saddr, fl4->daddr,
					 left.sum) ?: CSUM_MANGLED_0;
	*protocol = IPPROTO_UDP;
	return 0;
}

static int gl_build4_bare(struct sk_buff *skb, struct ip_tunnel_encap *e,
			  u8 *protocol, struct flowi4 *fl4)
{
	return gl_build4(skb, e, protocol, fl4, false);
}

static int gl_build4_header(struct sk_buff *skb, struct ip_tunnel_encap *e,
			    u8 *protocol, struct flowi4 *fl4)
{
	return gl_build4(skb, e, protocol, fl4, true);
}

/* Errors are asked for once for each type: one answers for both. */
static const struct ip_tunnel_encap_ops gl_ops4_bare = {
	.encap_hlen = gl_hlen_bare,
	.build_header = gl_build4_bare,
	.err_handler = gl_icmp_err4,
};

static const struct ip_tunnel_encap_ops gl_ops4_header = {
	.encap_hlen = gl_hlen_header,
	.build_header = gl_build4_header,
};

#if IS_ENABLED(CONFIG_IPV6)
/* Where the link was made, wherever its device is now */
static struct net *gl_tx_net6(const struct sk_buff *skb,
			      const struct ip_tunnel_encap *e)
{
	struct ip6_tnl *t = netdev_priv(skb->dev);

	return e == &t->encap ? t->net : dev_net(skb->dev);
}

/*
 * ip6_tnl_xmit() must not be told of an error: many kernels then free the packet
 * that it has copied to a larger buffer, and freed, before. What cannot be sent
 * goes to the route that leads nowhere; were it rerouted on the way there, nobody
 * would take a packet without a next header for anything.
 */
static int gl_discard6(struct net *net, struct sk_buff *skb, u8 *protocol)
{
	struct rt6_info *nowhere;

#ifdef CONFIG_IPV6_MULTIPLE_TABLES
	nowhere = net->ipv6.ip6_blk_hole_entry;
#else
	nowhere = net->ipv6.ip6_null_entry;
#endif
	DEV_STATS_INC(skb->dev, tx_dropped);
	skb_dst_drop(skb);
	skb_dst_set_noref(skb, &nowhere->dst);
	*protocol = IPPROTO_NONE;
	return 0;
}

static u16 gl_path_mtu6(struct net *net, const struct flowi6 *fl6)
{
	struct flowi6 fl = *fl6;
	struct dst_entry *dst = ip6_route_output(net, NULL, &fl);
	u32 mtu = dst->error ? 0 : dst_mtu(dst);

	dst_release(dst);
	return min_t(u32, mtu, U16_MAX);
}

static noinline int gl_build6_any(struct sk_buff *skb,
				  const struct ip_tunnel_encap *e,
				  u8 *protocol, struct flowi6 *fl6, bool header)
{
	struct udphdr *uh;
	struct gl_tx out = {
		.net = gl_tx_net6(skb, e),
		.header = header,
	};

	if (gl_tx_profile(&out, e, skb, TUNNEL_ENCAP_FLAG_CSUM6))
		return gl_discard6(out.net, skb, protocol);
	if (out.profile->mtu)
		out.mtu = gl_path_mtu6(out.net, fl6);
	/* an IPv6 header is not part of the length it states */
	if (gl_tx_build(&out, skb, e, *protocol, 0))
		return gl_discard6(out.net, skb, protocol);

	uh = gl_push_udp(skb, out.sport, e);
	if (out.gue_csum)
		gl_gue_seal(uh, out.base, out.gue_csum,
			    csum_partial(&fl6->saddr, sizeof(fl6->saddr),
					 csum_partial(&fl6->daddr,
						      sizeof(fl6->daddr), 0)));
	if (out.summed)
		uh->check = udp_v6_check(skb->len, &fl6->saddr, &fl6->daddr,
					 gl_tx_sum(&out, uh)) ?: CSUM_MANGLED_0;
	else
		udp6_set_csum(!out.csum, skb, &fl6->saddr, &fl6->daddr,
			      skb->len);
	*protocol = IPPROTO_UDP;
	return 0;
}

static __always_inline int gl_build6(struct sk_buff *skb,
				     const struct ip_tunnel_encap *e,
				     u8 *protocol, struct flowi6 *fl6,
				     bool header)
{
	struct udphdr *uh;
	struct gl_plain left;

	uh = gl_tx_plain(skb, e, gl_tx_net6(skb, e), *protocol, header,
			 TUNNEL_ENCAP_FLAG_CSUM6, &left);
	if (!uh)
		return gl_build6_any(skb, e, protocol, fl6, header);
	if (left.csum)
		uh->check = udp_v6_check(skb->len, &fl6->saddr, &fl6->daddr,
					 left.sum) ?: CSUM_MANGLED_0;
	*protocol = IPPROTO_UDP;
	return 0;
}

static int gl_build6_bare(struct sk_buff *skb, struct ip_tunnel_encap *e,
			  u8 *protocol, struct flowi6 *fl6)
{
	return gl_build6(skb, e, protocol, fl6, false);
}

static int gl_build6_header(struct sk_buff *skb, struct ip_tunnel_encap *e,
			    u8 *protocol, struct flowi6 *fl6)
{
	return gl_build6(skb, e, protocol, fl6, true);
}

static const struct ip6_tnl_encap_ops gl_ops6_bare = {
	.encap_hlen = gl_hlen_bare,
	.build_header = gl_build6_bare,
	.err_handler = gl_icmp_err6,
};

static const struct ip6_tnl_encap_ops gl_ops6_header = {
	.encap_hlen = gl_hlen_header,
	.build_header = gl_build6_header,
};

static int gl_tx6_register(void)
{
	int err;

	err = ip6_tnl_encap_add_ops(&gl_ops6_bare, GUTLESS_ENCAP_BARE);
	if (err)
		return err;
	err = ip6_tnl_encap_add_ops(&gl_ops6_header, GUTLESS_ENCAP_HEADER);
	if (err)
		ip6_tnl_encap_del_ops(&gl_ops6_bare, GUTLESS_ENCAP_BARE);
	return err;
}

static void gl_tx6_unregister(void)
{
	ip6_tnl_encap_del_ops(&gl_ops6_header, GUTLESS_ENCAP_HEADER);
	ip6_tnl_encap_del_ops(&gl_ops6_bare, GUTLESS_ENCAP_BARE);
}
#else
static int gl_tx6_register(void)
{
	return 0;
}

static void gl_tx6_unregister(void)
{
}
#endif

int gl_tx_register(void)
{
	int err;

	err = ip_tunnel_encap_add_ops(&gl_ops4_bare, GUTLESS_ENCAP_BARE);
	if (err)
		goto err_taken;
	err = ip_tunnel_encap_add_ops(&gl_ops4_header, GUTLESS_ENCAP_HEADER);
	if (err)
		goto err_bare;
	err = gl_tx6_register();
	if (err)
		goto err_header;
	return 0;

err_header:
	ip_tunnel_encap_del_ops(&gl_ops4_header, GUTLESS_ENCAP_HEADER);
err_bare:
	ip_tunnel_encap_del_ops(&gl_ops4_bare, GUTLESS_ENCAP_BARE);
err_taken:
	pr_err("gutless: encapsulation types %d and %d are not free\n",
	       GUTLESS_ENCAP_BARE, GUTLESS_ENCAP_HEADER);
	return -EBUSY;
}

void gl_tx_unregister(void)
{
	gl_tx6_unregister();
	ip_tunnel_encap_del_ops(&gl_ops4_header, GUTLESS_ENCAP_HEADER);
	ip_tunnel_encap_del_ops(&gl_ops4_bare, GUTLESS_ENCAP_BARE);
}
