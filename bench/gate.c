/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What does the gate cost a packet? Its program over one packet again and again by BPF_PROG_TEST_RUN,
 * in turns with a bare XDP_DROP, whose time is the harness's own. Time is the thread's CPU time, so that
 * other processes on the machine don't count. The gate holds long lists and rules that match nothing
 * here, counts in cells, and samples one packet in 1,000.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "bench/common.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/gate.h"
#include "dataplane/rule.h"
#include "tests/progrun/frame.h"

#define RUNS 15
#define REPEAT 400000
#define PREFIXES_V4 100000
#define PREFIXES_V6 25000
#define RULES 64
#define SAMPLING 1000

struct bench_case {
	const char *name;
	double goal; /* ns above ref_bare; 0: it is ref_bare */
	enum moat_reason reason;
	struct frame frame;
	int prog_fd;
	struct moat_bench_series total, above;
};

static struct bench_case cases[] = {
	{ .name = "ref_bare" },
	{ .name = "drop_listed_v4", .goal = 15, .reason = MOAT_REASON_DROP_DENIED },
	{ .name = "pass_tcp_v4", .goal = 30, .reason = MOAT_REASON_PASS_DEFAULT },
	{ .name = "pass_tcp_v6", .goal = 40, .reason = MOAT_REASON_PASS_DEFAULT },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static int load_bare(void)
{
	const struct bpf_insn instructions[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_DROP },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bare", "GPL", instructions,
			     sizeof(instructions) / sizeof(instructions[0]), NULL);
}

/* One run over a case; ns a packet, or NAN. */
static double run_case(struct bench_case *bench_case)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bench_case->frame.data,
		    .data_size_in = (uint32_t)bench_case->frame.length, .repeat = REPEAT);
	uint64_t begin = moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID), end;
	int r = bpf_prog_test_run_opts(bench_case->prog_fd, &opts);

	end = moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
	return r < 0 ? NAN : (double)(end - begin) / REPEAT;
}

/* Deterministic lists over 32 to 95 and fd00::/8, rules over 203.0.113.0/24: none names the packets that
 * pass. */
static int fill(struct moat_ruleset *set)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4 };
	struct moat_error error = {};
	struct moat_rule rule;
	char text[128];
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < PREFIXES_V4; i++) {
		uint32_t addr = 0x20000000u + i * 10007u % 0x40000000u;

		prefix.len = i % 5 == 1 ? 32 : 16 + i % 9;
		moat_addr_from_v4(&prefix.addr, __builtin_bswap32(addr & ~0u << (32 - prefix.len)));
		r = moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix);
	}
	memset(&prefix, 0, sizeof(prefix));
	prefix.family = MOAT_FAMILY_V6;
	prefix.addr.bytes[0] = 0xfd;
	prefix.len = 64;
	for (uint32_t i = 0; r >= 0 && i < PREFIXES_V6; i++) {
		prefix.addr.bytes[5] = (uint8_t)(i >> 8);
		prefix.addr.bytes[7] = (uint8_t)i;
		r = moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix);
	}
	for (int i = 0; r >= 0 && i < RULES; i++) {
		snprintf(text, sizeof(text), "drop dst 203.0.113.%d proto udp sport %d-%d", i,
			 1000 + i, 2000 + i);
		r = moat_rule_parse(text, 0, &rule, &error);
		if (r >= 0)
			r = moat_ruleset_add(set, &rule, NULL);
	}
	return r < 0 ? r : 0;
}

static void ignore_sample(void *userdata, const struct moat_sample *sample)
{
}

static void print_facts(int prog_fd)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &length) == 0)
		fprintf(stderr, "gate: %u instructions verified, %u after it, %u bytes of code\n",
			info.verified_insns, info.xlated_prog_len / 8, info.jited_prog_len);
}

/* One run over a case, every packet of which has to end as it should: ns a packet, or NAN. */
static double run_counted(struct moat_gate *gate, uint32_t port, struct bench_case *bench_case)
{
	uint32_t reason = bench_case->reason;
	struct moat_gate_counters before, after;
	double ns;

	moat_gate_counters(gate, port, &before);
	ns = run_case(bench_case);
	moat_gate_counters(gate, port, &after);
	if (bench_case->goal == 0 ||
	    after.reasons[reason].packets - before.reasons[reason].packets == REPEAT)
		return ns;
	fprintf(stderr, "gate: %s does not end in %s\n", bench_case->name, moat_reason_name(reason));
	return NAN;
}

static int measure(struct moat_gate *gate, uint32_t port, int runs)
{
	int missed = 0;

	for (int run = 0; run < runs; run++) {
		double bare = 0;

		for (size_t i = 0; i < CASES; i++) {
			double ns = run_counted(gate, port, &cases[i]);

			if (isnan(ns))
				return -EPROTO;
			if (i == 0)
				bare = ns;
			moat_bench_series_add(&cases[i].total, ns);
			moat_bench_series_add(&cases[i].above, ns - bare);
			moat_gate_poll(gate, INT32_MAX, ignore_sample, NULL);
		}
		moat_bench_progress("gate", "all cases", run + 1, runs);
	}
	for (size_t i = 0; i < CASES; i++) {
		struct moat_bench_result result = { .bench = "gate",
						    .case_name = cases[i].name,
						    .metric = "time",
						    .unit = "ns/packet",
						    .baseline = i ? &cases[0].total : NULL };

		missed |= moat_bench_report(&result, &cases[i].total);
		if (i == 0)
			continue;
		result.metric = "above_ref_bare";
		result.baseline = NULL;
		result.goal_kind = MOAT_BENCH_AT_MOST;
		result.goal = cases[i].goal;
		missed |= moat_bench_report(&result, &cases[i].above);
	}
	return missed;
}

static int prepare(struct moat_gate *gate, struct moat_gate_port_info *ret_port,
		   struct moat_error *error)
{
	const struct moat_gate_port_options lo = { .name = "lo", .generic = true };
	struct moat_ruleset *set = NULL;
	int r = moat_gate_attach(gate, &lo, ret_port, error);

	if (r < 0)
		return r;
	r = moat_ruleset_new(&set);
	if (r == 0)
		r = fill(set);
	if (r == 0)
		r = moat_gate_commit(gate, set, error);
	moat_ruleset_free(set);
	frame_simple(&cases[0].frame, "192.0.2.1", "198.51.100.1", 6, 40000, 443, 0x10, 6);
	frame_simple(&cases[1].frame, "32.0.0.1", "198.51.100.1", 6, 40000, 443, 0x10, 6);
	frame_simple(&cases[2].frame, "192.0.2.1", "198.51.100.1", 6, 40000, 443, 0x10, 6);
	frame_simple(&cases[3].frame, "2001:db8::1", "2001:db8:1::1", 6, 40000, 443, 0x10, 0);
	cases[0].prog_fd = load_bare();
	for (size_t i = 1; i < CASES; i++)
		cases[i].prog_fd = moat_gate_prog_fd(gate, ret_port->index);
	return r != 0 ? r : cases[0].prog_fd < 0 ? cases[0].prog_fd : 0;
}

int main(int argc, char **argv)
{
	int runs = moat_bench_begin("gate", argc, argv, RUNS);
	struct moat_gate_options options = { .sample_pass = SAMPLING, .sample_drop = SAMPLING };
	struct moat_gate_port_info port;
	struct moat_error error = {};
	struct moat_gate *gate = NULL;
	char pin_path[64];
	int r;

	if (runs < 0)
		return 2;
	snprintf(pin_path, sizeof(pin_path), "/sys/fs/bpf/moat-bench-%d", getpid());
	options.pin_path = pin_path;
	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "gate: no network namespace of its own: %s\n", strerror(errno));
		return 2;
	}
	r = moat_gate_open(&options, &gate, &error);
	if (r == 0)
		r = prepare(gate, &port, &error);
	if (r == 0) {
		print_facts(cases[1].prog_fd);
		r = measure(gate, port.index, runs);
	} else {
		fprintf(stderr, "gate: %d %s\n", r, error.text);
	}
	moat_gate_close(gate);
	moat_gate_detach(pin_path, &error);
	return r < 0 ? 2 : r;
}
