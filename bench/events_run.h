/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One run of bench events: producers, the sidecar as moat-sidecar has it (or a bare reader), and the far end
 * of its link. */
#ifndef MOAT_BENCH_EVENTS_RUN_H
#define MOAT_BENCH_EVENTS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct events_run {
	unsigned int producers; /* 0 to EVENTS_PRODUCERS */
	unsigned int pause_us;  /* between two events of a producer; 0: none */
	double seconds;         /* measured, after a fifth of it to warm up */
	uint32_t ring_bytes;    /* 0: the default */
	bool waits;             /* times are taken at the far end of the link */
};

struct events_result {
	double rate;         /* events a second, handed on and put into the link (bare: read) */
	double record_bytes; /* of an event as it stands in the link (bare: in the ring) */
	double cpu;          /* of the reader's thread, cores */
	uint64_t tried, lost;
	int64_t unaccounted;   /* tried - received - lost */
	double p50_ms, p99_ms; /* from the record's time to the far end; 0 unless `waits` */
};

/* 0 or a negative errno, said on stderr. */
int events_run_sidecar(const struct events_run *run, struct events_result *ret_result);

/* The same rings, wake-ups and polls, and a reader that looks at nothing. `record_bytes`: of a record that
 * nothing is filled into, up to EVENTS_BARE_MAX; 0: the records of the sidecar's run. */
int events_run_bare(const struct events_run *run, uint32_t record_bytes,
		    struct events_result *ret_result);

#endif
