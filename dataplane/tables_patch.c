/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One prefix of a list into or out of a half that is being read. Every entry is written once, to what the new
 * set says of its addresses, and a node is filled before anything points to it: whoever looks an address up
 * finds the old answer or the new one. Nodes that a deletion leaves without use stay until the next build.
 */
#include <errno.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/tables_build.h"

/* Steps after which a rebuild is cheaper; a deletion's step may be a look into the list. */
#define ADD_STEPS_MAX (1u << 18)
#define DEL_STEPS_MAX (1u << 14)

struct patch {
	struct moat_tables *half;
	const struct moat_ruleset *set; /* as it is now, with or without the prefix */
	enum moat_list list;
	uint32_t flag;
	bool adds;
	struct moat_prefix prefix;
	unsigned int steps;
};

/* Addresses that share a prefix, and the first of their entries in an array of entries of `depth` bits. */
struct span {
	struct moat_prefix prefix;
	uint32_t *entry;
	unsigned int depth;
};

/* A level of eight bits pushes one span a bit, and one more. */
#define SPANS_MAX (2 * 128 + MOAT_LPM_V6_LEVELS)

static unsigned int bits_before(const struct moat_prefix *prefix)
{
	return prefix->family == MOAT_FAMILY_V4 ? 96 : 0;
}

static void store(uint32_t *entry, uint32_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* A shorter prefix of the list holds all of this one. */
static bool is_covered(const struct patch *patch)
{
	struct moat_prefix wider = patch->prefix;

	while (wider.len > 0) {
		unsigned int bit = bits_before(&wider) + --wider.len;

		wider.addr.bytes[bit / 8] &= (uint8_t)~(0x80 >> (bit % 8));
		if (moat_ruleset_list_has(patch->set, patch->list, &wider))
			return true;
	}
	return false;
}

static void span_split(const struct span *span, struct span ret_halves[2])
{
	unsigned int bit = bits_before(&span->prefix) + span->prefix.len;

	for (unsigned int i = 0; i < 2; i++) {
		ret_halves[i] = *span;
		ret_halves[i].prefix.len++;
	}
	ret_halves[1].prefix.addr.bytes[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
	ret_halves[1].entry += (size_t)1 << (span->depth - ret_halves[1].prefix.len);
}

/* Walks the entries of a prefix: sets the flag, or clears it where no longer prefix of the list says it too. */
static int paint(struct patch *patch, uint32_t *entry, unsigned int depth)
{
	struct span spans[SPANS_MAX] = { { patch->prefix, entry, depth } };
	size_t count = 1;

	while (count > 0) {
		struct span span = spans[--count];

		if (patch->steps-- == 0)
			return MOAT_TABLES_REBUILD;
		if (!patch->adds && span.prefix.len > patch->prefix.len &&
		    moat_ruleset_list_has(patch->set, patch->list, &span.prefix))
			continue;
		if (span.prefix.len < span.depth) {
			span_split(&span, &spans[count]);
			count += 2;
		} else if (*span.entry & MOAT_LPM_CHILD) {
			span.entry = patch->half->nodes[*span.entry & ~MOAT_LPM_CHILD];
			span.depth += 8;
			spans[count++] = span;
		} else {
			store(span.entry,
			      patch->adds ? *span.entry | patch->flag : *span.entry & ~patch->flag);
		}
	}
	return 0;
}

/* Puts nodes below a leaf, down to where the prefix ends, with its flag; the last step is the pointer. */
static int grow(struct patch *patch, uint32_t *entry, unsigned int depth)
{
	const uint8_t *key = patch->prefix.addr.bytes + bits_before(&patch->prefix) / 8;
	struct moat_tables *half = patch->half;
	unsigned int levels = (patch->prefix.len - depth + 7) / 8;
	unsigned int last = depth + 8 * levels; /* bits down to the lowest node's entries */
	uint32_t first = half->node_count, leaf = *entry;
	size_t begin = key[last / 8 - 1], count = (size_t)1 << (last - patch->prefix.len);

	if (levels > half->node_capacity - half->node_count)
		return MOAT_TABLES_NO_NODES;
	half->node_count += levels;
	for (uint32_t level = 0; level < levels; level++) {
		uint32_t *node = half->nodes[first + level];

		for (size_t i = 0; i < MOAT_LPM_NODE_SIZE; i++)
			node[i] = leaf;
		if (level + 1 < levels)
			node[key[depth / 8 + level]] = MOAT_LPM_CHILD | (first + level + 1);
	}
	for (size_t i = begin; i < begin + count; i++)
		half->nodes[first + levels - 1][i] |= patch->flag;
	store(entry, MOAT_LPM_CHILD | first);
	return 0;
}

int moat_tables_patch(struct moat_tables *half, const struct moat_ruleset *set, enum moat_list list,
		      const struct moat_prefix *prefix)
{
	struct patch patch = {
		.half = half,
		.set = set,
		.list = list,
		.flag = list == MOAT_LIST_ALLOW ? MOAT_LPM_ALLOW : MOAT_LPM_DENY,
		.adds = moat_ruleset_list_has(set, list, prefix),
		.prefix = *prefix,
	};
	const uint8_t *key = prefix->addr.bytes + bits_before(prefix) / 8;
	unsigned int depth = 0;
	uint32_t *entry;

	if (half->dirty)
		return MOAT_TABLES_REBUILD;
	patch.steps = patch.adds ? ADD_STEPS_MAX : DEL_STEPS_MAX;
	if (!patch.adds && is_covered(&patch))
		return 0;
	entry = moat_lpm_root_entry(half, true, prefix, &depth);
	while (prefix->len > depth) {
		if (!(*entry & MOAT_LPM_CHILD)) {
			/* also where a wider prefix says the same: that may go first */
			return patch.adds ? grow(&patch, entry, depth) : 0;
		}
		entry = &half->nodes[*entry & ~MOAT_LPM_CHILD][key[depth / 8]];
		depth += 8;
	}
	return paint(&patch, entry, depth);
}
