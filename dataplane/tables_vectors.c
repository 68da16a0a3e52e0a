/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bit vectors of one half: for each class of each dimension the set of rules that it satisfies. Each
 * dimension is swept once in order of its values with a running set, which is copied where a class ends:
 * the work is rules plus classes x words in use, never rules x classes. Of a vector only words that hold
 * a rule are written (struct moat_bits).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/tables_build.h"

static void bits_clear(struct moat_bits *bits)
{
	bits->summary = 0;
}

static void bits_set(struct moat_bits *bits, size_t position)
{
	uint64_t word = 1ULL << (position / 64);

	if (!(bits->summary & word))
		bits->words[position / 64] = 0;
	bits->summary |= word;
	bits->words[position / 64] |= 1ULL << (position % 64);
}

static void bits_unset(struct moat_bits *bits, size_t position)
{
	bits->words[position / 64] &= ~(1ULL << (position % 64));
	if (bits->words[position / 64] == 0)
		bits->summary &= ~(1ULL << (position / 64));
}

static void bits_copy(struct moat_bits *to, const struct moat_bits *from)
{
	uint64_t left = from->summary;

	to->summary = left;
	for (; left; left &= left - 1) {
		unsigned int word = (unsigned int)__builtin_ctzll(left);

		to->words[word] = from->words[word];
	}
}

/* ---- prefixes --------------------------------------------------------------------------------- */

/* Twice the rules at least, a power of two: an open-addressed index of the distinct prefixes. */
#define INDEX_SIZE (4 * MOAT_RULES_MAX)
#define NO_RULE UINT16_MAX

/* The rules of each class in a chain, and classes in order of their prefixes. */
struct prefix_sweep {
	struct moat_prefix_classes *classes;
	uint16_t index[INDEX_SIZE];              /* class, or 0: free */
	uint16_t first[MOAT_PREFIX_CLASSES];     /* rule of a class ... */
	uint16_t next[MOAT_RULES_MAX];           /* ... and the one behind it */
	uint16_t by_prefix[MOAT_PREFIX_CLASSES]; /* classes 1 and up */
};

static const struct moat_prefix *side(const struct moat_rule *rule, bool source)
{
	return source ? &rule->match.src : &rule->match.dst;
}

static uint16_t class_of(struct prefix_sweep *sweep, const struct moat_prefix *prefix)
{
	struct moat_prefix_classes *classes = sweep->classes;
	size_t place = moat_addr_hash(&prefix->addr, (uint64_t)prefix->len << 8 | prefix->family) &
		       (INDEX_SIZE - 1);

	while (sweep->index[place]) {
		uint16_t class = sweep->index[place];

		if (moat_prefix_equal(classes->prefixes[class - 1], prefix))
			return class;
		place = (place + 1) & (INDEX_SIZE - 1);
	}
	classes->prefixes[classes->count++] = prefix;
	sweep->index[place] = (uint16_t)classes->count;
	sweep->first[classes->count] = NO_RULE;
	return sweep->index[place];
}

static bool prefix_covers(const struct moat_prefix *wide, const struct moat_prefix *narrow)
{
	return wide->family == narrow->family && wide->len <= narrow->len &&
	       moat_prefix_contains(wide, &narrow->addr);
}

/* A prefix comes before all that it covers, and they before what it doesn't. */
static int compare_classes(const void *left, const void *right, void *userdata)
{
	const struct moat_prefix_classes *classes = userdata;
	const struct moat_prefix *a = classes->prefixes[*(const uint16_t *)left - 1];
	const struct moat_prefix *b = classes->prefixes[*(const uint16_t *)right - 1];
	int r = (int)a->family - (int)b->family;

	if (r == 0)
		r = memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));
	return r ? r : (int)a->len - (int)b->len;
}

static void add_chain(const struct prefix_sweep *sweep, uint16_t class, struct moat_bits *bits)
{
	for (uint16_t rule = sweep->first[class]; rule != NO_RULE; rule = sweep->next[rule])
		bits_set(bits, rule);
}

static void sort_rules(struct prefix_sweep *sweep, const struct moat_rule *const *rules,
		       size_t count, bool source)
{
	sweep->first[0] = NO_RULE;
	for (size_t i = 0; i < count; i++) {
		const struct moat_prefix *prefix = side(rules[i], source);
		uint16_t class = prefix->family == MOAT_FAMILY_ANY ? 0 : class_of(sweep, prefix);

		sweep->next[i] = sweep->first[class];
		sweep->first[class] = (uint16_t)i;
	}
	for (size_t i = 0; i < sweep->classes->count; i++)
		sweep->by_prefix[i] = (uint16_t)(i + 1);
	qsort_r(sweep->by_prefix, sweep->classes->count, sizeof(sweep->by_prefix[0]),
		compare_classes, sweep->classes);
}

/* A class satisfies the rules of its own prefix and all of the next wider one's class. */
static int fill_prefixes(struct moat_bits *vectors, const struct moat_rule *const *rules,
			 size_t count, bool source, struct moat_prefix_classes *ret_classes)
{
	struct prefix_sweep *sweep = calloc(1, sizeof(*sweep));
	uint16_t around[129]; /* the classes that the sweep is within, the widest first */
	size_t depth = 0;

	if (!sweep)
		return -ENOMEM;
	ret_classes->count = 0;
	sweep->classes = ret_classes;
	sort_rules(sweep, rules, count, source);
	bits_clear(&vectors[0]);
	add_chain(sweep, 0, &vectors[0]);
	for (size_t i = 0; i < ret_classes->count; i++) {
		uint16_t class = sweep->by_prefix[i];
		const struct moat_prefix *prefix = ret_classes->prefixes[class - 1];

		while (depth > 0 &&
		       !prefix_covers(ret_classes->prefixes[around[depth - 1] - 1], prefix))
			depth--;
		bits_copy(&vectors[class], &vectors[depth ? around[depth - 1] : 0]);
		add_chain(sweep, class, &vectors[class]);
		around[depth++] = class;
	}
	free(sweep);
	return 0;
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

/* An end of a rule's range: where it is satisfied from, or no longer. */
struct edge {
	uint32_t value;
	uint16_t rule;
	bool ends;
};

static int compare_edges(const void *left, const void *right)
{
	const struct edge *a = left, *b = right;

	return (a->value > b->value) - (a->value < b->value);
}

static size_t collect_edges(struct edge *edges, const struct moat_rule *const *rules, size_t count,
			    enum range range, struct moat_bits *any)
{
	size_t edge_count = 0;

	for (size_t i = 0; i < count; i++) {
		struct bounds bounds = bounds_of(rules[i], range);

		if (is_any(bounds)) {
			bits_set(any, i);
			continue;
		}
		edges[edge_count++] = (struct edge){ bounds.min, (uint16_t)i, false };
		edges[edge_count++] = (struct edge){ bounds.max + 1U, (uint16_t)i, true };
	}
	qsort(edges, edge_count, sizeof(edges[0]), compare_edges);
	return edge_count;
}

/* Class 0 is "no such header", which only rules on any satisfy; the elementary intervals follow from 1.
 * `edges`: room for two a rule. */
static void fill_range(uint16_t classes[65536], struct moat_bits *vectors,
		       const struct moat_rule *const *rules, size_t count, enum range range,
		       struct edge *edges)
{
	struct moat_bits current = { .summary = 0 };
	size_t edge_count = collect_edges(edges, rules, count, range, &current);
	uint32_t value = 0;
	uint16_t class = 0;
	size_t at = 0;

	bits_copy(&vectors[0], &current);
	while (value < 65536) {
		uint32_t end;

		for (; at < edge_count && edges[at].value == value; at++) {
			if (edges[at].ends)
				bits_unset(&current, edges[at].rule);
			else
				bits_set(&current, edges[at].rule);
		}
		end = at < edge_count ? edges[at].value : 65536;
		class ++;
		bits_copy(&vectors[class], &current);
		for (; value < end; value++)
			classes[value] = class;
	}
}

/* ---- protocol, flags, VLAN -------------------------------------------------------------------- */

static void fill_proto(struct moat_bits vectors[256], const struct moat_rule *const *rules,
		       size_t count)
{
	struct moat_bits any = { .summary = 0 };

	for (size_t i = 0; i < count; i++) {
		if (rules[i]->match.proto == 0)
			bits_set(&any, i);
	}
	for (size_t class = 0; class < 256; class ++)
		bits_copy(&vectors[class], &any);
	for (size_t i = 0; i < count; i++) {
		if (rules[i]->match.proto != 0)
			bits_set(&vectors[rules[i]->match.proto], i);
	}
}

static void fill_flags(struct moat_bits vectors[MOAT_FLAG_CLASSES],
		       const struct moat_rule *const *rules, size_t count)
{
	struct moat_bits any = { .summary = 0 };

	for (size_t i = 0; i < count; i++) {
		if (rules[i]->match.tcp_mask == 0)
			bits_set(&any, i);
	}
	for (size_t class = 0; class < MOAT_FLAG_CLASSES; class ++)
		bits_copy(&vectors[class], &any);
	for (size_t i = 0; i < count; i++) {
		const struct moat_match *match = &rules[i]->match;
		uint8_t free_bits = (uint8_t)~match->tcp_mask, rest = free_bits;

		if (match->tcp_mask == 0)
			continue;
		/* every subset of the flags that the rule doesn't look at */
		do {
			bits_set(&vectors[(match->tcp_flags | rest) + 1], i);
			rest = (uint8_t)(rest - 1) & free_bits;
		} while (rest != free_bits);
	}
}

/* The next id that vlan/mask matches, counting in the bits that the mask leaves free; after the last one
 * the first. */
static uint16_t next_vlan(uint16_t id, const struct moat_match *match)
{
	uint16_t free_bits = (MOAT_VLAN_IDS - 1) & (uint16_t)~match->vlan_mask;

	return match->vlan | (uint16_t)(((id | (uint16_t)~free_bits) + 1) & free_bits);
}

static void fill_vlan(uint16_t classes[MOAT_VLAN_IDS], struct moat_bits *vectors,
		      const struct moat_rule *const *rules, size_t count)
{
	uint16_t last = 0;

	memset(classes, 0, MOAT_VLAN_IDS * sizeof(classes[0]));
	bits_clear(&vectors[0]);
	for (size_t i = 0; i < count; i++) {
		if (rules[i]->match.vlan_mask == 0)
			bits_set(&vectors[0], i);
	}
	for (size_t i = 0; i < count; i++) {
		const struct moat_match *match = &rules[i]->match;
		uint16_t id = match->vlan;

		if (match->vlan_mask == 0)
			continue;
		do {
			if (classes[id] == 0) {
				classes[id] = ++last;
				bits_copy(&vectors[last], &vectors[0]);
			}
			bits_set(&vectors[classes[id]], i);
			id = next_vlan(id, match);
		} while (id != match->vlan);
	}
}

static void copy_summaries(__u64 *summaries, const struct moat_bits *vectors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		summaries[i] = vectors[i].summary;
}

int moat_vectors_fill(struct moat_rule_tables *tables, const struct moat_rule *const *rules,
		      size_t count, struct moat_prefix_classes *ret_src,
		      struct moat_prefix_classes *ret_dst)
{
	moat_auto_free struct edge *edges = calloc(2 * count, sizeof(*edges));
	int r = edges ? fill_prefixes(tables->src, rules, count, true, ret_src) : -ENOMEM;

	if (r == 0)
		r = fill_prefixes(tables->dst, rules, count, false, ret_dst);
	if (r < 0)
		return r;
	fill_range(tables->sport_class, tables->sport, rules, count, RANGE_SPORT, edges);
	fill_range(tables->dport_class, tables->dport, rules, count, RANGE_DPORT, edges);
	fill_range(tables->len_class, tables->len, rules, count, RANGE_LEN, edges);
	fill_proto(tables->proto, rules, count);
	fill_flags(tables->flags, rules, count);
	fill_vlan(tables->vlan_class, tables->vlan, rules, count);
	copy_summaries(tables->src_summary, tables->src, ret_src->count + 1);
	copy_summaries(tables->dst_summary, tables->dst, ret_dst->count + 1);
	copy_summaries(tables->proto_summary, tables->proto, MOAT_ARRAY_SIZE(tables->proto));
	/* elementary intervals are numbered by their values: the last has the greatest */
	copy_summaries(tables->dport_summary, tables->dport, tables->dport_class[65535] + 1U);
	return 0;
}
