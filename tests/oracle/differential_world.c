/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See differential.h: the world's beginning and end, and what its gate and judges are loaded with. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/gate_internal.h"
#include "tests/oracle/differential.h"
#include "tests/oracle/replay/clock.h"

#define SEED_DEFAULT 20240607
#define CELLS 1024 /* few: hosts compete for them */

void choose_stages(struct world *world)
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

void open_world(struct world *world, unsigned int shard, uint32_t row_buckets)
{
	static const uint32_t rates[] = { 1000, 250, 100 };
	uint64_t seed = moat_generator_seed(SEED_DEFAULT);
	struct moat_gate_ctl *ctl;

	moat_generator_init(&world->generator, seed + shard);
	printf("shard %u, MOAT_TEST_SEED=%" PRIu64 "\n", shard, seed);
	replay_clock.ticks_per_s = rates[shard % MOAT_ARRAY_SIZE(rates)];
	replay_clock.ms = 1000000000;
	world->settings = (struct moat_oracle_settings){ .stages = MOAT_STAGE_TUNNELS,
							 .vxlan_port = 8472,
							 .geneve_port = MOAT_GENEVE_PORT };
	world->tunnels = (struct moat_tunnels){ .kinds = MOAT_STAGE_TUNNELS, .vxlan_port = 8472 };
	replay_gate_open(&world->gate, &(struct moat_gate_options){ .cells = CELLS,
								    .row_buckets = row_buckets,
								    .nodes = 4096,
								    .sample_pass = 1,
								    .sample_drop = 1,
								    .tunnels = world->tunnels });
	ctl = moat_gate_ctl(world->gate.fixture.gate);
	ctl->hash_seed = HASH_SEED;
	ctl->hash_begun_v4 = moat_addr_hash_begin(0, HASH_SEED);
	for (uint32_t cpu = 0; cpu < world->gate.cpus; cpu++)
		oracle_cells_init(&world->gate_cells[cpu], CELLS, HASH_SEED);
	oracle_cells_init(&world->worker_cells, CELLS, HASH_SEED);
	if (moat_cells_init(&world->cells, CELLS, HASH_SEED) < 0)
		abort();
	/* as many as a gate thinks that it has, though fewer are seen here */
	world->settings.hash_seed = HASH_SEED;
	world->for_gate.memory = oracle_memory_new(row_buckets);
	world->for_policy.memory = oracle_memory_new(1U << MOAT_ROW_BITS_DEFAULT);
	if (!world->for_gate.memory || !world->for_policy.memory)
		abort();
	world->settings.judges = moat_gate_cpus(world->gate.fixture.gate);
	world->set = world->gate.fixture.set;
	if (moat_policy_new(world->settings.judges, HASH_SEED, &world->policy) < 0)
		abort();
}

void close_world(struct world *world)
{
	moat_policy_free(world->policy);
	moat_cells_deinit(&world->cells);
	oracle_memory_free(world->for_gate.memory);
	oracle_memory_free(world->for_policy.memory);
	oracle_cells_deinit(&world->worker_cells);
	for (uint32_t cpu = 0; cpu < world->gate.cpus; cpu++)
		oracle_cells_deinit(&world->gate_cells[cpu]);
	replay_gate_close(&world->gate);
}
