/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flows that the policy has nothing to say of aren't judged by a worker. Held against a judge that judges every
 * packet, with the same rules, lists and stages, which change all the time: the same reasons, the same hits. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/parse.h"
#include "dataplane/rule.h"
#include "dataplane/worker_priv.h"
#include "tests/harness/frame.h"
#include "tests/harness/unit.h"

#define ROUNDS 4000
#define PACKETS 64
#define FLOWS 48
#define START_MS 1000000ULL

static const char *const rules[] = {
	"drop src 10.0.0.1 proto tcp dport 443",
	"drop proto tcp flags S/SA",
	"drop proto udp dport 53 len 100-200",
	"count proto tcp flags PA/PA",
	"count src 10.0.0.0/30",
	"limit 200/s dst 10.9.0.2 proto udp",
	"pass src 10.0.0.2",
	"drop proto tcp flags FSRPAU/FSRPAU",
	"drop sport 1003",
	"drop len 150-1500",
	"count proto udp sport 1004",
	"drop proto tcp flags F/F",
};
#define RULES MOAT_ARRAY_SIZE(rules)

static const uint32_t stages[] = {
	MOAT_STAGES_DEFAULT,
	MOAT_STAGES_DEFAULT | MOAT_STAGE_LAND | MOAT_STAGE_FLAGS | MOAT_STAGE_BROKEN,
	MOAT_STAGES_DEFAULT & ~(uint32_t)MOAT_STAGE_RULES,
	MOAT_STAGES_DEFAULT | MOAT_STAGE_FRAGMENTS | MOAT_STAGE_MARTIAN,
	MOAT_STAGE_RULES,
};

/* The worker's policy, and that of the judge it is held against. */
struct pair {
	struct moat_policy *policies[2];
	struct moat_ruleset *set;
	uint64_t expected[MOAT_REASON_COUNT];
	uint64_t settled; /* flows and directions seen so */
};

static uint32_t below(uint32_t bound)
{
	return (uint32_t)random() % bound;
}

/* A packet of one of the flows, either way; mostly an ordinary one. */
static void make_frame(struct frame *frame)
{
	static const uint8_t odd[] = { 0x02, 0x12, 0x11, 0x04, 0x00, 0x29, 0x30 };
	uint32_t flow = below(FLOWS), size = below(4) ? 10 : 120;
	bool back = below(2), udp = flow % 3 == 0;
	uint16_t client_port = (uint16_t)(1000 + flow), service = flow % 2 ? 443 : 53;
	char client[32], server[32];

	snprintf(client, sizeof(client), "10.0.0.%u", 1 + flow % 7);
	snprintf(server, sizeof(server), "10.9.0.%u", 1 + flow % 3);
	frame_ethernet(frame, 0x0800);
	frame_ipv4(frame, back ? server : client, back ? client : server, udp ? 17 : 6,
		   below(40) ? 0 : 0x2000, (udp ? 8 : 20) + size);
	if (udp) {
		frame_udp(frame, back ? service : client_port, back ? client_port : service, size);
	} else {
		frame_tcp(frame, back ? service : client_port, back ? client_port : service,
			  below(8) ? (below(2) ? 0x10 : 0x18) : odd[below(sizeof(odd))]);
		frame_zeros(frame, size);
	}
}

/* Another rule, list entry or set of stages, for both. */
static void change(struct pair *pair)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4, .len = 32 };
	enum moat_list list = below(2) ? MOAT_LIST_DENY : MOAT_LIST_ALLOW;
	struct moat_rule rule = moat_rule_default();
	size_t count;
	uint32_t mask;
	int r;

	/* few at a time: with many, none is settled */
	(void)moat_ruleset_rules(pair->set, &count);
	switch (count > 3 ? 1 : below(4)) {
	case 0:
		CU_ASSERT_EQUAL(moat_rule_parse(rules[below(RULES)], 0, &rule, NULL), 0);
		CU_ASSERT_TRUE(moat_ruleset_add(pair->set, &rule, NULL) >= 0);
		break;
	case 1:
		if (count)
			moat_ruleset_del(pair->set, moat_ruleset_rules(pair->set, &count)->id);
		break;
	case 2:
		moat_addr_from_v4(&prefix.addr, __builtin_bswap32(0x0a000001 + below(7)));
		r = moat_ruleset_list_has(pair->set, list, &prefix)
			    ? moat_ruleset_list_del(pair->set, list, &prefix)
			    : moat_ruleset_list_add(pair->set, list, &prefix);
		CU_ASSERT_EQUAL(r, 0);
		if (moat_policy_patch(pair->policies[0], pair->set, list, &prefix) == 0 &&
		    moat_policy_patch(pair->policies[1], pair->set, list, &prefix) == 0)
			return;
		break;
	default:
		mask = stages[below(MOAT_ARRAY_SIZE(stages))];
		for (int i = 0; i < 2; i++)
			moat_judge_set_stages(moat_policy_judge(pair->policies[i], 0), mask, false);
		return;
	}
	for (int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(moat_policy_commit(pair->policies[i], pair->set, NULL), 0);
}

static void judge_all(struct pair *pair, const struct moat_packet *packets, uint64_t now_ms)
{
	struct moat_judge *judge = moat_policy_judge(pair->policies[1], 0);

	for (unsigned int i = 0; i < PACKETS; i++) {
		struct moat_headers headers;
		uint32_t id;
		enum moat_parse parse = moat_headers_parse(packets[i].data, packets[i].captured,
							   packets[i].length, &headers);

		pair->expected[moat_judge_packet(judge, &headers, parse, now_ms, &id)]++;
	}
	moat_judge_quiesce(judge);
}

static void compare(struct pair *pair, const struct moat_worker *worker)
{
	struct moat_worker_counters c;

	moat_worker_counters(worker, &c);
	for (uint32_t reason = 0; reason < MOAT_REASON_COUNT; reason++)
		CU_ASSERT_EQUAL_FATAL(c.reasons[reason].packets, pair->expected[reason]);
	for (uint32_t slot = 0; slot < MOAT_RULES_MAX; slot++) {
		struct moat_rule_count a = moat_policy_rule_count(pair->policies[0], slot);
		struct moat_rule_count b = moat_policy_rule_count(pair->policies[1], slot);

		if (memcmp(&a, &b, sizeof(a)) != 0)
			CU_FAIL_FATAL("hits of a rule differ");
	}
	for (uint32_t i = 0; i <= worker->flows->mask; i++)
		pair->settled += (unsigned int)__builtin_popcount(
			worker->flows->groups[i].bucket.settled);
}

static struct moat_port *dummy_new(const struct moat_packet *packets, size_t count)
{
	const struct moat_port_dummy_options options = { packets, count, 1, 0 };
	struct moat_port *port = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_port_dummy_open(&options, &port, NULL), 0);
	return port;
}

static void run(bool profile)
{
	static struct frame frames[PACKETS];
	struct moat_packet packets[PACKETS];
	struct moat_port *peer = dummy_new(NULL, 0);
	struct pair pair = { .settled = 0 };
	struct moat_worker_options options = {
		.port = dummy_new(NULL, 0), .peer = peer, .cpu = -1, .hash_seed = 1, .profile = profile
	};
	struct moat_worker *worker = NULL;

	srandom(profile);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&pair.set), 0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL_FATAL(moat_policy_new(1, 1, &pair.policies[i]), 0);
		CU_ASSERT_EQUAL(moat_policy_commit(pair.policies[i], pair.set, NULL), 0);
	}
	options.judge = moat_policy_judge(pair.policies[0], 0);
	CU_ASSERT_EQUAL_FATAL(moat_worker_new(&options, &worker, NULL), 0);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t now_ms = START_MS + round * 3;

		if (below(10) == 0)
			change(&pair);
		for (unsigned int i = 0; i < PACKETS; i++) {
			make_frame(&frames[i]);
			packets[i] = frame_packet(&frames[i], now_ms * MOAT_NS_PER_MS);
		}
		moat_worker_set_port(worker, dummy_new(packets, PACKETS), peer);
		/* a step may only move on to the next window */
		if (moat_worker_step(worker) == 0)
			CU_ASSERT_EQUAL(moat_worker_step(worker), PACKETS);
		judge_all(&pair, packets, now_ms);
		if (round % 50 == 0)
			compare(&pair, worker);
	}
	compare(&pair, worker);
	printf("%llu passed by default, %llu dropped by rules\n",
	       (unsigned long long)pair.expected[MOAT_REASON_PASS_DEFAULT],
	       (unsigned long long)pair.expected[MOAT_REASON_DROP_RULE]);
	CU_ASSERT_TRUE(pair.settled > FLOWS);
	CU_ASSERT_TRUE(pair.expected[MOAT_REASON_PASS_DEFAULT] > ROUNDS &&
		       pair.expected[MOAT_REASON_DROP_RULE] > 0);
	moat_worker_free(worker);
	moat_port_close(peer);
	moat_ruleset_free(pair.set);
	moat_policy_free(pair.policies[0]);
	moat_policy_free(pair.policies[1]);
}

static void test_woven(void)
{
	run(false);
}

static void test_staged(void)
{
	run(true);
}

/* One packet of a flow, through the worker alone. */
static void step_one(struct moat_worker *worker, struct moat_port *peer, struct frame *frame,
		     uint64_t now_ms)
{
	struct moat_packet packet = frame_packet(frame, now_ms * MOAT_NS_PER_MS);

	moat_worker_set_port(worker, dummy_new(&packet, 1), peer);
	if (moat_worker_step(worker) == 0)
		CU_ASSERT_EQUAL(moat_worker_step(worker), 1);
}

/* Epochs come round after 2^24 changes: what was settled in the first of that number is forgotten by then, also
 * where no flow was settled since. */
static void test_round(void)
{
	struct moat_port *peer = dummy_new(NULL, 0);
	struct moat_worker_options options = {
		.port = dummy_new(NULL, 0), .peer = peer, .cpu = -1, .hash_seed = 1
	};
	struct moat_rule rule = moat_rule_default();
	struct moat_worker_counters counters;
	struct moat_worker *worker = NULL;
	struct moat_policy *policy = NULL;
	struct moat_ruleset *set = NULL;
	uint64_t now_ms = START_MS;
	struct frame frame;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_policy_new(1, 1, &policy), 0);
	CU_ASSERT_EQUAL(moat_policy_commit(policy, set, NULL), 0);
	options.judge = moat_policy_judge(policy, 0);
	CU_ASSERT_EQUAL_FATAL(moat_worker_new(&options, &worker, NULL), 0);
	frame_ethernet(&frame, 0x0800);
	frame_ipv4(&frame, "10.0.0.1", "10.9.0.1", 17, 0, 8 + 10);
	frame_udp(&frame, 1000, 53, 10);
	for (unsigned int i = 0; i < 4; i++)
		step_one(worker, peer, &frame, now_ms);
	/* one that counts it: the flow is judged from here on */
	CU_ASSERT_EQUAL(moat_rule_parse("count proto udp dport 53", 0, &rule, NULL), 0);
	CU_ASSERT_TRUE(moat_ruleset_add(set, &rule, NULL) >= 0);
	CU_ASSERT_EQUAL(moat_policy_commit(policy, set, NULL), 0);
	for (unsigned int i = 0; i < 30; i++)
		step_one(worker, peer, &frame, now_ms += 100);
	for (uint32_t i = 1; i < 1u << 24; i++)
		moat_judge_set_stages(options.judge, MOAT_STAGES_DEFAULT, false);
	step_one(worker, peer, &frame, now_ms);
	moat_worker_counters(worker, &counters);
	CU_ASSERT_EQUAL(counters.reasons[MOAT_REASON_PASS_DEFAULT].packets, 35);
	CU_ASSERT_EQUAL(moat_policy_rule_count(policy, 0).packets, 31);
	moat_worker_free(worker);
	moat_port_close(peer);
	moat_ruleset_free(set);
	moat_policy_free(policy);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "woven", test_woven },
		{ "staged", test_staged },
		{ "epochs come round", test_round },
		{ NULL, NULL },
	};

	return moat_test_main("worker-settled", tests);
}
