/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which events somebody wants to see, as a program of jq's language (jq(1)) over the event's JSON:
 * `.ocsf.process.user.uid == "0"`. It runs where it was typed, never in a daemon.
 */
#ifndef MOAT_CTL_FILTER_H
#define MOAT_CTL_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "dataplane/base/error.h"

struct moat_filter;

/* Compiles the program. -EINVAL with jq's own words and the place; -ENOMEM. */
int moat_filter_new(const char *program, struct moat_filter **ret_filter, struct moat_error *error);
void moat_filter_free(struct moat_filter *filter);

/* True if one of the first 1,000 values that the program makes of the event is neither false nor null. A
 * program that fails on the event doesn't match it, and that is counted. */
bool moat_filter_match(struct moat_filter *filter, const json_t *event);

/* Events that the program failed on, and in *ret_text why the last one (the filter's; NULL: none). */
uint64_t moat_filter_failures(const struct moat_filter *filter, const char **ret_text);

#endif
