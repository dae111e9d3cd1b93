// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: how many control messages are answered
 *
 * A token bucket for all of a network namespace, and one for each source: as many
 * as a fixed table has, found by a hash with a secret. Sources that share one by
 * chance share its tokens. Nothing is allocated for a packet.
 */
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include "control.h"

#define GL_LIMIT_BITS		8
#define GL_LIMIT_RATE_MAX	1000000

unsigned int gl_control_rate = 1000;
module_param_named(control_rate, gl_control_rate, uint, 0644);
MODULE_PARM_DESC(control_rate,
		 "Echo replies and reports a second, of a network namespace");

unsigned int gl_control_source_rate = 20;
module_param_named(control_source_rate, gl_control_source_rate, uint, 0644);
MODULE_PARM_DESC(control_source_rate,
		 "Echo replies and reports a second to one source");

/* struct gl_bucket - tokens, of which a message costs HZ; full in a second */
struct gl_bucket {
	u32 at;		/* jiffies */
	u32 tokens;
};

struct gl_limit {
	spinlock_t lock;	/* taken where packets are handled only */
	siphash_key_t secret;
	struct gl_bucket all;
	struct gl_bucket sources[1 << GL_LIMIT_BITS];
};

struct gl_limit *gl_limit_alloc(void)
{
	struct gl_limit *limit;
	unsigned int i;

	limit = kzalloc(sizeof(*limit), GFP_KERNEL_ACCOUNT);
	if (!limit)
		return NULL;
	spin_lock_init(&limit->lock);
	get_random_bytes(&limit->secret, sizeof(limit->secret));
	/* not seen for a second: all of them are full */
	limit->all.at = jiffies - HZ;
	for (i = 0; i < ARRAY_SIZE(limit->sources); i++)
		limit->sources[i].at = limit->all.at;
	return limit;
}

void gl_limit_free(struct gl_limit *limit)
{
	kfree_sensitive(limit);
}

static bool gl_bucket_take(struct gl_bucket *bucket, u32 now, u32 rate)
{
	u32 since = min_t(u32, now - bucket->at, HZ);

	rate = min_t(u32, rate, GL_LIMIT_RATE_MAX);
	bucket->at = now;
	bucket->tokens = min(bucket->tokens + since * rate, rate * HZ);
	if (bucket->tokens < HZ)
		return false;
	bucket->tokens -= HZ;
	return true;
}

/*
 * An IPv6 host may have all addresses of its network of 64 bits, and is one source
 * by whichever.
 */
static unsigned int gl_limit_hash(const struct gl_limit *limit, u8 family,
				  const struct in6_addr *peer)
{
	u64 hash;

	hash = siphash_3u32((__force u32)peer->s6_addr32[0],
			    family == AF_INET ?
				0 : (__force u32)peer->s6_addr32[1],
			    family, &limit->secret);
	return hash >> (64 - GL_LIMIT_BITS);
}

/**
 * gl_limit_allows - may one more message be sent?
 * @limit: of the network namespace
 * @family: of the address
 * @peer: whom to; an IPv4 address is the first word
 *
 * Called with bottom halves off. A source that is over its limit takes nothing
 * from the others.
 */
bool gl_limit_allows(struct gl_limit *limit, u8 family,
		     const struct in6_addr *peer)
{
	unsigned int hash = gl_limit_hash(limit, family, peer);
	u32 now = jiffies;
	bool allowed;

	spin_lock(&limit->lock);
	allowed = gl_bucket_take(&limit->sources[hash], now,
				 READ_ONCE(gl_control_source_rate)) &&
		  gl_bucket_take(&limit->all, now, READ_ONCE(gl_control_rate));
	spin_unlock(&limit->lock);
	return allowed;
}
