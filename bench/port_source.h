/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A thread that sends 64-byte frames of a thousand flows into an interface, as many as it can. */
#ifndef MOAT_BENCH_PORT_SOURCE_H
#define MOAT_BENCH_PORT_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/gate_drive_run.h"

struct bench_source {
	struct gate_drive drive;
	int cpu;
	/* of the thread that runs */
	pthread_t thread;
	int prog_fd;
	_Atomic bool stop;
	_Atomic uint64_t sent;
	_Atomic int error;
};

/* Loads what it sends with; an interface that nothing else uses keeps it loaded. Sends from `cpu`. 0 or a
 * negative errno with its sentence; deinit takes half-made ones. */
int bench_source_init(struct bench_source *source, const char *idle, int cpu,
		      struct moat_error *error);
void bench_source_deinit(struct bench_source *source);

/* Begins to send into `interface`; one at a time. 0 or a negative errno. */
int bench_source_start(struct bench_source *source, const char *interface);
/* Ends. 0 or what sending failed with. */
int bench_source_stop(struct bench_source *source);

#endif
