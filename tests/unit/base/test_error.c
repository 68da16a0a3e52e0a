/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/base/error.c: sentences and their bounds. */
#include "dataplane/base/error.h"

#include <errno.h>
#include <string.h>

#include "tests/harness/unit.h"

static void test_set(void)
{
	struct moat_error error = { "" };

	CU_ASSERT_EQUAL(moat_error_set(&error, -EINVAL, "line %d", 7), -EINVAL);
	CU_ASSERT_STRING_EQUAL(error.text, "line 7");
	CU_ASSERT_EQUAL(moat_error_set(NULL, -ENOMEM, "nobody listens"), -ENOMEM);
}

static void test_prefix(void)
{
	struct moat_error error = { "" };

	CU_ASSERT_EQUAL(moat_error_prefix(&error, -ENOENT, "rules"), -ENOENT);
	CU_ASSERT_STRING_EQUAL(error.text, "rules: No such file or directory");
	moat_error_prefix(&error, -ENOENT, "state");
	CU_ASSERT_STRING_EQUAL(error.text, "state: rules: No such file or directory");
}

static void test_bound(void)
{
	char wide[2 * MOAT_ERROR_LEN];
	struct moat_error error = { "" };

	memset(wide, 'x', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	moat_error_set(&error, -EINVAL, "%s", wide);
	CU_ASSERT_EQUAL(strlen(error.text), MOAT_ERROR_LEN - 1);
	moat_error_prefix(&error, -EINVAL, "%s", wide);
	CU_ASSERT_EQUAL(strlen(error.text), MOAT_ERROR_LEN - 1);
}

int main(void)
{
	static const struct moat_test tests[] = { { "set", test_set },
						  { "prefix", test_prefix },
						  { "bound", test_bound },
						  { NULL, NULL } };

	return moat_test_main("error", tests);
}
