/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables while they are read: one prefix without a rebuild, flips and a million prefixes replaced under
 * traffic, more nodes for a gate that runs; and what rules do besides drop, pass and limit. */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "dataplane/tables.h"
#include "tests/harness/unit.h"
#include "tests/progrun/frame.h"
#include "tests/progrun/gate_fixture.h"

#define FLIPS_DEFAULT 100
#define BATCH 200 /* packets between two looks at the clock */
#define REPLACED 20000

static struct gate_fixture gate;

static enum moat_reason judge(const char *src, uint16_t dport)
{
	struct frame frame;

	frame_simple(&frame, src, "198.51.100.1", 6, 1024, dport, MOAT_TCP_SYN, 0);
	return gate_fixture_reason(&gate, frame.data, frame.length);
}

static void begin(void)
{
	moat_ruleset_free(gate.set);
	gate.set = NULL;
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&gate.set), 0);
}

static struct moat_prefix host(uint32_t address)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4, .len = 32 };

	moat_addr_from_v4(&prefix.addr, htonl(address));
	return prefix;
}

/* Ids and slots begin again with each set: so counts go on. */
static struct moat_rule_count counts_before[3];

static void note_counts(void)
{
	for (uint32_t slot = 0; slot < 3; slot++)
		counts_before[slot] = moat_gate_rule_count(gate.gate, slot);
}

static uint64_t acted(uint32_t slot)
{
	return moat_gate_rule_count(gate.gate, slot).acted - counts_before[slot].acted;
}

static uint64_t hits(uint32_t slot)
{
	return moat_gate_rule_count(gate.gate, slot).packets - counts_before[slot].packets;
}

/* ---- one prefix ---------------------------------------------------------------------------------- */

static void test_patch(void)
{
	struct moat_prefix prefix = host(0xc0000207);

	begin();
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "10.0.0.0/8"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_EQUAL(judge("192.0.2.7", 80), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(moat_ruleset_list_add(gate.set, MOAT_LIST_DENY, &prefix), 0);
	CU_ASSERT_EQUAL(moat_gate_patch(gate.gate, gate.set, MOAT_LIST_DENY, &prefix), 0);
	CU_ASSERT_EQUAL(judge("192.0.2.7", 80), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("192.0.2.8", 80), MOAT_REASON_PASS_DEFAULT);
	/* the other half has it too */
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_EQUAL(judge("192.0.2.7", 80), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(moat_ruleset_list_del(gate.set, MOAT_LIST_DENY, &prefix), 0);
	CU_ASSERT_EQUAL(moat_gate_patch(gate.gate, gate.set, MOAT_LIST_DENY, &prefix), 0);
	CU_ASSERT_EQUAL(judge("192.0.2.7", 80), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("10.2.3.4", 80), MOAT_REASON_DROP_DENIED);
}

/* Of an IPv6 source the gate keeps what the tables said in its cell: until they say something else. */
static void test_patch_v6(void)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V6, .len = 64 };
	static const char src[] = "2001:db8:1::7";
	struct frame frame;

	begin();
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_EQUAL(moat_addr_parse("2001:db8:1::", &prefix.addr), 0);
	frame_simple(&frame, src, "2001:db8:2::1", 6, 1024, 80, MOAT_TCP_ACK, 0);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(gate_fixture_reason(&gate, frame.data, frame.length),
				MOAT_REASON_PASS_DEFAULT);
		CU_ASSERT_EQUAL(moat_ruleset_list_add(gate.set, MOAT_LIST_DENY, &prefix), 0);
		CU_ASSERT_EQUAL(moat_gate_patch(gate.gate, gate.set, MOAT_LIST_DENY, &prefix), 0);
		CU_ASSERT_EQUAL(gate_fixture_reason(&gate, frame.data, frame.length),
				MOAT_REASON_DROP_DENIED);
		CU_ASSERT_EQUAL(moat_ruleset_list_del(gate.set, MOAT_LIST_DENY, &prefix), 0);
		CU_ASSERT_EQUAL(moat_gate_patch(gate.gate, gate.set, MOAT_LIST_DENY, &prefix), 0);
	}
}

/* ---- under traffic ------------------------------------------------------------------------------- */

/* Runs one frame on another CPU until told to stop. */
struct traffic {
	struct frame frame;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t packets;
};

static void *run_traffic(void *userdata)
{
	struct traffic *traffic = userdata;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(1, &cpus);
	sched_setaffinity(0, sizeof(cpus),
			  &cpus); /* fails where there is one: then they take turns */
	while (!atomic_load(&traffic->stop)) {
		if (gate_fixture_run(&gate, traffic->frame.data, traffic->frame.length, BATCH) < 0)
			break;
		atomic_fetch_add(&traffic->packets, BATCH);
	}
	return NULL;
}

static void traffic_begin(struct traffic *traffic, const char *src)
{
	frame_simple(&traffic->frame, src, "198.51.100.1", 6, 1024, 80, MOAT_TCP_SYN, 0);
	traffic->stop = false;
	traffic->packets = 0;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&traffic->thread, NULL, run_traffic, traffic), 0);
	while (atomic_load(&traffic->packets) == 0)
		usleep(1000);
}

static uint64_t traffic_end(struct traffic *traffic)
{
	atomic_store(&traffic->stop, true);
	pthread_join(traffic->thread, NULL);
	return traffic->packets;
}

static unsigned int flips(void)
{
	const char *text = getenv("MOAT_TEST_FLIPS");

	return text ? (unsigned int)strtoul(text, NULL, 10) : FLIPS_DEFAULT;
}

/* One rule in either table, with another id and in another slot: every packet hits exactly one of them. */
static void test_flips(void)
{
	struct moat_ruleset *sets[2] = { NULL, NULL };
	struct moat_rule rule;
	struct moat_gate_counters before, after;
	struct traffic traffic;
	uint64_t packets;

	for (uint32_t i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&sets[i]), 0);
		CU_ASSERT_EQUAL(moat_rule_parse("drop src 192.0.2.7", 0, &rule, NULL), 0);
		CU_ASSERT_EQUAL(moat_ruleset_add(sets[i], &rule, NULL), 0);
		CU_ASSERT_EQUAL(moat_rule_parse("drop src 192.0.2.7 dport 80", 0, &rule, NULL), 0);
		CU_ASSERT_EQUAL(moat_ruleset_add(sets[i], &rule, NULL), 0);
		CU_ASSERT_EQUAL(moat_ruleset_del(sets[i], 2 - i), 0);
	}
	for (int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(moat_gate_commit(gate.gate, sets[i], NULL), 0);
	before = gate_fixture_counters(&gate);
	note_counts();
	traffic_begin(&traffic, "192.0.2.7");
	for (unsigned int i = 0; i < flips(); i++)
		CU_ASSERT_EQUAL(moat_gate_commit(gate.gate, sets[i % 2], NULL), 0);
	packets = traffic_end(&traffic);
	after = gate_fixture_counters(&gate);
	printf("%u flips under %llu packets\n", flips(), (unsigned long long)packets);
	CU_ASSERT_EQUAL(after.reasons[MOAT_REASON_DROP_RULE].packets -
				before.reasons[MOAT_REASON_DROP_RULE].packets,
			packets);
	CU_ASSERT_EQUAL(hits(0) + hits(1), packets);
	/* each had its turn */
	CU_ASSERT(hits(0) > packets / 10);
	CU_ASSERT(hits(1) > packets / 10);
	moat_ruleset_free(sets[0]);
	moat_ruleset_free(sets[1]);
}

/* All prefixes of the list are replaced by others, but for one that both sets have: it is never missing. */
static void test_replace(void)
{
	struct moat_ruleset *sets[2] = { NULL, NULL };
	struct moat_gate_counters before, after;
	struct traffic traffic;
	uint64_t packets;

	for (uint32_t i = 0; i < 2; i++) {
		struct moat_prefix prefix = host(0xc0000207);

		CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&sets[i]), 0);
		CU_ASSERT_EQUAL(moat_ruleset_list_add(sets[i], MOAT_LIST_DENY, &prefix), 0);
		for (uint32_t n = 0; n < REPLACED; n++) {
			prefix = host(0x0a000000 + (i << 24) + n * 16);
			CU_ASSERT_EQUAL(moat_ruleset_list_add(sets[i], MOAT_LIST_DENY, &prefix), 0);
		}
	}
	CU_ASSERT_EQUAL(moat_gate_commit(gate.gate, sets[0], NULL), 0);
	before = gate_fixture_counters(&gate);
	traffic_begin(&traffic, "192.0.2.7");
	for (int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(moat_gate_commit(gate.gate, sets[i % 2], NULL), 0);
	packets = traffic_end(&traffic);
	after = gate_fixture_counters(&gate);
	CU_ASSERT_EQUAL(after.reasons[MOAT_REASON_DROP_DENIED].packets -
				before.reasons[MOAT_REASON_DROP_DENIED].packets,
			packets);
	CU_ASSERT_EQUAL(judge("11.0.0.16", 80), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("10.0.0.16", 80), MOAT_REASON_PASS_DEFAULT);
	moat_ruleset_free(sets[0]);
	moat_ruleset_free(sets[1]);
}

/* The map of nodes is exchanged for a larger one, and every packet is judged all the same. */
static void test_grow(void)
{
	struct moat_gate_counters before, after;
	struct traffic traffic;
	uint64_t packets;

	begin();
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "192.0.2.7"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	before = gate_fixture_counters(&gate);
	traffic_begin(&traffic, "192.0.2.7");
	for (uint32_t i = 0; i < 40000; i++) {
		struct moat_prefix prefix = host(0x0b000001 + (i << 8));

		CU_ASSERT_EQUAL(moat_ruleset_list_add(gate.set, MOAT_LIST_DENY, &prefix), 0);
	}
	CU_ASSERT_TRUE(gate_fixture_commit(&gate));
	gate.prog_fd = moat_gate_prog_fd(gate.gate, gate.port.index);
	packets = traffic_end(&traffic);
	after = gate_fixture_counters(&gate);
	CU_ASSERT_EQUAL(after.reasons[MOAT_REASON_DROP_DENIED].packets -
				before.reasons[MOAT_REASON_DROP_DENIED].packets,
			packets);
	CU_ASSERT_EQUAL(judge("11.0.0.1", 80), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("11.156.63.1", 80), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("11.0.0.2", 80), MOAT_REASON_PASS_DEFAULT);
}

/* ---- what else rules do -------------------------------------------------------------------------- */

/* The next rule judges; what would have been stopped is counted. */
static void test_count_only(void)
{
	begin();
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "count-only drop src 192.0.2.0/24 priority 1"));
	CU_ASSERT_TRUE(gate_fixture_rule(
		&gate, "count-only limit 1/s burst 1 src 192.0.2.0/24 priority 2"));
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "pass src 192.0.2.7 priority 3"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	note_counts();
	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(judge("192.0.2.7", 80), MOAT_REASON_PASS_RULE);
	CU_ASSERT_EQUAL(judge("192.0.2.8", 80), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(hits(0), 11);
	CU_ASSERT_EQUAL(acted(0), 11);
	CU_ASSERT_EQUAL(hits(1), 11);
	CU_ASSERT(acted(1) >= 9);
	CU_ASSERT(acted(1) <= 10);
	CU_ASSERT_EQUAL(acted(2), 0);
	CU_ASSERT_EQUAL(moat_gate_rule_count(gate.gate, 0).bytes - counts_before[0].bytes, 11 * 54);
}

static size_t samples;

static void count_sample(void *userdata, const struct moat_sample *sample)
{
	samples += sample->interval == 4;
}

static void test_sample(void)
{
	struct frame frame;

	begin();
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "sample 1/4 src 192.0.2.7"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	note_counts();
	frame_simple(&frame, "192.0.2.7", "198.51.100.1", 6, 1, 80, MOAT_TCP_SYN, 0);
	CU_ASSERT_EQUAL(gate_fixture_run(&gate, frame.data, frame.length, 800), XDP_PASS);
	while (moat_gate_poll(gate.gate, 64, count_sample, NULL) > 0)
		;
	CU_ASSERT_EQUAL(samples, acted(0));
	CU_ASSERT(samples > 150 && samples < 260);
	CU_ASSERT_EQUAL(hits(0), 800);
}

static void test_redirect(void)
{
	char text[128];

	begin();
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "redirect to nowhere src 192.0.2.7"));
	snprintf(text, sizeof(text), "redirect to %s src 192.0.2.8", gate.port.name);
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, text));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	note_counts();
	CU_ASSERT_EQUAL(judge("192.0.2.7", 80), MOAT_REASON_PASS_NO_TARGET);
	CU_ASSERT_EQUAL(judge("192.0.2.8", 80), MOAT_REASON_REDIRECT_RULE);
	CU_ASSERT_EQUAL(acted(0), 0);
	CU_ASSERT_EQUAL(acted(1), 1);
	/* the next owner finds where they went, before it commits anything */
	gate_fixture_adopt(&gate);
	CU_ASSERT_EQUAL(judge("192.0.2.7", 80), MOAT_REASON_PASS_NO_TARGET);
	CU_ASSERT_EQUAL(judge("192.0.2.8", 80), MOAT_REASON_REDIRECT_RULE);
}

static const struct moat_test tests[] = {
	{ "one prefix", test_patch },
	{ "one prefix, IPv6", test_patch_v6 },
	{ "flips under traffic", test_flips },
	{ "all prefixes replaced under traffic", test_replace },
	{ "more nodes under traffic", test_grow },
	{ "count-only", test_count_only },
	{ "sample", test_sample },
	{ "redirect", test_redirect },
	{ NULL, NULL },
};

int main(void)
{
	int r;

	gate_fixture_open(&gate, &(struct moat_gate_options){ .cells = 1024 });
	r = moat_test_main("gate-tables", tests);
	gate_fixture_close(&gate);
	return r;
}
