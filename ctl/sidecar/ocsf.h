/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Host events as OCSF objects (schema.ocsf.io), version MOAT_OCSF_VERSION: a class a family, each written by a
 * file of its own (ocsf_process.c and so on). metadata.event_code is the event's own name, "file.open".
 * A process' uid names one program run by one process: BOOT-TGID-START-EXECS, so that it is unique over
 * reboots and reused pids.
 */
#ifndef MOAT_CTL_SIDECAR_OCSF_H
#define MOAT_CTL_SIDECAR_OCSF_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "ctl/sidecar/container.h"
#include "ctl/sidecar/process.h"

#define MOAT_OCSF_VERSION "1.3.0"
#define MOAT_OCSF_UID_LEN 96

struct moat_ocsf_context {
	char boot_id[37];
	char hostname[65];
	uint64_t realtime_offset_ns; /* add to CLOCK_MONOTONIC for the time since the epoch */
	uint64_t boottime_offset_ns; /* add to CLOCK_BOOTTIME for it */
};

/* Reads boot id, host name and clocks. 0 or a negative errno. */
int moat_ocsf_context_init(struct moat_ocsf_context *ret_context);

/* Writes the uid of a process and returns ret_text. */
const char *moat_ocsf_uid(const struct moat_ocsf_context *context,
			  const struct moat_process *process, char ret_text[MOAT_OCSF_UID_LEN]);

/* What an event is told with. */
struct moat_ocsf_event {
	const struct moat_event *event;
	const struct moat_process_record *process; /* who acts, as it is after the event; NULL: unknown */
	const struct moat_process_record *parent; /* its; NULL: unknown */
	const struct moat_process_record *target; /* of an act on a process; NULL: unknown */
	const struct moat_container *container;   /* NULL: unknown */
	bool late;                                /* told after younger ones */
};

/* Looks the processes of a record up. Until the table changes. */
void moat_ocsf_find(const struct moat_processes *processes, struct moat_ocsf_event *told);

/* The object. NULL without memory, and for records that tell of nothing new by themselves (EXISTING, FORK, and
 * an EXEC or EXIT of a process that isn't known). */
json_t *moat_ocsf_event(const struct moat_ocsf_context *context, const struct moat_ocsf_event *told);

#endif
