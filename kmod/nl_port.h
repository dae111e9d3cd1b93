/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: between the two halves of the ports' netlink interface */
#ifndef _GUTLESS_NL_PORT_H
#define _GUTLESS_NL_PORT_H

#include "netlink.h"

/* nl_port.c: what requests ask for */
int gl_port_parse_family(struct nlattr **attrs, u8 *family,
			 struct netlink_ext_ack *extack);
int gl_port_parse_key(struct nlattr **attrs, struct gl_port_key *key,
		      struct netlink_ext_ack *extack);
struct gl_rules *gl_port_parse_rules(struct genl_info *info,
				     const struct gl_rules *old, u8 family);
int gl_port_parse_origin(struct genl_info *info, u8 *origin);

#endif /* _GUTLESS_NL_PORT_H */
