/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the rules of one half do, by position: actions, expiry on the judge's clock, budgets. Which of them
 * a packet matches is tables_vectors.c's.
 */
#include "dataplane/base/clock.h"
#include "dataplane/rate.h"
#include "dataplane/tables_build.h"

/* What a unit of a rule's burst is where bytes are limited. */
#define BURST_BYTES 1500

/* Rounded up: a rule never ends before its time. */
static uint64_t ticks_of_expiry(uint64_t expires_ns, const struct moat_tables_clock *clock)
{
	unsigned __int128 left = expires_ns > clock->now_ns ? expires_ns - clock->now_ns : 0;
	uint64_t ticks;

	ticks = (uint64_t)((left * clock->ticks_per_s + MOAT_NS_PER_S - 1) / MOAT_NS_PER_S) +
		clock->now_ticks;
	return ticks ? ticks : 1;
}

static struct moat_rule_entry entry_of(const struct moat_rule *rule,
				       const struct moat_tables_clock *clock)
{
	struct moat_rule_entry entry = {
		.expires = rule->expires_ns ? ticks_of_expiry(rule->expires_ns, clock) : 0,
		.slot = rule->slot,
		.id = rule->id,
		.action = rule->action,
		.flags = rule->flags,
		.value = rule->action == MOAT_ACTION_SAMPLE ? rule->interval : MOAT_TARGET_NONE,
	};

	if (rule->action == MOAT_ACTION_LIMIT) {
		uint64_t burst = rule->burst;

		entry.packets = moat_rate_of_packets(rule->rate_pps, burst, clock->ticks_per_s,
						     clock->judges);
		entry.bytes = moat_rate_of_bytes(rule->rate_bps, burst * BURST_BYTES,
						 clock->ticks_per_s, clock->judges);
	}
	return entry;
}

int moat_rule_tables_fill(struct moat_rule_tables *tables, const struct moat_rule *const *rules,
			  size_t count, const struct moat_tables_clock *clock,
			  struct moat_prefix_classes *ret_src, struct moat_prefix_classes *ret_dst)
{
	tables->generation++;
	tables->rule_count = (uint32_t)count;
	ret_src->count = 0;
	ret_dst->count = 0;
	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		tables->entries[i] = entry_of(rules[i], clock);
	return moat_vectors_fill(tables, rules, count, ret_src, ret_dst);
}
