// SPDX-License-Identifier: GPL-2.0-only
/* gutless: receiving ports, and whom they let in */
#include <linux/jhash.h>
#include <linux/sort.h>
#include <net/ipv6.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>
#include "auth.h"
#include "icmp.h"

/* ---- allowed sources ---- */

struct gl_rules *gl_rules_alloc(u32 room)
{
	struct gl_rules *rules;

	rules = kvzalloc(struct_size(rules, sources, room), GFP_KERNEL_ACCOUNT);
	if (rules)
		rules->n_sources = room;
	return rules;
}

void gl_rules_free(struct gl_rules *rules)
{
	if (rules) {
		gl_option_rules_free(rules->options);
		gl_keys_free(rules->keys);
	}
	kvfree(rules);
}

static void gl_rules_free_rcu(struct rcu_head *head)
{
	gl_rules_free(container_of(head, struct gl_rules, rcu));
}

/* Nobody finds @old any more, but packets on their way may have found it. */
void gl_rules_replaced(struct gl_rules *old)
{
	call_rcu(&old->rcu, gl_rules_free_rcu);
}

/**
 * gl_prefix_set - make a prefix
 * @p: to be filled in
 * @family: AF_INET or AF_INET6
 * @addr: struct in_addr or struct in6_addr
 * @len: bits
 *
 * Return: false where the address has bits set behind the prefix, or the length
 * is not one of the family.
 */
bool gl_prefix_set(struct gl_prefix *p, u8 family, const void *addr, u8 len)
{
	struct in6_addr net;
	u32 first, mask;

	memset(p, 0, sizeof(*p));
	p->len = len;
	if (family == AF_INET) {
		if (len > 32)
			return false;
		first = ntohl(*(const __be32 *)addr);
		mask = len ? ~0U << (32 - len) : 0;
		p->first = first;
		p->last = first | ~mask;
		return !(first & ~mask);
	}
	if (len > 128)
		return false;
	memcpy(&p->addr, addr, sizeof(p->addr));
	ipv6_addr_prefix(&net, &p->addr, len);
	return ipv6_addr_equal(&net, &p->addr);
}

bool gl_prefix_equal(const struct gl_prefix *a, const struct gl_prefix *b,
		     u8 family)
{
	if (a->len != b->len)
		return false;
	return family == AF_INET ? a->first == b->first :
				   ipv6_addr_equal(&a->addr, &b->addr);
}

static int gl_prefix_cmp4(const void *l, const void *r)
{
	const struct gl_prefix *a = l, *b = r;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return (int)a->len - b->len;
}

static int gl_prefix_cmp6(const void *l, const void *r)
{
	const struct gl_prefix *a = l, *b = r;
	int cmp = ipv6_addr_cmp(&a->addr, &b->addr);

	return cmp ?: (int)a->len - b->len;
}

static bool gl_prefix_has(const struct gl_prefix *p, u8 family,
			  const struct gl_prefix *other)
{
	if (p->len > other->len)
		return false;
	if (family == AF_INET)
		return other->first >= p->first && other->first <= p->last;
	return ipv6_prefix_equal(&p->addr, &other->addr, p->len);
}

/**
 * gl_rules_index - make a list of sources ready for the search
 * @rules: with n_sources prefixes in any order, and any_source set
 * @family: of all of them
 *
 * Two prefixes are either one within the other or disjoint. The outermost come
 * first, sorted; those within them follow, kept for whoever put them there. Of
 * equal ones one stays.
 */
void gl_rules_index(struct gl_rules *rules, u8 family)
{
	struct gl_prefix *s = rules->sources, tmp;
	u32 i, n = 0, top = 0;

	sort(s, rules->n_sources, sizeof(*s),
	     family == AF_INET ? gl_prefix_cmp4 : gl_prefix_cmp6, NULL);
	for (i = 0; i < rules->n_sources; i++)
		if (!n || !gl_prefix_equal(&s[n - 1], &s[i], family))
			s[n++] = s[i];
	rules->n_sources = n;

	for (i = 0; i < rules->n_sources; i++) {
		if (top && gl_prefix_has(&s[top - 1], family, &s[i]))
			continue;
		tmp = s[top];
		s[top] = s[i];
		s[i] = tmp;
		top++;
	}
	rules->n_top = top;

	if (rules->any_source)
		rules->from = GL_FROM_ANY;
	else if (family == AF_INET)
		rules->from = top == 1 ? GL_FROM_ONE4 : GL_FROM_LIST4;
	else
		rules->from = top == 1 ? GL_FROM_ONE6 : GL_FROM_LIST6;
}

/* The last prefix that begins at or below the address is the only candidate. */
static bool gl_source_allowed4(const struct gl_rules *rules, u32 addr)
{
	u32 lo = 0, hi = rules->n_top;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (rules->sources[mid].first <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && addr <= rules->sources[lo - 1].last;
}

static bool gl_source_allowed6(const struct gl_rules *rules,
			       const struct in6_addr *addr)
{
	u32 lo = 0, hi = rules->n_top;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (ipv6_addr_cmp(&rules->sources[mid].addr, addr) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && ipv6_prefix_equal(&rules->sources[lo - 1].addr, addr,
				       rules->sources[lo - 1].len);
}

bool gl_source_listed(const struct gl_rules *rules, const struct sk_buff *skb)
{
	if (rules->from == GL_FROM_LIST4)
		return gl_source_allowed4(rules, ntohl(ip_hdr(skb)->saddr));
	return gl_source_allowed6(rules, &ipv6_hdr(skb)->saddr);
}

/* May a packet come from @addr? An IPv4 address is the first word. */
bool gl_address_allowed(const struct gl_rules *rules, u8 family,
			const struct in6_addr *addr)
{
	if (rules->any_source)
		return true;
	if (family == AF_INET)
		return gl_source_allowed4(rules, ntohl(addr->s6_addr32[0]));
	return gl_source_allowed6(rules, addr);
}

/* ---- ports ---- */

static u32 gl_port_hash(const struct gl_port_key *key)
{
	u32 hash = jhash_3words((__force u32)key->port, key->family,
				key->ifindex, 0);

	hash = jhash2((const u32 *)&key->local, sizeof(key->local) / 4, hash);
	return hash >> (32 - GL_PORT_HASH_BITS);
}

static bool gl_port_key_equal(const struct gl_port_key *a,
			      const struct gl_port_key *b)
{
	return a->port == b->port && a->family == b->family &&
	       a->ifindex == b->ifindex &&
	       ipv6_addr_equal(&a->local, &b->local);
}

struct gl_port *gl_port_find(struct gl_net *gn, const struct gl_port_key *key)
{
	struct gl_port *port;

	lockdep_assert_held(&gn->lock);
	hlist_for_each_entry(port, &gn->port_hash[gl_port_hash(key)], node)
		if (gl_port_key_equal(&port->key, key))
			return port;
	return NULL;
}

static bool gl_port_key_overlaps(const struct gl_port_key *a,
				 const struct gl_port_key *b)
{
	if (a->family != b->family || a->port != b->port)
		return false;
	if (a->ifindex && b->ifindex && a->ifindex != b->ifindex)
		return false;
	return ipv6_addr_any(&a->local) || ipv6_addr_any(&b->local) ||
	       ipv6_addr_equal(&a->local, &b->local);
}

/* Whose is the socket that is in the way: one of ours? */
bool gl_port_overlaps(struct gl_net *gn, const struct gl_port_key *key)
{
	struct gl_port *port;
	unsigned long id;

	lockdep_assert_held(&gn->lock);
	xa_for_each(&gn->ports, id, port)
		if (gl_port_key_overlaps(&port->key, key))
			return true;
	return false;
}

struct gl_port *gl_port_alloc(void)
{
	struct gl_port *port;

	port = kzalloc(sizeof(*port), GFP_KERNEL_ACCOUNT);
	if (!port)
		return NULL;
	port->stats = gl_stats_alloc();
	if (!port->stats) {
		kfree(port);
		return NULL;
	}
	return port;
}

/* Nobody else can see @port, nor its rules. */
void gl_port_free(struct gl_port *port)
{
	gl_rules_free(rcu_dereference_protected(port->rules, 1));
	free_percpu(port->stats);
	kfree(port);
}

static void gl_port_free_rcu(struct rcu_head *head)
{
	gl_port_free(container_of(head, struct gl_port, rcu));
}

void gl_port_set_zero_csum6(struct gl_port *port, bool on)
{
	port->zero_csum6 = on;
	if (port->key.family == AF_INET6)
		udp_set_no_check6_rx(port->sock->sk, on);
}

static int gl_port_bind(struct net *net, struct gl_port *port)
{
	struct udp_port_cfg cfg = {
		.family = port->key.family,
		.local_udp_port = port->key.port,
		.bind_ifindex = port->key.ifindex,
		.use_udp_checksums = 1,
		.use_udp6_tx_checksums = 1,
		.use_udp6_rx_checksums = !port->zero_csum6,
	};

	if (port->key.family == AF_INET) {
		cfg.local_ip.s_addr = port->key.local.s6_addr32[0];
#if IS_ENABLED(CONFIG_IPV6)
	} else {
		cfg.local_ip6 = port->key.local;
		cfg.ipv6_v6only = 1;
#endif
	}
	return udp_sock_create(net, &cfg, &port->sock);
}

/**
 * gl_port_open - bind a port and begin to receive
 * @net: where
 * @port: complete but for its socket and id
 *
 * Everything that can fail comes before packets can find @port.
 *
 * Return: 0, or a negative error and nothing is changed.
 */
int gl_port_open(struct net *net, struct gl_port *port)
{
	struct udp_tunnel_sock_cfg cfg = {
		.sk_user_data = port,
		.encap_type = 1,
		.encap_rcv = gl_rcv,
		.encap_err_lookup = gl_icmp_lookup,
		.encap_err_rcv = gl_icmp_rcv,
		.gro_receive = gl_gro_receive,
		.gro_complete = gl_gro_complete,
	};
	struct gl_net *gn = gl_net(net);
	int err;

	lockdep_assert_held(&gn->lock);
	err = port->verify_headers ? gl_verify_prepare(net) : 0;
	if (err)
		return err;
	err = xa_alloc_cyclic(&gn->ports, &port->id, port, xa_limit_32b,
			      &gn->next_port_id, GFP_KERNEL_ACCOUNT);
	if (err < 0)
		goto err_verify;

	err = gl_port_bind(net, port);
	if (err)
		goto err_id;

	port->sock->sk->sk_allocation = GFP_ATOMIC;
	hlist_add_head(&port->node, &gn->port_hash[gl_port_hash(&port->key)]);
	WRITE_ONCE(gn->n_ports, gn->n_ports + 1);
	gl_setup_udp_tunnel(net, port->sock, &cfg);
	if (port->verify_headers)
		gl_verify_start(port);
	return 0;

err_id:
	xa_erase(&gn->ports, port->id);
err_verify:
	if (port->verify_headers)
		gl_verify_cancel(net);
	return err;
}

/*
 * Packets on their way through the socket hold the RCU read lock, and so does
 * whoever finds it in the tables of UDP, which frees it by RCU too.
 */
static void gl_port_release(struct gl_net *gn, struct gl_port *port)
{
	if (port->verify_headers)
		gl_verify_stop(port);
	xa_erase(&gn->ports, port->id);
	hlist_del(&port->node);
	WRITE_ONCE(gn->n_ports, gn->n_ports - 1);
	rcu_assign_sk_user_data(port->sock->sk, NULL);
	kernel_sock_shutdown(port->sock, SHUT_RDWR);
	sock_release(port->sock);
	call_rcu(&port->rcu, gl_port_free_rcu);
}

void gl_port_close(struct gl_net *gn, struct gl_port *port)
{
	lockdep_assert_held(&gn->lock);
	gl_port_release(gn, port);
}

/* From now on no packet finds its port. */
void gl_ports_silence(struct gl_net *gn)
{
	struct gl_port *port;
	unsigned long id;

	mutex_lock(&gn->lock);
	xa_for_each(&gn->ports, id, port)
		rcu_assign_sk_user_data(port->sock->sk, NULL);
	mutex_unlock(&gn->lock);
}

void gl_ports_release(struct gl_net *gn)
{
	struct gl_port *port;
	unsigned long id;

	mutex_lock(&gn->lock);
	xa_for_each(&gn->ports, id, port)
		gl_port_release(gn, port);
	mutex_unlock(&gn->lock);
	xa_destroy(&gn->ports);
}
