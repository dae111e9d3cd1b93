// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: the kernel's tunnel links that send by us
 *
 * The kernel hands an encapsulation nothing of the link when an ICMP error comes
 * back. So those links that are up are kept here, to be found by whom they send
 * to. A change of a link that is up, and its way up, are told by a notifier.
 */
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <net/ip6_tunnel.h>
#include <net/ip_tunnels.h>
#include <net/netns/hash.h>
#include <net/rtnetlink.h>
#include "link.h"

#define GL_LINK_HASH_BITS	8

static DEFINE_HASHTABLE(gl_links_by_dev, GL_LINK_HASH_BITS);
static struct hlist_head gl_links_by_remote[1 << GL_LINK_HASH_BITS];

static const struct gl_link_kind gl_link_kinds[] = {
	{ "ipip", AF_INET, IPPROTO_IPIP },
	{ "sit", AF_INET, IPPROTO_IPV6 },
	{ "gre", AF_INET, IPPROTO_GRE },
	{ "gretap", AF_INET, IPPROTO_GRE },
#if IS_ENABLED(CONFIG_IPV6)
	{ "ip6tnl", AF_INET6, IPPROTO_IPV6 },
	{ "ip6gre", AF_INET6, IPPROTO_GRE },
	{ "ip6gretap", AF_INET6, IPPROTO_GRE },
#endif
};

static const struct gl_link_kind *gl_link_kind(const struct net_device *dev)
{
	unsigned int i;

	if (!dev->rtnl_link_ops)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(gl_link_kinds); i++)
		if (!strcmp(dev->rtnl_link_ops->kind, gl_link_kinds[i].name))
			return &gl_link_kinds[i];
	return NULL;
}

/**
 * gl_links_to - where the links are that send to an address
 * @net: from where
 * @family: of the address
 * @remote: it; an IPv4 one is the first word, the rest is zero
 *
 * Return: a list of links by their member by_remote, others among them, to be
 * read under RCU.
 */
struct hlist_head *gl_links_to(const struct net *net, u8 family,
			       const struct in6_addr *remote)
{
	u32 hash = jhash2((const u32 *)remote, sizeof(*remote) / 4,
			  net_hash_mix(net) + family);

	return &gl_links_by_remote[hash >> (32 - GL_LINK_HASH_BITS)];
}

static void gl_link_read(struct gl_link *link)
{
	if (link->kind->family == AF_INET) {
		const struct ip_tunnel *t = netdev_priv(link->dev);

		link->net = t->net;
		link->encap = &t->encap;
		link->local.s6_addr32[0] = t->parms.iph.saddr;
		link->remote.s6_addr32[0] = t->parms.iph.daddr;
#if IS_ENABLED(CONFIG_IPV6)
	} else {
		const struct ip6_tnl *t = netdev_priv(link->dev);

		link->net = t->net;
		link->encap = &t->encap;
		link->local = t->parms.laddr;
		link->remote = t->parms.raddr;
#endif
	}
}

static void gl_link_forget(const struct net_device *dev)
{
	struct gl_link *link;

	ASSERT_RTNL();
	hash_for_each_possible(gl_links_by_dev, link, by_dev,
			       (unsigned long)dev) {
		if (link->dev != dev)
			continue;
		hash_del(&link->by_dev);
		hlist_del_rcu(&link->by_remote);
		kfree_rcu(link, rcu);
		return;
	}
}

/* Without memory for it the link's ICMP errors are nobody's, no more. */
static void gl_link_update(const struct net_device *dev)
{
	const struct gl_link_kind *kind = gl_link_kind(dev);
	struct gl_link *link;

	if (!kind)
		return;
	gl_link_forget(dev);
	if (!(dev->flags & IFF_UP))
		return;
	link = kzalloc(sizeof(*link), GFP_KERNEL_ACCOUNT);
	if (!link)
		return;
	link->dev = dev;
	link->kind = kind;
	gl_link_read(link);
	if (link->encap->type != GUTLESS_ENCAP_BARE &&
	    link->encap->type != GUTLESS_ENCAP_HEADER) {
		kfree(link);
		return;
	}
	hash_add(gl_links_by_dev, &link->by_dev, (unsigned long)dev);
	hlist_add_head_rcu(&link->by_remote,
			   gl_links_to(link->net, kind->family, &link->remote));
}

static int gl_link_event(struct notifier_block *nb, unsigned long event,
			 void *info)
{
	const struct net_device *dev = netdev_notifier_info_to_dev(info);

	switch (event) {
	case NETDEV_UP:
	case NETDEV_CHANGE:
		gl_link_update(dev);
		break;
	case NETDEV_DOWN:
	case NETDEV_UNREGISTER:
		gl_link_forget(dev);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block gl_link_notifier = {
	.notifier_call = gl_link_event,
};

/* Tells of the links that are there, and at the end that they are gone. */
int gl_links_register(void)
{
	return register_netdevice_notifier(&gl_link_notifier);
}

void gl_links_unregister(void)
{
	unregister_netdevice_notifier(&gl_link_notifier);
}
