/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What detection is told of flows: when somebody speaks after a silence, and what became of them. Kept beside
 * the table's own lines, so that whoever doesn't ask for it doesn't pay for it.
 */
#include <netinet/in.h>

#include "dataplane/base/clock.h"
#include "dataplane/flow_table.h"

/* A flow that was silent for so long speaks anew; one that never falls silent is told of so often. */
#define SILENCE_MS 1000
#define TELL_MS 60000

static uint8_t outcome_of(const struct moat_flow *flow)
{
	if (flow->proto != IPPROTO_TCP) {
		if (flow->packets[1])
			return MOAT_OUTCOME_CONVERSED;
		return MOAT_OUTCOME_UNANSWERED;
	}
	/* the first packet answers something, or isn't the first */
	if (flow->first_flags & (MOAT_TCP_ACK | MOAT_TCP_RST))
		return MOAT_OUTCOME_UNKNOWN;
	if (flow->payload[1])
		return MOAT_OUTCOME_CONVERSED;
	if (flow->packets[1] == 0)
		/* who goes on talking is answered on a way that isn't seen */
		return flow->tcp_flags[0] & MOAT_TCP_ACK ? MOAT_OUTCOME_UNKNOWN
							 : MOAT_OUTCOME_UNANSWERED;
	if (flow->tcp_flags[1] & MOAT_TCP_SYN)
		return MOAT_OUTCOME_ACCEPTED;
	return flow->tcp_flags[1] & MOAT_TCP_RST ? MOAT_OUTCOME_REJECTED : MOAT_OUTCOME_UNKNOWN;
}

void moat_flow_record_of(const struct moat_flow *flow, enum moat_record_event event, int direction,
			 struct moat_flow_record *ret_record)
{
	*ret_record = (struct moat_flow_record){
		.client = flow->client,
		.server = flow->server,
		.first_ns = flow->first_ns,
		.last_ns = flow->last_ns,
		.bytes = { flow->bytes[0], flow->bytes[1] },
		.payload = { flow->payload[0], flow->payload[1] },
		.packets = { flow->packets[0], flow->packets[1] },
		.client_port = flow->client_port,
		.server_port = flow->server_port,
		.proto = flow->proto,
		.event = (uint8_t)event,
		.outcome = outcome_of(flow),
		.direction = (uint8_t)direction,
		.is_whole = flow->proto != IPPROTO_TCP ||
			    (flow->first_flags & (MOAT_TCP_SYN | MOAT_TCP_ACK)) == MOAT_TCP_SYN,
	};
}

void moat_flow_talk(struct moat_flow_table *table, const struct moat_flow_place *place,
		    unsigned int direction, const struct moat_headers *headers, uint32_t payload,
		    uint64_t now_ns, moat_flow_tell_fn tell, void *userdata,
		    struct moat_flow_turn *ret_turn)
{
	struct moat_flow_talk
		*talk = &table->talks[(size_t)place->bucket * MOAT_FLOW_SLOTS + place->slot];
	uint32_t now_ms = (uint32_t)(now_ns / MOAT_NS_PER_MS);
	struct moat_flow flow;

	if (talk->payloads[0] + talk->payloads[1] == 0) {
		talk->told_ms = now_ms;
	} else if (now_ms - talk->spoke_ms >= SILENCE_MS || now_ms - talk->told_ms >= TELL_MS) {
		struct moat_flow_record record;

		moat_flow_describe(table, place, &flow);
		moat_flow_record_of(&flow, MOAT_RECORD_SPEAKS, (int)direction, &record);
		record.last_ns = now_ns;
		talk->told_ms = now_ms;
		tell(userdata, &record);
	}
	*ret_turn = (struct moat_flow_turn){
		.direction = (uint8_t)direction,
		.before = talk->payloads[direction],
		.client_port = direction ? headers->dport : headers->sport,
		.server_port = direction ? headers->sport : headers->dport,
	};
	talk->spoke_ms = now_ms;
	talk->payload[direction] += payload;
	if (talk->payloads[direction] < UINT8_MAX)
		talk->payloads[direction]++;
}
