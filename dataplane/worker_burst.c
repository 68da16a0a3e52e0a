/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The path of a burst through a worker. Each packet goes through a row of steps; a step asks for the memory
 * that the next one reads, and between two steps of a packet others have theirs, so that the misses of many
 * packets overlap each other and the work. Nothing here allocates, locks or calls the kernel for a packet.
 */
#include <string.h>

#include "dataplane/base/clock.h"
#include "dataplane/flow_table.h"
#include "dataplane/parse.h"
#include "dataplane/policy_priv.h"
#include "dataplane/worker_priv.h"

#define PREFETCH_FRAMES 8
/* Packets between two steps of one. */
#define AHEAD 16
/* Packets of a flow's direction after each of which the judge is asked whether the flow is settled, and how
 * often it is asked later. */
#define SETTLE_FIRST 4
#define SETTLE_EVERY 8
#define ANSWER_MAX \
	160 /* an answer has up to 82 bytes, and less than MOAT_CHALLENGE_CUT behind them */

/* ---- first step: headers, hashes ------------------------------------------------------------- */

MOAT_INLINE void hash_headers(const struct moat_worker *worker, struct moat_work *work)
{
	const struct moat_headers *h = &work->headers;

	if (h->src.quads[0] | h->dst.quads[0]) {
		moat_cells_hash(&worker->cells, h, &work->hash);
	} else {
		/* as moat_addr_hash, whose first round is the same for all IPv4 addresses */
		work->hash.src = moat_addr_hash_end(worker->hash_begun, h->src.quads[1]);
		work->hash.dst = moat_addr_hash_end(worker->hash_begun, h->dst.quads[1]);
	}
	work->flow_hash = moat_flow_hash(h, work->hash.src, work->hash.dst);
}

MOAT_INLINE void step_parse(struct moat_worker *worker, const struct moat_packet *packet,
			    struct moat_work *work)
{
	work->parse = (uint8_t)moat_headers_parse(packet->data, packet->captured, packet->length,
						  &work->headers);
	if (work->parse == MOAT_PARSE_OK && worker->options.tunnels.kinds)
		moat_headers_enter_tunnel(&worker->options.tunnels, packet->data, packet->captured,
					  &work->headers);
	work->may_flow = work->parse == MOAT_PARSE_OK &&
			 work->headers.fragment != MOAT_FRAGMENT_LATER;
	work->is_ordinary = work->may_flow && moat_judge_is_ordinary(&work->headers);
	if (work->headers.family == MOAT_FAMILY_ANY)
		return;
	hash_headers(worker, work);
	moat_flow_prefetch(worker->flows, work->flow_hash);
	moat_cells_prefetch(&worker->cells, &work->hash);
}

/* ---- second step: where its flow is ---------------------------------------------------------- */

MOAT_INLINE void step_seek(struct moat_worker *worker, struct moat_work *work, uint32_t now_ms)
{
	work->slot = MOAT_FLOW_NO_SLOT;
	if (work->headers.family == MOAT_FAMILY_ANY)
		return;
	if (work->may_flow)
		work->slot = moat_flow_seek(worker->flows, work->flow_hash, now_ms);
	/* a flow that is there is mostly settled, and not to be judged */
	if (worker->options.judge && work->slot == MOAT_FLOW_NO_SLOT)
		moat_judge_prefetch(worker->options.judge, &work->headers);
	work->cells = moat_cells_seek(&worker->cells, &work->hash);
}

/* ---- third step: verdict, flow, counters ----------------------------------------------------- */

/* The reason of a packet where no policy was given: as the judge would say without one. */
static enum moat_reason reason_without_policy(enum moat_parse parse)
{
	return parse == MOAT_PARSE_OK ? MOAT_REASON_PASS_NO_TABLE : moat_parse_reason(parse);
}

static void judge_packet(struct moat_worker *worker, const struct moat_packet *packet,
			 struct moat_work *work, uint64_t now_ms)
{
	struct moat_judge *judge = worker->options.judge;

	if (!judge) {
		work->reason = (uint8_t)reason_without_policy(work->parse);
		return;
	}
	if (moat_judge_challenge_form(judge) == MOAT_CHALLENGE_RESET)
		moat_challenge_read_ack(packet->data, packet->captured, &work->headers);
	work->reason = (uint8_t)moat_judge_packet(judge, &work->headers, work->parse, now_ms,
						  &work->rule_id);
	work->sample_interval = moat_judge_sampled(judge);
	worker->rule_sampled |= work->sample_interval != 0;
	if (work->reason == MOAT_REASON_TX_CHALLENGE)
		work->cookie = moat_judge_cookie(judge);
	work->sends_back = work->reason == MOAT_REASON_REDIRECT_RULE && moat_judge_sends_back(judge);
}

/* Judges a packet, unless it is an ordinary one of a flow that the policy has nothing to say of. */
MOAT_INLINE void step_judge(struct moat_worker *worker, const struct moat_packet *packet,
			    struct moat_work *work, uint64_t now_ms)
{
	uint32_t bucket = (uint32_t)work->flow_hash & worker->flows->mask;

	work->rule_id = 0;
	work->sample_interval = 0;
	work->sends_back = false;
	work->direction = -1;
	if (work->slot != MOAT_FLOW_NO_SLOT)
		work->direction = (int8_t)moat_flow_confirm(worker->flows, work->flow_hash,
							    work->slot, &work->headers,
							    (uint32_t)now_ms);
	work->epoch = worker->options.judge
			      ? moat_flow_epoch(moat_judge_epoch_now(worker->options.judge))
			      : MOAT_FLOW_NO_EPOCH;
	work->is_settled = work->direction >= 0 &&
			   moat_flow_is_settled(&worker->flows->groups[bucket].bucket, work->slot,
						(unsigned int)work->direction, work->epoch);
	if (work->is_settled && work->is_ordinary) {
		work->reason = MOAT_REASON_PASS_DEFAULT;
		work->verdict = MOAT_VERDICT_PASS;
		return;
	}
	judge_packet(worker, packet, work, now_ms);
	work->verdict = (uint8_t)moat_reason_verdict(work->reason);
}

/* Neither dropped nor answered. */
MOAT_INLINE bool goes_on(const struct moat_work *work)
{
	return work->verdict != MOAT_VERDICT_DROP && work->verdict != MOAT_VERDICT_TX;
}

/* Asks the judge whether it has anything to say of a packet's flow at all: at the flow's beginning, then
 * now and again, since the answer costs as much as a verdict. */
static void try_to_settle(struct moat_worker *worker, const struct moat_work *work)
{
	const struct moat_flow_place *place = &work->place;
	uint32_t packets = moat_flow_entry_at(worker->flows, place->bucket, place->slot)
				   ->packets[work->direction];

	if ((packets > SETTLE_FIRST && packets % SETTLE_EVERY != 0) ||
	    !moat_judge_is_indifferent(worker->options.judge, &work->headers))
		return;
	moat_flow_settle(worker->flows, place, (unsigned int)work->direction, work->epoch);
}

/* Adds a packet that goes on to its flow. `again`: other packets were added since its flow was found. */
MOAT_INLINE void step_flow(struct moat_worker *worker, struct moat_work *work, uint64_t now_ms,
			   bool again)
{
	struct moat_flow_table *flows = worker->flows;
	struct moat_flow_bucket *bucket;

	if (!work->may_flow || !goes_on(work)) {
		work->direction = -1;
		return;
	}
	if (again && work->slot != MOAT_FLOW_NO_SLOT)
		work->direction = (int8_t)moat_flow_confirm(flows, work->flow_hash, work->slot,
							    &work->headers, (uint32_t)now_ms);
	if (work->direction < 0) {
		work->direction = (int8_t)moat_flow_add_slow(flows, &work->headers, work->flow_hash,
							     now_ms, &work->place);
		return;
	}
	work->place = (struct moat_flow_place){ (uint32_t)work->flow_hash & flows->mask,
						work->slot };
	bucket = &flows->groups[work->place.bucket].bucket;
	flows->now_ms = now_ms;
	moat_flow_update(bucket, work->slot,
			 moat_flow_entry_at(flows, work->place.bucket, work->slot), &work->headers,
			 (unsigned int)work->direction, (uint32_t)now_ms);
	if (!work->is_settled && work->is_ordinary && work->epoch != MOAT_FLOW_NO_EPOCH &&
	    work->reason == MOAT_REASON_PASS_DEFAULT)
		try_to_settle(worker, work);
}

/* A line more for packets that say something, where detection wants to hear of it. */
MOAT_INLINE void step_tell(struct moat_worker *worker, const struct moat_packet *packet,
			   const struct moat_work *work)
{
	if (worker->flow_ring.slots && work->direction >= 0)
		moat_worker_tell(worker, packet, work);
}

MOAT_INLINE void step_cells(struct moat_worker *worker, const struct moat_work *work,
			    uint32_t window)
{
	if (work->headers.family != MOAT_FAMILY_ANY)
		moat_cells_count_at(&worker->cells, &work->headers, &work->hash, work->cells,
				    window, !goes_on(work));
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void weave(struct moat_worker *worker, const struct moat_packet *burst, unsigned int count,
		  uint64_t now_ms, uint32_t window)
{
	for (unsigned int i = 0; i < count + 2 * AHEAD; i++) {
		unsigned int second = i - AHEAD, third = i - 2 * AHEAD;

		if (i + PREFETCH_FRAMES < count)
			moat_prefetch(burst[i + PREFETCH_FRAMES].data);
		if (i < count)
			step_parse(worker, &burst[i], &worker->work[i]);
		/* before their first packet these are beyond any count */
		if (second < count)
			step_seek(worker, &worker->work[second], (uint32_t)now_ms);
		if (third < count) {
			struct moat_work *work = &worker->work[third];

			step_judge(worker, &burst[third], work, now_ms);
			step_flow(worker, work, burst[third].time_ns / MOAT_NS_PER_MS, false);
			step_tell(worker, &burst[third], work);
			step_cells(worker, work, window);
		}
	}
}

/* The same one after the other, so that time can be accounted to them. */
static void stage_by_stage(struct moat_worker *worker, const struct moat_packet *burst,
			   unsigned int count, uint64_t now_ms, uint32_t window)
{
	for (unsigned int i = 0; i < count; i++)
		step_parse(worker, &burst[i], &worker->work[i]);
	moat_worker_clock_stage(worker, MOAT_WORKER_PARSE);
	for (unsigned int i = 0; i < count; i++)
		step_seek(worker, &worker->work[i], (uint32_t)now_ms);
	moat_worker_clock_stage(worker, MOAT_WORKER_FLOW);
	for (unsigned int i = 0; i < count; i++)
		step_judge(worker, &burst[i], &worker->work[i], now_ms);
	moat_worker_clock_stage(worker, MOAT_WORKER_JUDGE);
	for (unsigned int i = 0; i < count; i++)
		step_flow(worker, &worker->work[i], burst[i].time_ns / MOAT_NS_PER_MS, true);
	moat_worker_clock_stage(worker, MOAT_WORKER_FLOW);
	for (unsigned int i = 0; i < count; i++)
		step_tell(worker, &burst[i], &worker->work[i]);
	moat_worker_clock_stage(worker, MOAT_WORKER_TELL);
	for (unsigned int i = 0; i < count; i++)
		step_cells(worker, &worker->work[i], window);
	moat_worker_clock_stage(worker, MOAT_WORKER_CELLS);
}

/* ---- samples --------------------------------------------------------------------------------- */

void moat_worker_arm_sampler(struct moat_worker *worker, struct moat_sampler *sampler)
{
	/* xorshift64 (Marsaglia, JSS 2003) */
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	/* interval/2 to 3/2 of it: regular traffic can't stay in step with the sampling */
	sampler->countdown = sampler->interval - sampler->interval / 2;
	if (sampler->interval > 1)
		sampler->countdown += (uint32_t)(worker->random % sampler->interval);
}

static void take_sample(struct moat_worker *worker, const struct moat_packet *packet,
			const struct moat_work *work, uint32_t interval)
{
	struct moat_sample sample = {
		.time_ns = packet->time_ns,
		.port = worker->options.port_index,
		.rule_id = work->rule_id,
		.interval = interval,
		.cap_len = (uint16_t)(packet->captured < MOAT_SAMPLE_BYTES ? packet->captured
									   : MOAT_SAMPLE_BYTES),
		.reason = work->reason,
		.parse = work->parse,
		.headers = work->headers,
	};

	memcpy(sample.data, packet->data, sample.cap_len);
	if (moat_ring_push(&worker->samples, &sample))
		worker->counters.samples++;
}

static void stage_sample(struct moat_worker *worker, const struct moat_packet *burst,
			 unsigned int count)
{
	if (!worker->samplers[0].interval && !worker->samplers[1].interval && !worker->rule_sampled)
		return;
	worker->rule_sampled = false;
	for (unsigned int i = 0; i < count; i++) {
		bool dropped = worker->work[i].verdict == MOAT_VERDICT_DROP;
		struct moat_sampler *sampler = &worker->samplers[dropped];
		uint32_t by_rule = worker->work[i].sample_interval;

		/* it isn't counted down for twice */
		if (by_rule) {
			take_sample(worker, &burst[i], &worker->work[i], by_rule);
			continue;
		}
		if (sampler->interval == 0 || --sampler->countdown > 0)
			continue;
		take_sample(worker, &burst[i], &worker->work[i], sampler->interval);
		moat_worker_arm_sampler(worker, sampler);
	}
}

MOAT_INLINE void count_reasons(struct moat_worker *worker, uint32_t reason,
			       const struct moat_counter *gain)
{
	worker->counters.in.packets += gain->packets;
	worker->counters.in.bytes += gain->bytes;
	worker->counters.reasons[reason].packets += gain->packets;
	worker->counters.reasons[reason].bytes += gain->bytes;
}

static void count_reason(struct moat_worker *worker, uint32_t reason,
			 const struct moat_packet *packet)
{
	count_reasons(worker, reason,
		      &(struct moat_counter){ .packets = 1, .bytes = packet->length });
}

/* Answers a packet out of the port that it came from, or sends it back there. Returns the reason to count. */
static uint32_t answer(struct moat_worker *worker, const struct moat_packet *packet,
		       const struct moat_work *work)
{
	uint8_t frame[ANSWER_MAX];
	size_t length;

	if (work->sends_back)
		return moat_port_reply(worker->port, packet->data, packet->captured)
			       ? work->reason
			       : MOAT_REASON_DROP_NO_PEER;
	length = packet->captured < sizeof(frame) ? packet->captured : sizeof(frame);

	memcpy(frame, packet->data, length);
	length = moat_challenge_answer(frame, length, &work->headers,
				       moat_judge_challenge_form(worker->options.judge),
				       work->cookie);
	if (length == 0 || !moat_port_reply(worker->port, frame, (uint32_t)length))
		return MOAT_REASON_DROP_NO_PEER;
	return work->reason;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* A worker without a peer: all is consumed. */
static void consume(struct moat_worker *worker, const struct moat_packet *burst, unsigned int count)
{
	struct moat_counter consumed = { .packets = 0 };

	for (unsigned int i = 0; i < count; i++) {
		if (worker->work[i].verdict == MOAT_VERDICT_DROP) {
			count_reason(worker, worker->work[i].reason, &burst[i]);
			continue;
		}
		consumed.packets++;
		consumed.bytes += burst[i].length;
	}
	count_reasons(worker, MOAT_REASON_CONSUMED, &consumed);
	moat_port_release(worker->port, burst, count);
}

/* Sends what passes to the peer and gives the rest back; each packet gets its one counter here. */
static void send_on(struct moat_worker *worker, const struct moat_packet *burst, unsigned int count)
{
	struct moat_packet out[MOAT_BURST], back[MOAT_BURST];
	uint8_t out_reasons[MOAT_BURST];
	unsigned int out_count = 0, back_count = 0, sent;

	for (unsigned int i = 0; i < count; i++) {
		const struct moat_work *work = &worker->work[i];
		uint32_t reason = work->reason;

		if (goes_on(work) && !work->sends_back) {
			out_reasons[out_count] = work->reason;
			out[out_count++] = burst[i];
			continue;
		}
		if (work->verdict == MOAT_VERDICT_TX || work->sends_back)
			reason = answer(worker, &burst[i], work);
		count_reason(worker, reason, &burst[i]);
		back[back_count++] = burst[i];
	}
	if (back_count)
		moat_port_release(worker->port, back, back_count);
	if (!out_count)
		return;
	sent = moat_port_tx(worker->options.peer, worker->port, out, out_count);
	for (unsigned int i = 0; i < out_count; i++)
		count_reason(worker, i < sent ? out_reasons[i] : MOAT_REASON_DROP_NO_PEER, &out[i]);
}

void moat_worker_burst(struct moat_worker *worker, const struct moat_packet *burst,
		       unsigned int count, uint32_t window)
{
	uint64_t now_ms = burst[count - 1].time_ns / MOAT_NS_PER_MS;

	if (worker->options.profile)
		stage_by_stage(worker, burst, count, now_ms, window);
	else
		weave(worker, burst, count, now_ms, window);
	stage_sample(worker, burst, count);
	if (worker->options.peer)
		send_on(worker, burst, count);
	else
		consume(worker, burst, count);
	if (worker->options.judge)
		moat_judge_quiesce(worker->options.judge);
	moat_worker_end_stage(worker, MOAT_WORKER_OUT);
}
