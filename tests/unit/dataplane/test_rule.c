/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/rule.c and rule_parse.c: text in and out, refusals with their place, the match by the book. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"

#define NOW (1000 * MOAT_NS_PER_S)

static struct moat_rule rule_of(const char *text)
{
	struct moat_rule rule = moat_rule_default();
	struct moat_error error = { 0 };

	CU_ASSERT_EQUAL(moat_rule_parse(text, NOW, &rule, &error), 0);
	if (error.text[0])
		fprintf(stderr, "%s: %s\n", text, error.text);
	return rule;
}

static void test_example(void)
{
	struct moat_rule rule = rule_of("limit 2000/s prefer-known dst 198.51.100.7 proto tcp "
					"dport 443 flags S for 10m");
	char text[MOAT_PREFIX_TEXT_LEN];

	CU_ASSERT_EQUAL(rule.action, MOAT_ACTION_LIMIT);
	CU_ASSERT_EQUAL(rule.flags, MOAT_RULE_PREFER_KNOWN);
	CU_ASSERT_EQUAL(rule.rate_pps, 2000);
	CU_ASSERT_STRING_EQUAL(moat_prefix_format(&rule.match.dst, text), "198.51.100.7");
	CU_ASSERT_EQUAL(rule.match.src.family, MOAT_FAMILY_ANY);
	CU_ASSERT_EQUAL(rule.match.proto, 6);
	CU_ASSERT_EQUAL(rule.match.dport_min, 443);
	CU_ASSERT_EQUAL(rule.match.dport_max, 443);
	CU_ASSERT_EQUAL(rule.match.sport_max, 65535);
	CU_ASSERT_EQUAL(rule.match.tcp_flags, MOAT_TCP_SYN);
	CU_ASSERT_EQUAL(rule.match.tcp_mask,
			MOAT_TCP_SYN | MOAT_TCP_ACK | MOAT_TCP_FIN | MOAT_TCP_RST);
	CU_ASSERT_EQUAL(rule.priority, MOAT_RULE_PRIORITY_DEFAULT);
	CU_ASSERT_EQUAL(rule.expires_ns, NOW + 600 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(rule.id, 0);
}

/* Text that is written as it was read. */
static void test_round_trip(void)
{
	static const char *const texts[] = {
		"drop src 192.0.2.0/24",
		"pass src 2001:db8::/32 dst 2001:db8:1::1",
		"count",
		"limit 1/s",
		"limit 4294967295/s prefer-known proto udp sport 1000-2000",
		"drop proto tcp flags none/FSRPAUEC",
		"drop proto tcp flags none",
		"drop flags SA",
		"drop flags FPU",
		"drop flags SF/SF",
		"drop proto 200",
		"drop proto icmp6 len 1400-",
		"drop len 400-1500",
		"drop len 0-1500",
		"drop proto sctp dport 0",
		"drop proto gre priority 0 for 90s comment \"say \\\"no\\\" \\\\ \xc3\xa9\"",
		"pass dst 0.0.0.0/0 priority 65535",
		"drop vlan 12",
		"drop vlan none",
		"drop vlan 16/0xff0 len 400-",
		"limit 100Mbit/s proto udp",
		"limit 12Gbit/s",
		"limit 2000/s and 8bit/s burst 1048576 prefer-known dst 192.0.2.1",
		"sample 1/1",
		"sample 1/2147483648 src 192.0.2.0/24",
		"redirect to eth1.100@x proto gre",
		"count-only drop",
		"count-only limit 5/s burst 7 src 192.0.2.0/24",
	};
	char text[MOAT_RULE_TEXT_LEN], again[MOAT_RULE_TEXT_LEN];

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(texts); i++) {
		struct moat_rule rule = rule_of(texts[i]), back;

		/* flags are written in the order of their bits */
		moat_rule_format(&rule, NOW, text);
		if (!strstr(texts[i], "SF/SF"))
			CU_ASSERT_STRING_EQUAL(text, texts[i]);
		back = rule_of(text);
		CU_ASSERT_EQUAL(memcmp(&rule, &back, sizeof(rule)), 0);
		CU_ASSERT_STRING_EQUAL(moat_rule_format(&back, NOW, again), text);
	}
}

static void test_longest_fits(void)
{
	struct moat_rule rule, back;
	char text[MOAT_RULE_TEXT_LEN];
	char comment[MOAT_RULE_COMMENT_LEN];

	rule = rule_of(
		"count-only limit 4294967295/s and 999999999992bit/s burst 1048576 prefer-known "
		"vlan 2048/0x800 flags FSRPAUEC/FSRPAUEC len 10000-20000 "
		"sport 10000-20000 dport 10000-20000 priority 10000 proto tcp for 36500d "
		"src 2001:db8:1111:2222:3333:4444:5555:6600/121 "
		"dst 2001:db8:1111:2222:3333:4444:5555:6600/121");
	memset(comment, '"', sizeof(comment));
	comment[sizeof(comment) - 1] = '\0';
	memcpy(rule.comment, comment, sizeof(comment));
	moat_rule_format(&rule, NOW, text);
	CU_ASSERT(strlen(text) < sizeof(text) - 1);
	back = rule_of(text);
	CU_ASSERT_EQUAL(memcmp(&rule, &back, sizeof(rule)), 0);
}

static void test_refused(void)
{
	static const struct {
		const char *text, *why; /* part of the error */
	} cases[] = {
		{ "", "column 1: an action is missing" },
		{ "allow src 1.2.3.4", "column 1: 'allow': no action" },
		{ "drop", "would cut you off" },
		{ "drop src any dst 0.0.0.0/0 len 0-", "would cut you off" },
		{ "drop src 10.0.0.1/8", "column 10: '10.0.0.1/8': bits are set" },
		{ "drop src 10.0.0.0/33", "column 10:" },
		{ "drop src", "column 9: 'src' lacks its value" },
		{ "drop src 1.1.1.1 src 2.2.2.2", "column 18: 'src': given twice" },
		{ "drop src 1.1.1.1 dst ::1", "two families" },
		{ "drop colour red", "column 6: 'colour': no field" },
		{ "drop dport 65536", "column 12: '65536'" },
		{ "drop dport 20-10", "ends before it begins" },
		{ "drop dport -10", "no number or range" },
		{ "drop dport 10-", "no number or range" },
		{ "drop dport 53 proto icmp", "only tcp, udp and sctp" },
		{ "drop flags S proto udp", "only tcp has flags" },
		{ "drop flags SX", "letters of FSRPAUEC" },
		{ "drop flags S/A", "outside of the mask" },
		{ "drop flags none/none", "the mask is letters" },
		{ "drop flags /S", "letters" },
		{ "drop proto 0", "no protocol name" },
		{ "drop proto 256", "no protocol name" },
		{ "drop proto tcpx", "no protocol name" },
		{ "drop proto tcp priority 65536", "no priority" },
		{ "drop proto tcp for 0s", "no duration" },
		{ "drop proto tcp for soon", "no duration" },
		{ "drop proto tcp comment \"open", "an open quote" },
		{ "drop proto tcp comment \"\xff\"", "no UTF-8" },
		{ "drop proto tcp comment \"a\nb\"", "column 24" },
		{ "drop proto tcp prefer-known", "only a limit" },
		{ "limit", "a rate is missing" },
		{ "limit 0", "no rate" },
		{ "limit 4294967296/s", "no rate" },
		{ "limit -1", "no rate" },
		{ "limit 5/m", "no rate" },
		{ "limit 5Mbit", "no rate" },
		{ "limit 4bit/s", "whole bytes" },
		{ "limit 0kbit/s", "whole bytes" },
		{ "limit 1001Gbit/s", "up to 1000Gbit/s" },
		{ "limit 5/s and", "a rate is missing" },
		{ "limit 5/s and 6/s", "a second rate in packets" },
		{ "limit 8kbit/s and 1MB/s", "a second rate in bytes" },
		{ "limit 5/s burst 0", "no burst" },
		{ "limit 5/s burst 1048577", "no burst" },
		{ "drop proto udp burst 5", "only a limit" },
		{ "drop vlan 4096", "no VLAN" },
		{ "drop vlan 3/2", "outside of the mask" },
		{ "drop vlan 3/0", "the mask" },
		{ "drop vlan 3/0x1000", "the mask" },
		{ "sample", "1/N is missing" },
		{ "sample 10", "1/N" },
		{ "sample 1/0", "1/N" },
		{ "sample 1/2147483649", "1/N" },
		{ "redirect eth0", "takes \"to\"" },
		{ "redirect to", "name is missing" },
		{ "redirect to a/b src 1.1.1.1", "no interface name" },
		{ "redirect to sixteen-letters- src 1.1.1.1", "no interface name" },
		{ "redirect to eth0", "would cut you off" },
		{ "count-only", "an action is missing" },
		{ "count-only count src 1.1.1.1", "count only counts" },
		{ "count-only count-only drop src 1.1.1.1", "no action" },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		struct moat_rule rule, before;
		struct moat_error error = { 0 };

		memset(&rule, 0xee, sizeof(rule));
		before = rule;
		CU_ASSERT_EQUAL(moat_rule_parse(cases[i].text, NOW, &rule, &error), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(error.text, cases[i].why));
		if (!strstr(error.text, cases[i].why))
			fprintf(stderr, "\"%s\": \"%s\"\n", cases[i].text, error.text);
		CU_ASSERT_EQUAL(memcmp(&rule, &before, sizeof(rule)), 0);
		CU_ASSERT_EQUAL(moat_rule_parse(cases[i].text, NOW, &rule, NULL), -EINVAL);
	}
}

static void test_match(void)
{
	struct moat_headers headers = {
		.sport = 1000,
		.dport = 53,
		.l3_len = 60,
		.family = MOAT_FAMILY_V4,
		.proto = 17,
		.has_ports = 1,
	};
	static const struct {
		const char *text;
		bool udp, later, tcp; /* a datagram, its later fragment, a SYN to the same port */
	} cases[] = {
		{ "count", true, true, true },
		{ "count proto udp", true, true, false },
		{ "count dport 53", true, false, true },
		{ "count dport 54-65535", false, false, false },
		{ "count sport 1-1000", true, false, true },
		{ "count flags S", false, false, true },
		{ "count flags A", false, false, false },
		{ "count flags none", false, false, false },
		{ "count flags none/F", false, false, true },
		{ "count len 60", true, true, true },
		{ "count len 61-", false, false, false },
		{ "count src 192.0.2.0/24", true, true, true },
		{ "count src 192.0.2.128/25", false, false, false },
		{ "count dst ::/0", false, false, false },
	};

	moat_addr_parse("192.0.2.1", &headers.src);
	moat_addr_parse("198.51.100.1", &headers.dst);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		struct moat_rule rule = rule_of(cases[i].text);
		struct moat_headers later = headers, tcp = headers;

		later.fragment = MOAT_FRAGMENT_LATER;
		later.sport = 0;
		later.dport = 0;
		later.has_ports = 0;
		tcp.proto = 6;
		tcp.tcp_flags = MOAT_TCP_SYN;
		CU_ASSERT_EQUAL(moat_match_test(&rule.match, &headers), cases[i].udp);
		CU_ASSERT_EQUAL(moat_match_test(&rule.match, &later), cases[i].later);
		CU_ASSERT_EQUAL(moat_match_test(&rule.match, &tcp), cases[i].tcp);
	}
}

static void test_names(void)
{
	char text[MOAT_RULE_TEXT_LEN];
	struct moat_rule rule = rule_of("count");

	CU_ASSERT_STRING_EQUAL(moat_match_format(&rule.match, text), "any");
	CU_ASSERT_STRING_EQUAL(moat_reason_name(MOAT_REASON_DROP_RULE), "drop_rule");
	CU_ASSERT_STRING_EQUAL(moat_reason_name(MOAT_REASON_COUNT), "unknown");
	for (uint32_t reason = 0; reason < MOAT_REASON_COUNT; reason++)
		CU_ASSERT_PTR_NOT_NULL(moat_reason_name(reason));
	CU_ASSERT_STRING_EQUAL(moat_action_name(MOAT_ACTION_LIMIT), "limit");
	CU_ASSERT_STRING_EQUAL(moat_action_name(99), "unknown");
}

static void test_time_left(void)
{
	struct moat_rule rule = rule_of("drop proto gre for 10m");
	char text[MOAT_RULE_TEXT_LEN];

	CU_ASSERT_STRING_EQUAL(moat_rule_format(&rule, NOW + 5, text), "drop proto gre for 600s");
	CU_ASSERT_STRING_EQUAL(moat_rule_format(&rule, NOW + 599 * MOAT_NS_PER_S, text),
			       "drop proto gre for 1s");
	/* expired, not yet removed */
	CU_ASSERT_STRING_EQUAL(moat_rule_format(&rule, NOW + 700 * MOAT_NS_PER_S, text),
			       "drop proto gre for 1s");
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "example", test_example },
		{ "round trip", test_round_trip },
		{ "longest fits", test_longest_fits },
		{ "refused", test_refused },
		{ "match", test_match },
		{ "names", test_names },
		{ "time left", test_time_left },
		{ NULL, NULL },
	};

	return moat_test_main("rule", tests);
}
