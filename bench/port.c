/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What moat's AF_XDP ports take of live frames on veths, beside a bare libxdp loop that does nothing with
 * them, by turns in one run. Moat's side is all of it: the gate, which hands frames over, and a worker that
 * parses, judges, keeps flows and counts. Frames are sent from one CPU, which also does the kernel's part of
 * receiving them; the worker has the other.
 *
 *   afxdp_rx    a mirror; frames that the loop took
 *   afxdp_wire  two ports; frames that came out of the far end
 */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "bench/common.h"
#include "bench/port_bare.h"
#include "bench/port_source.h"
#include "bench/veth.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/gate.h"
#include "dataplane/rule.h"
#include "dataplane/worker.h"

/* Many short runs: a virtual machine's CPUs get faster and slower within seconds. */
#define RUNS 41
#define WARM_UP_MS 20
#define RUN_MS 80
#define GOAL 0.9
#define WORKERS 3 /* a mirror's and the two of a wire */

/* Interfaces: frames go in at the first of a pair. Those that end in -x are the far ends of wires. */
#define IDLE "idle-in"
#define BARE_RX "bare-rx"
#define MOAT_RX "moat-rx"
#define BARE_WIRE "bare-w"
#define MOAT_WIRE "moat-w"

static const char *const rules[] = {
	"drop src 203.0.113.0/24 proto udp dport 53",
	"drop proto udp sport 11211",
	"drop dst 10.200.0.0/16 proto tcp dport 23",
	"limit 1000/s dst 10.200.0.1 proto udp",
	"count proto icmp",
};

struct bench {
	struct bench_source source;
	struct bench_bare *bare[2]; /* rx, wire */
	struct moat_gate *gate;
	struct moat_policy *policy;
	struct moat_worker *workers[WORKERS];
	size_t worker_count;
	int worker_cpu;
};

/* ---- setting up --------------------------------------------------------------------------------- */

static int make_links(struct moat_error *error)
{
	static const char *const pairs[][2] = {
		{ IDLE, "idle-out" },
		{ BARE_RX, BARE_RX "-i" },
		{ MOAT_RX, MOAT_RX "-i" },
		{ BARE_WIRE, BARE_WIRE "-i" },
		{ BARE_WIRE "-x", BARE_WIRE "-o" },
		{ MOAT_WIRE, MOAT_WIRE "-i" },
		{ MOAT_WIRE "-x", MOAT_WIRE "-o" },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(pairs); i++)
		r = bench_veth_make(pairs[i][0], pairs[i][1], error);
	return r;
}

/* What comes out of a wire ends here. */
static int drop_at(const struct bench *bench, const char *interface)
{
	return bpf_xdp_attach((int)if_nametoindex(interface),
			      bench->source.drive.bare_fds[GATE_DRIVER_V4], XDP_FLAGS_DRV_MODE,
			      NULL);
}

static int make_policy(struct bench *bench, struct moat_error *error)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	int r = moat_policy_new(WORKERS, 1, &bench->policy);

	if (r == 0)
		r = moat_ruleset_new(&set);
	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(rules); i++) {
		struct moat_rule rule = moat_rule_default();

		r = moat_rule_parse(rules[i], 0, &rule, error);
		if (r == 0)
			r = moat_ruleset_add(set, &rule, NULL);
	}
	if (r == 0)
		r = moat_policy_commit(bench->policy, set, error);
	return r;
}

static int open_port(struct bench *bench, const char *interface, enum moat_port_role role,
		     struct moat_port *peer, struct moat_port **ret_port,
		     struct moat_pulse *ret_pulse, struct moat_error *error)
{
	const struct moat_gate_port_options gate_port = { .name = interface, .role = role };
	struct moat_port_afxdp_options options = { .interface = interface,
						   .alone = role == MOAT_ROLE_MIRROR,
						   .peer = peer };
	struct moat_gate_port_info info;
	int r = moat_gate_attach(bench->gate, &gate_port, &info, error);

	if (r == 0)
		r = moat_gate_pulse(bench->gate, info.index, 0, ret_pulse);
	if (r < 0)
		return r;
	options.xsks_fd = moat_gate_xsks_fd(bench->gate, info.index);
	return moat_port_afxdp_open(&options, ret_port, error);
}

static int add_worker(struct bench *bench, struct moat_port *port, struct moat_port *peer,
		      const struct moat_pulse *pulse, struct moat_error *error)
{
	const struct moat_worker_options options = {
		.port = port,
		.peer = peer,
		.judge = moat_policy_judge(bench->policy, (uint32_t)bench->worker_count),
		.cpu = bench->worker_cpu,
		.hash_seed = 1,
		.pulse = *pulse,
	};
	int r = moat_worker_new(&options, &bench->workers[bench->worker_count], error);

	if (r < 0)
		moat_port_close(port);
	else
		bench->worker_count++;
	return r;
}

static int open_moat(struct bench *bench, struct moat_error *error)
{
	static const char *const wire[] = { MOAT_WIRE "-i", MOAT_WIRE "-o" };
	struct moat_port *mirror = NULL, *sides[2] = { NULL, NULL };
	struct moat_pulse pulses[2];
	int r = open_port(bench, MOAT_RX "-i", MOAT_ROLE_MIRROR, NULL, &mirror, &pulses[0], error);

	if (r == 0)
		r = add_worker(bench, mirror, NULL, &pulses[0], error);
	for (int i = 0; r == 0 && i < 2; i++)
		r = open_port(bench, wire[i], MOAT_ROLE_WIRE, i ? sides[0] : NULL, &sides[i],
			      &pulses[i], error);
	for (int i = 0; r == 0 && i < 2; i++)
		r = add_worker(bench, sides[i], sides[1 - i], &pulses[i], error);
	return r;
}

static int prepare(struct bench *bench, struct moat_error *error)
{
	int r = make_links(error);

	if (r == 0)
		r = bench_source_init(&bench->source, IDLE, (int)sysconf(_SC_NPROCESSORS_ONLN) - 1,
				      error);
	if (r == 0)
		r = drop_at(bench, BARE_WIRE "-x");
	if (r == 0)
		r = drop_at(bench, MOAT_WIRE "-x");
	if (r == 0)
		r = bench_bare_open(BARE_RX "-i", NULL, &bench->bare[0], error);
	if (r == 0)
		r = bench_bare_open(BARE_WIRE "-i", BARE_WIRE "-o", &bench->bare[1], error);
	if (r == 0)
		r = make_policy(bench, error);
	return r == 0 ? open_moat(bench, error) : r;
}

static void clean_up(struct bench *bench)
{
	for (size_t i = 0; i < bench->worker_count; i++)
		moat_worker_stop(bench->workers[i]);
	for (size_t i = bench->worker_count; i-- > 0;)
		moat_worker_free(bench->workers[i]);
	for (int i = 0; i < 2; i++)
		bench_bare_close(bench->bare[i]);
	moat_policy_free(bench->policy);
	bench_source_deinit(&bench->source);
}

/* ---- measuring ---------------------------------------------------------------------------------- */

static uint32_t taken_by_bare(const struct bench *bench, bool wire)
{
	return wire ? bench_veth_received(BARE_WIRE "-x")
		    : (uint32_t)bench_bare_received(bench->bare[0]);
}

static uint32_t taken_by_moat(const struct bench *bench, bool wire)
{
	struct moat_worker_counters counters;

	if (wire)
		return bench_veth_received(MOAT_WIRE "-x");
	moat_worker_counters(bench->workers[0], &counters);
	return (uint32_t)counters.in.packets;
}

/* Mpps while frames are sent into `interface`. */
static int measure(struct bench *bench, const char *interface, bool wire,
		   uint32_t (*taken)(const struct bench *, bool), double *ret_mpps)
{
	uint64_t begin_ns, end_ns;
	uint32_t begin, end;
	int r = bench_source_start(&bench->source, interface);

	if (r < 0)
		return r;
	usleep(WARM_UP_MS * 1000);
	begin_ns = moat_clock_monotonic_ns();
	begin = taken(bench, wire);
	usleep(RUN_MS * 1000);
	end_ns = moat_clock_monotonic_ns();
	end = taken(bench, wire);
	r = bench_source_stop(&bench->source);
	*ret_mpps = (double)(end - begin) * 1e3 / (double)(end_ns - begin_ns);
	return r;
}

static int run_bare(struct bench *bench, bool wire, double *ret_mpps)
{
	int r = bench_bare_start(bench->bare[wire], bench->worker_cpu);

	if (r == 0)
		r = measure(bench, wire ? BARE_WIRE : BARE_RX, wire, taken_by_bare, ret_mpps);
	bench_bare_stop(bench->bare[wire]);
	return r;
}

static int run_moat(struct bench *bench, bool wire, double *ret_mpps, struct moat_error *error)
{
	size_t first = wire ? 1 : 0, count = wire ? 2 : 1;
	int r = 0;

	for (size_t i = first; r == 0 && i < first + count; i++)
		r = moat_worker_start(bench->workers[i], error);
	if (r == 0)
		r = measure(bench, wire ? MOAT_WIRE : MOAT_RX, wire, taken_by_moat, ret_mpps);
	for (size_t i = first; i < first + count; i++)
		moat_worker_stop(bench->workers[i]);
	return r;
}

static int report(const char *case_name, const struct moat_bench_series *moat,
		  const struct moat_bench_series *bare, const struct moat_bench_series *ratio)
{
	struct moat_bench_result result = { .bench = "port",
					    .case_name = case_name,
					    .metric = "rate",
					    .unit = "Mpps",
					    .baseline = bare };
	int missed = moat_bench_report(&result, moat);

	result.metric = "of_bare_loop";
	result.unit = "ratio";
	result.baseline = NULL;
	result.goal_kind = MOAT_BENCH_AT_LEAST;
	result.goal = GOAL;
	return missed | moat_bench_report(&result, ratio);
}

/* Bare loop and moat by turns, so that both see the same machine. */
static int run_case(struct bench *bench, int runs, bool wire, struct moat_error *error)
{
	static struct moat_bench_series bare, moat, ratio;
	const char *name = wire ? "afxdp_wire" : "afxdp_rx";
	int r = 0;

	bare.count = moat.count = ratio.count = 0;
	for (int i = 0; r == 0 && i < runs; i++) {
		double bare_mpps = 0, moat_mpps = 0;

		r = run_bare(bench, wire, &bare_mpps);
		if (r == 0)
			r = run_moat(bench, wire, &moat_mpps, error);
		moat_bench_series_add(&bare, bare_mpps);
		moat_bench_series_add(&moat, moat_mpps);
		moat_bench_series_add(&ratio, moat_mpps / bare_mpps);
		moat_bench_progress("port", name, i + 1, runs);
	}
	return r < 0 ? r : report(name, &moat, &bare, &ratio);
}

static int run(struct bench *bench, int runs, struct moat_error *error)
{
	int r = prepare(bench, error), missed = 0;

	for (int wire = 0; r >= 0 && wire < 2; wire++) {
		r = run_case(bench, runs, wire, error);
		missed |= r > 0;
	}
	return r < 0 ? r : missed;
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	static struct bench bench;
	int runs = moat_bench_begin("port", argc, argv, RUNS), r;
	struct moat_gate_options options = { .sample_pass = 0 };
	struct moat_error error = { .text = "" };
	char pin_path[64];

	if (runs < 0)
		return 2;
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	snprintf(pin_path, sizeof(pin_path), "/sys/fs/bpf/moat-bench-port-%d", getpid());
	options.pin_path = pin_path;
	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "port: no network namespace of its own: %s\n", strerror(errno));
		return 2;
	}
	r = moat_gate_open(&options, &bench.gate, &error);
	if (r == 0)
		r = run(&bench, runs, &error);
	if (r < 0)
		fprintf(stderr, "port: %s\n", error.text[0] ? error.text : strerror(-r));
	clean_up(&bench);
	moat_gate_close(bench.gate);
	moat_gate_detach(pin_path, &error);
	return r < 0 ? 2 : r;
}
