/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The same packets on live frames: sent into one veth whose other end has the gate, and into one whose other
 * end has a bare XDP_DROP. The difference is what the gate adds to a frame where the kernel receives it;
 * beside it stands what BPF_PROG_TEST_RUN says of the same packets (bench gate). All mixes end in a drop,
 * since what the kernel does with frames that pass costs many times more than the gate.
 */
#include <errno.h>
#include <math.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include "bench/common.h"
#include "bench/gate_drive_run.h"
#include "bench/gate_mix.h"
#include "dataplane/base/clock.h"
#include "dataplane/gate.h"

#define RUNS 9
#define SAMPLING 1000
#define BATCH 64 /* frames that the kernel hands over together */
/* What a projection of TEST_RUN onto frames may be wrong by. */
#define NEAR_NS 5

/* Interfaces: frames go in at the first, and come out where the second has its program. */
#define GATE_IN "gate-in"
#define GATE_OUT "gate-out"
#define BARE_IN "bare-in"
#define BARE_OUT "bare-out"
#define IDLE "idle-in"
#define IDLE_OUT "idle-out"

struct live_case {
	const char *name;
	enum gate_driver driver;
	enum gate_mix mix;
	enum gate_traffic traffic;
	struct moat_bench_series live, test_run, lost;
};

static struct live_case cases[] = {
	{ "drop_listed_v4_hot", GATE_DRIVER_V4, GATE_MIX_HOT, GATE_TRAFFIC_LISTED },
	{ "drop_listed_v4_typical", GATE_DRIVER_V4, GATE_MIX_TYPICAL, GATE_TRAFFIC_LISTED },
	{ "drop_rule_v4_hot", GATE_DRIVER_V4, GATE_MIX_HOT, GATE_TRAFFIC_RULED },
	{ "drop_rule_v4_typical", GATE_DRIVER_V4, GATE_MIX_TYPICAL, GATE_TRAFFIC_RULED },
	{ "drop_listed_v6_hot", GATE_DRIVER_V6, GATE_MIX_HOT, GATE_TRAFFIC_LISTED },
	{ "drop_listed_v6_typical", GATE_DRIVER_V6, GATE_MIX_TYPICAL, GATE_TRAFFIC_LISTED },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

struct bench {
	struct moat_gate *gate;
	struct moat_gate_port_info port;
	struct gate_drive drive;
};

/* ---- interfaces --------------------------------------------------------------------------------- */

static int run_ip(const char *const *arguments)
{
	extern char **environ;
	int status;
	pid_t pid;
	int r = posix_spawnp(&pid, "ip", NULL, NULL, (char *const *)arguments, environ);

	if (r != 0)
		return -r;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int make_pair(const char *in, const char *out)
{
	const char *add[] = { "ip", "link", "add", in, "type", "veth", "peer", "name", out, NULL };
	const char *in_up[] = { "ip", "link", "set", in, "up", NULL };
	const char *out_up[] = { "ip", "link", "set", out, "up", NULL };
	int r = run_ip(add);

	if (r == 0)
		r = run_ip(in_up);
	return r == 0 ? run_ip(out_up) : r;
}

static int attach(const char *interface, int prog_fd)
{
	return bpf_xdp_attach((int)if_nametoindex(interface), prog_fd, XDP_FLAGS_DRV_MODE, NULL);
}

/* ---- measuring ---------------------------------------------------------------------------------- */

static void ignore_sample(void *userdata, const struct moat_sample *sample)
{
}

static uint64_t received(const struct bench *bench)
{
	struct moat_gate_counters counters;

	moat_gate_counters(bench->gate, bench->port.index, &counters);
	return counters.in.packets;
}

/* Sends GATE_POOL frames into `interface`. CPU time of a frame in ns, or NAN. */
static double send_frames(struct bench *bench, const struct live_case *c, const char *interface)
{
	uint8_t frame[GATE_FRAME_V6] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .repeat = GATE_POOL,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH,
		    .data_size_in = c->driver == GATE_DRIVER_V6 ? GATE_FRAME_V6 : GATE_FRAME_V4);
	int fd = gate_drive_live_fd(&bench->drive, c->driver, if_nametoindex(interface),
				    c->mix == GATE_MIX_HOT);
	uint64_t begin;
	int r;

	/* a program that is attached somewhere needn't be made known to the kernel at each run */
	if (attach(IDLE, fd) < 0)
		return NAN;
	begin = moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
	r = bpf_prog_test_run_opts(fd, &opts);
	return r < 0 ? NAN
		     : (double)(moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / GATE_POOL;
}

static int measure_case(struct bench *bench, struct live_case *c)
{
	int gate_fd = moat_gate_prog_fd(bench->gate, bench->port.index);
	bool hot = c->mix == GATE_MIX_HOT;
	double bare, live, bare_run, run;
	uint64_t before;

	if (c->driver == GATE_DRIVER_V6)
		gate_mix_pool_v6(gate_drive_pool_v6(&bench->drive), c->mix, c->traffic);
	else
		gate_mix_pool_v4(gate_drive_pool_v4(&bench->drive), c->mix, c->traffic);
	bare_run = gate_drive_run(&bench->drive, c->driver, bench->drive.bare_fds[c->driver], hot);
	run = gate_drive_run(&bench->drive, c->driver, gate_fd, hot);
	bare = send_frames(bench, c, BARE_IN);
	before = received(bench);
	live = send_frames(bench, c, GATE_IN);
	while (moat_gate_poll(bench->gate, INT32_MAX, ignore_sample, NULL) > 0)
		;
	if (isnan(bare) || isnan(live) || isnan(bare_run) || isnan(run))
		return -EPROTO;
	moat_bench_series_add(&c->live, live - bare);
	moat_bench_series_add(&c->test_run, run - bare_run);
	moat_bench_series_add(&c->lost, (double)GATE_POOL - (double)(received(bench) - before));
	return 0;
}

static int report_case(const struct live_case *c)
{
	struct moat_bench_result result = { .bench = "gate-live",
					    .case_name = c->name,
					    .metric = "above_bare_drop",
					    .unit = "ns/frame",
					    .baseline = &c->test_run };
	struct moat_bench_series apart = { .count = 0 };
	int missed = moat_bench_report(&result, &c->live);

	moat_bench_series_add(&apart, fabs(moat_bench_series_median(&c->live) -
					   moat_bench_series_median(&c->test_run)));

	result.baseline = NULL;
	result.metric = "test_run";
	missed |= moat_bench_report(&result, &c->test_run);
	result.metric = "apart";
	result.goal_kind = MOAT_BENCH_AT_MOST;
	result.goal = NEAR_NS;
	missed |= moat_bench_report(&result, &apart);
	result.metric = "lost";
	result.unit = "frames";
	result.goal = 0;
	return missed | moat_bench_report(&result, &c->lost);
}

/* ---- setting up --------------------------------------------------------------------------------- */

static int prepare(struct bench *bench, struct moat_error *error)
{
	const struct moat_gate_port_options options = { .name = GATE_OUT };
	struct moat_ruleset *set = NULL;
	int r = make_pair(GATE_IN, GATE_OUT);

	if (r == 0)
		r = make_pair(BARE_IN, BARE_OUT);
	if (r == 0)
		r = make_pair(IDLE, IDLE_OUT);
	if (r < 0)
		return moat_error_set(error, r, "making interfaces with ip(8): %s", strerror(-r));
	r = moat_gate_attach(bench->gate, &options, &bench->port, error);
	if (r == 0 && !bench->port.native)
		fprintf(stderr, "gate-live: generic mode: %s\n", bench->port.fallback);
	if (r == 0)
		r = moat_ruleset_new(&set);
	if (r == 0)
		r = gate_mix_fill(set, GATE_RULES_REAL, error);
	if (r == 0)
		r = moat_gate_commit(bench->gate, set, error);
	moat_ruleset_free(set);
	if (r == 0)
		r = gate_drive_init(&bench->drive, error);
	if (r == 0)
		r = attach(BARE_OUT, bench->drive.bare_fds[GATE_DRIVER_V4]);
	return r;
}

static int run(struct bench *bench, int runs, struct moat_error *error)
{
	int r = prepare(bench, error), missed = 0;

	for (int i = 0; r == 0 && i < runs; i++) {
		for (size_t c = 0; r == 0 && c < CASES; c++)
			r = measure_case(bench, &cases[c]);
		moat_bench_progress("gate-live", "all cases", i + 1, runs);
	}
	for (size_t c = 0; r == 0 && c < CASES; c++)
		missed |= report_case(&cases[c]);
	return r < 0 ? r : missed;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	int runs = moat_bench_begin("gate-live", argc, argv, RUNS), r;
	struct moat_gate_options options = { .sample_pass = SAMPLING,
					     .sample_drop = SAMPLING,
					     .nodes = GATE_MIX_NODES };
	struct moat_error error = {};
	cpu_set_t cpus;
	char pin_path[64];

	if (runs < 0)
		return 2;
	/* sender and receiver on one CPU: the frame's whole way is this thread's time */
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	snprintf(pin_path, sizeof(pin_path), "/sys/fs/bpf/moat-bench-%d", getpid());
	options.pin_path = pin_path;
	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "gate-live: no network namespace of its own: %s\n", strerror(errno));
		return 2;
	}
	r = moat_gate_open(&options, &bench.gate, &error);
	if (r == 0)
		r = run(&bench, runs, &error);
	if (r < 0)
		fprintf(stderr, "gate-live: %d %s\n", r, error.text);
	gate_drive_deinit(&bench.drive);
	moat_gate_close(bench.gate);
	moat_gate_detach(pin_path, &error);
	return r < 0 ? 2 : r;
}
