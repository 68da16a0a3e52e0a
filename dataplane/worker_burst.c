/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The path of a burst. Each stage goes through the whole burst before the next begins, and asks for the
 * memory that the next will touch, so that the cache misses of 64 packets overlap. Nothing here
 * allocates, locks or calls the kernel for a packet.
 */
#include <string.h>

#include "dataplane/base/clock.h"
#include "dataplane/flow_table.h"
#include "dataplane/parse.h"
#include "dataplane/worker_priv.h"

#define PREFETCH_FRAMES 4
#define ANSWER_MAX \
	160 /* an answer has up to 82 bytes, and less than MOAT_CHALLENGE_CUT behind them */

static void stage_parse(struct moat_worker *worker, const struct moat_packet *burst,
			unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct moat_work *work = &worker->work[i];

		if (i + PREFETCH_FRAMES < count)
			__builtin_prefetch(burst[i + PREFETCH_FRAMES].data);
		work->parse = (uint8_t)moat_headers_parse(burst[i].data, burst[i].captured,
							  burst[i].length, &work->headers);
		if (work->parse == MOAT_PARSE_OK && worker->options.tunnels.kinds)
			moat_headers_enter_tunnel(&worker->options.tunnels, burst[i].data,
						  burst[i].captured, &work->headers);
		if (work->headers.family == MOAT_FAMILY_ANY)
			continue;
		moat_cells_hash(&worker->cells, &work->headers, &work->hash);
		work->flow_hash = moat_flow_hash(&work->headers, work->hash.src, work->hash.dst);
		moat_flow_prefetch(worker->flows, work->flow_hash);
		moat_cells_prefetch(&worker->cells, &work->hash);
		if (worker->options.judge)
			moat_judge_prefetch(worker->options.judge, &work->headers);
	}
}

/* The reason of a packet where no policy was given: as the judge would say without one. */
static enum moat_reason reason_without_policy(enum moat_parse parse)
{
	return parse == MOAT_PARSE_OK ? MOAT_REASON_PASS_NO_TABLE : moat_parse_reason(parse);
}

static void stage_judge(struct moat_worker *worker, const struct moat_packet *burst,
			unsigned int count, uint64_t now_ms)
{
	struct moat_judge *judge = worker->options.judge;
	uint32_t form = judge ? moat_judge_challenge_form(judge) : MOAT_CHALLENGE_WRONG_ACK;

	for (unsigned int i = 0; i < count; i++) {
		struct moat_work *work = &worker->work[i];

		if (form == MOAT_CHALLENGE_RESET)
			moat_challenge_read_ack(burst[i].data, burst[i].captured, &work->headers);
		work->rule_id = 0;
		work->reason = (uint8_t)(judge ? moat_judge_packet(judge, &work->headers, work->parse,
								   now_ms, &work->rule_id)
					       : reason_without_policy(work->parse));
		work->sample_interval = judge ? moat_judge_sampled(judge) : 0;
		if (work->reason == MOAT_REASON_TX_CHALLENGE)
			work->cookie = moat_judge_cookie(judge);
		work->sends_back = work->reason == MOAT_REASON_REDIRECT_RULE &&
				   moat_judge_sends_back(judge);
		if (work->headers.family != MOAT_FAMILY_ANY)
			moat_cells_prefetch_rest(&worker->cells, &work->headers, &work->hash);
		if (work->parse == MOAT_PARSE_OK)
			moat_flow_prefetch_entry(worker->flows, work->flow_hash, (uint32_t)now_ms);
	}
}

static bool is_drop(const struct moat_work *work)
{
	return moat_reason_verdict(work->reason) == MOAT_VERDICT_DROP;
}

/* Neither dropped nor answered. */
static bool goes_on(const struct moat_work *work)
{
	return !is_drop(work) && moat_reason_verdict(work->reason) != MOAT_VERDICT_TX;
}

static void stage_flow(struct moat_worker *worker, const struct moat_packet *burst,
		       unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct moat_work *work = &worker->work[i];

		if (work->parse == MOAT_PARSE_OK && goes_on(work) &&
		    work->headers.fragment != MOAT_FRAGMENT_LATER)
			moat_flow_add(worker->flows, &work->headers, work->flow_hash,
				      burst[i].time_ns / MOAT_NS_PER_MS);
	}
}

/* A line more for packets that say something, where detection wants to hear of it. */
static void stage_tell(struct moat_worker *worker, const struct moat_packet *burst,
		       unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct moat_work *work = &worker->work[i];

		if (work->parse == MOAT_PARSE_OK && goes_on(work) &&
		    work->headers.fragment != MOAT_FRAGMENT_LATER)
			moat_worker_tell(worker, &burst[i], &work->headers);
	}
}

static void stage_cells(struct moat_worker *worker, unsigned int count, uint32_t window)
{
	for (unsigned int i = 0; i < count; i++) {
		struct moat_work *work = &worker->work[i];

		if (work->headers.family != MOAT_FAMILY_ANY)
			moat_cells_count_hashed(&worker->cells, &work->headers, &work->hash, window,
						!goes_on(work));
	}
}

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
	for (unsigned int i = 0; i < count; i++) {
		struct moat_sampler *sampler = &worker->samplers[is_drop(&worker->work[i])];
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

static void count_reason(struct moat_worker *worker, uint32_t reason,
			 const struct moat_packet *packet)
{
	worker->counters.in.packets++;
	worker->counters.in.bytes += packet->length;
	worker->counters.reasons[reason].packets++;
	worker->counters.reasons[reason].bytes += packet->length;
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

/* Sends what passes to the peer and gives the rest back; each packet gets its one counter here. */
static void stage_out(struct moat_worker *worker, const struct moat_packet *burst,
		      unsigned int count)
{
	struct moat_packet out[MOAT_BURST], back[MOAT_BURST];
	uint8_t out_reasons[MOAT_BURST];
	unsigned int out_count = 0, back_count = 0, sent;

	for (unsigned int i = 0; i < count; i++) {
		const struct moat_work *work = &worker->work[i];
		uint32_t reason = is_drop(work) ? work->reason : MOAT_REASON_CONSUMED;

		if (goes_on(work) && !work->sends_back && worker->options.peer) {
			out_reasons[out_count] = work->reason;
			out[out_count++] = burst[i];
			continue;
		}
		if (worker->options.peer && !is_drop(work))
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
	stage_parse(worker, burst, count);
	moat_worker_end_stage(worker, MOAT_WORKER_PARSE);
	stage_judge(worker, burst, count, burst[count - 1].time_ns / MOAT_NS_PER_MS);
	moat_worker_end_stage(worker, MOAT_WORKER_JUDGE);
	stage_flow(worker, burst, count);
	if (worker->flow_ring.slots)
		stage_tell(worker, burst, count);
	moat_worker_end_stage(worker, MOAT_WORKER_FLOW);
	stage_cells(worker, count, window);
	moat_worker_end_stage(worker, MOAT_WORKER_CELLS);
	stage_sample(worker, burst, count);
	stage_out(worker, burst, count);
	if (worker->options.judge)
		moat_judge_quiesce(worker->options.judge);
	moat_worker_end_stage(worker, MOAT_WORKER_OUT);
}
