/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: ICMP errors about packets that were sent */
#ifndef _GUTLESS_ICMP_H
#define _GUTLESS_ICMP_H

#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include "compat.h"

int gl_icmp_err4(struct sk_buff *skb, u32 info);
int gl_icmp_err6(struct sk_buff *skb, struct inet6_skb_parm *opt, u8 type,
		 u8 code, int offset, __be32 info);
int gl_icmp_lookup(struct sock *sk, struct sk_buff *skb);
#ifdef GL_HAVE_ENCAP_ERR_INFO
void gl_icmp_rcv(struct sock *sk, struct sk_buff *skb, int err, __be16 port,
		 u32 data, u8 *payload);
#else
void gl_icmp_rcv(struct sock *sk, struct sk_buff *skb, unsigned int offset);
#endif

#endif /* _GUTLESS_ICMP_H */
