/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "dataplane/flow_state.h"

#define S 1000

const uint32_t moat_flow_idle_ms[MOAT_FLOW_KIND_COUNT] = {
	[MOAT_FLOW_NEW] = 10 * S,           [MOAT_FLOW_HANDSHAKE] = 30 * S,
	[MOAT_FLOW_ESTABLISHED] = 3600 * S, [MOAT_FLOW_CLOSING] = 60 * S,
	[MOAT_FLOW_CLOSED] = 5 * S,         [MOAT_FLOW_KIND_OTHER_ESTABLISHED] = 60 * S,
};

const uint8_t moat_flow_rank[MOAT_FLOW_KIND_COUNT] = {
	[MOAT_FLOW_CLOSED] = 0,
	[MOAT_FLOW_NEW] = 1,
	[MOAT_FLOW_HANDSHAKE] = 2,
	[MOAT_FLOW_CLOSING] = 3,
	[MOAT_FLOW_ESTABLISHED] = MOAT_FLOW_RANK_KEEP,
	[MOAT_FLOW_KIND_OTHER_ESTABLISHED] = MOAT_FLOW_RANK_KEEP,
};

/* Sequence numbers aren't followed: enough to tell a conversation from a flood, not to reassemble. */
uint8_t moat_flow_tcp_kind(uint8_t kind, const uint8_t seen[2], uint8_t flags,
			   unsigned int direction)
{
	if (kind == MOAT_FLOW_CLOSED || (flags & MOAT_TCP_RST))
		return MOAT_FLOW_CLOSED;
	if (flags & MOAT_TCP_FIN)
		return seen[0] & seen[1] & MOAT_TCP_FIN ? MOAT_FLOW_CLOSED : MOAT_FLOW_CLOSING;
	if (kind == MOAT_FLOW_CLOSING || kind == MOAT_FLOW_ESTABLISHED)
		return kind;
	if (flags & MOAT_TCP_SYN)
		return direction == 1 && (flags & MOAT_TCP_ACK) ? MOAT_FLOW_HANDSHAKE : kind;
	/* an ACK: of the handshake by the client; or both ways, of a connection older than our view */
	if (kind == MOAT_FLOW_HANDSHAKE)
		return direction == 0 ? MOAT_FLOW_ESTABLISHED : kind;
	return seen[0] & seen[1] & MOAT_TCP_ACK ? MOAT_FLOW_ESTABLISHED : kind;
}
