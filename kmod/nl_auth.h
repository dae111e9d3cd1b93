/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: keys over netlink, for ports and profiles */
#ifndef _GUTLESS_NL_AUTH_H
#define _GUTLESS_NL_AUTH_H

#include "auth.h"
#include "netlink.h"

extern const struct nla_policy gl_key_policy[GUTLESS_A_KEY_MAX + 1];

/* Octets of a message that a port's keys may need */
#define GL_KEYS_SIZE							\
	(nla_total_size(sizeof(u8)) + GUTLESS_PORT_KEYS_MAX *		\
	 (nla_total_size(0) + nla_total_size(sizeof(u16)) +		\
	  nla_total_size(GUTLESS_KEY_NAME_MAX + 1) +			\
	  nla_total_size(sizeof(u8)) +					\
	  nla_total_size(GUTLESS_KEY_FINGERPRINT_LEN)))

int gl_profile_parse_key(struct genl_info *info, struct gl_profile *p);
int gl_keys_parse(struct genl_info *info, struct gl_rules *r,
		  const struct gl_rules *old);
int gl_key_fill(struct sk_buff *msg, int attr, const struct gl_key *key,
		const char *name);
int gl_keys_fill(struct sk_buff *msg, const struct gl_keys *keys);
void gl_keys_wipe(struct genl_info *info, int attr);

#endif /* _GUTLESS_NL_AUTH_H */
