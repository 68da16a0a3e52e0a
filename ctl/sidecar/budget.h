/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the cgroups' budgets held back (bpf/lib/budget.h), read now and then and told as events; entries of
 * cgroups that have been silent for a minute are given up to others.
 */
#ifndef MOAT_CTL_SIDECAR_BUDGET_H
#define MOAT_CTL_SIDECAR_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#include "moat/event.h"

#define MOAT_BUDGET_CGROUPS_DEFAULT 4096
#define MOAT_BUDGET_PROCESS_DEFAULT 50000
#define MOAT_BUDGET_OTHER_DEFAULT 100000

struct moat_budgets;

struct moat_budgets_counters {
	uint64_t cgroups;    /* with an entry at the last look */
	uint64_t suppressed; /* told as events */
	uint64_t untold;     /* memory was short: told with a later look */
};

/* An event to be told; valid during the call only. */
typedef void (*moat_budgets_fn)(void *userdata, const struct moat_event *event);

/* `map_fd`: "event_budgets", not owned. Makes the entry that cgroups without one share. 0 or a negative
 * errno. */
int moat_budgets_new(int map_fd, moat_budgets_fn handler, void *userdata,
		     struct moat_budgets **ret_budgets);
void moat_budgets_free(struct moat_budgets *budgets);

/* Looks through all entries; `now_ns` of CLOCK_MONOTONIC. Call once a second. */
void moat_budgets_poll(struct moat_budgets *budgets, uint64_t now_ns);

void moat_budgets_counters(const struct moat_budgets *budgets,
			   struct moat_budgets_counters *ret_counters);

#endif
