/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every bench shares: the command line, the machine's facts said once, and result lines that all
 * have the same shape. Results go to stdout, one JSON object a line; progress goes to stderr.
 */
#ifndef MOAT_BENCH_COMMON_H
#define MOAT_BENCH_COMMON_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#define MOAT_BENCH_RUNS_MAX 1000

/* The runs of one case, in any unit. Zero-initialised is empty. */
struct moat_bench_series {
	double values[MOAT_BENCH_RUNS_MAX];
	size_t count;
};

enum moat_bench_goal {
	MOAT_BENCH_NO_GOAL = 0,
	MOAT_BENCH_AT_MOST,
	MOAT_BENCH_AT_LEAST,
};

/* What one line says. The value is the series' median. */
struct moat_bench_result {
	const char *bench;
	const char *case_name;
	const char *metric; /* what is measured: "time", "rate" */
	const char *unit;   /* "ns/packet", "Mpps" */
	/* Median of what the value is compared with, in the same unit and the same run; NULL: nothing. */
	const struct moat_bench_series *baseline;
	enum moat_bench_goal goal_kind;
	double goal;
};

/* Reads "--json" (always in force), "--runs N" (1 to MOAT_BENCH_RUNS_MAX; `runs` if not given) and "--case
 * NAME", and prints the line of facts. Returns the runs to make, or -EINVAL after usage on stderr. */
int moat_bench_begin(const char *bench, int argc, char **argv, int runs);

/* Whether a case is to be run: all are, unless NAME was given, with which its name has to begin. Benches that
 * don't ask run all. */
bool moat_bench_wants(const char *case_name);

/* Says on stderr that run `run` (from 1) of `runs` of a case is done: on a terminal by rewriting one line,
 * elsewhere only once, when the last is. */
void moat_bench_progress(const char *bench, const char *case_name, int run, int runs);

/* Ignores what comes after MOAT_BENCH_RUNS_MAX values. */
void moat_bench_series_add(struct moat_bench_series *series, double value);

/* The median (mean of the middle two if even); NAN if empty. Leaves the order of the values alone. */
double moat_bench_series_median(const struct moat_bench_series *series);

/* Prints the result's line. Returns 1 if the goal was missed (ok: false), else 0; an exit status is the
 * OR of them. -ENOMEM, -ENODATA if the series is empty. */
int moat_bench_report(const struct moat_bench_result *result,
		      const struct moat_bench_series *series);

#endif
