/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tries of one half: leaf-pushed, so that a lookup reads one entry a level and no shorter prefix has
 * to be remembered. Prefixes go in by rising length; then whatever a prefix covers is still all leaves,
 * and painting them is a loop over an array.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/tables_build.h"

struct trie {
	uint32_t *root;
	unsigned int root_bits;
	size_t first_chunk; /* of the root, in moat_tables.touched */
};

#define ROOTS 4
#define SRC4_CHUNKS ((1u << MOAT_LPM_SRC4_BITS) / MOAT_TABLES_CHUNK)
#define ROOT_CHUNKS ((1u << MOAT_LPM_ROOT_BITS) / MOAT_TABLES_CHUNK)

/* The order of moat_tables.touched. */
static void tries_of(const struct moat_tables *half, struct trie ret_tries[ROOTS])
{
	ret_tries[0] = (struct trie){ half->src4_root, MOAT_LPM_SRC4_BITS, 0 };
	ret_tries[1] = (struct trie){ half->dst4_root, MOAT_LPM_ROOT_BITS, SRC4_CHUNKS };
	ret_tries[2] = (struct trie){ half->src6_root, MOAT_LPM_ROOT_BITS,
				      SRC4_CHUNKS + ROOT_CHUNKS };
	ret_tries[3] = (struct trie){ half->dst6_root, MOAT_LPM_ROOT_BITS,
				      SRC4_CHUNKS + 2 * ROOT_CHUNKS };
}

static void clear_trie(const struct moat_tables *half, const struct trie *trie)
{
	size_t chunks = ((size_t)1 << trie->root_bits) / MOAT_TABLES_CHUNK;

	for (size_t i = 0; i < chunks; i++) {
		size_t chunk = trie->first_chunk + i;

		if (half->dirty || (half->touched[chunk / 64] >> (chunk % 64) & 1))
			memset(trie->root + i * MOAT_TABLES_CHUNK, 0,
			       MOAT_TABLES_CHUNK * sizeof(*trie->root));
	}
}

void moat_lpm_clear(struct moat_tables *half)
{
	struct trie tries[ROOTS];

	tries_of(half, tries);
	for (size_t i = 0; i < ROOTS; i++)
		clear_trie(half, &tries[i]);
	memset(half->touched, 0, sizeof(half->touched));
	half->node_count = 1;
	half->dirty = false;
}

static void touch(struct moat_tables *half, const struct trie *trie, size_t first, size_t count)
{
	size_t chunk = trie->first_chunk + first / MOAT_TABLES_CHUNK;
	size_t last = trie->first_chunk + (first + count - 1) / MOAT_TABLES_CHUNK;

	for (; chunk <= last; chunk++)
		half->touched[chunk / 64] |= 1ULL << (chunk % 64);
}

uint32_t *moat_lpm_root_entry(struct moat_tables *half, bool source,
			      const struct moat_prefix *prefix, unsigned int *ret_depth)
{
	bool v4 = prefix->family == MOAT_FAMILY_V4;
	const uint8_t *key = prefix->addr.bytes + (v4 ? 12 : 0);
	struct trie tries[ROOTS], *trie = &tries[(v4 ? 0 : 2) + (source ? 0 : 1)];
	size_t index = 0;

	tries_of(half, tries);
	for (unsigned int i = 0; i < trie->root_bits / 8; i++)
		index = index << 8 | key[i];
	touch(half, trie, index,
	      prefix->len < trie->root_bits ? (size_t)1 << (trie->root_bits - prefix->len) : 1);
	*ret_depth = trie->root_bits;
	return &trie->root[index];
}

/* Flags add up; a class or a profile replaces that of a shorter prefix. */
static uint32_t leaf_with(uint32_t leaf, uint32_t value)
{
	if (value & MOAT_LPM_CLASS)
		leaf &= ~MOAT_LPM_CLASS;
	if (value & MOAT_LPM_PROFILE)
		leaf &= ~MOAT_LPM_PROFILE;
	return leaf | value;
}

static void paint(uint32_t *leaves, size_t count, uint32_t value)
{
	for (size_t i = 0; i < count; i++)
		leaves[i] = leaf_with(leaves[i], value);
}

/* The node below an entry; a leaf becomes a node of equal leaves. NULL if there are no more. */
static uint32_t *node_below(struct moat_tables *half, uint32_t *entry)
{
	uint32_t *node;

	if (*entry & MOAT_LPM_CHILD)
		return half->nodes[*entry & ~MOAT_LPM_CHILD];
	if (half->node_count >= half->node_capacity)
		return NULL;
	node = half->nodes[half->node_count];
	for (size_t i = 0; i < MOAT_LPM_NODE_SIZE; i++)
		node[i] = *entry;
	*entry = MOAT_LPM_CHILD | half->node_count++;
	return node;
}

static int insert(struct moat_tables *half, const struct trie *trie,
		  const struct moat_lpm_item *item)
{
	const struct moat_prefix *prefix = item->prefix;
	const uint8_t *key = prefix->addr.bytes + (prefix->family == MOAT_FAMILY_V4 ? 12 : 0);
	unsigned int depth = trie->root_bits;
	size_t index = 0;
	uint32_t *entry;

	for (unsigned int i = 0; i < depth / 8; i++)
		index = index << 8 | key[i];
	if (prefix->len <= depth) {
		size_t count = (size_t)1 << (depth - prefix->len);

		touch(half, trie, index, count);
		paint(trie->root + index, count, item->value);
		return 0;
	}
	touch(half, trie, index, 1);
	for (entry = &trie->root[index];; depth += 8) {
		uint32_t *node = node_below(half, entry);

		if (!node)
			return MOAT_TABLES_NO_NODES;
		entry = &node[key[depth / 8]];
		if (prefix->len <= depth + 8) {
			paint(entry, (size_t)1 << (depth + 8 - prefix->len), item->value);
			return 0;
		}
	}
}

/* By length, a counting sort: lists have millions of prefixes, and 129 lengths. */
static struct moat_lpm_item *sorted(const struct moat_lpm_item *items, size_t count)
{
	struct moat_lpm_item *by_length = malloc((count + 1) * sizeof(*by_length));
	size_t begins[130] = { 0 };

	if (!by_length)
		return NULL;
	for (size_t i = 0; i < count; i++)
		begins[items[i].prefix->len + 1]++;
	for (size_t length = 1; length < MOAT_ARRAY_SIZE(begins); length++)
		begins[length] += begins[length - 1];
	for (size_t i = 0; i < count; i++)
		by_length[begins[items[i].prefix->len]++] = items[i];
	return by_length;
}

int moat_lpm_fill(struct moat_tables *half, bool source, const struct moat_lpm_item *items,
		  size_t count)
{
	moat_auto_free struct moat_lpm_item *by_length = sorted(items, count);
	struct trie tries[ROOTS];

	if (!by_length)
		return -ENOMEM;
	tries_of(half, tries);
	for (size_t i = 0; i < count; i++) {
		bool v4 = by_length[i].prefix->family == MOAT_FAMILY_V4;
		int r = insert(half, &tries[(v4 ? 0 : 2) + (source ? 0 : 1)], &by_length[i]);

		if (r != 0)
			return r;
	}
	return 0;
}
