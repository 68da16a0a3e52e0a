/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The gate's verdicts: lists, every field of a rule, order, expiry, what has no policy. */
#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

#include "dataplane/rule.h"
#include "dataplane/tables.h"
#include "tests/harness/unit.h"
#include "tests/progrun/frame.h"
#include "tests/progrun/gate_fixture.h"

static struct gate_fixture gate;

static enum moat_reason judge(const char *src, const char *dst, uint8_t proto, uint16_t sport,
			      uint16_t dport, uint8_t flags, size_t payload)
{
	struct frame frame;

	frame_simple(&frame, src, dst, proto, sport, dport, flags, payload);
	return gate_fixture_reason(&gate, frame.data, frame.length);
}

/* A rule set of its own for each test. */
static void begin(void)
{
	moat_ruleset_free(gate.set);
	gate.set = NULL;
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&gate.set), 0);
}

static void test_no_policy(void)
{
	struct frame frame;

	CU_ASSERT_FALSE(moat_gate_has_policy(gate.gate));
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 6, 1, 80, 2, 0),
			MOAT_REASON_PASS_NO_TABLE);
	frame_begin(&frame);
	frame_type(&frame, 0x0806);
	frame_payload(&frame, 46);
	CU_ASSERT_EQUAL(gate_fixture_reason(&gate, frame.data, frame.length),
			MOAT_REASON_PASS_NOT_IP);
}

static void test_lists_v4(void)
{
	begin();
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "192.0.2.0/24"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_ALLOW, "192.0.2.7"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "10.0.0.0/8"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "172.16.5.128/25"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_TRUE(moat_gate_has_policy(gate.gate));
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("192.0.2.7", "198.51.100.1", 17, 1, 2, 0, 9),
			MOAT_REASON_PASS_ALLOWED);
	CU_ASSERT_EQUAL(judge("192.0.3.1", "198.51.100.1", 17, 1, 2, 0, 9),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("192.0.1.255", "192.0.2.1", 17, 1, 2, 0, 9), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("10.255.255.255", "1.1.1.1", 6, 1, 2, 0, 9), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("172.16.5.127", "1.1.1.1", 6, 1, 2, 0, 9), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("172.16.5.128", "1.1.1.1", 6, 1, 2, 0, 9), MOAT_REASON_DROP_DENIED);
}

static void test_lists_v6(void)
{
	begin();
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "2001:db8::/32"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_ALLOW, "2001:db8:1:2:3:4:5:6"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_ALLOW, "2001:db8:0:40::/58"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_EQUAL(judge("2001:db8::1", "::1", 17, 1, 2, 0, 9), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("2001:db8:1:2:3:4:5:6", "::1", 17, 1, 2, 0, 9),
			MOAT_REASON_PASS_ALLOWED);
	CU_ASSERT_EQUAL(judge("2001:db8:1:2:3:4:5:7", "::1", 17, 1, 2, 0, 9),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("2001:db8:0:7f::9", "::1", 17, 1, 2, 0, 9), MOAT_REASON_PASS_ALLOWED);
	CU_ASSERT_EQUAL(judge("2001:db8:0:80::9", "::1", 17, 1, 2, 0, 9), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("2001:db9::1", "2001:db8::1", 17, 1, 2, 0, 9),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("32.1.13.184", "1.2.3.4", 17, 1, 2, 0, 9), MOAT_REASON_PASS_DEFAULT);
}

/* What one rule must drop, and its neighbour that it must not. */
struct pair {
	const char *rule;
	const char *src, *dst;
	uint8_t proto;
	uint16_t sport, dport;
	uint8_t flags;
	size_t payload;
	/* what differs of the packet that passes; NULL and 0: as above */
	const char *other_src, *other_dst;
	uint8_t other_proto;
	uint16_t other_sport, other_dport;
	uint8_t other_flags;
	size_t other_payload;
};

static const struct pair pairs[] = {
	{ "drop src 192.0.2.0/25", "192.0.2.127", "1.1.1.1", 17, 1, 2, 0, 9,
	  .other_src = "192.0.2.128" },
	{ "drop dst 198.51.100.7", "8.8.8.8", "198.51.100.7", 17, 1, 2, 0, 9,
	  .other_dst = "198.51.100.6" },
	{ "drop dst 198.51.0.0/17", "8.8.8.8", "198.51.127.255", 17, 1, 2, 0, 9,
	  .other_dst = "198.51.128.0" },
	{ "drop src 2001:db8::/63", "2001:db8:0:1:f::", "::2", 17, 1, 2, 0, 9,
	  .other_src = "2001:db8:0:2::" },
	{ "drop dst 2001:db8::8", "2001::1", "2001:db8::8", 6, 1, 2, 2, 9,
	  .other_dst = "2001:db8::9" },
	{ "drop proto udp", "1.1.1.1", "2.2.2.2", 17, 1, 2, 0, 9, .other_proto = 6 },
	{ "drop proto 47", "1.1.1.1", "2.2.2.2", 47, 0, 0, 0, 30, .other_proto = 48 },
	{ "drop proto udp sport 53", "1.1.1.1", "2.2.2.2", 17, 53, 2, 0, 9, .other_sport = 54 },
	{ "drop proto udp sport 100-200", "1.1.1.1", "2.2.2.2", 17, 200, 2, 0, 9,
	  .other_sport = 201 },
	{ "drop proto tcp dport 80-443", "1.1.1.1", "2.2.2.2", 6, 5, 80, 2, 0, .other_dport = 79 },
	{ "drop proto tcp flags S", "1.1.1.1", "2.2.2.2", 6, 5, 80, 0x02, 0, .other_flags = 0x12 },
	{ "drop proto tcp flags FA/FA", "1.1.1.1", "2.2.2.2", 6, 5, 80, 0x19, 0,
	  .other_flags = 0x18 },
	{ "drop proto udp len 100-200", "1.1.1.1", "2.2.2.2", 17, 5, 80, 0, 172,
	  .other_payload = 173 },
	{ "drop proto udp len 100-", "1.1.1.1", "2.2.2.2", 17, 5, 80, 0, 72, .other_payload = 71 },
};

static void test_fields(void)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct pair *p = &pairs[i];
		enum moat_reason hit, other;

		begin();
		CU_ASSERT_TRUE_FATAL(gate_fixture_rule(&gate, p->rule));
		CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
		hit = judge(p->src, p->dst, p->proto, p->sport, p->dport, p->flags, p->payload);
		other = judge(p->other_src ? p->other_src : p->src,
			      p->other_dst ? p->other_dst : p->dst,
			      p->other_proto ? p->other_proto : p->proto,
			      p->other_sport ? p->other_sport : p->sport,
			      p->other_dport ? p->other_dport : p->dport,
			      p->other_flags ? p->other_flags : p->flags,
			      p->other_payload ? p->other_payload : p->payload);
		if (hit != MOAT_REASON_DROP_RULE || other != MOAT_REASON_PASS_DEFAULT)
			fprintf(stderr, "%s: %s, other %s\n", p->rule, moat_reason_name(hit),
				moat_reason_name(other));
		CU_ASSERT_EQUAL(hit, MOAT_REASON_DROP_RULE);
		CU_ASSERT_EQUAL(other, MOAT_REASON_PASS_DEFAULT);
	}
}

static const struct moat_rule *rule_at(size_t index)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(gate.set, &count);

	CU_ASSERT_FATAL(index < count);
	return &rules[index];
}

/* Of the rule at an index, since the set was made: a set of its own begins with the ids of the last. */
static uint64_t hits_before[MOAT_RULES_MAX];

static uint64_t hits(size_t index)
{
	return moat_gate_rule_count(gate.gate, rule_at(index)->slot).packets -
	       hits_before[rule_at(index)->slot];
}

/* Lists before rules; rules by priority; counting goes on; hits stay with their rule. */
static void test_order(void)
{
	begin();
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_ALLOW, "1.1.1.1"));
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "drop proto udp dport 7 priority 30"));
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "pass src 2.0.0.0/8 proto udp priority 20"));
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "count proto udp priority 10"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	for (uint32_t slot = 0; slot < MOAT_RULES_MAX; slot++)
		hits_before[slot] = moat_gate_rule_count(gate.gate, slot).packets;
	CU_ASSERT_EQUAL(judge("1.1.1.1", "9.9.9.9", 17, 1, 7, 0, 0), MOAT_REASON_PASS_ALLOWED);
	CU_ASSERT_EQUAL(judge("2.1.1.1", "9.9.9.9", 17, 1, 7, 0, 0), MOAT_REASON_PASS_RULE);
	CU_ASSERT_EQUAL(judge("3.1.1.1", "9.9.9.9", 17, 1, 7, 0, 0), MOAT_REASON_DROP_RULE);
	CU_ASSERT_EQUAL(judge("3.1.1.1", "9.9.9.9", 17, 1, 8, 0, 0), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(hits(0), 3);
	CU_ASSERT_EQUAL(hits(1), 1);
	CU_ASSERT_EQUAL(hits(2), 1);
	/* a rebuild keeps them, a new rule in an old slot begins at 0 */
	CU_ASSERT_EQUAL(moat_ruleset_del(gate.set, rule_at(1)->id), 0);
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "pass src 4.0.0.0/8 priority 5"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_EQUAL(judge("4.1.1.1", "9.9.9.9", 17, 1, 7, 0, 0), MOAT_REASON_PASS_RULE);
	CU_ASSERT_EQUAL(moat_gate_rule_count(gate.gate, rule_at(0)->slot).packets, 1);
	CU_ASSERT_EQUAL(hits(1), 3);
}

/* As many rules as there may be, spread over every word; then as many matches as are looked at. */
static void test_many(void)
{
	char text[128];

	begin();
	for (int i = 0; i < MOAT_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "drop proto udp dport %d priority %d", i + 1, i);
		CU_ASSERT_TRUE_FATAL(gate_fixture_rule(&gate, text));
	}
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	for (uint16_t i = 1; i <= MOAT_RULES_MAX; i += 61)
		CU_ASSERT_EQUAL(judge("1.1.1.1", "2.2.2.2", 17, 1, i, 0, 0), MOAT_REASON_DROP_RULE);
	CU_ASSERT_EQUAL(judge("1.1.1.1", "2.2.2.2", 17, 1, MOAT_RULES_MAX + 1, 0, 0),
			MOAT_REASON_PASS_DEFAULT);

	for (int counting = MOAT_RULE_TRIES - 1; counting <= MOAT_RULE_TRIES; counting++) {
		begin();
		for (int i = 0; i < counting; i++) {
			snprintf(text, sizeof(text), "count proto udp len %d- priority %d", i + 1,
				 i);
			CU_ASSERT_TRUE_FATAL(gate_fixture_rule(&gate, text));
		}
		CU_ASSERT_TRUE(gate_fixture_rule(&gate, "drop proto udp priority 100"));
		CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
		CU_ASSERT_EQUAL(judge("1.1.1.1", "2.2.2.2", 17, 1, 1, 0, 200),
				counting < MOAT_RULE_TRIES ? MOAT_REASON_DROP_RULE
							   : MOAT_REASON_PASS_DEFAULT);
	}
}

static void test_expiry(void)
{
	uint64_t before = gate_fixture_counters(&gate).rules_expired;

	begin();
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "drop proto udp for 300ms"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_EQUAL(judge("1.1.1.1", "2.2.2.2", 17, 1, 1, 0, 0), MOAT_REASON_DROP_RULE);
	usleep(340000);
	CU_ASSERT_EQUAL(judge("1.1.1.1", "2.2.2.2", 17, 1, 1, 0, 0), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(gate_fixture_counters(&gate).rules_expired, before + 1);
}

/* Prefixes that don't fit leave the old set in force. */
static void test_no_nodes(void)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4, .len = 32 };

	begin();
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "7.7.7.7"));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	for (uint32_t i = 0; i < 1100; i++) {
		moat_addr_from_v4(&prefix.addr, htonl(0x0b000001 + (i << 8)));
		CU_ASSERT_EQUAL(moat_ruleset_list_add(gate.set, MOAT_LIST_DENY, &prefix), 0);
	}
	CU_ASSERT_EQUAL(moat_gate_commit(gate.gate, gate.set, NULL), MOAT_TABLES_NO_NODES);
	CU_ASSERT_EQUAL(judge("7.7.7.7", "2.2.2.2", 17, 1, 1, 0, 0), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("11.0.0.1", "2.2.2.2", 17, 1, 1, 0, 0), MOAT_REASON_PASS_DEFAULT);
	begin();
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_EQUAL(judge("7.7.7.7", "2.2.2.2", 17, 1, 1, 0, 0), MOAT_REASON_PASS_DEFAULT);
}

static const struct moat_test tests[] = {
	{ "no policy passes and counts", test_no_policy },
	{ "lists, IPv4", test_lists_v4 },
	{ "lists, IPv6", test_lists_v6 },
	{ "every field of a rule", test_fields },
	{ "order and hits", test_order },
	{ "many rules", test_many },
	{ "expiry", test_expiry },
	{ "prefixes that don't fit", test_no_nodes },
	{ NULL, NULL },
};

int main(void)
{
	int r;

	gate_fixture_open(&gate, &(struct moat_gate_options){ .cells = 1024, .nodes = 1024 });
	r = moat_test_main("gate-judge", tests);
	gate_fixture_close(&gate);
	return r;
}
