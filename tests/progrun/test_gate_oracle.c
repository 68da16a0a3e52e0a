/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate against the oracle: random rule sets, each with frames aimed at its edges; parse result,
 * headers, reason and rule of every packet, as its sample tells them, must be the oracle's.
 * MOAT_TEST_SEED repeats or varies a run.
 *
 * The gate's time is the kernel's. The oracle judges at the tick that was read behind the packet; only
 * if they differ then, at ticks near it, since the tick may have changed meanwhile, and expiries are
 * told in ticks from another moment, when a busy host's tick may have been late. How often that was
 * needed is bounded.
 *
 * Tokens depend on the very tick: frames are sent well before its turn, and after one that a slow machine
 * ran into, both sides begin again with full buckets.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "clock.skel.h"

#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"
#include "tests/oracle/generate.h"
#include "tests/oracle/oracle.h"
#include "tests/progrun/gate_fixture.h"

/* Fewer on emulated machines, which say so by MOAT_TEST_SLOW=1. */
#define SETS 15
#define SETS_SLOW 8
#define FRAMES 1400
#define FRAMES_SLOW 250
#define SEED_DEFAULT 20240607
#define TICKS_LATE 8
#define FULL_NS (1100 * MOAT_NS_PER_MS) /* what a bucket of the generator's limits takes to fill */

static const struct moat_oracle_settings settings = {
	.stages = MOAT_STAGE_TUNNELS,
	.vxlan_port = 8472,
	.geneve_port = MOAT_GENEVE_PORT,
};

struct ticks {
	uint64_t jiffies;
	uint64_t ns;
};

struct comparison {
	struct moat_generator generator;
	struct gate_fixture gate;
	struct clock *clock;
	uint32_t ticks_per_s;
	struct ticks turn; /* when the tick was first seen */
	int sets, frames;
	struct moat_oracle oracle;
	struct moat_sample sample; /* of the last packet */
	uint64_t packets, ambiguous;
	uint64_t reasons[MOAT_REASON_COUNT];
};

static struct ticks read_ticks(const struct comparison *comparison)
{
	struct ticks ticks = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &ticks, .ctx_size_in = sizeof(ticks));

	CU_ASSERT_EQUAL_FATAL(
		bpf_prog_test_run_opts(bpf_program__fd(comparison->clock->progs.read_clock), &opts),
		0);
	return ticks;
}

/* From the length of a window, which is 2^n ticks. */
static uint32_t find_rate(const struct moat_gate *gate, const struct comparison *comparison)
{
	struct ticks begin = read_ticks(comparison), end = begin;
	uint64_t window_ns;

	moat_gate_window(gate, &window_ns);
	while (end.ns - begin.ns < 200 * MOAT_NS_PER_MS)
		end = read_ticks(comparison);
	for (uint32_t shift = 0; shift < 16; shift++) {
		double rate = (double)(MOAT_NS_PER_S << shift) / (double)window_ns;
		double seen = (double)(end.jiffies - begin.jiffies) * MOAT_NS_PER_S /
			      (double)(end.ns - begin.ns);

		if (rate > seen * 0.9 && rate < seen * 1.1)
			return (uint32_t)(rate + 0.5);
	}
	return 0;
}

/* The tick, in its first half. */
static uint64_t begin_frame(struct comparison *comparison)
{
	const uint64_t half_ns = MOAT_NS_PER_S / comparison->ticks_per_s / 2;
	struct ticks now = read_ticks(comparison);

	while (now.jiffies == comparison->turn.jiffies && now.ns - comparison->turn.ns > half_ns)
		now = read_ticks(comparison);
	if (now.jiffies != comparison->turn.jiffies)
		comparison->turn = now;
	return now.jiffies;
}

/* Waits until the buckets of the gate and of the oracle are full. */
static void fill_buckets(const struct comparison *comparison)
{
	uint64_t begin = read_ticks(comparison).ns;

	while (read_ticks(comparison).ns - begin < FULL_NS)
		;
}

static void keep_sample(void *userdata, const struct moat_sample *sample)
{
	struct comparison *comparison = userdata;

	comparison->sample = *sample;
}

static void explain(const struct comparison *comparison, const uint8_t *frame, size_t length,
		    enum moat_reason expected, uint32_t expected_id)
{
	const uint32_t ids[] = { comparison->sample.rule_id, expected_id };
	char text[MOAT_RULE_TEXT_LEN];

	fprintf(stderr, "gate %s rule %u parse %u, oracle %s rule %u, frame of %zu:",
		moat_reason_name(comparison->sample.reason), ids[0], comparison->sample.parse,
		moat_reason_name(expected), expected_id, length);
	for (size_t i = 0; i < length && i < 120; i++)
		fprintf(stderr, " %02x", frame[i]);
	fputc('\n', stderr);
	for (size_t i = 0; i < 2; i++) {
		const struct moat_rule *rule = moat_ruleset_find(comparison->gate.set, ids[i]);

		if (rule)
			fprintf(stderr, "  rule %u: %s\n", ids[i],
				moat_rule_format(rule, moat_clock_monotonic_ns(), text));
	}
}

/* Does the sample say what the oracle says at this tick? The oracle's buckets go on only if so. */
static bool agrees_at(struct comparison *comparison, const struct moat_headers *headers,
		      enum moat_parse parse, uint64_t tick, enum moat_reason *ret_reason,
		      uint32_t *ret_id)
{
	struct moat_oracle before = comparison->oracle;
	const struct moat_sample *sample = &comparison->sample;

	*ret_reason = moat_oracle_judge(&comparison->oracle, headers, parse, tick, ret_id);
	if (sample->reason == *ret_reason && sample->rule_id == *ret_id && sample->parse == parse &&
	    (parse != MOAT_PARSE_OK || memcmp(&sample->headers, headers, sizeof(*headers)) == 0))
		return true;
	comparison->oracle = before;
	return false;
}

static bool compare_frame(struct comparison *comparison)
{
	uint8_t frame[MOAT_GENERATE_FRAME_LEN];
	struct moat_headers headers;
	enum moat_reason expected, at_first;
	enum moat_parse parse;
	uint32_t id, id_at_first;
	uint64_t begin, tick, other;
	size_t length = moat_generate_frame(&comparison->generator, &settings, comparison->gate.set,
					    frame);

	comparison->packets++;
	begin = begin_frame(comparison);
	if (gate_fixture_reason(&comparison->gate, frame, length) == MOAT_REASON_COUNT ||
	    moat_gate_poll(comparison->gate.gate, 2, keep_sample, comparison) != 1) {
		fprintf(stderr, "not counted once under a reason that fits, or not sampled\n");
		return false;
	}
	tick = read_ticks(comparison).jiffies;
	comparison->reasons[comparison->sample.reason]++;
	parse = moat_oracle_parse(&settings, frame, length, length, &headers);
	if (agrees_at(comparison, &headers, parse, tick, &at_first, &id_at_first)) {
		if (begin != tick)
			fill_buckets(comparison);
		return true;
	}
	comparison->ambiguous++;
	for (other = tick + TICKS_LATE; other >= begin - TICKS_LATE; other--) {
		if (agrees_at(comparison, &headers, parse, other, &expected, &id)) {
			fill_buckets(comparison);
			return true;
		}
	}
	explain(comparison, frame, length, at_first, id_at_first);
	return false;
}

/* Some of the sources that the frames will have. */
static void make_known(struct comparison *comparison)
{
	struct moat_oracle *oracle = &comparison->oracle;
	struct moat_gate *gate = comparison->gate.gate;
	uint8_t frame[MOAT_GENERATE_FRAME_LEN];
	struct moat_headers headers;

	while (oracle->known_count < MOAT_ORACLE_KNOWN_MAX) {
		size_t length = moat_generate_frame(&comparison->generator, &settings,
						    comparison->gate.set, frame);

		moat_oracle_parse(&settings, frame, length, length, &headers);
		oracle->known[oracle->known_count++] = headers.src;
		moat_known_add(moat_gate_known(gate), &headers.src, moat_gate_hash_seed(gate));
	}
}

/* A gate of its own for each set, so that no bucket is left from the one before. */
static bool compare_set(struct comparison *comparison, size_t rules, size_t prefixes)
{
	const struct moat_gate_options options = {
		.cells = 1024,
		.nodes = 4096,
		.sample_pass = 1,
		.sample_drop = 1,
		.tunnels = { .kinds = settings.stages, .vxlan_port = settings.vxlan_port },
	};
	struct gate_fixture *gate = &comparison->gate;
	struct ticks now;
	bool agree = true;

	gate_fixture_open(gate, &options);
	if (comparison->ticks_per_s == 0)
		comparison->ticks_per_s = find_rate(gate->gate, comparison);
	now = read_ticks(comparison);
	moat_generate_ruleset(&comparison->generator, gate->set, rules, prefixes, now.ns);
	comparison->oracle = (struct moat_oracle){
		.set = gate->set,
		.settings = settings,
		.clock = { .ns = now.ns,
			   .ticks = now.jiffies,
			   .ticks_per_s = comparison->ticks_per_s },
	};
	make_known(comparison);
	/* commit leaves out what has expired; the oracle would still count it among the candidates */
	moat_ruleset_expire(gate->set, moat_clock_monotonic_ns());
	agree = gate_fixture_commit(gate);
	for (int i = 0; agree && i < comparison->frames; i++)
		agree = compare_frame(comparison);
	if (agree)
		CU_ASSERT_EQUAL(gate_fixture_counters(gate).helper_errors, 0);
	gate_fixture_close(gate);
	return agree;
}

static struct comparison comparison;

static void test_agree(void)
{
	static const size_t sizes[] = { 0, 1, 3, 10, 10, 30, 30, 64, 65, 200, 1024 };
	uint64_t seed = moat_generator_seed(SEED_DEFAULT);
	bool agree = true;

	comparison.sets = getenv("MOAT_TEST_SLOW") ? SETS_SLOW : SETS;
	comparison.frames = getenv("MOAT_TEST_SLOW") ? FRAMES_SLOW : FRAMES;
	moat_generator_init(&comparison.generator, seed);
	for (int i = 0; agree && i < comparison.sets; i++) {
		size_t rules = sizes[moat_generate_below(&comparison.generator,
							 sizeof(sizes) / sizeof(sizes[0]))];

		agree = compare_set(&comparison, rules,
				    moat_generate_below(&comparison.generator, 12));
		if (!agree)
			fprintf(stderr, "set %d, MOAT_TEST_SEED=%" PRIu64 "\n", i, seed);
	}
	CU_ASSERT_TRUE(agree);
	CU_ASSERT_EQUAL(comparison.packets, (uint64_t)comparison.sets * (uint64_t)comparison.frames);
	CU_ASSERT(comparison.ambiguous <= comparison.packets / 100);
	printf("%" PRIu64 " packets, %" PRIu64 " at a turn of the clock\n", comparison.packets,
	       comparison.ambiguous);
	for (uint32_t reason = 0; reason <= MOAT_REASON_DROP_LIMIT; reason++) {
		if (reason < MOAT_REASON_PASS_NO_TABLE || reason > MOAT_REASON_PASS_NO_TARGET)
			CU_ASSERT(comparison.reasons[reason] > comparison.packets / 1000);
		printf("%s %" PRIu64 "\n", moat_reason_name(reason), comparison.reasons[reason]);
	}
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "agree", test_agree },
		{ NULL, NULL },
	};
	cpu_set_t cpus;
	int r;

	/* one share of each bucket: then it is exact */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	comparison.clock = clock__open_and_load();
	if (!comparison.clock)
		moat_test_skip("BPF programs can't be loaded here");
	r = moat_test_main("gate-oracle", tests);
	clock__destroy(comparison.clock);
	return r;
}
