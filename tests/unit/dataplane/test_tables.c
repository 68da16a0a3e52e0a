/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/tables*.c: longest prefixes at their edges, classes, clearing, limits of the builder. */
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "dataplane/tables.h"
#include "tests/harness/unit.h"
#include "tests/unit/dataplane/tables_memory.h"

static const struct moat_tables_clock clock_ms = {
	.now_ns = 5 * MOAT_NS_PER_S,
	.now_ticks = 5000,
	.ticks_per_s = 1000,
	.judges = 2,
};

static void list(struct moat_ruleset *set, enum moat_list which, const char *text)
{
	struct moat_prefix prefix;

	CU_ASSERT_EQUAL(moat_prefix_parse(text, &prefix), 0);
	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, which, &prefix), 0);
}

static uint32_t add(struct moat_ruleset *set, const char *text)
{
	struct moat_rule rule = moat_rule_default();
	uint32_t id = 0;

	CU_ASSERT_EQUAL(moat_rule_parse(text, clock_ms.now_ns, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, &id), 0);
	return id;
}

static uint32_t src_leaf(const struct moat_tables *half, const char *text)
{
	struct moat_addr addr = { 0 };

	CU_ASSERT_EQUAL(moat_addr_parse(text, &addr), 0);
	return moat_tables_lookup_src(half, &addr);
}

static uint32_t dst_leaf(const struct moat_tables *half, const char *text)
{
	struct moat_addr addr = { 0 };

	CU_ASSERT_EQUAL(moat_addr_parse(text, &addr), 0);
	return moat_tables_lookup_dst(half, &addr);
}

static void test_lists(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(64);
	static const struct {
		const char *addr;
		uint32_t leaf;
	} cases[] = {
		{ "9.255.255.255", 0 },
		{ "10.0.0.0", MOAT_LPM_DENY },
		{ "10.1.2.2", MOAT_LPM_DENY },
		{ "10.1.2.3", MOAT_LPM_DENY | MOAT_LPM_ALLOW },
		{ "10.1.2.4", MOAT_LPM_DENY },
		{ "10.255.255.255", MOAT_LPM_DENY },
		{ "11.0.0.0", 0 },
		{ "192.0.2.127", 0 },
		{ "192.0.2.128", MOAT_LPM_ALLOW },
		{ "192.0.2.255", MOAT_LPM_ALLOW },
		{ "192.0.3.0", 0 },
		{ "2001:db7:ffff::", 0 },
		{ "2001:db8::", MOAT_LPM_DENY },
		{ "2001:db8:0:1::", MOAT_LPM_DENY | MOAT_LPM_ALLOW },
		{ "2001:db8:0:1:ffff:ffff:ffff:ffff", MOAT_LPM_DENY | MOAT_LPM_ALLOW },
		{ "2001:db8:0:2::", MOAT_LPM_DENY },
		{ "2001:db9::", 0 },
		{ "fe80::1", MOAT_LPM_ALLOW },
		{ "fe80::2", 0 },
	};

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	list(set, MOAT_LIST_ALLOW, "10.1.2.3");
	list(set, MOAT_LIST_DENY, "10.0.0.0/8");
	list(set, MOAT_LIST_ALLOW, "192.0.2.128/25");
	list(set, MOAT_LIST_ALLOW, "2001:db8:0:1::/64");
	list(set, MOAT_LIST_DENY, "2001:db8::/32");
	list(set, MOAT_LIST_ALLOW, "fe80::1");
	CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++)
		CU_ASSERT_EQUAL(src_leaf(&half, cases[i].addr), cases[i].leaf);
	CU_ASSERT_EQUAL(dst_leaf(&half, "10.1.2.3"), 0);
	CU_ASSERT_EQUAL(half.rules->rule_count, 0);
}

static void test_classes(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(64);
	const struct moat_rule_tables *rules = half.rules;
	uint32_t class;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	add(set, "drop src 10.0.0.0/8 dport 53");               /* bit 0 */
	add(set, "drop src 10.1.0.0/16 dport 50-60 proto udp"); /* bit 1 */
	add(set, "count");                                      /* bit 2 */
	add(set, "drop dst 10.1.0.0/17 len 100-");              /* bit 3 */
	CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
	CU_ASSERT_EQUAL(rules->rule_count, 4);

	class = src_leaf(&half, "10.1.2.3") & MOAT_LPM_CLASS;
	CU_ASSERT_EQUAL(rules->src[class].words[0], 0xf);
	CU_ASSERT_EQUAL(rules->src[class].summary, 1);
	class = src_leaf(&half, "10.2.2.3") & MOAT_LPM_CLASS;
	CU_ASSERT_EQUAL(rules->src[class].words[0], 0xd);
	CU_ASSERT_EQUAL(src_leaf(&half, "11.2.2.3"), 0);
	CU_ASSERT_EQUAL(rules->src[0].words[0], 0xc);
	class = dst_leaf(&half, "10.1.127.255");
	CU_ASSERT_EQUAL(rules->dst[class].words[0], 0xf);
	CU_ASSERT_EQUAL(dst_leaf(&half, "10.1.128.0"), 0);

	CU_ASSERT_EQUAL(rules->dport[0].words[0], 0xc);
	CU_ASSERT_EQUAL(rules->dport[rules->dport_class[49]].words[0], 0xc);
	CU_ASSERT_EQUAL(rules->dport[rules->dport_class[50]].words[0], 0xe);
	CU_ASSERT_EQUAL(rules->dport[rules->dport_class[53]].words[0], 0xf);
	CU_ASSERT_EQUAL(rules->dport[rules->dport_class[60]].words[0], 0xe);
	CU_ASSERT_EQUAL(rules->dport[rules->dport_class[61]].words[0], 0xc);
	CU_ASSERT_EQUAL(rules->len[rules->len_class[99]].words[0], 0x7);
	CU_ASSERT_EQUAL(rules->len[rules->len_class[100]].words[0], 0xf);
	CU_ASSERT_EQUAL(rules->len[rules->len_class[65535]].words[0], 0xf);
	CU_ASSERT_EQUAL(rules->proto[6].words[0], 0xd);
	CU_ASSERT_EQUAL(rules->proto[17].words[0], 0xf);
}

static bool is_zero(const uint32_t *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (entries[i])
			return false;
	}
	return true;
}

/* What one build left is gone after the next, in a known half and in an adopted one. */
static void test_clear(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL, *empty = NULL;
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(4096);

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&empty), 0);
	list(set, MOAT_LIST_DENY, "0.0.0.0/0");
	list(set, MOAT_LIST_DENY, "255.255.255.255");
	list(set, MOAT_LIST_DENY, "::/0");
	list(set, MOAT_LIST_DENY, "ffff:ffff::/33");
	add(set, "drop dst 0.0.0.0/1");
	add(set, "drop dst 8000::/1");
	for (int adopted = 0; adopted < 2; adopted++) {
		CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
		CU_ASSERT_EQUAL(src_leaf(&half, "255.255.255.255"), MOAT_LPM_DENY);
		CU_ASSERT(half.node_count > 1);
		if (adopted) {
			memset(half.touched, 0, sizeof(half.touched));
			half.dirty = true;
		}
		CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, empty, &clock_ms, NULL), 0);
		CU_ASSERT_TRUE(is_zero(half.src4_root, 1U << MOAT_LPM_SRC4_BITS));
		CU_ASSERT_TRUE(is_zero(half.dst4_root, 1U << MOAT_LPM_ROOT_BITS));
		CU_ASSERT_TRUE(is_zero(half.src6_root, 1U << MOAT_LPM_ROOT_BITS));
		CU_ASSERT_TRUE(is_zero(half.dst6_root, 1U << MOAT_LPM_ROOT_BITS));
		CU_ASSERT_EQUAL(half.rules->rule_count, 0);
		CU_ASSERT_EQUAL(half.node_count, 1);
	}
	CU_ASSERT_EQUAL(half.rules->generation, 4);
}

static void test_no_nodes(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL, *small = NULL;
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(3);
	struct moat_error error = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&small), 0);
	list(set, MOAT_LIST_DENY, "192.0.2.1");
	list(set, MOAT_LIST_DENY, "192.0.3.1");
	CU_ASSERT_EQUAL(moat_tables_build(&half, set, &clock_ms, &error), 0);
	list(set, MOAT_LIST_DENY, "192.0.4.1");
	CU_ASSERT_EQUAL(moat_tables_build(&half, set, &clock_ms, &error), MOAT_TABLES_NO_NODES);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "2 trie nodes"));
	list(small, MOAT_LIST_DENY, "192.0.2.9");
	CU_ASSERT_EQUAL(moat_tables_build(&half, small, &clock_ms, &error), 0);
	CU_ASSERT_EQUAL(src_leaf(&half, "192.0.2.9"), MOAT_LPM_DENY);
	CU_ASSERT_EQUAL(src_leaf(&half, "192.0.2.1"), 0);
	CU_ASSERT_EQUAL(src_leaf(&half, "192.0.4.1"), 0);
}

static void test_entries(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	moat_cleanup(moat_test_tables_unmap) struct moat_tables half = moat_test_tables(64);
	struct moat_tables_clock later = clock_ms;
	const struct moat_rule_entry *entries = half.rules->entries;
	uint32_t id;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	id = add(set, "limit 100000/s proto udp priority 1 for 2s");
	add(set, "limit 1/s proto tcp priority 2");
	add(set, "limit 100/s proto sctp priority 3");
	add(set, "limit 4294967295/s proto gre priority 4");
	CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &clock_ms, NULL), 0);
	CU_ASSERT_EQUAL(entries[0].id, id);
	CU_ASSERT_EQUAL(entries[0].expires, 7000);
	CU_ASSERT_EQUAL(entries[0].packets.burst, 6250);
	CU_ASSERT_EQUAL(entries[0].packets.lot, 6);
	CU_ASSERT_EQUAL(entries[0].bytes.cost, 0);
	CU_ASSERT_EQUAL(entries[1].packets.burst, 1);
	CU_ASSERT_EQUAL(entries[1].packets.lot, 0);
	CU_ASSERT_EQUAL(entries[1].expires, 0);
	CU_ASSERT_EQUAL(entries[2].packets.burst, 6);
	CU_ASSERT_EQUAL(entries[3].packets.burst, 268435455);
	/* the rule that expired is left out and positions move up */
	later.now_ns += 2 * MOAT_NS_PER_S;
	CU_ASSERT_EQUAL_FATAL(moat_tables_build(&half, set, &later, NULL), 0);
	CU_ASSERT_EQUAL(half.rules->rule_count, 3);
	CU_ASSERT_EQUAL(entries[0].packets.burst, 1);
	CU_ASSERT_EQUAL(entries[0].slot, 1);
}

static void test_window_shift(void)
{
	CU_ASSERT_EQUAL(moat_tables_window_shift(1000), 7);
	CU_ASSERT_EQUAL(moat_tables_window_shift(250), 5);
	CU_ASSERT_EQUAL(moat_tables_window_shift(300), 5);
	CU_ASSERT_EQUAL(moat_tables_window_shift(100), 3);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "lists", test_lists },
		{ "classes", test_classes },
		{ "clear", test_clear },
		{ "no nodes", test_no_nodes },
		{ "entries", test_entries },
		{ "window shift", test_window_shift },
		{ NULL, NULL },
	};

	return moat_test_main("tables", tests);
}
