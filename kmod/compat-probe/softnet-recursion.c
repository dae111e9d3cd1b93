// SPDX-License-Identifier: GPL-2.0-only
/* the same count, read where it is kept */
#include <linux/netdevice.h>

int gl_probe(void);

int gl_probe(void)
{
	return __this_cpu_read(softnet_data.xmit.recursion);
}
