/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A fuzzer is one function under libFuzzer's name, so that libFuzzer and AFL++ can drive it too, and
 * driver.c, which needs neither: it feeds a corpus, every truncation of it, and then mutations of it for
 * a bounded time. What the function checks beyond "does not crash" it checks with MOAT_FUZZ_ASSERT.
 */
#ifndef MOAT_TESTS_FUZZ_H
#define MOAT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Written by each fuzzer; returns 0. `data` ends where its memory ends: a read behind it is found. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a string (up to a NUL in it) in memory of its own, which the caller frees. */
static inline char *moat_fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#define MOAT_FUZZ_ASSERT(condition)                                                               \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

#endif
