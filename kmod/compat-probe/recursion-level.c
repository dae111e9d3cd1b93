// SPDX-License-Identifier: GPL-2.0-only
/* dev_recursion_level() is there for modules */
#include <linux/netdevice.h>

int gl_probe(void);

int gl_probe(void)
{
	return dev_recursion_level();
}
