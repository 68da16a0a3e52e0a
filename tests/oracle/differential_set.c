/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See differential.h: rule sets, and the counts behind them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"
#include "tests/oracle/differential.h"
#include "tests/oracle/oracle_stages.h"
#include "tests/oracle/replay/clock.h"

#define RARELY (1U << 24) /* one in so many packets is sampled */
/* Between two sets: every bucket is full again, every cell idle. */
#define PAUSE_MS 200000000

/* Some of the sources that the frames will have. */
static void make_known(struct world *world)
{
	struct moat_known *known[] = { moat_policy_known(world->policy),
				       moat_gate_known(world->gate.fixture.gate) };

	memset(known[0], 0, sizeof(*known[0]));
	memset(known[1], 0, sizeof(*known[1]));
	for (size_t i = 0; i < MOAT_ORACLE_KNOWN_MAX; i++) {
		uint8_t frame[MOAT_GENERATE_FRAME_LEN];
		struct moat_headers headers;
		size_t length = moat_generate_frame(&world->generator, &world->settings, world->set,
						    frame);

		moat_oracle_parse(&world->settings, frame, length, length, &headers);
		world->for_gate.known[i] = world->for_policy.known[i] = headers.src;
		moat_known_add(known[0], &headers.src, HASH_SEED);
		moat_known_add(known[1], &headers.src, HASH_SEED);
	}
	world->for_gate.known_count = world->for_policy.known_count = MOAT_ORACLE_KNOWN_MAX;
}

/* Empties the set but for its memory of ids: an id never comes again. */
static void clear_set(struct moat_ruleset *set)
{
	const struct moat_prefix *prefixes;
	const struct moat_rule *rules;
	size_t count;

	while (rules = moat_ruleset_rules(set, &count), count > 0)
		moat_ruleset_del(set, rules[count - 1].id);
	for (enum moat_list list = MOAT_LIST_ALLOW; list <= MOAT_LIST_DENY; list++) {
		while (prefixes = moat_ruleset_prefixes(set, list, &count), count > 0) {
			struct moat_prefix prefix = prefixes[count - 1];

			moat_ruleset_list_del(set, list, &prefix);
		}
	}
}

void begin_oracle(const struct world *world, struct moat_oracle *oracle, uint64_t ticks,
		  uint32_t ticks_per_s)
{
	struct oracle_memory *memory = oracle->memory;

	memset(oracle, 0, sizeof(*oracle));
	oracle->memory = memory;
	oracle->set = world->set;
	oracle->settings = world->settings;
	oracle->clock = (struct moat_oracle_clock){
		.ns = replay_clock.ms * MOAT_NS_PER_MS,
		.ticks = ticks,
		.ticks_per_s = ticks_per_s,
	};
}

void begin_set(struct world *world)
{
	static const size_t sizes[] = { 0, 1, 3, 3, 10, 10, 10, 30, 30, 64, 65, 200, 1024 };
	size_t rules = sizes[moat_generate_below(&world->generator, MOAT_ARRAY_SIZE(sizes))];

	clear_set(world->set);
	replay_clock.ms += PAUSE_MS;
	moat_generate_stages(&world->generator, world->set);
	moat_generate_ruleset(&world->generator, world->set, rules,
			      moat_generate_below(&world->generator, 12),
			      replay_clock.ms * MOAT_NS_PER_MS);
	begin_oracle(world, &world->for_gate, replay_clock_ticks(), replay_clock.ticks_per_s);
	begin_oracle(world, &world->for_policy, replay_clock.ms, 1000);
	world->for_gate.settings.port = "lo"; /* which the gate is on */
	choose_challenge(world);
	world->for_gate.settings.challenge = &world->challenges[0];
	world->for_policy.settings.challenge = &world->challenges[1];
	make_known(world);
	/* a commit leaves out what has expired; the oracle would still count it among the candidates */
	moat_ruleset_expire(world->set, replay_clock.ms * MOAT_NS_PER_MS);
	CU_ASSERT_EQUAL_FATAL(moat_policy_commit(world->policy, world->set, NULL), 0);
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&world->gate.fixture));
	world->sampled = moat_generate_below(&world->generator, 3) != 0;
	moat_gate_set_sampling(world->gate.fixture.gate, world->sampled ? 1 : RARELY,
			       world->sampled ? 1 : RARELY);
	world->sets++;
}

bool change_list(struct world *world)
{
	enum moat_list list = moat_generate_below(&world->generator, 3) ? MOAT_LIST_DENY
									: MOAT_LIST_ALLOW;
	uint8_t frame[MOAT_GENERATE_FRAME_LEN];
	struct moat_headers headers;
	struct moat_prefix prefix;
	size_t length;

	if (!world->for_gate.set)
		return true;
	length = moat_generate_frame(&world->generator, &world->settings, world->set, frame);
	moat_oracle_parse(&world->settings, frame, length, length, &headers);
	if (headers.family == MOAT_FAMILY_ANY)
		return true;
	/* what is kept of its source must not outlive the change */
	if (!compare_packet(world, 0, frame, length))
		return false;
	prefix = moat_prefix_host(&headers.src);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_list_has(world->set, list, &prefix)
				      ? moat_ruleset_list_del(world->set, list, &prefix)
				      : moat_ruleset_list_add(world->set, list, &prefix),
			      0);
	CU_ASSERT_EQUAL_FATAL(moat_gate_patch(world->gate.fixture.gate, world->set, list, &prefix),
			      0);
	CU_ASSERT_EQUAL_FATAL(moat_policy_patch(world->policy, world->set, list, &prefix), 0);
	return compare_packet(world, 0, frame, length);
}

/* When a rule samples is left to chance. */
static bool count_agrees(const char *who, const struct moat_rule *rule,
			 struct moat_rule_count count, const struct moat_rule_count *expected)
{
	if (count.packets == expected->packets && count.bytes == expected->bytes &&
	    (rule->action == MOAT_ACTION_SAMPLE || count.acted == expected->acted))
		return true;
	fprintf(stderr,
		"rule %u: %s counts %" PRIu64 " packets, %" PRIu64 " acted, %" PRIu64
		" bytes, oracle %" PRIu64 ", %" PRIu64 ", %" PRIu64 "\n",
		rule->id, who, (uint64_t)count.packets, (uint64_t)count.acted, (uint64_t)count.bytes,
		(uint64_t)expected->packets, (uint64_t)expected->acted, (uint64_t)expected->bytes);
	return false;
}

static uint64_t expired_matches(const struct world *world)
{
	uint64_t sum = 0;

	for (uint32_t cpu = 0; cpu < world->gate.cpus; cpu++)
		sum += replay_gate_counters(&world->gate, cpu)->rules_expired;
	return sum;
}

static bool profiles_agree(const struct world *world)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(world->set);
	bool agree = true;

	for (size_t i = 0; stages && i < stages->protection_count; i++) {
		struct moat_profile_hits gate = moat_gate_profile_hits(world->gate.fixture.gate,
								       (uint32_t)i + 1);
		struct moat_profile_hits policy = moat_policy_profile_hits(world->policy,
									   (uint32_t)i + 1);
		uint64_t matched[2], dropped[2];

		oracle_profile_hits(&world->for_gate, i, &matched[0], &dropped[0]);
		oracle_profile_hits(&world->for_policy, i, &matched[1], &dropped[1]);
		if (gate.matched == matched[0] && gate.dropped == dropped[0] &&
		    policy.matched == matched[1] && policy.dropped == dropped[1])
			continue;
		fprintf(stderr,
			"protection %zu: gate %" PRIu64 "/%" PRIu64 " policy %" PRIu64 "/%" PRIu64
			", oracle %" PRIu64 "/%" PRIu64 " and %" PRIu64 "/%" PRIu64 "\n",
			i + 1, (uint64_t)gate.dropped, (uint64_t)gate.matched,
			(uint64_t)policy.dropped, (uint64_t)policy.matched, dropped[0], matched[0],
			dropped[1], matched[1]);
		agree = false;
	}
	return agree;
}

/* Every count that the packets of a set should have left. */
bool end_set(struct world *world)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(world->set, &count);
	bool agree = true;

	for (size_t i = 0; i < count; i++) {
		uint32_t slot = rules[i].slot;

		if (!count_agrees("gate", &rules[i],
				  moat_gate_rule_count(world->gate.fixture.gate, slot),
				  &world->for_gate.counts[i]) ||
		    !count_agrees("policy", &rules[i], moat_policy_rule_count(world->policy, slot),
				  &world->for_policy.counts[i]))
			agree = false;
	}
	if (!profiles_agree(world))
		agree = false;
	if (!challenges_agree(world))
		agree = false;
	for (uint32_t cpu = 0; cpu < world->gate.cpus; cpu++) {
		const struct moat_gate_counters *counters = replay_gate_counters(&world->gate, cpu);

		if (memcmp(counters->reasons, world->expected[cpu].reasons,
			   sizeof(counters->reasons)) == 0 &&
		    counters->helper_errors == 0 && counters->samples_lost == 0)
			continue;
		fprintf(stderr, "CPU %u: a reason counted twice, or an error\n", cpu);
		agree = false;
	}
	world->expired += world->for_gate.expired;
	if (expired_matches(world) == world->expired)
		return agree;
	fprintf(stderr, "gate: %" PRIu64 " matches of expired rules, oracle %" PRIu64 "\n",
		expired_matches(world), world->expired);
	return false;
}
