/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Captures through worker and detection, or flow files straight into detection, in one thread and in their
 * own time: same result on every run and machine. */
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
	/* mode MIRROR, or GATEWAY: only what a gate would see, counters and samples */
	struct moat_detect_config detect;
	uint32_t sample_pass;
	uint32_t cells; /* of a table; 0: 65,536. Fewer are faster where there are few hosts */
	/* Each state of a finding, as it comes. */
	moat_finding_fn on_finding;
	/* Each record of a flow, with its row's label; NULL: nobody. */
	void (*on_record)(void *userdata, const struct moat_flow_record *record, const char *label);
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
