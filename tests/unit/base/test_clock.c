/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/base/clock.c: time stamps and durations. */
#include "dataplane/base/clock.h"

#include <errno.h>

#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

static void test_format(void)
{
	char text[MOAT_TIME_TEXT_LEN];

	moat_clock_format(1767225600ULL * MOAT_NS_PER_S + 123456, text);
	CU_ASSERT_STRING_EQUAL(text, "2026-01-01T00:00:00.000123+0000");
}

static void test_duration(void)
{
	static const struct {
		const char *text;
		int result;
		uint64_t ns;
	} cases[] = {
		{ "90s", 0, 90 * MOAT_NS_PER_S },
		{ "1.5h", 0, 5400 * MOAT_NS_PER_S },
		{ "10", 0, 10 * MOAT_NS_PER_S },
		{ "250ms", 0, 250 * MOAT_NS_PER_MS },
		{ "2d", 0, 172800 * MOAT_NS_PER_S },
		{ "0", 0, 0 },
		{ "", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ " 1s", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "1w", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 },
		{ "40000d", -ERANGE, 0 },
		{ "1ss", -EINVAL, 0 },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		uint64_t ns = 42;

		CU_ASSERT_EQUAL(moat_clock_parse_duration(cases[i].text, &ns), cases[i].result);
		CU_ASSERT_EQUAL(ns, cases[i].result == 0 ? cases[i].ns : 42);
	}
}

int main(void)
{
	static const struct moat_test tests[] = { { "format", test_format },
						  { "duration", test_duration },
						  { NULL, NULL } };

	return moat_test_main("clock", tests);
}
