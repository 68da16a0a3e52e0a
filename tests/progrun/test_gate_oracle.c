/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate against the oracle: random rule sets, frames aimed at their edges, each run through the real
 * program. The reason must be the oracle's, and the hit must be on its rule. The time of a test run can't
 * be set, so no rule here expires and a limit is compared by its rule, not by its budget; both are
 * compared exactly where the clock is ours (tests/unit/dataplane/test_policy_oracle.c), on code that
 * the two judges share.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"
#include "tests/oracle/generate.h"
#include "tests/oracle/oracle.h"
#include "tests/progrun/gate_fixture.h"

#define SETS 40
#define FRAMES 250
#define SEED_DEFAULT 20240602

static struct gate_fixture fixture;
static struct moat_generator generator;

static void renew_set(size_t rules, size_t prefixes)
{
	moat_ruleset_free(fixture.set);
	fixture.set = NULL;
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&fixture.set), 0);
	moat_generate_ruleset(&generator, fixture.set, rules, prefixes, 0);
	moat_ruleset_expire(fixture.set, UINT64_MAX);
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&fixture));
}

static void make_known(struct moat_oracle *oracle)
{
	struct moat_known *known = moat_gate_known(fixture.gate);

	memset(known, 0, sizeof(*known));
	while (oracle->known_count < MOAT_ORACLE_KNOWN_MAX) {
		struct moat_addr *addr = &oracle->known[oracle->known_count++];
		uint8_t frame[MOAT_GENERATE_FRAME_LEN];
		struct moat_headers headers;
		size_t length = moat_generate_frame(&generator, fixture.set, frame);

		moat_oracle_parse(frame, length, length, &headers);
		*addr = headers.src;
		moat_known_add(known, addr, moat_gate_hash_seed(fixture.gate));
	}
}

static bool is_limit(enum moat_reason reason)
{
	return reason == MOAT_REASON_PASS_LIMIT || reason == MOAT_REASON_DROP_LIMIT;
}

static bool compare_frame(struct moat_oracle *oracle)
{
	uint8_t frame[MOAT_GENERATE_FRAME_LEN];
	enum moat_reason reason, expected;
	const struct moat_rule *rule;
	uint64_t hits = 0;
	uint32_t id;
	size_t length;

	length = moat_generate_frame(&generator, fixture.set, frame);
	expected = moat_oracle_judge_frame(oracle, frame, length, length, 0, &id);
	rule = id ? moat_ruleset_find(fixture.set, id) : NULL;
	if (rule)
		hits = moat_gate_hits(fixture.gate, rule->slot);
	reason = gate_fixture_reason(&fixture, frame, length);
	if ((reason == expected || (is_limit(reason) && is_limit(expected))) &&
	    (!rule || moat_gate_hits(fixture.gate, rule->slot) == hits + 1))
		return true;
	fprintf(stderr, "gate %s, oracle %s rule %u, frame of %zu:", moat_reason_name(reason),
		moat_reason_name(expected), id, length);
	for (size_t i = 0; i < length && i < 120; i++)
		fprintf(stderr, " %02x", frame[i]);
	fputc('\n', stderr);
	return false;
}

static void test_agree(void)
{
	static const size_t sizes[] = { 0, 1, 3, 10, 30, 64, 65, 200, 1024 };
	uint64_t seed = moat_generator_seed(SEED_DEFAULT);

	moat_generator_init(&generator, seed);
	for (int i = 0; i < SETS; i++) {
		struct moat_oracle oracle = { .clock = { .ticks_per_s = 1000 } };
		bool agree = true;

		renew_set(sizes[moat_generate_below(&generator, MOAT_ARRAY_SIZE(sizes))],
			  moat_generate_below(&generator, 12));
		oracle.set = fixture.set;
		make_known(&oracle);
		for (int n = 0; n < FRAMES && agree; n++)
			agree = compare_frame(&oracle);
		CU_ASSERT_TRUE(agree);
		if (!agree) {
			fprintf(stderr, "set %d, MOAT_TEST_SEED=%" PRIu64 "\n", i, seed);
			return;
		}
	}
}

/* The rule that decides is the last that is looked at, and then the first that isn't. */
static void test_tries(void)
{
	for (int counts = MOAT_RULE_TRIES - 1; counts <= MOAT_RULE_TRIES; counts++) {
		struct moat_oracle oracle = { .clock = { .ticks_per_s = 1000 } };
		char text[64];

		renew_set(0, 0);
		for (int i = 0; i < counts; i++) {
			snprintf(text, sizeof(text), "count len 0-%d", 60000 + i);
			CU_ASSERT_TRUE(gate_fixture_rule(&fixture, text));
		}
		CU_ASSERT_TRUE(gate_fixture_rule(&fixture, "drop len 0-59999"));
		CU_ASSERT_TRUE(gate_fixture_commit(&fixture));
		oracle.set = fixture.set;
		for (int n = 0; n < 20; n++)
			CU_ASSERT_TRUE(compare_frame(&oracle));
	}
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "agree", test_agree },
		{ "tries", test_tries },
		{ NULL, NULL },
	};
	int r;

	gate_fixture_open(&fixture, &(struct moat_gate_options){ 0 });
	r = moat_test_main("gate-oracle", tests);
	gate_fixture_close(&fixture);
	return r;
}
