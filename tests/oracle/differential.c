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

#include "dataplane/rule.h"
#include "tests/harness/unit.h"
#include "tests/oracle/differential.h"
#include "tests/oracle/replay/clock.h"

#define PACKETS_DEFAULT 50000
#define PACKETS_SLOW 3000
#define FRAMES_WITHOUT 300 /* a policy */
#define ROW_BUCKETS 1024   /* likewise */
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
		if (moat_generate_below(&world->generator, 60) == 0 && !change_list(world))
			return false;
	}
	return true;
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
	printf("%" PRIu64 " packets, %" PRIu64 " of them parted, %" PRIu64 " rule sets\n",
	       world.packets, world.parted, world.sets);
	for (uint32_t reason = 0; reason < MOAT_REASON_COUNT; reason++) {
		if (world.reasons[reason])
			printf("%s %" PRIu64 "\n", moat_reason_name(reason), world.reasons[reason]);
	}
}

int main(int argc, char **argv)
{
	static const struct moat_test tests[] = {
		{ "agree", test_agree },
		{ NULL, NULL },
	};
	int r;

	open_world(&world, argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 0, ROW_BUCKETS);
	r = moat_test_main("oracle-differential", tests);
	close_world(&world);
	return r;
}
