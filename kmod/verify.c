// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: ports that verify headers
 *
 * UDP reads all of a packet before it hands it over, and so does connection tracking
 * before it. Where a packet has a Check word, and its inner packet a checksum that
 * covers the rest, the headers alone tell whether they are damaged; the rest is for
 * the inner protocol to find out. A port told so looks at them before anybody else
 * does, and marks what is good as verified.
 *
 * What UDP would conclude from that about the inner packet is wrong, so the socket
 * of such a port does not pass it on: the inner protocol verifies anew.
 */
#include <linux/inetdevice.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/addrconf.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/route.h>
#include <net/udp.h>
#include "csum.h"
#include "gutless.h"

#if IS_ENABLED(CONFIG_NETFILTER)

/* What has to be read to know that a packet has Check */
#define GL_VERIFY_START		(sizeof(struct udphdr) + GL_BASE_LEN)

enum gl_verdict {
	GL_VERIFY_ALL,		/* the headers do not tell: UDP does, by all of it */
	GL_VERIFY_GOOD,
	GL_VERIFY_BAD,
};

/* Is it a whole UDP packet? Then it begins at @at. */
static bool gl_verify_udp(const struct sk_buff *skb, u8 family,
			  unsigned int *at)
{
	if (family == AF_INET) {
		*at = ip_hdrlen(skb);
		return ip_hdr(skb)->protocol == IPPROTO_UDP &&
		       !ip_is_fragment(ip_hdr(skb));
	}
	*at = sizeof(struct ipv6hdr);
	return ipv6_hdr(skb)->nexthdr == IPPROTO_UDP;
}

/* Return: the UDP header at @at where a data header with Check is behind it */
static const struct udphdr *gl_verify_header(const struct sk_buff *skb,
					     unsigned int at, u8 *buf)
{
	const struct udphdr *uh;
	const u8 *p;

	uh = skb_header_pointer(skb, at, GL_VERIFY_START, buf);
	if (!uh || !uh->check)
		return NULL;
	p = (const u8 *)(uh + 1);
	if (gl_wire_format(p[0]) != GUTLESS_ACCEPT_GUTLESS ||
	    p[0] & GL_CONTROL || !(p[2] | p[3]))
		return NULL;
	return uh;
}

/* The port that verifies the headers of what is sent to it, if it is one */
static struct gl_port *gl_verify_port(struct net *net,
				      const struct sk_buff *skb, u8 family,
				      __be16 dport)
{
	struct gl_port *port;

	hlist_for_each_entry_rcu(port, &gl_net_rcu(net)->verifiers, verifier) {
		const struct gl_port_key *key = &port->key;

		if (key->port != dport || key->family != family ||
		    (key->ifindex && key->ifindex != skb->dev->ifindex))
			continue;
		if (ipv6_addr_any(&key->local))
			return port;
		if (family == AF_INET ?
		    key->local.s6_addr32[0] == ip_hdr(skb)->daddr :
		    ipv6_addr_equal(&key->local, &ipv6_hdr(skb)->daddr))
			return port;
	}
	return NULL;
}

/* Is the packet for this host, and not one to forward, nor for many? */
static bool gl_verify_local(struct net *net, const struct sk_buff *skb,
			    u8 family)
{
	if (family == AF_INET)
		return inet_addr_type_dev_table(net, skb->dev,
						ip_hdr(skb)->daddr) ==
		       RTN_LOCAL;
#if IS_ENABLED(CONFIG_IPV6)
	return ipv6_chk_addr(net, &ipv6_hdr(skb)->daddr, skb->dev, 0);
#else
	return false;
#endif
}

/* Of the pseudo-header and UDP's own: with Check all the rest sums to nothing. */
static bool gl_verify_outer(const struct sk_buff *skb, unsigned int at,
			    u8 family)
{
	const struct udphdr *uh = (const struct udphdr *)(skb->data + at);
	unsigned int len = skb->len - at;
	__wsum sum = csum_partial(uh, sizeof(*uh), 0);

	if (family == AF_INET)
		return !csum_tcpudp_magic(ip_hdr(skb)->saddr,
					  ip_hdr(skb)->daddr, len, IPPROTO_UDP,
					  sum);
	return !csum_ipv6_magic(&ipv6_hdr(skb)->saddr, &ipv6_hdr(skb)->daddr,
				len, IPPROTO_UDP, sum);
}

/*
 * Judge by the headers, with skb->data at the outer IP header.
 *
 * The sum of the inner packet is what its headers tell it should be, and they leave
 * out its addresses, which the transport's checksum has, too. So an IPv4 header is
 * verified by its own checksum; IPv6 has none, and needs all of the packet, as does
 * what has no checksum that we know.
 */
static enum gl_verdict gl_verify_headers(struct sk_buff *skb, unsigned int at,
					 u8 family)
{
	unsigned int hlen, inner, avail;
	const u8 *p;
	int ip4;
	s64 sum;

	p = skb->data + at + sizeof(struct udphdr);
	hlen = gl_wire_len(GUTLESS_ACCEPT_GUTLESS, p[0]);
	inner = at + sizeof(struct udphdr) + hlen;
	if (ntohs(((const struct udphdr *)(skb->data + at))->len) !=
	    skb->len - at || skb->len <= inner)
		return GL_VERIFY_ALL;
	avail = min_t(unsigned int, skb->len - inner, GL_CSUM_HEADERS);
	if (!pskb_may_pull(skb, inner + avail))
		return GL_VERIFY_ALL;

	p = skb->data + inner - hlen;
	ip4 = gl_csum_ipv4_at(skb->data + inner, avail, p[1]);
	if (ip4 < 0)
		return GL_VERIFY_ALL;
	if (csum_fold(csum_partial(skb->data + inner + ip4,
				   sizeof(struct iphdr), 0)))
		return GL_VERIFY_BAD;
	__skb_pull(skb, inner);
	sum = gl_csum_inner(skb, p[1]);
	__skb_push(skb, inner);
	if (sum < 0)
		return GL_VERIFY_ALL;

	if (csum_fold(csum_partial(p, hlen, (__force __wsum)(u32)sum)) ||
	    !gl_verify_outer(skb, at, family))
		return GL_VERIFY_BAD;
	return GL_VERIFY_GOOD;
}

static unsigned int gl_verify(struct sk_buff *skb, struct net *net, u8 family)
{
	u8 buf[GL_VERIFY_START] __aligned(4);
	const struct udphdr *uh;
	struct gl_port *port;
	unsigned int at;

	/* where somebody has summed it there is nothing left to save */
	if (skb->ip_summed != CHECKSUM_NONE || skb_is_gso(skb) ||
	    !gl_verify_udp(skb, family, &at))
		return NF_ACCEPT;
	uh = gl_verify_header(skb, at, buf);
	if (!uh)
		return NF_ACCEPT;
	port = gl_verify_port(net, skb, family, uh->dest);
	if (!port || !gl_verify_local(net, skb, family) ||
	    !pskb_may_pull(skb, at + GL_VERIFY_START))
		return NF_ACCEPT;

	switch (gl_verify_headers(skb, at, family)) {
	case GL_VERIFY_GOOD:
		skb->ip_summed = CHECKSUM_UNNECESSARY;
		skb->csum_level = 0;
		return NF_ACCEPT;
	case GL_VERIFY_BAD:
		/* behind a queue to user space this is no softirq */
		local_bh_disable();
		gl_count(port->stats, GUTLESS_A_RX_DROP_CHECK, 1);
		local_bh_enable();
		return NF_DROP;
	default:
		return NF_ACCEPT;
	}
}

static unsigned int gl_verify_in(void *priv, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	return gl_verify(skb, state->net,
			 state->pf == NFPROTO_IPV4 ? AF_INET : AF_INET6);
}

/*
 * What was for a port may have been given to somebody else on the way, who is not to
 * take it for verified: another address or port, by translation; another socket.
 */
static unsigned int gl_verify_away(void *priv, struct sk_buff *skb,
				   const struct nf_hook_state *state)
{
	u8 family = state->pf == NFPROTO_IPV4 ? AF_INET : AF_INET6;
	u8 buf[GL_VERIFY_START] __aligned(4);
	const struct udphdr *uh;
	unsigned int at;

	if (skb->ip_summed != CHECKSUM_UNNECESSARY ||
	    !gl_verify_udp(skb, family, &at))
		return NF_ACCEPT;
	uh = gl_verify_header(skb, at, buf);
	if (uh && (state->hook == NF_INET_FORWARD || skb->sk ||
		   !gl_verify_port(state->net, skb, family, uh->dest)))
		skb->ip_summed = CHECKSUM_NONE;
	return NF_ACCEPT;
}

#define GL_VERIFY_HOOK(family, where, before, does)			\
	{								\
		.hook = (does),						\
		.pf = (family),						\
		.hooknum = (where),					\
		.priority = (before),					\
	}

/* fragments are whole behind this, and tracked */
#define GL_VERIFY_EARLY		(NF_IP_PRI_CONNTRACK_DEFRAG - 1)

static const struct nf_hook_ops gl_verify_hooks[] = {
	GL_VERIFY_HOOK(NFPROTO_IPV4, NF_INET_PRE_ROUTING, GL_VERIFY_EARLY,
		       gl_verify_in),
	GL_VERIFY_HOOK(NFPROTO_IPV4, NF_INET_LOCAL_IN, NF_IP_PRI_FIRST,
		       gl_verify_away),
	GL_VERIFY_HOOK(NFPROTO_IPV4, NF_INET_FORWARD, NF_IP_PRI_FIRST,
		       gl_verify_away),
#if IS_ENABLED(CONFIG_IPV6)
	GL_VERIFY_HOOK(NFPROTO_IPV6, NF_INET_PRE_ROUTING, GL_VERIFY_EARLY,
		       gl_verify_in),
	GL_VERIFY_HOOK(NFPROTO_IPV6, NF_INET_LOCAL_IN, NF_IP_PRI_FIRST,
		       gl_verify_away),
	GL_VERIFY_HOOK(NFPROTO_IPV6, NF_INET_FORWARD, NF_IP_PRI_FIRST,
		       gl_verify_away),
#endif
};

/**
 * gl_verify_prepare - all of starting to verify headers that can fail
 * @net: where, locked
 *
 * Return: 0, to be followed by gl_verify_start() or gl_verify_cancel(), or a negative
 * error.
 */
int gl_verify_prepare(struct net *net)
{
	struct gl_net *gn = gl_net(net);
	int err = 0;

	lockdep_assert_held(&gn->lock);
	if (!gn->n_verifiers)
		err = nf_register_net_hooks(net, gl_verify_hooks,
					    ARRAY_SIZE(gl_verify_hooks));
	if (!err)
		gn->n_verifiers++;
	return err;
}

void gl_verify_cancel(struct net *net)
{
	struct gl_net *gn = gl_net(net);

	lockdep_assert_held(&gn->lock);
	if (!--gn->n_verifiers)
		nf_unregister_net_hooks(net, gl_verify_hooks,
					ARRAY_SIZE(gl_verify_hooks));
}

void gl_verify_start(struct gl_port *port)
{
	struct sock *sk = port->sock->sk;

	/*
	 * It stays so: a packet that was marked may come late, out of a queue to
	 * user space.
	 */
	if (inet_get_convert_csum(sk))
		inet_dec_convert_csum(sk);
	synchronize_net();
	hlist_add_head_rcu(&port->verifier, &gl_net(sock_net(sk))->verifiers);
}

void gl_verify_stop(struct gl_port *port)
{
	hlist_del_rcu(&port->verifier);
	gl_verify_cancel(sock_net(port->sock->sk));
}
#else
int gl_verify_prepare(struct net *net)
{
	return -EOPNOTSUPP;
}

void gl_verify_cancel(struct net *net)
{
}

void gl_verify_start(struct gl_port *port)
{
}

void gl_verify_stop(struct gl_port *port)
{
}
#endif
