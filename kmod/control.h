/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: control messages of GUT-less */
#ifndef _GUTLESS_CONTROL_H
#define _GUTLESS_CONTROL_H

#include "gutless.h"

/* struct gl_way - where a control message goes, and how */
struct gl_way {
	u8 family;
	u8 tos;			/* or traffic class */
	__be16 port;		/* of the peer */
	int oif;		/* 0: whichever the route takes */
	u32 mark;
	struct in6_addr local;	/* IPv4: the first word; none: the route's */
	struct in6_addr peer;
};

/* control.c */
void gl_control_rcv(struct gl_port *port, const struct gl_rules *rules,
		    struct sk_buff *skb, const struct gl_wire *w);
void gl_control_report(struct gl_port *port, const struct gl_rules *rules,
		       struct sk_buff *skb, const struct gl_wire *w);
int gl_control_xmit(const struct gl_port *port, struct sk_buff *skb,
		    struct gl_way *way);

/* limit.c */
extern unsigned int gl_control_rate;
extern unsigned int gl_control_source_rate;

struct gl_limit *gl_limit_alloc(void);
void gl_limit_free(struct gl_limit *limit);
bool gl_limit_allows(struct gl_limit *limit, u8 family,
		     const struct in6_addr *peer);

/* nl_control.c */
void gl_nl_control_event(const struct gl_port *port, const struct sk_buff *skb,
			 const struct gl_wire *w);

#endif /* _GUTLESS_CONTROL_H */
