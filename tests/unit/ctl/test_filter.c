/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Expressions over events: what matches, what doesn't, what can't be read, what fails on an event. */
#include <errno.h>
#include <string.h>

#include "ctl/filter.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

static const char text[] =
	"{\"event_type\":\"host\",\"ocsf\":{\"class_uid\":1007,\"process\":{\"cmd_line\":\"curl http://x\","
	"\"user\":{\"uid\":\"0\"},\"container\":{\"uid\":\"abc\"}}}}";

static void test_match(void)
{
	static const struct {
		const char *program;
		bool matches;
	} cases[] = {
		{ ".ocsf.process.user.uid == \"0\"", true },
		{ ".ocsf.process.user.uid == \"1\"", false },
		{ ".ocsf.class_uid == 1007 and (.ocsf.process.cmd_line | test(\"^curl\"))", true },
		{ ".ocsf.process.container", true },
		{ ".ocsf.process.nothing", false },
		{ "empty", false },
		{ "false, null, 0", true },
		{ "repeat(false)", false },
	};
	json_t *event = json_loads(text, 0, NULL);

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		struct moat_error error = { .text = "" };
		struct moat_filter *filter = NULL;

		CU_ASSERT_EQUAL_FATAL(moat_filter_new(cases[i].program, &filter, &error), 0);
		for (int again = 0; again < 2; again++)
			CU_ASSERT_EQUAL(moat_filter_match(filter, event), cases[i].matches);
		moat_filter_free(filter);
	}
	json_decref(event);
}

static void test_wrong(void)
{
	static const char *const programs[] = { ".a ==", "unknown(.a)", "$nothing", "}" };

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(programs); i++) {
		struct moat_error error = { .text = "" };
		struct moat_filter *filter = NULL;

		CU_ASSERT_EQUAL(moat_filter_new(programs[i], &filter, &error), -EINVAL);
		CU_ASSERT_PTR_NULL(filter);
		CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "line 1"));
	}
}

/* No match, and said. */
static void test_failure(void)
{
	struct moat_error error = { .text = "" };
	struct moat_filter *filter = NULL;
	json_t *event = json_loads(text, 0, NULL);
	const char *why;

	CU_ASSERT_EQUAL_FATAL(moat_filter_new(".ocsf.none | test(\"x\")", &filter, &error), 0);
	CU_ASSERT_EQUAL(moat_filter_failures(filter, &why), 0);
	CU_ASSERT_PTR_NULL(why);
	CU_ASSERT_FALSE(moat_filter_match(filter, event));
	CU_ASSERT_EQUAL(moat_filter_failures(filter, &why), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(why);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "null"));
	moat_filter_free(filter);
	moat_filter_free(NULL);
	json_decref(event);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "match", test_match },
		{ "wrong", test_wrong },
		{ "failure", test_failure },
		{ NULL, NULL },
	};

	return moat_test_main("filter", tests);
}
