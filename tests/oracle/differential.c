/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate, the workers' policy and the oracle side by side: sequences of frames aimed at the edges of
 * random rule sets. Time, CPU, hash seed and keys are inputs, so every packet has one right answer: verdict,
 * reason, rule, headers and the counters must be equal after each.
 *
 * usage: oracle-differential [SHARD]   each shard has a seed and a tick rate of its own
 * MOAT_TEST_PACKETS: how many packets (50,000). MOAT_TEST_SEED: repeats or varies a run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/gate_internal.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"
#include "tests/oracle/differential.h"
#include "tests/oracle/replay/clock.h"

#define PACKETS_DEFAULT 50000
#define PACKETS_SLOW 3000
#define SEED_DEFAULT 20240607
#define CELLS 1024         /* few: hosts compete for them */
#define FRAMES_WITHOUT 300 /* a policy */
#define ROW_BUCKETS 1024
#define SETS_A_LOAD 12
#define FRAMES_MOST 2000 /* with one rule set */
#define BURST_MOST 200

static uint64_t packets_wanted(void)
{
	const char *text = getenv("MOAT_TEST_PACKETS");

	if (text && *text)
		return strtoull(text, NULL, 0);
	/* emulated machines say so */
	return getenv("MOAT_TEST_SLOW") ? PACKETS_SLOW : PACKETS_DEFAULT;
}

static bool compare_frames(struct world *world, uint64_t frames)
{
	for (uint64_t i = 0; i < frames; i++) {
		uint8_t frame[MOAT_GENERATE_FRAME_LEN];
		size_t length = moat_generate_frame(&world->generator, &world->settings, world->set,
						    frame);
		uint32_t cpu = moat_generate_below(&world->generator, world->gate.cpus), repeats;

		if (world->handshakes[0].length && moat_generate_below(&world->generator, 12) == 0) {
			size_t answer = answer_challenge(world, frame);

			length = answer ? answer : length;
		}
		/* now and then many at one moment, which empties buckets */
		repeats = moat_generate_below(&world->generator, 400)
				  ? 1
				  : 1 + moat_generate_below(&world->generator, BURST_MOST);
		while (repeats-- > 0) {
			if (!compare_packet(world, cpu, frame, length))
				return false;
			cpu = moat_generate_below(&world->generator, world->gate.cpus);
		}
		replay_clock.ms += moat_generate_below(&world->generator, 4);
		if (moat_generate_below(&world->generator, 200) == 0)
			replay_clock.ms += moat_generate_below(&world->generator, 2000);
	}
	return true;
}

/* Loads gate and judges with some of the stages, mostly with those that nobody goes without. */
static void choose_stages(struct world *world)
{
	const uint32_t usual = MOAT_STAGE_ALLOW | MOAT_STAGE_DENY | MOAT_STAGE_RULES;
	uint32_t all = MOAT_STAGE_SAMPLE - 1,
		 stages = all & moat_generate_below(&world->generator, all);
	bool fail_closed = moat_generate_below(&world->generator, 2);

	if (moat_generate_below(&world->generator, 6))
		stages |= usual;
	if (moat_generate_below(&world->generator, 4) == 0)
		stages = all;
	replay_gate_reload(&world->gate, stages | MOAT_STAGE_SAMPLE, fail_closed);
	for (uint32_t i = 0; i < world->settings.judges; i++)
		moat_judge_set_stages(moat_policy_judge(world->policy, i), stages, fail_closed);
	world->settings.stages = stages | MOAT_STAGE_TUNNELS;
	world->settings.fail_closed = fail_closed;
}

static bool compare_set(struct world *world, uint64_t frames)
{
	if (world->sets % SETS_A_LOAD == 0)
		choose_stages(world);
	begin_set(world);
	return compare_frames(world, frames) && end_set(world);
}

/* Before the first commit. */
static bool compare_without_policy(struct world *world)
{
	choose_stages(world);
	begin_oracle(world, &world->for_gate, replay_clock_ticks(), replay_clock.ticks_per_s);
	begin_oracle(world, &world->for_policy, replay_clock.ms, 1000);
	world->for_gate.set = world->for_policy.set = NULL;
	world->sampled = true;
	return compare_frames(world, FRAMES_WITHOUT);
}

/* ---- the run ---------------------------------------------------------------------------------- */

static struct world world;

static void test_agree(void)
{
	uint64_t wanted = packets_wanted();
	bool agree = compare_without_policy(&world);

	while (agree && world.packets < wanted) {
		uint64_t left = wanted - world.packets;
		uint64_t frames = 1 + moat_generate_below(&world.generator, FRAMES_MOST);

		agree = compare_set(&world, frames < left ? frames : left);
	}
	CU_ASSERT_TRUE(agree);
	printf("%" PRIu64 " packets, %" PRIu64 " rule sets\n", world.packets, world.sets);
	for (uint32_t reason = 0; reason < MOAT_REASON_COUNT; reason++) {
		if (world.reasons[reason])
			printf("%s %" PRIu64 "\n", moat_reason_name(reason), world.reasons[reason]);
	}
}

static void open_world(unsigned int shard)
{
	static const uint32_t rates[] = { 1000, 250, 100 };
	uint64_t seed = moat_generator_seed(SEED_DEFAULT);
	struct moat_gate_ctl *ctl;

	moat_generator_init(&world.generator, seed + shard);
	printf("shard %u, MOAT_TEST_SEED=%" PRIu64 "\n", shard, seed);
	replay_clock.ticks_per_s = rates[shard % MOAT_ARRAY_SIZE(rates)];
	replay_clock.ms = 1000000000;
	world.settings = (struct moat_oracle_settings){ .stages = MOAT_STAGE_TUNNELS,
							.vxlan_port = 8472,
							.geneve_port = MOAT_GENEVE_PORT };
	world.tunnels = (struct moat_tunnels){ .kinds = MOAT_STAGE_TUNNELS, .vxlan_port = 8472 };
	replay_gate_open(&world.gate, &(struct moat_gate_options){ .cells = CELLS,
								   .row_buckets = ROW_BUCKETS,
								   .nodes = 4096,
								   .sample_pass = 1,
								   .sample_drop = 1,
								   .tunnels = world.tunnels });
	ctl = moat_gate_ctl(world.gate.fixture.gate);
	ctl->hash_seed = HASH_SEED;
	ctl->hash_begun_v4 = moat_addr_hash_begin(0, HASH_SEED);
	for (uint32_t cpu = 0; cpu < world.gate.cpus; cpu++)
		oracle_cells_init(&world.gate_cells[cpu], ORACLE_SETS, CELLS, HASH_SEED);
	oracle_cells_init(&world.worker_cells, ORACLE_HALVES, CELLS, HASH_SEED);
	if (moat_cells_init(&world.cells, CELLS, HASH_SEED) < 0)
		abort();
	/* as many as a gate thinks that it has, though fewer are seen here */
	world.settings.hash_seed = HASH_SEED;
	world.for_gate.memory = oracle_memory_new(ROW_BUCKETS);
	world.for_policy.memory = oracle_memory_new(1U << MOAT_ROW_BITS_DEFAULT);
	if (!world.for_gate.memory || !world.for_policy.memory)
		abort();
	world.settings.judges = moat_gate_cpus(world.gate.fixture.gate);
	world.set = world.gate.fixture.set;
	if (moat_policy_new(world.settings.judges, HASH_SEED, &world.policy) < 0)
		abort();
}

int main(int argc, char **argv)
{
	static const struct moat_test tests[] = {
		{ "agree", test_agree },
		{ NULL, NULL },
	};
	int r;

	open_world(argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 0);
	r = moat_test_main("oracle-differential", tests);
	moat_policy_free(world.policy);
	moat_cells_deinit(&world.cells);
	oracle_memory_free(world.for_gate.memory);
	oracle_memory_free(world.for_policy.memory);
	oracle_cells_deinit(&world.worker_cells);
	for (uint32_t cpu = 0; cpu < world.gate.cpus; cpu++)
		oracle_cells_deinit(&world.gate_cells[cpu]);
	replay_gate_close(&world.gate);
	return r;
}
