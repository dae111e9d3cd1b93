// SPDX-License-Identifier: GPL-2.0-only
/* gutless: ports over netlink: what is done */
#include <linux/netdevice.h>
#include "nl_auth.h"
#include "nl_port.h"

/* Binding a socket asks for no device of that number over IPv4. */
static bool gl_device_exists(struct net *net, int ifindex)
{
	bool exists;

	rcu_read_lock();
	exists = dev_get_by_index_rcu(net, ifindex);
	rcu_read_unlock();
	return exists;
}

static int gl_port_insert(struct net *net, struct gl_port *port,
			  struct genl_info *info)
{
	struct gl_net *gn = gl_net(net);
	struct nlattr *at = info->attrs[GUTLESS_A_PORT_PORT];
	int err;

	if (gl_port_find(gn, &port->key)) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "this port is there already");
		return -EEXIST;
	}
	if (gn->n_ports >= READ_ONCE(gl_max_ports)) {
		GENL_SET_ERR_MSG(info,
				 "more ports than the parameter max_ports allows");
		return -ENOSPC;
	}
	if (port->key.ifindex && !gl_device_exists(net, port->key.ifindex))
		err = -ENODEV;
	else
		err = gl_port_open(net, port);
	switch (err) {
	case -EADDRINUSE:
		if (gl_port_overlaps(gn, &port->key))
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "a port with this number and an overlapping address is there");
		else
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "another socket has this port");
		break;
	case -EADDRNOTAVAIL:
		GENL_SET_ERR_MSG(info, "the local address is not of this host");
		break;
	case -ENODEV:
		NL_SET_ERR_MSG_ATTR(info->extack,
				    info->attrs[GUTLESS_A_PORT_IFINDEX],
				    "no such device");
		break;
	}
	return err;
}

static int gl_port_add(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	struct gl_net *gn = gl_net(net);
	struct gl_rules *rules;
	struct gl_port *port;
	int err;

	err = gl_nl_permitted(skb, info);
	if (err)
		return err;
	port = gl_port_alloc();
	if (!port)
		return -ENOMEM;
	err = gl_port_parse_key(info->attrs, &port->key, info->extack);
	if (err)
		goto err_free;
	err = gl_port_parse_origin(info, &port->origin);
	if (err)
		goto err_free;
	if (info->attrs[GUTLESS_A_PORT_ZERO_CSUM6])
		port->zero_csum6 =
			nla_get_u8(info->attrs[GUTLESS_A_PORT_ZERO_CSUM6]);
	rules = gl_port_parse_rules(info, NULL, port->key.family);
	if (IS_ERR(rules)) {
		err = PTR_ERR(rules);
		goto err_free;
	}
	RCU_INIT_POINTER(port->rules, rules);
	err = gl_port_parse_verify(info, rules, &port->verify_headers);
	if (err)
		goto err_free;

	mutex_lock(&gn->lock);
	err = gl_port_insert(net, port, info);
	if (!err) {
		gn->generation++;
		gl_port_event(net, port, GUTLESS_CMD_PORT_ADD_NTF);
	}
	mutex_unlock(&gn->lock);
	if (!err)
		return 0;
err_free:
	gl_port_free(port);
	return err;
}

/* The port a request names, with the lock held. Return: it or NULL, and says so */
struct gl_port *gl_port_named(struct gl_net *gn, struct genl_info *info,
			      const struct gl_port_key *key)
{
	struct gl_port *port = gl_port_find(gn, key);

	if (!port)
		NL_SET_ERR_MSG_ATTR(info->extack,
				    info->attrs[GUTLESS_A_PORT_PORT],
				    "no such port");
	return port;
}

static int gl_port_set(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	struct gl_net *gn = gl_net(net);
	struct gl_rules *old, *rules;
	struct gl_port_key key;
	struct gl_port *port;
	struct nlattr *at;
	bool verify;
	u8 origin;
	int err;

	err = gl_nl_permitted(skb, info);
	if (err)
		return err;
	err = gl_port_parse_key(info->attrs, &key, info->extack);
	if (err)
		return err;

	mutex_lock(&gn->lock);
	err = -ENOENT;
	port = gl_port_named(gn, info, &key);
	if (!port)
		goto out;
	origin = port->origin;
	verify = port->verify_headers;
	err = gl_port_parse_origin(info, &origin);
	if (err)
		goto out;
	old = rcu_dereference_protected(port->rules,
					lockdep_is_held(&gn->lock));
	rules = gl_port_parse_rules(info, old, key.family);
	if (IS_ERR(rules)) {
		err = PTR_ERR(rules);
		goto out;
	}
	err = gl_port_parse_verify(info, rules, &verify);
	if (!err && verify && !port->verify_headers)
		err = gl_verify_prepare(net);
	if (err) {
		gl_rules_free(rules);
		goto out;
	}
	/* from here on nothing fails */
	rcu_assign_pointer(port->rules, rules);
	port->origin = origin;
	if (verify && !port->verify_headers)
		gl_verify_start(port);
	else if (!verify && port->verify_headers)
		gl_verify_stop(port);
	port->verify_headers = verify;
	at = info->attrs[GUTLESS_A_PORT_ZERO_CSUM6];
	if (at)
		gl_port_set_zero_csum6(port, nla_get_u8(at));
	gn->generation++;
	gl_port_event(net, port, GUTLESS_CMD_PORT_SET_NTF);
	gl_rules_replaced(old);
	err = 0;
out:
	mutex_unlock(&gn->lock);
	return err;
}

int gl_nl_port_add(struct sk_buff *skb, struct genl_info *info)
{
	int err = gl_port_add(skb, info);

	gl_keys_wipe(info, GUTLESS_A_PORT_KEY);
	return err;
}

int gl_nl_port_set(struct sk_buff *skb, struct genl_info *info)
{
	int err = gl_port_set(skb, info);

	gl_keys_wipe(info, GUTLESS_A_PORT_KEY);
	return err;
}

int gl_nl_port_del(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	struct gl_net *gn = gl_net(net);
	struct gl_port_key key;
	struct gl_port *port;
	int err;

	err = gl_nl_permitted(skb, info);
	if (err)
		return err;
	err = gl_port_parse_key(info->attrs, &key, info->extack);
	if (err)
		return err;

	mutex_lock(&gn->lock);
	port = gl_port_named(gn, info, &key);
	if (port) {
		gl_port_event(net, port, GUTLESS_CMD_PORT_DEL_NTF);
		gl_port_close(gn, port);
		gn->generation++;
	}
	mutex_unlock(&gn->lock);
	return port ? 0 : -ENOENT;
}
