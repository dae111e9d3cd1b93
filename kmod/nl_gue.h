/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: fields of GUE 0 over netlink, for those who have some */
#ifndef _GUTLESS_NL_GUE_H
#define _GUTLESS_NL_GUE_H

#include "netlink.h"

extern const struct nla_policy gl_gue_policy[GUTLESS_A_GUE_MAX + 1];

int gl_gue_parse_profile(struct genl_info *info, struct gl_profile *p);
int gl_gue_parse_port(struct genl_info *info, struct gl_rules *r,
		      const struct gl_rules *old);
int gl_gue_fill(struct sk_buff *msg, int type, const struct gl_gue_set *set);

#endif /* _GUTLESS_NL_GUE_H */
