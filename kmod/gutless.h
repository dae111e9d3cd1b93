/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: what the module's parts know of each other */
#ifndef _GUTLESS_H
#define _GUTLESS_H

#include <linux/bitmap.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/refcount.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/u64_stats_sync.h>
#include <linux/udp.h>
#include <linux/xarray.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/netns/generic.h>
#include <uapi/linux/gutless.h>
#include "compat.h"
#include "wire.h"

#define GUTLESS_VERSION		"0.1.0"

/* Encapsulations in one packet; a fifth is dropped on receipt and never made */
#define GL_NESTING_MAX		4

/* Devices a packet may be inside of on its way out, as the core counts them */
#define GL_XMIT_DEPTH_MAX	5

#define GL_PROFILES_MAX		((1 << GUTLESS_PROFILE_INDEX_BITS) - 1)
#define GL_SPORT_MIN		49152
#define GL_SPORT_MAX		65535

#define GL_PORT_HASH_BITS	8

/*
 * One set of counters a processor, indexed by the netlink attribute that
 * reports it, so that no counter can be put into another's place.
 */
#define GL_COUNTERS \
	(MAX(MAX(GUTLESS_A_RX_MAX, GUTLESS_A_TX_MAX), GUTLESS_A_ONPATH_MAX) + 1)

struct gl_stats {
	u64_stats_t v[GL_COUNTERS];
	struct u64_stats_sync syncp;
};

/* struct gl_net - what a network namespace holds */
struct gl_net {
	struct mutex lock;		/* all configuration */
	u32 generation;			/* of the configuration, for dumps */
	struct xarray ports;		/* by id, rising with age */
	u32 next_port_id;
	u32 n_ports;
	struct hlist_head port_hash[1 << GL_PORT_HASH_BITS];
	struct xarray profiles;		/* by number; read under RCU */
	u32 n_profiles;
	struct gl_profile __rcu *plain;	/* of links without one: number 0 */
	spinlock_t delivery;		/* keeps sequence numbers in order */
	u64 delivered;			/* options, or tried */
	struct xarray devices;		/* by ifindex; read under RCU */
	u32 n_devices;			/* this and the next under RTNL */
	u32 device_generation;
	atomic64_t auth_sequence;	/* the last that was signed */
	struct gl_limit *limit;		/* of control messages sent */
	struct hlist_head verifiers;	/* ports that verify headers; RCU */
	u32 n_verifiers;		/* those, and one about to be */
};

struct gl_port;
struct gl_key;
struct gl_keys;

extern unsigned int gl_net_id;
extern unsigned int gl_max_ports;
extern unsigned int gl_max_sources;

static inline struct gl_net *gl_net(const struct net *net)
{
	return net_generic(net, gl_net_id);
}

/* The same, for those who hold the RCU read lock: the packet's way. */
static inline struct gl_net *gl_net_rcu(const struct net *net)
{
	return rcu_dereference(net->gen)->ptr[gl_net_id];
}

/* Called with bottom halves off, as packets are handled. */
static inline void gl_count(struct gl_stats __percpu *stats, unsigned int what,
			    unsigned int n)
{
	struct gl_stats *s = this_cpu_ptr(stats);

	u64_stats_update_begin(&s->syncp);
	u64_stats_add(&s->v[what], n);
	u64_stats_update_end(&s->syncp);
}

static inline void gl_count_packet(struct gl_stats __percpu *stats,
				   unsigned int packets_attr, unsigned int n,
				   unsigned int octets)
{
	struct gl_stats *s = this_cpu_ptr(stats);

	u64_stats_update_begin(&s->syncp);
	u64_stats_add(&s->v[packets_attr], n);
	u64_stats_add(&s->v[packets_attr + 1], octets);
	u64_stats_update_end(&s->syncp);
}

/* Segments that a packet stands for */
static inline unsigned int gl_segs(const struct sk_buff *skb)
{
	return max_t(unsigned int, 1, skb_shinfo(skb)->gso_segs);
}

struct gl_stats __percpu *gl_stats_alloc(void);
void gl_stats_sum(const struct gl_stats __percpu *stats, u64 sum[GL_COUNTERS]);

/* nest.c */
unsigned int gl_nesting(const struct sk_buff *skb, unsigned int off, u8 proto);

/*
 * Does what UDP carries end the count of tunnels? @p: its first octets, six of them
 * @len: all of it
 */
static __always_inline bool gl_shallow_udp(const u8 *p, unsigned int len)
{
	switch (gl_wire_format(p[0])) {
	case GUTLESS_ACCEPT_BARE:
		/* text, mostly: a packet is not longer than what holds it */
		return p[0] >> 4 == 4 ? (p[2] << 8 | p[3]) > len :
					(p[4] << 8 | p[5]) > len;
	case GUTLESS_ACCEPT_GUE0:
	case GUTLESS_ACCEPT_GUTLESS:
		switch (p[1]) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_IPIP:
		case IPPROTO_UDP:
		case IPPROTO_IPV6:
		case IPPROTO_ROUTING:
		case IPPROTO_GRE:
		case IPPROTO_DSTOPTS:
		case IPPROTO_ETHERNET:
			return gl_wire_no_data(p);
		}
		return true;
	default:
		return true;
	}
}

/*
 * GRE with a key or nothing, and the Ethernet header that may follow.
 * @proto: what is behind, if that is IP
 *
 * Return: octets, 0 where somebody has to look closer.
 */
static inline unsigned int gl_shallow_gre(const u8 *p, unsigned int len,
					  u8 *proto)
{
	unsigned int hlen, type;

	if (len < 8 + ETH_HLEN || (p[0] & ~0x20) || p[1])
		return 0;
	hlen = p[0] ? 8 : 4;
	type = p[2] << 8 | p[3];
	if (type == ETH_P_TEB) {
		type = p[hlen + 12] << 8 | p[hlen + 13];
		hlen += ETH_HLEN;
	}
	if (type != ETH_P_IP && type != ETH_P_IPV6)
		return 0;
	*proto = type == ETH_P_IP ? IPPROTO_IPIP : IPPROTO_IPV6;
	return hlen;
}

/*
 * Most packets have one tunnel in them at most, which is never one too many. A few
 * octets of their linear part tell; false says nothing.
 */
static __always_inline bool gl_shallow(const struct sk_buff *skb,
				       unsigned int off, u8 proto)
{
	unsigned int len = skb_headlen(skb) - off, hlen;
	const u8 *p = skb->data + off;

	BUILD_BUG_ON(GL_NESTING_MAX < 2);
	if (proto == IPPROTO_GRE) {
		hlen = gl_shallow_gre(p, len, &proto);
		if (!hlen)
			return false;
		p += hlen;
		off += hlen;
		len -= hlen;
	}
	switch (proto) {
	case IPPROTO_IPIP:
		hlen = sizeof(struct iphdr) + sizeof(struct udphdr);
		if (len < hlen + 6 || p[0] != 0x45)
			return false;
		proto = p[offsetof(struct iphdr, protocol)];
		break;
	case IPPROTO_IPV6:
		hlen = sizeof(struct ipv6hdr) + sizeof(struct udphdr);
		if (len < hlen + 6 || p[0] >> 4 != 6)
			return false;
		proto = p[offsetof(struct ipv6hdr, nexthdr)];
		break;
	default:
		return false;
	}
	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return true;
	case IPPROTO_UDP:
		return gl_shallow_udp(p + hlen, skb->len - off - hlen);
	default:
		return false;
	}
}

bool gl_is_transport_csum(const struct sk_buff *skb, u8 proto,
			  unsigned int start, unsigned int offset);

/* csum.c */
#define GL_CSUM_UNKNOWN		(-1LL)
s64 gl_csum_inner(const struct sk_buff *skb, u8 proto);
bool gl_csum_is_told(const struct sk_buff *skb);
int gl_csum_made(struct sk_buff *skb, __wsum *sum);

/* profile.c */

/* Octets of the name of a file that a secret was read from */
#define GL_NAME_MAX		127

/* struct gl_gue_set - fields of GUE 0, and where the cookie is kept */
struct gl_gue_set {
	struct gl_gue wire;
	char cookie_name[GL_NAME_MAX + 1];
};

/* Rules of one profile */
#define GL_RULES_MAX		32

/* struct gl_rule - packets with this mark take another profile */
struct gl_rule {
	u32 mark;
	u32 mask;
	u16 profile;
};

/* struct gl_profile - what a sender adds; replaced whole, read under RCU */
struct gl_profile {
	u16 number;
	u8 format;
	u8 csum;
	bool special;	/* more to do than a header of fixed octets: the long way */
	u8 head_len;	/* of those octets, where the format alone does not say them */
	bool check;	/* a Check word in each header */
	u8 words;	/* of 4 octets that its header may have in options: */
	u8 remcsum;	/* those for a remote checksum, */
	u8 options_len;	/* and octets of those that all packets have */
	u8 timing;	/* where in them is what differs by packet, 0: nowhere */
	u8 mtu;		/* the same, of the path's MTU */
	u8 auth;	/* the same, of option auth; then there is a key */
	u8 origin;
	u16 sport_min;
	u16 sport_max;
	u32 sport_n;	/* from the one to the other */
	struct gl_stats __percpu *stats;	/* a replacement takes them over */
	struct gl_sent *sent;			/* and this */
	struct gl_key *key;			/* shared with it */
	char key_name[GUTLESS_KEY_NAME_MAX + 1];
	struct rcu_head rcu;
	u8 options[GL_OPTIONS_MAX];
	u8 head[GL_HEADER_MAX];			/* but for the protocol */
	struct gl_gue_set gue;
	unsigned int n_rules;
	struct gl_rule rules[GL_RULES_MAX];
};

/* struct gl_sent - what a profile remembers of the packets it was put around */
struct gl_sent {
	atomic_t sequence;	/* of option timing */
};

void gl_profile_release(struct gl_net *gn, struct gl_profile *profile);
struct gl_profile *gl_profile_alloc(u16 number);
struct gl_profile *gl_profile_copy(const struct gl_profile *profile);
void gl_profile_copy_free(struct gl_profile *profile);
void gl_profile_replaced(struct gl_profile *old);
void gl_profile_free(struct gl_profile *profile);
void gl_profiles_release(struct gl_net *gn);

/* options.c */

/* struct gl_option_rule - what a port does about a type of option; never changed */
struct gl_option_rule {
	refcount_t users;	/* sets that have it */
	struct gl_stats __percpu *stats;
	u8 type;
	u8 action;
	bool deliver;
	bool has_value;
	u8 len;
	u8 value[GL_OPT_DATA_MAX];
};

/* struct gl_option_rules - those of a port, replaced together with gl_rules */
struct gl_option_rules {
	u32 n;
	u8 expected_len;
	u8 expected[GL_OPTIONS_MAX];	/* what passes without a closer look */
	u8 at[256];		/* by type: one more than the place, 0: none */
	struct gl_option_rule *rule[] __counted_by(n);
};

struct gl_option_rule *gl_option_rule_alloc(void);
void gl_option_rule_put(struct gl_option_rule *rule);
struct gl_option_rules *gl_option_rules_alloc(u32 room);
void gl_option_rules_free(struct gl_option_rules *set);
int gl_options_judge(const struct gl_option_rules *set,
		     const struct sk_buff *skb, const struct gl_wire *w);
void gl_options_expect(struct gl_option_rules *set);
bool gl_options_expected(const struct gl_option_rules *set, const u8 *opt,
			 unsigned int len);
void gl_options_count(const struct gl_option_rules *set);
void gl_options_passed(const struct gl_port *port,
		       const struct gl_option_rules *set,
		       const struct sk_buff *skb, const struct gl_wire *w);

static inline struct gl_option_rule *
gl_option_rule(const struct gl_option_rules *set, u8 type)
{
	return set->at[type] ? set->rule[set->at[type] - 1] : NULL;
}

/* port.c */

/* struct gl_prefix - an allowed source */
struct gl_prefix {
	union {
		struct {
			u32 first;	/* IPv4, host order, both ends */
			u32 last;
		};
		struct in6_addr addr;	/* IPv6 */
	};
	u8 len;
};

/* Whom a port lets in: a list has none, or two prefixes and more */
enum gl_from {
	GL_FROM_ANY,
	GL_FROM_ONE4,
	GL_FROM_ONE6,
	GL_FROM_LIST4,
	GL_FROM_LIST6,
};

/* struct gl_rules - what a port lets pass; replaced whole, read under RCU */
struct gl_rules {
	struct rcu_head rcu;
	u32 plain;		/* of accept: what the short way may let pass */
	bool expects;		/* and whether it may, with expected options */
	u32 accept;
	u8 fou_protocol;
	bool any_source;
	u8 from;	/* enum gl_from, of any_source and the sources */
	bool remcsum_nopartial;
	u8 control;	/* enum gutless_control */
	DECLARE_BITMAP(inner, 256);
	u8 known[GL_KNOWN_LEN];	/* types that there is a rule for */
	struct gl_option_rules *options;	/* NULL: none */
	struct gl_keys *keys;			/* NULL: none */
	struct gl_gue_set gue;	/* fields that it requires */
	u32 n_sources;
	u32 n_top;		/* the first of them: disjoint, sorted */
	struct gl_prefix sources[] __counted_by(n_sources);
};

struct gl_port_key {
	u8 family;
	__be16 port;
	int ifindex;
	struct in6_addr local;	/* IPv4: the first word */
};

struct gl_port {
	struct gl_rules __rcu *rules;
	struct gl_stats __percpu *stats;
	struct gl_port_key key;
	bool zero_csum6;
	bool verify_headers;
	u8 origin;
	u32 id;
	struct socket *sock;
	struct hlist_node node;
	struct hlist_node verifier;	/* with verify_headers */
	struct rcu_head rcu;
};

struct gl_rules *gl_rules_alloc(u32 room);
void gl_rules_free(struct gl_rules *rules);
void gl_rules_replaced(struct gl_rules *old);
void gl_rules_index(struct gl_rules *rules, u8 family);
bool gl_prefix_set(struct gl_prefix *p, u8 family, const void *addr, u8 len);
bool gl_prefix_equal(const struct gl_prefix *a, const struct gl_prefix *b,
		     u8 family);
bool gl_source_listed(const struct gl_rules *rules, const struct sk_buff *skb);
bool gl_address_allowed(const struct gl_rules *rules, u8 family,
			const struct in6_addr *addr);

/* Is the packet from an allowed source? Most ports have one. */
static inline bool gl_source_allowed(const struct gl_rules *rules,
				     const struct sk_buff *skb)
{
	const struct gl_prefix *only = &rules->sources[0];

	switch (rules->from) {
	case GL_FROM_ONE4:
		return ntohl(ip_hdr(skb)->saddr) - only->first <=
		       only->last - only->first;
	case GL_FROM_ONE6:
		return ipv6_prefix_equal(&only->addr, &ipv6_hdr(skb)->saddr,
					 only->len);
	case GL_FROM_ANY:
		return true;
	default:
		return gl_source_listed(rules, skb);
	}
}

struct gl_port *gl_port_find(struct gl_net *gn, const struct gl_port_key *key);
bool gl_port_overlaps(struct gl_net *gn, const struct gl_port_key *key);
int gl_port_open(struct net *net, struct gl_port *port);
void gl_port_close(struct gl_net *gn, struct gl_port *port);
struct gl_port *gl_port_alloc(void);
void gl_port_free(struct gl_port *port);
void gl_port_set_zero_csum6(struct gl_port *port, bool on);
void gl_ports_silence(struct gl_net *gn);
void gl_ports_release(struct gl_net *gn);

/* gue.c */
int gl_gue_judge(const struct sk_buff *skb, const struct gl_rules *rules,
		 const struct gl_wire *w);
void gl_gue_seal(struct udphdr *uh, unsigned int len, unsigned int at,
		 __wsum addresses);

/* verify.c */
int gl_verify_prepare(struct net *net);
void gl_verify_cancel(struct net *net);
void gl_verify_start(struct gl_port *port);
void gl_verify_stop(struct gl_port *port);

/* rx.c, gro.c */
int gl_rcv(struct sock *sk, struct sk_buff *skb);
struct sk_buff *gl_gro_receive(struct sock *sk, struct list_head *head,
			       struct sk_buff *skb);
int gl_gro_complete(struct sock *sk, struct sk_buff *skb, int nhoff);

/* encap.c */
int gl_tx_register(void);
void gl_tx_unregister(void);

/* netlink.c */
int gl_netlink_register(void);
void gl_netlink_unregister(void);

#endif /* _GUTLESS_H */
