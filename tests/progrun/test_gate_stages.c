/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The gate's stages (moat/stage.h) beside lists and rules, each by packets at its edges and in its place
 * in the order; the workers' judge has to say the same of each. What is off is not in the program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"
#include "tests/progrun/stage_fixture.h"

/* ---- control ---------------------------------------------------------------------------------- */

static void test_control_icmp(void)
{
	stage_begin(STAGES_ALL);
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_DENY, "0.0.0.0/0"));
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_DENY, "::/0"));
	stage_commit();
	for (uint8_t type = 132; type <= 138; type++) {
		bool discovery = type >= 133 && type <= 137;

		CU_ASSERT_EQUAL(stage_judge_icmp("fe80::1", type, 0, 255),
				discovery ? MOAT_REASON_PASS_CONTROL : MOAT_REASON_DROP_DENIED);
		/* routed here from elsewhere */
		CU_ASSERT_EQUAL(stage_judge_icmp("fe80::1", type, 0, 254), MOAT_REASON_DROP_DENIED);
	}
	CU_ASSERT_EQUAL(stage_judge_icmp("2001:db8::9", 2, 0, 60), MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(stage_judge_icmp("2001:db8::9", 1, 4, 60), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(stage_judge_icmp("192.0.2.9", 3, 4, 60), MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(stage_judge_icmp("192.0.2.9", 3, 3, 60), MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(stage_judge_icmp("192.0.2.9", 135, 0, 255), MOAT_REASON_DROP_DENIED);
}

/* ICMP errors by the thousand are judged like all else. */
static void test_control_rate(void)
{
	struct moat_gate_counters before = gate_fixture_counters(&fixture.gate), after;
	uint64_t begin_ns = moat_clock_monotonic_ns(), passed;
	struct frame frame;

	stage_begin(STAGES_ALL);
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_DENY, "192.0.2.0/24"));
	stage_commit();
	frame_begin(&frame);
	frame_ipv4(&frame, "192.0.2.9", "198.51.100.1", 0, 0);
	frame_icmp(&frame, 3, 4);
	frame_payload(&frame, 28);
	frame_end(&frame);
	gate_fixture_run(&fixture.gate, frame.data, frame.length, 20000);
	after = gate_fixture_counters(&fixture.gate);
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
		.src = stage_prefix("192.0.2.77").addr,
		.dst = stage_prefix("198.51.100.1").addr,
		.sport = 40022,
		.dport = 22,
		.used = 1,
	};

	stage_begin(STAGES_ALL);
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_DENY, "0.0.0.0/0"));
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_DENY, "2001:db8::/32"));
	stage_mark(MOAT_MARKED_NEIGHBOUR, "192.0.2.0/28");
	stage_mark(MOAT_MARKED_NEIGHBOUR, "2001:db8::5");
	stage_mark(MOAT_MARKED_MANAGEMENT, "192.0.2.32/28");
	CU_ASSERT_EQUAL(moat_ruleset_add_session(fixture.gate.set, &session), 0);
	stage_commit();
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 6, 179, 4000, 0x10, 0),
			MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(stage_judge("2001:db8::5", "2001:db8::1", 6, 4000, 179, 0x10, 0),
			MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(stage_judge("2001:db8::6", "2001:db8::1", 6, 4000, 179, 0x10, 0),
			MOAT_REASON_DROP_DENIED);
	for (size_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 17, 50000, bfd[i], 0, 24),
				MOAT_REASON_PASS_CONTROL);
		CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 17, bfd[i], 50000, 0, 24),
				MOAT_REASON_DROP_DENIED);
	}
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "224.0.0.5", 89, 0, 0, 0, 40),
			MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "224.0.0.18", 112, 0, 0, 0, 20),
			MOAT_REASON_PASS_CONTROL);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 6, 180, 4000, 0x10, 0),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.33", "198.51.100.1", 17, 1, 2, 0, 3),
			MOAT_REASON_PASS_MANAGEMENT);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.48", "198.51.100.1", 17, 1, 2, 0, 3),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.77", "198.51.100.1", 6, 40022, 22, 0x10, 3),
			MOAT_REASON_PASS_MANAGEMENT);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.77", "198.51.100.1", 6, 40023, 22, 0x10, 3),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.77", "198.51.100.1", 17, 40022, 22, 0, 3),
			MOAT_REASON_DROP_DENIED);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.77", "198.51.100.2", 6, 40022, 22, 0x10, 3),
			MOAT_REASON_DROP_DENIED);
}

/* ---- sanity ----------------------------------------------------------------------------------- */

static void test_sanity(void)
{
	struct frame frame;

	stage_begin(STAGES_ALL);
	stage_mark(MOAT_MARKED_MARTIAN, "10.0.0.0/8");
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_ALLOW, "192.0.2.0/24"));
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_ALLOW, "10.0.0.0/8"));
	stage_commit();
	/* every set of flags, whatever list the source is on */
	for (unsigned int flags = 0; flags < 256; flags++) {
		unsigned int kind = flags & 0x17;
		bool legal = kind == 0x02 || kind == 0x12 || kind == 0x10 || kind == 0x11 ||
			     kind == 0x04 || kind == 0x14;

		CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 6, 1, 2, (uint8_t)flags, 0),
				legal ? MOAT_REASON_PASS_ALLOWED : MOAT_REASON_DROP_FLAGS);
	}
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "192.0.2.1", 17, 1, 2, 0, 0),
			MOAT_REASON_DROP_LAND);
	CU_ASSERT_EQUAL(stage_judge("2001:db8::1", "2001:db8::1", 6, 1, 2, 2, 0),
			MOAT_REASON_DROP_LAND);
	CU_ASSERT_EQUAL(stage_judge("10.9.9.9", "198.51.100.1", 17, 1, 2, 0, 0),
			MOAT_REASON_DROP_MARTIAN);
	/* a data offset of 4 words, and one beyond the datagram */
	for (uint8_t words = 4; words <= 6; words++) {
		frame_simple(&frame, "192.0.2.1", "198.51.100.1", 6, 1, 2, 0x10, 0);
		frame.data[frame.ip_at + 20 + 12] = (uint8_t)(words << 4);
		CU_ASSERT_EQUAL(stage_judge_frame(&frame),
				words == 5 ? MOAT_REASON_PASS_ALLOWED : MOAT_REASON_DROP_BROKEN);
	}
	/* an IPv4 header that says it is shorter than one */
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9);
	frame.data[frame.ip_at] = 0x44;
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_DROP_BROKEN);
}

/* Listed floods take a short way, which must not change the reason that sanity gives. */
static void test_sanity_before_deny(void)
{
	struct frame frame;

	stage_begin(STAGES_ALL);
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_DENY, "192.0.2.0/24"));
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_DENY, "2001:db8::/32"));
	stage_commit();
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "192.0.2.1", 6, 1, 2, 2, 0), MOAT_REASON_DROP_LAND);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "192.0.2.2", 6, 1, 2, 3, 0),
			MOAT_REASON_DROP_FLAGS);
	CU_ASSERT_EQUAL(stage_judge("2001:db8::1", "2001:db8::2", 6, 1, 2, 0, 0),
			MOAT_REASON_DROP_FLAGS);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "192.0.2.2", 6, 1, 2, 2, 0),
			MOAT_REASON_DROP_DENIED);
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9);
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_DROP_DENIED);
	frame.data[frame.udp_at + 5] = 18;
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_DROP_BROKEN);
	frame.data[frame.udp_at + 5] = 7;
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_DROP_BROKEN);
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 6, 1, 2, 0x10, 0);
	frame.data[frame.ip_at + 20 + 12] = 0x40;
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_DROP_BROKEN);
	stage_begin(STAGES_ALL & ~(uint32_t)MOAT_STAGE_DENY);
	CU_ASSERT_TRUE(gate_fixture_list(&fixture.gate, MOAT_LIST_DENY, "192.0.2.0/24"));
	stage_commit();
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "192.0.2.2", 6, 1, 2, 2, 0),
			MOAT_REASON_PASS_DEFAULT);
}

/* With the stages off the same packets get what they got before there were any. */
static void test_sanity_off(void)
{
	struct frame frame;

	stage_begin(MOAT_STAGES_DEFAULT);
	stage_mark(MOAT_MARKED_MARTIAN, "10.0.0.0/8");
	stage_commit();
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 6, 1, 2, 0, 0),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "192.0.2.1", 17, 1, 2, 0, 0),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(stage_judge("10.9.9.9", "198.51.100.1", 17, 1, 2, 0, 0),
			MOAT_REASON_PASS_DEFAULT);
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9);
	frame.data[frame.ip_at] = 0x44;
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_PASS_MALFORMED);
}

/* ---- amplification, fragments ----------------------------------------------------------------- */

static void test_amplification(void)
{
	struct frame frame;

	stage_begin(STAGES_ALL);
	fixture.stages->reflect_len[123] = 100;
	fixture.stages->reflect_len[0] = 28;
	CU_ASSERT_TRUE(gate_fixture_rule(&fixture.gate, "pass dst 198.51.100.7 proto udp"));
	stage_commit();
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 17, 123, 5, 0, 72),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 17, 123, 5, 0, 73),
			MOAT_REASON_DROP_AMPLIFICATION);
	CU_ASSERT_EQUAL(stage_judge("2001:db8::1", "2001:db8::2", 17, 123, 5, 0, 53),
			MOAT_REASON_DROP_AMPLIFICATION);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 17, 0, 5, 0, 1),
			MOAT_REASON_DROP_AMPLIFICATION);
	/* not to that port, not over TCP, and not where a rule passes it */
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 17, 5, 123, 0, 500),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.1", 6, 123, 5, 0x10, 500),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(stage_judge("192.0.2.1", "198.51.100.7", 17, 123, 5, 0, 500),
			MOAT_REASON_PASS_RULE);
	/* the first fragment has the port, a later one hasn't */
	frame_begin(&frame);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.1", 0x2000, 0);
	frame_udp(&frame, 123, 5);
	frame_payload(&frame, 200);
	frame_end(&frame);
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_DROP_AMPLIFICATION);
	frame_begin(&frame);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.1", 0x2010, 0);
	frame_proto(&frame, 17);
	frame_payload(&frame, 200);
	frame_end(&frame);
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_PASS_DEFAULT);
}

static void test_fragments(void)
{
	for (int drop = 0; drop < 2; drop++) {
		stage_begin(STAGES_ALL);
		fixture.stages->drop_fragments = drop;
		fixture.stages->reflect_len[123] = 100;
		stage_commit();
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
			CU_ASSERT_EQUAL(stage_judge_frame(&frame),
					fragment && drop ? MOAT_REASON_DROP_FRAGMENT
							 : MOAT_REASON_PASS_DEFAULT);
		}
	}
}

/* ---- load time -------------------------------------------------------------------------------- */

/* Instructions of the port's program as the verifier left them. */
static uint32_t program_size(uint32_t mask)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	gate_fixture_set_stages(&fixture.gate, mask, false);
	CU_ASSERT_EQUAL_FATAL(bpf_obj_get_info_by_fd(fixture.gate.prog_fd, &info, &length), 0);
	/* of the kernel's limit of a million */
	CU_ASSERT(info.verified_insns < 400000);
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
	uint32_t all = program_size(STAGES_ALL), none = program_size(0), sum = 0;

	/* loading takes a second, and on emulated machines many */
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]);
	     i += getenv("MOAT_TEST_SLOW") ? 5 : 1) {
		uint32_t without = program_size(STAGES_ALL & ~parts[i]);

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
	struct moat_judge *judge;
	struct frame frame;

	/* judges that never had a policy */
	stage_fixture_close();
	stage_fixture_open();
	judge = moat_policy_judge(fixture.policy, 0);
	frame_simple(&frame, "192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9);
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_PASS_NO_TABLE);
	gate_fixture_set_stages(&fixture.gate, STAGES_ALL, true);
	moat_judge_set_stages(judge, STAGES_ALL, true);
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_DROP_NO_POLICY);
	frame.data[frame.ip_at] = 0x44;
	CU_ASSERT_EQUAL(stage_judge_frame(&frame), MOAT_REASON_DROP_NO_POLICY);
	/* the network stays up */
	CU_ASSERT_EQUAL(stage_judge_icmp("fe80::1", 135, 0, 255), MOAT_REASON_PASS_CONTROL);
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
		{ "residue", test_residue },
		{ "fail closed", test_fail_closed },
		{ NULL, NULL },
	};
	int r;

	stage_fixture_open();
	r = moat_test_main("gate-stages", tests);
	stage_fixture_close();
	return r;
}
