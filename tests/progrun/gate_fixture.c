/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/progrun/gate_fixture.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"

__attribute__((noreturn)) static void give_up(struct gate_fixture *fixture, const char *what,
					      const struct moat_error *error)
{
	fprintf(stderr, "%s: %s\n", what, error->text);
	gate_fixture_close(fixture);
	exit(1);
}

void gate_fixture_open(struct gate_fixture *fixture, const struct moat_gate_options *options)
{
	struct moat_gate_options own = *options;
	struct moat_error error = {};
	struct statfs fs;

	memset(fixture, 0, sizeof(*fixture));
	if (geteuid() != 0)
		moat_test_skip("loading BPF programs needs root");
	if (unshare(CLONE_NEWNET) < 0)
		moat_test_skip("no network namespace of its own: %s", strerror(errno));
	snprintf(fixture->pin_path, sizeof(fixture->pin_path), "/sys/fs/bpf/moat-test-%d", getpid());
	own.pin_path = fixture->pin_path;
	if (statfs("/sys/fs/bpf", &fs) < 0 || (unsigned long)fs.f_type != BPF_FS_MAGIC)
		moat_test_skip("no BPF file system at /sys/fs/bpf");
	if (moat_gate_open(&own, &fixture->gate, &error) < 0)
		give_up(fixture, "opening the gate", &error);
	if (moat_gate_attach(fixture->gate,
			     &(struct moat_gate_port_options){ .name = "lo", .generic = true },
			     &fixture->port, &error) < 0)
		give_up(fixture, "attaching the gate", &error);
	fixture->prog_fd = moat_gate_prog_fd(fixture->gate, fixture->port.index);
	if (moat_ruleset_new(&fixture->set) < 0)
		give_up(fixture, "no memory", &error);
}

void gate_fixture_set_stages(struct gate_fixture *fixture, uint32_t stages, bool fail_closed)
{
	const struct moat_gate_port_options options = {
		.name = "lo",
		.generic = true,
		.stages = stages ? stages : MOAT_STAGE_NONE,
		.fail_closed = fail_closed,
	};
	struct moat_error error = {};

	if (moat_gate_attach(fixture->gate, &options, &fixture->port, &error) < 0)
		give_up(fixture, "attaching the gate again", &error);
	fixture->prog_fd = moat_gate_prog_fd(fixture->gate, fixture->port.index);
}

void gate_fixture_adopt(struct gate_fixture *fixture)
{
	const struct moat_gate_options options = { .pin_path = fixture->pin_path };
	struct moat_error error = {};

	moat_gate_close(fixture->gate);
	fixture->gate = NULL;
	if (moat_gate_open(&options, &fixture->gate, &error) < 0)
		give_up(fixture, "adopting the gate", &error);
	gate_fixture_set_stages(fixture, MOAT_STAGES_DEFAULT, false);
}

void gate_fixture_close(struct gate_fixture *fixture)
{
	struct moat_error error = {};

	moat_ruleset_free(fixture->set);
	moat_gate_close(fixture->gate);
	fixture->gate = NULL;
	if (moat_gate_detach(fixture->pin_path, &error) < 0)
		fprintf(stderr, "removing the gate: %s\n", error.text);
}

bool gate_fixture_rule(struct gate_fixture *fixture, const char *text)
{
	struct moat_error error = {};
	struct moat_rule rule;

	if (moat_rule_parse(text, moat_clock_monotonic_ns(), &rule, &error) < 0) {
		fprintf(stderr, "%s: %s\n", text, error.text);
		return false;
	}
	return moat_ruleset_add(fixture->set, &rule, NULL) == 0;
}

bool gate_fixture_list(struct gate_fixture *fixture, enum moat_list list, const char *prefix)
{
	struct moat_prefix parsed;

	return moat_prefix_parse(prefix, &parsed) == 0 &&
	       moat_ruleset_list_add(fixture->set, list, &parsed) == 0;
}

bool gate_fixture_commit(struct gate_fixture *fixture)
{
	struct moat_error error = {};
	int r = moat_gate_commit(fixture->gate, fixture->set, &error);

	if (r != 0)
		fprintf(stderr, "commit: %d %s\n", r, error.text);
	return r == 0;
}

int gate_fixture_run(struct gate_fixture *fixture, const void *frame, size_t length, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)length,
		    .repeat = repeat);

	if (bpf_prog_test_run_opts(fixture->prog_fd, &opts) < 0)
		return -1;
	return (int)opts.retval;
}

struct moat_gate_counters gate_fixture_counters(struct gate_fixture *fixture)
{
	struct moat_gate_counters counters = {};
	uint64_t packets = 0, bytes = 0;

	if (moat_gate_counters(fixture->gate, fixture->port.index, &counters) < 0)
		abort();
	for (int i = 0; i < MOAT_REASON_COUNT; i++) {
		packets += counters.reasons[i].packets;
		bytes += counters.reasons[i].bytes;
	}
	if (packets != counters.in.packets || bytes != counters.in.bytes)
		abort();
	return counters;
}

static int expected_action(enum moat_reason reason)
{
	switch (moat_reason_verdict(reason)) {
	case MOAT_VERDICT_DROP:
		return XDP_DROP;
	case MOAT_VERDICT_REDIRECT:
		return XDP_REDIRECT;
	case MOAT_VERDICT_TX:
		return XDP_TX;
	default:
		return XDP_PASS;
	}
}

enum moat_reason gate_fixture_reason(struct gate_fixture *fixture, const void *frame, size_t length)
{
	struct moat_gate_counters before = gate_fixture_counters(fixture);
	int action = gate_fixture_run(fixture, frame, length, 1);
	struct moat_gate_counters after = gate_fixture_counters(fixture);
	enum moat_reason reason = MOAT_REASON_COUNT;

	for (int i = 0; i < MOAT_REASON_COUNT; i++) {
		if (after.reasons[i].packets == before.reasons[i].packets + 1 &&
		    after.reasons[i].bytes == before.reasons[i].bytes + length)
			reason = (enum moat_reason)i;
	}
	if (reason == MOAT_REASON_COUNT || after.in.packets != before.in.packets + 1)
		return MOAT_REASON_COUNT;
	return action == expected_action(reason) ? reason : MOAT_REASON_COUNT;
}
