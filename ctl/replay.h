/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Captures through worker and detection in one thread, in the captures' own time: same result on every
 * run and machine. */
#ifndef MOAT_CTL_REPLAY_H
#define MOAT_CTL_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/worker.h"
#include "detect/engine.h"

struct moat_replay_options {
	const char *const *paths;
	size_t path_count;
	bool realtime;
	struct moat_detect_config detect; /* its mode is set to mirror */
	uint32_t sample_pass;
	/* Each state of a finding, as it comes. */
	moat_finding_fn on_finding;
	/* Now and then: share of the input that is read, 0 to 1. */
	void (*on_progress)(void *userdata, double progress, uint64_t packets);
	void *userdata;
};

struct moat_replay_report {
	struct moat_worker_counters counters;
	struct moat_detect_counters detect;
	uint64_t first_ns, last_ns; /* of the captures; the first to a window */
};

/* Reads all files to their end. 0; or what opening or reading them failed with, before which nothing was
 * reported. */
int moat_replay_run(const struct moat_replay_options *options,
		    struct moat_replay_report *ret_report, struct moat_error *error);

#endif
