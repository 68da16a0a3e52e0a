/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which floods are handed to the routers, in which words, and for how long. */
#include <string.h>

#include "ctl/upstream.h"
#include "ctl/upstream_text.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"

#define NOW (1000 * MOAT_NS_PER_S)
#define HOLD (60 * MOAT_NS_PER_S)

static struct moat_prefix ours[2];

static struct moat_upstream *begin(enum moat_upstream_action action, uint32_t max_routes)
{
	struct moat_upstream_options options = {
		.action = action,
		.uplink_mbps = 1000,
		.share = 0.5,
		.hold_ns = HOLD,
		.max_routes = max_routes,
		.community = 65535u << 16 | 666,
		.prefixes = ours,
		.prefix_count = MOAT_ARRAY_SIZE(ours),
	};
	struct moat_upstream *upstream = NULL;

	CU_ASSERT_EQUAL(moat_prefix_parse("198.51.100.0/24", &ours[0]), 0);
	CU_ASSERT_EQUAL(moat_prefix_parse("2001:db8::/32", &ours[1]), 0);
	CU_ASSERT_EQUAL(moat_addr_parse("192.0.2.1", &options.next_hop4), 0);
	CU_ASSERT_EQUAL_FATAL(moat_upstream_new(&options, &upstream), 0);
	return upstream;
}

static struct moat_finding flood(uint64_t id, const char *victim, double mbps)
{
	struct moat_finding finding = { .id = id,
					.kind = MOAT_FINDING_UDP_FLOOD,
					.mbps = mbps,
					.detected_ns = NOW,
					.last_ns = NOW };

	CU_ASSERT_EQUAL(moat_addr_parse(victim, &finding.subject), 0);
	return finding;
}

static void propose(struct moat_finding *finding, const char *text)
{
	struct moat_rule rule;

	CU_ASSERT_EQUAL_FATAL(moat_rule_parse(text, NOW, &rule, NULL), 0);
	finding->proposals[finding->proposal_count++].match = rule.match;
}

static size_t count(const struct moat_upstream *upstream)
{
	size_t i = 0;

	while (moat_upstream_at(upstream, i))
		i++;
	return i;
}

static void test_threshold(void)
{
	struct moat_upstream *upstream = begin(MOAT_UPSTREAM_BLACKHOLE, 4);
	struct moat_finding finding = flood(1, "198.51.100.7", 499);

	moat_upstream_finding(upstream, &finding, NOW);
	CU_ASSERT_EQUAL(count(upstream), 0);
	finding.mbps = 500;
	finding.subject_is_source = true;
	moat_upstream_finding(upstream, &finding, NOW);
	finding.subject_is_source = false;
	finding.kind = MOAT_FINDING_SCAN;
	moat_upstream_finding(upstream, &finding, NOW);
	CU_ASSERT_EQUAL(count(upstream), 0);
	finding.kind = MOAT_FINDING_SYN_FLOOD;
	moat_upstream_finding(upstream, &finding, NOW);
	CU_ASSERT_EQUAL_FATAL(count(upstream), 1);
	CU_ASSERT_STRING_EQUAL(moat_upstream_at(upstream, 0)->text,
			       "route 198.51.100.7/32 next-hop 192.0.2.1 community [65535:666]");
	moat_upstream_free(upstream);
}

static void test_whose(void)
{
	struct moat_upstream *upstream = begin(MOAT_UPSTREAM_BLACKHOLE, 4);
	struct moat_finding foreign = flood(1, "198.51.101.7", 900),
			    no_hop = flood(2, "2001:db8::7", 900),
			    carpet = flood(3, "198.51.100.0", 900);
	struct moat_upstream_counters counters;

	moat_upstream_finding(upstream, &foreign, NOW);
	moat_upstream_finding(upstream, &no_hop, NOW);
	/* a prefix is announced as such, unless it is more than ours */
	carpet.kind = MOAT_FINDING_CARPET;
	carpet.prefix_len = 23;
	moat_upstream_finding(upstream, &carpet, NOW);
	CU_ASSERT_EQUAL(count(upstream), 0);
	moat_upstream_counters(upstream, &counters);
	CU_ASSERT_EQUAL(counters.refused_foreign, 3);
	carpet.prefix_len = 24;
	moat_upstream_finding(upstream, &carpet, NOW);
	CU_ASSERT_EQUAL_FATAL(count(upstream), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(moat_upstream_at(upstream, 0)->text, "198.51.100.0/24"));
	moat_upstream_free(upstream);
}

static void test_hold(void)
{
	struct moat_upstream *upstream = begin(MOAT_UPSTREAM_BLACKHOLE, 4);
	struct moat_finding finding = flood(1, "198.51.100.7", 900);
	struct moat_upstream_counters counters;

	moat_upstream_finding(upstream, &finding, NOW);
	moat_upstream_finding(upstream, &finding, NOW + HOLD / 2);
	CU_ASSERT_EQUAL(count(upstream), 1);
	/* its end is what the route made of it */
	finding.state = MOAT_FINDING_CLOSED;
	moat_upstream_finding(upstream, &finding, NOW + HOLD / 2 + 1);
	moat_upstream_tick(upstream, NOW + HOLD);
	CU_ASSERT_EQUAL(count(upstream), 1);
	moat_upstream_tick(upstream, NOW + HOLD / 2 + HOLD);
	CU_ASSERT_EQUAL(count(upstream), 0);
	moat_upstream_counters(upstream, &counters);
	CU_ASSERT_EQUAL(counters.announced, 1);
	CU_ASSERT_EQUAL(counters.withdrawn, 1);
	moat_upstream_free(upstream);
}

static void test_bounds(void)
{
	struct moat_upstream *upstream = begin(MOAT_UPSTREAM_BLACKHOLE, 2);
	struct moat_upstream_counters counters;

	for (uint64_t id = 1; id <= 4; id++) {
		struct moat_finding finding = flood(id, "198.51.100.0", 900);

		finding.subject.bytes[15] = (uint8_t)id;
		moat_upstream_finding(upstream, &finding, NOW);
	}
	CU_ASSERT_EQUAL(count(upstream), 2);
	moat_upstream_counters(upstream, &counters);
	CU_ASSERT_EQUAL(counters.refused_full, 2);
	moat_upstream_free(upstream);
}

static void test_dismissed(void)
{
	struct moat_upstream *upstream = begin(MOAT_UPSTREAM_BLACKHOLE, 4);
	struct moat_finding finding = flood(1, "198.51.100.7", 900);

	CU_ASSERT_EQUAL(moat_upstream_withdraw(upstream, 1), 0);
	moat_upstream_finding(upstream, &finding, NOW);
	CU_ASSERT_EQUAL(moat_upstream_withdraw(upstream, 1), 1);
	moat_upstream_finding(upstream, &finding, NOW + 1);
	CU_ASSERT_EQUAL(count(upstream), 0);
	finding.id = 2;
	moat_upstream_finding(upstream, &finding, NOW + 2);
	CU_ASSERT_EQUAL(count(upstream), 1);
	moat_upstream_free(upstream);
}

static void test_flows(void)
{
	struct moat_upstream *upstream = begin(MOAT_UPSTREAM_FLOWSPEC, 4);
	struct moat_finding finding = flood(1, "198.51.100.7", 900);

	/* rules are worth some patience, a flood isn't worth more */
	moat_upstream_finding(upstream, &finding, NOW);
	CU_ASSERT_EQUAL(count(upstream), 0);
	finding.last_ns += MOAT_UPSTREAM_PATIENCE_NS;
	moat_upstream_finding(upstream, &finding, NOW + MOAT_UPSTREAM_PATIENCE_NS);
	CU_ASSERT_EQUAL_FATAL(count(upstream), 1);
	CU_ASSERT_STRING_EQUAL(
		moat_upstream_at(upstream, 0)->text,
		"flow route { match { destination 198.51.100.7/32; } then { discard; } }");
	/* what is narrower takes its place */
	propose(&finding, "drop dst 198.51.100.7 proto udp sport 123");
	moat_upstream_finding(upstream, &finding, NOW + MOAT_UPSTREAM_PATIENCE_NS + 1);
	CU_ASSERT_EQUAL_FATAL(count(upstream), 1);
	CU_ASSERT_STRING_EQUAL(moat_upstream_at(upstream, 0)->text,
			       "flow route { match { destination 198.51.100.7/32; protocol =17; "
			       "source-port =123; } then { discard; } }");
	moat_upstream_free(upstream);
}

static void test_configure(void)
{
	struct moat_upstream *upstream = begin(MOAT_UPSTREAM_BLACKHOLE, 4);
	struct moat_upstream_options off = { .action = MOAT_UPSTREAM_OFF };
	struct moat_finding finding = flood(1, "198.51.100.7", 900);

	moat_upstream_finding(upstream, &finding, NOW);
	moat_upstream_configure(upstream, &off, false);
	CU_ASSERT_EQUAL(count(upstream), 0);
	moat_upstream_finding(upstream, &finding, NOW);
	CU_ASSERT_EQUAL(count(upstream), 0);
	moat_upstream_free(upstream);
}

/* The longest text there is fits, and a match of two families is refused. */
static void test_texts(void)
{
	static const struct {
		const char *rule, *text;
	} cases[] = {
		{ "drop src 10.0.0.0/8 dst 198.51.100.7 proto tcp flags S/SA dport 80-443",
		  "flow route { match { source 10.0.0.0/8; destination 198.51.100.7/32; protocol =6; "
		  "destination-port >=80&<=443; tcp-flags [ syn&!ack ]; } then { discard; } }" },
		{ "drop dst 2001:db8::7 proto udp len 1000-1500",
		  "flow route { match { destination 2001:db8::7/128; next-header =17; "
		  "packet-length >=1000&<=1500; } then { discard; } }" },
	};
	char text[MOAT_UPSTREAM_TEXT_LEN];
	struct moat_match longest;
	struct moat_rule rule;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		CU_ASSERT_EQUAL_FATAL(moat_rule_parse(cases[i].rule, NOW, &rule, NULL), 0);
		CU_ASSERT_TRUE(moat_upstream_flow_text(&rule.match, text));
		CU_ASSERT_STRING_EQUAL(text, cases[i].text);
	}
	memset(&longest, 0, sizeof(longest));
	CU_ASSERT_EQUAL(
		moat_prefix_parse("1000:2000:3000:4000:5000:6000:7000:8000/128", &longest.src), 0);
	longest.dst = longest.src;
	longest.proto = 255;
	longest.sport_min = longest.dport_min = longest.len_min = 10000;
	longest.sport_max = longest.dport_max = longest.len_max = 20000;
	longest.tcp_mask = 255;
	CU_ASSERT_TRUE(moat_upstream_flow_text(&longest, text));
	CU_ASSERT_TRUE(strlen(text) < MOAT_UPSTREAM_TEXT_LEN - 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "} then { discard; } }"));
	CU_ASSERT_EQUAL(moat_prefix_parse("10.0.0.0/8", &longest.src), 0);
	CU_ASSERT_FALSE(moat_upstream_flow_text(&longest, text));
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "threshold", test_threshold },
		{ "whose", test_whose },
		{ "hold", test_hold },
		{ "bounds", test_bounds },
		{ "dismissed", test_dismissed },
		{ "flows", test_flows },
		{ "configure", test_configure },
		{ "texts", test_texts },
		{ NULL, NULL },
	};

	return moat_test_main("upstream", tests);
}
