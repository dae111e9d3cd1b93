// SPDX-License-Identifier: GPL-2.0-only
#include <net/udp_tunnel.h>

void gl_probe(void);

void gl_probe(void)
{
	no_kernel_has_this();
}
