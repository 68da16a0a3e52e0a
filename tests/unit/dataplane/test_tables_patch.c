/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/tables_patch.c, tables_nodes.c: a patched half says what a built one does, and how many nodes a
 * build takes is known before. */
#include <arpa/inet.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "dataplane/tables.h"
#include "tests/harness/unit.h"
#include "tests/oracle/generate.h"
#include "tests/unit/dataplane/tables_memory.h"

#define NODES 16384
#define CHANGES 4000
#define PROBES 64

static const struct moat_tables_clock clock_ms = { .ticks_per_s = 1000, .judges = 1 };

/* In few networks, so that prefixes lie within each other. */
static struct moat_addr random_addr(struct moat_generator *generator)
{
	static const uint8_t v6[8] = { 0x20, 0x01, 0x0d, 0xb8 };
	struct moat_addr addr = { 0 };

	if (moat_generate_below(generator, 2)) {
		moat_addr_from_v4(&addr, htonl(0x0a000000 | moat_generate_below(generator, 4) << 22 |
					       moat_generate_below(generator, 4) << 8 |
					       moat_generate_below(generator, 256)));
		return addr;
	}
	memcpy(addr.bytes, v6, sizeof(v6));
	for (int i = 3; i < 16; i++)
		addr.bytes[i] ^= (uint8_t)(moat_generate_below(generator, 2) << 7 |
					   moat_generate_below(generator, 2));
	return addr;
}

static struct moat_prefix random_prefix(struct moat_generator *generator)
{
	struct moat_prefix prefix = { .addr = random_addr(generator) };
	bool v4 = moat_addr_is_v4(&prefix.addr);
	unsigned int bits = v4 ? 32 : 128, least = v4 ? 7 : 20;

	prefix.family = v4 ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6;
	prefix.len = (uint8_t)(moat_generate_below(generator, 3)
				       ? least + moat_generate_below(generator, bits - least + 1)
				       : bits);
	for (unsigned int bit = prefix.len + 128 - bits; bit < 128; bit++)
		prefix.addr.bytes[bit / 8] &= (uint8_t)~(0x80 >> (bit % 8));
	return prefix;
}

static uint32_t expected(const struct moat_ruleset *set, const struct moat_addr *addr)
{
	static const uint32_t flags[] = { MOAT_LPM_ALLOW, MOAT_LPM_DENY };
	uint32_t leaf = 0;

	for (int list = 0; list < 2; list++) {
		size_t count;
		const struct moat_prefix *prefixes = moat_ruleset_prefixes(set, (enum moat_list)list,
									   &count);

		for (size_t i = 0; i < count; i++) {
			if (moat_prefix_contains(&prefixes[i], addr))
				leaf |= flags[list];
		}
	}
	return leaf;
}

/* Adds a prefix, or takes out one that stands. Returns the patch's result. */
static int change(struct moat_generator *generator, struct moat_ruleset *set,
		  struct moat_tables *half)
{
	enum moat_list list = (enum moat_list)moat_generate_below(generator, 2);
	struct moat_prefix prefix = random_prefix(generator);
	size_t count;
	const struct moat_prefix *prefixes = moat_ruleset_prefixes(set, list, &count);

	if (count > 0 && moat_generate_below(generator, 100) < count) {
		prefix = prefixes[moat_generate_below(generator, count)];
		CU_ASSERT_EQUAL(moat_ruleset_list_del(set, list, &prefix), 0);
	} else if (moat_ruleset_list_add(set, list, &prefix) != 0) {
		return 0;
	}
	return moat_tables_patch(half, set, list, &prefix);
}

static void test_equal_to_build(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(NODES);
	struct moat_generator generator;
	struct moat_rule rule;
	size_t wrong = 0, patched = 0;

	moat_generator_init(&generator, moat_generator_seed(20260101));
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL(moat_rule_parse("drop src 10.0.0.0/9 dport 53", 0, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
	for (int i = 0; i < CHANGES; i++) {
		int r = change(&generator, set, &half);

		patched += r == 0;
		if (r != 0)
			CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
		for (int probe = 0; probe < PROBES; probe++) {
			struct moat_addr addr = random_addr(&generator);
			uint32_t leaf = moat_tables_lookup_src(&half, &addr);
			bool in_rule = moat_addr_is_v4(&addr) && (addr.bytes[13] & 0x80) == 0;

			wrong += (leaf & ~MOAT_LPM_CLASS) != expected(set, &addr) ||
				 (leaf & MOAT_LPM_CLASS) != in_rule;
		}
	}
	CU_ASSERT_EQUAL(wrong, 0);
	/* all but what is wide, or finds no node any more */
	CU_ASSERT(patched > CHANGES * 9 / 10);
}

/* What patches left is cleared by the next build. */
static void test_cleared(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL, *empty = NULL;
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(64);
	struct moat_prefix prefix;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&empty), 0);
	CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
	CU_ASSERT_EQUAL(moat_prefix_parse("198.51.100.7", &prefix), 0);
	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix), 0);
	CU_ASSERT_EQUAL(moat_tables_patch(&half, set, MOAT_LIST_DENY, &prefix), 0);
	CU_ASSERT_EQUAL(moat_tables_lookup_src(&half, &prefix.addr), MOAT_LPM_DENY);
	CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, empty, &clock_ms, NULL), 0);
	CU_ASSERT_EQUAL(moat_tables_lookup_src(&half, &prefix.addr), 0);
	half.dirty = true;
	CU_ASSERT_EQUAL(moat_tables_patch(&half, set, MOAT_LIST_DENY, &prefix), MOAT_TABLES_REBUILD);
}

static void test_no_nodes(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(4);
	struct moat_prefix prefix;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
	CU_ASSERT_EQUAL(moat_prefix_parse("2001:db8::/64", &prefix), 0);
	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix), 0);
	CU_ASSERT_EQUAL(moat_tables_patch(&half, set, MOAT_LIST_DENY, &prefix),
			MOAT_TABLES_NO_NODES);
	CU_ASSERT_EQUAL(half.node_count, 1);
	CU_ASSERT_EQUAL(moat_tables_lookup_src(&half, &prefix.addr), 0);
}

static void test_count_nodes(void)
{
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(NODES);
	struct moat_generator generator;

	moat_generator_init(&generator, moat_generator_seed(7));
	for (int i = 0; i < 20; i++) {
		moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
		uint32_t nodes = 0;

		CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
		moat_generate_ruleset(&generator, set, 60, 200, 0);
		CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
		CU_ASSERT_EQUAL(moat_tables_count_nodes(set, &nodes), 0);
		CU_ASSERT_EQUAL(nodes, half.node_count);
	}
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "equal to a build", test_equal_to_build },
		{ "cleared", test_cleared },
		{ "no nodes", test_no_nodes },
		{ "count nodes", test_count_nodes },
		{ NULL, NULL },
	};

	return moat_test_main("tables_patch", tests);
}
