// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: the generic netlink family
 *
 * gutctl/specs/gutless.yaml is the contract. What an operation does not list in
 * its policy it refuses.
 */
#include <linux/capability.h>
#include <linux/module.h>
#include <linux/user_namespace.h>
#include <net/sock.h>
#include "control.h"
#include "netlink.h"

static bool gl_unprivileged;
module_param_named(unprivileged, gl_unprivileged, bool, 0644);
MODULE_PARM_DESC(unprivileged,
		 "Let user namespaces configure their network namespaces");

/**
 * gl_nl_permitted - may the sender change anything?
 * @skb: its request
 * @info: the request, parsed
 *
 * The core has checked for CAP_NET_ADMIN over the network namespace. A packet
 * that a port gives back to the stack is past the input rules of the firewall,
 * which is not for whoever can make a user namespace.
 *
 * Return: 0, or -EPERM and says so.
 */
int gl_nl_permitted(struct sk_buff *skb, struct genl_info *info)
{
	if (READ_ONCE(gl_unprivileged) || netlink_capable(skb, CAP_NET_ADMIN))
		return 0;
	GENL_SET_ERR_MSG(info,
			 "user namespaces need the module parameter 'unprivileged'");
	return -EPERM;
}

int gl_nl_put_stats(struct sk_buff *skb, int nest_attr, int pad_attr,
		    const struct gl_stats __percpu *stats, int first, int last)
{
	u64 sum[GL_COUNTERS];
	struct nlattr *nest;
	int i;

	nest = nla_nest_start(skb, nest_attr);
	if (!nest)
		return -EMSGSIZE;
	gl_stats_sum(stats, sum);
	for (i = first; i <= last; i++) {
		if (nla_put_u64_64bit(skb, i, sum[i], pad_attr)) {
			nla_nest_cancel(skb, nest);
			return -EMSGSIZE;
		}
	}
	nla_nest_end(skb, nest);
	return 0;
}

/* Without memory for the message (@skb is NULL) listeners hear that they missed one. */
void gl_nl_event(struct net *net, struct sk_buff *skb)
{
	if (skb)
		genlmsg_multicast_netns(&gl_family, net, skb, 0,
					GL_GROUP_EVENTS, GFP_KERNEL);
	else
		genl_set_err(&gl_family, net, 0, GL_GROUP_EVENTS, -ENOBUFS);
}

static int gl_nl_info_fill(struct sk_buff *msg, struct net *net)
{
	struct gl_net *gn = gl_net(net);
	u64 features = GUTLESS_FEATURE_REMCSUM |
		       GUTLESS_FEATURE_ICMP | GUTLESS_FEATURE_OPTIONS |
		       GUTLESS_FEATURE_OPTION_RULES | GUTLESS_FEATURE_ONPATH |
		       GUTLESS_FEATURE_AUTH | GUTLESS_FEATURE_GUE_FIELDS |
		       GUTLESS_FEATURE_CONTROL | GUTLESS_FEATURE_NEUTRAL;
	const struct gl_profile *plain;
	int err;

	if (IS_ENABLED(CONFIG_IPV6))
		features |= GUTLESS_FEATURE_IPV6;
	if (IS_ENABLED(CONFIG_NETFILTER))
		features |= GUTLESS_FEATURE_VERIFY_HEADERS;
	if (nla_put_string(msg, GUTLESS_A_INFO_VERSION, GUTLESS_VERSION) ||
	    nla_put_u64_64bit(msg, GUTLESS_A_INFO_FEATURES, features,
			      GUTLESS_A_INFO_PAD) ||
	    nla_put_u32(msg, GUTLESS_A_INFO_MAX_PORTS,
			READ_ONCE(gl_max_ports)) ||
	    nla_put_u32(msg, GUTLESS_A_INFO_MAX_SOURCES,
			READ_ONCE(gl_max_sources)) ||
	    nla_put_u32(msg, GUTLESS_A_INFO_MAX_PROFILES, GL_PROFILES_MAX) ||
	    nla_put_u32(msg, GUTLESS_A_INFO_MAX_NESTING, GL_NESTING_MAX) ||
	    nla_put_u32(msg, GUTLESS_A_INFO_PORTS, READ_ONCE(gn->n_ports)) ||
	    nla_put_u32(msg, GUTLESS_A_INFO_PROFILES,
			READ_ONCE(gn->n_profiles)) ||
	    nla_put_u8(msg, GUTLESS_A_INFO_UNPRIVILEGED,
		       READ_ONCE(gl_unprivileged)) ||
	    nla_put_u16(msg, GUTLESS_A_INFO_ENCAP_BARE, GUTLESS_ENCAP_BARE) ||
	    nla_put_u16(msg, GUTLESS_A_INFO_ENCAP_HEADER,
			GUTLESS_ENCAP_HEADER) ||
	    nla_put_u32(msg, GUTLESS_A_INFO_CONTROL_RATE,
			READ_ONCE(gl_control_rate)) ||
	    nla_put_u32(msg, GUTLESS_A_INFO_CONTROL_SOURCE_RATE,
			READ_ONCE(gl_control_source_rate)))
		return -EMSGSIZE;

	rcu_read_lock();
	plain = rcu_dereference(gn->plain);
	err = plain ? gl_nl_put_stats(msg, GUTLESS_A_INFO_PLAIN,
				      GUTLESS_A_TX_PAD, plain->stats,
				      GUTLESS_A_TX_PACKETS,
				      GUTLESS_A_TX_MAX) : 0;
	rcu_read_unlock();
	return err;
}

static int gl_nl_info_get(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *msg;
	void *hdr;

	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	hdr = genlmsg_put_reply(msg, info, &gl_family, 0, GUTLESS_CMD_INFO_GET);
	if (!hdr || gl_nl_info_fill(msg, genl_info_net(info))) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

static const struct genl_ops gl_ops[] = {
	{
		.cmd = GUTLESS_CMD_INFO_GET,
		.doit = gl_nl_info_get,
	},
	{
		.cmd = GUTLESS_CMD_PORT_ADD,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_port_add_policy,
		.maxattr = GUTLESS_A_PORT_MAX,
		.doit = gl_nl_port_add,
	},
	{
		.cmd = GUTLESS_CMD_PORT_SET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_port_set_policy,
		.maxattr = GUTLESS_A_PORT_MAX,
		.doit = gl_nl_port_set,
	},
	{
		.cmd = GUTLESS_CMD_PORT_DEL,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_port_key_policy,
		.maxattr = GUTLESS_A_PORT_MAX,
		.doit = gl_nl_port_del,
	},
	{
		.cmd = GUTLESS_CMD_PORT_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_port_key_policy,
		.maxattr = GUTLESS_A_PORT_MAX,
		.doit = gl_nl_port_get,
		.start = gl_nl_port_dump_start,
		.dumpit = gl_nl_port_dump,
	},
	{
		.cmd = GUTLESS_CMD_PROFILE_ADD,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_profile_policy,
		.maxattr = GUTLESS_A_PROFILE_MAX,
		.doit = gl_nl_profile_add,
	},
	{
		.cmd = GUTLESS_CMD_PROFILE_SET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_profile_policy,
		.maxattr = GUTLESS_A_PROFILE_MAX,
		.doit = gl_nl_profile_set,
	},
	{
		.cmd = GUTLESS_CMD_PROFILE_DEL,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_profile_key_policy,
		.maxattr = GUTLESS_A_PROFILE_MAX,
		.doit = gl_nl_profile_del,
	},
	{
		.cmd = GUTLESS_CMD_PROFILE_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_profile_key_policy,
		.maxattr = GUTLESS_A_PROFILE_MAX,
		.doit = gl_nl_profile_get,
		.dumpit = gl_nl_profile_dump,
	},
	{
		.cmd = GUTLESS_CMD_DEVICE_SET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_device_policy,
		.maxattr = GUTLESS_A_DEVICE_MAX,
		.doit = gl_nl_device_set,
	},
	{
		.cmd = GUTLESS_CMD_DEVICE_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_device_key_policy,
		.maxattr = GUTLESS_A_DEVICE_MAX,
		.doit = gl_nl_device_get,
		.dumpit = gl_nl_device_dump,
	},
	{
		.cmd = GUTLESS_CMD_ECHO,
		.flags = GENL_UNS_ADMIN_PERM,
		.policy = gl_echo_policy,
		.maxattr = GUTLESS_A_CONTROL_MAX,
		.doit = gl_nl_echo,
	},
};

static const struct genl_multicast_group gl_groups[] = {
	[GL_GROUP_EVENTS] = {
		.name = GUTLESS_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
	[GL_GROUP_OPTIONS] = {
		.name = GUTLESS_MCGRP_OPTIONS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
	[GL_GROUP_CONTROL] = {
		.name = GUTLESS_MCGRP_CONTROL,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

struct genl_family gl_family __ro_after_init = {
	.name = GUTLESS_GENL_NAME,
	.version = GUTLESS_GENL_VERSION,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = gl_ops,
	.n_ops = ARRAY_SIZE(gl_ops),
	.mcgrps = gl_groups,
	.n_mcgrps = ARRAY_SIZE(gl_groups),
};

int __init gl_netlink_register(void)
{
	return genl_register_family(&gl_family);
}

void gl_netlink_unregister(void)
{
	genl_unregister_family(&gl_family);
}
