/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/policy.c: order of judgement, limits over judges, known sources, expiry, hits, swapping
 * under load. What rules match is compared with the oracle in tests/oracle. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/policy.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"

struct setup {
	struct moat_policy *policy;
	struct moat_ruleset *set;
	struct moat_judge *judge;
};

static void teardown(struct setup *setup)
{
	moat_policy_free(setup->policy);
	moat_ruleset_free(setup->set);
}

static struct setup setup_new(uint32_t judges)
{
	struct setup setup = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_policy_new(judges, 42, &setup.policy), 0);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&setup.set), 0);
	setup.judge = moat_policy_judge(setup.policy, 0);
	return setup;
}

static uint32_t add(struct setup *setup, const char *text)
{
	struct moat_rule rule = moat_rule_default();
	uint32_t id = 0;

	CU_ASSERT_EQUAL(moat_rule_parse(text, 1000000, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_ruleset_add(setup->set, &rule, &id), 0);
	return id;
}

static void list(struct setup *setup, enum moat_list which, const char *text)
{
	struct moat_prefix prefix = { 0 };

	CU_ASSERT_EQUAL(moat_prefix_parse(text, &prefix), 0);
	CU_ASSERT_EQUAL(moat_ruleset_list_add(setup->set, which, &prefix), 0);
}

static void commit(struct setup *setup)
{
	CU_ASSERT_EQUAL(moat_policy_commit(setup->policy, setup->set, NULL), 0);
}

static struct moat_headers udp_from(const char *src)
{
	struct moat_headers headers = {
		.family = MOAT_FAMILY_V4,
		.proto = 17,
		.has_ports = 1,
		.sport = 1234,
		.dport = 53,
		.l3_len = 60,
	};

	CU_ASSERT_EQUAL(moat_addr_parse(src, &headers.src), 0);
	CU_ASSERT_EQUAL(moat_addr_parse("198.51.100.1", &headers.dst), 0);
	return headers;
}

static enum moat_reason judge_at(struct moat_judge *judge, const struct moat_headers *headers,
				 uint64_t now_ms)
{
	uint32_t id;

	return moat_judge_packet(judge, headers, MOAT_PARSE_OK, now_ms, &id);
}

static void test_order(void)
{
	moat_cleanup(teardown) struct setup setup = setup_new(1);
	struct moat_headers headers = udp_from("192.0.2.1");
	uint32_t id = 7, expected;

	CU_ASSERT_EQUAL(moat_judge_packet(setup.judge, &headers, MOAT_PARSE_OK, 0, &id),
			MOAT_REASON_PASS_NO_TABLE);
	CU_ASSERT_EQUAL(id, 0);
	moat_judge_quiesce(setup.judge);
	commit(&setup);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &headers, 0), MOAT_REASON_PASS_DEFAULT);
	moat_judge_quiesce(setup.judge);

	expected = add(&setup, "drop proto udp");
	add(&setup, "pass dport 53");
	commit(&setup);
	CU_ASSERT_EQUAL(moat_judge_packet(setup.judge, &headers, MOAT_PARSE_OK, 0, &id),
			MOAT_REASON_DROP_RULE);
	CU_ASSERT_EQUAL(id, expected);
	moat_judge_quiesce(setup.judge);

	expected = add(&setup, "pass sport 1000-2000 priority 1");
	commit(&setup);
	CU_ASSERT_EQUAL(moat_judge_packet(setup.judge, &headers, MOAT_PARSE_OK, 0, &id),
			MOAT_REASON_PASS_RULE);
	CU_ASSERT_EQUAL(id, expected);
	moat_judge_quiesce(setup.judge);

	list(&setup, MOAT_LIST_DENY, "192.0.2.0/24");
	commit(&setup);
	CU_ASSERT_EQUAL(moat_judge_packet(setup.judge, &headers, MOAT_PARSE_OK, 0, &id),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(id, 0);
	moat_judge_quiesce(setup.judge);

	list(&setup, MOAT_LIST_ALLOW, "192.0.2.1");
	commit(&setup);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &headers, 0), MOAT_REASON_PASS_ALLOWED);
	CU_ASSERT_EQUAL(moat_judge_packet(setup.judge, &headers, MOAT_PARSE_TRUNCATED, 0, &id),
			MOAT_REASON_PASS_TRUNCATED);
	CU_ASSERT_EQUAL(moat_judge_packet(setup.judge, &headers, MOAT_PARSE_NOT_IP, 0, &id),
			MOAT_REASON_PASS_NOT_IP);
	CU_ASSERT_EQUAL(moat_judge_packet(setup.judge, &headers, MOAT_PARSE_MALFORMED, 0, &id),
			MOAT_REASON_PASS_MALFORMED);
	CU_ASSERT_EQUAL(moat_judge_packet(setup.judge, &headers, MOAT_PARSE_DEPTH, 0, &id),
			MOAT_REASON_PASS_DEPTH);
	moat_judge_quiesce(setup.judge);
}

/* Packets that pass of `count` at one moment, dealt out over all judges. */
static unsigned int passed(struct setup *setup, uint32_t judges, const struct moat_headers *headers,
			   unsigned int count, uint64_t now_ms)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct moat_judge *judge = moat_policy_judge(setup->policy, i % judges);
		enum moat_reason reason = judge_at(judge, headers, now_ms);

		CU_ASSERT(reason == MOAT_REASON_PASS_LIMIT || reason == MOAT_REASON_DROP_LIMIT);
		n += reason == MOAT_REASON_PASS_LIMIT;
		moat_judge_quiesce(judge);
	}
	return n;
}

static void test_limit(void)
{
	moat_cleanup(teardown) struct setup setup = setup_new(3);
	struct moat_headers headers = udp_from("192.0.2.1");
	const uint64_t start = 1024 * 1000;

	add(&setup, "limit 10000/s proto udp");
	commit(&setup);
	/* 625 at once, 10 a millisecond, whoever judges */
	CU_ASSERT_EQUAL(passed(&setup, 1, &headers, 5000, start), 625);
	CU_ASSERT_EQUAL(passed(&setup, 3, &headers, 5000, start), 0);
	CU_ASSERT_EQUAL(passed(&setup, 3, &headers, 5000, start + 20), 200);
	/* what one judge has taken and not spent, a lot of 32 at most, waits for it */
	CU_ASSERT_EQUAL(passed(&setup, 2, &headers, 100, start + 30), 50 + 36);
	CU_ASSERT_EQUAL(passed(&setup, 3, &headers, 5000, start + 60), 14 + 300);
	/* full again, and no fuller */
	CU_ASSERT_EQUAL(passed(&setup, 3, &headers, 5000, start + 60 + 63), 625);
	CU_ASSERT_EQUAL(passed(&setup, 2, &headers, 5000, start + 100000), 625);
	/* a judge whose clock is behind has no tokens of its own */
	CU_ASSERT_EQUAL(judge_at(moat_policy_judge(setup.policy, 1), &headers, start + 99999),
			MOAT_REASON_DROP_LIMIT);
	moat_judge_quiesce(moat_policy_judge(setup.policy, 1));
	/* a clock that began again isn't locked out */
	CU_ASSERT_EQUAL(passed(&setup, 1, &headers, 5000, 1), 625);
}

static void test_small_limit(void)
{
	moat_cleanup(teardown) struct setup setup = setup_new(2);
	struct moat_headers headers = udp_from("192.0.2.1");
	unsigned int sum = 0;

	add(&setup, "limit 3/s proto udp");
	commit(&setup);
	for (uint64_t ms = 0; ms < 10240; ms += 4)
		sum += passed(&setup, 2, &headers, 2, ms);
	/* 10.24 s, after one at once */
	CU_ASSERT_EQUAL(sum, 31);
}

static void test_known(void)
{
	moat_cleanup(teardown) struct setup setup = setup_new(1);
	struct moat_headers known = udp_from("192.0.2.1"), unknown = udp_from("192.0.2.2");

	moat_known_add(moat_policy_known(setup.policy), &known.src, 42);
	add(&setup, "limit 1/s prefer-known proto udp");
	commit(&setup);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &unknown, 1), MOAT_REASON_PASS_LIMIT);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &unknown, 1), MOAT_REASON_DROP_LIMIT);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &known, 1), MOAT_REASON_PASS_KNOWN);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &known, 1), MOAT_REASON_PASS_KNOWN);
	moat_judge_quiesce(setup.judge);
}

static void test_expiry_and_tries(void)
{
	moat_cleanup(teardown) struct setup setup = setup_new(1);
	struct moat_headers headers = udp_from("192.0.2.1");
	char text[64];

	/* expires at 1 ms + 1 s */
	for (int i = 0; i < MOAT_RULE_TRIES; i++) {
		snprintf(text, sizeof(text), "drop dport %d-53 priority %d for 1s", i + 1, i);
		add(&setup, text);
	}
	add(&setup, "pass dport 53");
	commit(&setup);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &headers, 1000), MOAT_REASON_DROP_RULE);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &headers, 1001), MOAT_REASON_PASS_DEFAULT);
	moat_judge_quiesce(setup.judge);
	CU_ASSERT_EQUAL(moat_ruleset_del(setup.set, 1), 0);
	commit(&setup);
	CU_ASSERT_EQUAL(judge_at(setup.judge, &headers, 1001), MOAT_REASON_PASS_RULE);
	moat_judge_quiesce(setup.judge);
}

static void test_hits(void)
{
	moat_cleanup(teardown) struct setup setup = setup_new(2);
	struct moat_headers headers = udp_from("192.0.2.1");
	uint32_t counting, dropping;

	counting = add(&setup, "count proto udp priority 1");
	dropping = add(&setup, "drop proto udp");
	add(&setup, "drop dport 53 priority 2000");
	commit(&setup);
	for (uint32_t i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(judge_at(moat_policy_judge(setup.policy, i % 2), &headers, 1),
				MOAT_REASON_DROP_RULE);
		moat_judge_quiesce(moat_policy_judge(setup.policy, i % 2));
	}
	CU_ASSERT_EQUAL(moat_policy_rule_count(setup.policy, 0).packets, 10);
	CU_ASSERT_EQUAL(moat_policy_rule_count(setup.policy, 1).packets, 10);
	CU_ASSERT_EQUAL(moat_policy_rule_count(setup.policy, 2).packets, 0);
	/* a rebuild keeps them */
	CU_ASSERT_EQUAL(moat_ruleset_del(setup.set, dropping), 0);
	commit(&setup);
	CU_ASSERT_EQUAL(moat_policy_rule_count(setup.policy, 0).packets, 10);
	CU_ASSERT_EQUAL(moat_ruleset_find(setup.set, counting)->slot, 0);
	/* the next rule of a slot starts from 0 */
	for (uint32_t i = 0; i < MOAT_RULES_MAX - 3; i++) {
		char text[64];

		snprintf(text, sizeof(text), "drop proto tcp dport %u", i);
		add(&setup, text);
	}
	add(&setup, "drop proto gre");
	commit(&setup);
	CU_ASSERT_EQUAL(moat_policy_rule_count(setup.policy, 1).packets, 0);
	CU_ASSERT_EQUAL(moat_policy_rule_count(setup.policy, 0).packets, 10);
}

static void test_new_refused(void)
{
	struct moat_policy *policy = NULL;

	CU_ASSERT_EQUAL(moat_policy_new(0, 1, &policy), -EINVAL);
	CU_ASSERT_EQUAL(moat_policy_new(1025, 1, &policy), -EINVAL);
	CU_ASSERT_PTR_NULL(policy);
	moat_policy_free(NULL);
}

/* ---- swapping --------------------------------------------------------------------------------- */

struct racer {
	struct moat_judge *judge;
	struct moat_headers headers;
	_Atomic bool stop;
	uint64_t judged;
	uint64_t torn; /* verdicts that neither set gives */
};

static void *race(void *userdata)
{
	struct racer *racer = userdata;

	while (!atomic_load(&racer->stop)) {
		for (int i = 0; i < 64; i++) {
			uint32_t id;
			enum moat_reason reason = moat_judge_packet(racer->judge, &racer->headers,
								    MOAT_PARSE_OK, 1, &id);

			racer->torn += reason != MOAT_REASON_DROP_RULE || (id != 1 && id != 2);
			racer->judged++;
		}
		moat_judge_quiesce(racer->judge);
	}
	return NULL;
}

struct taker {
	struct moat_judge *judge;
	struct moat_headers headers;
	pthread_barrier_t *start;
	uint64_t windows[4]; /* packets passed in each */
};

#define TAKERS 4
#define TAKER_PACKETS 20000

static void *take(void *userdata)
{
	struct taker *taker = userdata;

	for (uint64_t window = 0; window < 4; window++) {
		pthread_barrier_wait(taker->start);
		for (int i = 0; i < TAKER_PACKETS; i++)
			taker->windows[window] += judge_at(taker->judge, &taker->headers,
							   100 + window * 100) ==
						  MOAT_REASON_PASS_LIMIT;
	}
	moat_judge_quiesce(taker->judge);
	return NULL;
}

/* A limit of R is R on the whole box: all judges at once, each asking for more than there is. */
static void test_limit_threads(void)
{
	moat_cleanup(teardown) struct setup setup = setup_new(TAKERS);
	struct taker takers[TAKERS] = { 0 };
	pthread_t threads[TAKERS];
	pthread_barrier_t start;

	add(&setup, "limit 100001/s proto udp");
	commit(&setup);
	pthread_barrier_init(&start, NULL, TAKERS);
	for (uint32_t i = 0; i < TAKERS; i++) {
		takers[i].judge = moat_policy_judge(setup.policy, i);
		takers[i].start = &start;
		takers[i].headers = udp_from("192.0.2.1");
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, take, &takers[i]), 0);
	}
	for (uint32_t i = 0; i < TAKERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	for (uint64_t window = 0; window < 4; window++) {
		uint64_t sum = 0;

		for (uint32_t i = 0; i < TAKERS; i++)
			sum += takers[i].windows[window];
		/* 1/16 s of it; of judges that ask at once, each may take a lot too much */
		CU_ASSERT(sum >= 6250 && sum <= 6250 + (TAKERS - 1) * 64);
	}
}

/* Two sets that both drop, by different rules: no packet may fall between them. */
static void test_swap(void)
{
	moat_cleanup(teardown) struct setup setup = setup_new(2);
	moat_cleanup(teardown) struct setup other = setup_new(1);
	struct racer racers[2] = { 0 };
	pthread_t threads[2];

	add(&setup, "drop proto udp");
	add(&other, "drop proto esp");
	add(&other, "drop src 192.0.2.0/25 dport 53");
	commit(&setup);
	for (uint32_t i = 0; i < 2; i++) {
		racers[i].judge = moat_policy_judge(setup.policy, i);
		racers[i].headers = udp_from("192.0.2.1");
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < 200; i++)
		CU_ASSERT_EQUAL(
			moat_policy_commit(setup.policy, i % 2 ? setup.set : other.set, NULL), 0);
	for (uint32_t i = 0; i < 2; i++) {
		atomic_store(&racers[i].stop, true);
		pthread_join(threads[i], NULL);
		CU_ASSERT(racers[i].judged > 0);
		CU_ASSERT_EQUAL(racers[i].torn, 0);
	}
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "order", test_order },
		{ "limit", test_limit },
		{ "small limit", test_small_limit },
		{ "known", test_known },
		{ "expiry and tries", test_expiry_and_tries },
		{ "hits", test_hits },
		{ "new refused", test_new_refused },
		{ "limit threads", test_limit_threads },
		{ "swap", test_swap },
		{ NULL, NULL },
	};

	return moat_test_main("policy", tests);
}
