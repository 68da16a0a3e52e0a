/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many trie nodes a rule set takes, without building: a node stands for the bits that lead to it, so they
 * are counted as distinct hashes of these. Two of the same hash, of 64 bits, would make it one too few.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/tables_build.h"

#define LEAST_PLACES 1024

/* Open addressing, at most half full; 0 is free. */
struct seen {
	uint64_t *places;
	size_t size;
	size_t count;
};

static int seen_resize(struct seen *seen, size_t size)
{
	uint64_t *places = calloc(size, sizeof(*places));

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < seen->size; i++) {
		size_t at = seen->places[i] & (size - 1);

		if (!seen->places[i])
			continue;
		while (places[at])
			at = (at + 1) & (size - 1);
		places[at] = seen->places[i];
	}
	free(seen->places);
	seen->places = places;
	seen->size = size;
	return 0;
}

static int seen_add(struct seen *seen, uint64_t hash)
{
	size_t at;

	hash += hash == 0;
	if (2 * (seen->count + 1) > seen->size) {
		int r = seen_resize(seen, seen->size ? 2 * seen->size : LEAST_PLACES);

		if (r < 0)
			return r;
	}
	at = hash & (seen->size - 1);
	while (seen->places[at] && seen->places[at] != hash)
		at = (at + 1) & (seen->size - 1);
	seen->count += seen->places[at] == 0;
	seen->places[at] = hash;
	return 0;
}

/* The nodes that lead to a prefix: one for each eight bits that it has more than its root. */
static int count_path(struct seen *seen, const struct moat_prefix *prefix, bool source)
{
	bool v4 = prefix->family == MOAT_FAMILY_V4;
	unsigned int depth = v4 && source ? MOAT_LPM_SRC4_BITS : MOAT_LPM_ROOT_BITS;
	struct moat_addr path = { 0 };
	unsigned int before = v4 ? 12 : 0;
	int r = 0;

	memcpy(path.bytes, prefix->addr.bytes, before + depth / 8);
	for (; r == 0 && prefix->len > depth; depth += 8) {
		r = seen_add(seen,
			     moat_addr_hash(&path, (depth << 1 | source) * 0x9e3779b97f4a7c15ULL));
		if (before + depth / 8 < sizeof(path.bytes))
			path.bytes[before + depth / 8] = prefix->addr.bytes[before + depth / 8];
	}
	return r;
}

int moat_tables_count_nodes(const struct moat_ruleset *set, uint32_t *ret_count)
{
	struct seen seen = { 0 };
	size_t count;
	int r = 0;

	for (int list = MOAT_LIST_ALLOW; list <= MOAT_LIST_DENY; list++) {
		const struct moat_prefix *prefixes = moat_ruleset_prefixes(set, (enum moat_list)list,
									   &count);

		for (size_t i = 0; r == 0 && i < count; i++)
			r = count_path(&seen, &prefixes[i], true);
	}
	for (size_t i = 0; r == 0; i++) {
		const struct moat_rule *rules = moat_ruleset_rules(set, &count);

		if (i == count)
			break;
		if (rules[i].match.src.family != MOAT_FAMILY_ANY)
			r = count_path(&seen, &rules[i].match.src, true);
		if (r == 0 && rules[i].match.dst.family != MOAT_FAMILY_ANY)
			r = count_path(&seen, &rules[i].match.dst, false);
	}
	free(seen.places);
	if (r < 0)
		return r;
	*ret_count = (uint32_t)seen.count + 1;
	return 0;
}
