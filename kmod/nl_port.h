/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: between the three parts of the ports' netlink interface */
#ifndef _GUTLESS_NL_PORT_H
#define _GUTLESS_NL_PORT_H

#include "netlink.h"

/* nl_port.c: what requests ask for */
int gl_port_parse_family(struct nlattr **attrs, u8 *family,
			 struct netlink_ext_ack *extack);
int gl_port_parse_key(struct nlattr **attrs, struct gl_port_key *key,
		      struct netlink_ext_ack *extack);
struct gl_rules *gl_port_parse_rules(struct genl_info *info,
				     const struct gl_rules *old, u8 family);
int gl_port_parse_origin(struct genl_info *info, u8 *origin);
int gl_port_parse_verify(struct genl_info *info, const struct gl_rules *rules,
			 bool *verify);

/* nl_port_ops.c: what is done */
struct gl_port *gl_port_named(struct gl_net *gn, struct genl_info *info,
			      const struct gl_port_key *key);

/* nl_port_tell.c: what is told */
int gl_port_fill_key(struct sk_buff *msg, const struct gl_port_key *key);
void gl_port_event(struct net *net, const struct gl_port *port, u8 cmd);

static inline const struct gl_rules *gl_port_rules(struct gl_net *gn,
						   const struct gl_port *port)
{
	return rcu_dereference_protected(port->rules,
					 lockdep_is_held(&gn->lock));
}

/* nl_option.c: rules for options, and options delivered */
extern const struct nla_policy
	gl_option_rule_policy[GUTLESS_A_OPTION_RULE_MAX + 1];

/* Octets of a message that a rule may need */
#define GL_OPTION_RULE_SIZE						\
	(nla_total_size(0) + 3 * nla_total_size(sizeof(u8)) +		\
	 nla_total_size(GL_OPT_DATA_MAX) + nla_total_size(0) +		\
	 GUTLESS_A_RULE_STATS_MAX * nla_total_size_64bit(sizeof(u64)))

int gl_option_rules_parse(struct genl_info *info, struct gl_rules *r,
			  const struct gl_rules *old);
int gl_option_rule_fill(struct sk_buff *msg, const struct gl_option_rule *rule);

#endif /* _GUTLESS_NL_PORT_H */
