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
#include <string.h>

#include <linux/bpf.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/cells.h"
#include "dataplane/gate_internal.h"
#include "dataplane/parse.h"
#include "dataplane/policy.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"
#include "tests/oracle/generate.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/oracle_cells.h"
#include "tests/oracle/oracle_stages.h"
#include "tests/oracle/replay/clock.h"
#include "tests/oracle/replay/gate.h"

#define PACKETS_DEFAULT 50000
#define PACKETS_SLOW 3000
#define SEED_DEFAULT 20240607
#define HASH_SEED 0x6d6f6174
#define CELLS 1024         /* few: hosts compete for them */
#define FRAMES_WITHOUT 300 /* a policy */
#define ROW_BUCKETS 1024
#define SETS_A_LOAD 12
#define FRAMES_MOST 2000 /* with one rule set */
/* Between two sets: every bucket is full again, every cell idle. */
#define PAUSE_MS 200000000

/* What a judge says of a packet. */
struct answer {
	const char *who;
	enum moat_reason reason;
	uint32_t rule_id;
	enum moat_parse parse;
	struct moat_headers headers;
};

struct world {
	struct moat_generator generator;
	struct moat_oracle_settings settings;
	struct moat_tunnels tunnels;
	struct replay_gate gate;
	struct moat_policy *policy;
	struct moat_ruleset *set;
	/* what the gate and the policy have to say; their clocks differ */
	struct moat_oracle for_gate, for_policy;
	struct moat_gate_counters expected[REPLAY_CPUS];
	struct oracle_cells gate_cells[REPLAY_CPUS], worker_cells;
	struct moat_cells cells; /* of a worker; one for all */
	bool sampled;            /* every packet of this set; without, the gate has shorter ways */
	uint64_t packets, sets, expired;
	uint64_t reasons[MOAT_REASON_COUNT];
};

static uint64_t packets_wanted(void)
{
	const char *text = getenv("MOAT_TEST_PACKETS");

	if (text && *text)
		return strtoull(text, NULL, 0);
	/* emulated machines say so */
	return getenv("MOAT_TEST_SLOW") ? PACKETS_SLOW : PACKETS_DEFAULT;
}

/* ---- what went wrong -------------------------------------------------------------------------- */

static void print_answer(const struct world *world, const struct answer *answer)
{
	const struct moat_rule *rule = answer->rule_id
					       ? moat_ruleset_find(world->set, answer->rule_id)
					       : NULL;
	char text[MOAT_RULE_TEXT_LEN];
	const uint8_t *bytes = (const uint8_t *)&answer->headers;

	fprintf(stderr, "%-7s %s rule %u parse %u headers", answer->who,
		moat_reason_name(answer->reason), answer->rule_id, answer->parse);
	for (size_t i = 0; i < sizeof(answer->headers); i++)
		fprintf(stderr, "%s%02x", i % 16 ? "" : " ", bytes[i]);
	fputc('\n', stderr);
	if (rule)
		fprintf(stderr, "        %s\n", moat_rule_format(rule, 0, text));
}

/* What the stages were asked to do with sources and destinations. */
static void print_stages(const struct world *world)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(world->set);
	char text[MOAT_PREFIX_TEXT_LEN];

	fprintf(stderr, "stages %05x%s\n", world->settings.stages, stages ? "" : ", nothing asked");
	for (size_t i = 0; stages && i < stages->source_count; i++) {
		const struct moat_source_limit *limit = &stages->sources[i];

		fprintf(stderr,
			"  source %s: %" PRIu64 "/s burst %" PRIu64 ", %" PRIu64
			" bytes/s burst %" PRIu64 ", by /%u and /%u\n",
			limit->prefix.family ? moat_prefix_format(&limit->prefix, text) : "any",
			limit->packets.per_s, limit->packets.burst, limit->bytes.per_s,
			limit->bytes.burst, limit->v4_len, limit->v6_len);
	}
	for (size_t i = 0; stages && i < stages->protection_count; i++) {
		const struct moat_protection *protection = &stages->protections[i];

		fprintf(stderr, "  protection %s%s:", moat_prefix_format(&protection->prefix, text),
			protection->each ? " each" : "");
		for (size_t kind = 0; kind < MOAT_KIND_COUNT; kind++)
			fprintf(stderr, " %" PRIu64 "/s burst %" PRIu64,
				protection->rates[kind].per_s, protection->rates[kind].burst);
		fputc('\n', stderr);
	}
}

static bool explain(const struct world *world, const uint8_t *frame, size_t length,
		    const struct answer *answer, const struct answer *expected)
{
	fprintf(stderr, "packet %" PRIu64 " at %" PRIu64 " ms, %zu bytes:", world->packets,
		replay_clock.ms, length);
	for (size_t i = 0; i < length && i < 160; i++)
		fprintf(stderr, " %02x", frame[i]);
	fputc('\n', stderr);
	print_stages(world);
	print_answer(world, answer);
	print_answer(world, expected);
	return false;
}

/* ---- one packet ------------------------------------------------------------------------------- */

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

/* The longest windows of 2^n ticks up to 128 ms. */
static uint32_t window_of(uint64_t ticks, uint32_t ticks_per_s)
{
	uint64_t length = 1;

	while (2 * length * 1000 <= 128ULL * ticks_per_s)
		length *= 2;
	return (uint32_t)(ticks / length);
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

static bool check_gate(struct world *world, uint32_t cpu, const uint8_t *frame, size_t length)
{
	struct answer expected = ask_oracle(&world->for_gate, cpu, frame, length,
					    replay_clock_ticks());
	int action = replay_gate_run(&world->gate, cpu, frame, length);
	const struct moat_sample *sample = &world->gate.sample;
	struct answer answer = { "gate", sample->reason, sample->rule_id, sample->parse,
				 sample->headers };
	struct moat_gate_cells cells;

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
	moat_gate_cells(world->gate.fixture.gate, cpu, &cells);
	return cells_agree("gate", oracle_cells_check(&world->gate_cells[cpu], &expected.headers,
						      window_of(replay_clock_ticks(),
								replay_clock.ticks_per_s),
						      is_stopped(expected.reason), cells.head)) ||
	       explain(world, frame, length, &answer, &expected);
}

/* ---- one rule set ----------------------------------------------------------------------------- */

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

static void begin_oracle(const struct world *world, struct moat_oracle *oracle, uint64_t ticks,
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

static void begin_set(struct world *world)
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
	make_known(world);
	/* a commit leaves out what has expired; the oracle would still count it among the candidates */
	moat_ruleset_expire(world->set, replay_clock.ms * MOAT_NS_PER_MS);
	CU_ASSERT_EQUAL_FATAL(moat_policy_commit(world->policy, world->set, NULL), 0);
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&world->gate.fixture));
	world->sampled = moat_generate_below(&world->generator, 3) != 0;
	moat_gate_set_sampling(world->gate.fixture.gate, world->sampled, world->sampled);
	world->sets++;
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
static bool end_set(struct world *world)
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

static bool compare_frames(struct world *world, uint64_t frames)
{
	for (uint64_t i = 0; i < frames; i++) {
		uint8_t frame[MOAT_GENERATE_FRAME_LEN];
		size_t length = moat_generate_frame(&world->generator, &world->settings, world->set,
						    frame);
		uint32_t cpu = moat_generate_below(&world->generator, world->gate.cpus);

		world->packets++;
		if (!check_gate(world, cpu, frame, length) ||
		    !check_policy(world, cpu, frame, length))
			return false;
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
		oracle_cells_init(&world.gate_cells[cpu], ORACLE_NEIGHBOURS, CELLS, HASH_SEED);
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
