/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/progrun/stage_fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/parse.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"

struct stage_fixture fixture;

void stage_fixture_open(void)
{
	const struct moat_gate_options options = { .cells = 1024, .nodes = 4096 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	gate_fixture_open(&fixture.gate, &options);
	if (moat_policy_new(1, moat_gate_hash_seed(fixture.gate.gate), &fixture.policy) < 0)
		exit(1);
}

void stage_fixture_close(void)
{
	moat_policy_free(fixture.policy);
	moat_stage_set_unref(fixture.stages);
	gate_fixture_close(&fixture.gate);
	memset(&fixture, 0, sizeof(fixture));
}

struct moat_prefix stage_prefix(const char *text)
{
	struct moat_prefix prefix = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_prefix_parse(text, &prefix), 0);
	return prefix;
}

/* A set of its own for each test, judged with these stages. */
void stage_begin(uint32_t mask)
{
	moat_ruleset_free(fixture.gate.set);
	fixture.gate.set = NULL;
	moat_stage_set_unref(fixture.stages);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&fixture.gate.set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_stage_set_new(&fixture.stages), 0);
	if (fixture.loaded != mask)
		gate_fixture_set_stages(&fixture.gate, mask, false);
	fixture.loaded = mask;
	moat_judge_set_stages(moat_policy_judge(fixture.policy, 0), mask, false);
}

void stage_mark(enum moat_marked marked, const char *prefix)
{
	struct moat_prefix parsed = stage_prefix(prefix);

	CU_ASSERT_EQUAL(moat_stage_set_mark(fixture.stages, marked, &parsed), 0);
}

void stage_commit(void)
{
	moat_ruleset_set_stages(fixture.gate.set, fixture.stages);
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&fixture.gate));
	CU_ASSERT_EQUAL_FATAL(moat_policy_commit(fixture.policy, fixture.gate.set, NULL), 0);
}

enum moat_reason stage_judge_worker(const struct frame *frame)
{
	struct moat_judge *judge = moat_policy_judge(fixture.policy, 0);
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
enum moat_reason stage_judge_frame(const struct frame *frame)
{
	enum moat_reason reason = gate_fixture_reason(&fixture.gate, frame->data, frame->length);
	enum moat_reason worker = stage_judge_worker(frame);

	if (reason == worker)
		return reason;
	fprintf(stderr, "the gate says %s, a worker %s\n", moat_reason_name(reason),
		moat_reason_name(worker));
	return MOAT_REASON_COUNT;
}

enum moat_reason stage_judge(const char *src, const char *dst, uint8_t proto, uint16_t sport,
			     uint16_t dport, uint8_t flags, size_t payload)
{
	struct frame frame;

	frame_simple(&frame, src, dst, proto, sport, dport, flags, payload);
	return stage_judge_frame(&frame);
}

enum moat_reason stage_judge_icmp(const char *src, uint8_t type, uint8_t code, uint8_t ttl)
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
	return stage_judge_frame(&frame);
}
