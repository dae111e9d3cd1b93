// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: option auth (docs/protocol.md, section 7.4)
 *
 * A tag is of one packet, as it is on the wire: what is signed has been segmented,
 * and nothing inside is left to be filled in by a device.
 */
#include <crypto/algapi.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include "auth.h"

#define GL_AUTH_HASH	"hmac(sha256)"

/* A hash may be let go where one can sleep, which is not where RCU calls us. */
static struct workqueue_struct *gl_key_queue;

static void gl_key_free(struct gl_key *key)
{
	if (!IS_ERR_OR_NULL(key->tfm))
		crypto_free_shash(key->tfm);
	kvfree(key->seen);
	kfree_sensitive(key);
}

static void gl_key_gone(struct work_struct *work)
{
	gl_key_free(container_of(work, struct gl_key, gone));
}

void gl_key_put(struct gl_key *key)
{
	if (key && refcount_dec_and_test(&key->users))
		queue_work(gl_key_queue, &key->gone);
}

/* Nobody else can see @keys; each of them may be in another set. */
void gl_keys_free(struct gl_keys *keys)
{
	u32 i;

	if (!keys)
		return;
	for (i = 0; i < keys->n; i++)
		gl_key_put(keys->one[i].key);
	kfree(keys);
}

static int gl_key_digest(const u8 *secret, unsigned int len, u8 *digest)
{
	struct crypto_shash *tfm = crypto_alloc_shash("sha256", 0, 0);
	int err;

	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = crypto_shash_tfm_digest(tfm, secret, len, digest);
	crypto_free_shash(tfm);
	return err;
}

/**
 * gl_key_make - make a key
 * @id: as in the option
 * @direction: 0 or 1
 * @secret: not kept, but by the hash
 * @len: octets of it
 * @receives: packets are verified by it, and not signed
 *
 * Return: the key, or an error pointer: of ENOENT where the kernel has no such hash.
 */
struct gl_key *gl_key_make(u16 id, u8 direction, const u8 *secret,
			   unsigned int len, bool receives)
{
	struct gl_key *key;
	int err;

	key = kzalloc(sizeof(*key), GFP_KERNEL_ACCOUNT);
	if (!key)
		return ERR_PTR(-ENOMEM);
	refcount_set(&key->users, 1);
	spin_lock_init(&key->lock);
	INIT_WORK(&key->gone, gl_key_gone);
	key->id = id;
	key->direction = direction;
	err = -ENOMEM;
	if (receives) {
		key->seen = kvzalloc(sizeof(*key->seen), GFP_KERNEL_ACCOUNT);
		if (!key->seen)
			goto err;
	}
	key->tfm = crypto_alloc_shash(GL_AUTH_HASH, 0, 0);
	err = PTR_ERR_OR_ZERO(key->tfm);
	if (!err)
		err = crypto_shash_setkey(key->tfm, secret, len);
	if (!err)
		err = gl_key_digest(secret, len, key->digest);
	if (!err)
		return key;
err:
	gl_key_free(key);
	return ERR_PTR(err);
}

bool gl_key_equal(const struct gl_key *a, const struct gl_key *b)
{
	return a->id == b->id && a->direction == b->direction &&
	       !memcmp(a->digest, b->digest, sizeof(a->digest));
}

/*
 * The whole of a tag's hash.
 * @head: GL_AUTH_HEAD(@len) octets of gl_wire_auth()
 * @len: octets of header
 * @off: where in @skb it ends
 */
static int gl_auth_tag(const struct gl_key *key, const u8 *head,
		       unsigned int len, struct sk_buff *skb, unsigned int off,
		       u8 digest[SHA256_DIGEST_SIZE])
{
	SHASH_DESC_ON_STACK(desc, key->tfm);
	struct skb_seq_state part;
	unsigned int done = 0, n;
	const u8 *data;
	int err;

	desc->tfm = key->tfm;
	err = crypto_shash_init(desc) ?:
	      crypto_shash_update(desc, head, GL_AUTH_HEAD(len));
	if (err)
		return err;
	skb_prepare_seq_read(skb, off, skb->len, &part);
	while ((n = skb_seq_read(done, &data, &part))) {
		err = crypto_shash_update(desc, data, n);
		if (err) {
			skb_abort_seq_read(&part);
			return err;
		}
		done += n;
	}
	err = crypto_shash_final(desc, digest);
	shash_desc_zero(desc);
	return err;
}

/*
 * A number for each packet signed in a namespace, and so for each by one key: the
 * time, or one more than the last.
 */
static u64 gl_auth_sequence(struct gl_net *gn)
{
	u64 now = ktime_get_real_ns(), next;
	s64 last = atomic64_read(&gn->auth_sequence);

	do {
		next = max_t(u64, (u64)last + 1, now);
	} while (!atomic64_try_cmpxchg(&gn->auth_sequence, &last, next));
	return next;
}

/**
 * gl_auth_sign - fill in option auth
 * @gn: where the packet is sent
 * @key: which has the id that the option says
 * @skb: the packet, at the header of GUT-less; one, and final but for that option
 * @len: octets of the header
 *
 * Return: 0 or a negative error.
 */
int gl_auth_sign(struct gl_net *gn, const struct gl_key *key,
		 struct sk_buff *skb, unsigned int len)
{
	u8 head[GL_AUTH_HEAD(GL_HEADER_MAX)], digest[SHA256_DIGEST_SIZE];
	u8 sequence[GL_OPT_AUTH_TAG - GL_OPT_AUTH_SEQUENCE];
	u8 *p = skb->data;
	unsigned int at;
	int err;

	at = gl_wire_auth(p, len, key->direction, head);
	if (unlikely(!at))
		return -EINVAL;
	gl_wire_put(sequence, gl_auth_sequence(gn), sizeof(sequence));
	memcpy(p + at + GL_OPT_AUTH_SEQUENCE, sequence, sizeof(sequence));
	memcpy(head + GL_AUTH_HEAD(at) + GL_OPT_AUTH_SEQUENCE, sequence,
	       sizeof(sequence));
	err = gl_auth_tag(key, head, len, skb, len, digest);
	if (!err)
		memcpy(p + at + GL_OPT_AUTH_TAG, digest, GL_OPT_AUTH_TAG_LEN);
	return err;
}

static struct gl_key *gl_keys_find(const struct gl_keys *keys, u16 id)
{
	u32 i;

	for (i = 0; i < keys->n; i++)
		if (keys->one[i].key->id == id)
			return keys->one[i].key;
	return NULL;
}

/**
 * gl_auth_judge - does a packet come from who has one of the keys, and is it new?
 * @keys: the port's
 * @skb: the packet, at its UDP header
 * @w: its header, which is linear and was taken apart
 *
 * What is cheap to find comes first: whoever has no key makes us hash no more than
 * his own packets. A number counts as come only once its tag was right.
 *
 * Return: 0, or the attribute that counts the reason to drop.
 */
int gl_auth_judge(const struct gl_keys *keys, struct sk_buff *skb,
		  const struct gl_wire *w)
{
	u8 head[GL_AUTH_HEAD(GL_HEADER_MAX)], digest[SHA256_DIGEST_SIZE];
	const unsigned int off = sizeof(struct udphdr);
	const u8 *p = skb->data + off;
	unsigned int at = 0;
	struct gl_key *key;
	u64 sequence, now;
	int reason;

	if (w->auth)
		at = gl_wire_auth(p, w->len, 0, head);
	if (!at)
		return keys->required ? GUTLESS_A_RX_DROP_AUTH_MISSING : 0;
	p += at;
	key = gl_keys_find(keys, gl_wire_get(p, GL_OPT_AUTH_SEQUENCE));
	if (!key)
		return GUTLESS_A_RX_DROP_AUTH_KEY;
	head[0] = key->direction;
	sequence = gl_wire_get(p + GL_OPT_AUTH_SEQUENCE,
			       GL_OPT_AUTH_TAG - GL_OPT_AUTH_SEQUENCE);
	now = ktime_get_real_ns();

	spin_lock(&key->lock);
	reason = gl_replay_test(key->seen, sequence, now);
	spin_unlock(&key->lock);
	if (reason)
		return reason;
	if (gl_auth_tag(key, head, w->len, skb, off + w->len, digest))
		return GUTLESS_A_RX_DROP_NO_MEMORY;
	if (crypto_memneq(digest, p + GL_OPT_AUTH_TAG, GL_OPT_AUTH_TAG_LEN))
		return GUTLESS_A_RX_DROP_AUTH_TAG;

	/* its double may have come by another processor meanwhile */
	spin_lock(&key->lock);
	reason = gl_replay_test(key->seen, sequence, now);
	if (!reason)
		gl_replay_add(key->seen, sequence);
	spin_unlock(&key->lock);
	return reason;
}

int __init gl_auth_init(void)
{
	gl_key_queue = alloc_workqueue("gutless", WQ_UNBOUND, 0);
	return gl_key_queue ? 0 : -ENOMEM;
}

/* After the last key was put */
void gl_auth_exit(void)
{
	destroy_workqueue(gl_key_queue);
}

/* each in a module of its own on some kernels */
MODULE_SOFTDEP("pre: crypto-hmac crypto-sha256");
