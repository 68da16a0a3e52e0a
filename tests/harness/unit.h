/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The main of a unit test: runs a list of CUnit tests, prints failures only, exits with 0, 1, or 77
 * (skipped, which prints its reason) as meson reads them.
 */
#ifndef MOAT_TESTS_UNIT_H
#define MOAT_TESTS_UNIT_H

#include <stdbool.h>
#include <stddef.h>

#include <CUnit/CUnit.h>

struct moat_test {
	const char *name;
	void (*run)(void);
};

/* Runs the tests in order, up to the one whose run is null. Returns what main returns. */
int moat_test_main(const char *suite, const struct moat_test *tests);

/* Ends the program with status 77 after printing "SKIP: reason". Before anything was set up. */
__attribute__((noreturn, format(printf, 1, 2))) void moat_test_skip(const char *format, ...);

/* The path of a labelled capture ("scan/x.pcap") below $MOAT_SHARED/data or ../shared/data next to the
 * sources; NULL if that folder isn't here (a caller then skips). Static buffer. */
const char *moat_test_capture(const char *name);

#endif
