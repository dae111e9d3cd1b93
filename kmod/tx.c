// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: the way out, the long one
 *
 * Whatever a packet is: to be segmented, complete, with a tunnel inside, with a
 * checksum for the receiver to make. tx.h has the short way, of most packets.
 */
#include <linux/skbuff.h>
#include <net/ip_tunnels.h>
#include <net/udp.h>
#include "auth.h"
#include "tx.h"

/* Octets that tunnels inside may have put in front of 64 KiB to be segmented */
#define GL_GSO_HEADERS		1024

static void gl_kept_head_free(struct rcu_head *head)
{
	consume_skb(container_of((void *)head, struct sk_buff, cb));
}

/*
 * Our caller may have a pointer into the headers which it uses after us
 * (ip_tunnel_xmit(): the inner IP header). When the headers have to move, a clone
 * keeps the old ones alive for as long as anybody in this RCU read section may
 * look at them.
 */
static int gl_keep_head(struct sk_buff *skb)
{
	struct sk_buff *keep;

	BUILD_BUG_ON(sizeof(struct rcu_head) > sizeof(keep->cb));
	keep = skb_clone(skb, GFP_ATOMIC);
	if (!keep)
		return -ENOMEM;
	/* octets alone shall live on, no device or connection with them */
	skb_dst_drop(keep);
	nf_reset_ct(keep);
	skb_ext_reset(keep);
	call_rcu((struct rcu_head *)keep->cb, gl_kept_head_free);
	return 0;
}

/* Make room that is ours to write to. */
static int gl_cow_head(struct sk_buff *skb, unsigned int room)
{
	if (likely(!skb_header_cloned(skb) && skb_headroom(skb) >= room))
		return 0;
	/* what the link will add after us, so that they move only once */
	room = max_t(unsigned int, room, READ_ONCE(skb->dev->needed_headroom));

	return gl_keep_head(skb) ?: skb_cow_head(skb, room);
}

/*
 * Fill in the checksum that a device would: a tag is of what is on the wire, which
 * nobody may change any more.
 */
static int gl_tx_settle(struct sk_buff *skb)
{
	int start = skb_checksum_start_offset(skb);
	unsigned int end = start + skb->csum_offset +
		(skb_csum_is_sctp(skb) ? sizeof(__le32) : sizeof(__sum16));

	if (start < 0)
		return -EINVAL;
	/* where this holds, nothing moves by what follows */
	if ((skb_headlen(skb) < end || skb_has_shared_frag(skb) ||
	     (skb_cloned(skb) && !skb_clone_writable(skb, end))) &&
	    gl_keep_head(skb))
		return -ENOMEM;
	if (!pskb_may_pull(skb, end))
		return -ENOMEM;
	return skb_csum_hwoffload_help(skb, 0);
}

/* The sum of the inner packet, where its headers have not told it. */
static int gl_tx_sum_inner(struct gl_tx *tx, struct sk_buff *skb)
{
	/* a checksum may be made in a copy */
	if (skb->ip_summed == CHECKSUM_PARTIAL && !gl_csum_is_told(skb) &&
	    gl_keep_head(skb))
		return -ENOMEM;
	return gl_csum_made(skb, &tx->sum);
}

/* Has the packet a checksum yet to be made, and can we leave it to the peer? */
static bool gl_tx_remote(struct gl_tx *tx, const struct sk_buff *skb)
{
	int start, offset;

	if (!tx->profile->remcsum || skb->ip_summed != CHECKSUM_PARTIAL ||
	    skb_csum_is_sctp((struct sk_buff *)skb))
		return false;
	/* segmentation would leave out the checksum of a tunnel inside as well */
	if (skb_is_gso(skb) &&
	    skb_shinfo(skb)->gso_type & (SKB_GSO_UDP_TUNNEL |
					 SKB_GSO_UDP_TUNNEL_CSUM |
					 SKB_GSO_TUNNEL_REMCSUM |
					 SKB_GSO_GRE_CSUM))
		return false;
	start = skb_checksum_start_offset(skb);
	offset = start + skb->csum_offset;
	if (start < 0 || offset > U16_MAX || (start | offset) & 1)
		return false;
	tx->start = start;
	tx->offset = offset;
	return true;
}

static int gl_tx_drop(const struct gl_tx *tx, const struct sk_buff *skb,
		      unsigned int reason)
{
	gl_count(tx->profile->stats, reason, gl_segs(skb));
	return -EINVAL;
}

/* The profile that rules of @profile choose, which is mostly itself */
static const struct gl_profile *gl_tx_by_mark(struct gl_net *gn,
					      const struct gl_profile *profile,
					      u32 mark)
{
	unsigned int i;

	for (i = 0; i < profile->n_rules; i++) {
		const struct gl_rule *rule = &profile->rules[i];

		if (!((mark ^ rule->mark) & rule->mask))
			return xa_load(&gn->profiles, rule->profile);
	}
	return profile;
}

/* The profile that the link names. Return: 0 or an error; then it is counted. */
int gl_tx_profile(struct gl_tx *tx, const struct ip_tunnel_encap *e,
		  const struct sk_buff *skb, unsigned int csum_flag)
{
	unsigned int number = e->flags >> GUTLESS_PROFILE_SHIFT;
	struct gl_net *gn = gl_net_rcu(tx->net);

	tx->profile = rcu_dereference(gn->plain);
	if (unlikely(!tx->profile))
		return -ENETDOWN;	/* the namespace is going */
	tx->csum = e->flags & csum_flag;
	if (number) {
		const struct gl_profile *profile;

		profile = xa_load(&gn->profiles, number);
		if (profile) {
			tx->profile = profile;
			profile = gl_tx_by_mark(gn, profile, skb->mark);
		}
		if (unlikely(!profile))
			return gl_tx_drop(tx, skb,
					  GUTLESS_A_TX_DROP_NO_PROFILE);
		tx->profile = profile;
		tx->csum = profile->csum != GUTLESS_CSUM_ZERO;
	}
	return 0;
}

/*
 * With our headers a packet yet to be segmented may be longer than a length field
 * can say: its segments get lengths of their own. More than that is a jumbogram.
 */
static bool gl_tx_too_long(const struct sk_buff *skb, unsigned int added)
{
	if (skb_is_gso(skb))
		return skb->len > IP_MAX_MTU + GL_GSO_HEADERS;
	return skb->len + added > IP_MAX_MTU;
}

/* The options that every packet has, at the end of the header @p of @len octets */
static void gl_tx_options(const struct gl_tx *tx, u8 *p, unsigned int len)
{
	const struct gl_profile *profile = tx->profile;
	u8 *opt = p + len - profile->options_len;

	p[0] += profile->options_len / 4;
	memcpy(opt, profile->options, profile->options_len);
	if (profile->timing) {
		u32 sequence = atomic_fetch_inc(&profile->sent->sequence);

		gl_wire_put(opt + profile->timing, sequence, 4);
		gl_wire_put(opt + profile->timing + 4, ktime_get_real_ns(), 8);
	}
	if (profile->mtu)
		gl_wire_put(opt + profile->mtu, tx->mtu, 2);
}

/*
 * Check makes everything behind UDP sum to minus zero. To UDP's checksum it is as if
 * there were nothing.
 */
static void gl_tx_check(struct gl_tx *tx, u8 *p, unsigned int len)
{
	__sum16 check = csum_fold(csum_partial(p, len, tx->sum));

	if (!check)
		check = CSUM_MANGLED_0;
	memcpy(p + 2, &check, sizeof(check));
	tx->summed = true;
	tx->sum = 0;
	tx->base = 0;
}

/* The header between UDP and the inner packet, of @len octets */
static void gl_tx_push(struct gl_tx *tx, struct sk_buff *skb,
		       unsigned int len, u8 proto)
{
	u8 words = tx->remote ? tx->profile->remcsum : 0;
	u8 bits = gl_tx_bits(tx->profile->format);
	u8 *p = skb_push(skb, len);

	if (tx->profile->gue.wire.len)
		tx->gue_csum = gl_wire_build_gue(p, &tx->profile->gue.wire,
						 words, proto, tx->start,
						 tx->offset);
	else if (words)
		gl_wire_build_remcsum(p, bits, words, proto, tx->start,
				      tx->offset);
	else
		gl_wire_build(p, bits, proto);
	if (tx->remote && !skb_is_gso(skb)) {
		/* what is in the field is what the receiver begins with */
		skb->ip_summed = CHECKSUM_NONE;
		skb->encapsulation = 0;
	}
	if (tx->profile->options_len)
		gl_tx_options(tx, p, len);
}

/*
 * Everything up to the UDP header.
 * @outer: octets of outer IP header that share the 16 bits of its length
 */
int gl_tx_build(struct gl_tx *tx, struct sk_buff *skb,
		const struct ip_tunnel_encap *e, u8 proto, unsigned int outer)
{
	unsigned int inner = skb->len, room;
	s64 sum = GL_CSUM_UNKNOWN;
	int base, gso_type;

	tx->remote = gl_tx_remote(tx, skb);
	if (tx->profile->auth && skb->ip_summed == CHECKSUM_PARTIAL &&
	    !tx->remote && !skb_is_gso(skb) && gl_tx_settle(skb))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_NO_MEMORY);
	if (tx->csum && skb->ip_summed != CHECKSUM_PARTIAL && !skb_is_gso(skb))
		sum = gl_csum_inner(skb, proto);
	tx->summed = sum >= 0;
	tx->sum = (__force __wsum)(u32)sum;
	base = gl_tx_base(tx->profile->format, tx->header,
			  gl_is_ip(proto) && !tx->remote &&
			  !tx->profile->options_len && !tx->profile->check);
	if (unlikely(base < 0 || (!tx->header && tx->profile->words)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_FORMAT);
	base += tx->profile->options_len + tx->profile->gue.wire.len;
	if (tx->remote)
		base += 4 * tx->profile->remcsum;
	if (unlikely(skb_is_gso(skb) &&
		     (tx->profile->timing || tx->profile->auth ||
		      tx->profile->check)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_SUPER_PACKET);

	room = base + sizeof(struct udphdr);
	if (unlikely(gl_tx_too_long(skb, room + outer)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_LENGTH);

	if (unlikely(gl_xmit_depth() > GL_XMIT_DEPTH_MAX ||
		     (!gl_shallow(skb, 0, proto) &&
		      1 + gl_nesting(skb, 0, proto) > GL_NESTING_MAX)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_RECURSION);

	if (unlikely(gl_cow_head(skb, room)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_NO_MEMORY);
	if (tx->profile->check && !tx->summed &&
	    unlikely(gl_tx_sum_inner(tx, skb)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_NO_MEMORY);
	gso_type = tx->csum ? SKB_GSO_UDP_TUNNEL_CSUM : SKB_GSO_UDP_TUNNEL;
	if (tx->remote)
		gso_type |= SKB_GSO_TUNNEL_REMCSUM;
	if (unlikely(iptunnel_handle_offloads(skb, gso_type)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_NO_MEMORY);
	if (skb_is_gso(skb))
		gl_fixedid_push(skb);

	tx->sport = gl_source_port(e, tx->profile, skb);

	tx->base = base;
	if (base)
		gl_tx_push(tx, skb, base, proto);
	/* of all that is in it by now; Check alone may come after */
	if (tx->profile->auth &&
	    unlikely(gl_auth_sign(gl_net_rcu(tx->net), tx->profile->key, skb,
				  base)))
		return gl_tx_drop(tx, skb, GUTLESS_A_TX_DROP_NO_MEMORY);
	if (tx->profile->check)
		gl_tx_check(tx, skb->data, base);

	gl_count_packet(tx->profile->stats, GUTLESS_A_TX_PACKETS, gl_segs(skb),
			inner);
	if (skb_is_gso(skb))
		gl_count(tx->profile->stats, GUTLESS_A_TX_GSO_PACKETS,
			 gl_segs(skb));
	return 0;
}

struct udphdr *gl_push_udp(struct sk_buff *skb, __be16 sport,
			   const struct ip_tunnel_encap *e)
{
	struct udphdr *uh = skb_push(skb, sizeof(*uh));

	skb_reset_transport_header(skb);
	uh->source = sport;
	uh->dest = e->dport;
	uh->len = htons(skb->len);
	return uh;
}

/* What the outer checksum is of, but for its pseudo-header */
__wsum gl_tx_sum(const struct gl_tx *tx, struct udphdr *uh)
{
	uh->check = 0;
	return csum_partial(uh, sizeof(*uh) + tx->base, tx->sum);
}
