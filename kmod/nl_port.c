// SPDX-License-Identifier: GPL-2.0-only
/* gutless: ports over netlink: what requests ask for */
#include <net/ipv6.h>
#include "nl_auth.h"
#include "nl_gue.h"
#include "nl_port.h"

static const struct nla_policy gl_source_policy[GUTLESS_A_SOURCE_MAX + 1] = {
	[GUTLESS_A_SOURCE_V4] = { .type = NLA_U32 },
	[GUTLESS_A_SOURCE_V6] = NLA_POLICY_EXACT_LEN(sizeof(struct in6_addr)),
	[GUTLESS_A_SOURCE_PREFIX_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
};

#define GL_CONTROL_FLAGS	(GUTLESS_CONTROL_ECHO | GUTLESS_CONTROL_REPORT)

/* The port is in network order; of NLA_BE16 a policy dump would say nothing. */
#define GL_PORT_KEY_POLICY						\
	[GUTLESS_A_PORT_FAMILY] = { .type = NLA_U8 },			\
	[GUTLESS_A_PORT_PORT] = { .type = NLA_U16 },			\
	[GUTLESS_A_PORT_LOCAL_V4] = { .type = NLA_U32 },		\
	[GUTLESS_A_PORT_LOCAL_V6] =					\
		NLA_POLICY_EXACT_LEN(sizeof(struct in6_addr)),		\
	[GUTLESS_A_PORT_IFINDEX] = { .type = NLA_U32 }

#define GL_PORT_SETTINGS_POLICY						\
	[GUTLESS_A_PORT_ACCEPT] = { .type = NLA_U32 },			\
	[GUTLESS_A_PORT_FOU_PROTOCOL] = { .type = NLA_U8 },		\
	[GUTLESS_A_PORT_INNER] = { .type = NLA_BINARY, .len = 256 },	\
	[GUTLESS_A_PORT_ANY_SOURCE] = NLA_POLICY_MAX(NLA_U8, 1),	\
	[GUTLESS_A_PORT_SOURCE] = NLA_POLICY_NESTED(gl_source_policy),	\
	[GUTLESS_A_PORT_ZERO_CSUM6] = NLA_POLICY_MAX(NLA_U8, 1),	\
	[GUTLESS_A_PORT_ORIGIN] = { .type = NLA_U8 },			\
	[GUTLESS_A_PORT_REMCSUM_NOPARTIAL] = NLA_POLICY_MAX(NLA_U8, 1),	\
	[GUTLESS_A_PORT_OPTION_RULE] =					\
		NLA_POLICY_NESTED(gl_option_rule_policy),		\
	[GUTLESS_A_PORT_KEY] = NLA_POLICY_NESTED(gl_key_policy),	\
	[GUTLESS_A_PORT_REQUIRE_AUTH] = NLA_POLICY_MAX(NLA_U8, 1),	\
	[GUTLESS_A_PORT_GUE] = NLA_POLICY_NESTED(gl_gue_policy),	\
	[GUTLESS_A_PORT_CONTROL] =					\
		NLA_POLICY_MASK(NLA_U8, GL_CONTROL_FLAGS),			\
	[GUTLESS_A_PORT_VERIFY_HEADERS] = NLA_POLICY_MAX(NLA_U8, 1)

const struct nla_policy gl_port_key_policy[GUTLESS_A_PORT_MAX + 1] = {
	GL_PORT_KEY_POLICY,
};

const struct nla_policy gl_port_add_policy[GUTLESS_A_PORT_MAX + 1] = {
	GL_PORT_KEY_POLICY,
	GL_PORT_SETTINGS_POLICY,
};

const struct nla_policy gl_port_set_policy[GUTLESS_A_PORT_MAX + 1] = {
	GL_PORT_KEY_POLICY,
	GL_PORT_SETTINGS_POLICY,
	[GUTLESS_A_PORT_SOURCE_DEL] = NLA_POLICY_NESTED(gl_source_policy),
	[GUTLESS_A_PORT_FLAGS] =
		NLA_POLICY_MASK(NLA_U32, GUTLESS_PORT_F_REPLACE_SOURCES),
	[GUTLESS_A_PORT_KEY_DEL] = { .type = NLA_U16 },
};

#define GL_ACCEPT_ALL (GUTLESS_ACCEPT_FOU | GUTLESS_ACCEPT_GUE0 | \
		       GUTLESS_ACCEPT_BARE | GUTLESS_ACCEPT_GUTLESS)

/**
 * gl_port_parse_family - read the family of a port
 * @attrs: of the request
 * @family: to be filled in; IPv4 where the request says nothing
 * @extack: told what is wrong
 *
 * Return: 0 or a negative error.
 */
int gl_port_parse_family(struct nlattr **attrs, u8 *family,
			 struct netlink_ext_ack *extack)
{
	struct nlattr *at = attrs[GUTLESS_A_PORT_FAMILY];

	*family = at ? nla_get_u8(at) : AF_INET;
	if (*family == AF_INET ||
	    (*family == AF_INET6 && IS_ENABLED(CONFIG_IPV6)))
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, at, "the family is neither IPv4 nor IPv6");
	return -EAFNOSUPPORT;
}

/**
 * gl_port_parse_key - read what names a port
 * @attrs: of the request
 * @key: to be filled in
 * @extack: told what is wrong
 *
 * Return: 0 or a negative error.
 */
int gl_port_parse_key(struct nlattr **attrs, struct gl_port_key *key,
		      struct netlink_ext_ack *extack)
{
	struct nlattr *v4 = attrs[GUTLESS_A_PORT_LOCAL_V4];
	struct nlattr *v6 = attrs[GUTLESS_A_PORT_LOCAL_V6];
	struct nlattr *at;
	int err;

	memset(key, 0, sizeof(*key));
	err = gl_port_parse_family(attrs, &key->family, extack);
	if (err)
		return err;

	at = attrs[GUTLESS_A_PORT_PORT];
	if (!at) {
		NL_SET_ERR_MSG(extack, "the port number is missing");
		return -EINVAL;
	}
	key->port = nla_get_be16(at);
	if (!key->port) {
		NL_SET_ERR_MSG_ATTR(extack, at, "port 0 is no port");
		return -EINVAL;
	}

	at = key->family == AF_INET ? v6 : v4;
	if (at) {
		NL_SET_ERR_MSG_ATTR(extack, at,
				    "the local address is of the other family");
		return -EINVAL;
	}
	if (v4)
		key->local.s6_addr32[0] = nla_get_in_addr(v4);
	if (v6)
		key->local = nla_get_in6_addr(v6);

	at = attrs[GUTLESS_A_PORT_IFINDEX];
	if (at)
		key->ifindex = nla_get_u32(at);
	if (key->ifindex < 0) {
		NL_SET_ERR_MSG_ATTR(extack, at, "no such device");
		return -ENODEV;
	}
	if (key->ifindex && ipv6_addr_any(&key->local)) {
		NL_SET_ERR_MSG_ATTR(extack, at,
				    "a device needs a local address beside it");
		return -EINVAL;
	}
	return 0;
}

static int gl_source_parse(struct nlattr *nest, u8 family, struct gl_prefix *p,
			   struct netlink_ext_ack *extack)
{
	struct nlattr *tb[GUTLESS_A_SOURCE_MAX + 1], *addr, *len;
	int err;

	err = nla_parse_nested(tb, GUTLESS_A_SOURCE_MAX, nest, gl_source_policy,
			       extack);
	if (err)
		return err;
	len = tb[GUTLESS_A_SOURCE_PREFIX_LEN];
	addr = family == AF_INET ? tb[GUTLESS_A_SOURCE_V4] :
				   tb[GUTLESS_A_SOURCE_V6];
	if (!addr || !len ||
	    (tb[GUTLESS_A_SOURCE_V4] && tb[GUTLESS_A_SOURCE_V6])) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "a source is one address of the port's family and a prefix length");
		return -EINVAL;
	}
	if (!gl_prefix_set(p, family, nla_data(addr), nla_get_u8(len))) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "the address has bits set behind the prefix");
		return -EINVAL;
	}
	return 0;
}

static u32 gl_source_find(const struct gl_rules *r, u8 family,
			  const struct gl_prefix *p)
{
	u32 i;

	for (i = 0; i < r->n_sources; i++)
		if (gl_prefix_equal(&r->sources[i], p, family))
			break;
	return i;
}

/*
 * Sources: those that were there, or none with the flag to replace; without
 * those to delete; with those to add.
 */
static int gl_sources_parse(struct genl_info *info, struct gl_rules *r,
			    const struct gl_rules *old, u8 family)
{
	struct netlink_ext_ack *extack = info->extack;
	struct nlattr *at;
	struct gl_prefix p;
	int err, rem;
	u32 i;

	r->n_sources = 0;
	at = info->attrs[GUTLESS_A_PORT_FLAGS];
	if (old && !(at && nla_get_u32(at) & GUTLESS_PORT_F_REPLACE_SOURCES)) {
		memcpy(r->sources, old->sources,
		       array_size(old->n_sources, sizeof(*r->sources)));
		r->n_sources = old->n_sources;
	}

	nlmsg_for_each_attr(at, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(at) != GUTLESS_A_PORT_SOURCE_DEL)
			continue;
		err = gl_source_parse(at, family, &p, extack);
		if (err)
			return err;
		i = gl_source_find(r, family, &p);
		if (i == r->n_sources) {
			NL_SET_ERR_MSG_ATTR(extack, at,
					    "the port has no such source");
			return -ENOENT;
		}
		r->sources[i] = r->sources[--r->n_sources];
	}

	nlmsg_for_each_attr(at, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(at) != GUTLESS_A_PORT_SOURCE)
			continue;
		err = gl_source_parse(at, family, &p, extack);
		if (err)
			return err;
		r->sources[r->n_sources++] = p;
	}

	gl_rules_index(r, family);
	if (r->n_sources > READ_ONCE(gl_max_sources)) {
		NL_SET_ERR_MSG(extack,
			       "more sources than the parameter max_sources allows");
		return -ENOSPC;
	}
	return 0;
}

static int gl_accept_parse(struct genl_info *info, struct gl_rules *r,
			   const struct gl_rules *old)
{
	struct nlattr *accept = info->attrs[GUTLESS_A_PORT_ACCEPT];
	struct nlattr *proto = info->attrs[GUTLESS_A_PORT_FOU_PROTOCOL];
	struct netlink_ext_ack *extack = info->extack;

	if (accept) {
		r->accept = nla_get_u32(accept);
		if (!r->accept || r->accept & ~GL_ACCEPT_ALL) {
			NL_SET_ERR_MSG_ATTR(extack, accept, "unknown format");
			return -EINVAL;
		}
		if (r->accept & GUTLESS_ACCEPT_FOU &&
		    r->accept != GUTLESS_ACCEPT_FOU) {
			NL_SET_ERR_MSG_ATTR(extack, accept,
					    "a FOU port accepts nothing else");
			return -EINVAL;
		}
	}
	if (proto) {
		if (!(r->accept & GUTLESS_ACCEPT_FOU)) {
			NL_SET_ERR_MSG_ATTR(extack, proto,
					    "only a FOU port has a protocol");
			return -EINVAL;
		}
		r->fou_protocol = nla_get_u8(proto);
		if (!r->fou_protocol) {
			NL_SET_ERR_MSG_ATTR(extack, proto,
					    "protocol 0 cannot be received");
			return -EINVAL;
		}
	}
	if (r->accept & GUTLESS_ACCEPT_FOU && !r->fou_protocol) {
		NL_SET_ERR_MSG(extack, "a FOU port needs a protocol");
		return -EINVAL;
	}
	/* merged packets on their way were parsed by what the port was */
	if (old && ((r->accept ^ old->accept) & GUTLESS_ACCEPT_FOU ||
		    r->fou_protocol != old->fou_protocol)) {
		NL_SET_ERR_MSG_ATTR(extack, accept ?: proto,
				    "a port stays FOU of its protocol, or stays other");
		return -EINVAL;
	}
	return 0;
}

static int gl_inner_parse(struct genl_info *info, struct gl_rules *r, bool add)
{
	struct nlattr *at = info->attrs[GUTLESS_A_PORT_INNER];
	const u8 *proto;
	int i;

	if (at) {
		bitmap_zero(r->inner, 256);
		proto = nla_data(at);
		for (i = 0; i < nla_len(at); i++) {
			if (!proto[i]) {
				NL_SET_ERR_MSG_ATTR(info->extack, at,
						    "protocol 0 cannot be received");
				return -EINVAL;
			}
			__set_bit(proto[i], r->inner);
		}
	} else if (add) {
		if (r->accept & GUTLESS_ACCEPT_FOU) {
			/* named, hence asked for */
			__set_bit(r->fou_protocol, r->inner);
		} else {
			__set_bit(GL_PROTO_IPV4, r->inner);
			__set_bit(GL_PROTO_IPV6, r->inner);
			__set_bit(GL_PROTO_GRE, r->inner);
			__set_bit(GL_PROTO_ETHERNET, r->inner);
		}
	}
	if (bitmap_empty(r->inner, 256)) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "no inner protocol is accepted");
		return -EINVAL;
	}
	if (r->accept & GUTLESS_ACCEPT_FOU &&
	    !test_bit(r->fou_protocol, r->inner)) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "a FOU port's protocol is its inner protocol");
		return -EINVAL;
	}
	return 0;
}

static u32 gl_sources_asked(struct genl_info *info)
{
	struct nlattr *at;
	u32 n = 0;
	int rem;

	nlmsg_for_each_attr(at, info->nlhdr, GENL_HDRLEN, rem)
		n += nla_type(at) == GUTLESS_A_PORT_SOURCE;
	return n;
}

/**
 * gl_port_parse_rules - the rules a request asks for
 * @info: the request
 * @old: those of the port now, NULL for a new one
 * @family: of the port
 *
 * Return: rules, or an error pointer.
 */
struct gl_rules *gl_port_parse_rules(struct genl_info *info,
				     const struct gl_rules *old, u8 family)
{
	struct gl_rules *r;
	struct nlattr *at;
	int err;

	r = gl_rules_alloc(gl_sources_asked(info) + (old ? old->n_sources : 0));
	if (!r)
		return ERR_PTR(-ENOMEM);
	r->accept = GUTLESS_ACCEPT_GUE0 | GUTLESS_ACCEPT_BARE |
		    GUTLESS_ACCEPT_GUTLESS;
	r->control = GL_CONTROL_FLAGS;
	if (old) {
		r->accept = old->accept;
		r->fou_protocol = old->fou_protocol;
		r->any_source = old->any_source;
		r->remcsum_nopartial = old->remcsum_nopartial;
		r->control = old->control;
		bitmap_copy(r->inner, old->inner, 256);
	}

	at = info->attrs[GUTLESS_A_PORT_ANY_SOURCE];
	if (at)
		r->any_source = nla_get_u8(at);
	err = gl_accept_parse(info, r, old);
	if (!err)
		err = gl_inner_parse(info, r, !old);
	if (!err)
		err = gl_sources_parse(info, r, old, family);
	if (!err)
		err = gl_option_rules_parse(info, r, old);
	if (!err)
		err = gl_keys_parse(info, r, old);
	if (!err)
		err = gl_gue_parse_port(info, r, old);
	if (err) {
		gl_rules_free(r);
		return ERR_PTR(err);
	}
	at = info->attrs[GUTLESS_A_PORT_REMCSUM_NOPARTIAL];
	if (at)
		r->remcsum_nopartial = nla_get_u8(at);
	at = info->attrs[GUTLESS_A_PORT_CONTROL];
	if (at)
		r->control = nla_get_u8(at);
	return r;
}

/**
 * gl_port_parse_origin - the settings that are not rules
 * @info: the request
 * @origin: left alone where the request says nothing
 *
 * Return: 0 or a negative error.
 */
int gl_port_parse_origin(struct genl_info *info, u8 *origin)
{
	struct nlattr *at = info->attrs[GUTLESS_A_PORT_ORIGIN];

	if (!at)
		return 0;
	if (nla_get_u8(at) > GUTLESS_ORIGIN_TUNNEL) {
		NL_SET_ERR_MSG_ATTR(info->extack, at, "unknown origin");
		return -EINVAL;
	}
	*origin = nla_get_u8(at);
	return 0;
}

/**
 * gl_port_parse_verify - shall a port verify headers?
 * @info: the request
 * @rules: those that it asks for, too
 * @verify: left alone where the request says nothing
 *
 * Return: 0 or a negative error.
 */
int gl_port_parse_verify(struct genl_info *info, const struct gl_rules *rules,
			 bool *verify)
{
	struct nlattr *at = info->attrs[GUTLESS_A_PORT_VERIFY_HEADERS];

	if (at)
		*verify = nla_get_u8(at);
	if (!*verify)
		return 0;
	if (!(rules->accept & GUTLESS_ACCEPT_GUTLESS)) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    at ?: info->attrs[GUTLESS_A_PORT_ACCEPT],
				    "only format GUT-less has headers that can be verified alone");
		return -EINVAL;
	}
	if (!IS_ENABLED(CONFIG_NETFILTER)) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "verifying headers needs a kernel with netfilter");
		return -EOPNOTSUPP;
	}
	return 0;
}
