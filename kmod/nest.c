// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: how many encapsulations are in a packet
 *
 * A packet handed back to the stack is a new one to it, and no field of an skb
 * lives through a tunnel device. So the headers themselves are counted, on
 * receipt and on transmission alike. That also bounds a loop of tunnels, whatever
 * devices and queues lie between: each turn adds an encapsulation.
 */
#include <linux/if_ether.h>
#include <linux/if_vlan.h>
#include <net/gre.h>
#include "gutless.h"

/* More headers than this in one packet serve nothing but to keep us busy. */
#define GL_NEST_STEPS	32

/* The UDP header and the first octets of its payload: is it one of our formats? */
static bool gl_nest_udp(const struct sk_buff *skb, unsigned int *off, u8 *proto)
{
	u8 buf[sizeof(struct udphdr) + GL_BASE_LEN];
	const u8 *payload;
	u8 format;

	payload = skb_header_pointer(skb, *off, sizeof(buf), buf);
	if (!payload)
		return false;
	payload += sizeof(struct udphdr);

	format = gl_wire_format(payload[0]);
	if (!format || (format != GUTLESS_ACCEPT_BARE &&
			payload[0] & GL_CONTROL))
		return false;
	*proto = format == GUTLESS_ACCEPT_BARE ?
		gl_wire_bare_proto(payload[0]) : payload[1];
	*off += sizeof(struct udphdr) + gl_wire_len(format, payload[0]);
	return true;
}

static bool gl_nest_ethertype(__be16 type, u8 *proto)
{
	switch (type) {
	case htons(ETH_P_IP):
		*proto = IPPROTO_IPIP;
		return true;
	case htons(ETH_P_IPV6):
		*proto = IPPROTO_IPV6;
		return true;
	case htons(ETH_P_TEB):
		*proto = IPPROTO_ETHERNET;
		return true;
	default:
		return false;
	}
}

static bool gl_nest_gre(const struct sk_buff *skb, unsigned int *off, u8 *proto)
{
	struct gre_base_hdr buf, *gre;
	unsigned int len;

	gre = skb_header_pointer(skb, *off, sizeof(buf), &buf);
	if (!gre || gre->flags & (GRE_VERSION | GRE_ROUTING))
		return false;
	len = sizeof(*gre);
	if (gre->flags & GRE_CSUM)
		len += 4;
	if (gre->flags & GRE_KEY)
		len += 4;
	if (gre->flags & GRE_SEQ)
		len += 4;
	*off += len;
	return gl_nest_ethertype(gre->protocol, proto);
}

static bool gl_nest_ethernet(const struct sk_buff *skb, unsigned int *off,
			     u8 *proto)
{
	struct ethhdr buf, *eth;
	struct vlan_hdr vbuf, *vlan;
	__be16 type;
	int tags;

	eth = skb_header_pointer(skb, *off, sizeof(buf), &buf);
	if (!eth)
		return false;
	*off += sizeof(*eth);
	type = eth->h_proto;
	for (tags = 0; tags < 2 && eth_type_vlan(type); tags++) {
		vlan = skb_header_pointer(skb, *off, sizeof(vbuf), &vbuf);
		if (!vlan)
			return false;
		*off += sizeof(*vlan);
		type = vlan->h_vlan_encapsulated_proto;
	}
	return gl_nest_ethertype(type, proto);
}

/* One header further. Return: whether the parse can go on. */
static bool gl_nest_step(const struct sk_buff *skb, unsigned int *off, u8 *proto)
{
	union {
		struct iphdr ip4;
		struct ipv6hdr ip6;
		struct ipv6_opt_hdr ext;
	} buf;
	const struct ipv6_opt_hdr *ext;
	const struct ipv6hdr *ip6;
	const struct iphdr *ip4;

	switch (*proto) {
	case IPPROTO_IPIP:
		ip4 = skb_header_pointer(skb, *off, sizeof(buf.ip4), &buf.ip4);
		if (!ip4 || ip4->version != 4 || ip4->ihl < 5 ||
		    ip4->frag_off & htons(IP_OFFSET))
			return false;
		*off += ip4->ihl * 4;
		*proto = ip4->protocol;
		return true;
	case IPPROTO_IPV6:
		ip6 = skb_header_pointer(skb, *off, sizeof(buf.ip6), &buf.ip6);
		if (!ip6 || ip6->version != 6)
			return false;
		*off += sizeof(*ip6);
		*proto = ip6->nexthdr;
		return true;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		ext = skb_header_pointer(skb, *off, sizeof(buf.ext), &buf.ext);
		if (!ext)
			return false;
		*off += ipv6_optlen(ext);
		*proto = ext->nexthdr;
		return true;
	case IPPROTO_GRE:
		return gl_nest_gre(skb, off, proto);
	case IPPROTO_ETHERNET:
		return gl_nest_ethernet(skb, off, proto);
	default:
		return false;
	}
}

/**
 * gl_nesting - count the encapsulations inside a packet
 * @skb: the packet; need not be linear
 * @off: where its first header to look at begins, from skb->data
 * @proto: that header's IP protocol number
 *
 * Return: their number, at most GL_NESTING_MAX + 1, which stands for more.
 */
unsigned int gl_nesting(const struct sk_buff *skb, unsigned int off, u8 proto)
{
	unsigned int depth = 0, steps;

	for (steps = 0; steps < GL_NEST_STEPS; steps++) {
		if (proto == IPPROTO_UDP) {
			if (!gl_nest_udp(skb, &off, &proto))
				return depth;
			if (++depth > GL_NESTING_MAX)
				return depth;
		} else if (!gl_nest_step(skb, &off, &proto)) {
			return depth;
		}
	}
	return GL_NESTING_MAX + 1;
}
