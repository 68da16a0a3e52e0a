/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "dataplane/flow_state.h"

#include <netinet/in.h>

#include "dataplane/base/cleanup.h"

/* Sequence numbers aren't followed: enough to tell a conversation from a flood, not to reassemble. */
static uint8_t tcp_state(const struct moat_flow *flow, uint8_t flags, int direction)
{
	const uint8_t *seen = flow->tcp_flags;
	uint8_t state = flow->state;

	if (state == MOAT_FLOW_CLOSED || (flags & MOAT_TCP_RST))
		return MOAT_FLOW_CLOSED;
	if (flags & MOAT_TCP_FIN)
		return seen[0] & seen[1] & MOAT_TCP_FIN ? MOAT_FLOW_CLOSED : MOAT_FLOW_CLOSING;
	if (state == MOAT_FLOW_CLOSING || state == MOAT_FLOW_ESTABLISHED)
		return state;
	if (flags & MOAT_TCP_SYN)
		return direction == 1 && (flags & MOAT_TCP_ACK) ? MOAT_FLOW_HANDSHAKE : state;
	/* an ACK: of the handshake by the client; or both ways, of a connection older than our view */
	if (state == MOAT_FLOW_HANDSHAKE)
		return direction == 0 ? MOAT_FLOW_ESTABLISHED : state;
	return seen[0] & seen[1] & MOAT_TCP_ACK ? MOAT_FLOW_ESTABLISHED : state;
}

void moat_flow_update(struct moat_flow *flow, const struct moat_headers *headers, int direction,
		      uint64_t now_ns)
{
	flow->last_ns = now_ns;
	flow->packets[direction]++;
	flow->bytes[direction] += headers->l3_len;
	if (headers->proto == IPPROTO_TCP) {
		flow->tcp_flags[direction] |= headers->tcp_flags;
		flow->state = tcp_state(flow, headers->tcp_flags, direction);
	} else if (flow->packets[0] && flow->packets[1]) {
		flow->state = MOAT_FLOW_ESTABLISHED;
	}
}

bool moat_flow_is_reopened(const struct moat_flow *flow, const struct moat_headers *headers)
{
	return flow->proto == IPPROTO_TCP &&
	       (flow->state == MOAT_FLOW_CLOSED || flow->state == MOAT_FLOW_CLOSING) &&
	       (headers->tcp_flags & (MOAT_TCP_SYN | MOAT_TCP_ACK | MOAT_TCP_RST)) == MOAT_TCP_SYN;
}

uint8_t moat_flow_kind(const struct moat_flow *flow)
{
	if (flow->state == MOAT_FLOW_ESTABLISHED && flow->proto != IPPROTO_TCP)
		return MOAT_FLOW_KIND_OTHER_ESTABLISHED;
	return flow->state;
}

struct flow_kind {
	uint16_t idle_s;
	uint8_t rank;
};

static const struct flow_kind kinds[] = {
	[MOAT_FLOW_NEW] = { 10, 1 },
	[MOAT_FLOW_HANDSHAKE] = { 30, 2 },
	[MOAT_FLOW_ESTABLISHED] = { 3600, MOAT_FLOW_RANK_KEEP },
	[MOAT_FLOW_CLOSING] = { 60, 3 },
	[MOAT_FLOW_CLOSED] = { 5, 0 },
	[MOAT_FLOW_KIND_OTHER_ESTABLISHED] = { 60, MOAT_FLOW_RANK_KEEP },
};

uint16_t moat_flow_kind_idle_s(uint8_t kind)
{
	return kinds[kind].idle_s;
}

uint8_t moat_flow_kind_rank(uint8_t kind)
{
	return kinds[kind].rank;
}
