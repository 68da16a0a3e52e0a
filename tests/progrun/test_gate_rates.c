/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The stages with rates: limits of sources, protection of destinations. Judges agree on the packets of a
 * burst; what time adds to them is allowed for, so a slow machine fails nothing. */
#include <stdio.h>

#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"
#include "tests/progrun/stage_fixture.h"

/* ---- rates ------------------------------------------------------------------------------------ */

/* How many of `count` packets both judges pass; a slow machine sees tokens of 1 a second come. */
static unsigned int passed(const struct frame *frame, unsigned int count, enum moat_reason refused)
{
	unsigned int gate_passed = 0, worker_passed = 0;

	for (unsigned int i = 0; i < count; i++) {
		enum moat_reason reason = gate_fixture_reason(&fixture.gate, frame->data,
							      frame->length);
		enum moat_reason worker = stage_judge_worker(frame);

		CU_ASSERT(reason == MOAT_REASON_PASS_DEFAULT || reason == refused);
		CU_ASSERT(worker == MOAT_REASON_PASS_DEFAULT || worker == refused);
		gate_passed += reason == MOAT_REASON_PASS_DEFAULT;
		worker_passed += worker == MOAT_REASON_PASS_DEFAULT;
	}
	CU_ASSERT(gate_passed <= worker_passed + 1 && worker_passed <= gate_passed + 1);
	return gate_passed;
}

/* As many as the burst, and those that came in since. */
static bool is_burst(unsigned int count, unsigned int burst, uint64_t since_ns)
{
	return count >= burst &&
	       count <= burst + 1 + (moat_clock_monotonic_ns() - since_ns) / 1000000000;
}

static struct frame udp_frame(const char *src, const char *dst, size_t payload)
{
	struct frame frame;

	frame_simple(&frame, src, dst, 17, 1, 2, 0, payload);
	return frame;
}

static unsigned int source_passed(const char *src, const char *dst, size_t payload,
				  unsigned int count)
{
	struct frame frame = udp_frame(src, dst, payload);

	return passed(&frame, count, MOAT_REASON_DROP_SOURCE);
}

static void limit_source(const char *prefix, uint64_t pps, uint64_t bps, uint64_t burst,
			 uint8_t v4_len, uint8_t v6_len)
{
	const struct moat_source_limit limit = {
		.prefix = stage_prefix(prefix),
		.packets = { pps, burst },
		.bytes = { bps, burst },
		.v4_len = v4_len,
		.v6_len = v6_len,
	};

	CU_ASSERT_EQUAL(moat_stage_set_limit_source(fixture.stages, &limit), 0);
}

static void test_sources(void)
{
	uint64_t now = moat_clock_monotonic_ns();

	stage_begin(STAGES_ALL);
	limit_source("any", 1, 0, 5, 32, 64);
	limit_source("10.0.0.0/8", 1, 0, 9, 24, 64);
	limit_source("10.1.0.0/16", 0, 0, 0, 32, 64);
	limit_source("172.16.0.0/12", 0, 1000, 3000, 32, 64);
	CU_ASSERT_TRUE(gate_fixture_rule(&fixture.gate, "drop dst 198.51.100.9"));
	stage_commit();
	/* each source for itself, whatever it sends to */
	CU_ASSERT(is_burst(source_passed("192.0.2.1", "198.51.100.1", 9, 12), 5, now));
	CU_ASSERT(source_passed("192.0.2.1", "198.51.100.2", 9, 12) <= 1);
	CU_ASSERT(is_burst(source_passed("192.0.2.2", "198.51.100.1", 9, 12), 5, now));
	CU_ASSERT(is_burst(source_passed("2001:db8::1", "2001:db8::2", 9, 12), 5, now));
	/* an IPv6 /64 is one source, the next one another */
	CU_ASSERT(source_passed("2001:db8::ffff", "2001:db8::2", 9, 12) <= 1);
	CU_ASSERT(is_burst(source_passed("2001:db8:0:1::1", "2001:db8::2", 9, 12), 5, now));
	/* a /24 is one, by the profile of the prefix; a longer prefix has no limit */
	CU_ASSERT(is_burst(source_passed("10.0.5.1", "198.51.100.1", 9, 20), 9, now));
	CU_ASSERT(source_passed("10.0.5.2", "198.51.100.1", 9, 20) <= 1);
	CU_ASSERT(is_burst(source_passed("10.0.6.2", "198.51.100.1", 9, 20), 9, now));
	CU_ASSERT_EQUAL(source_passed("10.1.6.2", "198.51.100.1", 9, 40), 40);
	/* 3,000 bytes: as long as one is left, 1,028 at a time */
	CU_ASSERT(is_burst(source_passed("172.16.0.1", "198.51.100.1", 1000, 9), 3, now));
	/* what a rule drops takes no tokens */
	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(stage_judge("192.0.2.3", "198.51.100.9", 17, 1, 2, 0, 1),
				MOAT_REASON_DROP_RULE);
	CU_ASSERT(is_burst(source_passed("192.0.2.3", "198.51.100.1", 9, 12), 5, now));
}

/* Heavy sources don't hurt others: of many, only those that share both buckets may be refused. */
static void test_sources_apart(void)
{
	unsigned int innocent = 0;
	char text[32];

	stage_begin(STAGES_ALL);
	limit_source("any", 1, 0, 2, 32, 64);
	stage_commit();
	for (int i = 0; i < 300; i++) {
		struct frame frame;

		snprintf(text, sizeof(text), "172.20.%d.%d", i / 200, i % 200);
		frame = udp_frame(text, "198.51.100.1", 9);
		gate_fixture_run(&fixture.gate, frame.data, frame.length, 10);
	}
	for (int i = 0; i < 300; i++) {
		struct frame frame;

		snprintf(text, sizeof(text), "172.21.%d.%d", i / 200, i % 200);
		frame = udp_frame(text, "198.51.100.1", 9);
		innocent += gate_fixture_reason(&fixture.gate, frame.data, frame.length) ==
			    MOAT_REASON_PASS_DEFAULT;
	}
	/* (300 / 65,536)^2 each: none but in one run of a hundred and fifty */
	CU_ASSERT(innocent >= 299);
}

static void protect(const char *prefix, enum moat_kind kind, uint64_t rate, uint64_t burst,
		    bool each)
{
	struct moat_protection protection = { .prefix = stage_prefix(prefix), .each = each };

	protection.rates[kind] = (struct moat_rate_ask){ rate, burst };
	CU_ASSERT_EQUAL(moat_stage_set_protect(fixture.stages, &protection), 0);
}

static void test_profiles(void)
{
	uint64_t now = moat_clock_monotonic_ns();
	struct moat_profile_hits hits;
	struct frame frame;

	stage_begin(STAGES_ALL);
	protect("198.51.100.0/24", MOAT_KIND_UDP, 1, 6, false);
	protect("198.51.100.128/25", MOAT_KIND_SYN, 1, 4, true);
	protect("2001:db8::/32", MOAT_KIND_ICMP, 1, 3, false);
	protect("203.0.113.0/24", MOAT_KIND_OTHER, 1, 7, false);
	stage_commit();
	/* the prefix has one rate for all its addresses and any source */
	frame = udp_frame("192.0.2.1", "198.51.100.1", 9);
	CU_ASSERT(is_burst(passed(&frame, 12, MOAT_REASON_DROP_PROFILE), 6, now));
	frame = udp_frame("192.0.2.2", "198.51.100.2", 9);
	CU_ASSERT(passed(&frame, 12, MOAT_REASON_DROP_PROFILE) <= 1);
	hits = moat_gate_profile_hits(fixture.gate.gate, 1);
	CU_ASSERT(hits.matched == 24 && hits.dropped >= 16 && hits.dropped <= 18);
	hits = moat_policy_profile_hits(fixture.policy, 1);
	CU_ASSERT(hits.matched == 24 && hits.dropped >= 16 && hits.dropped <= 18);
	/* other kinds have none */
	for (int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 6, 1, 2, 2, 0),
				MOAT_REASON_PASS_DEFAULT);
		CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 132, 1, 2, 0, 40),
				MOAT_REASON_PASS_DEFAULT);
	}
	/* the longer prefix replaces the shorter one whole; each address has the rate */
	for (int last = 130; last < 133; last++) {
		char text[32];

		snprintf(text, sizeof(text), "198.51.100.%d", last);
		frame_simple(&frame, "192.0.2.1", text, 6, 1, 2, 2, 0);
		CU_ASSERT(is_burst(passed(&frame, 12, MOAT_REASON_DROP_PROFILE), 4, now));
		frame_simple(&frame, "192.0.2.1", text, 6, 1, 2, 0x12, 0);
		CU_ASSERT_EQUAL(passed(&frame, 12, MOAT_REASON_DROP_PROFILE), 12);
		frame = udp_frame("192.0.2.1", text, 9);
		CU_ASSERT_EQUAL(passed(&frame, 12, MOAT_REASON_DROP_PROFILE), 12);
	}
	frame_begin(&frame);
	frame_ipv6(&frame, "2001:db8::2", "2001:db8::1");
	frame_icmp(&frame, 128, 0);
	frame_end(&frame);
	CU_ASSERT(is_burst(passed(&frame, 12, MOAT_REASON_DROP_PROFILE), 3, now));
	/* later fragments are of no kind but OTHER */
	frame_begin(&frame);
	frame_ipv4(&frame, "192.0.2.1", "203.0.113.1", 0x0010, 0);
	frame_proto(&frame, 6);
	frame_payload(&frame, 40);
	frame_end(&frame);
	CU_ASSERT(is_burst(passed(&frame, 12, MOAT_REASON_DROP_PROFILE), 7, now));
	CU_ASSERT_EQUAL(gate_fixture_counters(&fixture.gate).helper_errors, 0);
}

/* A number that another prefix takes begins anew; a prefix that stays goes on. */
static void test_profiles_change(void)
{
	uint64_t now = moat_clock_monotonic_ns();
	struct frame one = udp_frame("192.0.2.1", "100.64.0.1", 9);
	struct frame other = udp_frame("192.0.2.1", "203.0.112.1", 9);

	stage_begin(STAGES_ALL);
	protect("100.64.0.0/24", MOAT_KIND_UDP, 1, 6, false);
	stage_commit();
	CU_ASSERT(is_burst(passed(&one, 12, MOAT_REASON_DROP_PROFILE), 6, now));
	stage_commit();
	CU_ASSERT(passed(&one, 12, MOAT_REASON_DROP_PROFILE) <= 1);
	CU_ASSERT_EQUAL(moat_gate_profile_hits(fixture.gate.gate, 1).matched, 24);
	stage_begin(STAGES_ALL);
	protect("203.0.112.0/24", MOAT_KIND_UDP, 1, 6, false);
	stage_commit();
	CU_ASSERT_EQUAL(moat_gate_profile_hits(fixture.gate.gate, 1).matched, 0);
	CU_ASSERT(is_burst(passed(&other, 12, MOAT_REASON_DROP_PROFILE), 6, now));
	CU_ASSERT_EQUAL(moat_gate_profile_hits(fixture.gate.gate, 1).matched, 12);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "sources", test_sources },
		{ "sources apart", test_sources_apart },
		{ "profiles", test_profiles },
		{ "profiles change", test_profiles_change },
		{ NULL, NULL },
	};
	int r;

	stage_fixture_open();
	r = moat_test_main("gate-rates", tests);
	stage_fixture_close();
	return r;
}
