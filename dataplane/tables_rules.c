/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rule vectors of one half: for each class of each dimension the set of rules that it satisfies. The
 * work is rules x classes, a few million cheap steps for a full set.
 */
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/rate.h"
#include "dataplane/tables_build.h"

/* What a unit of a rule's burst is where bytes are limited. */
#define BURST_BYTES 1500

static void bits_set(struct moat_bits *bits, size_t position)
{
	bits->words[position / 64] |= 1ULL << (position % 64);
	bits->summary |= 1ULL << (position / 64);
}

/* ---- entries ---------------------------------------------------------------------------------- */

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

/* ---- prefixes --------------------------------------------------------------------------------- */

static const struct moat_prefix *side(const struct moat_rule *rule, bool source)
{
	return source ? &rule->match.src : &rule->match.dst;
}

static void add_class(struct moat_prefix_classes *classes, const struct moat_prefix *prefix)
{
	for (size_t i = 0; i < classes->count; i++) {
		if (moat_prefix_equal(classes->prefixes[i], prefix))
			return;
	}
	classes->prefixes[classes->count++] = prefix;
}

static bool prefix_covers(const struct moat_prefix *wide, const struct moat_prefix *narrow)
{
	return wide->family == MOAT_FAMILY_ANY ||
	       (wide->family == narrow->family && wide->len <= narrow->len &&
		moat_prefix_contains(wide, &narrow->addr));
}

static void fill_prefixes(struct moat_bits *vectors, const struct moat_rule *const *rules,
			  size_t count, bool source, struct moat_prefix_classes *ret_classes)
{
	static const struct moat_prefix any = { 0 };

	ret_classes->count = 0;
	for (size_t i = 0; i < count; i++) {
		if (side(rules[i], source)->family != MOAT_FAMILY_ANY)
			add_class(ret_classes, side(rules[i], source));
	}
	for (size_t class = 0; class <= ret_classes->count; class ++) {
		const struct moat_prefix *prefix = class ? ret_classes->prefixes[class - 1] : &any;

		memset(&vectors[class], 0, sizeof(vectors[class]));
		for (size_t i = 0; i < count; i++) {
			if (prefix_covers(side(rules[i], source), prefix))
				bits_set(&vectors[class], i);
		}
	}
}

/* ---- ranges ----------------------------------------------------------------------------------- */

enum range {
	RANGE_SPORT,
	RANGE_DPORT,
	RANGE_LEN
};

struct bounds {
	uint16_t min, max;
};

static struct bounds bounds_of(const struct moat_rule *rule, enum range range)
{
	const struct moat_match *match = &rule->match;

	switch (range) {
	case RANGE_SPORT:
		return (struct bounds){ match->sport_min, match->sport_max };
	case RANGE_DPORT:
		return (struct bounds){ match->dport_min, match->dport_max };
	default:
		return (struct bounds){ match->len_min, match->len_max };
	}
}

static bool is_any(struct bounds bounds)
{
	return bounds.min == 0 && bounds.max == UINT16_MAX;
}

/* Class 0 is "no such header"; the elementary intervals follow from 1. */
static void fill_range(uint16_t classes[65536], struct moat_bits *vectors,
		       const struct moat_rule *const *rules, size_t count, enum range range)
{
	uint64_t begins[65536 / 64 + 1] = { 1 }; /* a bit where an interval begins; the first at 0 */
	uint16_t last = 0;

	for (size_t i = 0; i < count; i++) {
		struct bounds bounds = bounds_of(rules[i], range);
		size_t behind = (size_t)bounds.max + 1;

		begins[bounds.min / 64] |= 1ULL << (bounds.min % 64);
		begins[behind / 64] |= 1ULL << (behind % 64);
	}
	for (size_t value = 0; value < 65536; value++) {
		last += begins[value / 64] >> (value % 64) & 1;
		classes[value] = last;
	}
	memset(vectors, 0, ((size_t)last + 1) * sizeof(*vectors));
	for (size_t i = 0; i < count; i++) {
		struct bounds bounds = bounds_of(rules[i], range);
		size_t first = is_any(bounds) ? 0 : classes[bounds.min];

		for (size_t class = first; class <= classes[bounds.max]; class ++)
			bits_set(&vectors[class], i);
	}
}

/* ---- protocol and flags ----------------------------------------------------------------------- */

static void fill_proto(struct moat_bits vectors[256], const struct moat_rule *const *rules,
		       size_t count)
{
	memset(vectors, 0, 256 * sizeof(*vectors));
	for (size_t i = 0; i < count; i++) {
		uint8_t proto = rules[i]->match.proto;

		for (size_t class = proto; class < (proto ? proto + 1U : 256U); class ++)
			bits_set(&vectors[class], i);
	}
}

static void fill_flags(struct moat_bits vectors[MOAT_FLAG_CLASSES],
		       const struct moat_rule *const *rules, size_t count)
{
	memset(vectors, 0, MOAT_FLAG_CLASSES * sizeof(*vectors));
	for (size_t i = 0; i < count; i++) {
		const struct moat_match *match = &rules[i]->match;

		if (match->tcp_mask == 0)
			bits_set(&vectors[0], i);
		for (unsigned int flags = 0; flags < 256; flags++) {
			if ((flags & match->tcp_mask) == match->tcp_flags)
				bits_set(&vectors[flags + 1], i);
		}
	}
}

void moat_rule_tables_fill(struct moat_rule_tables *tables, const struct moat_rule *const *rules,
			   size_t count, const struct moat_tables_clock *clock,
			   struct moat_prefix_classes *ret_src, struct moat_prefix_classes *ret_dst)
{
	tables->generation++;
	tables->rule_count = (uint32_t)count;
	ret_src->count = 0;
	ret_dst->count = 0;
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		tables->entries[i] = entry_of(rules[i], clock);
	fill_prefixes(tables->src, rules, count, true, ret_src);
	fill_prefixes(tables->dst, rules, count, false, ret_dst);
	fill_range(tables->sport_class, tables->sport, rules, count, RANGE_SPORT);
	fill_range(tables->dport_class, tables->dport, rules, count, RANGE_DPORT);
	fill_range(tables->len_class, tables->len, rules, count, RANGE_LEN);
	fill_proto(tables->proto, rules, count);
	fill_flags(tables->flags, rules, count);
}
