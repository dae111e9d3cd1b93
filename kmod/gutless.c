// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: GUT-less, GUE and FOU encapsulation
 *
 * The table of contents: what there is, in the order in which it comes up.
 * kmod/README.md is the map.
 */
#include <linux/module.h>
#include <net/net_namespace.h>
#include "auth.h"
#include "control.h"
#include "device.h"
#include "link.h"

unsigned int gl_net_id __read_mostly;

unsigned int gl_max_ports = 16384;
module_param_named(max_ports, gl_max_ports, uint, 0644);
MODULE_PARM_DESC(max_ports, "Ports a network namespace may have");

unsigned int gl_max_sources = 8192;
module_param_named(max_sources, gl_max_sources, uint, 0644);
MODULE_PARM_DESC(max_sources, "Allowed source prefixes a port may have");

static int __net_init gl_net_init(struct net *net)
{
	struct gl_net *gn = gl_net(net);
	struct gl_profile *plain;

	plain = gl_profile_alloc(0);
	if (!plain)
		return -ENOMEM;
	gn->limit = gl_limit_alloc();
	if (!gn->limit) {
		gl_profile_free(plain);
		return -ENOMEM;
	}
	RCU_INIT_POINTER(gn->plain, plain);
	mutex_init(&gn->lock);
	spin_lock_init(&gn->delivery);
	xa_init_flags(&gn->ports, XA_FLAGS_ALLOC1);
	xa_init(&gn->profiles);
	xa_init(&gn->devices);
	INIT_HLIST_HEAD(&gn->verifiers);
	return 0;
}

/* The core waits for an RCU grace period between this and the next. */
static void __net_exit gl_net_pre_exit(struct net *net)
{
	gl_ports_silence(gl_net(net));
}

/*
 * Links that send from here may live on until other exit functions have run;
 * from now on they find no profile and drop.
 */
static void __net_exit gl_net_exit(struct net *net)
{
	struct gl_net *gn = gl_net(net);

	gl_devices_release(net);
	gl_ports_release(gn);
	gl_profiles_release(gn);
	gl_limit_free(gn->limit);
	mutex_destroy(&gn->lock);
}

static struct pernet_operations gl_net_ops = {
	.init = gl_net_init,
	.pre_exit = gl_net_pre_exit,
	.exit = gl_net_exit,
	.id = &gl_net_id,
	.size = sizeof(struct gl_net),
};

static int __init gl_init(void)
{
	int err;

	err = gl_auth_init();
	if (err)
		return err;

	err = register_pernet_device(&gl_net_ops);
	if (err)
		goto err_auth;

	err = gl_links_register();
	if (err)
		goto err_net;

	err = gl_tx_register();
	if (err)
		goto err_links;

	err = gl_devices_register();
	if (err)
		goto err_tx;

	err = gl_netlink_register();
	if (err)
		goto err_devices;

	return 0;

err_devices:
	gl_devices_unregister();
err_tx:
	gl_tx_unregister();
err_links:
	gl_links_unregister();
err_net:
	unregister_pernet_device(&gl_net_ops);
	rcu_barrier();
err_auth:
	gl_auth_exit();
	return err;
}

static void __exit gl_exit(void)
{
	/* while there is a family that can tell of it */
	gl_devices_unregister();
	gl_netlink_unregister();
	gl_tx_unregister();
	gl_links_unregister();
	unregister_pernet_device(&gl_net_ops);
	/* what was freed by RCU, and whoever still runs a function of ours */
	rcu_barrier();
	gl_auth_exit();
}

module_init(gl_init);
module_exit(gl_exit);

MODULE_DESCRIPTION("GUT-less, GUE and FOU encapsulation");
MODULE_AUTHOR("The gutless authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(GUTLESS_VERSION);
MODULE_ALIAS_GENL_FAMILY(GUTLESS_GENL_NAME);
