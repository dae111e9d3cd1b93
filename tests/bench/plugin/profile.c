// SPDX-License-Identifier: Apache-2.0
/*
 * A plug-in of QEMU's translator that counts, between two marks, how often each stretch of code was run. The marks are
 * the addresses of two functions of the program in the guest (begin=, end=); what was run from the first to the
 * second is an interval, written to a file (out=) as "interval" and lines "ADDRESS INSTRUCTIONS TIMES".
 * Only the newest KEPT intervals are written, when the machine ends.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of QEMU's plug-in interface, version 1, what is used here. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
typedef void (*tb_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*exec_cb)(unsigned int cpu, void *data);
typedef void (*exit_cb)(qemu_plugin_id_t id, void *data);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_cb cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_cb cb, int flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, exit_cb cb, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

#define KEPT 32

struct stretch {
	uint64_t address;
	uint64_t instructions;
	unsigned long times[KEPT];	/* in each of the newest intervals */
	struct stretch *next;
};

static struct stretch *all;
static unsigned long interval;
static bool counting;
static uint64_t begin, end;
static const char *out;

static void run(unsigned int cpu, void *data)
{
	struct stretch *s = data;

	(void)cpu;
	if (s->address == begin) {
		for (struct stretch *t = all; t; t = t->next)
			t->times[interval % KEPT] = 0;
		counting = true;
	}
	if (counting)
		s->times[interval % KEPT]++;
	if (s->address == end && counting) {
		counting = false;
		interval++;
	}
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb), instructions = qemu_plugin_tb_n_insns(tb);
	struct stretch *s;

	(void)id;
	/* Code is translated again and again; looking the old one up each time is slow, and not needed. */
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->address = address;
	s->instructions = instructions;
	s->next = all;
	all = s;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, run, 0, s);
}

static void finish(qemu_plugin_id_t id, void *data)
{
	FILE *file = fopen(out, "w");

	(void)id;
	(void)data;
	if (!file)
		return;
	for (unsigned long i = interval > KEPT ? interval - KEPT : 0; i < interval; i++) {
		fprintf(file, "interval\n");
		for (struct stretch *s = all; s; s = s->next)
			if (s->times[i % KEPT])
				fprintf(file, "%" PRIx64 " %" PRIu64 " %lu\n", s->address, s->instructions, s->times[i % KEPT]);
	}
	fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "begin=", 6))
			begin = strtoull(argv[i] + 6, NULL, 16);
		if (!strncmp(argv[i], "end=", 4))
			end = strtoull(argv[i] + 4, NULL, 16);
		if (!strncmp(argv[i], "out=", 4))
			out = argv[i] + 4;
	}
	if (!begin || !end || !out) {
		fprintf(stderr, "profile: begin=, end= and out= are needed\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
