/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A gate of a test's own: pinned under a directory named after the process, attached in generic mode to
 * the loopback of a network namespace of its own, fed by BPF_PROG_TEST_RUN.
 */
#ifndef MOAT_TESTS_GATE_FIXTURE_H
#define MOAT_TESTS_GATE_FIXTURE_H

#include "dataplane/gate.h"

struct gate_fixture {
	char pin_path[64];
	struct moat_gate *gate;
	struct moat_gate_port_info port;
	struct moat_ruleset *set;
	int prog_fd;
};

/* Skips the program (77) where BPF can't be used: no root, no bpffs. Aborts on what must work. */
void gate_fixture_open(struct gate_fixture *fixture, const struct moat_gate_options *options);
/* Gives the port's program other stages (enum moat_stage). */
void gate_fixture_set_stages(struct gate_fixture *fixture, uint32_t stages, bool fail_closed);
/* As when its owner dies and starts again: what is pinned is adopted, nothing is committed. */
void gate_fixture_adopt(struct gate_fixture *fixture);
/* Closes and removes all of it. */
void gate_fixture_close(struct gate_fixture *fixture);

/* Adds a rule in the operator's words, or a prefix to a list; false if refused. Nothing is in force
 * before gate_fixture_commit. */
bool gate_fixture_rule(struct gate_fixture *fixture, const char *text);
bool gate_fixture_list(struct gate_fixture *fixture, enum moat_list list, const char *prefix);
bool gate_fixture_commit(struct gate_fixture *fixture);

/* Runs the port's program over a frame, `repeat` times on this CPU. Returns the XDP action, or -1. */
int gate_fixture_run(struct gate_fixture *fixture, const void *frame, size_t length, int repeat);

/* Likewise once; the reason that counted it, from the counters' difference. MOAT_REASON_COUNT if the
 * counters don't add up, or the action isn't the reason's. */
enum moat_reason gate_fixture_reason(struct gate_fixture *fixture, const void *frame, size_t length);

/* The port's counters now; aborts if in is not the sum of reasons. */
struct moat_gate_counters gate_fixture_counters(struct gate_fixture *fixture);

#endif
