/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/ruleset.c and prefixes.c: ids, slots, positions, duplicates, limits, copies. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"
#include "dataplane/ruleset.h"
#include "tests/harness/unit.h"

static struct moat_rule rule_of(const char *text)
{
	struct moat_rule rule = moat_rule_default();

	CU_ASSERT_EQUAL(moat_rule_parse(text, 1, &rule, NULL), 0);
	return rule;
}

static int add(struct moat_ruleset *set, const char *text, uint32_t *ret_id)
{
	struct moat_rule rule = rule_of(text);

	return moat_ruleset_add(set, &rule, ret_id);
}

static struct moat_ruleset *new_set(void)
{
	struct moat_ruleset *set = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	return set;
}

static void test_order(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	const struct moat_rule *rules;
	uint32_t a, b, c;
	size_t count;

	CU_ASSERT_EQUAL(add(set, "drop dst 192.0.2.1", &a), 0);
	CU_ASSERT_EQUAL(add(set, "drop dst 192.0.2.2 priority 5", &b), 0);
	CU_ASSERT_EQUAL(add(set, "drop dst 192.0.2.3", &c), 0);
	rules = moat_ruleset_rules(set, &count);
	CU_ASSERT_EQUAL_FATAL(count, 3);
	CU_ASSERT_EQUAL(rules[0].id, b);
	CU_ASSERT_EQUAL(rules[1].id, a);
	CU_ASSERT_EQUAL(rules[2].id, c);
	CU_ASSERT_PTR_EQUAL(moat_ruleset_find(set, c), &rules[2]);
	CU_ASSERT_PTR_NULL(moat_ruleset_find(set, 99));
	CU_ASSERT_EQUAL(moat_ruleset_del(set, a), 0);
	CU_ASSERT_EQUAL(moat_ruleset_del(set, a), -ENOENT);
	rules = moat_ruleset_rules(set, &count);
	CU_ASSERT_EQUAL_FATAL(count, 2);
	CU_ASSERT_EQUAL(rules[1].id, c);
	CU_ASSERT_EQUAL(rules[1].slot, 2);
}

static void test_exists(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	uint32_t id = 0, same = 0, count_id = 0;
	struct moat_rule rule = rule_of("drop proto gre");

	CU_ASSERT_EQUAL(add(set, "drop proto udp dport 53 for 1m", &id), 0);
	CU_ASSERT_EQUAL(add(set, "limit 5/s dport 53 proto udp", &same), MOAT_RULESET_EXISTS);
	CU_ASSERT_EQUAL(same, id);
	/* a count rule must not stand in the way of one that decides */
	CU_ASSERT_EQUAL(add(set, "count proto udp dport 53", &count_id), 0);
	CU_ASSERT_EQUAL(add(set, "count proto udp dport 53", &same), MOAT_RULESET_EXISTS);
	CU_ASSERT_EQUAL(same, count_id);
	CU_ASSERT_EQUAL(add(set, "drop proto udp dport 53-54", NULL), 0);

	rule.id = 77;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, &same), 0);
	CU_ASSERT_EQUAL(same, 77);
	rule = rule_of("drop proto esp");
	rule.id = 77;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, &same), 0);
	CU_ASSERT_EQUAL(same, 78);
}

static void test_invalid(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	struct moat_rule rule = moat_rule_default();
	size_t count;

	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL); /* drops everything */
	rule = rule_of("drop src 10.0.0.0/8");
	rule.match.src.len = 33;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	rule.match.src.len = 6;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL); /* 10 has bits behind /6 */
	rule = rule_of("drop dport 5-6");
	rule.match.dport_min = 7;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	rule = rule_of("limit 5/s");
	rule.rate_pps = 0;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	/* what a saved set couldn't be read back with */
	rule = rule_of("drop proto gre");
	rule.flags = MOAT_RULE_PREFER_KNOWN;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	rule = rule_of("limit 5/s src 10.0.0.0/8");
	rule.flags = 0x80;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	rule = rule_of("drop src 10.0.0.0/8");
	rule.match.src.family = MOAT_FAMILY_V6;
	rule.match.src.len += 96;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	rule = rule_of("drop proto gre");
	rule.match.dport_max = 5;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	rule = rule_of("drop proto gre");
	snprintf(rule.comment, sizeof(rule.comment), "two\nlines");
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	memset(rule.comment, 'x', sizeof(rule.comment));
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), -EINVAL);
	moat_ruleset_rules(set, &count);
	CU_ASSERT_EQUAL(count, 0);
}

static void test_full_and_slots(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	bool used[MOAT_RULES_MAX] = { false };
	const struct moat_rule *rules;
	char text[64];
	uint32_t id;
	size_t count;

	for (int i = 0; i < MOAT_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "drop proto tcp dport %d", i);
		CU_ASSERT_EQUAL(add(set, text, NULL), 0);
	}
	CU_ASSERT_EQUAL(add(set, "drop proto gre", NULL), MOAT_RULESET_FULL);
	rules = moat_ruleset_rules(set, &count);
	for (size_t i = 0; i < count; i++) {
		CU_ASSERT_FALSE(used[rules[i].slot]);
		used[rules[i].slot] = true;
	}
	/* of two freed slots the one freed first is used first */
	CU_ASSERT_EQUAL(moat_ruleset_del(set, 501), 0);
	CU_ASSERT_EQUAL(moat_ruleset_del(set, 101), 0);
	CU_ASSERT_EQUAL(add(set, "drop proto gre", &id), 0);
	CU_ASSERT_EQUAL(moat_ruleset_find(set, id)->slot, 500);
	CU_ASSERT_EQUAL(add(set, "drop proto esp", &id), 0);
	CU_ASSERT_EQUAL(moat_ruleset_find(set, id)->slot, 100);
}

static void test_expire(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	uint32_t a, b;
	size_t count;

	CU_ASSERT_EQUAL(add(set, "drop proto gre for 10s", &a), 0);
	CU_ASSERT_EQUAL(add(set, "drop proto esp for 20s", &b), 0);
	CU_ASSERT_EQUAL(add(set, "drop proto ah", NULL), 0);
	CU_ASSERT_EQUAL(moat_ruleset_expire(set, 10000000000), 0);
	CU_ASSERT_EQUAL(moat_ruleset_expire(set, 10000000001), 1);
	CU_ASSERT_EQUAL(moat_ruleset_renew(set, a, 5), -ENOENT);
	CU_ASSERT_EQUAL(moat_ruleset_renew(set, b, 50000000000), 0);
	CU_ASSERT_EQUAL(moat_ruleset_expire(set, 49999999999), 0);
	CU_ASSERT_EQUAL(moat_ruleset_renew(set, b, 0), 0);
	CU_ASSERT_EQUAL(moat_ruleset_expire(set, UINT64_MAX), 0);
	moat_ruleset_rules(set, &count);
	CU_ASSERT_EQUAL(count, 2);
}

/* The i-th of many different prefixes. */
static struct moat_prefix prefix_number(uint32_t i)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4, .len = 32 };

	if (i % 3 == 0) {
		prefix.family = MOAT_FAMILY_V6;
		prefix.len = 128;
		prefix.addr.words[0] = htobe32(0x20010db8);
		prefix.addr.words[3] = htobe32(i);
	} else {
		moat_addr_from_v4(&prefix.addr, htobe32(i * 7));
	}
	return prefix;
}

static bool has(const struct moat_ruleset *set, enum moat_list list, uint32_t number)
{
	struct moat_prefix prefix = prefix_number(number);
	size_t count;
	const struct moat_prefix *items = moat_ruleset_prefixes(set, list, &count);

	for (size_t i = 0; i < count; i++) {
		if (memcmp(&items[i], &prefix, sizeof(prefix)) == 0)
			return true;
	}
	return false;
}

/* Random adding and deleting against a plain array of flags. */
static void test_prefixes(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	bool member[500] = { false };
	uint64_t random = 1;
	size_t count, expected = 0;

	for (int step = 0; step < 20000; step++) {
		uint32_t i;
		struct moat_prefix prefix;
		int r;

		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		i = (uint32_t)(random >> 40) % 500;
		prefix = prefix_number(i);
		if (random >> 63) {
			r = moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix);
			CU_ASSERT_EQUAL(r, member[i] ? MOAT_RULESET_EXISTS : 0);
			member[i] = true;
		} else {
			r = moat_ruleset_list_del(set, MOAT_LIST_DENY, &prefix);
			CU_ASSERT_EQUAL(r, member[i] ? 0 : -ENOENT);
			member[i] = false;
		}
	}
	for (uint32_t i = 0; i < 500; i++) {
		CU_ASSERT_EQUAL(has(set, MOAT_LIST_DENY, i), member[i]);
		expected += member[i];
	}
	moat_ruleset_prefixes(set, MOAT_LIST_DENY, &count);
	CU_ASSERT_EQUAL(count, expected);
	moat_ruleset_prefixes(set, MOAT_LIST_ALLOW, &count);
	CU_ASSERT_EQUAL(count, 0);
}

static void test_prefix_refused(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	struct moat_prefix prefix = { 0 };

	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix), -EINVAL);
	prefix = prefix_number(1);
	prefix.len = 33;
	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix), -EINVAL);
	prefix.len = 24;
	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix), -EINVAL);
	prefix = prefix_number(3);
	prefix.len = 129;
	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix), -EINVAL);
}

/* A copy and its origin change apart, in either order of dying. */
static void test_copy(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *copy = NULL;
	struct moat_ruleset *set = new_set();
	struct moat_prefix one = prefix_number(1), two = prefix_number(2);

	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, MOAT_LIST_ALLOW, &one), 0);
	CU_ASSERT_EQUAL(add(set, "drop proto gre", NULL), 0);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_copy(set, &copy), 0);
	CU_ASSERT_EQUAL(moat_ruleset_list_add(copy, MOAT_LIST_ALLOW, &two), 0);
	CU_ASSERT_EQUAL(moat_ruleset_list_del(copy, MOAT_LIST_ALLOW, &one), 0);
	CU_ASSERT_EQUAL(moat_ruleset_del(copy, 1), 0);
	CU_ASSERT_TRUE(has(set, MOAT_LIST_ALLOW, 1));
	CU_ASSERT_FALSE(has(set, MOAT_LIST_ALLOW, 2));
	CU_ASSERT_PTR_NOT_NULL(moat_ruleset_find(set, 1));
	moat_ruleset_free(set);
	CU_ASSERT_TRUE(has(copy, MOAT_LIST_ALLOW, 2));
	CU_ASSERT_FALSE(has(copy, MOAT_LIST_ALLOW, 1));
	moat_ruleset_free(NULL);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "order", test_order },
		{ "exists", test_exists },
		{ "invalid", test_invalid },
		{ "full and slots", test_full_and_slots },
		{ "expire", test_expire },
		{ "prefixes", test_prefixes },
		{ "prefix refused", test_prefix_refused },
		{ "copy", test_copy },
		{ NULL, NULL },
	};

	return moat_test_main("ruleset", tests);
}
