// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: keys over netlink
 *
 * A secret goes in. What comes out is a fingerprint, by which two can be told to
 * be the same, and the name that was given along.
 */
#include <linux/string.h>
#include "nl_auth.h"

const struct nla_policy gl_key_policy[GUTLESS_A_KEY_MAX + 1] = {
	[GUTLESS_A_KEY_ID] = { .type = NLA_U16 },
	[GUTLESS_A_KEY_SECRET] = NLA_POLICY_RANGE(NLA_BINARY,
						  GUTLESS_KEY_SECRET_MIN,
						  GUTLESS_KEY_SECRET_MAX),
	[GUTLESS_A_KEY_NAME] = { .type = NLA_NUL_STRING,
				 .len = GUTLESS_KEY_NAME_MAX },
	[GUTLESS_A_KEY_DIRECTION] = NLA_POLICY_MAX(NLA_U8, 1),
	[GUTLESS_A_KEY_FINGERPRINT] =
		NLA_POLICY_EXACT_LEN(GUTLESS_KEY_FINGERPRINT_LEN),
};

/**
 * gl_keys_wipe - leave no secret behind in a request
 * @info: the request
 * @attr: the attribute that is a key
 *
 * It lies in memory that others get when it is freed, and where the request is
 * refused, in the answer.
 */
void gl_keys_wipe(struct genl_info *info, int attr)
{
	struct nlattr *nest, *at;
	int rem, in;

	nlmsg_for_each_attr(nest, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(nest) != attr)
			continue;
		nla_for_each_nested(at, nest, in)
			if (nla_type(at) == GUTLESS_A_KEY_SECRET)
				memzero_explicit(nla_data(at), nla_len(at));
	}
}

static struct gl_key *gl_keys_find(const struct gl_keys *keys, u16 id)
{
	u32 i;

	for (i = 0; i < keys->n; i++)
		if (keys->one[i].key->id == id)
			return keys->one[i].key;
	return NULL;
}

/* Return: the key that is there already, if it has this fingerprint */
static struct gl_key *gl_key_again(struct gl_key *key, u16 id, u8 direction,
				   const struct nlattr *fingerprint)
{
	if (!key || key->id != id || key->direction != direction ||
	    memcmp(key->digest, nla_data(fingerprint),
		   GUTLESS_KEY_FINGERPRINT_LEN))
		return ERR_PTR(-ENOKEY);
	refcount_inc(&key->users);
	return key;
}

/*
 * The key that @nest asks for, and what it is called.
 * @keys: those that a port has, else
 * @one: the one that a profile has, or NULL
 *
 * Return: it, or an error pointer.
 */
static struct gl_key *gl_key_parse(const struct nlattr *nest,
				   const struct gl_keys *keys,
				   struct gl_key *one,
				   char name[GUTLESS_KEY_NAME_MAX + 1],
				   struct netlink_ext_ack *extack)
{
	struct nlattr *tb[GUTLESS_A_KEY_MAX + 1], *secret, *fingerprint;
	struct gl_key *key;
	u8 direction = 0;
	int err;
	u16 id;

	err = nla_parse_nested(tb, GUTLESS_A_KEY_MAX, nest, gl_key_policy,
			       extack);
	if (err)
		return ERR_PTR(err);
	secret = tb[GUTLESS_A_KEY_SECRET];
	fingerprint = tb[GUTLESS_A_KEY_FINGERPRINT];
	if (!tb[GUTLESS_A_KEY_ID] || !secret == !fingerprint) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "a key is an id and a secret, or the fingerprint of one that is there");
		return ERR_PTR(-EINVAL);
	}
	id = nla_get_u16(tb[GUTLESS_A_KEY_ID]);
	if (tb[GUTLESS_A_KEY_DIRECTION])
		direction = nla_get_u8(tb[GUTLESS_A_KEY_DIRECTION]);
	memset(name, 0, GUTLESS_KEY_NAME_MAX + 1);
	if (tb[GUTLESS_A_KEY_NAME])
		nla_strscpy(name, tb[GUTLESS_A_KEY_NAME],
			    GUTLESS_KEY_NAME_MAX + 1);
	key = secret ? gl_key_make(id, direction, nla_data(secret),
				   nla_len(secret), keys) :
		       gl_key_again(keys ? gl_keys_find(keys, id) : one, id,
				    direction, fingerprint);
	switch (PTR_ERR_OR_ZERO(key)) {
	case -ENOENT:
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "this kernel has no HMAC-SHA256 (CONFIG_CRYPTO_HMAC, CONFIG_CRYPTO_SHA256)");
		return ERR_PTR(-EOPNOTSUPP);
	case -ENOKEY:
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "no key of this fingerprint is here: its secret is needed");
		break;
	}
	return key;
}

/**
 * gl_profile_parse_key - the key a request gives a profile
 * @info: the request
 * @p: told of it; its options are parsed
 *
 * A key comes and goes with the option that names it.
 *
 * Return: 0 or a negative error.
 */
int gl_profile_parse_key(struct genl_info *info, struct gl_profile *p)
{
	struct nlattr *at = info->attrs[GUTLESS_A_PROFILE_KEY];
	struct nlattr *options = info->attrs[GUTLESS_A_PROFILE_OPTIONS];
	struct gl_key *key;

	if (at) {
		key = gl_key_parse(at, NULL, p->key, p->key_name, info->extack);
		if (IS_ERR(key))
			return PTR_ERR(key);
		gl_key_put(p->key);
		p->key = key;
	} else if (!p->auth) {
		gl_key_put(p->key);
		p->key = NULL;
	}
	if (!p->auth && p->key) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "a key is for option auth, which is not among the options");
		return -EINVAL;
	}
	if (p->auth && !p->key) {
		NL_SET_ERR_MSG_ATTR(info->extack, options,
				    "option auth needs a key");
		return -EINVAL;
	}
	if (p->auth &&
	    gl_wire_get(p->options + p->auth, GL_OPT_AUTH_SEQUENCE) !=
	    p->key->id) {
		NL_SET_ERR_MSG_ATTR(info->extack, at ?: options,
				    "option auth names another key");
		return -EINVAL;
	}
	return 0;
}

static u32 gl_keys_place(const struct gl_keys *keys, u16 id)
{
	u32 i;

	for (i = 0; i < keys->n; i++)
		if (keys->one[i].key->id == id)
			break;
	return i;
}

static int gl_keys_delete(struct genl_info *info, struct gl_keys *keys)
{
	struct nlattr *at;
	u32 place;
	int rem;

	nlmsg_for_each_attr(at, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(at) != GUTLESS_A_PORT_KEY_DEL)
			continue;
		place = gl_keys_place(keys, nla_get_u16(at));
		if (place == keys->n) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "the port has no key of this id");
			return -ENOENT;
		}
		gl_key_put(keys->one[place].key);
		keys->one[place] = keys->one[--keys->n];
	}
	return 0;
}

/*
 * A key that is there already stays, and with it what has come by it. One of the same
 * id takes its place, and knows nothing yet.
 */
static int gl_keys_enter(struct genl_info *info, struct gl_keys *keys)
{
	struct netlink_ext_ack *extack = info->extack;
	char name[GUTLESS_KEY_NAME_MAX + 1];
	u16 named[GUTLESS_PORT_KEYS_MAX];
	u32 place, i, n = 0;
	struct gl_key *key;
	struct nlattr *at;
	int rem;

	nlmsg_for_each_attr(at, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(at) != GUTLESS_A_PORT_KEY)
			continue;
		key = gl_key_parse(at, keys, NULL, name, extack);
		if (IS_ERR(key))
			return PTR_ERR(key);
		for (i = 0; i < n; i++) {
			if (named[i] == key->id) {
				gl_key_put(key);
				NL_SET_ERR_MSG_ATTR(extack, at,
						    "two keys of one id");
				return -EINVAL;
			}
		}
		place = gl_keys_place(keys, key->id);
		if (place == GUTLESS_PORT_KEYS_MAX) {
			gl_key_put(key);
			NL_SET_ERR_MSG_ATTR(extack, at,
					    "a port has 8 keys at most");
			return -ENOSPC;
		}
		named[n++] = key->id;
		if (place == keys->n) {
			keys->one[keys->n++].key = key;
		} else if (gl_key_equal(keys->one[place].key, key)) {
			gl_key_put(key);
		} else {
			gl_key_put(keys->one[place].key);
			keys->one[place].key = key;
		}
		memcpy(keys->one[place].name, name, sizeof(name));
	}
	return 0;
}

/**
 * gl_keys_parse - the keys of option auth that a request asks for
 * @info: the request
 * @r: rules of the port that shall have them, with all else filled in
 * @old: those of the port now, NULL for a new one
 *
 * Return: 0 or a negative error.
 */
int gl_keys_parse(struct genl_info *info, struct gl_rules *r,
		  const struct gl_rules *old)
{
	struct nlattr *require = info->attrs[GUTLESS_A_PORT_REQUIRE_AUTH];
	struct nlattr *given = info->attrs[GUTLESS_A_PORT_KEY];
	struct nlattr *gone = info->attrs[GUTLESS_A_PORT_KEY_DEL];
	struct gl_keys *keys;
	u32 i;
	int err;

	if (!(old && old->keys) && !require && !given && !gone)
		return 0;
	keys = kzalloc(sizeof(*keys), GFP_KERNEL_ACCOUNT);
	if (!keys)
		return -ENOMEM;
	r->keys = keys;
	if (old && old->keys) {
		*keys = *old->keys;
		for (i = 0; i < keys->n; i++)
			refcount_inc(&keys->one[i].key->users);
	}
	err = gl_keys_delete(info, keys);
	if (!err)
		err = gl_keys_enter(info, keys);
	if (err)
		return err;
	if (require)
		keys->required = nla_get_u8(require);
	if (keys->required && !keys->n) {
		NL_SET_ERR_MSG_ATTR(info->extack, require ?: gone,
				    "a port that requires option auth needs a key");
		return -EINVAL;
	}
	if (!keys->n) {
		gl_keys_free(keys);
		r->keys = NULL;
		return 0;
	}
	if (!(r->accept & GUTLESS_ACCEPT_GUTLESS)) {
		NL_SET_ERR_MSG_ATTR(info->extack, given ?:
				    info->attrs[GUTLESS_A_PORT_ACCEPT],
				    "keys are for a port that accepts GUT-less");
		return -EINVAL;
	}
	/* auth is known here, session as a part of it; and without it none passes */
	r->known[GL_OPT_AUTH / 8] |= 1 << GL_OPT_AUTH % 8;
	r->known[GL_OPT_SESSION / 8] |= 1 << GL_OPT_SESSION % 8;
	if (keys->required)
		r->plain = 0;
	r->expects = false;
	return 0;
}

int gl_key_fill(struct sk_buff *msg, int attr, const struct gl_key *key,
		const char *name)
{
	struct nlattr *nest = nla_nest_start(msg, attr);

	if (!nest ||
	    nla_put_u16(msg, GUTLESS_A_KEY_ID, key->id) ||
	    (*name && nla_put_string(msg, GUTLESS_A_KEY_NAME, name)) ||
	    nla_put_u8(msg, GUTLESS_A_KEY_DIRECTION, key->direction) ||
	    nla_put(msg, GUTLESS_A_KEY_FINGERPRINT,
		    GUTLESS_KEY_FINGERPRINT_LEN, key->digest))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

/* Settings of a port: whether auth is required, and the keys */
int gl_keys_fill(struct sk_buff *msg, const struct gl_keys *keys)
{
	u32 i;

	if (nla_put_u8(msg, GUTLESS_A_PORT_REQUIRE_AUTH,
		       keys && keys->required))
		return -EMSGSIZE;
	for (i = 0; keys && i < keys->n; i++)
		if (gl_key_fill(msg, GUTLESS_A_PORT_KEY, keys->one[i].key,
				keys->one[i].name))
			return -EMSGSIZE;
	return 0;
}
