/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of the host's processes: who started whom, what each runs, and where it belongs. Fed with
 * records in order of time. Processes that have ended stay for a while, since what they did may still be
 * told; the table is bounded, and what has ended longest goes first.
 */
#ifndef MOAT_CTL_SIDECAR_PROCESS_H
#define MOAT_CTL_SIDECAR_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/event.h"

struct moat_process_record {
	struct moat_task task; /* by the latest record; task.parent is that of the fork */
	struct moat_file file; /* of what it runs; inode 0: unknown */
	uint64_t ended_ns;     /* CLOCK_MONOTONIC; 0: it lives */
	char *path;            /* as given to execve(2), or the link's target; NULL: unknown */
	char *args;            /* joined by blanks, for people; NULL: unknown */
	uint32_t tty; /* controlling terminal at the exec, a dev_t of the kernel's; 0: none, or unknown */
	bool args_cut, path_cut;
	bool existed; /* before the probes: path and arguments come from /proc */
};

struct moat_processes;

struct moat_processes_counters {
	uint64_t living, ended; /* in the table now */
	uint64_t forgotten;     /* living ones that the bound pushed out */
	uint64_t unknown;       /* ends and execs of processes that weren't in the table */
	uint64_t repeated;      /* a second end of one process, left out */
};

/* `most`: processes held, 1,024 to 2^22. 0, -EINVAL or -ENOMEM. */
int moat_processes_new(size_t most, struct moat_processes **ret_table);
void moat_processes_free(struct moat_processes *table);

enum moat_processes_result {
	MOAT_PROCESSES_REPEATED = 1, /* the end of a process that has ended: nothing new */
};

/* Takes in a record. 0, REPEATED, or -ENOMEM: then the process is unknown. */
int moat_processes_update(struct moat_processes *table, const struct moat_event *event);

/* The process, or NULL. `execs` doesn't matter. Valid until the next update. */
const struct moat_process_record *moat_processes_find(const struct moat_processes *table,
						      const struct moat_process *process);

/* Calls for each process that lives, oldest first; the table must not change meanwhile. */
typedef void (*moat_processes_fn)(void *userdata, const struct moat_process_record *record);
void moat_processes_each(const struct moat_processes *table, moat_processes_fn handler,
			 void *userdata);

/* Puts in a process as another table describes it; texts are copied. Replaces what is known of it. 0 or
 * -ENOMEM. */
int moat_processes_put(struct moat_processes *table, const struct moat_process_record *record);

void moat_processes_counters(const struct moat_processes *table,
			     struct moat_processes_counters *ret_counters);

/* The arguments of an exec record as one line: joined by blanks, control characters and what isn't UTF-8
 * as \xNN. NULL without memory; the caller frees it. */
char *moat_process_args_text(const char *args, size_t length);

#endif
