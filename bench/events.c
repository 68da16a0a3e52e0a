/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many events a second go from the kernel to moatd's socket: records of the probes, filled by the
 * probes' own code, through rings, merge, process table and container look-up into the link. The yardsticks:
 * the same records through the same rings to a reader that looks at nothing, and records of that size that
 * nothing is filled into.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/common.h"
#include "bench/events.h"
#include "bench/events_run.h"

#define SECONDS 0.8
#define IDLE_SECONDS 4
#define RUNS 7

static int missed, runs;
static struct moat_bench_series unaccounted;

static void report(const char *case_name, const char *metric, const char *unit,
		   const struct moat_bench_series *series, const struct moat_bench_series *baseline,
		   enum moat_bench_goal kind, double goal)
{
	const struct moat_bench_result result = {
		.bench = "events",
		.case_name = case_name,
		.metric = metric,
		.unit = unit,
		.baseline = baseline,
		.goal_kind = kind,
		.goal = goal,
	};

	missed |= moat_bench_report(&result, series) != 0;
}

static int run_sidecar(const struct events_run *run, struct events_result *ret_result)
{
	int r = events_run_sidecar(run, ret_result);

	if (r == 0)
		moat_bench_series_add(&unaccounted, fabs((double)ret_result->unaccounted));
	return r;
}

/* One and two producers and the yardsticks, in turns. */
static int measure_rates(void)
{
	static struct moat_bench_series one, two, bare, empty, ratio, bytes, cpu, lost;
	struct events_result result = { .rate = 0 }, yardstick = { .rate = 0 };
	struct events_run run = { .seconds = SECONDS };
	int r = 0;

	for (int i = 1; r == 0 && i <= runs; i++) {
		run.producers = 2;
		r = run_sidecar(&run, &result);
		moat_bench_series_add(&two, result.rate);
		moat_bench_series_add(&lost, 100.0 * (double)result.lost / (double)result.tried);
		run.producers = 1;
		if (r == 0)
			r = run_sidecar(&run, &result);
		moat_bench_series_add(&one, result.rate);
		moat_bench_series_add(&cpu, result.cpu);
		moat_bench_series_add(&bytes, result.record_bytes);
		if (r == 0)
			r = events_run_bare(&run, 0, &yardstick);
		moat_bench_series_add(&bare, yardstick.rate);
		moat_bench_series_add(&ratio, result.rate / yardstick.rate);
		if (r == 0)
			r = events_run_bare(&run, (uint32_t)result.record_bytes & ~7U, &yardstick);
		moat_bench_series_add(&empty, yardstick.rate);
		moat_bench_progress("events", "rates", i, runs);
	}
	if (r < 0)
		return r;
	report("ringbuf_1p", "rate", "events/s", &one, &bare, MOAT_BENCH_AT_LEAST, 1e6);
	report("ringbuf_2p", "rate", "events/s", &two, NULL, MOAT_BENCH_AT_LEAST, 1e6);
	report("bare_1p", "rate", "events/s", &bare, NULL, MOAT_BENCH_NO_GOAL, 0);
	report("bare_1p_unfilled", "rate", "events/s", &empty, NULL, MOAT_BENCH_NO_GOAL, 0);
	report("ringbuf_1p", "of_bare", "ratio", &ratio, NULL, MOAT_BENCH_AT_LEAST, 0.8);
	report("ringbuf_1p", "size", "bytes", &bytes, NULL, MOAT_BENCH_AT_LEAST, 256);
	report("ringbuf_1p", "reader", "cores", &cpu, NULL, MOAT_BENCH_NO_GOAL, 0);
	report("ringbuf_2p", "lost", "%", &lost, NULL, MOAT_BENCH_NO_GOAL, 0);
	return 0;
}

/* More than the smallest ring holds between two looks: what doesn't fit is counted. */
static int measure_overload(void)
{
	static struct moat_bench_series rate, lost;
	const struct events_run run = { .producers = EVENTS_PRODUCERS,
					.seconds = SECONDS,
					.ring_bytes = 1u << 16 };
	struct events_result result;
	int r = 0;

	for (int i = 1; r == 0 && i <= runs; i++) {
		r = run_sidecar(&run, &result);
		if (r < 0)
			return r;
		moat_bench_series_add(&rate, result.rate);
		moat_bench_series_add(&lost, 100.0 * (double)result.lost / (double)result.tried);
		moat_bench_progress("events", "overload", i, runs);
	}
	report("overload", "rate", "events/s", &rate, NULL, MOAT_BENCH_NO_GOAL, 0);
	report("overload", "lost", "%", &lost, NULL, MOAT_BENCH_NO_GOAL, 0);
	return 0;
}

/* Some thousand events a second: from the record's time to moatd's socket, the merge's 50 ms included. */
static int measure_latency(void)
{
	static struct moat_bench_series p50, p99;
	const struct events_run run = { .producers = 1, .seconds = 1, .pause_us = 100, .waits = true };
	struct events_result result;
	int r = 0;

	for (int i = 1; r == 0 && i <= runs; i++) {
		r = run_sidecar(&run, &result);
		if (r < 0)
			return r;
		moat_bench_series_add(&p50, result.p50_ms);
		moat_bench_series_add(&p99, result.p99_ms);
		moat_bench_progress("events", "latency", i, runs);
	}
	report("latency", "p50", "ms", &p50, NULL, MOAT_BENCH_NO_GOAL, 0);
	report("latency", "p99", "ms", &p99, NULL, MOAT_BENCH_NO_GOAL, 0);
	return 0;
}

/* Nothing of its own happens; what else the machine does is seen as always. */
static int measure_idle(void)
{
	static struct moat_bench_series cpu, rate;
	const struct events_run run = { .seconds = IDLE_SECONDS };
	struct events_result result;
	int r = 0;

	for (int i = 1; r == 0 && i <= 3; i++) {
		r = run_sidecar(&run, &result);
		if (r < 0)
			return r;
		moat_bench_series_add(&cpu, 100 * result.cpu);
		moat_bench_series_add(&rate, result.rate);
		moat_bench_progress("events", "idle_cpu", i, 3);
	}
	report("idle_cpu", "cpu", "%", &cpu, NULL, MOAT_BENCH_AT_MOST, 0.5);
	report("idle_cpu", "rate", "events/s", &rate, NULL, MOAT_BENCH_NO_GOAL, 0);
	return 0;
}

int main(int argc, char **argv)
{
	runs = moat_bench_begin("events", argc, argv, RUNS);
	if (runs < 0)
		return 2;
	if (measure_rates() < 0 || measure_overload() < 0 || measure_latency() < 0 ||
	    measure_idle() < 0)
		return 2;
	report("lost_unaccounted", "lost", "events", &unaccounted, NULL, MOAT_BENCH_AT_MOST, 0);
	return missed;
}
