// SPDX-License-Identifier: GPL-2.0-only
/*
 * gutless: what a port does about options
 *
 * Rules are looked at twice: by what may drop the packet, before anything else is
 * made of it, and once it has passed, by what is told to who listens. So nothing
 * is delivered of a packet that does not pass.
 *
 * Packets merge only where their options are the same, octet by octet: a rule
 * sees one packet then, and counts as many as went in.
 */
#include <linux/slab.h>
#include "netlink.h"

struct gl_option_rule *gl_option_rule_alloc(void)
{
	struct gl_option_rule *rule;

	rule = kzalloc(sizeof(*rule), GFP_KERNEL_ACCOUNT);
	if (!rule)
		return NULL;
	rule->stats = gl_stats_alloc();
	if (!rule->stats) {
		kfree(rule);
		return NULL;
	}
	refcount_set(&rule->users, 1);
	return rule;
}

void gl_option_rule_put(struct gl_option_rule *rule)
{
	if (!refcount_dec_and_test(&rule->users))
		return;
	free_percpu(rule->stats);
	kfree(rule);
}

struct gl_option_rules *gl_option_rules_alloc(u32 room)
{
	struct gl_option_rules *set;

	set = kzalloc(struct_size(set, rule, room), GFP_KERNEL_ACCOUNT);
	if (set)
		set->n = room;
	return set;
}

/* Nobody else can see @set; its rules may be in another one. */
void gl_option_rules_free(struct gl_option_rules *set)
{
	u32 i;

	if (!set)
		return;
	for (i = 0; i < set->n; i++)
		gl_option_rule_put(set->rule[i]);
	kfree(set);
}

/* Octets of options; no format but GUT-less has any. */
static unsigned int gl_options_len(const struct gl_wire *w)
{
	return w->format == GUTLESS_ACCEPT_GUTLESS ? w->len - GL_BASE_LEN : 0;
}

static int gl_option_dropped(const struct gl_option_rule *rule,
			     const struct sk_buff *skb, int reason)
{
	gl_count(rule->stats, GUTLESS_A_RULE_STATS_DROPPED, gl_segs(skb));
	return reason;
}

/**
 * gl_options_judge - do the rules let a packet pass?
 * @set: the port's
 * @skb: the packet, at its UDP header
 * @w: its header, which is linear and was taken apart
 *
 * Return: 0, or the attribute that counts the reason to drop.
 */
int gl_options_judge(const struct gl_option_rules *set,
		     const struct sk_buff *skb, const struct gl_wire *w)
{
	const u8 *opt = skb->data + sizeof(struct udphdr) + GL_BASE_LEN;
	unsigned int len = gl_options_len(w), at;
	const struct gl_option_rule *rule;
	DECLARE_BITMAP(seen, 256) = {};
	u32 i;

	for (at = 0; gl_wire_next_option(opt, len, &at); at += 2 + opt[at + 1]) {
		rule = gl_option_rule(set, opt[at]);
		if (!rule)
			continue;
		if (rule->action == GUTLESS_OPTION_ACTION_DROP)
			return gl_option_dropped(rule, skb,
						 GUTLESS_A_RX_DROP_OPTION_REFUSED);
		if (rule->has_value &&
		    (opt[at + 1] != rule->len ||
		     memcmp(opt + at + 2, rule->value, rule->len)))
			return gl_option_dropped(rule, skb,
						 GUTLESS_A_RX_DROP_OPTION_VALUE);
		__set_bit(opt[at], seen);
	}
	for (i = 0; i < set->n; i++) {
		rule = set->rule[i];
		if (rule->action == GUTLESS_OPTION_ACTION_REQUIRE &&
		    !test_bit(rule->type, seen))
			return gl_option_dropped(rule, skb,
						 GUTLESS_A_RX_DROP_OPTION_MISSING);
	}
	return 0;
}

/* Are options of whole words those that the rules say octet by octet? */
bool gl_options_expected(const struct gl_option_rules *set, const u8 *opt,
			 unsigned int len)
{
	unsigned int at;

	if (len != set->expected_len)
		return false;
	for (at = 0; at < len; at += 4)
		if (get_unaligned((u32 *)(opt + at)) !=
		    get_unaligned((u32 *)(set->expected + at)))
			return false;
	return true;
}

/*
 * The header that @set is met by exactly: each option once in the order of the rules,
 * then padding as gutctl has it.
 */
void gl_options_expect(struct gl_option_rules *set)
{
	unsigned int len = 0;
	u32 i;

	set->expected_len = 0;
	for (i = 0; i < set->n; i++) {
		const struct gl_option_rule *rule = set->rule[i];

		if (!rule->has_value || rule->deliver ||
		    len + 2 + rule->len > GL_OPTIONS_MAX)
			return;
		set->expected[len] = rule->type;
		set->expected[len + 1] = rule->len;
		memcpy(set->expected + len + 2, rule->value, rule->len);
		len += 2 + rule->len;
	}
	set->expected_len = ALIGN(len, 4);
	memset(set->expected + len, 0, set->expected_len - len);
	if (set->expected_len - len > 1) {
		set->expected[len] = GL_OPT_PADN;
		set->expected[len + 1] = set->expected_len - len - 2;
	}
}

/* A packet passed that had an option for each rule. */
void gl_options_count(const struct gl_option_rules *set)
{
	u32 i;

	for (i = 0; i < set->n; i++)
		gl_count(set->rule[i]->stats, GUTLESS_A_RULE_STATS_MATCHED, 1);
}

/**
 * gl_options_passed - count and deliver the options of a packet that passes
 * @port: that it came to
 * @set: the port's rules
 * @skb: the packet, which begins with what follows the header; the outer headers
 *	are still in front of that
 * @w: its header
 */
void gl_options_passed(const struct gl_port *port,
		       const struct gl_option_rules *set,
		       const struct sk_buff *skb, const struct gl_wire *w)
{
	unsigned int len = gl_options_len(w), at, n = gl_segs(skb);
	const u8 *opt = skb->data - len;
	const struct gl_option_rule *rule;

	for (at = 0; gl_wire_next_option(opt, len, &at); at += 2 + opt[at + 1]) {
		rule = gl_option_rule(set, opt[at]);
		if (!rule)
			continue;
		gl_count(rule->stats, GUTLESS_A_RULE_STATS_MATCHED, n);
		if (rule->deliver &&
		    gl_nl_option_event(port, skb, w->len, opt + at))
			gl_count(rule->stats, GUTLESS_A_RULE_STATS_DELIVERED, n);
	}
}
