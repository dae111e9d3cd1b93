/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: the kernel's tunnel links that send by us */
#ifndef _GUTLESS_LINK_H
#define _GUTLESS_LINK_H

#include "gutless.h"

/* struct gl_link_kind - what the links of a kind have in common */
struct gl_link_kind {
	const char *name;	/* as rtnetlink has it */
	u8 family;		/* of the outer header */
	u8 proto;		/* inner, or one of several */
};

/* struct gl_link - a link that is up; @encap is the device's own and may change */
struct gl_link {
	const struct net_device *dev;
	const struct gl_link_kind *kind;
	const struct net *net;		/* that it sends from */
	const struct ip_tunnel_encap *encap;
	struct in6_addr local;		/* IPv4: the first word; 0: any */
	struct in6_addr remote;
	struct hlist_node by_dev;
	struct hlist_node by_remote;
	struct rcu_head rcu;
};

struct hlist_head *gl_links_to(const struct net *net, u8 family,
			       const struct in6_addr *remote);
int gl_links_register(void);
void gl_links_unregister(void);

#endif /* _GUTLESS_LINK_H */
