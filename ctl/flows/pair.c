/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A table of sets: a flow has WAYS places, and the one that waits longest makes room. */
#include "ctl/flows/pair.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "moat/packet.h"

#define WAYS 8
#define SETS (MOAT_PAIR_FLOWS / WAYS)
#define TCP 6
#define HEADERS_LEN 40 /* of IPv4 and TCP, at least */

struct end {
	struct moat_addr addr;
	uint16_t port;
};

struct flow {
	struct end ends[2];  /* the lesser one first */
	uint64_t arrived_ns; /* of its first half; 0: free */
	/* by the end that sent it */
	uint64_t packets[2], bytes[2], first_ns[2], last_ns[2];
	uint8_t flags[2];
	uint8_t seen; /* bits of the ends that have been heard of */
	uint8_t proto;
	bool is_sampled;
};

struct moat_pair {
	moat_pair_fn handler;
	void *userdata;
	struct moat_pair_counters counters;
	size_t waiting;
	struct flow flows[MOAT_PAIR_FLOWS];
};

int moat_pair_new(moat_pair_fn handler, void *userdata, struct moat_pair **ret_pair)
{
	struct moat_pair *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return -ENOMEM;
	pair->handler = handler;
	pair->userdata = userdata;
	*ret_pair = pair;
	return 0;
}

void moat_pair_free(struct moat_pair *pair)
{
	free(pair);
}

/* ---- what became of it --------------------------------------------------------------------------- */

/* The end that asked: who sent a SYN without an ACK, who spoke first, who has the port that nobody knows. */
static int client_of(const struct flow *flow)
{
	for (int i = 0; i < 2 && flow->proto == TCP; i++) {
		if ((flow->flags[i] & (MOAT_TCP_SYN | MOAT_TCP_ACK)) == MOAT_TCP_SYN)
			return i;
	}
	if (flow->seen == 3 && flow->first_ns[0] != flow->first_ns[1])
		return flow->first_ns[1] < flow->first_ns[0];
	return flow->ends[1].port > flow->ends[0].port;
}

static uint64_t payload_of(const struct flow *flow, int end)
{
	uint64_t headers = flow->packets[end] *
			   (flow->proto == TCP ? HEADERS_LEN : HEADERS_LEN - 12);

	return flow->bytes[end] > headers ? flow->bytes[end] - headers : 0;
}

static uint8_t outcome_of(const struct flow *flow, int client)
{
	int server = !client;

	if (flow->is_sampled)
		return MOAT_OUTCOME_UNKNOWN;
	if (flow->seen == 3 && flow->proto != TCP)
		return MOAT_OUTCOME_CONVERSED;
	if (flow->seen == 3 && payload_of(flow, server) > 0)
		return MOAT_OUTCOME_CONVERSED;
	if (flow->seen == 3)
		return flow->flags[server] & MOAT_TCP_RST ? MOAT_OUTCOME_REJECTED
							  : MOAT_OUTCOME_ACCEPTED;
	/* only the client was heard; a server alone answers what we know nothing of */
	if (flow->seen != 1 << client)
		return MOAT_OUTCOME_UNKNOWN;
	if (flow->proto == TCP && flow->flags[client] & MOAT_TCP_ACK)
		return MOAT_OUTCOME_UNKNOWN;
	return MOAT_OUTCOME_UNANSWERED;
}

static uint32_t clamp(uint64_t count)
{
	return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

static void give_out(struct moat_pair *pair, struct flow *flow)
{
	int client = client_of(flow), from[2] = { client, !client };
	struct moat_flow_record record = {
		.client = flow->ends[client].addr,
		.server = flow->ends[!client].addr,
		.client_port = flow->ends[client].port,
		.server_port = flow->ends[!client].port,
		.proto = flow->proto,
		.event = MOAT_RECORD_END,
		.outcome = outcome_of(flow, client),
		.is_whole = flow->proto != TCP || flow->flags[client] & MOAT_TCP_SYN,
		.first_ns = UINT64_MAX,
	};

	for (int i = 0; i < 2; i++) {
		if (!(flow->seen >> from[i] & 1))
			continue;
		record.packets[i] = clamp(flow->packets[from[i]]);
		record.bytes[i] = flow->bytes[from[i]];
		record.payload[i] = payload_of(flow, from[i]);
		if (flow->first_ns[from[i]] < record.first_ns)
			record.first_ns = flow->first_ns[from[i]];
		if (flow->last_ns[from[i]] > record.last_ns)
			record.last_ns = flow->last_ns[from[i]];
	}
	if (flow->seen == 3)
		pair->counters.whole++;
	else
		pair->counters.alone++;
	flow->arrived_ns = 0;
	pair->waiting--;
	pair->handler(pair->userdata, &record);
}

/* ---- the table ----------------------------------------------------------------------------------- */

/* The ends in their order; returns which of them sent the half. */
static int ends_of(const struct moat_flow_half *half, struct end ret_ends[2])
{
	struct end src = { .addr = half->src, .port = half->sport },
		   dst = { .addr = half->dst, .port = half->dport };
	int order = memcmp(&src.addr, &dst.addr, sizeof(src.addr));

	if (order == 0)
		order = (int)src.port - (int)dst.port;
	ret_ends[order > 0] = src;
	ret_ends[order <= 0] = dst;
	return order > 0;
}

static bool is_end(const struct end *a, const struct end *b)
{
	return a->port == b->port && moat_addr_equal(&a->addr, &b->addr);
}

static size_t set_of(const struct end ends[2], uint8_t proto)
{
	/* exporters are trusted, and a full set only costs a flow its other half: no secret needed */
	uint64_t hash = moat_addr_hash(&ends[0].addr, ends[0].port) * 31 +
			moat_addr_hash(&ends[1].addr, ends[1].port) + proto;

	hash *= 0x9e3779b97f4a7c15ULL;
	return hash >> 32 & (SETS - 1);
}

/* The flow's place: its own, a free one, or that of the flow that has waited longest. */
static struct flow *place_of(struct moat_pair *pair, const struct end ends[2], uint8_t proto)
{
	struct flow *set = &pair->flows[set_of(ends, proto) * WAYS], *best = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (set[i].arrived_ns && set[i].proto == proto &&
		    is_end(&set[i].ends[0], &ends[0]) && is_end(&set[i].ends[1], &ends[1]))
			return &set[i];
		if (set[i].arrived_ns < best->arrived_ns)
			best = &set[i];
	}
	if (best->arrived_ns) {
		pair->counters.early++;
		give_out(pair, best);
	}
	memset(best, 0, sizeof(*best));
	best->ends[0] = ends[0];
	best->ends[1] = ends[1];
	best->proto = proto;
	pair->waiting++;
	return best;
}

void moat_pair_add(struct moat_pair *pair, const struct moat_flow_half *half)
{
	struct end ends[2];
	int end = ends_of(half, ends);
	struct flow *flow = place_of(pair, ends, half->proto);
	uint64_t last_ns = half->arrived_ns,
		 first_ns = last_ns - (half->duration_ns < last_ns ? half->duration_ns : last_ns);

	pair->counters.halves++;
	if (!flow->arrived_ns)
		flow->arrived_ns = half->arrived_ns ? half->arrived_ns : 1;
	if (!(flow->seen >> end & 1) || first_ns < flow->first_ns[end])
		flow->first_ns[end] = first_ns;
	if (last_ns > flow->last_ns[end])
		flow->last_ns[end] = last_ns;
	flow->seen |= (uint8_t)(1 << end);
	flow->packets[end] += half->packets * half->sampling;
	flow->bytes[end] += half->bytes * half->sampling;
	flow->flags[end] |= half->tcp_flags;
	flow->is_sampled |= half->sampling > 1;
}

void moat_pair_advance(struct moat_pair *pair, uint64_t now_ns)
{
	for (size_t i = 0; pair->waiting && i < MOAT_PAIR_FLOWS; i++) {
		struct flow *flow = &pair->flows[i];

		if (flow->arrived_ns && now_ns > flow->arrived_ns &&
		    now_ns - flow->arrived_ns >= MOAT_PAIR_HOLD_NS)
			give_out(pair, flow);
	}
}

size_t moat_pair_waiting(const struct moat_pair *pair)
{
	return pair->waiting;
}

void moat_pair_counters(const struct moat_pair *pair, struct moat_pair_counters *ret_counters)
{
	*ret_counters = pair->counters;
}
