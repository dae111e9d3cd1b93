/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * gutless: the numbers shared with user space.
 *
 * Stability: numbers are never changed, reused or removed. Commands,
 * attributes, drop reasons and bits are only ever appended. The kernel
 * refuses commands, attributes and bits it does not know, so a program can
 * find out what a kernel offers by asking (CTRL_CMD_GETPOLICY, and
 * GUTLESS_A_INFO_FEATURES) and never has to guess from a version.
 *
 * The same contract in YNL form: gutctl/specs/gutless.yaml.
 */
#ifndef _UAPI_LINUX_GUTLESS_H
#define _UAPI_LINUX_GUTLESS_H

#define GUTLESS_GENL_NAME	"gutless"
#define GUTLESS_GENL_VERSION	1
#define GUTLESS_MCGRP_EVENTS	"events"
#define GUTLESS_MCGRP_OPTIONS	"options"
#define GUTLESS_MCGRP_CONTROL	"control"

/* Values of struct ip_tunnel_encap's type, which iproute2 does not know. */
#define GUTLESS_ENCAP_BARE	4	/* UDP alone: FOU, and bare IP */
#define GUTLESS_ENCAP_HEADER	5	/* UDP and a 4-octet base header */

/*
 * A link names its profile in the 13 bits of the encapsulation flags that
 * the kernel leaves free: the number says its own header length.
 */
#define GUTLESS_PROFILE_SHIFT		3
#define GUTLESS_PROFILE_INDEX_BITS	8
#define GUTLESS_PROFILE_WORDS_MAX	31

enum gutless_cmd {
	GUTLESS_CMD_UNSPEC,
	GUTLESS_CMD_INFO_GET,
	GUTLESS_CMD_PORT_ADD,
	GUTLESS_CMD_PORT_SET,
	GUTLESS_CMD_PORT_DEL,
	GUTLESS_CMD_PORT_GET,
	GUTLESS_CMD_PROFILE_ADD,
	GUTLESS_CMD_PROFILE_SET,
	GUTLESS_CMD_PROFILE_DEL,
	GUTLESS_CMD_PROFILE_GET,
	/* events, to the multicast group */
	GUTLESS_CMD_PORT_ADD_NTF,
	GUTLESS_CMD_PORT_SET_NTF,
	GUTLESS_CMD_PORT_DEL_NTF,
	GUTLESS_CMD_PROFILE_ADD_NTF,
	GUTLESS_CMD_PROFILE_SET_NTF,
	GUTLESS_CMD_PROFILE_DEL_NTF,
	/* an option that was received, to the group "options" */
	GUTLESS_CMD_OPTION_NTF,
	GUTLESS_CMD_DEVICE_SET,
	GUTLESS_CMD_DEVICE_GET,
	/* events */
	GUTLESS_CMD_DEVICE_SET_NTF,
	GUTLESS_CMD_DEVICE_DEL_NTF,
	GUTLESS_CMD_ECHO,
	/* to the multicast group "control" */
	GUTLESS_CMD_CONTROL_NTF,

	__GUTLESS_CMD_MAX,
};

#define GUTLESS_CMD_MAX (__GUTLESS_CMD_MAX - 1)

/* What a port accepts; FOU excludes the other three. */
enum gutless_accept {
	GUTLESS_ACCEPT_FOU = 1 << 0,
	GUTLESS_ACCEPT_GUE0 = 1 << 1,
	GUTLESS_ACCEPT_BARE = 1 << 2,
	GUTLESS_ACCEPT_GUTLESS = 1 << 3,
};

/* What a profile sends. */
enum gutless_format {
	GUTLESS_FORMAT_FOU = 1,
	GUTLESS_FORMAT_GUE = 2,
	GUTLESS_FORMAT_GUTLESS = 3,
};

/* The outer UDP checksum of a profile. */
enum gutless_csum {
	GUTLESS_CSUM_FULL = 1,
	GUTLESS_CSUM_ZERO = 2,
	/*
	 * Full, and the inner checksum is left to the receiver where it is not
	 * there yet. GUE: Linux's private flag; GUT-less: option 0x59.
	 */
	GUTLESS_CSUM_REMOTE = 3,
	GUTLESS_CSUM_REMOTE_DRAFT = 4,	/* GUE: the draft's flag R */
	/*
	 * Full, beside a Check word by which the payload sums to minus zero.
	 * GUT-less alone.
	 */
	GUTLESS_CSUM_NEUTRAL = 5,
};

/* Who made a port or profile; kept for user space, as a route's protocol is. */
enum gutless_origin {
	GUTLESS_ORIGIN_ADMIN = 0,
	GUTLESS_ORIGIN_TUNNEL = 1,
};

/* GUTLESS_A_PORT_FLAGS: how one PORT_SET request is meant. */
enum gutless_port_flags {
	GUTLESS_PORT_F_REPLACE_SOURCES = 1 << 0,
};

/* GUTLESS_A_PROFILE_FLAGS: how one PROFILE_SET request is meant. */
enum gutless_profile_flags {
	GUTLESS_PROFILE_F_REPLACE_RULES = 1 << 0, /* by those in it, if any */
};

/*
 * What a port does with packets that have an option of a type, and with those
 * that have not. Without a rule the type's own action bits decide.
 */
enum gutless_option_action {
	GUTLESS_OPTION_ACTION_NONE = 0,	/* in a SET: there shall be no rule */
	GUTLESS_OPTION_ACTION_IGNORE = 1,	/* it passes, with or without */
	GUTLESS_OPTION_ACTION_REQUIRE = 2,	/* dropped without it */
	GUTLESS_OPTION_ACTION_DROP = 3,	/* dropped with it */
};

/* GUTLESS_A_GUE_CLEAR: fields that there shall be no more. */
enum gutless_gue_clear {
	GUTLESS_GUE_CLEAR_GROUP = 1 << 0,
	GUTLESS_GUE_CLEAR_COOKIE = 1 << 1,
};

/* GUTLESS_A_PORT_CONTROL: what a port sends of its own accord. */
enum gutless_control {
	GUTLESS_CONTROL_ECHO = 1 << 0,		/* replies to echo requests */
	GUTLESS_CONTROL_REPORT = 1 << 1,	/* reports of options not known */
};

/* GUTLESS_A_INFO_FEATURES */
enum gutless_feature {
	GUTLESS_FEATURE_IPV6 = 1 << 0,
	GUTLESS_FEATURE_REMCSUM = 1 << 1,
	GUTLESS_FEATURE_ICMP = 1 << 2,	/* errors reach the links */
	GUTLESS_FEATURE_OPTIONS = 1 << 3, /* profiles carry options */
	GUTLESS_FEATURE_OPTION_RULES = 1 << 4, /* ports have rules for them */
	GUTLESS_FEATURE_ONPATH = 1 << 5, /* devices can be told */
	GUTLESS_FEATURE_AUTH = 1 << 6,	/* option auth is sent and verified */
	GUTLESS_FEATURE_GUE_FIELDS = 1 << 7, /* of GUE 0, sent and required */
	GUTLESS_FEATURE_CONTROL = 1 << 8, /* control messages are acted on */
	GUTLESS_FEATURE_NEUTRAL = 1 << 9, /* profiles send a Check word */
	GUTLESS_FEATURE_VERIFY_HEADERS = 1 << 10, /* ports do */
};

/*
 * GUTLESS_A_DEVICE_ONPATH: what is done to GUT-less packets that are forwarded
 * and leave by the device. 0: nothing, as by default.
 */
enum gutless_onpath {
	GUTLESS_ONPATH_MIN_PATH_MTU = 1 << 0,	/* lower option 0x30 */
};

/* GUTLESS_CMD_INFO_GET */
enum gutless_info_attr {
	GUTLESS_A_INFO_UNSPEC,
	GUTLESS_A_INFO_PAD,
	GUTLESS_A_INFO_VERSION,		/* string: the module's version */
	GUTLESS_A_INFO_FEATURES,	/* u64: enum gutless_feature */
	GUTLESS_A_INFO_MAX_PORTS,	/* u32: per network namespace */
	GUTLESS_A_INFO_MAX_SOURCES,	/* u32: per port */
	GUTLESS_A_INFO_MAX_PROFILES,	/* u32: per network namespace */
	GUTLESS_A_INFO_MAX_NESTING,	/* u32: encapsulations in a packet */
	GUTLESS_A_INFO_PORTS,		/* u32: in this namespace now */
	GUTLESS_A_INFO_PROFILES,	/* u32: in this namespace now */
	GUTLESS_A_INFO_UNPRIVILEGED,	/* u8: user namespaces may configure */
	GUTLESS_A_INFO_ENCAP_BARE,	/* u16: GUTLESS_ENCAP_BARE */
	GUTLESS_A_INFO_ENCAP_HEADER,	/* u16: GUTLESS_ENCAP_HEADER */
	GUTLESS_A_INFO_PLAIN,		/* nest: enum gutless_tx_attr, of all
					 * links without a profile
					 */
	GUTLESS_A_INFO_CONTROL_RATE,	/* u32: replies and reports a second */
	GUTLESS_A_INFO_CONTROL_SOURCE_RATE, /* u32: of these, to one source */

	__GUTLESS_A_INFO_MAX,
};

#define GUTLESS_A_INFO_MAX (__GUTLESS_A_INFO_MAX - 1)

/*
 * A port is named by family, local address (absent: any), port and device
 * (absent: any).
 */
enum gutless_port_attr {
	GUTLESS_A_PORT_UNSPEC,
	GUTLESS_A_PORT_FAMILY,		/* u8: AF_INET (absent too), AF_INET6 */
	GUTLESS_A_PORT_PORT,		/* be16 */
	GUTLESS_A_PORT_LOCAL_V4,	/* be32 */
	GUTLESS_A_PORT_LOCAL_V6,	/* 16 octets */
	GUTLESS_A_PORT_IFINDEX,		/* u32 */
	GUTLESS_A_PORT_ACCEPT,		/* u32: enum gutless_accept */
	GUTLESS_A_PORT_FOU_PROTOCOL,	/* u8: with GUTLESS_ACCEPT_FOU */
	GUTLESS_A_PORT_INNER,		/* octets, one an IP protocol */
	GUTLESS_A_PORT_ANY_SOURCE,	/* u8: 0 or 1 */
	GUTLESS_A_PORT_SOURCE,		/* nest, many: allowed; in a SET: more */
	GUTLESS_A_PORT_SOURCE_DEL,	/* nest, many: no longer allowed */
	GUTLESS_A_PORT_FLAGS,		/* u32: enum gutless_port_flags */
	GUTLESS_A_PORT_ZERO_CSUM6,	/* u8: 1 accepts checksum 0 over IPv6 */
	GUTLESS_A_PORT_ORIGIN,		/* u8: enum gutless_origin */
	GUTLESS_A_PORT_STATS,		/* nest: enum gutless_rx_attr */
	GUTLESS_A_PORT_REMCSUM_NOPARTIAL, /* u8: 1 writes a remote checksum at
					   * once, 0 leaves it to be summed
					   */
	GUTLESS_A_PORT_OPTION_RULE,	/* nest, many: enum
					 * gutless_option_rule_attr; in a SET:
					 * added, or in place of the rule of
					 * that type
					 */
	GUTLESS_A_PORT_KEY,		/* nest, many: enum gutless_key_attr, of
					 * option auth; in a SET: added, or in
					 * place of the key of that id
					 */
	GUTLESS_A_PORT_KEY_DEL,		/* u16, many: id of a key that goes */
	GUTLESS_A_PORT_REQUIRE_AUTH,	/* u8: 1 drops what has no option auth */
	GUTLESS_A_PORT_GUE,		/* nest: enum gutless_gue_attr, fields
					 * of GUE variant 0 that it requires
					 */
	GUTLESS_A_PORT_CONTROL,		/* u8: enum gutless_control */
	GUTLESS_A_PORT_VERIFY_HEADERS,	/* u8: 1 verifies no more than the
					 * headers of packets with Check
					 */

	__GUTLESS_A_PORT_MAX,
};

#define GUTLESS_A_PORT_MAX (__GUTLESS_A_PORT_MAX - 1)

enum gutless_source_attr {
	GUTLESS_A_SOURCE_UNSPEC,
	GUTLESS_A_SOURCE_V4,		/* be32 */
	GUTLESS_A_SOURCE_V6,		/* 16 octets */
	GUTLESS_A_SOURCE_PREFIX_LEN,	/* u8: bits */

	__GUTLESS_A_SOURCE_MAX,
};

#define GUTLESS_A_SOURCE_MAX (__GUTLESS_A_SOURCE_MAX - 1)

/*
 * A key of option auth, HMAC-SHA256. One key is for one sender and one direction.
 * The secret goes in and never comes out.
 */
enum gutless_key_attr {
	GUTLESS_A_KEY_UNSPEC,
	GUTLESS_A_KEY_ID,		/* u16: as in the option */
	GUTLESS_A_KEY_SECRET,		/* 16 to 64 octets, in requests only */
	GUTLESS_A_KEY_NAME,		/* string: where it was from, a note */
	GUTLESS_A_KEY_DIRECTION,	/* u8: 0 or 1; absent: 0 */
	GUTLESS_A_KEY_FINGERPRINT,	/* 8 octets: the first of the secret's
					 * SHA-256; in a request, in place of
					 * the secret: the key that is there
					 */

	__GUTLESS_A_KEY_MAX,
};

#define GUTLESS_A_KEY_MAX (__GUTLESS_A_KEY_MAX - 1)

#define GUTLESS_KEY_SECRET_MIN		16
#define GUTLESS_KEY_SECRET_MAX		64
#define GUTLESS_KEY_NAME_MAX		127
#define GUTLESS_KEY_FINGERPRINT_LEN	8
#define GUTLESS_PORT_KEYS_MAX		8

enum gutless_option_rule_attr {
	GUTLESS_A_OPTION_RULE_UNSPEC,
	GUTLESS_A_OPTION_RULE_TYPE,	/* u8: of the option */
	GUTLESS_A_OPTION_RULE_ACTION,	/* u8: enum gutless_option_action */
	GUTLESS_A_OPTION_RULE_DELIVER,	/* u8: 1 sends it to who listens */
	GUTLESS_A_OPTION_RULE_VALUE,	/* octets, with ACTION_REQUIRE: the data
					 * that every option of the type must have
					 */
	GUTLESS_A_OPTION_RULE_STATS,	/* nest: enum gutless_rule_stats_attr */

	__GUTLESS_A_OPTION_RULE_MAX,
};

#define GUTLESS_A_OPTION_RULE_MAX (__GUTLESS_A_OPTION_RULE_MAX - 1)

/* Of one rule since it was made: u64 each, a merged packet as many as went in. */
enum gutless_rule_stats_attr {
	GUTLESS_A_RULE_STATS_UNSPEC,
	GUTLESS_A_RULE_STATS_PAD,
	GUTLESS_A_RULE_STATS_MATCHED,	/* options of packets that passed */
	GUTLESS_A_RULE_STATS_DROPPED,	/* packets */
	GUTLESS_A_RULE_STATS_DELIVERED,	/* options sent to who listened */

	__GUTLESS_A_RULE_STATS_MAX,
};

#define GUTLESS_A_RULE_STATS_MAX (__GUTLESS_A_RULE_STATS_MAX - 1)

/*
 * GUTLESS_CMD_OPTION_NTF: an option of a packet that passed. Whoever finds
 * the sequence number not to be one more than the last has lost as many.
 */
enum gutless_delivered_attr {
	GUTLESS_A_DELIVERED_UNSPEC,
	GUTLESS_A_DELIVERED_PAD,
	GUTLESS_A_DELIVERED_SEQUENCE,	/* u64: of the network namespace */
	GUTLESS_A_DELIVERED_PORT,	/* nest: the key of the port, enum
					 * gutless_port_attr
					 */
	GUTLESS_A_DELIVERED_PORT_ID,	/* u32: another one has another */
	GUTLESS_A_DELIVERED_TYPE,	/* u8: of the option */
	GUTLESS_A_DELIVERED_DATA,	/* octets: the option's data */
	GUTLESS_A_DELIVERED_SOURCE_V4,	/* be32: of the outer packet */
	GUTLESS_A_DELIVERED_SOURCE_V6,	/* 16 octets */
	GUTLESS_A_DELIVERED_SOURCE_PORT, /* be16 */
	GUTLESS_A_DELIVERED_TIME,	/* u64: CLOCK_REALTIME, nanoseconds */
	GUTLESS_A_DELIVERED_PACKETS,	/* u32: that it came in, merged since */

	__GUTLESS_A_DELIVERED_MAX,
};

#define GUTLESS_A_DELIVERED_MAX (__GUTLESS_A_DELIVERED_MAX - 1)

/*
 * A control message that came or shall go. The port is named as in enum
 * gutless_port_attr, by the same numbers.
 */
enum gutless_control_attr {
	GUTLESS_A_CONTROL_UNSPEC,
	GUTLESS_A_CONTROL_FAMILY,	/* u8 */
	GUTLESS_A_CONTROL_PORT,		/* be16 */
	GUTLESS_A_CONTROL_LOCAL_V4,	/* be32 */
	GUTLESS_A_CONTROL_LOCAL_V6,	/* 16 octets */
	GUTLESS_A_CONTROL_IFINDEX,	/* u32 */
	GUTLESS_A_CONTROL_PEER_V4,	/* be32 */
	GUTLESS_A_CONTROL_PEER_V6,	/* 16 octets */
	GUTLESS_A_CONTROL_PEER_PORT,	/* be16 */
	GUTLESS_A_CONTROL_PEER_IFINDEX,	/* u32: the device it came by; of a
					 * link-local peer, the one to go by
					 */
	GUTLESS_A_CONTROL_TYPE,		/* u8: of the message */
	GUTLESS_A_CONTROL_OPTIONS,	/* up to 124 octets, in words of 4 */
	GUTLESS_A_CONTROL_BODY,		/* octets: behind the options */
	GUTLESS_A_CONTROL_TIME,		/* u64: when it came or went,
					 * CLOCK_REALTIME in nanoseconds
					 */
	GUTLESS_A_CONTROL_PAD,

	__GUTLESS_A_CONTROL_MAX,
};

#define GUTLESS_A_CONTROL_MAX (__GUTLESS_A_CONTROL_MAX - 1)

enum gutless_profile_attr {
	GUTLESS_A_PROFILE_UNSPEC,
	GUTLESS_A_PROFILE_NUMBER,	/* u16; absent in ADD: any free one */
	GUTLESS_A_PROFILE_FORMAT,	/* u8: enum gutless_format */
	GUTLESS_A_PROFILE_CSUM,		/* u8: enum gutless_csum */
	GUTLESS_A_PROFILE_SPORT_MIN,	/* u16, host order; min = max: fixed */
	GUTLESS_A_PROFILE_SPORT_MAX,	/* u16, host order */
	GUTLESS_A_PROFILE_ORIGIN,	/* u8: enum gutless_origin */
	GUTLESS_A_PROFILE_STATS,	/* nest: enum gutless_tx_attr */
	GUTLESS_A_PROFILE_OPTIONS,	/* octets: the options of each packet,
					 * as in the header, whole words
					 */
	GUTLESS_A_PROFILE_ROOM,		/* u8: words of 4 octets that links
					 * keep for options, at least; in ADD
					 */
	GUTLESS_A_PROFILE_RULE,		/* nest, many: which packets take
					 * another profile; in a SET: all of them
					 */
	GUTLESS_A_PROFILE_FLAGS,	/* u32: enum gutless_profile_flags */
	GUTLESS_A_PROFILE_KEY,		/* nest: enum gutless_key_attr, of the
					 * option auth among the options
					 */
	GUTLESS_A_PROFILE_GUE,		/* nest: enum gutless_gue_attr, with
					 * GUTLESS_FORMAT_GUE
					 */

	__GUTLESS_A_PROFILE_MAX,
};

#define GUTLESS_A_PROFILE_MAX (__GUTLESS_A_PROFILE_MAX - 1)

/* The first rule that fits a packet's firewall mark names its profile. */
enum gutless_rule_attr {
	GUTLESS_A_RULE_UNSPEC,
	GUTLESS_A_RULE_MARK,		/* u32 */
	GUTLESS_A_RULE_MASK,		/* u32: bits that count; absent: all */
	GUTLESS_A_RULE_PROFILE,		/* u16: number */

	__GUTLESS_A_RULE_MAX,
};

#define GUTLESS_A_RULE_MAX (__GUTLESS_A_RULE_MAX - 1)

/*
 * Fields of GUE variant 0 that a profile sends, or that a port requires. In a
 * SET what is absent stays.
 */
enum gutless_gue_attr {
	GUTLESS_A_GUE_UNSPEC,
	GUTLESS_A_GUE_GROUP,		/* u32: group identifier */
	GUTLESS_A_GUE_CSUM,		/* u8: 1 the draft's checksum */
	GUTLESS_A_GUE_COOKIE,		/* 8, 16 or 32 octets, which are never
					 * told; instead of them:
					 */
	GUTLESS_A_GUE_COOKIE_LEN,	/* u8: how many they are */
	GUTLESS_A_GUE_COOKIE_HASH,	/* their BLAKE2s of 8 octets */
	GUTLESS_A_GUE_COOKIE_NAME,	/* string, a note: the file they are in */
	GUTLESS_A_GUE_CLEAR,		/* u32: enum gutless_gue_clear */

	__GUTLESS_A_GUE_MAX,
};

#define GUTLESS_A_GUE_MAX (__GUTLESS_A_GUE_MAX - 1)

/*
 * Counters: u64 each. Packets count the segments of a merged or a yet
 * unsegmented packet; octets are those of the inner packets, with the headers
 * of such a packet counted once.
 */
enum gutless_rx_attr {
	GUTLESS_A_RX_UNSPEC,
	GUTLESS_A_RX_PAD,
	GUTLESS_A_RX_PACKETS,
	GUTLESS_A_RX_OCTETS,
	/* packets dropped, by reason */
	GUTLESS_A_RX_DROP_SOURCE,	/* the sender is not allowed */
	GUTLESS_A_RX_DROP_TRUNCATED,	/* shorter than its headers say */
	GUTLESS_A_RX_DROP_VARIANT,	/* no format has these first bits */
	GUTLESS_A_RX_DROP_FORMAT,	/* a format the port does not accept */
	GUTLESS_A_RX_DROP_FLAGS,	/* a flag undefined or not supported */
	GUTLESS_A_RX_DROP_LENGTH,	/* the header is too short for its flags */
	GUTLESS_A_RX_DROP_CONTROL,	/* a control message not acted on */
	GUTLESS_A_RX_DROP_OPTIONS,	/* an option overruns or forbids passing */
	GUTLESS_A_RX_DROP_CHECK,	/* Check does not fit the packet */
	GUTLESS_A_RX_DROP_PROTOCOL_ZERO,
	GUTLESS_A_RX_DROP_PROTOCOL,	/* an inner protocol not accepted */
	GUTLESS_A_RX_DROP_INNER,	/* no room for the inner header */
	GUTLESS_A_RX_DROP_NESTING,	/* too many nested encapsulations */
	GUTLESS_A_RX_DROP_NO_MEMORY,
	GUTLESS_A_RX_DROP_REMCSUM,	/* remote checksum outside the packet */
	GUTLESS_A_RX_GRO_PACKETS,	/* of the packets: arrived merged */
	/* packets dropped by the port's rules for options */
	GUTLESS_A_RX_DROP_OPTION_MISSING, /* without an option it requires */
	GUTLESS_A_RX_DROP_OPTION_VALUE,	/* with another value than it requires */
	GUTLESS_A_RX_DROP_OPTION_REFUSED, /* with an option it drops */
	/* packets dropped on ports with keys of option auth */
	GUTLESS_A_RX_DROP_AUTH_MISSING,	/* without it, where it is required */
	GUTLESS_A_RX_DROP_AUTH_KEY,	/* of a key that the port has not */
	GUTLESS_A_RX_DROP_AUTH_TAG,	/* not what the sender signed */
	GUTLESS_A_RX_DROP_AUTH_REPLAY,	/* it came already, or is too old to tell */
	GUTLESS_A_RX_DROP_AUTH_TIME,	/* the first ones: far from our clock */
	/* packets dropped without a field of GUE that the port requires, or with
	 * another one
	 */
	GUTLESS_A_RX_DROP_GUE_GROUP,
	GUTLESS_A_RX_DROP_GUE_COOKIE,
	GUTLESS_A_RX_DROP_GUE_CSUM,	/* or with a wrong one, required or not */
	GUTLESS_A_RX_DROP_CONTROL_LIMIT, /* an echo request too many */
	/* control messages that were acted on */
	GUTLESS_A_RX_ECHO_REQUESTS,	/* and the reply was sent */
	GUTLESS_A_RX_ECHO_REPLIES,
	GUTLESS_A_RX_REPORTS,
	/* about packets that were dropped */
	GUTLESS_A_RX_REPORTS_SENT,
	GUTLESS_A_RX_REPORTS_LIMITED,	/* not sent, one too many */

	__GUTLESS_A_RX_MAX,
};

#define GUTLESS_A_RX_MAX (__GUTLESS_A_RX_MAX - 1)

enum gutless_tx_attr {
	GUTLESS_A_TX_UNSPEC,
	GUTLESS_A_TX_PAD,
	GUTLESS_A_TX_PACKETS,
	GUTLESS_A_TX_OCTETS,
	/* packets dropped, by reason */
	GUTLESS_A_TX_DROP_NO_PROFILE,	/* the link's profile does not exist */
	GUTLESS_A_TX_DROP_FORMAT,	/* not the link's encapsulation type */
	GUTLESS_A_TX_DROP_LENGTH,	/* does not fit the UDP length field */
	GUTLESS_A_TX_DROP_RECURSION,	/* tunnels within tunnels, too deep */
	GUTLESS_A_TX_DROP_NO_MEMORY,
	GUTLESS_A_TX_GSO_PACKETS,	/* of the packets: left unsegmented */
	GUTLESS_A_TX_ICMP_ERRORS,	/* ICMP errors handed to the links */
	GUTLESS_A_TX_DROP_SUPER_PACKET,	/* to be segmented, which cannot be as
					 * each packet's header is another
					 */

	__GUTLESS_A_TX_MAX,
};

#define GUTLESS_A_TX_MAX (__GUTLESS_A_TX_MAX - 1)

/* A device of the namespace; what it was told goes when it does. */
enum gutless_device_attr {
	GUTLESS_A_DEVICE_UNSPEC,
	GUTLESS_A_DEVICE_IFINDEX,	/* u32 */
	GUTLESS_A_DEVICE_ONPATH,	/* u32: enum gutless_onpath */
	GUTLESS_A_DEVICE_PORTS,		/* 1 to 8 of be16: UDP destinations
					 * looked at; 6080 unless told
					 */
	GUTLESS_A_DEVICE_STATS,		/* nest: enum gutless_onpath_attr */

	__GUTLESS_A_DEVICE_MAX,
};

#define GUTLESS_A_DEVICE_MAX (__GUTLESS_A_DEVICE_MAX - 1)

/* Counters: u64 each, of packets. */
enum gutless_onpath_attr {
	GUTLESS_A_ONPATH_UNSPEC,
	GUTLESS_A_ONPATH_PAD,
	GUTLESS_A_ONPATH_SEEN,		/* GUT-less packets to the ports */
	GUTLESS_A_ONPATH_LOWERED,	/* of them: changed */
	/* of them: left as they were, by reason */
	GUTLESS_A_ONPATH_LEFT_ENOUGH,	/* not more than the MTU already */
	GUTLESS_A_ONPATH_LEFT_NO_CHECK,	/* Check is not in use */
	GUTLESS_A_ONPATH_LEFT_NO_OPTION,
	GUTLESS_A_ONPATH_LEFT_MALFORMED, /* the header or an option overruns */
	GUTLESS_A_ONPATH_LEFT_MERGED,	/* many packets in one */
	GUTLESS_A_ONPATH_LEFT_NO_MEMORY,
	GUTLESS_A_ONPATH_LEFT_FRAGMENT,	/* of UDP, to whichever port: not among
					 * those seen
					 */

	__GUTLESS_A_ONPATH_MAX,
};

#define GUTLESS_A_ONPATH_MAX (__GUTLESS_A_ONPATH_MAX - 1)

#endif /* _UAPI_LINUX_GUTLESS_H */
