/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The detection thread: closes a window every 1/8 s with the cells of the gate's CPUs or of the workers,
 * feeds samples, and hands findings to the main loop through a ring. It never waits for the main loop.
 */
#ifndef MOAT_CTL_DETECTION_H
#define MOAT_CTL_DETECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/flows/export.h"
#include "ctl/flows/intake.h"
#include "dataplane/gate.h"
#include "dataplane/policy.h"
#include "dataplane/worker.h"
#include "detect/engine.h"

struct moat_detection_options {
	struct moat_detect_config detect;   /* its mode says where cells come from */
	struct moat_gate *gate;             /* outlives the thread */
	struct moat_policy *policy;         /* of the workers; NULL without */
	struct moat_worker *const *workers; /* outlive the thread */
	size_t worker_count;
	struct moat_export *exporter; /* of the workers' flows; NULL without; outlives the thread */
	struct moat_flow_intake *intake; /* of exporters; NULL without; outlives the thread */
};

struct moat_detection_counters {
	struct moat_detect_counters engine;
	uint64_t findings_lost; /* the main loop didn't take them */
	uint64_t late_windows; /* closed together with the one before, because the thread came late */
	uint64_t tick_max_ns; /* longest time a window took to judge */
	uint64_t tick_last_ns;
	uint64_t known_sources;
};

struct moat_detection;

/* Starts the thread. 0 or a negative errno. */
int moat_detection_new(const struct moat_detection_options *options,
		       struct moat_detection **ret_detection, struct moat_error *error);
/* Stops it. NULL is allowed. */
void moat_detection_free(struct moat_detection *detection);

/* Readable while findings wait; moat_detection_pop clears it. */
int moat_detection_fd(const struct moat_detection *detection);
/* The next finding; false if there is none. Main loop only. */
bool moat_detection_pop(struct moat_detection *detection, struct moat_finding *ret_finding);

/* Thresholds and lists from the next window on. Waits for the window at hand. */
void moat_detection_configure(struct moat_detection *detection,
			      const struct moat_detect_config *config);
/* As moat_detect_save, _restore and _forget. */
int moat_detection_save(struct moat_detection *detection, void **ret_bytes, size_t *ret_size);
int moat_detection_restore(struct moat_detection *detection, const void *bytes, size_t size);
void moat_detection_forget(struct moat_detection *detection);

void moat_detection_counters(struct moat_detection *detection,
			     struct moat_detection_counters *ret_counters);

#endif
