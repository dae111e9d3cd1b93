// SPDX-License-Identifier: GPL-2.0-only
/* merged packets tell of outer and inner IPv4 identification, each by a bit */
#include <linux/skbuff.h>

unsigned int gl_probe(void);

unsigned int gl_probe(void)
{
	return SKB_GSO_TCP_FIXEDID_INNER;
}
