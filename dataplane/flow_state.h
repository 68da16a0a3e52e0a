/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet does to its flow's state, and what that state is worth: the part of the flow table that
 * knows protocols. */
#ifndef MOAT_DATAPLANE_FLOW_STATE_H
#define MOAT_DATAPLANE_FLOW_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/flow.h"

/* A flow's kind is its enum moat_flow_state, which for an established flow that isn't TCP is: */
#define MOAT_FLOW_KIND_OTHER_ESTABLISHED 5
#define MOAT_FLOW_KIND_COUNT 6

/* Milliseconds without a packet after which a flow of a kind ends. */
extern const uint32_t moat_flow_idle_ms[MOAT_FLOW_KIND_COUNT];

/* Order of replacement in a full table, the lowest first; from MOAT_FLOW_RANK_KEEP on: never. */
#define MOAT_FLOW_RANK_KEEP 4
extern const uint8_t moat_flow_rank[MOAT_FLOW_KIND_COUNT];

/* The kind of a TCP flow after a packet with `flags` in `direction` (0: from the client). `seen`: all
 * flags from client and from server, this packet's among them. */
uint8_t moat_flow_tcp_kind(uint8_t kind, const uint8_t seen[2], uint8_t flags,
			   unsigned int direction);

static inline bool moat_flow_is_idle(uint8_t kind, uint32_t seen_ms, uint32_t now_ms)
{
	return now_ms - seen_ms > moat_flow_idle_ms[kind];
}

/* True if the packet begins another flow with the same key: the sweep hasn't come by yet, or a new
 * connection reuses the ports of one that is over (RFC 9293, 3.6.1). */
static inline bool moat_flow_is_over(uint8_t kind, uint32_t seen_ms, uint32_t now_ms,
				     const struct moat_headers *headers)
{
	if (moat_flow_is_idle(kind, seen_ms, now_ms))
		return true;
	if (kind == MOAT_FLOW_ESTABLISHED)
		return false;
	return (kind == MOAT_FLOW_CLOSED || kind == MOAT_FLOW_CLOSING) &&
	       (headers->tcp_flags & (MOAT_TCP_SYN | MOAT_TCP_ACK | MOAT_TCP_RST)) == MOAT_TCP_SYN;
}

#endif
