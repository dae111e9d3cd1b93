// SPDX-License-Identifier: GPL-2.0-only
/* gutless: the outer checksum, without reading the inner packet where that can be */
#include <linux/skbuff.h>
#include <net/checksum.h>
#include "csum.h"
#include "gutless.h"

/* GRE with key and sequence number, Ethernet, IPv6, UDP */
#define GL_CSUM_HEADERS		(12 + 14 + 40 + 8)

/**
 * gl_csum_inner - the sum of a packet whose own checksums are in place
 * @skb: the packet, at its first header; need not be linear
 * @proto: that header's IP protocol number
 *
 * What a damaged packet yields does not fit it, so that its receiver drops it.
 *
 * Return: the sum, or GL_CSUM_UNKNOWN where the headers do not tell it.
 */
s64 gl_csum_inner(const struct sk_buff *skb, u8 proto)
{
	__wsum sum;
	u8 buf[GL_CSUM_HEADERS];
	struct gl_csum c;

	if (!gl_csum_packet(skb->data, skb_headlen(skb), skb->len, proto, &c)) {
		unsigned int len = min_t(unsigned int, skb->len, sizeof(buf));

		if (skb_headlen(skb) >= len ||
		    skb_copy_bits(skb, 0, buf, len) ||
		    !gl_csum_packet(buf, len, skb->len, proto, &c))
			return GL_CSUM_UNKNOWN;
	}
	sum = (__force __wsum)c.sum;
	/* padding, or what somebody put behind UDP's length */
	if (unlikely(c.len < skb->len))
		sum = csum_block_add(sum,
				     skb_checksum(skb, c.len,
						  skb->len - c.len, 0),
				     c.len);
	return (__force u32)sum;
}
