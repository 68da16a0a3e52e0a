/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the engine keeps of each host beside its windows: its usual rates, runs of abnormal windows, its
 * open findings, and whether it holds conversations. Indexed by the host's place in the host table.
 */
#ifndef MOAT_DETECT_TRACK_H
#define MOAT_DETECT_TRACK_H

#include "detect/detector.h"

struct moat_track {
	struct moat_usual usual;
	uint64_t suspect_ns; /* end of the last suspicious window, 0: never */
	uint64_t run_first_ns[MOAT_FINDING_WINDOW_KINDS]; /* begin of the current run of abnormal windows */
	uint32_t run_tick[MOAT_FINDING_WINDOW_KINDS]; /* tick of its last window */
	uint8_t run[MOAT_FINDING_WINDOW_KINDS];       /* its length, saturating */
	uint16_t finding[MOAT_FINDING_WINDOW_KINDS];  /* place of the open finding + 1, 0: none */
	uint32_t open;                                /* bits of enum moat_finding_kind */
	uint8_t conversed;                            /* seconds with a conversation, saturating */
};

/* Takes a normal second into the usual rates. Free growth of peaks in the first minute, then bounded. */
void moat_usual_take(struct moat_usual *usual, const struct moat_host_window *second);

/* Notes an abnormal window of a kind; returns the length of the run of windows that it ends. */
uint32_t moat_track_run(struct moat_track *track, enum moat_finding_kind kind, uint32_t tick,
			uint64_t start_ns);

/* True if the host's part of this second was (one side of) a conversation: TCP with at least as many
 * ACKs as SYNs, or datagrams. Notes it; true from the third such second on. */
bool moat_track_converse(struct moat_track *track, const struct moat_host_window *second);

#endif
