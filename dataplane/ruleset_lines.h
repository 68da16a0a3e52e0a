/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files of rules line by line: for ruleset_load.c and ruleset_state.c. */
#ifndef MOAT_DATAPLANE_RULESET_LINES_H
#define MOAT_DATAPLANE_RULESET_LINES_H

#include <stdio.h>

#include "dataplane/base/error.h"
#include "dataplane/rule.h"
#include "dataplane/rule_names.h"

/* The longest saved rule, with room. */
#define MOAT_LINE_LEN (2 * MOAT_RULE_TEXT_LEN)

struct moat_lines {
	FILE *file;  /* owned */
	size_t line; /* number of the current one, from 1 */
	char text[MOAT_LINE_LEN];
};

/* 0; -EISDIR; -EINVAL: no regular file; or what opening failed with. The error names the path. */
int moat_lines_open(const char *path, struct moat_lines *ret_lines, struct moat_error *error);
/* For cleanup; zeroed lines are allowed. */
void moat_lines_close(struct moat_lines *lines);

/* The next line without its end. 1; 0 at the end of the file; -EINVAL: NUL bytes or too long, the line was
 * skipped and reading may go on; another errno if reading failed. */
int moat_lines_next(struct moat_lines *lines, struct moat_error *error);

/* Reads a prefix from `word` and nothing behind it. 0 or -EINVAL. */
int moat_lines_last_prefix(struct moat_words *words, const char *word,
			   struct moat_prefix *ret_prefix, struct moat_error *error);

#endif
