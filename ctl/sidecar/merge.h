/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Puts the records of all rings into one order of time. A record waits until the watermark has passed it:
 * the newest time seen, less a delay that covers the difference between rings. What comes after that is
 * handed on with the next look and marked late. Of one moment a fork comes before an exec, and an exit last.
 * Of one CPU the sequence numbers tell what was lost on the way.
 */
#ifndef MOAT_CTL_SIDECAR_MERGE_H
#define MOAT_CTL_SIDECAR_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/event.h"

#define MOAT_MERGE_WATERMARK_NS 50000000ULL

struct moat_merge;

struct moat_merge_options {
	uint32_t cpus;         /* as of moat_probes_cpus */
	uint64_t watermark_ns; /* 0: MOAT_MERGE_WATERMARK_NS */
	/* what may wait, records and bytes; 0: 262,144 and 64 MiB. Beyond it the oldest go early, counted. */
	size_t waiting_max, bytes_max;
};

struct moat_merge_counters {
	uint64_t received;
	uint64_t handed;  /* received = handed + waiting */
	uint64_t late;    /* behind the watermark when they came */
	uint64_t early;   /* before the watermark had passed them, since too many waited */
	uint64_t missing; /* sequence numbers that never came */
};

/* One record in order; valid during the call. */
typedef void (*moat_merge_fn)(void *userdata, const struct moat_event *event, bool late);

/* 0 or -ENOMEM. */
int moat_merge_new(const struct moat_merge_options *options, moat_merge_fn handler, void *userdata,
		   struct moat_merge **ret_merge);
void moat_merge_free(struct moat_merge *merge);

/* Takes a copy of a sound record of at most 64 KiB. 0 or -ENOMEM: then it was handed on at once, out of order if others
 * wait. */
int moat_merge_add(struct moat_merge *merge, const struct moat_event *event);

/* Hands on what the watermark at `now_ns` (CLOCK_MONOTONIC) has passed; UINT64_MAX: everything. */
void moat_merge_advance(struct moat_merge *merge, uint64_t now_ns);

void moat_merge_counters(const struct moat_merge *merge, struct moat_merge_counters *ret_counters);
size_t moat_merge_waiting(const struct moat_merge *merge);

#endif
