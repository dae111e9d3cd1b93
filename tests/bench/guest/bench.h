// SPDX-License-Identifier: Apache-2.0
/* What the parts of the benchmark's program in the guest share. */
#ifndef BENCH_H
#define BENCH_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* ---- bench.c ---- */

/* One line on standard error, and the program ends with status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* A number of 0..max in decimal or 0x..; ends the program where it is none. */
unsigned long number(const char *word, unsigned long max);

/* From now on this thread is in the network namespace /run/netns/NAME. */
void enter(const char *name);

/* AF_INET or AF_INET6; the address in network order goes to @octets (room for 16). */
int address(const char *word, void *octets);

/* An address and a port as the socket calls take them. Return: the length. */
socklen_t endpoint(struct sockaddr_storage *s, const char *word, uint16_t port);

/* ---- nl.c: requests to the kernel, each answered by an error or none ---- */

struct request {
	_Alignas(8) char octets[16384];
};

struct nlmsghdr *nl_begin(struct request *r, uint16_t type, uint16_t flags, size_t header);
void nl_put(struct request *r, uint16_t type, const void *data, size_t len);
void nl_put_u8(struct request *r, uint16_t type, uint8_t value);
void nl_put_u16(struct request *r, uint16_t type, uint16_t value);
void nl_put_u32(struct request *r, uint16_t type, uint32_t value);
void nl_put_text(struct request *r, uint16_t type, const char *text);
size_t nl_nest(struct request *r, uint16_t type);
void nl_end(struct request *r, size_t nest);

/* Return: a socket in the namespace this thread is in. */
int nl_open(int protocol);

/* Send and wait for the answer; ends the program, with @what in the message, on an error. */
void nl_do(int fd, struct request *r, const char *what);

/* The number of a generic netlink family. */
uint16_t nl_family(int fd, const char *name);

/* ---- frame.c: IP packets without options or extension headers ---- */

struct flow {
	const char *source, *destination;
	uint16_t sport, dport;
};

size_t ip_header_len(const unsigned char *ip);

/* The sum over the pseudo-header and UDP, which is 0xffff where the checksum is right. */
uint16_t udp_sum(const unsigned char *ip);

/* Headers in front of @octets of data that are in place behind them. Return: the packet's length. */
size_t udp_packet(unsigned char *ip, const struct flow *flow, size_t octets);

/*
 * A packet of @len octets in UDP. @front: what is between: nothing, gue, gutless, check (GUT-less with Check).
 * Without @checksum the outer one is 0. Return: the length.
 */
size_t tunnel_packet(unsigned char *ip, const struct flow *outer, const char *front, bool checksum, const unsigned char *inner,
		     size_t len);

/* ---- commands: what the program is called with, after its own name ---- */

int cmd_link(char **words);	/* link.c */
int cmd_offloads(char **words);
int cmd_noqueue(char **words);
int cmd_port(char **words);	/* gutless.c */
int cmd_unport(char **words);
int cmd_profile(char **words);
int cmd_unprofile(char **words);
int cmd_wireguard(char **words);	/* wireguard.c */
int cmd_udp(char **words);	/* udp.c */
int cmd_forward(char **words);	/* forward.c */
int cmd_decap(char **words);
int cmd_tcp(char **words);	/* tcp.c */

/* ---- count.c ---- */

/* Instructions since the machine started: what the emulated time stamp counter counts. */
static inline uint64_t instructions(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* The profiler looks for what runs between these two. */
void mark_begin(void);
void mark_end(void);

/* Print "median least mean most" of @n counts, which get sorted. */
void print_counts(uint64_t *counts, size_t n);

#endif
