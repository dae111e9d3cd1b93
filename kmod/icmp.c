// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: ICMP errors about packets that were sent
 *
 * UDP asks every encapsulation whose the quoted packet was. It was ours where a
 * link of ours sends to that address, from those ports, in that format. Then the
 * inner protocol's own handler finds the link, learns the path's MTU, and tells
 * the inner sender, of a packet that begins where ours did.
 *
 * The handlers called are those of IP in IP and of GRE, which call none of UDP:
 * whatever is nested in a quote, this does not recur.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <net/protocol.h>
#include <net/udp.h>
#include "icmp.h"
#include "link.h"

/* What a handler may read behind the outer header without asking */
#define GL_QUOTE_MIN	8

/* struct gl_quote - the beginning of a packet that was sent */
struct gl_quote {
	const struct net *net;	/* that it was sent from */
	u8 family;
	struct in6_addr local;	/* IPv4: the first word, the rest zero */
	struct in6_addr remote;
	__be16 sport;
	__be16 dport;
	unsigned int at;	/* of what is behind UDP, from skb->data */
	unsigned int len;	/* of it, as UDP said, all of it */
	/* what is found out */
	u8 proto;		/* of the inner packet */
	unsigned int cut;	/* octets between the headers of IP */
};

static bool gl_quote_ports(const struct gl_quote *q, const struct gl_link *link,
			   const struct gl_profile *profile)
{
	const struct ip_tunnel_encap *e = link->encap;
	u16 sport = ntohs(q->sport);

	if (q->dport != e->dport)
		return false;
	if (e->sport)
		return q->sport == e->sport;
	return sport >= profile->sport_min && sport <= profile->sport_max;
}

static bool gl_quote_addresses(const struct gl_quote *q,
			       const struct gl_link *link)
{
	return link->kind->family == q->family && link->net == q->net &&
	       ipv6_addr_equal(&link->remote, &q->remote) &&
	       (ipv6_addr_any(&link->local) ||
		ipv6_addr_equal(&link->local, &q->local));
}

/* Is it an inner packet that the link sends? */
static bool gl_quote_proto(struct gl_quote *q, const struct gl_link *link,
			   u8 proto)
{
	q->proto = proto;
	if (link->kind->proto == IPPROTO_GRE)
		return proto == IPPROTO_GRE;
	return proto == IPPROTO_IPIP || proto == IPPROTO_IPV6;
}

/* A bare link says nothing of what is inside; it is what the link carries. */
static bool gl_quote_bare(struct gl_quote *q, const struct gl_link *link,
			  u8 first)
{
	if (link->kind->proto == IPPROTO_GRE)
		return gl_quote_proto(q, link, IPPROTO_GRE);
	return gl_wire_format(first) == GUTLESS_ACCEPT_BARE &&
	       gl_quote_proto(q, link, gl_wire_bare_proto(first));
}

/*
 * Take the quoted header apart as the link would have put it together. Routers
 * may quote no more than UDP's: then nothing is known but what the link carries.
 */
static bool gl_quote_header(struct gl_quote *q, const struct gl_link *link,
			    const struct sk_buff *skb)
{
	u8 buf[GL_HEADER_MAX], format, len;
	struct gl_wire w;
	const u8 *p;

	q->cut = sizeof(struct udphdr);
	p = skb_header_pointer(skb, q->at, 1, buf);
	if (!p)
		goto short_quote;
	if (link->encap->type == GUTLESS_ENCAP_BARE)
		return gl_quote_bare(q, link, *p);

	format = gl_wire_format(*p);
	len = gl_wire_len(format, *p);
	if (!format || q->len < len)
		return false;
	p = skb_header_pointer(skb, q->at, max_t(u8, len, 1), buf);
	if (!p)
		goto short_quote;
	if (gl_wire_parse(p, q->len, format, NULL, &w))
		return false;
	q->cut += w.len;
	return gl_quote_proto(q, link, w.proto);

short_quote:
	q->cut = 0;
	return gl_quote_proto(q, link, link->kind->proto);
}

/* Return: the profile by which it was sent, or NULL where it was not ours. */
static const struct gl_profile *gl_quote_find(struct gl_quote *q,
					      const struct sk_buff *skb)
{
	struct gl_net *gn = gl_net(q->net);
	const struct gl_profile *profile;
	const struct gl_link *link;
	unsigned int number;

	hlist_for_each_entry_rcu(link, gl_links_to(q->net, q->family, &q->remote),
				 by_remote) {
		if (!gl_quote_addresses(q, link))
			continue;
		number = link->encap->flags >> GUTLESS_PROFILE_SHIFT;
		profile = number ? xa_load(&gn->profiles, number) :
				   rcu_dereference(gn->plain);
		if (profile && gl_quote_ports(q, link, profile) &&
		    gl_quote_header(q, link, skb))
			return profile;
	}
	return NULL;
}

/*
 * A copy without what is between the headers, for handlers of IPv4, which look
 * for their own behind the outer one. The header of ICMP comes with it.
 */
static struct sk_buff *gl_quote_copy(const struct sk_buff *skb,
				     const struct gl_quote *q)
{
	const unsigned int icmp = sizeof(struct icmphdr);
	const unsigned int outer = q->at - sizeof(struct udphdr);
	struct sk_buff *copy;

	/* in part, of GRE, it tells nothing */
	if (skb->len < outer + q->cut + GL_QUOTE_MIN)
		return NULL;
	copy = skb_copy(skb, GFP_ATOMIC);
	if (!copy)
		return NULL;
	memmove(copy->data - icmp + q->cut, copy->data - icmp, icmp + outer);
	__skb_pull(copy, q->cut);
	copy->ip_summed = CHECKSUM_NONE;
	skb_reset_network_header(copy);
	skb_set_transport_header(copy, -(int)icmp);
	return copy;
}

static bool gl_quote_udp(const struct sk_buff *skb, unsigned int off,
			 struct gl_quote *q)
{
	const struct udphdr *uh;
	struct udphdr buf;

	uh = skb_header_pointer(skb, off, sizeof(buf), &buf);
	if (!uh || ntohs(uh->len) < sizeof(*uh))
		return false;
	q->sport = uh->source;
	q->dport = uh->dest;
	q->at = off + sizeof(*uh);
	q->len = ntohs(uh->len) - sizeof(*uh);
	return true;
}

static bool gl_quote_read4(struct gl_quote *q, const struct sk_buff *skb)
{
	const struct iphdr *iph = (const struct iphdr *)skb->data;

	*q = (struct gl_quote) {
		.net = dev_net(skb->dev),
		.family = AF_INET,
		.local.s6_addr32[0] = iph->saddr,
		.remote.s6_addr32[0] = iph->daddr,
	};
	return iph->protocol == IPPROTO_UDP &&
	       gl_quote_udp(skb, iph->ihl * 4, q);
}

/* Our links put no extension header in front of UDP. */
static bool gl_quote_read6(struct gl_quote *q, const struct sk_buff *skb)
{
	const struct ipv6hdr *ip6h = (const struct ipv6hdr *)skb->data;

	*q = (struct gl_quote) {
		.net = dev_net(skb->dev),
		.family = AF_INET6,
		.local = ip6h->saddr,
		.remote = ip6h->daddr,
	};
	return ip6h->nexthdr == IPPROTO_UDP &&
	       gl_quote_udp(skb, sizeof(*ip6h), q);
}

/**
 * gl_icmp_err4 - an ICMP error that quotes UDP over IPv4
 * @skb: at the quoted IP header, the ICMP header in front of it
 * @info: what the type says besides
 *
 * Return: 0 where it was about a packet of ours.
 */
int gl_icmp_err4(struct sk_buff *skb, u32 info)
{
	const struct net_protocol *handler;
	const struct gl_profile *profile;
	struct sk_buff *copy;
	struct gl_quote q;
	int err;

	if (!gl_quote_read4(&q, skb))
		return -ENOENT;
	profile = gl_quote_find(&q, skb);
	if (!profile)
		return -ENOENT;
	handler = rcu_dereference(inet_protos[q.proto]);
	if (!handler || !handler->err_handler)
		return -ENOENT;
	copy = gl_quote_copy(skb, &q);
	if (!copy)
		return -ENOENT;
	ip_hdr(copy)->protocol = q.proto;
	ip_hdr(copy)->tot_len = htons(ntohs(ip_hdr(copy)->tot_len) - q.cut);

	err = handler->err_handler(copy, info);
	consume_skb(copy);
	if (!err)
		gl_count(profile->stats, GUTLESS_A_TX_ICMP_ERRORS, 1);
	return err;
}

#if IS_ENABLED(CONFIG_IPV6)
/**
 * gl_icmp_err6 - an ICMP error that quotes UDP over IPv6
 * @skb: at the quoted IP header, the ICMP header in front of it
 * @opt: of the packet that brought it
 * @type: of ICMP
 * @code: of ICMP
 * @offset: octets of the quoted IP header and its extension headers
 * @info: what the type says besides
 *
 * Return: 0 where it was about a packet of ours.
 */
int gl_icmp_err6(struct sk_buff *skb, struct inet6_skb_parm *opt, u8 type,
		 u8 code, int offset, __be32 info)
{
	const struct inet6_protocol *handler;
	const struct gl_profile *profile;
	struct gl_quote q;
	int err;

	if (offset != sizeof(struct ipv6hdr) || !gl_quote_read6(&q, skb))
		return -ENOENT;
	profile = gl_quote_find(&q, skb);
	if (!profile)
		return -ENOENT;
	handler = rcu_dereference(inet6_protos[q.proto]);
	if (!handler || !handler->err_handler)
		return -ENOENT;
	/*
	 * It is told where the inner packet begins, takes all in front of that off
	 * the path's MTU, and needs nothing cut out. Of a packet that is not there
	 * it shall not read anything.
	 */
	offset += q.cut ?: skb->len - offset;
	err = handler->err_handler(skb, opt, type, code, offset, info);
	if (!err)
		gl_count(profile->stats, GUTLESS_A_TX_ICMP_ERRORS, 1);
	return err;
}
#endif

/**
 * gl_icmp_lookup - is the packet quoted in an ICMP error ours?
 * @sk: the port's socket, which has the quoted source or destination port
 * @skb: at the quoted IP header, its transport header is UDP's
 *
 * Asked before any encapsulation is: in-tree fou claims what it takes for GUE.
 *
 * Return: 0 where it is, and gl_icmp_rcv() is next.
 */
int gl_icmp_lookup(struct sock *sk, struct sk_buff *skb)
{
	struct gl_quote q;
	bool udp;

	udp = sk->sk_family == AF_INET ? gl_quote_read4(&q, skb) :
					 gl_quote_read6(&q, skb);
	return udp && gl_quote_find(&q, skb) ? 0 : -ENOENT;
}

/*
 * gl_icmp_rcv - receive an ICMP error about a packet of ours
 * @sk: the port's socket
 * @skb: at the quoted IP header, its transport header is ICMP's
 */
#ifdef GL_HAVE_ENCAP_ERR_INFO
void gl_icmp_rcv(struct sock *sk, struct sk_buff *skb, int err, __be16 port,
		 u32 data, u8 *payload)
#else
void gl_icmp_rcv(struct sock *sk, struct sk_buff *skb, unsigned int offset)
#endif
{
	if (sk->sk_family == AF_INET) {
		const struct icmphdr *icmp = icmp_hdr(skb);
		u32 info = 0;

		if (icmp->type == ICMP_DEST_UNREACH &&
		    icmp->code == ICMP_FRAG_NEEDED)
			info = ntohs(icmp->un.frag.mtu);
		gl_icmp_err4(skb, info);
#if IS_ENABLED(CONFIG_IPV6)
	} else {
		const struct icmp6hdr *icmp6 = icmp6_hdr(skb);

		gl_icmp_err6(skb, IP6CB(skb), icmp6->icmp6_type,
			     icmp6->icmp6_code, sizeof(struct ipv6hdr),
			     icmp6->icmp6_mtu);
#endif
	}
}
