/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many packets a second one core takes through a worker: parse, policy, flow table, window counters,
 * ageing and accounting, of 64-byte frames that were written to 256 MB of memory before. Each frame is
 * used once a run. The baseline is a loop that receives the same frames from the same port and does
 * nothing but read their first line; at the end stands what a dependent miss of memory costs on this machine. Time
 * is the thread's own.
 *
 *   1k, 100k, 1M  ACKs at random of so many established flows
 *   churn         every packet a new flow from a new source, the table full, 1 M established flows in it
 *   mixed         nine of ten packets like churn's, one of an established flow
 *
 * After churn and mixed every established flow is asked for: all have to be there.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/common.h"
#include "bench/frames.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "dataplane/worker.h"

#define RUNS 5
/* Frames a run before the measurement begins, so that caches and predictors are as in the long run. */
#define WARM_UP (1u << 18)
#define MISSES (1u << 20)

struct bench_case {
	const char *name;
	uint32_t flows;     /* established */
	uint32_t capacity;  /* of the flow table */
	uint32_t cells;     /* of the window counters' tables */
	unsigned int flood; /* of 100 packets, those that begin a flow */
	double goal;        /* Mpps; 0: none */
};

static const struct bench_case cases[] = {
	{ "1k", 1000, 65536, 16384, 0, 0 },
	{ "100k", 100000, 262144, 65536, 0, 20 },
	{ "1M", 1000000, 2097152, 262144, 0, 14.88 },
	{ "churn", 1000000, 2097152, 262144, 100, 8 },
	{ "mixed", 1000000, 2097152, 262144, 90, 10 },
};

/* What an operator may have in force: a few lists and rules, none of which these packets match. */
static const char *const rules[] = {
	"drop src 203.0.113.0/24 proto udp dport 53",
	"drop proto udp sport 11211",
	"drop dst 10.200.0.0/16 proto tcp dport 23",
	"limit 1000/s dst 10.200.0.1 proto udp",
	"pass src 198.51.100.0/24 dst 10.200.0.2",
	"drop proto tcp flags FSRPAU/FSRPAU",
	"count proto icmp",
	"drop src 192.0.2.7 len 1000-1500",
};

static const char *const stage_names[MOAT_WORKER_STAGES] = {
	[MOAT_WORKER_RX] = "rx",     [MOAT_WORKER_PARSE] = "parse",  [MOAT_WORKER_JUDGE] = "judge",
	[MOAT_WORKER_FLOW] = "flow", [MOAT_WORKER_TELL] = "records", [MOAT_WORKER_CELLS] = "cells",
	[MOAT_WORKER_OUT] = "out",   [MOAT_WORKER_AGE] = "age",
};

/* Of this thread: what other processes take on a shared machine is not the pipeline's. */
static uint64_t cpu_ns(void)
{
	return moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* One worker over the pool, of which all runs of a case are made. */
struct stand {
	const struct bench_case *bench_case;
	struct bench_pool pool;
	struct moat_port *port; /* the worker's */
	struct moat_worker *worker;
	uint64_t flood_next; /* number of the next flow that was never seen */
};

static int policy_new(struct moat_policy **ret_policy, struct moat_error *error)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	struct moat_policy *policy;
	int r;

	r = moat_ruleset_new(&set);
	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(rules); i++) {
		struct moat_rule rule = moat_rule_default();

		r = moat_rule_parse(rules[i], 0, &rule, error);
		if (r == 0)
			r = moat_ruleset_add(set, &rule, NULL);
	}
	if (r == 0)
		r = moat_policy_new(1, 1, &policy);
	if (r != 0)
		return r;
	r = moat_policy_commit(policy, set, error);
	if (r != 0) {
		moat_policy_free(policy);
		return r;
	}
	*ret_policy = policy;
	return 0;
}

/* ---- a run -------------------------------------------------------------------------------- */

/* Hands the first `count` frames of the pool to the worker. 0, or -EPROTO if it takes fewer. */
static int feed(struct stand *stand, size_t count)
{
	int r = 0;

	moat_port_dummy_rewind(stand->port, count);
	while (count > 0 && r >= 0) {
		r = moat_worker_step(stand->worker);
		if (r > 0)
			count -= (size_t)r;
	}
	return count > 0 ? -EPROTO : 0;
}

/* Both directions of every established flow, a pool at a time. */
static int establish(struct stand *stand)
{
	uint32_t flows = stand->bench_case->flows, done = 0;
	int r = 0;

	while (r == 0 && done < flows) {
		size_t count = 0;

		for (; done < flows && count + 2 <= BENCH_FRAMES; done++, count += 2) {
			bench_frame_established(stand->pool.frames[count], done, false);
			bench_frame_established(stand->pool.frames[count + 1], done, true);
		}
		r = feed(stand, count);
	}
	return r;
}

static void pool_fill(struct stand *stand)
{
	const struct bench_case *c = stand->bench_case;

	for (size_t i = 0; i < BENCH_FRAMES; i++) {
		uint64_t random = bench_mix(i + stand->flood_next);

		if (random % 100 < c->flood)
			bench_frame_flood(stand->pool.frames[i], stand->flood_next + i);
		else
			bench_frame_established(stand->pool.frames[i],
						(uint32_t)((random >> 8) % c->flows), random >> 63);
	}
	stand->flood_next += BENCH_FRAMES;
}

/* Mpps of the bare loop. */
static double run_bare(struct stand *stand)
{
	struct moat_packet burst[MOAT_BURST];
	uint64_t start, packets = 0;
	volatile uint8_t sink;
	int count;

	moat_port_dummy_rewind(stand->port, BENCH_FRAMES);
	start = cpu_ns();
	while ((count = moat_port_rx(stand->port, burst, MOAT_BURST)) > 0) {
		for (int i = 0; i < count; i++)
			sink = burst[i].data[12];
		moat_port_release(stand->port, burst, (unsigned int)count);
		packets += (unsigned int)count;
	}
	(void)sink;
	return (double)packets * 1e3 / (double)(cpu_ns() - start);
}

/* The machine's own, in the same run: what a line at random in the pool costs, read after the last one has
 * come. */
static int report_miss(const struct stand *stand, int runs)
{
	static struct moat_bench_series series;
	const struct moat_bench_result result = {
		.bench = "pipeline",
		.case_name = "machine",
		.metric = "dependent miss",
		.unit = "ns",
	};

	for (int i = 0; i < runs; i++) {
		uint64_t start = cpu_ns(), at = (uint64_t)i;

		for (uint32_t reads = 0; reads < MISSES; reads++)
			at = bench_mix(at + reads + stand->pool.frames[at % BENCH_FRAMES][0]);
		/* so that the reads are made */
		stand->pool.frames[0][BENCH_FRAME_SIZE - 1] = (uint8_t)at;
		moat_bench_series_add(&series, (double)(cpu_ns() - start) / MISSES);
	}
	return moat_bench_report(&result, &series);
}

/* Mpps of the worker. */
static int run_worker(struct stand *stand, double *ret_mpps)
{
	uint64_t start;
	int r;

	pool_fill(stand);
	r = feed(stand, WARM_UP);
	if (r < 0)
		return r;
	pool_fill(stand);
	start = cpu_ns();
	r = feed(stand, BENCH_FRAMES);
	*ret_mpps = BENCH_FRAMES * 1e3 / (double)(cpu_ns() - start);
	return r;
}

/* Nothing may be lost on the way, and no established flow: asking for each by a packet makes none. */
static int check(struct stand *stand)
{
	struct moat_worker_counters before, c;
	uint64_t reasons = 0;
	int r;

	moat_worker_counters(stand->worker, &before);
	r = establish(stand);
	moat_worker_counters(stand->worker, &c);
	for (size_t i = 0; i < MOAT_REASON_COUNT; i++)
		reasons += c.reasons[i].packets;
	fprintf(stderr,
		"pipeline: %s: %llu flows made, %llu replaced, %llu refused, %llu of %u established "
		"kept\n",
		stand->bench_case->name, (unsigned long long)before.flow.created,
		(unsigned long long)before.flow.replaced, (unsigned long long)before.flow.refused,
		stand->bench_case->flows - (unsigned long long)(c.flow.created - before.flow.created),
		stand->bench_case->flows);
	if (r == 0 && c.in.packets == reasons && c.flow.created == before.flow.created)
		return 0;
	return -EPROTO;
}

/* ---- cases -------------------------------------------------------------------------------- */

static void stand_close(struct stand *stand)
{
	moat_worker_free(stand->worker);
	stand->worker = NULL;
}

static int stand_open(struct stand *stand, struct moat_policy *policy, bool profile,
		      struct moat_error *error)
{
	const struct moat_port_dummy_options port = {
		.pool = stand->pool.frames[0],
		.stride = BENCH_FRAME_SIZE,
		.length = BENCH_FRAME_LEN,
	};
	struct moat_worker_options options = {
		.judge = moat_policy_judge(policy, 0),
		.cpu = -1,
		.flows = stand->bench_case->capacity,
		.cells = stand->bench_case->cells,
		.hash_seed = 1,
		.profile = profile,
	};
	int r;

	r = moat_port_dummy_open(&port, &stand->port, error);
	if (r < 0)
		return r;
	options.port = stand->port;
	r = moat_worker_new(&options, &stand->worker, error);
	if (r < 0) {
		moat_port_close(stand->port);
		return r;
	}
	return establish(stand);
}

/* As things are after a while: every flow has spoken several times and, in a flood, the table is full, by as
 * many new flows as twice its slots. */
static int settle(struct stand *stand)
{
	uint64_t frames = stand->bench_case->flood ? stand->bench_case->capacity * 2
						   : stand->bench_case->flows * 8;

	for (uint64_t fed = 0; fed < frames; fed += BENCH_FRAMES) {
		int r;

		pool_fill(stand);
		r = feed(stand, BENCH_FRAMES);
		if (r < 0)
			return r;
	}
	return 0;
}

static int report_stages(struct stand *stand, const struct moat_worker_counters *before)
{
	struct moat_worker_counters after;
	char name[32];
	int r = 0;

	moat_worker_counters(stand->worker, &after);
	for (size_t i = 0; i < MOAT_WORKER_STAGES && r == 0; i++) {
		struct moat_bench_series series = { .count = 0 };
		const struct moat_bench_result result = {
			.bench = "pipeline",
			.case_name = name,
			.metric = stage_names[i],
			.unit = "ns/packet",
		};

		snprintf(name, sizeof(name), "dummy_%s", stand->bench_case->name);
		moat_bench_series_add(&series,
				      (double)(after.stage_ns[i] - before->stage_ns[i]) /
					      (double)(after.in.packets - before->in.packets));
		r = moat_bench_report(&result, &series);
	}
	return r;
}

/* Another worker, which reads the clock between its stages. */
static int run_stages(struct stand *stand, struct moat_policy *policy, struct moat_error *error)
{
	struct moat_worker_counters before;
	int r;

	r = stand_open(stand, policy, true, error);
	if (r == 0)
		r = settle(stand);
	if (r == 0) {
		pool_fill(stand);
		moat_worker_counters(stand->worker, &before);
		r = feed(stand, BENCH_FRAMES);
	}
	if (r == 0)
		r = report_stages(stand, &before);
	stand_close(stand);
	return r;
}

/* Bare loop and worker by turns, so that both see the same machine. */
static int run_case(struct stand *stand, int runs, struct moat_policy *policy,
		    struct moat_error *error)
{
	static struct moat_bench_series bare, piped;
	char name[32];
	const struct moat_bench_result result = {
		.bench = "pipeline",
		.case_name = name,
		.metric = "rate",
		.unit = "Mpps",
		.baseline = &bare,
		.goal_kind = stand->bench_case->goal > 0 ? MOAT_BENCH_AT_LEAST : MOAT_BENCH_NO_GOAL,
		.goal = stand->bench_case->goal,
	};
	int r, missed;

	snprintf(name, sizeof(name), "dummy_%s", stand->bench_case->name);
	bare.count = piped.count = 0;
	stand->flood_next = 0;
	r = stand_open(stand, policy, false, error);
	if (r == 0)
		r = settle(stand);
	for (int i = 0; i < runs && r == 0; i++) {
		double mpps = 0;

		moat_bench_series_add(&bare, run_bare(stand));
		r = run_worker(stand, &mpps);
		moat_bench_series_add(&piped, mpps);
		moat_bench_progress("pipeline", name, i + 1, runs);
	}
	if (r == 0)
		r = check(stand);
	stand_close(stand);
	if (r < 0)
		return r;
	missed = moat_bench_report(&result, &piped);
	r = missed < 0 ? missed : run_stages(stand, policy, error);
	return r < 0 ? r : missed;
}

int main(int argc, char **argv)
{
	struct moat_error error = { .text = "" };
	struct moat_policy *policy = NULL;
	struct stand stand = { .bench_case = NULL };
	int runs, r, status = 0;

	runs = moat_bench_begin("pipeline", argc, argv, RUNS);
	if (runs < 0)
		return 2;
	r = bench_pool_init(&stand.pool);
	if (r == 0)
		r = policy_new(&policy, &error);
	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(cases); i++) {
		char name[32];

		snprintf(name, sizeof(name), "dummy_%s", cases[i].name);
		if (!moat_bench_wants(name))
			continue;
		stand.bench_case = &cases[i];
		r = run_case(&stand, runs, policy, &error);
		if (r > 0) {
			status = 1;
			r = 0;
		}
	}
	if (r == 0)
		r = report_miss(&stand, runs);
	moat_policy_free(policy);
	bench_pool_deinit(&stand.pool);
	if (r != 0) {
		fprintf(stderr, "pipeline: %s\n",
			error.text[0] ? error.text : strerror(r < 0 ? -r : r));
		return 2;
	}
	return status;
}
