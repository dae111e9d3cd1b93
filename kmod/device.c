// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: devices that do something with what is forwarded through them
 *
 * Under RTNL and not gl_net's lock, since a device that goes is told of under it.
 */
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include "device.h"

struct gl_device *gl_device_alloc(u32 ifindex)
{
	struct gl_device *d;

	d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return NULL;
	d->stats = gl_stats_alloc();
	if (!d->stats) {
		kfree(d);
		return NULL;
	}
	d->ifindex = ifindex;
	d->ports[0] = htons(GL_DEVICE_PORT);
	d->n_ports = 1;
	return d;
}

/* Nobody else can see @d. */
void gl_device_free(struct gl_device *d)
{
	free_percpu(d->stats);
	kfree(d);
}

static void gl_device_free_rcu(struct rcu_head *head)
{
	gl_device_free(container_of(head, struct gl_device, rcu));
}

/**
 * gl_device_store - let packets see what a device was told
 * @net: its namespace
 * @d: a new one, or one with the counters of the one there is, which goes
 *
 * The first one brings the hooks into the namespace.
 *
 * Return: 0 or a negative error, with everything as it was.
 */
int gl_device_store(struct net *net, struct gl_device *d)
{
	struct gl_net *gn = gl_net(net);
	struct gl_device *old;
	int err;

	ASSERT_RTNL();
	old = xa_store(&gn->devices, d->ifindex, d, GFP_KERNEL_ACCOUNT);
	err = xa_err(old);
	if (err)
		return err;
	if (!old && !gn->n_devices) {
		err = gl_onpath_hook(net);
		if (err) {
			xa_erase(&gn->devices, d->ifindex);
			return err;
		}
	}
	if (old)
		kfree_rcu(old, rcu);
	else
		gn->n_devices++;
	gn->device_generation++;
	return 0;
}

/* The last one takes the hooks with it. */
void gl_device_release(struct net *net, struct gl_device *d)
{
	struct gl_net *gn = gl_net(net);

	ASSERT_RTNL();
	xa_erase(&gn->devices, d->ifindex);
	gn->device_generation++;
	if (!--gn->n_devices)
		gl_onpath_unhook(net);
	call_rcu(&d->rcu, gl_device_free_rcu);
}

void gl_devices_release(struct net *net)
{
	struct gl_net *gn = gl_net(net);
	struct gl_device *d;
	unsigned long ifindex;

	rtnl_lock();
	xa_for_each(&gn->devices, ifindex, d)
		gl_device_release(net, d);
	rtnl_unlock();
	xa_destroy(&gn->devices);
}

static int gl_device_event(struct notifier_block *nb, unsigned long event,
			   void *info)
{
	const struct net_device *dev = netdev_notifier_info_to_dev(info);
	struct gl_device *d;
	struct gl_net *gn;

	if (event != NETDEV_UNREGISTER)
		return NOTIFY_DONE;
	/* a namespace that could not be set up may have devices before us */
	gn = gl_net(dev_net(dev));
	d = gn ? xa_load(&gn->devices, dev->ifindex) : NULL;
	if (d) {
		gl_device_gone(dev_net(dev), d);
		gl_device_release(dev_net(dev), d);
	}
	return NOTIFY_DONE;
}

static struct notifier_block gl_device_notifier = {
	.notifier_call = gl_device_event,
};

int gl_devices_register(void)
{
	return register_netdevice_notifier(&gl_device_notifier);
}

/* Tells of all devices that they are gone. */
void gl_devices_unregister(void)
{
	unregister_netdevice_notifier(&gl_device_notifier);
}
