/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A gate and a workers' policy with the same rules and stages, asked the same. */
#ifndef MOAT_TESTS_STAGE_FIXTURE_H
#define MOAT_TESTS_STAGE_FIXTURE_H

#include "dataplane/policy.h"
#include "tests/progrun/frame.h"
#include "tests/progrun/gate_fixture.h"

#define STAGES_ALL                                                                          \
	(MOAT_STAGE_BROKEN | MOAT_STAGE_FLAGS | MOAT_STAGE_LAND | MOAT_STAGE_MARTIAN |      \
	 MOAT_STAGE_ALLOW | MOAT_STAGE_DENY | MOAT_STAGE_RULES | MOAT_STAGE_AMPLIFICATION | \
	 MOAT_STAGE_FRAGMENTS | MOAT_STAGE_SOURCES | MOAT_STAGE_PROFILES | MOAT_STAGE_SAMPLE)

struct stage_fixture {
	struct gate_fixture gate;
	struct moat_policy *policy;
	struct moat_stage_set *stages; /* filled by the test, in force with commit */
	uint32_t loaded;               /* the stages of the port's program */
};
extern struct stage_fixture fixture;

/* Pins the thread to its CPU, so that there is one share of each bucket, and opens both. */
void stage_fixture_open(void);
void stage_fixture_close(void);

struct moat_prefix stage_prefix(const char *text);
/* A rule set of its own for each test, judged with these stages. */
void stage_begin(uint32_t mask);
void stage_mark(enum moat_marked marked, const char *prefix);
void stage_commit(void);

enum moat_reason stage_judge_worker(const struct frame *frame);
/* What both judges say; MOAT_REASON_COUNT if they don't agree. */
enum moat_reason stage_judge_frame(const struct frame *frame);
enum moat_reason stage_judge(const char *src, const char *dst, uint8_t proto, uint16_t sport,
			     uint16_t dport, uint8_t flags, size_t payload);
enum moat_reason stage_judge_icmp(const char *src, uint8_t type, uint8_t code, uint8_t ttl);

#endif
