// SPDX-License-Identifier: GPL-2.0-only
/* must compile: 6.1 is the first kernel with skb_gro_header(), and the oldest there is code for */
#include <net/gro.h>

void *gl_probe(struct sk_buff *skb);

void *gl_probe(struct sk_buff *skb)
{
	return skb_gro_header(skb, 1, 0);
}
