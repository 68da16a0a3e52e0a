/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exported flows as window counters: what a record says passed during its life is counted over as long a
 * time, so that a minute told of at once is no flood of an eighth of a second. Rates are right that way,
 * late by the time that the exporter keeps its flows to itself.
 */
#ifndef MOAT_CTL_FLOWS_POUR_H
#define MOAT_CTL_FLOWS_POUR_H

#include <stddef.h>

#include "ctl/flows/half.h"
#include "dataplane/cells.h"

/* Flows being counted; more are counted at once, which is counted. */
#define MOAT_POUR_FLOWS 65536
/* A longer life counts as one of this length. */
#define MOAT_POUR_WINDOWS_MAX 512
#define MOAT_POUR_WINDOWS_MIN 8

struct moat_pour;

/* 0 or -ENOMEM. `cells` is borrowed. */
int moat_pour_new(struct moat_cells *cells, struct moat_pour **ret_pour);
void moat_pour_free(struct moat_pour *pour);

void moat_pour_add(struct moat_pour *pour, const struct moat_flow_half *half, uint32_t window);

/* Counts what is due in `window`, once a window. */
void moat_pour_window(struct moat_pour *pour, uint32_t window);

size_t moat_pour_waiting(const struct moat_pour *pour);
uint64_t moat_pour_lumps(const struct moat_pour *pour); /* counted at once */

#endif
