/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a packet, said beforehand by the module's wire.h: the ports of traffic.py, and a count by verdict. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>
#include "judge.h"

/* Ports: all formats; FOU of the protocols; every inner protocol; for senders that we are not; those that look closer than wire.h. */
#define PORT_ALL 7000
#define PORT_INNER 7005
#define PORT_SOURCE 7006
#define PORT_CLOSER 7007
#define PORTS_CLOSER 5
/* Of the tunnels there, both ends' */
#define PORT_TUNNEL 6090

static const uint8_t fou_protocols[] = { 4, 41, 47, 143 };
/* By the attribute that counts it. */
static unsigned long expected[GUTLESS_A_RX_MAX + 1];

static void take_inner(struct judge_port *port, const uint8_t *protocols, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		port->inner[protocols[i] / 8] |= 1 << protocols[i] % 8;
}

/* @ends: the sum of addresses and ports. Return: the counter that a payload ends in; PAD: any. How deep tunnels are nested is not looked at. */
static int verdict(unsigned int dport, const uint8_t *payload, unsigned int len, int summed, unsigned int ends)
{
	struct judge_port port = {
		.ends = { ends >> 8, ends },
		.accept = GUTLESS_ACCEPT_GUE0 | GUTLESS_ACCEPT_BARE | GUTLESS_ACCEPT_GUTLESS,
		.summed = summed,
	};
	struct gl_wire w;
	int reason;

	if (dport == PORT_SOURCE)
		return GUTLESS_A_RX_DROP_SOURCE;
	if (dport >= PORT_CLOSER && dport < PORT_CLOSER + PORTS_CLOSER)
		return GUTLESS_A_RX_PAD;
	if (dport > PORT_ALL && dport < PORT_INNER) {
		port.accept = GUTLESS_ACCEPT_FOU;
		port.fou = fou_protocols[dport - PORT_ALL - 1];
		take_inner(&port, &port.fou, 1);
	} else if (dport == PORT_INNER) {
		memset(port.inner, 0xff, sizeof(port.inner));
		/* 0, UDP and UDP-Lite are not accepted there */
		port.inner[0] &= ~1;
		port.inner[17 / 8] &= ~(1 << 17 % 8);
		port.inner[136 / 8] &= ~(1 << 136 % 8);
	} else {
		take_inner(&port, fou_protocols, sizeof(fou_protocols));
	}
	reason = judge(payload, len, &port, &w);
	return reason ? reason : GUTLESS_A_RX_PACKETS;
}

static void say_expected(unsigned long sent)
{
	unsigned int i;

	printf("%lu", sent);
	if (expected[GUTLESS_A_RX_PAD])
		printf(" %u:%lu", GUTLESS_A_RX_PAD, expected[GUTLESS_A_RX_PAD]);
	for (i = GUTLESS_A_RX_PACKETS; i <= GUTLESS_A_RX_MAX; i++)
		if (expected[i])
			printf(" %u:%lu", i, expected[i]);
	printf("\n");
}

#endif
