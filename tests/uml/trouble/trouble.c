// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module that does one wrong thing when it is loaded, named by its parameter:
 * what the debug kernel is there to notice. Nothing of it is ever shipped.
 */
#include <linux/delay.h>
#include <linux/inetdevice.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/refcount.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>
#include <net/net_namespace.h>

static char *kind = "";
module_param(kind, charp, 0444);

static volatile int beyond = 16;	/* which the compiler does not know */
static volatile int sink;
static char global[16];

static void slab_out_of_bounds(void)
{
	char *p = kmalloc(16, GFP_KERNEL);

	if (p)
		p[beyond] = 1;
	kfree(p);
}

static void use_after_free(void)
{
	char *p = kmalloc(16, GFP_KERNEL);

	kfree(p);
	sink = READ_ONCE(*p);
}

static void double_free(void)
{
	char *p = kmalloc(16, GFP_KERNEL);

	kfree(p);
	kfree(p);
}

static void stack_out_of_bounds(void)
{
	char here[16];

	OPTIMIZER_HIDE_VAR(beyond);
	memset(here, 0, sizeof(here));
	sink = here[beyond];
}

static void global_out_of_bounds(void)
{
	char *p = global;

	OPTIMIZER_HIDE_VAR(p);	/* else UBSAN, which knows the array, is first */
	sink = p[beyond];
}

static void vmalloc_out_of_bounds(void)
{
	char *p = vmalloc(PAGE_SIZE - 16);

	if (p)
		p[PAGE_SIZE - 16 + (beyond - 16)] = 1;
	vfree(p);
}

static void shift(void)
{
	sink = 1 << (beyond * 4);
}

static void array_index(void)
{
	static int numbers[4];

	sink = numbers[beyond - 12];
}

static DEFINE_SPINLOCK(first);
static DEFINE_SPINLOCK(second);

static void inversion(void)
{
	spin_lock(&first);
	spin_lock(&second);
	spin_unlock(&second);
	spin_unlock(&first);
	spin_lock(&second);
	spin_lock(&first);
	spin_unlock(&first);
	spin_unlock(&second);
}

static void in_timer(struct timer_list *timer)
{
	spin_lock(&first);
	spin_unlock(&first);
}

static DEFINE_TIMER(timer, in_timer);

static void softirq_safety(void)
{
	spin_lock(&first);	/* without bottom halves off */
	spin_unlock(&first);
	mod_timer(&timer, jiffies + 1);
	msleep(100);
	del_timer_sync(&timer);
}

static DEFINE_MUTEX(mutex);

static void mutex_in_spinlock(void)
{
	spin_lock(&first);
	mutex_lock(&mutex);
	mutex_unlock(&mutex);
	spin_unlock(&first);
}

static void held_at_the_end(void)
{
	mutex_lock(&mutex);	/* and back to user space with it */
}

static void rcu(void)
{
	struct in_device *in_dev = init_net.loopback_dev->ip_ptr;

	/* neither RTNL nor the RCU read lock is held */
	sink = !!rcu_dereference(init_net.loopback_dev->ip_ptr);
	sink += !!in_dev;
}

static void rtnl(void)
{
	sink = !!__in_dev_get_rtnl(init_net.loopback_dev);
	ASSERT_RTNL();
}

static void list(void)
{
	LIST_HEAD(head);
	struct list_head item;

	list_add(&item, &head);
	list_add(&item, &head);
}

static void refcount(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	refcount_dec(&count);
	refcount_dec(&count);
}

static netdevice_tracker lost;

static void device_reference(void)
{
	struct net_device *dev = dev_get_by_name(&init_net, "dummy0");

	if (!dev)
		return;
	netdev_tracker_alloc(dev, &lost, GFP_KERNEL);
	/* and nobody ever gives it back: told when the device goes */
}

static struct timer_list freed;

static void timer_twice(void)
{
	timer_setup(&freed, in_timer, 0);
	mod_timer(&freed, jiffies + 10 * HZ);
	timer_setup(&freed, in_timer, 0);
	del_timer_sync(&freed);
}

static void warning(void)
{
	WARN_ON(1);
}

static const struct {
	const char *name;
	void (*make)(void);
} troubles[] = {
	{ "slab-out-of-bounds", slab_out_of_bounds },
	{ "use-after-free", use_after_free },
	{ "double-free", double_free },
	{ "stack-out-of-bounds", stack_out_of_bounds },
	{ "global-out-of-bounds", global_out_of_bounds },
	{ "vmalloc-out-of-bounds", vmalloc_out_of_bounds },
	{ "shift", shift },
	{ "array-index", array_index },
	{ "inversion", inversion },
	{ "softirq-safety", softirq_safety },
	{ "mutex-in-spinlock", mutex_in_spinlock },
	{ "held-at-the-end", held_at_the_end },
	{ "rcu", rcu },
	{ "rtnl", rtnl },
	{ "list", list },
	{ "refcount", refcount },
	{ "device-reference", device_reference },
	{ "timer-twice", timer_twice },
	{ "warning", warning },
};

static int __init trouble_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(troubles); i++)
		if (!strcmp(kind, troubles[i].name)) {
			pr_info("trouble: %s\n", kind);
			troubles[i].make();
			/* so that it can be loaded for the next one */
			return -ECANCELED;
		}
	return -EINVAL;
}

module_init(trouble_init);

MODULE_DESCRIPTION("Deliberate bugs for tests of the debug kernel");
MODULE_LICENSE("GPL");
