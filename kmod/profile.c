// SPDX-License-Identifier: GPL-2.0-only
/* gutless: profiles, which say what a sender adds */
#include <linux/slab.h>
#include "auth.h"

/* Nobody else can see @profile. */
void gl_profile_free(struct gl_profile *profile)
{
	free_percpu(profile->stats);
	kfree(profile->sent);
	gl_profile_copy_free(profile);
}

/* A copy that shares counters, key and what was sent, to be changed and put in place */
struct gl_profile *gl_profile_copy(const struct gl_profile *profile)
{
	struct gl_profile *copy;

	copy = kmemdup(profile, sizeof(*profile), GFP_KERNEL_ACCOUNT);
	if (copy && copy->key)
		refcount_inc(&copy->key->users);
	return copy;
}

/* Nobody else can see @profile; another one has its counters. */
void gl_profile_copy_free(struct gl_profile *profile)
{
	gl_key_put(profile->key);
	kfree(profile);
}

static void gl_profile_copy_free_rcu(struct rcu_head *head)
{
	gl_profile_copy_free(container_of(head, struct gl_profile, rcu));
}

/* A copy has taken its place. */
void gl_profile_replaced(struct gl_profile *old)
{
	call_rcu(&old->rcu, gl_profile_copy_free_rcu);
}

struct gl_profile *gl_profile_alloc(u16 number)
{
	struct gl_profile *profile;

	profile = kzalloc(sizeof(*profile), GFP_KERNEL_ACCOUNT);
	if (!profile)
		return NULL;
	profile->stats = gl_stats_alloc();
	profile->sent = kzalloc(sizeof(*profile->sent), GFP_KERNEL_ACCOUNT);
	if (!profile->stats || !profile->sent) {
		gl_profile_free(profile);
		return NULL;
	}
	profile->number = number;
	profile->csum = GUTLESS_CSUM_FULL;
	profile->sport_min = GL_SPORT_MIN;
	profile->sport_max = GL_SPORT_MAX;
	profile->sport_n = GL_SPORT_MAX - GL_SPORT_MIN + 1;
	return profile;
}

static void gl_profile_free_rcu(struct rcu_head *head)
{
	gl_profile_free(container_of(head, struct gl_profile, rcu));
}

void gl_profile_release(struct gl_net *gn, struct gl_profile *profile)
{
	xa_erase(&gn->profiles, profile->number);
	WRITE_ONCE(gn->n_profiles, gn->n_profiles - 1);
	call_rcu(&profile->rcu, gl_profile_free_rcu);
}

void gl_profiles_release(struct gl_net *gn)
{
	struct gl_profile *profile;
	unsigned long number;

	mutex_lock(&gn->lock);
	xa_for_each(&gn->profiles, number, profile)
		gl_profile_release(gn, profile);
	profile = rcu_replace_pointer(gn->plain, NULL,
				      lockdep_is_held(&gn->lock));
	mutex_unlock(&gn->lock);
	call_rcu(&profile->rcu, gl_profile_free_rcu);
	xa_destroy(&gn->profiles);
}
