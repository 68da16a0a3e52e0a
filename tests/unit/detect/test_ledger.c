/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A bounded memory: finds what it took, and forgets what was not touched for longest. */
#include "detect/ledger.h"

#include <errno.h>
#include <math.h>

#include "tests/harness/unit.h"

static struct moat_ledger_key key_of(uint64_t n)
{
	struct moat_ledger_key key = { .c = n };

	key.a.quads[0] = n * 7;
	return key;
}

static void count_entry(void *userdata, const struct moat_ledger_key *key, void *entry,
			uint64_t touched_ns)
{
	CU_ASSERT_EQUAL(*(uint64_t *)entry, key->c);
	(*(int *)userdata)++;
}

static void test_remembers(void)
{
	struct moat_ledger *ledger = NULL;
	struct moat_ledger_key key;
	bool is_new;
	int entries = 0;

	CU_ASSERT_EQUAL(moat_ledger_new(0, 8, 1, &ledger), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(moat_ledger_new(1000, sizeof(uint64_t), 1, &ledger), 0);
	for (uint64_t n = 1; n <= 500; n++) {
		key = key_of(n);
		CU_ASSERT_PTR_NULL(moat_ledger_find(ledger, &key));
		*(uint64_t *)moat_ledger_take(ledger, &key, n, &is_new) = n;
		CU_ASSERT_TRUE(is_new);
	}
	key = key_of(77);
	CU_ASSERT_EQUAL(*(uint64_t *)moat_ledger_take(ledger, &key, 600, &is_new), 77);
	CU_ASSERT_FALSE(is_new);
	moat_ledger_each(ledger, count_entry, &entries);
	CU_ASSERT_EQUAL(entries, 500);
	CU_ASSERT_EQUAL(moat_ledger_count(ledger), 500);
	CU_ASSERT_EQUAL(moat_ledger_displaced(ledger), 0);
	moat_ledger_clear(ledger);
	CU_ASSERT_PTR_NULL(moat_ledger_find(ledger, &key));
	moat_ledger_free(ledger);
}

/* A flood of keys pushes out what is old, never what is in use. */
static void test_forgets(void)
{
	struct moat_ledger *ledger = NULL;
	struct moat_ledger_key key, used = key_of(UINT32_MAX);
	bool is_new;

	CU_ASSERT_EQUAL_FATAL(moat_ledger_new(64, sizeof(uint64_t), 1, &ledger), 0);
	for (uint64_t n = 1; n <= 10000; n++) {
		key = key_of(n);
		(void)moat_ledger_take(ledger, &key, 2 * n, &is_new);
		*(uint64_t *)moat_ledger_take(ledger, &used, 2 * n + 1, &is_new) = 5;
		CU_ASSERT_TRUE(n == 1 || !is_new);
	}
	CU_ASSERT_TRUE(moat_ledger_displaced(ledger) > 9000);
	CU_ASSERT_TRUE(moat_ledger_count(ledger) <= 128);
	moat_ledger_free(ledger);
}

static void test_distinct(void)
{
	struct moat_distinct distinct = { 0 };

	CU_ASSERT_EQUAL(moat_distinct_count(&distinct), 0);
	CU_ASSERT_TRUE(moat_distinct_add(&distinct, moat_mix(1)));
	CU_ASSERT_FALSE(moat_distinct_add(&distinct, moat_mix(1)));
	for (uint64_t n = 2; n <= 100; n++)
		moat_distinct_add(&distinct, moat_mix(n));
	CU_ASSERT_TRUE(fabs(moat_distinct_count(&distinct) - 100) < 20);
	for (uint64_t n = 0; n < 100000; n++)
		moat_distinct_add(&distinct, moat_mix(n));
	CU_ASSERT_TRUE(fabs(moat_distinct_count(&distinct) - 1420) < 1);
}

static const struct moat_test tests[] = {
	{ "what was taken is found", test_remembers },
	{ "what is old is forgotten", test_forgets },
	{ "distinct things are counted", test_distinct },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-ledger", tests);
}
