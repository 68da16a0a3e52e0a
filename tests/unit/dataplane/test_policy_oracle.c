/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The workers' parser and judge against the oracle: random rule sets, each with frames aimed at its
 * edges. Reason, rule and headers must be equal for each. MOAT_TEST_SEED repeats or varies a run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/parse.h"
#include "dataplane/policy.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"
#include "tests/oracle/generate.h"
#include "tests/oracle/oracle.h"

#define SETS 150
#define FRAMES 700
#define HASH_SEED 99
#define SEED_DEFAULT 20240601

static const struct moat_tunnels tunnels = { .kinds = MOAT_STAGE_TUNNELS, .geneve_port = 6082 };

struct comparison {
	struct moat_generator generator;
	struct moat_policy *policy;
	uint64_t now_ms;
	uint64_t reasons[MOAT_REASON_COUNT];
};

static void explain(const struct moat_ruleset *set, const uint8_t *frame, size_t length,
		    enum moat_reason reason, uint32_t id, enum moat_reason expected,
		    uint32_t expected_id)
{
	const uint32_t ids[] = { id, expected_id };
	char text[MOAT_RULE_TEXT_LEN];

	fprintf(stderr,
		"judge %s rule %u, oracle %s rule %u, frame of %zu:", moat_reason_name(reason), id,
		moat_reason_name(expected), expected_id, length);
	for (size_t i = 0; i < length && i < 120; i++)
		fprintf(stderr, " %02x", frame[i]);
	fputc('\n', stderr);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(ids); i++) {
		if (ids[i])
			fprintf(stderr, "  rule %u: %s\n", ids[i],
				moat_rule_format(moat_ruleset_find(set, ids[i]), 0, text));
	}
}

static bool compare_frame(struct comparison *comparison, struct moat_oracle *oracle)
{
	struct moat_judge *judge = moat_policy_judge(comparison->policy, 0);
	struct moat_headers headers, expected_headers;
	uint8_t frame[MOAT_GENERATE_FRAME_LEN];
	enum moat_parse parse, expected_parse;
	enum moat_reason reason, expected;
	uint32_t id, expected_id;
	size_t length;

	length = moat_generate_frame(&comparison->generator, &oracle->settings, oracle->set, frame);
	parse = moat_headers_parse(frame, length, length, &headers);
	if (parse == MOAT_PARSE_OK)
		moat_headers_enter_tunnel(&tunnels, frame, length, &headers);
	expected_parse = moat_oracle_parse(&oracle->settings, frame, length, length,
					   &expected_headers);
	reason = moat_judge_packet(judge, &headers, parse, comparison->now_ms, &id);
	expected = moat_oracle_judge(oracle, &expected_headers, expected_parse, comparison->now_ms,
				     &expected_id);
	moat_judge_quiesce(judge);
	comparison->reasons[reason]++;
	if (reason == expected && id == expected_id &&
	    (parse != MOAT_PARSE_OK || memcmp(&headers, &expected_headers, sizeof(headers)) == 0))
		return true;
	explain(oracle->set, frame, length, reason, id, expected, expected_id);
	return false;
}

/* Some of the sources that the frames will have. */
static void make_known(struct comparison *comparison, struct moat_oracle *oracle)
{
	struct moat_known *known = moat_policy_known(comparison->policy);

	memset(known, 0, sizeof(*known));
	while (oracle->known_count < MOAT_ORACLE_KNOWN_MAX) {
		struct moat_addr *addr = &oracle->known[oracle->known_count++];
		uint8_t frame[MOAT_GENERATE_FRAME_LEN];
		struct moat_headers headers;
		size_t length = moat_generate_frame(&comparison->generator, &oracle->settings,
						    oracle->set, frame);

		moat_oracle_parse(&oracle->settings, frame, length, length, &headers);
		*addr = headers.src;
		moat_known_add(known, addr, HASH_SEED);
	}
}

static bool counts_agree(const struct comparison *comparison, const struct moat_oracle *oracle)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(oracle->set, &count);

	for (size_t i = 0; i < count; i++) {
		struct moat_rule_count hits = moat_policy_rule_count(comparison->policy,
								     rules[i].slot);

		if (hits.packets != oracle->counts[i].packets ||
		    hits.bytes != oracle->counts[i].bytes)
			return false;
	}
	return true;
}

/* Keys that the oracle knows: zeros. */
static const struct oracle_challenge_settings challenge = {
	.lifetime_s = MOAT_CHALLENGE_LIFETIME_DEFAULT,
	.prefix_pps = MOAT_CHALLENGE_PREFIX_PPS_DEFAULT,
};

static void set_challenge(struct moat_policy *policy)
{
	struct moat_challenge_options options = moat_challenge_default();
	struct moat_challenge_state *state = moat_policy_challenge(policy);

	moat_policy_set_challenge(policy, &options);
	memset(state->keys, 0, sizeof(state->keys));
	memset(state->seed, 0, sizeof(state->seed));
}

static bool compare_frames(struct comparison *comparison, struct moat_oracle *oracle)
{
	for (int i = 0; i < FRAMES; i++) {
		if (!compare_frame(comparison, oracle))
			return false;
		comparison->now_ms += moat_generate_below(&comparison->generator, 4);
	}
	return counts_agree(comparison, oracle);
}

static bool compare_set(struct comparison *comparison, size_t rules, size_t prefixes)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	static struct moat_oracle oracle; /* too much for a stack */
	bool agree;

	memset(&oracle, 0, sizeof(oracle));
	oracle.memory = oracle_memory_new(1); /* no stage of these sets has rows */
	CU_ASSERT_PTR_NOT_NULL_FATAL(oracle.memory);
	oracle.settings = (struct moat_oracle_settings){ .stages = MOAT_STAGES_DEFAULT |
								   tunnels.kinds,
							 .judges = 1,
							 .challenge = &challenge,
							 .vxlan_port = MOAT_VXLAN_PORT,
							 .geneve_port = tunnels.geneve_port };
	oracle.clock.ticks_per_s = 1000;
	/* ids begin again with each set, so no bucket may be left from the one before */
	moat_policy_free(comparison->policy);
	CU_ASSERT_EQUAL_FATAL(moat_policy_new(1, HASH_SEED, &comparison->policy), 0);
	set_challenge(comparison->policy);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	moat_generate_ruleset(&comparison->generator, set, rules, prefixes,
			      comparison->now_ms * 1000000);
	CU_ASSERT_EQUAL_FATAL(moat_policy_commit(comparison->policy, set, NULL), 0);
	oracle.set = set;
	make_known(comparison, &oracle);
	agree = compare_frames(comparison, &oracle);
	oracle_memory_free(oracle.memory);
	return agree;
}

static void test_agree(void)
{
	static const size_t sizes[] = { 0, 1, 3, 10, 10, 30, 30, 64, 65, 200, 1024 };
	uint64_t seed = moat_generator_seed(SEED_DEFAULT);
	struct comparison comparison = { .now_ms = 1000000000 };

	moat_generator_init(&comparison.generator, seed);
	for (int i = 0; i < SETS; i++) {
		size_t rules = sizes[moat_generate_below(&comparison.generator,
							 MOAT_ARRAY_SIZE(sizes))];
		bool agree = compare_set(&comparison, rules,
					 moat_generate_below(&comparison.generator, 12));

		CU_ASSERT_TRUE(agree);
		if (!agree) {
			fprintf(stderr, "set %d, MOAT_TEST_SEED=%" PRIu64 "\n", i, seed);
			break;
		}
	}
	moat_policy_free(comparison.policy);
	/* the frames reached every reason that a judge can give */
	for (uint32_t reason = 0; reason <= MOAT_REASON_DROP_LIMIT; reason++) {
		if (reason < MOAT_REASON_PASS_NO_TABLE || reason > MOAT_REASON_PASS_NO_TARGET)
			CU_ASSERT(comparison.reasons[reason] > 50);
		printf("%s %" PRIu64 "\n", moat_reason_name(reason), comparison.reasons[reason]);
	}
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "agree", test_agree },
		{ NULL, NULL },
	};

	return moat_test_main("policy-oracle", tests);
}
