/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where in a YAML text a value stands: a second reading beside libcyaml's, which keeps no positions. */
#ifndef MOAT_CTL_CONFIG_MARKS_H
#define MOAT_CTL_CONFIG_MARKS_H

#include <stddef.h>

#include "dataplane/base/error.h"

struct moat_marks;

/* From 1, as editors count. */
struct moat_mark {
	size_t line;
	size_t column;
};

/* Reads one document. 0; -EINVAL: no YAML, the error names place and cause ("PATH:LINE:COLUMN: …");
 * -ENOMEM. An empty text is an empty document. */
int moat_marks_new(const char *path, const char *text, size_t length, struct moat_marks **ret_marks,
		   struct moat_error *error);
void moat_marks_free(struct moat_marks *marks);
void moat_marks_free_cleanup(struct moat_marks **marks);

/* The place of the value at `where`: keys and indices from 0, joined by dots ("ports.1.name"). What isn't
 * there gets the place of its nearest ancestor that is. */
struct moat_mark moat_marks_value(const struct moat_marks *marks, const char *where);
/* Of the key itself, the last word of `where`. */
struct moat_mark moat_marks_key(const struct moat_marks *marks, const char *where);

#endif
