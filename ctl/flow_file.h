/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A whole flow file in memory, in the order in which a sensor would have told of its flows. */
#ifndef MOAT_CTL_FLOW_FILE_H
#define MOAT_CTL_FLOW_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/flow_reader.h"
#include "dataplane/base/error.h"

/* Records kept of all files together; what is beyond is counted. */
#define MOAT_FLOW_FILE_RECORDS_MAX (1u << 22)

struct moat_flow_entry {
	struct moat_flow_record record;
	char label[MOAT_FLOW_LABEL_LEN];
};

struct moat_flow_file {
	struct moat_flow_entry *entries; /* by record.last_ns */
	size_t count, room;
	uint64_t lines, malformed, refused;
};

/* True if the file begins like a flow file; false also where it can't be read. */
bool moat_flow_file_is(const char *path);

/* Appends a file's records; the file is zeroed before the first. 0; -EINVAL if no line of it is a flow;
 * what reading it failed with; -ENOMEM. */
int moat_flow_file_load(struct moat_flow_file *file, const char *path, struct moat_error *error);

/* To be called after the last load. */
void moat_flow_file_sort(struct moat_flow_file *file);

void moat_flow_file_deinit(struct moat_flow_file *file);

#endif
