// SPDX-License-Identifier: GPL-2.0-only
/* gutless: profiles over netlink: their options, and the rules that choose another */
#include "nl_auth.h"
#include "nl_profile.h"

const struct nla_policy gl_rule_policy[GUTLESS_A_RULE_MAX + 1] = {
	[GUTLESS_A_RULE_MARK] = { .type = NLA_U32 },
	[GUTLESS_A_RULE_MASK] = { .type = NLA_U32 },
	[GUTLESS_A_RULE_PROFILE] = { .type = NLA_U16 },
};

/* What an option of a profile can be wrong in, and where its data is filled in. */
static int gl_option_check(struct gl_profile *p, u8 at, struct nlattr *attr,
			   struct netlink_ext_ack *extack)
{
	const u8 *opt = p->options + at;

	switch (opt[0]) {
	case GL_OPT_REMCSUM:
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "the remote checksum is a checksum mode, and no option to be set");
		return -EINVAL;
	case GL_OPT_AUTH:
		if (opt[1] != GL_OPT_AUTH_LEN ||
		    memchr_inv(opt + 2 + GL_OPT_AUTH_SEQUENCE, 0,
			       GL_OPT_AUTH_LEN - GL_OPT_AUTH_SEQUENCE)) {
			NL_SET_ERR_MSG_ATTR(extack, attr,
					    "option auth has 26 octets: the key's id, and zeros that are filled in");
			return -EINVAL;
		}
		p->auth = at + 2;
		break;
	case GL_OPT_TIMING:
		if (opt[1] != GL_OPT_TIMING_LEN) {
			NL_SET_ERR_MSG_ATTR(extack, attr,
					    "option timing has 12 octets");
			return -EINVAL;
		}
		p->timing = at + 2;
		break;
	case GL_OPT_MIN_PATH_MTU:
		/* one that says a value means that value */
		if (opt[1] == GL_OPT_MIN_PATH_MTU_LEN && !opt[2] && !opt[3])
			p->mtu = at + 2;
		break;
	}
	return 0;
}

/* Options that stand in a header once, or are filled in once */
static bool gl_option_once(u8 type)
{
	switch (type) {
	case GL_OPT_TIMING:
	case GL_OPT_MIN_PATH_MTU:
	case GL_OPT_GROUP:
	case GL_OPT_SESSION:
	case GL_OPT_AUTH:
		return true;
	default:
		return false;
	}
}

static int gl_options_check(struct gl_profile *p, struct nlattr *attr,
			    struct netlink_ext_ack *extack)
{
	DECLARE_BITMAP(seen, 256) = {};
	const u8 *opt = p->options;
	u8 at = 0;
	int err;

	while (at < p->options_len) {
		if (opt[at] == GL_OPT_PAD1) {
			at++;
			continue;
		}
		if (p->options_len - at < 2 ||
		    p->options_len - at - 2 < opt[at + 1]) {
			NL_SET_ERR_MSG_ATTR(extack, attr,
					    "an option ends behind the options");
			return -EINVAL;
		}
		if (gl_option_once(opt[at]) &&
		    __test_and_set_bit(opt[at], seen)) {
			NL_SET_ERR_MSG_ATTR(extack, attr,
					    "an option stands twice that may stand once");
			return -EINVAL;
		}
		err = gl_option_check(p, at, attr, extack);
		if (err)
			return err;
		at += 2 + opt[at + 1];
	}
	return 0;
}

/**
 * gl_profile_parse_options - the options a request gives a profile
 * @info: the request
 * @p: told of them; the rest of it is parsed
 *
 * Return: 0 or a negative error.
 */
int gl_profile_parse_options(struct genl_info *info, struct gl_profile *p)
{
	struct nlattr *at = info->attrs[GUTLESS_A_PROFILE_OPTIONS];
	int err;

	if (at) {
		if (nla_len(at) % 4) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "options are whole words of 4 octets: the rest is padding");
			return -EINVAL;
		}
		memset(p->options, 0, sizeof(p->options));
		memcpy(p->options, nla_data(at), nla_len(at));
		p->options_len = nla_len(at);
		p->timing = 0;
		p->mtu = 0;
		p->auth = 0;
		err = gl_options_check(p, at, info->extack);
		if (err)
			return err;
	}
	if (p->options_len && p->format != GUTLESS_FORMAT_GUTLESS) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    at ?: info->attrs[GUTLESS_A_PROFILE_FORMAT],
				    "only format GUT-less has options");
		return -EINVAL;
	}
	p->words = p->remcsum + (p->options_len + p->gue.wire.len) / 4;
	if (p->words > GL_HLEN_MASK) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    at ?: info->attrs[GUTLESS_A_PROFILE_CSUM],
				    "the options and the checksum's leave no room for each other");
		return -EINVAL;
	}
	return 0;
}

static int gl_rule_parse(struct nlattr *nest, struct gl_rule *rule,
			 struct netlink_ext_ack *extack)
{
	struct nlattr *tb[GUTLESS_A_RULE_MAX + 1];
	int err;

	err = nla_parse_nested(tb, GUTLESS_A_RULE_MAX, nest, gl_rule_policy,
			       extack);
	if (err)
		return err;
	if (!tb[GUTLESS_A_RULE_MARK] || !tb[GUTLESS_A_RULE_PROFILE]) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "a rule is a mark and a profile");
		return -EINVAL;
	}
	rule->mark = nla_get_u32(tb[GUTLESS_A_RULE_MARK]);
	rule->mask = ~0;
	if (tb[GUTLESS_A_RULE_MASK])
		rule->mask = nla_get_u32(tb[GUTLESS_A_RULE_MASK]);
	rule->profile = nla_get_u16(tb[GUTLESS_A_RULE_PROFILE]);
	if (rule->mark & ~rule->mask) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "no packet fits: the mark has bits set that the mask leaves out");
		return -EINVAL;
	}
	return 0;
}

/**
 * gl_profile_parse_rules - the rules a request gives a profile
 * @info: the request
 * @p: told of them
 *
 * Return: 0 or a negative error.
 */
int gl_profile_parse_rules(struct genl_info *info, struct gl_profile *p)
{
	struct nlattr *flags = info->attrs[GUTLESS_A_PROFILE_FLAGS], *at;
	int err, rem;

	if (!info->attrs[GUTLESS_A_PROFILE_RULE] &&
	    !(flags && nla_get_u32(flags) & GUTLESS_PROFILE_F_REPLACE_RULES))
		return 0;
	p->n_rules = 0;
	nlmsg_for_each_attr(at, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(at) != GUTLESS_A_PROFILE_RULE)
			continue;
		if (p->n_rules == GL_RULES_MAX) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "a profile has 32 rules at most");
			return -ENOSPC;
		}
		err = gl_rule_parse(at, &p->rules[p->n_rules], info->extack);
		if (err)
			return err;
		p->n_rules++;
	}
	return 0;
}

/**
 * gl_profile_check_rules - may a profile have its rules?
 * @gn: where, locked
 * @info: the request
 * @p: with its number
 *
 * Links count on the length that the number of their profile tells. A profile that
 * a rule names does not grow beyond its own, so that the numbers say enough.
 *
 * Return: 0 or a negative error.
 */
int gl_profile_check_rules(struct gl_net *gn, struct genl_info *info,
			   const struct gl_profile *p)
{
	struct nlattr *at = info->attrs[GUTLESS_A_PROFILE_RULE];
	unsigned int i;

	for (i = 0; at && i < p->n_rules; i++) {
		u16 number = p->rules[i].profile;

		if (number >> GUTLESS_PROFILE_INDEX_BITS >
		    p->number >> GUTLESS_PROFILE_INDEX_BITS) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "a rule's profile has longer headers than links with this one keep room for");
			return -EINVAL;
		}
		if (number != p->number && !xa_load(&gn->profiles, number)) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "there is no such profile as a rule names");
			return -ENOENT;
		}
	}
	return 0;
}

/**
 * gl_profile_fill_extend - report options and rules
 * @msg: told of them
 * @p: the profile
 *
 * Return: 0 or a negative error.
 */
int gl_profile_fill_extend(struct sk_buff *msg, const struct gl_profile *p)
{
	struct nlattr *nest;
	unsigned int i;

	if (nla_put(msg, GUTLESS_A_PROFILE_OPTIONS, p->options_len,
		    p->options) ||
	    nla_put_u8(msg, GUTLESS_A_PROFILE_ROOM,
		       p->number >> GUTLESS_PROFILE_INDEX_BITS) ||
	    (p->key && gl_key_fill(msg, GUTLESS_A_PROFILE_KEY, p->key,
				   p->key_name)))
		return -EMSGSIZE;
	for (i = 0; i < p->n_rules; i++) {
		const struct gl_rule *rule = &p->rules[i];

		nest = nla_nest_start(msg, GUTLESS_A_PROFILE_RULE);
		if (!nest ||
		    nla_put_u32(msg, GUTLESS_A_RULE_MARK, rule->mark) ||
		    nla_put_u32(msg, GUTLESS_A_RULE_MASK, rule->mask) ||
		    nla_put_u16(msg, GUTLESS_A_RULE_PROFILE, rule->profile))
			return -EMSGSIZE;
		nla_nest_end(msg, nest);
	}
	return 0;
}
