/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See tables.h: puts the two parts of the builder together, and looks up as every judge does. */
#include "dataplane/tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/tables_build.h"

uint32_t moat_tables_window_shift(uint32_t ticks_per_s)
{
	uint32_t shift = 0;

	while ((2000ULL << shift) <= 128ULL * ticks_per_s)
		shift++;
	return shift;
}

static size_t add_list(const struct moat_ruleset *set, enum moat_list list, uint32_t value,
		       struct moat_lpm_item *items)
{
	size_t count;
	const struct moat_prefix *prefixes = moat_ruleset_prefixes(set, list, &count);

	for (size_t i = 0; i < count; i++)
		items[i] = (struct moat_lpm_item){ &prefixes[i], value };
	return count;
}

static size_t add_classes(const struct moat_prefix_classes *classes, struct moat_lpm_item *items)
{
	for (size_t i = 0; i < classes->count; i++)
		items[i] = (struct moat_lpm_item){ classes->prefixes[i], (uint32_t)i + 1 };
	return classes->count;
}

static int fill_tries(struct moat_tables *half, const struct moat_ruleset *set,
		      const struct moat_prefix_classes *src, const struct moat_prefix_classes *dst)
{
	moat_auto_free struct moat_lpm_item *items = NULL;
	struct moat_prefix hosts[MOAT_SESSIONS_MAX];
	size_t count, allowed, denied, most = moat_stage_items_most(set);
	int r;

	moat_ruleset_prefixes(set, MOAT_LIST_ALLOW, &allowed);
	moat_ruleset_prefixes(set, MOAT_LIST_DENY, &denied);
	/* destinations have no lists, and no more classes than there are rules */
	items = malloc((allowed + denied + MOAT_RULES_MAX + most) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	count = add_list(set, MOAT_LIST_ALLOW, MOAT_LPM_ALLOW, items);
	count += add_list(set, MOAT_LIST_DENY, MOAT_LPM_DENY, items + count);
	count += add_classes(src, items + count);
	count += moat_stage_src_items(set, items + count, hosts);
	r = moat_lpm_fill(half, true, items, count);
	if (r != 0)
		return r;
	count = add_classes(dst, items);
	count += moat_stage_dst_items(set, items + count);
	return moat_lpm_fill(half, false, items, count);
}

/* What a build works on: too much for a stack. */
struct scratch {
	const struct moat_rule *live[MOAT_RULES_MAX];
	struct moat_prefix_classes src, dst;
};

/* Rules by position that haven't expired; returns how many. */
static size_t collect_live(const struct moat_ruleset *set, uint64_t now_ns,
			   const struct moat_rule **live)
{
	size_t count, live_count = 0;
	const struct moat_rule *rules = moat_ruleset_rules(set, &count);

	for (size_t i = 0; i < count; i++) {
		if (rules[i].expires_ns == 0 || rules[i].expires_ns > now_ns)
			live[live_count++] = &rules[i];
	}
	return live_count;
}

int moat_tables_build(struct moat_tables *half, const struct moat_ruleset *set,
		      const struct moat_tables_clock *clock, struct moat_error *error)
{
	moat_auto_free struct scratch *scratch = malloc(sizeof(*scratch));
	int r = -ENOMEM;

	moat_lpm_clear(half);
	if (scratch)
		r = moat_rule_tables_fill(half->rules, scratch->live,
					  collect_live(set, clock->now_ns, scratch->live), clock,
					  &scratch->src, &scratch->dst);
	if (r == 0) {
		moat_stage_tables_fill(half, set, clock);
		r = fill_tries(half, set, &scratch->src, &scratch->dst);
	}
	if (r == MOAT_TABLES_NO_NODES)
		moat_error_set(error, -ENOSPC,
			       "the prefixes need more than the %u trie nodes that there are",
			       half->node_capacity - 1);
	else if (r < 0)
		moat_error_set(error, r, "no memory to compile the rules");
	return r;
}

/* ---- lookup ----------------------------------------------------------------------------------- */

/* Follows children from the entry of the root; `key` are the bytes behind the root's. */
static uint32_t descend(const struct moat_tables *half, uint32_t entry, const uint8_t *key)
{
	while (entry & MOAT_LPM_CHILD)
		entry = half->nodes[entry & ~MOAT_LPM_CHILD][*key++];
	return entry;
}

uint32_t moat_tables_lookup_src(const struct moat_tables *half, const struct moat_addr *addr)
{
	if (moat_addr_is_v4(addr))
		return descend(half, half->src4_root[ntohl(addr->words[3]) >> 8], &addr->bytes[15]);
	return descend(half, half->src6_root[ntohl(addr->words[0]) >> 16], &addr->bytes[2]);
}

uint32_t moat_tables_lookup_dst(const struct moat_tables *half, const struct moat_addr *addr)
{
	if (moat_addr_is_v4(addr))
		return descend(half, half->dst4_root[ntohl(addr->words[3]) >> 16], &addr->bytes[14]);
	return descend(half, half->dst6_root[ntohl(addr->words[0]) >> 16], &addr->bytes[2]);
}
