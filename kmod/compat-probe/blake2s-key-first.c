// SPDX-License-Identifier: GPL-2.0-only
/* blake2s() takes the key first and what it writes to last */
#include <crypto/blake2s.h>

void gl_probe(u8 *out, const u8 *in, size_t len);

void gl_probe(u8 *out, const u8 *in, size_t len)
{
	blake2s(NULL, (size_t)0, in, len, out, (size_t)8);
}
