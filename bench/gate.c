/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What does the gate cost a packet? Its program over pools of packets (gate_mix.h), in turns with a bare
 * XDP_DROP called in the same way, whose time is the harness's own; beside it, what memory costs (programs
 * that only read at random) and xdp-filter. Time is the thread's CPU time, so that other processes on the
 * machine don't count. Always on: long lists, 4,096 rules, cells, 1 packet in 1,000 sampled, a look into VXLAN;
 * `all_stages` has the other stages as well, `stage_*` one at a time.
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
#include "bench/gate_drive_run.h"
#include "bench/gate_filter.h"
#include "bench/gate_mix.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/gate.h"
#include "dataplane/stage_set.h"

#define RUNS 9
#define SAMPLING 1000
#define POOLS 32

/* Packets that several cases share. */
struct pool {
	enum gate_driver driver;
	enum gate_mix mix;
	enum gate_traffic traffic;
	void *packets;
	size_t size;
	uint32_t listed;
	uint32_t part;
	struct moat_bench_series bare; /* a bare drop over them */
	double bare_now;               /* in the current run */
};

enum subject {
	SUBJECT_GATE = 0,
	SUBJECT_MISS, /* `reads` at random */
	SUBJECT_FILTER,
	SUBJECT_COOKIE,
};

struct bench_case {
	const char *name;
	enum gate_driver driver;
	enum gate_mix mix;
	enum gate_traffic traffic;
	double goal; /* ns above ref_bare and, if there are `goal_reads`, ref_miss; 0: none */
	int goal_reads;
	enum subject subject;
	int reads;
	uint32_t part; /* packets from so many listed /24s, of which alone the list consists */
	struct pool *pool;
	struct moat_bench_series total, above;
};

#define V4 GATE_DRIVER_V4
#define V6 GATE_DRIVER_V6
#define PLAIN GATE_DRIVER_PLAIN
#define VXLAN GATE_DRIVER_VXLAN
#define HOT GATE_MIX_HOT
#define TYPICAL GATE_MIX_TYPICAL
#define HOSTILE GATE_MIX_HOSTILE
#define CLEAN GATE_TRAFFIC_CLEAN
#define LISTED GATE_TRAFFIC_LISTED
#define MIXED GATE_TRAFFIC_MIXED
#define RULED GATE_TRAFFIC_RULED
#define SYN GATE_TRAFFIC_SYN
#define RST GATE_TRAFFIC_RST

static struct bench_case cases[] = {
	{ "ref_miss1", V4, HOT, CLEAN, .subject = SUBJECT_MISS, .reads = 1 },
	{ "ref_miss2", V4, HOT, CLEAN, .subject = SUBJECT_MISS, .reads = 2 },
	{ "ref_miss3", V4, HOT, CLEAN, .subject = SUBJECT_MISS, .reads = 3 },
	{ "ref_miss4", V4, HOT, CLEAN, .subject = SUBJECT_MISS, .reads = 4 },
	{ "ref_cookie_kernel", PLAIN, TYPICAL, CLEAN, .subject = SUBJECT_COOKIE, .reads = 0 },
	{ "ref_cookie_siphash", PLAIN, TYPICAL, CLEAN, .subject = SUBJECT_COOKIE, .reads = 1 },
	{ "xdp_filter_drop", PLAIN, TYPICAL, LISTED, .subject = SUBJECT_FILTER },
	{ "xdp_filter_pass", PLAIN, TYPICAL, CLEAN, .subject = SUBJECT_FILTER },
	{ "xdp_filter_all_drop", PLAIN, TYPICAL, LISTED, .subject = SUBJECT_FILTER, .reads = 1 },
	{ "xdp_filter_all_pass", PLAIN, TYPICAL, CLEAN, .subject = SUBJECT_FILTER, .reads = 1 },
	{ "drop_listed_v4_hot", V4, HOT, LISTED, 15 },
	{ "drop_listed_v4_typical", V4, TYPICAL, LISTED },
	{ "drop_listed_v4_hostile", V4, HOSTILE, LISTED, 12, 1 },
	{ "drop_listed_v6_hot", V6, HOT, LISTED },
	{ "drop_listed_v6_typical", V6, TYPICAL, LISTED },
	{ "drop_listed_v6_hostile", V6, HOSTILE, LISTED, 15, 3 },
	{ "pass_tcp_v4_hot", V4, HOT, CLEAN },
	{ "pass_tcp_v4_typical", V4, TYPICAL, MIXED, 30 },
	{ "pass_tcp_v4_hostile", V4, HOSTILE, CLEAN, 50, 4 },
	{ "pass_tcp_v6_hot", V6, HOT, CLEAN },
	{ "pass_tcp_v6_typical", V6, TYPICAL, MIXED, 40 },
	{ "pass_tcp_v6_hostile", V6, HOSTILE, CLEAN },
	{ "pass_vxlan_hot", VXLAN, HOT, CLEAN },
	{ "pass_vxlan_typical", VXLAN, TYPICAL, MIXED },
	{ "pass_vxlan_hostile", VXLAN, HOSTILE, CLEAN },
	{ "drop_rule_v4_typical", V4, TYPICAL, RULED },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static struct bench_case worst_cases[] = {
	{ "pass_tcp_v4_typical_worst_rules", V4, TYPICAL, CLEAN },
};

/* With every stage on, each having work. */
static struct bench_case all_cases[] = {
	{ "all_stages_v4_hot", V4, HOT, CLEAN },
	{ "all_stages_v4_typical", V4, TYPICAL, MIXED, 30 },
	{ "all_stages_v4_hostile", V4, HOSTILE, CLEAN, 50, 4 },
	{ "all_stages_v6_hot", V6, HOT, CLEAN },
	{ "all_stages_v6_typical", V6, TYPICAL, MIXED, 40 },
};
#define ALL_CASES (sizeof(all_cases) / sizeof(all_cases[0]))
#define ALL_STAGES ((MOAT_STAGE_SAMPLE << 1) - 1)

/* Nothing but counting, and with one stage on at a time. */
static struct bench_case stage_cases[] = {
	{ "stage_none", V4, TYPICAL, CLEAN },          { "stage_broken", V4, TYPICAL, CLEAN },
	{ "stage_flags", V4, TYPICAL, CLEAN },         { "stage_land", V4, TYPICAL, CLEAN },
	{ "stage_martian", V4, TYPICAL, CLEAN },       { "stage_allow", V4, TYPICAL, CLEAN },
	{ "stage_deny", V4, TYPICAL, CLEAN },          { "stage_rules", V4, TYPICAL, CLEAN },
	{ "stage_amplification", V4, TYPICAL, CLEAN }, { "stage_fragments", V4, TYPICAL, CLEAN },
	{ "stage_sources", V4, TYPICAL, CLEAN },       { "stage_challenge", V4, TYPICAL, CLEAN },
	{ "stage_profiles", V4, TYPICAL, CLEAN },      { "stage_sample", V4, TYPICAL, CLEAN },
};
#define STAGE_CASES (sizeof(stage_cases) / sizeof(stage_cases[0]))

/* Lists of growing length, beside ref_miss1: what a lookup costs is what its memory costs. */
static struct bench_case grow_cases[] = {
	{ "grow_1000", V4, TYPICAL, LISTED, .part = 1000 },
	{ "grow_10000", V4, TYPICAL, LISTED, .part = 10000 },
	{ "grow_100000", V4, TYPICAL, LISTED, .part = 100000 },
	{ "grow_475000", V4, TYPICAL, LISTED, .part = 475000 },
};
#define GROW_CASES (sizeof(grow_cases) / sizeof(grow_cases[0]))

/* To protections that challenge: SYNs of unknown sources, RSTs without a cookie, and what has no part. */
static struct bench_case challenge_cases[] = {
	{ "challenge_syn_v4_hot", V4, HOT, SYN, 60 },
	{ "challenge_syn_v6_hot", V6, HOT, SYN },
	{ "challenge_rst_v4_hot", V4, HOT, RST },
	{ "challenge_other_v4_hot", V4, HOT, CLEAN },
	{ "challenge_syn_v4_typical", V4, TYPICAL, SYN },
	{ "challenge_syn_v6_typical", V6, TYPICAL, SYN },
	{ "challenge_rst_v4_typical", V4, TYPICAL, RST },
	{ "challenge_other_v4_typical", V4, TYPICAL, CLEAN },
};
#define CHALLENGE_CASES (sizeof(challenge_cases) / sizeof(challenge_cases[0]))

struct bench {
	struct moat_gate *gate;
	struct moat_gate_port_info port;
	struct gate_drive drive;
	struct gate_filter filters[2]; /* that only looks at addresses; that looks at all that it can */
	struct pool pools[POOLS];
	size_t pool_count;
	double load_ms, commit_ms;
};

/* ---- pools -------------------------------------------------------------------------------------- */

static struct pool *find_pool(struct bench *bench, const struct bench_case *c)
{
	enum gate_driver driver = c->driver;

	for (size_t i = 0; i < bench->pool_count; i++) {
		struct pool *pool = &bench->pools[i];

		if (pool->driver == driver && pool->mix == c->mix && pool->traffic == c->traffic &&
		    pool->part == c->part)
			return pool;
	}
	if (bench->pool_count == POOLS)
		return NULL;
	bench->pools[bench->pool_count] = (struct pool){ driver, c->mix, c->traffic,
							 .part = c->part };
	return &bench->pools[bench->pool_count++];
}

static int make_pool(struct bench *bench, struct bench_case *c)
{
	struct pool *pool = find_pool(bench, c);

	c->pool = pool;
	if (!pool)
		return -ENOBUFS;
	if (pool->packets)
		return 0;
	pool->size = pool->driver == V6 ? GATE_POOL * sizeof(struct gate_pool_v6)
					: GATE_POOL * sizeof(struct gate_pool_v4);
	pool->packets = malloc(pool->size);
	if (!pool->packets)
		return -ENOMEM;
	if (c->part) {
		gate_mix_pool_part(pool->packets, c->part);
		pool->listed = GATE_POOL;
		return 0;
	}
	pool->listed = pool->driver == V6
			       ? gate_mix_pool_v6(pool->packets, pool->mix, pool->traffic)
			       : gate_mix_pool_v4(pool->packets, pool->mix, pool->traffic);
	return 0;
}

static void use_pool(struct bench *bench, const struct pool *pool)
{
	memcpy(pool->driver == V6 ? (void *)gate_drive_pool_v6(&bench->drive)
				  : (void *)gate_drive_pool_v4(&bench->drive),
	       pool->packets, pool->size);
}

/* ---- measuring ---------------------------------------------------------------------------------- */

static void ignore_sample(void *userdata, const struct moat_sample *sample)
{
}

/* Whether every packet of a run ended as it should. */
static bool is_right(const struct bench_case *c, const struct moat_gate_counters *before,
		     const struct moat_gate_counters *after)
{
	uint32_t listed = c->mix == HOT && c->traffic == LISTED ? GATE_POOL : c->pool->listed;
	enum moat_reason other = c->traffic == RULED ? MOAT_REASON_DROP_RULE
				 : c->traffic == SYN ? MOAT_REASON_TX_CHALLENGE
						     : MOAT_REASON_PASS_DEFAULT;

	return after->reasons[MOAT_REASON_DROP_DENIED].packets -
			       before->reasons[MOAT_REASON_DROP_DENIED].packets ==
		       listed &&
	       after->reasons[other].packets - before->reasons[other].packets == GATE_POOL - listed;
}

static double run_gate(struct bench *bench, const struct bench_case *c)
{
	struct moat_gate_counters before, after;
	double ns;

	moat_gate_counters(bench->gate, bench->port.index, &before);
	ns = gate_drive_run(&bench->drive, c->driver,
			    moat_gate_prog_fd(bench->gate, bench->port.index), c->mix == HOT);
	moat_gate_counters(bench->gate, bench->port.index, &after);
	while (moat_gate_poll(bench->gate, INT32_MAX, ignore_sample, NULL) > 0)
		;
	if (is_right(c, &before, &after))
		return ns;
	fprintf(stderr, "gate: packets of %s did not end as they should\n", c->name);
	return NAN;
}

static double run_case(struct bench *bench, const struct bench_case *c)
{
	bool hot = c->mix == HOT;

	switch (c->subject) {
	case SUBJECT_MISS:
		return gate_drive_run(&bench->drive, c->driver, bench->drive.miss_fds[c->reads - 1],
				      hot);
	case SUBJECT_FILTER:
		return gate_drive_run(&bench->drive, c->driver, bench->filters[c->reads].prog_fd,
				      hot);
	case SUBJECT_COOKIE:
		return gate_drive_run(&bench->drive, c->driver, bench->drive.cookie_fds[c->reads],
				      hot);
	default:
		return run_gate(bench, c);
	}
}

/* One run over a case, and over a bare drop of the same packets just before. */
static int measure_case(struct bench *bench, struct bench_case *c)
{
	double bare, ns;

	use_pool(bench, c->pool);
	gate_drive_set_flags(&bench->drive, c->traffic == SYN   ? MOAT_TCP_SYN
					    : c->traffic == RST ? MOAT_TCP_RST
								: MOAT_TCP_ACK);
	bare = gate_drive_run(&bench->drive, c->driver, bench->drive.bare_fds[c->driver],
			      c->mix == HOT);
	ns = run_case(bench, c);
	if (isnan(bare) || isnan(ns))
		return -EPROTO;
	moat_bench_series_add(&c->pool->bare, bare);
	moat_bench_series_add(&c->total, ns);
	moat_bench_series_add(&c->above, ns - bare);
	return 0;
}

static int measure(struct bench *bench, struct bench_case *list, size_t count, int runs)
{
	for (size_t i = 0; i < count; i++) {
		int r = make_pool(bench, &list[i]);

		if (r < 0)
			return r;
	}
	for (int run = 0; run < runs; run++) {
		for (size_t i = 0; i < count; i++) {
			if (!moat_bench_wants(list[i].name) ||
			    (list[i].subject == SUBJECT_FILTER &&
			     bench->filters[list[i].reads].prog_fd < 0))
				continue;
			int r = measure_case(bench, &list[i]);

			if (r < 0)
				return r;
		}
		moat_bench_progress("gate", count > 1 ? "all cases" : list[0].name, run + 1, runs);
	}
	return 0;
}

/* ---- results ------------------------------------------------------------------------------------ */

static int report_case(const struct bench_case *c)
{
	struct moat_bench_result result = { .bench = "gate",
					    .case_name = c->name,
					    .metric = "time",
					    .unit = "ns/packet",
					    .baseline = &c->pool->bare };
	int missed;

	if (c->total.count == 0)
		return 0; /* skipped */
	missed = moat_bench_report(&result, &c->total);
	result.metric = "above_ref_bare";
	result.baseline = NULL;
	/* a goal in reads needs their reference, which --case may have left out */
	if (c->goal > 0 && (c->goal_reads == 0 || cases[c->goal_reads - 1].above.count)) {
		result.goal_kind = MOAT_BENCH_AT_MOST;
		result.goal = c->goal;
		if (c->goal_reads > 0)
			result.goal += moat_bench_series_median(&cases[c->goal_reads - 1].above);
	}
	return missed | moat_bench_report(&result, &c->above);
}

static struct bench_case *find_case(const char *name)
{
	for (size_t i = 0; i < CASES; i++)
		if (strcmp(cases[i].name, name) == 0)
			return &cases[i];
	return NULL;
}

/* How many times faster than xdp-filter, all in all. */
static int report_speedup(const char *metric, const char *filter, const char *gate)
{
	const struct bench_case *theirs = find_case(filter), *ours = find_case(gate);
	struct moat_bench_result result = { .bench = "gate",
					    .case_name = gate,
					    .metric = metric,
					    .unit = "times",
					    .goal_kind = MOAT_BENCH_AT_LEAST,
					    .goal = 2 };
	struct moat_bench_series ratio = { .count = 0 };

	for (size_t i = 0; i < theirs->total.count && i < ours->total.count; i++)
		moat_bench_series_add(&ratio, theirs->total.values[i] / ours->total.values[i]);
	return ratio.count ? moat_bench_report(&result, &ratio) : 0;
}

/* What each stage adds to a program that has none. */
static void report_stages(void)
{
	struct moat_bench_result result = { .bench = "gate",
					    .metric = "above_stage_none",
					    .unit = "ns/packet" };

	report_case(&stage_cases[0]);
	for (size_t i = 1; i < STAGE_CASES; i++) {
		const struct bench_case *c = &stage_cases[i], *none = &stage_cases[0];
		struct moat_bench_series added = { .count = 0 };

		result.case_name = c->name;
		for (size_t run = 0; run < c->above.count && run < none->above.count; run++)
			moat_bench_series_add(&added,
					      c->above.values[run] - none->above.values[run]);
		if (added.count)
			moat_bench_report(&result, &added);
	}
}

static int report_number(const char *metric, const char *unit, double value)
{
	struct moat_bench_result result = {
		.bench = "gate", .case_name = "program", .metric = metric, .unit = unit
	};
	struct moat_bench_series series = { .count = 0 };

	moat_bench_series_add(&series, value);
	return moat_bench_report(&result, &series);
}

static int report(struct bench *bench)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	int missed = 0;

	if (bpf_obj_get_info_by_fd(moat_gate_prog_fd(bench->gate, bench->port.index), &info,
				   &length) == 0) {
		report_number("verified", "insns", info.verified_insns);
		report_number("code", "bytes", info.jited_prog_len);
	}
	report_number("load", "ms", bench->load_ms);
	report_number("commit", "ms", bench->commit_ms);
	for (size_t i = 0; i < bench->pool_count; i++) {
		static const char *const names[] = { "hot", "typical", "hostile" };
		struct moat_bench_result result = { .bench = "gate",
						    .metric = "time",
						    .unit = "ns/packet" };
		const struct pool *pool = &bench->pools[i];
		char name[48];

		if (pool->traffic != LISTED || pool->driver == PLAIN || pool->bare.count == 0)
			continue;
		snprintf(name, sizeof(name), "ref_bare_%s_%s", pool->driver == V6 ? "v6" : "v4",
			 names[pool->mix]);
		result.case_name = name;
		moat_bench_report(&result, &pool->bare);
	}
	for (size_t i = 0; i < CASES; i++)
		missed |= report_case(&cases[i]);
	missed |= report_case(&worst_cases[0]);
	for (size_t i = 0; i < CHALLENGE_CASES; i++)
		missed |= report_case(&challenge_cases[i]);
	for (size_t i = 0; i < ALL_CASES; i++)
		missed |= report_case(&all_cases[i]);
	report_stages();
	for (size_t i = 0; i < GROW_CASES; i++)
		missed |= report_case(&grow_cases[i]);
	missed |= report_speedup("over_xdp_filter", "xdp_filter_drop", "drop_listed_v4_typical");
	missed |= report_speedup("over_xdp_filter", "xdp_filter_pass", "pass_tcp_v4_typical");
	missed |= report_speedup("over_xdp_filter_all", "xdp_filter_all_drop",
				 "drop_listed_v4_typical");
	missed |= report_speedup("over_xdp_filter_all", "xdp_filter_all_pass",
				 "pass_tcp_v4_typical");
	return missed;
}

/* ---- setting up --------------------------------------------------------------------------------- */

static int commit(struct bench *bench, enum gate_rules rules, struct moat_error *error)
{
	struct moat_ruleset *set = NULL;
	uint64_t begin;
	int r = moat_ruleset_new(&set);

	if (r == 0)
		r = gate_mix_fill(set, rules, error);
	begin = moat_clock_monotonic_ns();
	if (r == 0)
		r = moat_gate_commit(bench->gate, set, error);
	if (rules == GATE_RULES_REAL)
		bench->commit_ms = (double)(moat_clock_monotonic_ns() - begin) / 1e6;
	moat_ruleset_free(set);
	fprintf(stderr, "gate: %s\n", gate_mix_describe(rules));
	return r;
}

/* Every destination is protected by a challenge, whose answers no cap bounds. */
static int challenge_all(struct bench *bench, struct moat_error *error)
{
	static const char *const everywhere[] = { "0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1" };
	const struct moat_gate_port_options lo = {
		.name = "lo", .generic = true, .stages = MOAT_STAGES_DEFAULT | MOAT_STAGE_CHALLENGE
	};
	struct moat_challenge_options options = moat_challenge_default();
	struct moat_stage_set *stages = NULL;
	struct moat_ruleset *set = NULL;
	int r = moat_stage_set_new(&stages);

	for (size_t i = 0; r == 0 && i < sizeof(everywhere) / sizeof(everywhere[0]); i++) {
		struct moat_protection protection = { .challenge = MOAT_CHALLENGE_ALWAYS };

		moat_prefix_parse(everywhere[i], &protection.prefix);
		r = moat_stage_set_protect(stages, &protection);
	}
	if (r == 0)
		r = moat_ruleset_new(&set);
	if (r == 0)
		r = gate_mix_fill(set, GATE_RULES_REAL, error);
	if (r == 0) {
		moat_ruleset_set_stages(set, stages);
		r = moat_gate_commit(bench->gate, set, error);
	}
	options.prefix_pps = UINT32_MAX;
	moat_gate_set_challenge(bench->gate, &options);
	if (r == 0)
		r = moat_gate_attach(bench->gate, &lo, &bench->port, error);
	moat_stage_set_unref(stages);
	moat_ruleset_free(set);
	return r;
}

/* Rules and lists, and work for all stages. */
static int commit_all(struct bench *bench, struct moat_error *error)
{
	struct moat_stage_set *stages = NULL;
	struct moat_ruleset *set = NULL;
	int r = moat_stage_set_new(&stages);

	if (r == 0)
		r = gate_mix_fill_stages(stages);
	if (r == 0)
		r = moat_ruleset_new(&set);
	if (r == 0)
		r = gate_mix_fill(set, GATE_RULES_REAL, error);
	if (r == 0) {
		moat_ruleset_set_stages(set, stages);
		r = moat_gate_commit(bench->gate, set, error);
	}
	moat_stage_set_unref(stages);
	moat_ruleset_free(set);
	return r;
}

static int attach_with(struct bench *bench, uint32_t stages, struct moat_error *error)
{
	const struct moat_gate_port_options lo = { .name = "lo", .generic = true, .stages = stages };

	return moat_gate_attach(bench->gate, &lo, &bench->port, error);
}

/* Each stage alone, in turns, run by run: programs are loaded anew in between. */
static int measure_stages(struct bench *bench, int runs, struct moat_error *error)
{
	int r = 0;

	for (int run = 0; r == 0 && run < runs && moat_bench_wants("stage"); run++)
		for (size_t i = 0; r == 0 && i < STAGE_CASES; i++) {
			r = attach_with(bench, i ? 1U << (i - 1) : MOAT_STAGE_NONE, error);
			if (r == 0)
				r = measure(bench, &stage_cases[i], 1, 1);
		}
	return r;
}

static int measure_growth(struct bench *bench, int runs, struct moat_error *error)
{
	int r = attach_with(bench, 0, error);

	for (size_t i = 0; r == 0 && i < GROW_CASES; i++) {
		struct moat_ruleset *set = NULL;

		if (!moat_bench_wants(grow_cases[i].name))
			continue;
		r = moat_ruleset_new(&set);
		if (r == 0)
			r = gate_mix_fill_part(set, grow_cases[i].part);
		if (r == 0)
			r = moat_gate_commit(bench->gate, set, error);
		if (r == 0)
			r = measure(bench, &grow_cases[i], 1, runs);
		moat_ruleset_free(set);
	}
	return r;
}

static int prepare(struct bench *bench, struct moat_error *error)
{
	const struct moat_gate_port_options lo = { .name = "lo", .generic = true };
	uint64_t begin = moat_clock_monotonic_ns();
	int r = moat_gate_attach(bench->gate, &lo, &bench->port, error);

	bench->load_ms = (double)(moat_clock_monotonic_ns() - begin) / 1e6;
	if (r == 0)
		r = commit(bench, GATE_RULES_REAL, error);
	if (r == 0)
		r = gate_drive_init(&bench->drive, error);
	if (r == 0) {
		gate_filter_init(&bench->filters[0], "xdpfilt_dny_ip");
		gate_filter_init(&bench->filters[1], "xdpfilt_dny_all");
	}
	return r;
}

static int run(struct bench *bench, int runs, struct moat_error *error)
{
	int r = prepare(bench, error);

	if (r == 0)
		r = measure(bench, cases, CASES, runs);
	if (r == 0)
		r = commit(bench, GATE_RULES_WORST, error);
	if (r == 0)
		r = measure(bench, worst_cases, 1, runs);
	if (r == 0)
		r = challenge_all(bench, error);
	if (r == 0)
		r = measure(bench, challenge_cases, CHALLENGE_CASES, runs);
	if (r == 0)
		r = commit_all(bench, error);
	if (r == 0)
		r = attach_with(bench, ALL_STAGES, error);
	if (r == 0)
		r = measure(bench, all_cases, ALL_CASES, runs);
	if (r == 0)
		r = measure_stages(bench, runs, error);
	if (r == 0)
		r = measure_growth(bench, runs, error);
	return r == 0 ? report(bench) : r;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	int r = moat_bench_begin("gate", argc, argv, RUNS);
	struct moat_gate_options options = { .sample_pass = SAMPLING,
					     .sample_drop = SAMPLING,
					     .nodes = GATE_MIX_NODES,
					     .tunnels.kinds = MOAT_STAGE_VXLAN };
	struct moat_error error = {};
	char pin_path[64];
	int runs = r;

	if (runs < 0)
		return 2;
	snprintf(pin_path, sizeof(pin_path), "/sys/fs/bpf/moat-bench-%d", getpid());
	options.pin_path = pin_path;
	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "gate: no network namespace of its own: %s\n", strerror(errno));
		return 2;
	}
	r = moat_gate_open(&options, &bench.gate, &error);
	if (r == 0)
		r = run(&bench, runs, &error);
	if (r < 0)
		fprintf(stderr, "gate: %d %s\n", r, error.text);
	gate_filter_deinit(&bench.filters[0]);
	gate_filter_deinit(&bench.filters[1]);
	gate_drive_deinit(&bench.drive);
	for (size_t i = 0; i < bench.pool_count; i++)
		free(bench.pools[i].packets);
	moat_gate_close(bench.gate);
	moat_gate_detach(pin_path, &error);
	return r < 0 ? 2 : r;
}
