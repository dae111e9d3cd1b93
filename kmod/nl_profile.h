/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: profiles over netlink, shared by the files that do it */
#ifndef _GUTLESS_NL_PROFILE_H
#define _GUTLESS_NL_PROFILE_H

#include "netlink.h"

extern const struct nla_policy gl_rule_policy[GUTLESS_A_RULE_MAX + 1];

int gl_profile_parse_options(struct genl_info *info, struct gl_profile *p);
int gl_profile_parse_rules(struct genl_info *info, struct gl_profile *p);
int gl_profile_check_rules(struct gl_net *gn, struct genl_info *info,
			   const struct gl_profile *p);
int gl_profile_fill_extend(struct sk_buff *msg, const struct gl_profile *p);

#endif /* _GUTLESS_NL_PROFILE_H */
