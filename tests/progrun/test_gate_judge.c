/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The gate's verdicts: lists, every field of a rule, order, expiry, what has no policy. */
#include <arpa/inet.h>
#include <unistd.h>

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

static const struct moat_test tests[] = {
	{ "no policy passes and counts", test_no_policy },
	{ "lists, IPv4", test_lists_v4 },
	{ "lists, IPv6", test_lists_v6 },
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
