// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: the way out
 *
 * The kernel's tunnel links call us with the inner packet to put the UDP header,
 * and what is between it and the packet, in front; they add the outer IP header.
 */
#include <linux/rcupdate.h>
#include <net/dst_cache.h>
#include <net/ip6_checksum.h>
#include <net/ip6_tunnel.h>
#include <net/ip_tunnels.h>
#include <net/route.h>
#include <net/udp.h>
#include "gutless.h"
#include "icmp.h"

/* Octets that tunnels inside may have put in front of 64 KiB to be segmented */
#define GL_GSO_HEADERS		1024

#define GL_FLAGS_WORDS_SHIFT \
	(GUTLESS_PROFILE_SHIFT + GUTLESS_PROFILE_INDEX_BITS)

/* struct gl_tx - one packet's way */
struct gl_tx {
	const struct gl_profile *profile;
	struct net *net;	/* that the link sends from */
	bool header;		/* the link has room for a base header */
	bool csum;
	bool summed;		/* the inner packet has this sum */
	__wsum sum;
	unsigned int base;	/* octets between UDP and the inner packet */
	bool remote;		/* the inner checksum is left to the receiver: */
	u16 start;		/* where its sum begins in the inner packet */
	u16 offset;		/* where it is */
	__be16 sport;
};

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

static void gl_kept_head_free(struct rcu_head *head)
{
	consume_skb(container_of((void *)head, struct sk_buff, cb));
}

/*
 * Make room that is ours to write to. Our caller may have a pointer into the
 * headers which it uses after us (ip_tunnel_xmit(): the inner IP header). When
 * the headers have to move, a clone keeps the old ones alive for as long as
 * anybody in this RCU read section may look at them.
 */
static int gl_cow_head(struct sk_buff *skb, unsigned int room)
{
	struct sk_buff *keep;
	int err;

	if (likely(!skb_header_cloned(skb) && skb_headroom(skb) >= room))
		return 0;
	/* what the link will add after us, so that they move only once */
	room = max_t(unsigned int, room, READ_ONCE(skb->dev->needed_headroom));

	BUILD_BUG_ON(sizeof(struct rcu_head) > sizeof(keep->cb));
	keep = skb_clone(skb, GFP_ATOMIC);
	if (!keep)
		return -ENOMEM;
	/* octets alone shall live on, no device or connection with them */
	skb_dst_drop(keep);
	nf_reset_ct(keep);
	skb_ext_reset(keep);

	err = skb_cow_head(skb, room);
	call_rcu((struct rcu_head *)keep->cb, gl_kept_head_free);
	return err;
}

static __be16 gl_source_port(const struct ip_tunnel_encap *e,
			     const struct gl_profile *profile,
			     struct sk_buff *skb)
{
	u32 n = profile->sport_max - profile->sport_min + 1;
	u32 hash;

	if (e->sport)
		return e->sport;
	if (n == 1)
		return htons(profile->sport_min);

	hash = skb_get_hash(skb);
	if (unlikely(!hash))
		hash = udp_flow_hashrnd();
	/* the port takes the upper bits: let the lower ones count as well */
	hash ^= hash << 16;
	return htons(profile->sport_min + reciprocal_scale(hash, n));
}

/* Has the packet a checksum yet to be made, and can we leave it to the peer? */
static bool gl_tx_remote(struct gl_tx *tx, const struct sk_buff *skb)
{
	int start, offset;

	if (!tx->profile->words || skb->ip_summed != CHECKSUM_PARTIAL ||
	    skb_csum_is_sctp((struct sk_buff *)skb))
		return false;
	/* segmentation would leave out the checksum of a tunnel inside as well */
	if (skb_is_gso(skb) &&
	    skb_shinfo(skb)->gso_type & (SKB_GSO_UDP_TUNNEL |
					 SKB_GSO_UDP_TUNNEL_CSUM |
					 SKB_GSO_TUNNEL_REMCSUM |
					 SKB_GSO_GRE_CSUM))
		return false;
	start = skb_checksum_start_offset(skb);
	offset = start + skb->csum_offset;
	if (start < 0 || offset > U16_MAX || (start | offset) & 1)
		return false;
	tx->start = start;
	tx->offset = offset;
	return true;
}

/*
 * What goes in front of the inner packet, if anything.
 *
 * Return: octets, or -1 where the profile's format cannot be sent by the link.
 */
static int gl_tx_base(const struct gl_tx *tx, u8 proto, u8 *bits)
{
	bool ip = proto == IPPROTO_IPIP || proto == IPPROTO_IPV6;
	int len = GL_BASE_LEN + (tx->remote ? 4 * tx->profile->words : 0);

	switch (tx->profile->format) {
	case 0:		/* no profile: the link's type says it all */
		*bits = GL_BITS_GUE0;
		return tx->header ? len : 0;
	case GUTLESS_FORMAT_FOU:
		return tx->header ? -1 : 0;
	case GUTLESS_FORMAT_GUE:
		*bits = GL_BITS_GUE0;
		return tx->header ? len : -1;
	case GUTLESS_FORMAT_GUTLESS:
		*bits = GL_BITS_GUTLESS;
		if (!tx->header && tx->profile->words)
			return -1;
		if (ip && !tx->remote)
			return 0;
		return tx->header ? len : -1;
	}
	return -1;
}

static int gl_tx_drop(const struct gl_tx *tx, const struct sk_buff *skb,
		      unsigned int reason)
{
	gl_count(tx->profile->stats, reason, gl_segs(skb));
	/* never EMSGSIZE, after which ip6_tunnel sends an ICMP of its own */
	return -EINVAL;
}

/* The profile that the link names. Return: 0 or an error; then it is counted. */
static int gl_tx_profile(struct gl_tx *tx, const struct ip_tunnel_encap *e,
			 const struct sk_buff *skb, unsigned int csum_flag)
{
	unsigned int number = e->flags >> GUTLESS_PROFILE_SHIFT;
	struct gl_net *gn = gl_net(tx->net);

	tx->profile = rcu_dereference(gn->plain);
	if (unlikely(!tx->profile))
		return -ENETDOWN;	/* the namespace is going */
	tx->csum = e->flags & csum_flag;
	if (number) {
		const struct gl_profile *profile;

		profile = xa_load(&gn->profiles, number);
		if (unlikely(!profile))
			return gl_tx_drop(tx, skb,
					  GUTLESS_A_TX_DROP_NO_PROFILE);
		tx->profile = profile;
		tx->csum = profile->csum != GUTLESS_CSUM_ZERO;
	}
	return 0;
}

/*
 * With our headers a packet yet to be segmented may be longer than a length field
 * can say: its segments get lengths of their own. More than that is a jumbogram.
 */
static bool gl_tx_too_long(const struct sk_buff *skb, unsigned int added)
{
	if (skb_is_gso(skb))
		return skb->len > IP_MAX_MTU + GL_GSO_HEADERS;
	return skb->len + added > IP_MAX_MTU;
}

/* The header between UDP and the inner packet, of @len octets */
static void gl_tx_push(const struct gl_tx *tx, struct sk_buff *skb,
		       unsigned int len, u8 bits, u8 proto)
{
	u8 *p = skb_push(skb, len);

	if (!tx->remote) {
		gl_wire_build(p, bits, proto);
		return;
	}
	gl_wire_build_remcsum(p, bits, tx->profile->words, proto, tx->start,
			      tx->offset);
	if (!skb_is_gso(skb)) {
		/* what is in the field now is what the receiver begins with */
		skb->ip_summed = CHECKSUM_NONE;
		skb->encapsulation = 0;
	}
}

/*
 * Everything up to the UDP header.
 * @outer: octets of outer IP header that share the 16 bits of its length
 */
static int gl_tx_build(struct gl_tx *tx, struct sk_buff *skb,
		       const struct ip_tunnel_encap *e, u8 proto,
		       unsigned int outer)
{
	unsigned int inner = skb->len, room;
	int base, gso_type;
	u8 bits = 0;

	tx->remote = gl_tx_remote(tx, skb);
	tx->summed = tx->csum && skb->ip_summed != CHECKSUM_PARTIAL &&
		     !skb_is_gso(skb) && gl_csum_inner(skb, proto, &tx->sum);
	base = gl_tx_base(tx, proto, &bits);
	if (unlikely(base < 0))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_FORMAT);

	room = base + sizeof(struct udphdr);
	if (unlikely(gl_tx_too_long(skb, room + outer)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_LENGTH);

	if (unlikely(gl_xmit_depth() > GL_XMIT_DEPTH_MAX ||
		     1 + gl_nesting(skb, 0, proto) > GL_NESTING_MAX))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_RECURSION);

	if (unlikely(gl_cow_head(skb, room)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_NO_MEMORY);
	gso_type = tx->csum ? SKB_GSO_UDP_TUNNEL_CSUM : SKB_GSO_UDP_TUNNEL;
	if (tx->remote)
		gso_type |= SKB_GSO_TUNNEL_REMCSUM;
	if (unlikely(iptunnel_handle_offloads(skb, gso_type)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_NO_MEMORY);

	tx->sport = gl_source_port(e, tx->profile, skb);

	tx->base = base;
	if (base)
		gl_tx_push(tx, skb, base, bits, proto);

	gl_count_packet(tx->profile->stats, GUTLESS_A_TX_PACKETS, gl_segs(skb),
			inner);
	if (skb_is_gso(skb))
		gl_count(tx->profile->stats, GUTLESS_A_TX_GSO_PACKETS,
			 gl_segs(skb));
	return 0;
}

static struct udphdr *gl_push_udp(struct sk_buff *skb, __be16 sport,
				  const struct ip_tunnel_encap *e)
{
	struct udphdr *uh = skb_push(skb, sizeof(*uh));

	skb_reset_transport_header(skb);
	uh->source = sport;
	uh->dest = e->dport;
	uh->len = htons(skb->len);
	return uh;
}

/* What the outer checksum is of, but for its pseudo-header */
static __wsum gl_tx_sum(const struct gl_tx *tx, struct udphdr *uh)
{
	uh->check = 0;
	return csum_partial(uh, sizeof(*uh) + tx->base, tx->sum);
}

/* The link whose own structure we are handed, which is so most often. */
static struct ip_tunnel *gl_tx_link4(const struct sk_buff *skb,
				     const struct ip_tunnel_encap *e)
{
	struct ip_tunnel *t = netdev_priv(skb->dev);

	return e == &t->encap ? t : NULL;
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

	if (likely(fl4->saddr))
		return 0;
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

static int gl_build4(struct sk_buff *skb, struct ip_tunnel_encap *e,
		     u8 *protocol, struct flowi4 *fl4, bool header)
{
	struct ip_tunnel *t = gl_tx_link4(skb, e);
	struct udphdr *uh;
	struct gl_tx out = {
		/* where the link was made, wherever its device is now */
		.net = t ? t->net : dev_net(skb->dev),
		.header = header,
	};
	int err;

	err = gl_tx_profile(&out, e, skb, TUNNEL_ENCAP_FLAG_CSUM);
	if (err)
		return err;
	if (out.csum) {
		err = gl_source_addr4(out.net, t, fl4);
		if (err)
			return err;
	}
	err = gl_tx_build(&out, skb, e, *protocol, sizeof(struct iphdr));
	if (err)
		return err;

	uh = gl_push_udp(skb, out.sport, e);
	if (out.summed)
		uh->check = udp_v4_check(skb->len, fl4->saddr, fl4->daddr,
					 gl_tx_sum(&out, uh)) ?: CSUM_MANGLED_0;
	else
		udp_set_csum(!out.csum, skb, fl4->saddr, fl4->daddr, skb->len);
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

static int gl_build6(struct sk_buff *skb, struct ip_tunnel_encap *e,
		     u8 *protocol, struct flowi6 *fl6, bool header)
{
	struct udphdr *uh;
	struct gl_tx out = {
		.net = gl_tx_net6(skb, e),
		.header = header,
	};
	int err;

	err = gl_tx_profile(&out, e, skb, TUNNEL_ENCAP_FLAG_CSUM6);
	if (err)
		return err;
	/* an IPv6 header is not part of the length it states */
	err = gl_tx_build(&out, skb, e, *protocol, 0);
	if (err)
		return err;

	uh = gl_push_udp(skb, out.sport, e);
	if (out.summed)
		uh->check = udp_v6_check(skb->len, &fl6->saddr, &fl6->daddr,
					 gl_tx_sum(&out, uh)) ?: CSUM_MANGLED_0;
	else
		udp6_set_csum(!out.csum, skb, &fl6->saddr, &fl6->daddr,
			      skb->len);
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
