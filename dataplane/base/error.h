/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sentence that goes with a negative errno, written where the cause is known and printed once, by a
 * program. Libraries pass it up unchanged.
 */
#ifndef MOAT_BASE_ERROR_H
#define MOAT_BASE_ERROR_H

#define MOAT_ERROR_LEN 512

/* One sentence without full stop or newline: what failed, where (file:line:column if there is one), and
 * what to do next if that is known. Empty until set. */
struct moat_error {
	char text[MOAT_ERROR_LEN];
};

/* Writes the sentence and returns `code` (a negative errno), so that a caller can
 * `return moat_error_set(error, -EINVAL, "…")`. `error` may be NULL: then only the code is left. Text
 * beyond MOAT_ERROR_LEN - 1 bytes is cut. */
__attribute__((format(printf, 3, 4))) int moat_error_set(struct moat_error *error, int code,
							 const char *format, ...);

/* Puts "<text>: " before what the error says; `code` is returned. Keeps an empty error meaningful by
 * adding strerror(-code). */
__attribute__((format(printf, 3, 4))) int moat_error_prefix(struct moat_error *error, int code,
							    const char *format, ...);

#endif
