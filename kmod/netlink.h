/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: what the parts of the netlink interface share */
#ifndef _GUTLESS_NETLINK_H
#define _GUTLESS_NETLINK_H

#include <net/genetlink.h>
#include "gutless.h"

extern struct genl_family gl_family;

extern const struct nla_policy gl_port_add_policy[GUTLESS_A_PORT_MAX + 1];
extern const struct nla_policy gl_port_set_policy[GUTLESS_A_PORT_MAX + 1];
extern const struct nla_policy gl_port_key_policy[GUTLESS_A_PORT_MAX + 1];
extern const struct nla_policy gl_profile_policy[GUTLESS_A_PROFILE_MAX + 1];
extern const struct nla_policy gl_profile_key_policy[GUTLESS_A_PROFILE_MAX + 1];
extern const struct nla_policy gl_device_policy[GUTLESS_A_DEVICE_MAX + 1];
extern const struct nla_policy gl_device_key_policy[GUTLESS_A_DEVICE_MAX + 1];
extern const struct nla_policy gl_echo_policy[GUTLESS_A_CONTROL_MAX + 1];

/* Does the sender of a request have what it takes to configure? */
int gl_nl_permitted(struct sk_buff *skb, struct genl_info *info);

/* Counters @first to @last of @stats as a nest of u64 */
int gl_nl_put_stats(struct sk_buff *skb, int nest_attr, int pad_attr,
		    const struct gl_stats __percpu *stats, int first, int last);

/* To whoever listens in @net; an event that cannot be sent is not an error. */
void gl_nl_event(struct net *net, struct sk_buff *skb);

/* Places in the table of multicast groups */
enum {
	GL_GROUP_EVENTS,
	GL_GROUP_OPTIONS,
	GL_GROUP_CONTROL,
};

/* An option that was received, to who listens in the namespace of its packet */
bool gl_nl_option_event(const struct gl_port *port, const struct sk_buff *skb,
			unsigned int hlen, const u8 *opt);

int gl_nl_port_add(struct sk_buff *skb, struct genl_info *info);
int gl_nl_port_set(struct sk_buff *skb, struct genl_info *info);
int gl_nl_port_del(struct sk_buff *skb, struct genl_info *info);
int gl_nl_port_get(struct sk_buff *skb, struct genl_info *info);
int gl_nl_port_dump_start(struct netlink_callback *cb);
int gl_nl_port_dump(struct sk_buff *skb, struct netlink_callback *cb);

int gl_nl_profile_add(struct sk_buff *skb, struct genl_info *info);
int gl_nl_profile_set(struct sk_buff *skb, struct genl_info *info);
int gl_nl_profile_del(struct sk_buff *skb, struct genl_info *info);
int gl_nl_profile_get(struct sk_buff *skb, struct genl_info *info);
int gl_nl_profile_dump(struct sk_buff *skb, struct netlink_callback *cb);

int gl_nl_device_set(struct sk_buff *skb, struct genl_info *info);
int gl_nl_device_get(struct sk_buff *skb, struct genl_info *info);
int gl_nl_device_dump(struct sk_buff *skb, struct netlink_callback *cb);

int gl_nl_echo(struct sk_buff *skb, struct genl_info *info);

#endif /* _GUTLESS_NETLINK_H */
