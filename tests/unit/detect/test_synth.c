/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "detect/synth.h"
#include "moat/rule.h"
#include "tests/harness/unit.h"

#define COUNT 100

static struct moat_record records[COUNT];
static struct moat_normals normals;
static struct moat_proposal proposals[MOAT_PROPOSALS_MAX];

static uint32_t state;

/* A linear congruential generator (Knuth's constants): the same numbers everywhere. */
static uint32_t uniform(uint32_t bound)
{
	state = state * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)state * bound) >> 32);
}

static struct moat_addr v4(uint32_t address)
{
	struct moat_addr addr;

	moat_addr_from_v4(&addr, __builtin_bswap32(address));
	return addr;
}

static struct moat_synth_input input_of(enum moat_finding_kind kind)
{
	memset(records, 0, sizeof(records));
	memset(&normals, 0, sizeof(normals));
	state = 3;
	return (struct moat_synth_input){
		.kind = kind,
		.subject = v4(0xc6336407),
		.records = records,
		.count = COUNT,
		.usual_pps = -1,
		.floor_pps = 1000,
		.collateral_max = 0.001,
	};
}

static struct moat_record syn(uint16_t len)
{
	return (struct moat_record){
		.src = v4(0x01000000u + uniform(0xd0000000u)),
		.weight = 10,
		.sport = (uint16_t)(1024 + uniform(60000)),
		.dport = 80,
		.len = len,
		.proto = 6,
		.tcp_flags = MOAT_TCP_SYN,
		.has_ports = 1,
	};
}

static struct moat_record datagram(uint16_t len, uint16_t sport, uint16_t dport)
{
	struct moat_record record = syn(len);

	record.proto = 17;
	record.tcp_flags = 0;
	record.sport = sport;
	record.dport = dport;
	return record;
}

static void normal(enum moat_evidence_class class, struct moat_record record)
{
	normals.records[class][normals.counts[class]++] = record;
	normals.weights[class] += record.weight;
}

/* SYNs without options: no client's look like that, whatever is known of the host. */
static void test_artificial_syn(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_SYN_FLOOD);

	for (int i = 0; i < COUNT; i++)
		records[i] = syn(40);
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_DROP);
	CU_ASSERT_EQUAL(proposals[0].match.len_min, 40);
	CU_ASSERT_EQUAL(proposals[0].match.len_max, 40);
	CU_ASSERT_EQUAL(proposals[0].match.dport_min, 80);
	CU_ASSERT_EQUAL(proposals[0].match.dport_max, 80);
	CU_ASSERT_EQUAL(proposals[0].match.sport_max, 65535);
	CU_ASSERT_EQUAL(proposals[0].match.tcp_flags, MOAT_TCP_SYN);
	CU_ASSERT_EQUAL(proposals[0].match.src.len, 0);
	CU_ASSERT_EQUAL(proposals[0].match.dst.len, 32);
	CU_ASSERT_DOUBLE_EQUAL(proposals[0].coverage, 1, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(proposals[0].collateral, -1, 0);
}

/* SYNs like clients': a limit, whether the normal ones are known or not. */
static void test_look_alike(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_SYN_FLOOD);

	for (int i = 0; i < COUNT; i++)
		records[i] = syn(60);
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_LIMIT);
	CU_ASSERT_EQUAL(proposals[0].rate_pps, 1000); /* nothing is known: the floor */

	for (int i = 0; i < 50; i++)
		normal(MOAT_CLASS_SYN, syn(60));
	for (int i = 0; i < 150; i++)
		normal(MOAT_CLASS_UDP, datagram(70, 5353, 53));
	input.normals = &normals;
	input.usual_pps = 200;
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_LIMIT);
	CU_ASSERT_EQUAL(proposals[0].flags, MOAT_RULE_PREFER_KNOWN);
	CU_ASSERT_EQUAL(proposals[0].rate_pps, 400);
	CU_ASSERT_DOUBLE_EQUAL(proposals[0].collateral, .25, 1e-9);
}

/* One of 200 normal packets is a SYN, and the rule hits only SYNs: the share of all packets is small, of
 * SYNs it is all of them. */
static void test_rare_syns(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_SYN_FLOOD);

	for (int i = 0; i < COUNT; i++)
		records[i] = syn(60);
	for (int i = 0; i < 10; i++)
		normal(MOAT_CLASS_SYN, syn(60));
	normal(MOAT_CLASS_REST, syn(1000));
	normals.weights[MOAT_CLASS_REST] = 1000000;
	input.normals = &normals;
	input.usual_pps = 5;
	input.collateral_max = 0.01;
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_LIMIT);
	CU_ASSERT(proposals[0].collateral < 0.001);
}

/* Legitimate queries among the flood's datagrams neither widen the rule nor are they hit. */
static void test_mixed(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_UDP_FLOOD);

	for (int i = 0; i < COUNT; i++)
		records[i] = i % 10 == 0 ? datagram((uint16_t)(60 + uniform(30)), 4000, 53)
					 : datagram(28, (uint16_t)(2000 + i), 53);
	for (int i = 0; i < 60; i++)
		normal(MOAT_CLASS_UDP, datagram((uint16_t)(60 + uniform(30)), 4000, 53));
	input.normals = &normals;
	input.usual_pps = 300;
	input.legit_share = .1;
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_DROP);
	CU_ASSERT_EQUAL(proposals[0].match.len_max, 28);
	CU_ASSERT_DOUBLE_EQUAL(proposals[0].coverage, 1, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(proposals[0].collateral, 0, 0);
}

static void test_lengths(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_UDP_FLOOD);

	for (int i = 0; i < COUNT; i++)
		records[i] = datagram((uint16_t)(700 + uniform(200)), (uint16_t)(2000 + i), 9999);
	input.usual_pps = 0; /* it never had datagrams */
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_DROP);
	CU_ASSERT(proposals[0].match.len_min < 705 && proposals[0].match.len_min > 600);
	CU_ASSERT(proposals[0].match.len_max > 895 && proposals[0].match.len_max < 1000);
	CU_ASSERT_DOUBLE_EQUAL(proposals[0].collateral, 0, 0);
}

/* Reflected answers come with fragments, which have no ports: two rules. */
static void test_fragments(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_AMPLIFICATION);

	for (int i = 0; i < COUNT; i++) {
		records[i] = datagram(i % 2 ? 1500 : 1052, 53, (uint16_t)(1024 + uniform(60000)));
		if (i % 2 == 0) {
			records[i].has_ports = 0;
			records[i].sport = 0;
			records[i].dport = 0;
		}
	}
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 2);
	CU_ASSERT_EQUAL(proposals[0].match.sport_min, 53);
	CU_ASSERT_EQUAL(proposals[0].match.sport_max, 53);
	CU_ASSERT_EQUAL(proposals[0].match.len_min, 1500);
	CU_ASSERT_EQUAL(proposals[1].match.sport_max, 65535);
	CU_ASSERT_EQUAL(proposals[1].match.len_min, 1052);
	CU_ASSERT_DOUBLE_EQUAL(moat_synth_coverage(&input, proposals, 2), 1, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(moat_synth_coverage(&input, proposals, 1), .5, 1e-9);
}

static void test_sources(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_SYN_FLOOD);

	for (int i = 0; i < COUNT; i++) {
		records[i] = syn(40);
		records[i].src = v4(0xcb007100u + uniform(256));
	}
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].match.src.len, 24);
	CU_ASSERT_EQUAL(proposals[0].match.src.family, MOAT_FAMILY_V4);
	for (int i = 0; i < COUNT; i++)
		records[i].src = v4(0xcb007105u);
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].match.src.len, 32);
}

static void test_v6(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_ICMP_FLOOD);

	CU_ASSERT_EQUAL(moat_addr_parse("2001:db8:1::1", &input.subject), 0);
	for (int i = 0; i < COUNT; i++) {
		CU_ASSERT_EQUAL(moat_addr_parse("2001:db8:1::2", &records[i].src), 0);
		records[i].weight = 1;
		records[i].len = 80;
		records[i].proto = 58;
	}
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].match.src.len, 128);
	CU_ASSERT_EQUAL(proposals[0].match.dst.len, 128);
	CU_ASSERT_EQUAL(proposals[0].match.dst.family, MOAT_FAMILY_V6);
	CU_ASSERT_EQUAL(proposals[0].match.proto, 58);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_DROP);
	/* from everywhere, and as short as neighbour discovery */
	for (int i = 0; i < COUNT; i++)
		records[i].src.words[0] = uniform(UINT32_MAX);
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].match.src.len, 0);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_LIMIT);
}

static void test_scan(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_SCAN);

	input.subject = v4(0xcb007105u);
	input.count = 0;
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_DROP);
	CU_ASSERT_EQUAL(proposals[0].match.src.len, 32);
	CU_ASSERT_EQUAL(proposals[0].match.dst.len, 0);
	/* its first attempts, taken for normal */
	input.peer = v4(0xc6336407);
	input.normals = &normals;
	for (int i = 0; i < 20; i++) {
		struct moat_record record = syn(44);

		record.src = input.subject;
		normal(MOAT_CLASS_SYN, record);
	}
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].match.dst.len, 32);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_DROP);
	/* it also talks to the host that it scans */
	input.is_known = true;
	for (int i = 0; i < 20; i++) {
		struct moat_record record = syn(500);

		record.src = input.subject;
		record.tcp_flags = MOAT_TCP_ACK;
		normal(MOAT_CLASS_REST, record);
	}
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].match.dst.len, 32);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_LIMIT);
	CU_ASSERT_EQUAL(proposals[0].match.tcp_flags, MOAT_TCP_SYN);
	/* or to others than the many that it scans: it is not cut off from all of them */
	memset(&input.peer, 0, sizeof(input.peer));
	input.normals = NULL;
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 1);
	CU_ASSERT_EQUAL(proposals[0].action, MOAT_ACTION_LIMIT);
}

static void test_too_few(void)
{
	struct moat_synth_input input = input_of(MOAT_FINDING_UDP_FLOOD);

	for (int i = 0; i < COUNT; i++)
		records[i] = datagram(28, 1, 2);
	input.count = MOAT_SYNTH_RECORDS_MIN - 1;
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 0);
	input.kind = MOAT_FINDING_ANOMALY;
	input.count = COUNT;
	CU_ASSERT_EQUAL(moat_synth_propose(&input, proposals), 0);
}

static const struct moat_test tests[] = {
	{ "SYNs no client sends", test_artificial_syn },
	{ "SYNs like clients'", test_look_alike },
	{ "rare SYNs are not spared by their rarity", test_rare_syns },
	{ "legitimate packets among the attack's", test_mixed },
	{ "a range of lengths", test_lengths },
	{ "fragments", test_fragments },
	{ "source prefixes", test_sources },
	{ "IPv6", test_v6 },
	{ "a scan's source", test_scan },
	{ "too few headers", test_too_few },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-synth", tests);
}
