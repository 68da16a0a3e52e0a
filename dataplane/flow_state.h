/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet does to its flow's state, and what that state is worth: the part of dataplane/flow.c
 * that knows protocols and no table. */
#ifndef MOAT_DATAPLANE_FLOW_STATE_H
#define MOAT_DATAPLANE_FLOW_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/flow.h"

/* Adds a packet; direction 0 is from the client. */
void moat_flow_update(struct moat_flow *flow, const struct moat_headers *headers, int direction,
		      uint64_t now_ns);

/* True if the packet opens a new connection on the addresses of one that is over (RFC 9293, 3.6.1). */
bool moat_flow_is_reopened(const struct moat_flow *flow, const struct moat_headers *headers);

/* State and, of an established flow, whether it is TCP, in one byte: an enum moat_flow_state, or: */
#define MOAT_FLOW_KIND_OTHER_ESTABLISHED 5
uint8_t moat_flow_kind(const struct moat_flow *flow);

/* Seconds without a packet after which such a flow ends. */
uint16_t moat_flow_kind_idle_s(uint8_t kind);

/* Order of replacement in a full table, the lowest first; from MOAT_FLOW_RANK_KEEP on: never. */
#define MOAT_FLOW_RANK_KEEP 4
uint8_t moat_flow_kind_rank(uint8_t kind);

#endif
