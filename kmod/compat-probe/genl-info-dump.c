// SPDX-License-Identifier: GPL-2.0-only
/* genl_info_dump() gives a dump the attributes of its request */
#include <net/genetlink.h>

struct nlattr **gl_probe(struct netlink_callback *cb);

struct nlattr **gl_probe(struct netlink_callback *cb)
{
	return genl_info_dump(cb)->attrs;
}
