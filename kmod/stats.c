// SPDX-License-Identifier: GPL-2.0-only
/* gutless: counters, one set a processor */
#include <linux/percpu.h>
#include "gutless.h"

struct gl_stats __percpu *gl_stats_alloc(void)
{
	struct gl_stats __percpu *stats;
	int cpu;

	stats = alloc_percpu_gfp(struct gl_stats, GFP_KERNEL_ACCOUNT);
	if (!stats)
		return NULL;
	for_each_possible_cpu(cpu)
		u64_stats_init(&per_cpu_ptr(stats, cpu)->syncp);
	return stats;
}

void gl_stats_sum(const struct gl_stats __percpu *stats, u64 sum[GL_COUNTERS])
{
	u64 one[GL_COUNTERS];
	unsigned int start;
	int cpu, i;

	memset(sum, 0, sizeof(one));
	for_each_possible_cpu(cpu) {
		const struct gl_stats *s = per_cpu_ptr(stats, cpu);

		do {
			start = u64_stats_fetch_begin(&s->syncp);
			for (i = 0; i < GL_COUNTERS; i++)
				one[i] = u64_stats_read(&s->v[i]);
		} while (u64_stats_fetch_retry(&s->syncp, start));

		for (i = 0; i < GL_COUNTERS; i++)
			sum[i] += one[i];
	}
}
