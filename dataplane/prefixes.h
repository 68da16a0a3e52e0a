/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A list of up to millions of distinct prefixes: an array, and a hash index that finds duplicates. Copies
 * share their contents until one of them changes, since a rule set is copied for each change of a rule
 * while its lists stay as they are. One thread at a time for all copies.
 */
#ifndef MOAT_DATAPLANE_PREFIXES_H
#define MOAT_DATAPLANE_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/types.h"

struct moat_prefixes_body;

/* Zeroed is an empty list. */
struct moat_prefixes {
	struct moat_prefixes_body *body; /* NULL: empty */
};

void moat_prefixes_deinit(struct moat_prefixes *list);

/* Makes `ret_copy` (uninitialised or empty) equal to `list`. */
void moat_prefixes_copy(const struct moat_prefixes *list, struct moat_prefixes *ret_copy);

enum moat_prefixes_result {
	MOAT_PREFIXES_EXISTS = 1
};

/* 0, EXISTS or -ENOMEM. */
int moat_prefixes_add(struct moat_prefixes *list, const struct moat_prefix *prefix);

/* The last prefix takes the place of the deleted one. 0, -ENOENT or -ENOMEM (of unsharing). */
int moat_prefixes_del(struct moat_prefixes *list, const struct moat_prefix *prefix);

bool moat_prefixes_has(const struct moat_prefixes *list, const struct moat_prefix *prefix);

/* True if both share their contents, so that they are equal. */
bool moat_prefixes_is_shared(const struct moat_prefixes *a, const struct moat_prefixes *b);

size_t moat_prefixes_count(const struct moat_prefixes *list);

/* Valid until the next change; NULL if empty. */
const struct moat_prefix *moat_prefixes_items(const struct moat_prefixes *list);

#endif
