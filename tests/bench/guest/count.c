// SPDX-License-Identifier: Apache-2.0
/* Where counting begins and ends, and what many counts come to. */
#include <stdio.h>
#include <stdlib.h>
#include "bench.h"

__attribute__((noinline)) void mark_begin(void)
{
	__asm__ volatile("");
}

__attribute__((noinline)) void mark_end(void)
{
	__asm__ volatile("nop");
}

static int compare(const void *l, const void *r)
{
	uint64_t a = *(const uint64_t *)l, b = *(const uint64_t *)r;

	return a < b ? -1 : a > b;
}

void print_counts(uint64_t *counts, size_t n)
{
	uint64_t sum = 0;

	qsort(counts, n, sizeof(*counts), compare);
	for (size_t i = 0; i < n; i++)
		sum += counts[i];
	printf("%lu %lu %lu %lu\n", counts[n / 2], counts[0], sum / n, counts[n - 1]);
}
