// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: a node on the path
 *
 * Packets that are forwarded are looked at where the firewall has let them pass
 * and the route is known. Addresses and ports may be translated before or after:
 * that changes UDP's header and never Check, as what is done here changes Check
 * and never UDP's header. The sum of the packet stays, so whoever knows it
 * (CHECKSUM_COMPLETE) or has still to make it (CHECKSUM_PARTIAL) need not be told.
 */
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include "device.h"
#include "onpath.h"

/* Extension headers that are looked behind, one after another */
#define GL_ONPATH_EXT_MAX	4

/* Packets that were queued to a program go on with bottom halves enabled. */
static void gl_onpath_count(const struct gl_device *d, unsigned int what,
			    unsigned int n)
{
	local_bh_disable();
	gl_count(d->stats, what, n);
	local_bh_enable();
}

static bool gl_onpath_port(const struct gl_device *d, __be16 port)
{
	unsigned int i;

	for (i = 0; i < d->n_ports; i++)
		if (d->ports[i] == port)
			return true;
	return false;
}

/* A GUT-less packet at @off, of which @len octets follow. Return: its counter */
static int gl_onpath_packet(struct sk_buff *skb, unsigned int off,
			    unsigned int len, u32 mtu)
{
	u8 buf[GL_HEADER_MAX];
	unsigned int hlen;
	const u8 *p;
	int verdict;

	p = skb_header_pointer(skb, off, 1, buf);
	hlen = gl_wire_len(GUTLESS_ACCEPT_GUTLESS, p[0]);
	if (len < hlen)
		return GUTLESS_A_ONPATH_LEFT_MALFORMED;
	p = skb_header_pointer(skb, off, hlen, buf);
	verdict = gl_onpath_judge(p, len, mtu);
	if (verdict != GUTLESS_A_ONPATH_LOWERED)
		return verdict;
	/* many packets in one, of which this would be the first */
	if (skb_is_gso(skb))
		return GUTLESS_A_ONPATH_LEFT_MERGED;
	if (skb_ensure_writable(skb, off + hlen))
		return GUTLESS_A_ONPATH_LEFT_NO_MEMORY;
	gl_onpath_lower(skb->data + off, mtu);
	return verdict;
}

/* What is UDP at @off, and whole. */
static void gl_onpath_udp(const struct gl_device *d, struct sk_buff *skb,
			  unsigned int off, u32 mtu)
{
	const struct udphdr *uh;
	struct udphdr udp_buf;
	unsigned int len, n;
	u8 first_buf;
	const u8 *first;

	uh = skb_header_pointer(skb, off, sizeof(udp_buf), &udp_buf);
	if (!uh || !gl_onpath_port(d, uh->dest))
		return;
	len = ntohs(uh->len);
	if (len <= sizeof(*uh) || len > skb->len - off)
		return;
	off += sizeof(*uh);
	len -= sizeof(*uh);
	first = skb_header_pointer(skb, off, 1, &first_buf);
	if (!first || gl_wire_format(*first) != GUTLESS_ACCEPT_GUTLESS)
		return;
	n = gl_segs(skb);
	gl_onpath_count(d, GUTLESS_A_ONPATH_SEEN, n);
	gl_onpath_count(d, gl_onpath_packet(skb, off, len, mtu), n);
}

static const struct gl_device *gl_onpath_device(const struct nf_hook_state *state)
{
	return xa_load(&gl_net_rcu(state->net)->devices, state->out->ifindex);
}

static unsigned int gl_onpath_ipv4(void *priv, struct sk_buff *skb,
				   const struct nf_hook_state *state)
{
	const struct gl_device *d = gl_onpath_device(state);
	const struct iphdr *iph = ip_hdr(skb);
	u32 mtu;

	if (!d || iph->protocol != IPPROTO_UDP)
		return NF_ACCEPT;
	if (ip_is_fragment(iph)) {
		gl_onpath_count(d, GUTLESS_A_ONPATH_LEFT_FRAGMENT, 1);
		return NF_ACCEPT;
	}
	mtu = READ_ONCE(state->out->mtu);
	if (skb_dst(skb))
		mtu = min(mtu, ip_dst_mtu_maybe_forward(skb_dst(skb), true));
	gl_onpath_udp(d, skb, skb_network_offset(skb) + iph->ihl * 4, mtu);
	return NF_ACCEPT;
}

#if IS_ENABLED(CONFIG_IPV6)
/*
 * Where UDP begins, behind headers of options alone. Behind others the octets
 * belong to somebody else, or are signed.
 *
 * Return: the offset; 0 where there is none, and tells of a fragment.
 */
static unsigned int gl_onpath_behind(const struct sk_buff *skb, bool *fragment)
{
	unsigned int off = skb_network_offset(skb) + sizeof(struct ipv6hdr);
	u8 proto = ipv6_hdr(skb)->nexthdr, buf[2], i;
	const u8 *ext;

	for (i = 0; proto != IPPROTO_UDP; i++) {
		if (i == GL_ONPATH_EXT_MAX)
			return 0;
		ext = skb_header_pointer(skb, off, sizeof(buf), buf);
		if (!ext)
			return 0;
		if (proto == IPPROTO_FRAGMENT)
			*fragment = ext[0] == IPPROTO_UDP;
		if (proto != IPPROTO_HOPOPTS && proto != IPPROTO_DSTOPTS)
			return 0;
		proto = ext[0];
		off += 8 * (ext[1] + 1);
	}
	return off;
}

static unsigned int gl_onpath_ipv6(void *priv, struct sk_buff *skb,
				   const struct nf_hook_state *state)
{
	const struct gl_device *d = gl_onpath_device(state);
	bool fragment = false;
	unsigned int off;
	u32 mtu;

	if (!d)
		return NF_ACCEPT;
	off = gl_onpath_behind(skb, &fragment);
	if (fragment)
		gl_onpath_count(d, GUTLESS_A_ONPATH_LEFT_FRAGMENT, 1);
	if (!off)
		return NF_ACCEPT;
	mtu = READ_ONCE(state->out->mtu);
	if (skb_dst(skb))
		mtu = min(mtu, ip6_dst_mtu_maybe_forward(skb_dst(skb), true));
	gl_onpath_udp(d, skb, off, mtu);
	return NF_ACCEPT;
}
#endif

static const struct nf_hook_ops gl_onpath_hooks[] = {
	{
		.hook = gl_onpath_ipv4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_FORWARD,
		.priority = NF_IP_PRI_LAST,
	},
#if IS_ENABLED(CONFIG_IPV6)
	{
		.hook = gl_onpath_ipv6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_FORWARD,
		.priority = NF_IP6_PRI_LAST,
	},
#endif
};

int gl_onpath_hook(struct net *net)
{
	return nf_register_net_hooks(net, gl_onpath_hooks,
				     ARRAY_SIZE(gl_onpath_hooks));
}

/* Packets on their way may still be in it; they find no device. */
void gl_onpath_unhook(struct net *net)
{
	nf_unregister_net_hooks(net, gl_onpath_hooks,
				ARRAY_SIZE(gl_onpath_hooks));
}
