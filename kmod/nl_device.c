// SPDX-License-Identifier: GPL-2.0-only
/* gutless: devices over netlink */
#include <linux/rtnetlink.h>
#include "device.h"
#include "netlink.h"

const struct nla_policy gl_device_policy[GUTLESS_A_DEVICE_MAX + 1] = {
	[GUTLESS_A_DEVICE_IFINDEX] = { .type = NLA_U32 },
	[GUTLESS_A_DEVICE_ONPATH] =
		NLA_POLICY_MASK(NLA_U32, GUTLESS_ONPATH_MIN_PATH_MTU),
	[GUTLESS_A_DEVICE_PORTS] = { .type = NLA_BINARY,
				     .len = 2 * GL_DEVICE_PORTS_MAX },
};

const struct nla_policy gl_device_key_policy[GUTLESS_A_DEVICE_MAX + 1] = {
	[GUTLESS_A_DEVICE_IFINDEX] = { .type = NLA_U32 },
};

static int gl_device_fill(struct sk_buff *msg, const struct gl_device *d)
{
	if (nla_put_u32(msg, GUTLESS_A_DEVICE_IFINDEX, d->ifindex) ||
	    nla_put_u32(msg, GUTLESS_A_DEVICE_ONPATH, d->onpath))
		return -EMSGSIZE;
	/* one that does nothing has nothing more to tell */
	if (!d->onpath)
		return 0;
	if (nla_put(msg, GUTLESS_A_DEVICE_PORTS,
		    d->n_ports * sizeof(*d->ports), d->ports))
		return -EMSGSIZE;
	return gl_nl_put_stats(msg, GUTLESS_A_DEVICE_STATS,
			       GUTLESS_A_ONPATH_PAD, d->stats,
			       GUTLESS_A_ONPATH_SEEN, GUTLESS_A_ONPATH_MAX);
}

static struct sk_buff *gl_device_msg(const struct gl_device *d, u32 portid,
				     u32 seq, u8 cmd)
{
	struct sk_buff *msg;
	void *hdr;

	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		return NULL;
	hdr = genlmsg_put(msg, portid, seq, &gl_family, 0, cmd);
	if (!hdr || gl_device_fill(msg, d)) {
		nlmsg_free(msg);
		return NULL;
	}
	genlmsg_end(msg, hdr);
	return msg;
}

static void gl_device_tell(struct net *net, const struct gl_device *d, u8 cmd)
{
	gl_nl_event(net, gl_device_msg(d, 0, 0, cmd));
}

/* Tells that a device does nothing any more, and what it did. */
void gl_device_gone(struct net *net, const struct gl_device *d)
{
	gl_device_tell(net, d, GUTLESS_CMD_DEVICE_DEL_NTF);
}

static int gl_device_parse_ports(struct genl_info *info, struct gl_device *d)
{
	struct nlattr *at = info->attrs[GUTLESS_A_DEVICE_PORTS];
	unsigned int n, i, j;

	n = nla_len(at) / sizeof(*d->ports);
	if (!n || nla_len(at) % sizeof(*d->ports)) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "ports are one number or more of two octets");
		return -EINVAL;
	}
	memcpy(d->ports, nla_data(at), nla_len(at));
	d->n_ports = n;
	for (i = 0; i < n; i++) {
		if (!d->ports[i]) {
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "port 0 is no port");
			return -EINVAL;
		}
		for (j = 0; j < i; j++) {
			if (d->ports[j] != d->ports[i])
				continue;
			NL_SET_ERR_MSG_ATTR(info->extack, at,
					    "a port is there twice");
			return -EINVAL;
		}
	}
	return 0;
}

/* What a request says, into @d, which holds the defaults or what was there. */
static int gl_device_parse(struct genl_info *info, struct gl_device *d)
{
	struct nlattr *at = info->attrs[GUTLESS_A_DEVICE_ONPATH];

	if (at)
		d->onpath = nla_get_u32(at);
	at = info->attrs[GUTLESS_A_DEVICE_PORTS];
	if (!at)
		return 0;
	if (!d->onpath) {
		NL_SET_ERR_MSG_ATTR(info->extack, at,
				    "a device that does nothing on the path has no ports");
		return -EINVAL;
	}
	return gl_device_parse_ports(info, d);
}

/*
 * The device that a request names, with RTNL held.
 *
 * Return: 0, or a negative error and says so.
 */
static int gl_device_named(struct genl_info *info, u32 *ifindex)
{
	struct nlattr *at = info->attrs[GUTLESS_A_DEVICE_IFINDEX];

	if (!at) {
		GENL_SET_ERR_MSG(info, "the device's number is missing");
		return -EINVAL;
	}
	*ifindex = nla_get_u32(at);
	if (__dev_get_by_index(genl_info_net(info), *ifindex))
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, at, "no such device");
	return -ENODEV;
}

/* In place of what was there, whose counters live on */
static int gl_device_change(struct net *net, struct genl_info *info,
			    const struct gl_device *old)
{
	struct gl_device *new;
	int err;

	new = kmemdup(old, sizeof(*old), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	err = gl_device_parse(info, new);
	if (!err)
		err = gl_device_store(net, new);
	if (err)
		kfree(new);
	else
		gl_device_tell(net, new, GUTLESS_CMD_DEVICE_SET_NTF);
	return err;
}

static int gl_device_begin(struct net *net, struct genl_info *info, u32 ifindex)
{
	struct gl_device *d;
	int err;

	d = gl_device_alloc(ifindex);
	if (!d)
		return -ENOMEM;
	err = gl_device_parse(info, d);
	if (!err && d->onpath)
		err = gl_device_store(net, d);
	if (err || !d->onpath)
		gl_device_free(d);
	else
		gl_device_tell(net, d, GUTLESS_CMD_DEVICE_SET_NTF);
	return err;
}

static int gl_device_end(struct net *net, struct genl_info *info,
			 struct gl_device *d)
{
	struct gl_device none = { .ifindex = d->ifindex };
	int err;

	err = gl_device_parse(info, &none);
	if (err)
		return err;
	gl_device_gone(net, d);
	gl_device_release(net, d);
	return 0;
}

int gl_nl_device_set(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *onpath = info->attrs[GUTLESS_A_DEVICE_ONPATH];
	struct net *net = genl_info_net(info);
	struct gl_device *d;
	u32 ifindex;
	int err;

	err = gl_nl_permitted(skb, info);
	if (err)
		return err;

	rtnl_lock();
	err = gl_device_named(info, &ifindex);
	if (err)
		goto out;
	d = xa_load(&gl_net(net)->devices, ifindex);
	if (!d)
		err = gl_device_begin(net, info, ifindex);
	else if (onpath && !nla_get_u32(onpath))
		err = gl_device_end(net, info, d);
	else
		err = gl_device_change(net, info, d);
out:
	rtnl_unlock();
	return err;
}

int gl_nl_device_get(struct sk_buff *skb, struct genl_info *info)
{
	struct gl_net *gn = gl_net(genl_info_net(info));
	struct gl_device none = {};
	const struct gl_device *d;
	struct sk_buff *msg = NULL;
	int err;

	rtnl_lock();
	err = gl_device_named(info, &none.ifindex);
	if (!err) {
		d = xa_load(&gn->devices, none.ifindex);
		msg = gl_device_msg(d ?: &none, info->snd_portid, info->snd_seq,
				    GUTLESS_CMD_DEVICE_GET);
		if (!msg)
			err = -ENOMEM;
	}
	rtnl_unlock();
	return msg ? genlmsg_reply(msg, info) : err;
}

int gl_nl_device_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct gl_net *gn = gl_net(sock_net(skb->sk));
	unsigned long ifindex = cb->args[0];
	struct gl_device *d;
	void *hdr;
	int err = 0;

	rtnl_lock();
	cb->seq = gn->device_generation;
	xa_for_each_start(&gn->devices, ifindex, d, ifindex) {
		hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				  cb->nlh->nlmsg_seq, &gl_family, NLM_F_MULTI,
				  GUTLESS_CMD_DEVICE_GET);
		if (!hdr) {
			err = -EMSGSIZE;
			break;
		}
		genl_dump_check_consistent(cb, hdr);
		err = gl_device_fill(skb, d);
		if (err) {
			genlmsg_cancel(skb, hdr);
			break;
		}
		genlmsg_end(skb, hdr);
	}
	rtnl_unlock();

	/* the one that did not fit begins the next part */
	cb->args[0] = err ? ifindex : ULONG_MAX;
	return skb->len ?: err;
}
