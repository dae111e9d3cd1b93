// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: control messages of GUT-less
 *
 * An echo request is turned round into its reply; a packet that is dropped for an
 * option whose type asks for it is reported. Both go the host's own way to the
 * sender, from the port they are of, as often as limit.c allows. Echo replies and
 * reports are told to who listens and never answered, so that no two ports keep
 * each other busy.
 */
#include <linux/skbuff.h>
#include <net/inet_ecn.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/l3mdev.h>
#include <net/route.h>
#include <net/udp.h>
#include "control.h"
#include "wire_control.h"

#define GL_REPORT_MAX \
	(GL_BASE_LEN + GL_CONTROL_BODY_MIN + GL_REPORT_QUOTE_MAX)

static struct net *gl_port_net(const struct gl_port *port)
{
	return sock_net(port->sock->sk);
}

/* ---- the way out: what a port sends of its own ---- */

static void gl_push_ports(struct sk_buff *skb, const struct gl_port *port,
			  const struct gl_way *way)
{
	struct udphdr *uh = skb_push(skb, sizeof(*uh));

	skb_reset_transport_header(skb);
	uh->source = port->key.port;
	uh->dest = way->port;
	uh->len = htons(skb->len);
	uh->check = 0;
}

/* A queue on the way says with a positive number what it did. */
static int gl_xmit_error(int said)
{
	return said > 0 ? net_xmit_errno(said) : said;
}

static int gl_control_xmit4(const struct gl_port *port, struct sk_buff *skb,
			    struct gl_way *way)
{
	struct sock *sk = port->sock->sk;
	struct net *net = sock_net(sk);
	struct flowi4 fl4 = {
		.flowi4_oif = way->oif,
		.flowi4_mark = way->mark,
		.flowi4_proto = IPPROTO_UDP,
		.saddr = way->local.s6_addr32[0],
		.daddr = way->peer.s6_addr32[0],
		.fl4_sport = port->key.port,
		.fl4_dport = way->port,
	};
	struct iphdr *iph;
	struct rtable *rt;
	int err;

	rt = ip_route_output_flow(net, &fl4, sk);
	if (IS_ERR(rt)) {
		err = PTR_ERR(rt);
		goto drop;
	}
	skb_dst_set(skb, &rt->dst);
	err = -EACCES;
	if (rt->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST))
		goto drop;
	err = skb_cow_head(skb, LL_RESERVED_SPACE(rt->dst.dev) +
				rt->dst.header_len + sizeof(struct iphdr) +
				sizeof(struct udphdr));
	if (err)
		goto drop;

	gl_push_ports(skb, port, way);
	udp_set_csum(false, skb, fl4.saddr, fl4.daddr, skb->len);
	iph = skb_push(skb, sizeof(*iph));
	skb_reset_network_header(skb);
	iph->version = 4;
	iph->ihl = sizeof(*iph) / 4;
	iph->tos = way->tos;
	iph->frag_off = 0;
	iph->ttl = ip4_dst_hoplimit(&rt->dst);
	iph->protocol = IPPROTO_UDP;
	iph->saddr = fl4.saddr;
	iph->daddr = fl4.daddr;
	__ip_select_ident(net, iph, 1);
	return gl_xmit_error(ip_local_out(net, sk, skb));

drop:
	kfree_skb(skb);
	return err;
}

#if IS_ENABLED(CONFIG_IPV6)
static int gl_control_xmit6(const struct gl_port *port, struct sk_buff *skb,
			    struct gl_way *way)
{
	struct sock *sk = port->sock->sk;
	struct net *net = sock_net(sk);
	struct flowi6 fl6 = {
		.flowi6_oif = way->oif,
		.flowi6_mark = way->mark,
		.flowi6_proto = IPPROTO_UDP,
		.saddr = way->local,
		.daddr = way->peer,
		.fl6_sport = port->key.port,
		.fl6_dport = way->port,
	};
	struct dst_entry *dst;
	struct ipv6hdr *ip6h;
	int err;

	dst = ip6_dst_lookup_flow(net, sk, &fl6, NULL);
	if (IS_ERR(dst)) {
		err = PTR_ERR(dst);
		goto drop;
	}
	skb_dst_set(skb, dst);
	err = skb_cow_head(skb, LL_RESERVED_SPACE(dst->dev) + dst->header_len +
				sizeof(struct ipv6hdr) + sizeof(struct udphdr));
	if (err)
		goto drop;

	gl_push_ports(skb, port, way);
	udp6_set_csum(false, skb, &fl6.saddr, &fl6.daddr, skb->len);
	ip6h = skb_push(skb, sizeof(*ip6h));
	skb_reset_network_header(skb);
	ip6_flow_hdr(ip6h, way->tos, 0);
	ip6h->payload_len = htons(skb->len - sizeof(*ip6h));
	ip6h->nexthdr = IPPROTO_UDP;
	ip6h->hop_limit = ip6_dst_hoplimit(dst);
	ip6h->saddr = fl6.saddr;
	ip6h->daddr = fl6.daddr;
	skb->protocol = htons(ETH_P_IPV6);
	return gl_xmit_error(ip6_local_out(net, sk, skb));

drop:
	kfree_skb(skb);
	return err;
}
#else
static int gl_control_xmit6(const struct gl_port *port, struct sk_buff *skb,
			    struct gl_way *way)
{
	kfree_skb(skb);
	return -EAFNOSUPPORT;
}
#endif

/**
 * gl_control_xmit - send a control message from a port
 * @port: which cannot go
 * @skb: the payload of UDP, and nothing known of where it came from; gone afterwards
 * @way: where to
 *
 * What is too long for the way is sent in fragments.
 *
 * Return: 0 or a negative error.
 */
int gl_control_xmit(const struct gl_port *port, struct sk_buff *skb,
		    struct gl_way *way)
{
	skb->ip_summed = CHECKSUM_NONE;
	skb->encapsulation = 0;
	skb->ignore_df = 1;
	skb->mark = way->mark;
	memset(skb->cb, 0, sizeof(skb->cb));
	return way->family == AF_INET ? gl_control_xmit4(port, skb, way) :
					gl_control_xmit6(port, skb, way);
}

/* ---- the way back to who sent a packet ---- */

/*
 * Back to the sender, from the address that it was sent to where that is this
 * host's alone.
 *
 * Return: false where nobody is to be answered: the sender is no single host.
 */
static bool gl_way_back4(const struct sk_buff *skb, struct gl_way *way)
{
	const struct iphdr *iph = ip_hdr(skb);

	if (ipv4_is_multicast(iph->saddr) || ipv4_is_lbcast(iph->saddr) ||
	    ipv4_is_zeronet(iph->saddr))
		return false;
	way->tos = iph->tos & ~INET_ECN_MASK;
	way->peer.s6_addr32[0] = iph->saddr;
	way->oif = l3mdev_master_ifindex_rcu(skb->dev);
	way->mark = IP4_REPLY_MARK(dev_net(skb->dev), skb->mark);
	if (skb_rtable(skb)->rt_type == RTN_LOCAL)
		way->local.s6_addr32[0] = iph->daddr;
	return true;
}

static bool gl_way_back6(const struct sk_buff *skb, struct gl_way *way)
{
	const struct ipv6hdr *ip6h = ipv6_hdr(skb);
	int type = ipv6_addr_type(&ip6h->saddr);

	if (!(type & IPV6_ADDR_UNICAST))
		return false;
	way->tos = ipv6_get_dsfield(ip6h) & ~INET_ECN_MASK;
	way->peer = ip6h->saddr;
	/* an address of one wire is there on the wire it came by */
	way->oif = type & IPV6_ADDR_LINKLOCAL ?
		inet6_iif(skb) : l3mdev_master_ifindex_rcu(skb->dev);
	way->mark = IP6_REPLY_MARK(dev_net(skb->dev), skb->mark);
	if (ipv6_unicast_destination(skb))
		way->local = ip6h->daddr;
	return true;
}

static bool gl_way_back(const struct gl_port *port, const struct sk_buff *skb,
			struct gl_way *way)
{
	memset(way, 0, sizeof(*way));
	way->family = port->key.family;
	if (!(way->family == AF_INET ? gl_way_back4(skb, way) :
				       gl_way_back6(skb, way)))
		return false;
	/* a broadcast frame is to many hosts, whatever address is in it */
	if (skb->pkt_type != PACKET_HOST)
		way->local = in6addr_any;
	if (port->key.ifindex)
		way->oif = port->key.ifindex;
	return true;
}

static bool gl_way_from_one(const struct gl_way *way)
{
	return !ipv6_addr_any(&way->local);
}

/* ---- echo ---- */

/* Types of options that every port acts on; its rules name the others */
static const u8 gl_understood[] = {
	GL_OPT_OBSERVED,
	GL_OPT_UNDERSTOOD,
	GL_OPT_REMCSUM,
};

static void gl_see_type(struct gl_seen *seen, u8 type)
{
	seen->understood[type / 8] |= 0x80 >> type % 8;
}

static void gl_see(const struct gl_rules *rules, const struct gl_way *way,
		   struct gl_seen *seen)
{
	const struct gl_option_rules *set = rules->options;
	unsigned int i;

	memset(seen, 0, sizeof(*seen));
	seen->version = way->family == AF_INET ? 4 : 6;
	memcpy(seen->port, &way->port, sizeof(seen->port));
	memcpy(seen->addr, &way->peer, sizeof(seen->addr));
	for (i = 0; i < ARRAY_SIZE(gl_understood); i++)
		gl_see_type(seen, gl_understood[i]);
	for (i = 0; set && i < set->n; i++)
		if (set->rule[i]->action == GUTLESS_OPTION_ACTION_REQUIRE ||
		    set->rule[i]->deliver)
			gl_see_type(seen, set->rule[i]->type);
}

/*
 * The request becomes the reply, in its own octets, so that no memory is needed for
 * what a stranger sends. What the host knew of it as a packet received is forgotten.
 *
 * Return: 0, or the attribute that counts why not. The request is gone, or freed.
 */
static int gl_echo_reply(struct gl_port *port, const struct gl_rules *rules,
			 struct sk_buff *skb, const struct gl_wire *w,
			 struct gl_way *way)
{
	struct gl_seen seen;
	__sum16 check;
	int err;

	gl_see(rules, way, &seen);
	if (skb_ensure_writable(skb, sizeof(struct udphdr) + w->len)) {
		kfree_skb(skb);
		return GUTLESS_A_RX_DROP_NO_MEMORY;
	}
	__skb_pull(skb, sizeof(struct udphdr));
	gl_wire_answer(skb->data, w->len, &seen);
	if (w->check) {
		check = csum_fold(skb_checksum(skb, 0, skb->len, 0)) ?:
			CSUM_MANGLED_0;
		memcpy(skb->data + 2, &check, sizeof(check));
	}
	skb_orphan(skb);
	skb_scrub_packet(skb, true);
	skb_clear_hash(skb);
	skb->priority = 0;
	err = gl_control_xmit(port, skb, way);
	if (!err)
		return 0;
	return err == -ENOMEM ? GUTLESS_A_RX_DROP_NO_MEMORY :
				GUTLESS_A_RX_DROP_CONTROL;
}

/* Return: the attribute that counts what became of it. It is gone. */
static int gl_echo_request(struct gl_port *port, const struct gl_rules *rules,
			   struct sk_buff *skb, const struct gl_wire *w)
{
	int reason = GUTLESS_A_RX_DROP_CONTROL;
	struct gl_way way;

	if (!(rules->control & GUTLESS_CONTROL_ECHO) || skb_is_gso(skb) ||
	    !gl_way_back(port, skb, &way) || !gl_way_from_one(&way))
		goto drop;
	way.port = udp_hdr(skb)->source;
	if (!way.port)
		goto drop;
	reason = GUTLESS_A_RX_DROP_CONTROL_LIMIT;
	if (!gl_limit_allows(gl_net_rcu(gl_port_net(port))->limit, way.family,
			     &way.peer))
		goto drop;
	return gl_echo_reply(port, rules, skb, w, &way) ?:
		GUTLESS_A_RX_ECHO_REQUESTS;

drop:
	kfree_skb(skb);
	return reason;
}

/**
 * gl_control_rcv - receive a control message
 * @port: it came to
 * @rules: of the port, which let its sender in
 * @skb: at the UDP header; gone afterwards
 * @w: its header, taken apart, and all of that can be written to in one piece
 */
void gl_control_rcv(struct gl_port *port, const struct gl_rules *rules,
		    struct sk_buff *skb, const struct gl_wire *w)
{
	unsigned int body = skb->len - sizeof(struct udphdr) - w->len;
	int what = gl_wire_control(w->proto, body);

	switch (what) {
	case GUTLESS_A_RX_ECHO_REQUESTS:
		what = gl_echo_request(port, rules, skb, w);
		break;
	case GUTLESS_A_RX_ECHO_REPLIES:
	case GUTLESS_A_RX_REPORTS:
		gl_nl_control_event(port, skb, w);
		consume_skb(skb);
		break;
	default:
		kfree_skb(skb);
		break;
	}
	gl_count(port->stats, what, 1);
}

/* ---- report ---- */

/* Return: false where the type of the option wants no report of this packet. */
static bool gl_report_wanted(u8 type, bool from_one)
{
	switch (type & GL_OPT_ACTION_MASK) {
	case GL_OPT_REPORT:
		return true;
	case GL_OPT_REPORT_UNICAST:
		return from_one;
	default:
		return false;
	}
}

static struct sk_buff *gl_report_build(const struct sk_buff *skb, u8 pointer)
{
	const unsigned int head = GL_BASE_LEN + GL_CONTROL_BODY_MIN;
	unsigned int off = sizeof(struct udphdr), quote;
	struct sk_buff *report;
	u8 *p;

	/* a packet with an option is not shorter than a report without a quote */
	quote = min_t(unsigned int, skb->len - off - head, GL_REPORT_QUOTE_MAX);
	report = alloc_skb(MAX_HEADER + sizeof(struct ipv6hdr) + off +
			   GL_REPORT_MAX, GFP_ATOMIC);
	if (!report)
		return NULL;
	skb_reserve(report, MAX_HEADER + sizeof(struct ipv6hdr) + off);
	p = skb_put(report, head + quote);
	gl_wire_build_report(p, pointer);
	if (skb_copy_bits(skb, off, p + head, quote)) {
		kfree_skb(report);
		return NULL;
	}
	return report;
}

/**
 * gl_control_report - tell a sender that its packet was dropped for an option
 * @port: the packet came to
 * @rules: of the port, which let its sender in
 * @skb: the packet, at its UDP header; stays the caller's
 * @w: its header, with the option that is not known
 *
 * Source ports are chosen by flow, and nobody need listen there: a report goes to
 * the number of the port itself. A port that requires an option reports nothing:
 * who may send to it is told by that option, which is not looked at any more.
 */
void gl_control_report(struct gl_port *port, const struct gl_rules *rules,
		       struct sk_buff *skb, const struct gl_wire *w)
{
	struct sk_buff *report;
	struct gl_way way;

	if (!(rules->control & GUTLESS_CONTROL_REPORT) || !rules->plain ||
	    skb_is_gso(skb) || !gl_way_back(port, skb, &way) ||
	    !gl_report_wanted(w->unknown, gl_way_from_one(&way)))
		return;
	way.port = port->key.port;
	if (!gl_limit_allows(gl_net_rcu(gl_port_net(port))->limit, way.family,
			     &way.peer)) {
		gl_count(port->stats, GUTLESS_A_RX_REPORTS_LIMITED, 1);
		return;
	}
	report = gl_report_build(skb, w->unknown_at);
	if (report && !gl_control_xmit(port, report, &way))
		gl_count(port->stats, GUTLESS_A_RX_REPORTS_SENT, 1);
}
