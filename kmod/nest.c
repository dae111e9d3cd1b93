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
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/gre.h>
#include "gutless.h"

/* More headers than this in one packet serve nothing but to keep us busy. */
#define GL_NEST_STEPS	32

/*
 * Is this a data header that a port takes? What none takes is somebody's data.
 * Fields of GUE and options that we do not act on count: another receiver may.
 */
static bool gl_nest_header(const u8 *p, u8 format, u8 len)
{
	struct gl_wire w = { .remcsum = false };
	int fields;

	if (gl_wire_no_data(p))
		return false;
	if (format == GUTLESS_ACCEPT_GUTLESS)
		return !gl_wire_options(p + GL_BASE_LEN, len - GL_BASE_LEN,
					NULL, &w);
	fields = gl_gue_fields_len(p[2] << 8 | p[3]);
	return fields >= 0 && fields <= len - GL_BASE_LEN;
}

/* The UDP header and its payload: is it one of our formats? */
static bool gl_nest_udp(const struct sk_buff *skb, unsigned int *off, u8 *proto)
{
	u8 buf[GL_HEADER_MAX];
	const u8 *p;
	u8 format, len;

	*off += sizeof(struct udphdr);
	p = skb_header_pointer(skb, *off, 1, buf);
	if (!p)
		return false;
	format = gl_wire_format(p[0]);
	if (!format)
		return false;
	if (format == GUTLESS_ACCEPT_BARE) {
		*proto = gl_wire_bare_proto(p[0]);
		return true;
	}

	len = gl_wire_len(format, p[0]);
	p = skb_header_pointer(skb, *off, len, buf);
	if (!p || !gl_nest_header(p, format, len))
		return false;
	*proto = p[1];
	*off += len;
	return true;
}

/*
 * IP drops a packet that claims to be longer than it is, so whatever is in it
 * is never taken out. A length of 0 stands for one that does not fit. Behind an
 * Ethernet header IP need not be aligned: it is copied before it is read.
 */
static bool gl_nest_ip4(const struct sk_buff *skb, unsigned int off,
			struct iphdr *iph)
{
	unsigned int len;

	if (skb_copy_bits(skb, off, iph, sizeof(*iph)) || iph->version != 4 ||
	    iph->ihl < 5)
		return false;
	len = ntohs(iph->tot_len);
	if (!len)
		return skb->len - off > U16_MAX;
	return len >= iph->ihl * 4 && len <= skb->len - off;
}

static bool gl_nest_ip6(const struct sk_buff *skb, unsigned int off,
			struct ipv6hdr *ip6h)
{
	unsigned int room;

	if (skb_copy_bits(skb, off, ip6h, sizeof(*ip6h)) || ip6h->version != 6)
		return false;
	room = skb->len - off - sizeof(*ip6h);
	return ip6h->payload_len ? ntohs(ip6h->payload_len) <= room :
				   room > U16_MAX;
}

/* Does what a header of ours announces as IP look like it? */
static bool gl_nest_inner(const struct sk_buff *skb, unsigned int off, u8 proto)
{
	union {
		struct iphdr ip4;
		struct ipv6hdr ip6;
	} buf;

	switch (proto) {
	case IPPROTO_IPIP:
		return gl_nest_ip4(skb, off, &buf.ip4);
	case IPPROTO_IPV6:
		return gl_nest_ip6(skb, off, &buf.ip6);
	default:
		return true;
	}
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

	switch (*proto) {
	case IPPROTO_IPIP:
		if (!gl_nest_ip4(skb, *off, &buf.ip4) ||
		    buf.ip4.frag_off & htons(IP_OFFSET))
			return false;
		*off += buf.ip4.ihl * 4;
		*proto = buf.ip4.protocol;
		return true;
	case IPPROTO_IPV6:
		if (!gl_nest_ip6(skb, *off, &buf.ip6))
			return false;
		*off += sizeof(buf.ip6);
		*proto = buf.ip6.nexthdr;
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
			if (!gl_nest_udp(skb, &off, &proto) ||
			    !gl_nest_inner(skb, off, proto))
				return depth;
			if (++depth > GL_NESTING_MAX)
				return depth;
		} else if (!gl_nest_step(skb, &off, &proto)) {
			return depth;
		}
	}
	return GL_NESTING_MAX + 1;
}

/**
 * gl_is_transport_csum - is this the checksum of a TCP or UDP header?
 * @skb: the packet; need not be linear
 * @proto: IP protocol number of its first header, at skb->data
 * @start: where the header would begin, from there
 * @offset: where its checksum would be, from there
 */
bool gl_is_transport_csum(const struct sk_buff *skb, u8 proto,
			  unsigned int start, unsigned int offset)
{
	unsigned int off = 0, steps;

	for (steps = 0; off < start; steps++) {
		if (steps == GL_NEST_STEPS)
			return false;
		if (proto == IPPROTO_UDP ? !gl_nest_udp(skb, &off, &proto) :
					   !gl_nest_step(skb, &off, &proto))
			return false;
	}
	if (off != start)
		return false;
	switch (proto) {
	case IPPROTO_TCP:
		return offset - start == offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offset - start == offsetof(struct udphdr, check);
	default:
		return false;
	}
}
