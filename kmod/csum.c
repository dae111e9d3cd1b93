// SPDX-License-Identifier: GPL-2.0-only
/* gutless: the outer checksum, without reading the inner packet where that can be */
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/checksum.h>
#include "csum.h"
#include "gutless.h"

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

/**
 * gl_csum_is_told - does a checksum that is still to be made tell its packet's sum?
 * @skb: the packet, with CHECKSUM_PARTIAL
 *
 * Whoever makes it writes what is missing to the complement of what stands in its
 * place. That is so of the Internet checksum, at an even place.
 */
bool gl_csum_is_told(const struct sk_buff *skb)
{
	int start = skb_checksum_start_offset(skb);

	return !skb_csum_is_sctp((struct sk_buff *)skb) && start >= 0 &&
	       !((start | skb->csum_offset) & 1) &&
	       start + skb->csum_offset + sizeof(__sum16) <= skb_headlen(skb);
}

/**
 * gl_csum_made - the sum of a packet as it will be on the wire
 * @skb: the packet, at its first header; no super-packet
 * @sum: to be filled in
 *
 * A checksum that is still to be made is made here where it does not tell the sum.
 * Then, and where there is none, it takes a pass over the packet.
 *
 * Return: 0 or a negative error.
 */
int gl_csum_made(struct sk_buff *skb, __wsum *sum)
{
	if (skb->ip_summed == CHECKSUM_PARTIAL) {
		const u8 *start = skb_checksum_start(skb);
		__sum16 field;
		int err;

		if (likely(gl_csum_is_told(skb))) {
			memcpy(&field, start + skb->csum_offset, sizeof(field));
			*sum = csum_partial(skb->data, start - skb->data,
					    ~csum_unfold(field));
			return 0;
		}
		if (unlikely(start < skb->data))
			return -EINVAL;
		if (!pskb_may_pull(skb, skb_checksum_start_offset(skb) +
					skb->csum_offset + sizeof(__le32)))
			return -ENOMEM;
		err = skb_csum_hwoffload_help(skb, 0);
		if (err)
			return err;
	}
	*sum = skb_checksum(skb, 0, skb->len, 0);
	return 0;
}
