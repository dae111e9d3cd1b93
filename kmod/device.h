/* SPDX-License-Identifier: GPL-2.0-only */
/* gutless: what devices do with packets that are forwarded through them */
#ifndef _GUTLESS_DEVICE_H
#define _GUTLESS_DEVICE_H

#include "gutless.h"

#define GL_DEVICE_PORTS_MAX	8
#define GL_DEVICE_PORT		6080

/*
 * struct gl_device - what a device was told; replaced whole, read under RCU
 *
 * There is one for each device that does something. It holds on to no device:
 * when that goes, so does this.
 */
struct gl_device {
	u32 ifindex;
	u32 onpath;		/* enum gutless_onpath, not 0 */
	u8 n_ports;
	__be16 ports[GL_DEVICE_PORTS_MAX];	/* destinations looked at */
	struct gl_stats __percpu *stats;	/* a replacement takes them over */
	struct rcu_head rcu;
};

/* device.c; the configuration is under RTNL */
struct gl_device *gl_device_alloc(u32 ifindex);
void gl_device_free(struct gl_device *d);
int gl_device_store(struct net *net, struct gl_device *d);
void gl_device_release(struct net *net, struct gl_device *d);
void gl_devices_release(struct net *net);
int gl_devices_register(void);
void gl_devices_unregister(void);

/* onpath.c */
int gl_onpath_hook(struct net *net);
void gl_onpath_unhook(struct net *net);

/* nl_device.c */
void gl_device_gone(struct net *net, const struct gl_device *d);

#endif /* _GUTLESS_DEVICE_H */
