/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The gate's stages (moat/stage.h) beside lists and rules, each by packets at its edges and in its place
 * in the order; the workers' judge has to say the same of each. What is off is not in the program. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/parse.h"
#include "dataplane/policy.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"
#include "tests/progrun/frame.h"
#include "tests/progrun/gate_fixture.h"

#define ALL                                                                                 \
	(MOAT_STAGE_BROKEN | MOAT_STAGE_FLAGS | MOAT_STAGE_LAND | MOAT_STAGE_MARTIAN |      \
	 MOAT_STAGE_ALLOW | MOAT_STAGE_DENY | MOAT_STAGE_RULES | MOAT_STAGE_AMPLIFICATION | \
	 MOAT_STAGE_FRAGMENTS | MOAT_STAGE_SOURCES | MOAT_STAGE_PROFILES | MOAT_STAGE_SAMPLE)

static struct gate_fixture gate;
static struct moat_policy *policy;
static struct moat_stage_set *stages;
static uint32_t loaded; /* the stages of the port's program */

static struct moat_prefix prefix_of(const char *text)
{
	struct moat_prefix prefix = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_prefix_parse(text, &prefix), 0);
	return prefix;
}

/* A set of its own for each test, judged with these stages. */
static void begin(uint32_t mask)
{
	moat_ruleset_free(gate.set);
	gate.set = NULL;
	moat_stage_set_unref(stages);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&gate.set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_stage_set_new(&stages), 0);
	if (loaded != mask)
		gate_fixture_set_stages(&gate, mask, false);
	loaded = mask;
	moat_judge_set_stages(moat_policy_judge(policy, 0), mask, false);
}

static void mark(enum moat_marked marked, const char *prefix)
{
	struct moat_prefix parsed = prefix_of(prefix);

	CU_ASSERT_EQUAL(moat_stage_set_mark(stages, marked, &parsed), 0);
}

static void commit(void)
{
	moat_ruleset_set_stages(gate.set, stages);
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	CU_ASSERT_EQUAL_FATAL(moat_policy_commit(policy, gate.set, NULL), 0);
}

static enum moat_reason judge_worker(const struct frame *frame)
{
	struct moat_judge *judge = moat_policy_judge(policy, 0);
	struct moat_headers headers;
	enum moat_reason reason;
	uint32_t rule;
	enum moat_parse parse = moat_headers_parse(frame->data, frame->length, frame->length,
						   &headers);

	reason = moat_judge_packet(judge, &headers, parse, moat_clock_monotonic_ns() / 1000000,
				   &rule);
	moat_judge_quiesce(judge);
	return reason;
}

/* What both judges say; MOAT_REASON_COUNT if they don't agree. */
static enum moat_reason judge_frame(const struct frame *frame)
{
	enum moat_reason reason = gate_fixture_reason(&gate, frame->data, frame->length);
	enum moat_reason worker = judge_worker(frame);

	if (reason == worker)
		return reason;
	fprintf(stderr, "the gate says %s, a worker %s\n", moat_reason_name(reason),
		moat_reason_name(worker));
	return MOAT_REASON_COUNT;
}

static enum moat_reason judge(const char *src, const char *dst, uint8_t proto, uint16_t sport,
			      uint16_t dport, uint8_t flags, size_t payload)
{
	struct frame frame;

	frame_simple(&frame, src, dst, proto, sport, dport, flags, payload);
	return judge_frame(&frame);
}

static enum moat_reason judge_icmp(const char *src, uint8_t type, uint8_t code, uint8_t ttl)
{
	struct frame frame;
	bool v6 = strchr(src, ':') != NULL;

	frame_begin(&frame);
	if (v6)
		frame_ipv6(&frame, src, "2001:db8::1");
	else
		frame_ipv4(&frame, src, "198.51.100.1", 0, 0);
	frame_icmp(&frame, type, code);
	frame_payload(&frame, 8);
	frame_end(&frame);
	frame.data[frame.ip_at + (v6 ? 7 : 8)] = ttl;
	return judge_frame(&frame);
}

/* ---- control ---------------------------------------------------------------------------------- */

static void test_control_icmp(void)
{
	begin(ALL);
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "0.0.0.0/0"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "::/0"));
	commit();
	for (uint8_t type = 132; type <= 138; type++) {
		bool discovery = type >= 133 && type <= 137;

		CU_ASSERT_EQUAL(judge_icmp("fe80::1", type, 0, 255),
				discovery ? MOAT_REASON_PASS_CONTROL : MOAT_REASON_DROP_DENIED);
		/* routed here from elsewhere */
		CU_ASSERT_EQUAL(judge_icmp("fe80::1", type, 0, 254), MOAT_REASON_DROP_DENIED);
	}
	CU_ASSERT_EQUAL(judge_icmp("2001:db8::9", 2, 0, 60), MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(judge_icmp("2001:db8::9", 1, 4, 60), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge_icmp("192.0.2.9", 3, 4, 60), MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(judge_icmp("192.0.2.9", 3, 3, 60), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge_icmp("192.0.2.9", 135, 0, 255), MOAT_REASON_DROP_DENIED);
}

/* ICMP errors by the thousand are judged like all else. */
static void test_control_rate(void)
{
	struct moat_gate_counters before = gate_fixture_counters(&gate), after;
	uint64_t begin_ns = moat_clock_monotonic_ns(), passed;
	struct frame frame;

	begin(ALL);
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "192.0.2.0/24"));
	commit();
	frame_begin(&frame);
	frame_ipv4(&frame, "192.0.2.9", "198.51.100.1", 0, 0);
	frame_icmp(&frame, 3, 4);
	frame_payload(&frame, 28);
	frame_end(&frame);
	gate_fixture_run(&gate, frame.data, frame.length, 20000);
	after = gate_fixture_counters(&gate);
	passed = after.reasons[MOAT_REASON_PASS_CONTROL].packets -
		 before.reasons[MOAT_REASON_PASS_CONTROL].packets;
	/* a burst, and what the time since the begin brings */
	CU_ASSERT(passed >= 40);
	CU_ASSERT(passed <= 100 + (moat_clock_monotonic_ns() - begin_ns) / 1000000);
	CU_ASSERT(after.reasons[MOAT_REASON_DROP_DENIED].packets >
		  before.reasons[MOAT_REASON_DROP_DENIED].packets);
}

static void test_control_marks(void)
{
	static const uint16_t bfd[] = { 3784, 4784, 6784 };
	const struct moat_session session = {
		.src = prefix_of("192.0.2.77").addr,
		.dst = prefix_of("198.51.100.1").addr,
		.sport = 40022,
		.dport = 22,
		.used = 1,
	};

	begin(ALL);
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "0.0.0.0/0"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "2001:db8::/32"));
	mark(MOAT_MARKED_NEIGHBOUR, "192.0.2.0/28");
	mark(MOAT_MARKED_NEIGHBOUR, "2001:db8::5");
	mark(MOAT_MARKED_MANAGEMENT, "192.0.2.32/28");
	CU_ASSERT_EQUAL(moat_ruleset_add_session(gate.set, &session), 0);
	commit();
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 6, 179, 4000, 0x10, 0),
			MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(judge("2001:db8::5", "2001:db8::1", 6, 4000, 179, 0x10, 0),
			MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(judge("2001:db8::6", "2001:db8::1", 6, 4000, 179, 0x10, 0),
			MOAT_REASON_DROP_DENIED);
	for (size_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 17, 50000, bfd[i], 0, 24),
				MOAT_REASON_PASS_CONTROL);
		CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 17, bfd[i], 50000, 0, 24),
				MOAT_REASON_DROP_DENIED);
	}
	CU_ASSERT_EQUAL(judge("192.0.2.1", "224.0.0.5", 89, 0, 0, 0, 40), MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "224.0.0.18", 112, 0, 0, 0, 20),
			MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 6, 180, 4000, 0x10, 0),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("192.0.2.33", "198.51.100.1", 17, 1, 2, 0, 3),
			MOAT_REASON_PASS_MANAGEMENT);
	CU_ASSERT_EQUAL(judge("192.0.2.48", "198.51.100.1", 17, 1, 2, 0, 3),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("192.0.2.77", "198.51.100.1", 6, 40022, 22, 0x10, 3),
			MOAT_REASON_PASS_MANAGEMENT);
	CU_ASSERT_EQUAL(judge("192.0.2.77", "198.51.100.1", 6, 40023, 22, 0x10, 3),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("192.0.2.77", "198.51.100.1", 17, 40022, 22, 0, 3),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(judge("192.0.2.77", "198.51.100.2", 6, 40022, 22, 0x10, 3),
			MOAT_REASON_DROP_DENIED);
}

/* ---- sanity ----------------------------------------------------------------------------------- */

static void test_sanity(void)
{
	struct frame frame;

	begin(ALL);
	mark(MOAT_MARKED_MARTIAN, "10.0.0.0/8");
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_ALLOW, "192.0.2.0/24"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_ALLOW, "10.0.0.0/8"));
	commit();
	/* every set of flags, whatever list the source is on */
	for (unsigned int flags = 0; flags < 256; flags++) {
		unsigned int kind = flags & 0x17;
		bool legal = kind == 0x02 || kind == 0x12 || kind == 0x10 || kind == 0x11 ||
			     kind == 0x04 || kind == 0x14;

		CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 6, 1, 2, (uint8_t)flags, 0),
				legal ? MOAT_REASON_PASS_ALLOWED : MOAT_REASON_DROP_FLAGS);
	}
	CU_ASSERT_EQUAL(judge("192.0.2.1", "192.0.2.1", 17, 1, 2, 0, 0), MOAT_REASON_DROP_LAND);
	CU_ASSERT_EQUAL(judge("2001:db8::1", "2001:db8::1", 6, 1, 2, 2, 0), MOAT_REASON_DROP_LAND);
	CU_ASSERT_EQUAL(judge("10.9.9.9", "198.51.100.1", 17, 1, 2, 0, 0), MOAT_REASON_DROP_MARTIAN);
	/* a data offset of 4 words, and one beyond the datagram */
	for (uint8_t words = 4; words <= 6; words++) {
		frame_simple(&frame, "192.0.2.1", "198.51.100.1", 6, 1, 2, 0x10, 0);
		frame.data[frame.ip_at + 20 + 12] = (uint8_t)(words << 4);
		CU_ASSERT_EQUAL(judge_frame(&frame),
				words == 5 ? MOAT_REASON_PASS_ALLOWED : MOAT_REASON_DROP_BROKEN);
	}
	/* an IPv4 header that says it is shorter than one */
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9);
	frame.data[frame.ip_at] = 0x44;
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_DROP_BROKEN);
}

/* Listed floods take a short way, which must not change the reason that sanity gives. */
static void test_sanity_before_deny(void)
{
	struct frame frame;

	begin(ALL);
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "192.0.2.0/24"));
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "2001:db8::/32"));
	commit();
	CU_ASSERT_EQUAL(judge("192.0.2.1", "192.0.2.1", 6, 1, 2, 2, 0), MOAT_REASON_DROP_LAND);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "192.0.2.2", 6, 1, 2, 3, 0), MOAT_REASON_DROP_FLAGS);
	CU_ASSERT_EQUAL(judge("2001:db8::1", "2001:db8::2", 6, 1, 2, 0, 0), MOAT_REASON_DROP_FLAGS);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "192.0.2.2", 6, 1, 2, 2, 0), MOAT_REASON_DROP_DENIED);
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9);
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_DROP_DENIED);
	frame.data[frame.udp_at + 5] = 18;
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_DROP_BROKEN);
	frame.data[frame.udp_at + 5] = 7;
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_DROP_BROKEN);
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 6, 1, 2, 0x10, 0);
	frame.data[frame.ip_at + 20 + 12] = 0x40;
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_DROP_BROKEN);
	begin(ALL & ~(uint32_t)MOAT_STAGE_DENY);
	CU_ASSERT_TRUE(gate_fixture_list(&gate, MOAT_LIST_DENY, "192.0.2.0/24"));
	commit();
	CU_ASSERT_EQUAL(judge("192.0.2.1", "192.0.2.2", 6, 1, 2, 2, 0), MOAT_REASON_PASS_DEFAULT);
}

/* With the stages off the same packets get what they got before there were any. */
static void test_sanity_off(void)
{
	struct frame frame;

	begin(MOAT_STAGES_DEFAULT);
	mark(MOAT_MARKED_MARTIAN, "10.0.0.0/8");
	commit();
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 6, 1, 2, 0, 0), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "192.0.2.1", 17, 1, 2, 0, 0), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("10.9.9.9", "198.51.100.1", 17, 1, 2, 0, 0), MOAT_REASON_PASS_DEFAULT);
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9);
	frame.data[frame.ip_at] = 0x44;
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_PASS_MALFORMED);
}

/* ---- amplification, fragments ----------------------------------------------------------------- */

static void test_amplification(void)
{
	struct frame frame;

	begin(ALL);
	stages->reflect_len[123] = 100;
	stages->reflect_len[0] = 28;
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "pass dst 198.51.100.7 proto udp"));
	commit();
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 17, 123, 5, 0, 72),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 17, 123, 5, 0, 73),
			MOAT_REASON_DROP_AMPLIFICATION);
	CU_ASSERT_EQUAL(judge("2001:db8::1", "2001:db8::2", 17, 123, 5, 0, 53),
			MOAT_REASON_DROP_AMPLIFICATION);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 17, 0, 5, 0, 1),
			MOAT_REASON_DROP_AMPLIFICATION);
	/* not to that port, not over TCP, and not where a rule passes it */
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 17, 5, 123, 0, 500),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 6, 123, 5, 0x10, 500),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.7", 17, 123, 5, 0, 500),
			MOAT_REASON_PASS_RULE);
	/* the first fragment has the port, a later one hasn't */
	frame_begin(&frame);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.1", 0x2000, 0);
	frame_udp(&frame, 123, 5);
	frame_payload(&frame, 200);
	frame_end(&frame);
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_DROP_AMPLIFICATION);
	frame_begin(&frame);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.1", 0x2010, 0);
	frame_proto(&frame, 17);
	frame_payload(&frame, 200);
	frame_end(&frame);
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_PASS_DEFAULT);
}

static void test_fragments(void)
{
	for (int drop = 0; drop < 2; drop++) {
		begin(ALL);
		stages->drop_fragments = drop;
		stages->reflect_len[123] = 100;
		commit();
		for (uint16_t field = 0; field <= 0x2010; field += 0x10) {
			struct frame frame;
			bool fragment = field != 0;

			if (field != 0 && field != 0x10 && field < 0x1ff0)
				continue;
			frame_begin(&frame);
			frame_ipv4(&frame, "192.0.2.1", "198.51.100.1", field, 0);
			frame_udp(&frame, 1, 5);
			frame_payload(&frame, 32);
			frame_end(&frame);
			CU_ASSERT_EQUAL(judge_frame(&frame), fragment && drop
								     ? MOAT_REASON_DROP_FRAGMENT
								     : MOAT_REASON_PASS_DEFAULT);
		}
	}
}

/* ---- rates ------------------------------------------------------------------------------------ */

/* How many of `count` packets both judges pass; a slow machine sees tokens of 1 a second come. */
static unsigned int passed(const struct frame *frame, unsigned int count, enum moat_reason refused)
{
	unsigned int gate_passed = 0, worker_passed = 0;

	for (unsigned int i = 0; i < count; i++) {
		enum moat_reason reason = gate_fixture_reason(&gate, frame->data, frame->length);
		enum moat_reason worker = judge_worker(frame);

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
		.prefix = prefix_of(prefix),
		.packets = { pps, burst },
		.bytes = { bps, burst },
		.v4_len = v4_len,
		.v6_len = v6_len,
	};

	CU_ASSERT_EQUAL(moat_stage_set_limit_source(stages, &limit), 0);
}

static void test_sources(void)
{
	uint64_t now = moat_clock_monotonic_ns();

	begin(ALL);
	limit_source("any", 1, 0, 5, 32, 64);
	limit_source("10.0.0.0/8", 1, 0, 9, 24, 64);
	limit_source("10.1.0.0/16", 0, 0, 0, 32, 64);
	limit_source("172.16.0.0/12", 0, 1000, 3000, 32, 64);
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "drop dst 198.51.100.9"));
	commit();
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
		CU_ASSERT_EQUAL(judge("192.0.2.3", "198.51.100.9", 17, 1, 2, 0, 1),
				MOAT_REASON_DROP_RULE);
	CU_ASSERT(is_burst(source_passed("192.0.2.3", "198.51.100.1", 9, 12), 5, now));
}

/* Heavy sources don't hurt others: of many, only those that share both buckets may be refused. */
static void test_sources_apart(void)
{
	unsigned int innocent = 0;
	char text[32];

	begin(ALL);
	limit_source("any", 1, 0, 2, 32, 64);
	commit();
	for (int i = 0; i < 300; i++) {
		struct frame frame;

		snprintf(text, sizeof(text), "172.20.%d.%d", i / 200, i % 200);
		frame = udp_frame(text, "198.51.100.1", 9);
		gate_fixture_run(&gate, frame.data, frame.length, 10);
	}
	for (int i = 0; i < 300; i++) {
		struct frame frame;

		snprintf(text, sizeof(text), "172.21.%d.%d", i / 200, i % 200);
		frame = udp_frame(text, "198.51.100.1", 9);
		innocent += gate_fixture_reason(&gate, frame.data, frame.length) ==
			    MOAT_REASON_PASS_DEFAULT;
	}
	/* (300 / 65,536)^2 each: none but in one run of a hundred and fifty */
	CU_ASSERT(innocent >= 299);
}

static void protect(const char *prefix, enum moat_kind kind, uint64_t rate, uint64_t burst,
		    bool each)
{
	struct moat_protection protection = { .prefix = prefix_of(prefix), .each = each };

	protection.rates[kind] = (struct moat_rate_ask){ rate, burst };
	CU_ASSERT_EQUAL(moat_stage_set_protect(stages, &protection), 0);
}

static void test_profiles(void)
{
	uint64_t now = moat_clock_monotonic_ns();
	struct moat_profile_hits hits;
	struct frame frame;

	begin(ALL);
	protect("198.51.100.0/24", MOAT_KIND_UDP, 1, 6, false);
	protect("198.51.100.128/25", MOAT_KIND_SYN, 1, 4, true);
	protect("2001:db8::/32", MOAT_KIND_ICMP, 1, 3, false);
	protect("203.0.113.0/24", MOAT_KIND_OTHER, 1, 7, false);
	commit();
	/* the prefix has one rate for all its addresses and any source */
	frame = udp_frame("192.0.2.1", "198.51.100.1", 9);
	CU_ASSERT(is_burst(passed(&frame, 12, MOAT_REASON_DROP_PROFILE), 6, now));
	frame = udp_frame("192.0.2.2", "198.51.100.2", 9);
	CU_ASSERT(passed(&frame, 12, MOAT_REASON_DROP_PROFILE) <= 1);
	hits = moat_gate_profile_hits(gate.gate, 1);
	CU_ASSERT(hits.matched == 24 && hits.dropped >= 16 && hits.dropped <= 18);
	hits = moat_policy_profile_hits(policy, 1);
	CU_ASSERT(hits.matched == 24 && hits.dropped >= 16 && hits.dropped <= 18);
	/* other kinds have none */
	for (int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 6, 1, 2, 2, 0),
				MOAT_REASON_PASS_DEFAULT);
		CU_ASSERT_EQUAL(judge("192.0.2.1", "198.51.100.1", 132, 1, 2, 0, 40),
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
	CU_ASSERT_EQUAL(gate_fixture_counters(&gate).helper_errors, 0);
}

/* A number that another prefix takes begins anew; a prefix that stays goes on. */
static void test_profiles_change(void)
{
	uint64_t now = moat_clock_monotonic_ns();
	struct frame one = udp_frame("192.0.2.1", "100.64.0.1", 9);
	struct frame other = udp_frame("192.0.2.1", "203.0.112.1", 9);

	begin(ALL);
	protect("100.64.0.0/24", MOAT_KIND_UDP, 1, 6, false);
	commit();
	CU_ASSERT(is_burst(passed(&one, 12, MOAT_REASON_DROP_PROFILE), 6, now));
	commit();
	CU_ASSERT(passed(&one, 12, MOAT_REASON_DROP_PROFILE) <= 1);
	CU_ASSERT_EQUAL(moat_gate_profile_hits(gate.gate, 1).matched, 24);
	begin(ALL);
	protect("203.0.112.0/24", MOAT_KIND_UDP, 1, 6, false);
	commit();
	CU_ASSERT_EQUAL(moat_gate_profile_hits(gate.gate, 1).matched, 0);
	CU_ASSERT(is_burst(passed(&other, 12, MOAT_REASON_DROP_PROFILE), 6, now));
	CU_ASSERT_EQUAL(moat_gate_profile_hits(gate.gate, 1).matched, 12);
}

/* ---- load time -------------------------------------------------------------------------------- */

/* Instructions of the port's program as the verifier left them. */
static uint32_t program_size(uint32_t mask)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	gate_fixture_set_stages(&gate, mask, false);
	CU_ASSERT_EQUAL_FATAL(bpf_obj_get_info_by_fd(gate.prog_fd, &info, &length), 0);
	/* of the kernel's limit of a million */
	CU_ASSERT(info.verified_insns < 800000);
	return info.xlated_prog_len / 8;
}

static void test_residue(void)
{
	static const uint32_t parts[] = {
		MOAT_STAGE_BROKEN,  MOAT_STAGE_FLAGS,         MOAT_STAGE_LAND,
		MOAT_STAGE_MARTIAN, MOAT_STAGE_ALLOW,         MOAT_STAGE_DENY,
		MOAT_STAGE_RULES,   MOAT_STAGE_AMPLIFICATION, MOAT_STAGE_FRAGMENTS,
		MOAT_STAGE_SOURCES, MOAT_STAGE_PROFILES,      MOAT_STAGE_SAMPLE,
	};
	uint32_t all = program_size(ALL), none = program_size(0), sum = 0;

	/* loading takes a second, and on emulated machines many */
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]);
	     i += getenv("MOAT_TEST_SLOW") ? 5 : 1) {
		uint32_t without = program_size(ALL & ~parts[i]);

		printf("stage %#6x: %4u instructions\n", parts[i], all - without);
		CU_ASSERT(without < all);
		sum += all - without;
	}
	printf("all %u, none %u instructions\n", all, none);
	/* the stages are all there is between the two, but for what several of them share */
	CU_ASSERT(sum <= all - none);
}

static void test_fail_closed(void)
{
	struct gate_fixture saved = gate;
	struct frame frame = udp_frame("192.0.2.1", "198.51.100.1", 9);
	struct moat_policy *fresh = NULL;
	struct moat_policy *kept = policy;

	/* a gate that never had a policy */
	moat_ruleset_free(gate.set);
	saved.set = NULL;
	gate_fixture_close(&saved);
	gate_fixture_open(&gate, &(struct moat_gate_options){ .cells = 1024, .nodes = 1024 });
	CU_ASSERT_EQUAL_FATAL(moat_policy_new(1, 7, &fresh), 0);
	policy = fresh;
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_PASS_NO_TABLE);
	gate_fixture_set_stages(&gate, ALL, true);
	moat_judge_set_stages(moat_policy_judge(policy, 0), ALL, true);
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_DROP_NO_POLICY);
	frame.data[frame.ip_at] = 0x44;
	CU_ASSERT_EQUAL(judge_frame(&frame), MOAT_REASON_DROP_NO_POLICY);
	/* the network stays up */
	CU_ASSERT_EQUAL(judge_icmp("fe80::1", 135, 0, 255), MOAT_REASON_PASS_CONTROL);
	policy = kept;
	moat_policy_free(fresh);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "control icmp", test_control_icmp },
		{ "control rate", test_control_rate },
		{ "control marks", test_control_marks },
		{ "sanity", test_sanity },
		{ "sanity before deny", test_sanity_before_deny },
		{ "sanity off", test_sanity_off },
		{ "amplification", test_amplification },
		{ "fragments", test_fragments },
		{ "sources", test_sources },
		{ "sources apart", test_sources_apart },
		{ "profiles", test_profiles },
		{ "profiles change", test_profiles_change },
		{ "residue", test_residue },
		{ "fail closed", test_fail_closed },
		{ NULL, NULL },
	};
	cpu_set_t cpus;
	int r;

	/* one share of each bucket: then it is exact */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	gate_fixture_open(&gate, &(struct moat_gate_options){ .cells = 1024, .nodes = 4096 });
	if (moat_policy_new(1, moat_gate_hash_seed(gate.gate), &policy) < 0)
		return 1;
	r = moat_test_main("gate-stages", tests);
	moat_policy_free(policy);
	moat_stage_set_unref(stages);
	gate_fixture_close(&gate);
	return r;
}
