/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two directions of a flow, which exporters tell of apart, put together: who asked, and what became of
 * it. A half waits for the other one; when its time is over it stands alone. Where only one packet in so
 * many was looked at, nobody can say what became of a flow, and nothing is said.
 */
#ifndef MOAT_CTL_FLOWS_PAIR_H
#define MOAT_CTL_FLOWS_PAIR_H

#include <stddef.h>

#include "ctl/flows/half.h"
#include "dataplane/base/record.h"

/* Exporters close both directions of a conversation within a second or two of each other. */
#define MOAT_PAIR_HOLD_NS 5000000000ULL
#define MOAT_PAIR_FLOWS 65536

struct moat_pair_counters {
	uint64_t halves; /* taken */
	uint64_t whole;  /* flows given out with both directions ... */
	uint64_t alone;  /* ... and with one */
	uint64_t early;  /* of both: before their time, since others needed the room */
};

struct moat_pair;

typedef void (*moat_pair_fn)(void *userdata, const struct moat_flow_record *record);

/* 0 or -ENOMEM. Room for MOAT_PAIR_FLOWS, 9 MiB. */
int moat_pair_new(moat_pair_fn handler, void *userdata, struct moat_pair **ret_pair);
void moat_pair_free(struct moat_pair *pair);

void moat_pair_add(struct moat_pair *pair, const struct moat_flow_half *half);

/* Gives out what has waited long enough; UINT64_MAX: everything. */
void moat_pair_advance(struct moat_pair *pair, uint64_t now_ns);

size_t moat_pair_waiting(const struct moat_pair *pair);
void moat_pair_counters(const struct moat_pair *pair, struct moat_pair_counters *ret_counters);

#endif
