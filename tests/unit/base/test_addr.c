/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/base/addr.c: text forms, containment, overlap. */
#include <errno.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

static struct moat_prefix prefix_of(const char *text)
{
	struct moat_prefix prefix;

	memset(&prefix, 0xee, sizeof(prefix));
	CU_ASSERT_EQUAL(moat_prefix_parse(text, &prefix), 0);
	return prefix;
}

static struct moat_addr addr_of(const char *text)
{
	struct moat_addr addr;

	memset(&addr, 0xee, sizeof(addr));
	CU_ASSERT_EQUAL(moat_addr_parse(text, &addr), 0);
	return addr;
}

static void test_round_trip(void)
{
	static const char *const texts[] = { "192.0.2.1",     "0.0.0.0/0",     "10.0.0.0/8",
					     "2001:db8::/32", "2001:db8::1",   "::/0",
					     "any",           "198.18.0.0/15", "192.0.2.2/31",
					     "2001:db8::/127" };
	char text[MOAT_PREFIX_TEXT_LEN];

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(texts); i++) {
		struct moat_prefix prefix = prefix_of(texts[i]);

		CU_ASSERT_STRING_EQUAL(moat_prefix_format(&prefix, text), texts[i]);
	}
}

static void test_refused(void)
{
	static const char *const wrong[] = {
		"",         "1.2.3",        "1.2.3.4/33",  "1.2.3.4/",       "1.2.3.4/-1",
		"::/129",   "/8",           "1.2.3.4/8x",  "::ffff:1.2.3.4", "any/0",
		"1.2.3.4 ", "fe80::1%eth0", "1.2.3.4/0032"
	};
	struct moat_prefix prefix, before;

	memset(&prefix, 0xee, sizeof(prefix));
	before = prefix;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(wrong); i++)
		CU_ASSERT_EQUAL(moat_prefix_parse(wrong[i], &prefix), -EINVAL);
	CU_ASSERT_EQUAL(moat_prefix_parse("10.0.0.1/8", &prefix), -EDOM);
	CU_ASSERT_EQUAL(moat_prefix_parse("2001:db8::1/64", &prefix), -EDOM);
	CU_ASSERT_EQUAL(memcmp(&prefix, &before, sizeof(prefix)), 0);
}

static void test_contains(void)
{
	static const struct {
		const char *prefix, *addr;
		bool expected;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "192.0.2.1", false },
		{ "::/0", "2001:db8::1", true },
		{ "any", "192.0.2.1", true },
		{ "any", "::1", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "2001:db8::/33", "2001:db8:7fff::", true },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		struct moat_prefix prefix = prefix_of(cases[i].prefix);
		struct moat_addr addr = addr_of(cases[i].addr);

		CU_ASSERT_EQUAL(moat_prefix_contains(&prefix, &addr), cases[i].expected);
	}
}

static void test_overlaps(void)
{
	struct moat_prefix wide = prefix_of("10.0.0.0/8"), narrow = prefix_of("10.1.0.0/16");
	struct moat_prefix other = prefix_of("11.0.0.0/16"), six = prefix_of("::/0"),
			   any = prefix_of("any");

	CU_ASSERT_TRUE(moat_prefix_overlaps(&wide, &narrow));
	CU_ASSERT_TRUE(moat_prefix_overlaps(&narrow, &wide));
	CU_ASSERT_FALSE(moat_prefix_overlaps(&narrow, &other));
	CU_ASSERT_FALSE(moat_prefix_overlaps(&wide, &six));
	CU_ASSERT_TRUE(moat_prefix_equal(&wide, &wide));
	CU_ASSERT_FALSE(moat_prefix_equal(&wide, &narrow));
	CU_ASSERT_FALSE(moat_prefix_equal(&any, &six));
	CU_ASSERT_TRUE(moat_prefix_overlaps(&any, &six));
}

static void test_host(void)
{
	struct moat_addr v4 = addr_of("192.0.2.1"), v6 = addr_of("2001:db8::1");

	CU_ASSERT_EQUAL(moat_prefix_host(&v4).len, 32);
	CU_ASSERT_EQUAL(moat_prefix_host(&v6).len, 128);
	CU_ASSERT_EQUAL(moat_addr_is_v4(&v4), 1);
	CU_ASSERT_EQUAL(moat_addr_is_v4(&v6), 0);
	CU_ASSERT_NOT_EQUAL(moat_addr_hash(&v4, 1), moat_addr_hash(&v4, 2));
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "round trip", test_round_trip },
		{ "refused", test_refused },
		{ "contains", test_contains },
		{ "overlaps", test_overlaps },
		{ "host", test_host },
		{ NULL, NULL },
	};

	return moat_test_main("addr", tests);
}
