// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: fields of GUE 0 that cannot be told from the header alone
 *
 * The draft's checksum covers addresses, ports and the header, and of what follows
 * as much as the sender says. We say none: then it is the same in all segments of a
 * large packet, and packets that merge have it in common.
 */
#include <linux/skbuff.h>
#include <net/checksum.h>
#include "gutless.h"

/* Is the checksum right? @skb: at its UDP header, GUE's is linear */
static bool gl_gue_csum_ok(const struct sk_buff *skb, const struct gl_wire *w)
{
	const unsigned int off = sizeof(struct udphdr);
	__wsum sum;

	if (w->coverage > skb->len - off - w->len)
		return false;
	sum = skb_checksum(skb, off, w->len + w->coverage, 0);
	/* both ports, both addresses, and nothing else */
	sum = csum_partial(udp_hdr(skb), 4, sum);
	if (ip_hdr(skb)->version == 4)
		sum = csum_partial(&ip_hdr(skb)->saddr, 8, sum);
	else
		sum = csum_partial(&ipv6_hdr(skb)->saddr, 32, sum);
	return !csum_fold(sum);
}

/**
 * gl_gue_judge - has a packet the fields of GUE that it must have?
 * @skb: the packet, at its UDP header
 * @rules: the port's
 * @w: its header, of any format, which is linear and was taken apart
 *
 * Return: 0, or the attribute that counts the reason to drop.
 */
int gl_gue_judge(const struct sk_buff *skb, const struct gl_rules *rules,
		 const struct gl_wire *w)
{
	bool summed = !(w->flags & GL_GUE_CSUM) || gl_gue_csum_ok(skb, w);

	return gl_wire_gue_judge(skb->data + sizeof(struct udphdr), w,
				 &rules->gue.wire, summed);
}

/**
 * gl_gue_seal - write GUE's checksum
 * @uh: the UDP header, with its ports
 * @len: octets of the header behind it
 * @at: where in that the checksum is
 * @addresses: the sum of the outer ones
 */
void gl_gue_seal(struct udphdr *uh, unsigned int len, unsigned int at,
		 __wsum addresses)
{
	u8 *p = (u8 *)(uh + 1);
	__sum16 check;

	check = csum_fold(csum_partial(p, len, csum_partial(uh, 4, addresses)));
	memcpy(p + at, &check, sizeof(check));
}
