/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See unit.h. */
#include "tests/harness/unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_SKIP 77

int moat_test_main(const char *suite, const struct moat_test *tests)
{
	unsigned int failed;
	CU_pSuite registered;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	CU_set_error_action(CUEA_ABORT);
	registered = CU_add_suite(suite, NULL, NULL);
	for (; tests->run; tests++)
		CU_add_test(registered, tests->name, tests->run);
	CU_run_all_tests();
	failed = CU_get_number_of_failures();
	for (CU_pFailureRecord f = CU_get_failure_list(); f; f = f->pNext)
		fprintf(stderr, "%s:%u: %s: %s\n", f->strFileName ? f->strFileName : "?",
			f->uiLineNumber, f->pTest ? f->pTest->pName : suite,
			f->strCondition ? f->strCondition : "?");
	/* a list without a single assertion proves nothing */
	if (CU_get_number_of_asserts() == 0) {
		fprintf(stderr, "%s: no assertion ran\n", suite);
		failed++;
	}
	CU_cleanup_registry();
	return failed ? 1 : 0;
}

void moat_test_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("SKIP: ", stdout);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	fflush(stdout);
	_exit(EXIT_SKIP);
}

const char *moat_test_capture(const char *name)
{
	const char *shared = getenv("MOAT_SHARED");
	const char *source = getenv("MOAT_SOURCE");
	static char path[4096];

	if (shared)
		snprintf(path, sizeof(path), "%s/data/%s", shared, name);
	else
		snprintf(path, sizeof(path), "%s/../shared/data/%s", source ? source : ".", name);
	return access(path, R_OK) == 0 ? path : NULL;
}
