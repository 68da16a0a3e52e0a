/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See differential.h: one packet. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/bpf.h>

#include "dataplane/parse.h"
#include "dataplane/rule.h"
#include "tests/oracle/differential.h"
#include "tests/oracle/replay/clock.h"

#define FIRST_BUFFER 60 /* bytes that it holds at least */

/* The longest windows of 2^n ticks up to 128 ms. */
uint32_t window_of(uint64_t ticks, uint32_t ticks_per_s)
{
	uint64_t length = 1;

	while (2 * length * 1000 <= 128ULL * ticks_per_s)
		length *= 2;
	return (uint32_t)(ticks / length);
}

static struct answer ask_oracle(struct moat_oracle *oracle, uint32_t cpu, const uint8_t *frame,
				size_t length, uint64_t ticks)
{
	struct answer answer = { .who = "oracle" };

	oracle->judge = cpu;
	answer.parse = moat_oracle_parse(&oracle->settings, frame, length, length, &answer.headers);
	answer.reason = moat_oracle_judge(oracle, &answer.headers, answer.parse, ticks,
					  &answer.rule_id);
	return answer;
}

static bool equal(const struct answer *a, const struct answer *b)
{
	return a->reason == b->reason && a->rule_id == b->rule_id && a->parse == b->parse &&
	       (a->parse != MOAT_PARSE_OK ||
		memcmp(&a->headers, &b->headers, sizeof(a->headers)) == 0);
}

static bool is_drop(enum moat_reason reason)
{
	return moat_reason_verdict(reason) == MOAT_VERDICT_DROP;
}

/* Whether cells count it as dropped: what is answered isn't passed on either. */
static bool is_stopped(enum moat_reason reason)
{
	return is_drop(reason) || moat_reason_verdict(reason) == MOAT_VERDICT_TX;
}

static bool cells_agree(const char *who, const char *difference)
{
	if (difference)
		fprintf(stderr, "%s: %s\n", who, difference);
	return !difference;
}

static bool check_policy(struct world *world, uint32_t cpu, const uint8_t *frame, size_t length)
{
	struct answer expected = ask_oracle(&world->for_policy, cpu, frame, length, replay_clock.ms);
	struct moat_judge *judge = moat_policy_judge(world->policy, cpu);
	struct answer answer = { .who = "policy" };

	answer.parse = moat_headers_parse(frame, length, length, &answer.headers);
	if (answer.parse == MOAT_PARSE_OK)
		moat_headers_enter_tunnel(&world->tunnels, frame, length, &answer.headers);
	answer.reason = moat_judge_packet(judge, &answer.headers, answer.parse, replay_clock.ms,
					  &answer.rule_id);
	moat_judge_quiesce(judge);
	if (!equal(&answer, &expected))
		return explain(world, frame, length, &answer, &expected);
	if (answer.headers.family != MOAT_FAMILY_ANY)
		moat_cells_count(&world->cells, &answer.headers, window_of(replay_clock.ms, 1000),
				 is_stopped(answer.reason));
	return cells_agree("policy",
			   oracle_cells_check(&world->worker_cells, &expected.headers,
					      window_of(replay_clock.ms, 1000),
					      is_stopped(expected.reason), world->cells.head)) ||
	       explain(world, frame, length, &answer, &expected);
}

static int xdp_action(enum moat_reason reason)
{
	static const int actions[] = { [MOAT_VERDICT_PASS] = XDP_PASS,
				       [MOAT_VERDICT_DROP] = XDP_DROP,
				       [MOAT_VERDICT_REDIRECT] = XDP_REDIRECT,
				       [MOAT_VERDICT_TX] = XDP_TX };

	return actions[moat_reason_verdict(reason)];
}

/* The counters of the packet's CPU after it: one packet more under the expected reason. */
static bool counters_agree(struct world *world, uint32_t cpu, enum moat_reason reason, size_t length)
{
	const struct moat_gate_counters *counters = replay_gate_counters(&world->gate, cpu);
	struct moat_gate_counters *expected = &world->expected[cpu];

	expected->in.packets++;
	expected->in.bytes += length;
	expected->reasons[reason].packets++;
	expected->reasons[reason].bytes += length;
	return memcmp(&counters->in, &expected->in, sizeof(expected->in)) == 0 &&
	       memcmp(&counters->reasons[reason], &expected->reasons[reason],
		      sizeof(expected->reasons[reason])) == 0;
}

/* One frame in six lies in two buffers, parted anywhere behind the first 60 bytes, which no card parts, and before
 * padding, which it doesn't either: the verdict is that of the whole. */
static void part_frame(struct world *world, const struct answer *expected, size_t length)
{
	const struct moat_headers *h = &expected->headers;
	size_t end = expected->parse == MOAT_PARSE_OK ? (size_t)h->l3_offset + h->l3_len : length;

	world->gate.linear = 0;
	/* an answer is written into the first buffer, which cards let hold all headers of a SYN */
	if (expected->reason == MOAT_REASON_TX_CHALLENGE)
		return;
	if (end > FIRST_BUFFER && moat_generate_below(&world->generator, 6) == 0)
		world->gate.linear = FIRST_BUFFER +
				     moat_generate_below(&world->generator, end - FIRST_BUFFER);
	world->parted += world->gate.linear != 0;
}

static bool check_gate(struct world *world, uint32_t cpu, const uint8_t *frame, size_t length)
{
	struct answer expected = ask_oracle(&world->for_gate, cpu, frame, length,
					    replay_clock_ticks());
	const struct moat_sample *sample = &world->gate.sample;
	struct moat_gate_cells cells;
	struct answer answer;
	int action;

	part_frame(world, &expected, length);
	action = replay_gate_run(&world->gate, cpu, frame, length);
	answer = (struct answer){ "gate", sample->reason, sample->rule_id, sample->parse,
				  sample->headers };
	world->reasons[expected.reason]++;
	if (!counters_agree(world, cpu, expected.reason, length) ||
	    action != xdp_action(expected.reason)) {
		fprintf(stderr, "XDP action %d, or a counter that isn't of %s%s\n", action,
			moat_reason_name(expected.reason),
			world->sampled ? "" : "; not sampled: what the gate says is old");
		return explain(world, frame, length, &answer, &expected);
	}
	if (world->gate.samples > 1 || (world->sampled && world->gate.samples == 0)) {
		fprintf(stderr, "%d samples of one packet\n", world->gate.samples);
		return false;
	}
	/* unsampled, the rule that decided shows in its counts only */
	if (world->gate.samples && !equal(&answer, &expected))
		return explain(world, frame, length, &answer, &expected);
	if (expected.reason == MOAT_REASON_TX_CHALLENGE) {
		if (!is_answer(world, &expected.headers, world->for_gate.cookie)) {
			fprintf(stderr, "the answer isn't right, or not with cookie %08x\n",
				world->for_gate.cookie);
			return explain(world, frame, length, &answer, &expected);
		}
		remember_syn(world, frame, length, &expected, world->for_gate.cookie);
	}
	moat_gate_cells(world->gate.fixture.gate, cpu, &cells);
	return cells_agree("gate", oracle_cells_check(&world->gate_cells[cpu], &expected.headers,
						      window_of(replay_clock_ticks(),
								replay_clock.ticks_per_s),
						      is_stopped(expected.reason), cells.head)) ||
	       explain(world, frame, length, &answer, &expected);
}

bool compare_packet(struct world *world, uint32_t cpu, const uint8_t *frame, size_t length)
{
	world->packets++;
	return check_gate(world, cpu, frame, length) && check_policy(world, cpu, frame, length);
}
