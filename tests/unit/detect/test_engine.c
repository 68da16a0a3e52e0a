/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The whole engine on scripted traffic: floods and look-alikes are found in time and get the right rule.
 * What it must leave alone is in test_engine_calm.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/detect/scenario.h"

/* One of the attacks, so that every test can run each. */
static void attack_window(enum moat_finding_kind kind, double pps, bool look_alike)
{
	switch (kind) {
	case MOAT_FINDING_SYN_FLOOD:
		traffic_syn_flood(&traffic, pps, look_alike);
		break;
	case MOAT_FINDING_UDP_FLOOD:
		traffic_udp_flood(&traffic, pps, look_alike);
		break;
	case MOAT_FINDING_ICMP_FLOOD:
		traffic_icmp_flood(&traffic, pps);
		break;
	case MOAT_FINDING_AMPLIFICATION:
		traffic_amplification(&traffic, pps);
		break;
	default:
		traffic_scan(&traffic, pps);
	}
}

static uint64_t attack_for(enum moat_finding_kind kind, double pps, bool look_alike, double seconds)
{
	uint64_t begin = traffic.now_ns;

	for (uint32_t i = 0; i < SECONDS(seconds); i++) {
		traffic_legit(&traffic, 1);
		attack_window(kind, pps, look_alike);
		traffic_tick(&traffic);
	}
	return begin;
}

static void only_kind(enum moat_finding_kind kind)
{
	for (int i = 0; i < traffic.event_count; i++)
		CU_ASSERT_EQUAL(traffic.events[i].finding.kind, kind);
}

/* Finds the attack in time, proposes `action`, and with the rule standing the attack is hit and legitimate
 * packets (of a drop) are not. */
static void expect_attack(enum moat_finding_kind kind, double pps, bool look_alike, uint8_t action,
			  bool sees_answers)
{
	const struct traffic_event *opened;
	const struct moat_finding *last;
	struct moat_addr victim = traffic_server(7), scanner = traffic_client(200);
	uint64_t begin;
	int failures = (int)CU_get_number_of_failures();

	begin_learned(sees_answers);
	CU_ASSERT_EQUAL(traffic.event_count, 0);
	begin = attack_for(kind, pps, look_alike, 1);
	opened = traffic_find(&traffic, kind, MOAT_FINDING_OPEN);
	last = traffic_last(&traffic, kind);
	only_kind(kind);
	CU_ASSERT_PTR_NOT_NULL(opened);
	if (opened && last) {
		CU_ASSERT(opened->time_ns - begin <= 400000000);
		CU_ASSERT(moat_addr_equal(&last->subject,
					  kind == MOAT_FINDING_SCAN ? &scanner : &victim));
		CU_ASSERT(last->proposal_count >= 1);
		CU_ASSERT_EQUAL(last->proposals[0].action, action);
		CU_ASSERT(last->score >= 1 && last->driver_count > 0);
		CU_ASSERT(last->evidence_count > 0);
		CU_ASSERT(strlen(last->sentence) > 20);
		traffic.rule = last->proposals[0].match;
		traffic.has_rule = true;
		attack_for(kind, pps, look_alike, 2);
		if (last->proposal_count == 1)
			CU_ASSERT(traffic.unmatched <= traffic.matched / 100);
		if (action == MOAT_ACTION_DROP)
			CU_ASSERT_EQUAL(traffic.legit_matched, 0);
		last = traffic_last(&traffic, kind);
		CU_ASSERT_NOT_EQUAL(last->state, MOAT_FINDING_CLOSED);
	}
	/* the attack ends, and so does the finding */
	traffic.has_rule = false;
	legit_for(15);
	CU_ASSERT_PTR_NOT_NULL(traffic_find(&traffic, kind, MOAT_FINDING_CLOSED));
	if ((int)CU_get_number_of_failures() > failures || getenv("VERBOSE"))
		traffic_print(&traffic);
	traffic_end(&traffic);
}

static void test_syn_flood(void)
{
	expect_attack(MOAT_FINDING_SYN_FLOOD, 60000, false, MOAT_ACTION_DROP, true);
	expect_attack(MOAT_FINDING_SYN_FLOOD, 10000, false, MOAT_ACTION_DROP, false);
}

static void test_syn_look_alike(void)
{
	expect_attack(MOAT_FINDING_SYN_FLOOD, 60000, true, MOAT_ACTION_LIMIT, true);
	expect_attack(MOAT_FINDING_SYN_FLOOD, 10000, true, MOAT_ACTION_LIMIT, false);
}

static void test_udp_flood(void)
{
	expect_attack(MOAT_FINDING_UDP_FLOOD, 60000, false, MOAT_ACTION_DROP, false);
	expect_attack(MOAT_FINDING_UDP_FLOOD, 10000, false, MOAT_ACTION_DROP, true);
}

static void test_udp_look_alike(void)
{
	expect_attack(MOAT_FINDING_UDP_FLOOD, 60000, true, MOAT_ACTION_LIMIT, true);
	expect_attack(MOAT_FINDING_UDP_FLOOD, 20000, true, MOAT_ACTION_LIMIT, false);
}

static void test_icmp_flood(void)
{
	expect_attack(MOAT_FINDING_ICMP_FLOOD, 60000, false, MOAT_ACTION_DROP, true);
	expect_attack(MOAT_FINDING_ICMP_FLOOD, 10000, false, MOAT_ACTION_DROP, false);
}

static void test_amplification(void)
{
	expect_attack(MOAT_FINDING_AMPLIFICATION, 50000, false, MOAT_ACTION_DROP, true);
	expect_attack(MOAT_FINDING_AMPLIFICATION, 10000, false, MOAT_ACTION_DROP, false);
}

static void test_scan(void)
{
	expect_attack(MOAT_FINDING_SCAN, 1000, false, MOAT_ACTION_DROP, true);
	expect_attack(MOAT_FINDING_SCAN, 5000, false, MOAT_ACTION_DROP, false);
	expect_attack(MOAT_FINDING_SCAN, 10000, false, MOAT_ACTION_DROP, true);
}

/* Long-lived connections bring many ACKs: they must not hide SYNs that stay alone. */
static void test_syn_among_acks(void)
{
	const struct traffic_event *opened;
	uint64_t begin;

	begin_learned(false);
	for (uint32_t i = 0; i < SECONDS(20); i++) {
		traffic_legit(&traffic, 1);
		traffic_keepalive(&traffic, 50000, 200);
		traffic_tick(&traffic);
	}
	CU_ASSERT_EQUAL(traffic.event_count, 0);
	begin = traffic.now_ns;
	for (uint32_t i = 0; i < SECONDS(1); i++) {
		traffic_keepalive(&traffic, 50000, 200);
		traffic_syn_flood(&traffic, 20000, true);
		traffic_legit(&traffic, 1);
		traffic_tick(&traffic);
	}
	opened = traffic_find(&traffic, MOAT_FINDING_SYN_FLOOD, MOAT_FINDING_OPEN);
	CU_ASSERT_PTR_NOT_NULL(opened);
	if (opened)
		CU_ASSERT(opened->time_ns - begin <= 400000000);
	only_kind(MOAT_FINDING_SYN_FLOOD);
	traffic_end(&traffic);
}

/* A whole scan of 1,000 ports within one window is found in that window. */
static void test_quick_scan(void)
{
	begin_learned(true);
	traffic_legit(&traffic, 1);
	traffic_scan(&traffic, 1000 / ((double)TRAFFIC_WINDOW_NS / 1e9));
	traffic_tick(&traffic);
	legit_for(1);
	CU_ASSERT_PTR_NOT_NULL(traffic_find(&traffic, MOAT_FINDING_SCAN, MOAT_FINDING_OPEN));
	only_kind(MOAT_FINDING_SCAN);
	traffic_end(&traffic);
}

/* A scanner that tried a few ports before: they were sampled and passed for normal, which spares it nothing. */
static void test_slow_start(void)
{
	const struct moat_finding *last;

	begin_learned(true);
	traffic.sample_one_in = 1;
	for (uint32_t i = 0; i < SECONDS(10); i++) {
		traffic_scan(&traffic, 5); /* first: of a moment's SYNs one is looked at */
		traffic_legit(&traffic, 1);
		traffic_tick(&traffic);
	}
	CU_ASSERT_EQUAL(traffic.event_count, 0);
	attack_for(MOAT_FINDING_SCAN, 1000, false, 2);
	last = traffic_last(&traffic, MOAT_FINDING_SCAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(last);
	CU_ASSERT_EQUAL(last->proposals[0].action, MOAT_ACTION_DROP);
	CU_ASSERT(last->proposals[0].collateral > 0);
	traffic_end(&traffic);
}

/* `count` SYNs of a source to hosts all over. */
static void scan_from(const struct moat_addr *source, uint32_t count)
{
	while (count--) {
		struct traffic_packet p = {
			*source, traffic_random(&traffic), 6, MOAT_TCP_SYN, 40000, 22, 44, 0
		};

		traffic_packet(&traffic, &p);
	}
}

/* A scan in the name of a client: it is held back, not cut off. */
static void test_scan_of_client(void)
{
	const struct moat_finding *last;
	struct moat_addr client = traffic_client(5);

	begin_learned(false);
	for (uint32_t i = 0; i < SECONDS(2); i++) {
		traffic_legit(&traffic, 1);
		scan_from(&client, 300);
		traffic_tick(&traffic);
	}
	last = traffic_last(&traffic, MOAT_FINDING_SCAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(last);
	CU_ASSERT(moat_addr_equal(&last->subject, &client));
	CU_ASSERT_EQUAL(last->proposals[0].action, MOAT_ACTION_LIMIT);
	traffic_end(&traffic);
}

/* Any number of forged scanners leaves room for the finding of a flood. */
static void test_forged_scans(void)
{
	begin_learned(false);
	for (uint32_t i = 0; i < SECONDS(2); i++) {
		traffic_legit(&traffic, 1);
		for (uint32_t n = 0; n < 300; n++) {
			struct moat_addr source;

			moat_addr_from_v4(&source, __builtin_bswap32(0x0a010000u + n));
			scan_from(&source, 40);
		}
		traffic_tick(&traffic);
	}
	traffic.event_count = 0;
	attack_for(MOAT_FINDING_UDP_FLOOD, 30000, false, 1);
	CU_ASSERT_PTR_NOT_NULL(traffic_find(&traffic, MOAT_FINDING_UDP_FLOOD, MOAT_FINDING_OPEN));
	traffic_end(&traffic);
}

/* No floor, no history of the kind: the score is still a number. */
static void test_no_floor(void)
{
	struct moat_detect_config config = lab_config();
	const struct moat_finding *last;

	memset(config.floor_pps, 0, sizeof(config.floor_pps));
	config.sensitivity = 100;
	traffic_begin(&traffic, &config);
	for (uint32_t i = 0; i < SECONDS(LEARN_S + 5); i++) {
		traffic_web(&traffic, 50, 20);
		traffic_tick(&traffic);
	}
	for (uint32_t i = 0; i < SECONDS(1); i++) {
		traffic_web(&traffic, 50, 20);
		traffic_icmp_flood(&traffic, 20);
		traffic_tick(&traffic);
	}
	last = traffic_last(&traffic, MOAT_FINDING_ICMP_FLOOD);
	CU_ASSERT_PTR_NOT_NULL_FATAL(last);
	CU_ASSERT(isfinite(last->score) && last->score >= 1);
	traffic_end(&traffic);
}

/* One attack after the other: each is named and gets its rule, and none teaches what is normal. */
static void test_attacks_in_a_row(void)
{
	static const enum moat_finding_kind kinds[] = {
		MOAT_FINDING_SYN_FLOOD,     MOAT_FINDING_UDP_FLOOD, MOAT_FINDING_ICMP_FLOOD,
		MOAT_FINDING_AMPLIFICATION, MOAT_FINDING_SCAN,
	};

	begin_learned(true);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			const struct moat_finding *last;

			traffic.event_count = 0;
			attack_for(kinds[i], kinds[i] == MOAT_FINDING_SCAN ? 2000 : 30000, false, 3);
			last = traffic_last(&traffic, kinds[i]);
			CU_ASSERT_PTR_NOT_NULL(last);
			if (!last)
				continue;
			CU_ASSERT_EQUAL(last->proposals[0].action, MOAT_ACTION_DROP);
			CU_ASSERT_NOT_EQUAL(last->state, MOAT_FINDING_CLOSED);
			legit_for(14);
			CU_ASSERT_EQUAL(traffic_last(&traffic, kinds[i])->state,
					MOAT_FINDING_CLOSED);
			only_kind(kinds[i]);
		}
	traffic_end(&traffic);
}

/* A flood that grows by a fifth every second can't pass for normal. */
static void test_creeping(void)
{
	double pps = 200;

	begin_learned(false);
	legit_for(60);
	for (int second = 0; second < 40; second++, pps *= 1.2)
		attack_for(MOAT_FINDING_SYN_FLOOD, pps, true, 1);
	CU_ASSERT_PTR_NOT_NULL(traffic_find(&traffic, MOAT_FINDING_SYN_FLOOD, MOAT_FINDING_OPEN));
	traffic_end(&traffic);
}

static void test_not_protected(void)
{
	struct moat_detect_config config = lab_config();

	config.protected_prefixes[0].addr = traffic_client(0);
	config.protected_prefixes[0].addr.bytes[15] = 0;
	traffic_begin(&traffic, &config);
	attack_for(MOAT_FINDING_UDP_FLOOD, 50000, false, 1);
	CU_ASSERT_EQUAL(traffic.event_count, 0);
	/* a reload that protects it: what is known of hosts stays */
	config = lab_config();
	moat_detect_configure(traffic.detect, &config);
	attack_for(MOAT_FINDING_UDP_FLOOD, 50000, false, 1);
	CU_ASSERT_PTR_NOT_NULL(traffic_last(&traffic, MOAT_FINDING_UDP_FLOOD));
	traffic_end(&traffic);
}

static void test_counters(void)
{
	struct moat_detect_counters counters;

	begin_learned(false);
	attack_for(MOAT_FINDING_UDP_FLOOD, 50000, false, 2);
	moat_detect_counters(traffic.detect, &counters);
	CU_ASSERT_EQUAL(counters.findings_opened, 1);
	CU_ASSERT_EQUAL(counters.findings_open, 1);
	CU_ASSERT_FALSE(counters.learning);
	CU_ASSERT_DOUBLE_EQUAL(counters.learned, 1, 0);
	CU_ASSERT(counters.baseline_clusters > 0 && counters.baseline_rows > 300);
	CU_ASSERT(counters.samples > 1000);
	/* random sources don't fill the table */
	CU_ASSERT(counters.hosts.hosts < 200);
	traffic_end(&traffic);
}

/* Packets of no conversation and of no named flood are reported, once they last; no rule is proposed. */
static void anomaly_of(uint8_t flags, uint16_t len, bool sees_answers, enum moat_finding_kind kind)
{
	begin_learned(sees_answers);
	for (uint32_t i = 0; i < SECONDS(4); i++) {
		traffic_legit(&traffic, 1);
		for (uint32_t n = traffic_due(&traffic, 10, 50000); n > 0; n--) {
			struct traffic_packet p = { traffic_random(&traffic),
						    traffic_server(7),
						    6,
						    flags,
						    (uint16_t)(1024 + n),
						    80,
						    len,
						    0 };

			traffic_packet(&traffic, &p);
		}
		traffic_tick(&traffic);
	}
	CU_ASSERT_PTR_NOT_NULL(traffic_find(&traffic, kind, MOAT_FINDING_OPEN));
	only_kind(kind);
	if (traffic.event_count && kind == MOAT_FINDING_ANOMALY)
		CU_ASSERT_EQUAL(traffic_last(&traffic, kind)->proposal_count, 0);
	traffic_end(&traffic);
}

static void test_anomaly(void)
{
	/* a Xmas-tree flood, and ACKs of no connection */
	anomaly_of(MOAT_TCP_FIN | MOAT_TCP_PSH | MOAT_TCP_URG, 40, false, MOAT_FINDING_ANOMALY);
	anomaly_of(MOAT_TCP_ACK, 40, true, MOAT_FINDING_ACK_FLOOD);
}

/* ---- cold start -------------------------------------------------------------------------------- */

static void test_cold_start(void)
{
	static const enum moat_finding_kind kinds[] = { MOAT_FINDING_SYN_FLOOD,
							MOAT_FINDING_UDP_FLOOD,
							MOAT_FINDING_ICMP_FLOOD,
							MOAT_FINDING_AMPLIFICATION };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct moat_detect_config config = lab_config();
		const struct moat_finding *last;

		traffic_begin(&traffic, &config);
		attack_for(kinds[i], 50000, false, 1);
		last = traffic_last(&traffic, kinds[i]);
		only_kind(kinds[i]);
		CU_ASSERT_PTR_NOT_NULL(last);
		if (last) {
			CU_ASSERT(last->by_guard);
			CU_ASSERT_EQUAL(last->proposals[0].action, MOAT_ACTION_DROP);
		}
		traffic_end(&traffic);
	}
}

/* A table adopted with a long history must not look like a flood in its first window. */
static void test_adopted_table(void)
{
	struct moat_detect_config config = lab_config();
	struct moat_cell_source source;

	traffic_begin(&traffic, &config);
	for (int i = 0; i < 20; i++) {
		traffic_syn_flood(&traffic, 60000, false);
		traffic.window++;
	}
	source = (struct moat_cell_source){ traffic.to, traffic.from, TRAFFIC_CELLS, false };
	for (int i = 0; i < 10; i++)
		moat_detect_tick(traffic.detect, &source, 1, traffic.window + i,
				 traffic.now_ns + i * TRAFFIC_WINDOW_NS, TRAFFIC_WINDOW_NS);
	expect_nothing("an adopted table");
}

/* ---- known sources ----------------------------------------------------------------------------- */

static void count_known(void *userdata, const struct moat_addr *addr)
{
	struct moat_addr client = traffic_client(5);

	((int *)userdata)[0]++;
	if (moat_addr_equal(addr, &client))
		((int *)userdata)[1]++;
}

static void test_known(void)
{
	int before[2] = { 0 }, after[2] = { 0 };

	begin_learned(false);
	moat_detect_known(traffic.detect, count_known, before);
	CU_ASSERT(before[0] >= 60);
	CU_ASSERT_EQUAL(before[1], 1);
	attack_for(MOAT_FINDING_UDP_FLOOD, 60000, true, 5);
	moat_detect_known(traffic.detect, count_known, after);
	CU_ASSERT_EQUAL(after[0], before[0]); /* nobody becomes known by attacking */
	traffic_end(&traffic);
}

/* Forged ACKs, as slowly as clients', make nobody known where answers can be seen. */
static void test_forged_conversations(void)
{
	int before[2] = { 0 }, after[2] = { 0 };

	begin_learned(true);
	moat_detect_known(traffic.detect, count_known, before);
	CU_ASSERT(before[0] >= 60);
	for (uint32_t i = 0; i < SECONDS(10); i++) {
		traffic_legit(&traffic, 1);
		for (uint32_t n = 0; n < 100; n++) {
			struct traffic_packet p = { .dst = traffic_server(7),
						    .proto = 6,
						    .flags = MOAT_TCP_ACK,
						    .sport = 40000,
						    .dport = 80,
						    .len = 52 };

			moat_addr_from_v4(&p.src, __builtin_bswap32(0x0a010000u + n));
			traffic_packet(&traffic, &p);
		}
		traffic_tick(&traffic);
	}
	CU_ASSERT_EQUAL(traffic.event_count, 0);
	moat_detect_known(traffic.detect, count_known, after);
	CU_ASSERT(after[0] < before[0] + 50);
	traffic_end(&traffic);
}

static const struct moat_test tests[] = {
	{ "a SYN flood is dropped by its headers", test_syn_flood },
	{ "a SYN flood like clients is limited", test_syn_look_alike },
	{ "a UDP flood is dropped by its headers", test_udp_flood },
	{ "a UDP flood like clients is limited", test_udp_look_alike },
	{ "an ICMP flood", test_icmp_flood },
	{ "amplification, with fragments", test_amplification },
	{ "scans name their source", test_scan },
	{ "a SYN flood among the ACKs of long connections", test_syn_among_acks },
	{ "a scan within one window", test_quick_scan },
	{ "a scan that begins slowly", test_slow_start },
	{ "a scan in the name of a client", test_scan_of_client },
	{ "forged scans", test_forged_scans },
	{ "no floor", test_no_floor },
	{ "attacks in a row", test_attacks_in_a_row },
	{ "a creeping flood", test_creeping },
	{ "hosts that are not protected", test_not_protected },
	{ "counters", test_counters },
	{ "anomalies", test_anomaly },
	{ "an attack in progress at the start", test_cold_start },
	{ "an adopted table", test_adopted_table },
	{ "known sources", test_known },
	{ "forged conversations", test_forged_conversations },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-engine", tests);
}
