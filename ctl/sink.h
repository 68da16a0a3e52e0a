/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The event file: lines handed over through a bounded ring to a thread that writes them. The caller never
 * waits for a disk; a full ring drops the line and counts it. accepted = written + failed + waiting.
 */
#ifndef MOAT_CTL_SINK_H
#define MOAT_CTL_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/error.h"

struct moat_sink;

struct moat_sink_counters {
	uint64_t written; /* lines */
	uint64_t bytes;
	uint64_t lost;   /* ring full */
	uint64_t failed; /* the file refused (disk full, ...) */
};

/* Opens `path` for appending (mode 0640, its directory is made with 0750) and starts the writer; `queue`
 * lines may wait (64 to 2^20). 0 or a negative errno with the reason. */
int moat_sink_new(const char *path, uint32_t queue, struct moat_sink **ret_sink,
		  struct moat_error *error);

/* Writes what waits, closes. NULL is allowed. */
void moat_sink_free(struct moat_sink *sink);

/* Takes a copy of one line (without its newline). One thread at a time. False: lost, counted. */
bool moat_sink_write(struct moat_sink *sink, const char *line);

/* Lets the writer open the path anew before its next line: for logrotate. If that fails the old file
 * stays in use. */
void moat_sink_reopen(struct moat_sink *sink);

const char *moat_sink_path(const struct moat_sink *sink);
void moat_sink_counters(const struct moat_sink *sink, struct moat_sink_counters *ret_counters);

#endif
