// SPDX-License-Identifier: GPL-2.0-only
/* gutless: fields of GUE 0 over netlink, of profiles and of ports */
#include <linux/log2.h>
#include "nl_gue.h"

#define GL_GUE_CLEAR_ALL (GUTLESS_GUE_CLEAR_GROUP | GUTLESS_GUE_CLEAR_COOKIE)

const struct nla_policy gl_gue_policy[GUTLESS_A_GUE_MAX + 1] = {
	[GUTLESS_A_GUE_GROUP] = { .type = NLA_U32 },
	[GUTLESS_A_GUE_CSUM] = NLA_POLICY_MAX(NLA_U8, 1),
	[GUTLESS_A_GUE_COOKIE] = { .type = NLA_BINARY,
				   .len = GL_GUE_COOKIE_MAX },
	[GUTLESS_A_GUE_COOKIE_NAME] = { .type = NLA_NUL_STRING,
					.len = GL_NAME_MAX },
	[GUTLESS_A_GUE_CLEAR] = NLA_POLICY_MASK(NLA_U32, GL_GUE_CLEAR_ALL),
};

static int gl_gue_parse_group(struct nlattr **tb, u32 clear, struct gl_gue *gue,
			      struct netlink_ext_ack *extack)
{
	struct nlattr *at = tb[GUTLESS_A_GUE_GROUP];

	if (clear & GUTLESS_GUE_CLEAR_GROUP) {
		if (at) {
			NL_SET_ERR_MSG_ATTR(extack, at,
					    "a group to be set and to be cleared");
			return -EINVAL;
		}
		gue->flags &= ~GL_GUE_GROUP;
		memset(gue->group, 0, sizeof(gue->group));
	}
	if (at) {
		gue->flags |= GL_GUE_GROUP;
		gl_wire_put(gue->group, nla_get_u32(at), sizeof(gue->group));
	}
	return 0;
}

static int gl_gue_parse_cookie(struct nlattr **tb, u32 clear,
			       struct gl_gue_set *set,
			       struct netlink_ext_ack *extack)
{
	struct nlattr *name = tb[GUTLESS_A_GUE_COOKIE_NAME];
	struct nlattr *at = tb[GUTLESS_A_GUE_COOKIE];
	struct gl_gue *gue = &set->wire;

	if (name && !at) {
		NL_SET_ERR_MSG_ATTR(extack, name,
				    "the name of a cookie comes with the cookie");
		return -EINVAL;
	}
	if (at && clear & GUTLESS_GUE_CLEAR_COOKIE) {
		NL_SET_ERR_MSG_ATTR(extack, at,
				    "a cookie to be set and to be cleared");
		return -EINVAL;
	}
	if (at && nla_len(at) != 8 && nla_len(at) != 16 && nla_len(at) != 32) {
		NL_SET_ERR_MSG_ATTR(extack, at,
				    "a cookie has 8, 16 or 32 octets");
		return -EINVAL;
	}
	if (!at && !(clear & GUTLESS_GUE_CLEAR_COOKIE))
		return 0;
	gue->flags &= ~GL_GUE_SECURITY;
	memset(gue->cookie, 0, sizeof(gue->cookie));
	memset(set->cookie_name, 0, sizeof(set->cookie_name));
	if (at) {
		gue->flags |= (ilog2(nla_len(at)) - 2) << 12;
		memcpy(gue->cookie, nla_data(at), nla_len(at));
	}
	if (name)
		nla_strscpy(set->cookie_name, name, sizeof(set->cookie_name));
	return 0;
}

/*
 * What a request says, into @set, which holds what was there.
 * @nest: NULL where it says nothing
 */
static int gl_gue_parse(struct nlattr *nest, struct gl_gue_set *set,
			struct netlink_ext_ack *extack)
{
	struct nlattr *tb[GUTLESS_A_GUE_MAX + 1];
	struct gl_gue *gue = &set->wire;
	u32 clear = 0;
	int err;

	if (!nest)
		return 0;
	err = nla_parse_nested(tb, GUTLESS_A_GUE_MAX, nest, gl_gue_policy,
			       extack);
	if (err)
		return err;
	if (tb[GUTLESS_A_GUE_CLEAR])
		clear = nla_get_u32(tb[GUTLESS_A_GUE_CLEAR]);
	err = gl_gue_parse_group(tb, clear, gue, extack);
	if (!err)
		err = gl_gue_parse_cookie(tb, clear, set, extack);
	if (err)
		return err;
	if (tb[GUTLESS_A_GUE_CSUM]) {
		gue->flags &= ~GL_GUE_CSUM;
		if (nla_get_u8(tb[GUTLESS_A_GUE_CSUM]))
			gue->flags |= GL_GUE_CSUM;
	}
	gue->len = gl_gue_fields_len(gue->flags);
	return 0;
}

/**
 * gl_gue_parse_profile - the fields that a request has a profile send
 * @info: the request
 * @p: told of them; its format is parsed
 *
 * Return: 0 or a negative error.
 */
int gl_gue_parse_profile(struct genl_info *info, struct gl_profile *p)
{
	struct nlattr *nest = info->attrs[GUTLESS_A_PROFILE_GUE];
	int err = gl_gue_parse(nest, &p->gue, info->extack);

	if (err)
		return err;
	if (p->gue.wire.flags && p->format != GUTLESS_FORMAT_GUE) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    nest ?: info->attrs[GUTLESS_A_PROFILE_FORMAT],
				    "only format GUE has group, cookie and checksum");
		return -EINVAL;
	}
	return 0;
}

/**
 * gl_gue_parse_port - the fields that a request has a port require
 * @info: the request
 * @r: rules of the port, with those for options and all formats it accepts
 * @old: those of the port now, NULL for a new one
 *
 * Return: 0 or a negative error.
 */
int gl_gue_parse_port(struct genl_info *info, struct gl_rules *r,
		      const struct gl_rules *old)
{
	struct nlattr *nest = info->attrs[GUTLESS_A_PORT_GUE];
	int err;

	if (old)
		r->gue = old->gue;
	err = gl_gue_parse(nest, &r->gue, info->extack);
	if (err || !r->gue.wire.flags)
		return err;
	if (!(r->accept & GUTLESS_ACCEPT_GUE0)) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    nest ?: info->attrs[GUTLESS_A_PORT_ACCEPT],
				    "fields of GUE are required of a port that accepts it");
		return -EINVAL;
	}
	if (!r->plain) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    nest ?: info->attrs[GUTLESS_A_PORT_OPTION_RULE],
				    "no packet has both a field of GUE and what else is required");
		return -EINVAL;
	}
	/* the short ways do not look at fields: they would let pass */
	r->plain = 0;
	r->expects = false;
	return 0;
}

/**
 * gl_gue_fill - report fields, if there are any
 * @msg: told of them
 * @type: the attribute to put them in
 * @set: they
 *
 * Return: 0 or a negative error.
 */
int gl_gue_fill(struct sk_buff *msg, int type, const struct gl_gue_set *set)
{
	const struct gl_gue *gue = &set->wire;
	u8 cookie = gl_gue_cookie_len(gue->flags);
	u8 hash[GL_FINGERPRINT_LEN];
	struct nlattr *nest;

	if (!gue->flags)
		return 0;
	nest = nla_nest_start(msg, type);
	if (!nest ||
	    nla_put_u8(msg, GUTLESS_A_GUE_CSUM, !!(gue->flags & GL_GUE_CSUM)))
		return -EMSGSIZE;
	if (gue->flags & GL_GUE_GROUP &&
	    nla_put_u32(msg, GUTLESS_A_GUE_GROUP,
			get_unaligned_be32(gue->group)))
		return -EMSGSIZE;
	if (cookie) {
		gl_fingerprint(hash, gue->cookie, cookie);
		if (nla_put_u8(msg, GUTLESS_A_GUE_COOKIE_LEN, cookie) ||
		    nla_put(msg, GUTLESS_A_GUE_COOKIE_HASH, sizeof(hash),
			    hash) ||
		    nla_put_string(msg, GUTLESS_A_GUE_COOKIE_NAME,
				   set->cookie_name))
			return -EMSGSIZE;
	}
	nla_nest_end(msg, nest);
	return 0;
}
