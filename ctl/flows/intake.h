/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All that exporters tell, made into what detection takes: records of flows, and window counters in cells of
 * its own. The listeners' threads fill rings; everything else happens in the thread of the caller.
 */
#ifndef MOAT_CTL_FLOWS_INTAKE_H
#define MOAT_CTL_FLOWS_INTAKE_H

#include "ctl/flows/listen.h"
#include "ctl/flows/pair.h"
#include "dataplane/cells.h"

struct moat_flow_intake_options {
	struct moat_flow_listen_options listeners[MOAT_FLOW_LISTENERS_MAX];
	size_t listener_count;
};

struct moat_flow_intake_counters {
	struct moat_flow_listen_counters listeners[MOAT_FLOW_LISTENERS_MAX];
	size_t listener_count;
	struct moat_pair_counters pairs;
	uint64_t lumps; /* flows counted in one window, since too many were being counted */
};

struct moat_flow_intake;

/* Opens all listeners, or none. `handler` gets flows from within moat_flow_intake_take. 0 or a negative errno
 * with the reason. */
int moat_flow_intake_new(const struct moat_flow_intake_options *options, uint64_t hash_seed,
			 struct moat_flow_intake **ret_intake, struct moat_error *error);
/* NULL is allowed. */
void moat_flow_intake_free(struct moat_flow_intake *intake);

/* Takes what the listeners have heard, in the worker clock's `window`. */
void moat_flow_intake_take(struct moat_flow_intake *intake, uint32_t window, moat_pair_fn handler,
			   void *userdata);

/* Where windows are counted; valid as long as the intake. Before the window is read, take() was called in it. */
const struct moat_cells *moat_flow_intake_cells(const struct moat_flow_intake *intake);

/* Any thread; the pairs' are as of the last take. */
void moat_flow_intake_counters(const struct moat_flow_intake *intake,
			       struct moat_flow_intake_counters *ret_counters);

#endif
