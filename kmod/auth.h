/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: option auth: keys, and what is done with them */
#ifndef _GUTLESS_AUTH_H
#define _GUTLESS_AUTH_H

#include <crypto/hash.h>
#include <crypto/sha2.h>
#include <linux/workqueue.h>
#include "gutless.h"
#include "replay.h"

/*
 * struct gl_key - a key, in use by profiles or by a port; but for what a port has
 * received by it never changed. The secret is in @tfm alone.
 */
struct gl_key {
	refcount_t users;
	u16 id;
	u8 direction;
	u8 digest[SHA256_DIGEST_SIZE];	/* of the secret */
	struct crypto_shash *tfm;
	spinlock_t lock;		/* of what @seen points to */
	struct gl_replay *seen;		/* NULL: it is to send by */
	struct work_struct gone;
};

/* struct gl_keys - those of a port, replaced together with gl_rules */
struct gl_keys {
	u32 n;
	bool required;
	struct {
		struct gl_key *key;
		char name[GUTLESS_KEY_NAME_MAX + 1];
	} one[GUTLESS_PORT_KEYS_MAX];
};

struct gl_key *gl_key_make(u16 id, u8 direction, const u8 *secret,
			   unsigned int len, bool receives);
bool gl_key_equal(const struct gl_key *a, const struct gl_key *b);
void gl_key_put(struct gl_key *key);
void gl_keys_free(struct gl_keys *keys);

int gl_auth_sign(struct gl_net *gn, const struct gl_key *key,
		 struct sk_buff *skb, unsigned int len);
int gl_auth_judge(const struct gl_keys *keys, struct sk_buff *skb,
		  const struct gl_wire *w);

int gl_auth_init(void);
void gl_auth_exit(void);

#endif /* _GUTLESS_AUTH_H */
