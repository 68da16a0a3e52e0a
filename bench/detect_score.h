/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One capture through detection, and what its findings are worth by its label. */
#ifndef MOAT_BENCH_DETECT_SCORE_H
#define MOAT_BENCH_DETECT_SCORE_H

#include "bench/detect_set.h"
#include "dataplane/base/error.h"

struct bench_score {
	bool found;         /* a finding of the capture's class */
	uint32_t kinds;     /* bits of all findings' kinds */
	double detect_s;    /* from the first packet to that finding */
	uint64_t windows;   /* of 10 s, with traffic */
	uint64_t covered;   /* of them: while a finding was open (attack: of the class) */
	uint64_t flows;     /* that ended */
	uint64_t flows_hit; /* of them: of a host that a finding names */
	uint64_t false_findings;
	double host_days; /* hosts and the days that each was seen on */
	double hours;     /* of traffic, silences of 10 minutes and more left out */
	/* a public host's log: sources that are hostile by what they did, and how many were named */
	uint64_t scanners, scanners_found, guessers, guessers_found;
};

/* Replays in a mode (enum moat_detect_mode). 0, -ENOTSUP if the mode has no use for such a file, or what
 * reading it failed with. */
int bench_score_capture(const struct bench_capture *capture, uint32_t mode,
			struct bench_score *ret_score, struct moat_error *error);

#endif
