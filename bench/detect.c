/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What detection finds in public captures ($MOAT_SHARED/data or ../shared/data), by class and mode, and what
 * it finds where there is nothing. One configuration for all; the families of the "tune" half were what
 * thresholds were chosen on, those of the "test" half were not. MOAT_BENCH_SPLIT=tune or test replays one
 * half alone, MOAT_BENCH_ONLY=TEXT the captures with that in their names (and in mirror mode alone),
 * MOAT_BENCH_VERBOSE=1 prints every finding.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common.h"
#include "bench/detect_score.h"
#include "dataplane/base/cleanup.h"
#include "detect/engine.h"

#define SPLITS 3 /* tune, test, both */
#define CAPTURES_MAX 512
#define Z95 1.96

/* Of one class in one split. */
struct sum {
	uint64_t captures, found, windows, covered, flows, flows_hit, false_findings, false_captures;
	double host_days, hours;
	double detect_s[CAPTURES_MAX]; /* of the found */
	uint64_t scanners, scanners_found, guessers, guessers_found;
};

static const char *const split_names[SPLITS] = { "tune", "test", "all" };

/* Goals of the share of captures found. */
static const double capture_goals[BENCH_CLASSES] = {
	[BENCH_FLOOD] = 1,     [BENCH_SCAN] = 0.9, [BENCH_BRUTE] = 0.9,
	[BENCH_MINING] = 0.92, [BENCH_C2] = 0.7,   [BENCH_LATERAL] = 0.7,
};

static struct sum sums[SPLITS][BENCH_CLASSES];
static const char *mode_name;
static int missed;

static void print_line(json_t *line)
{
	if (!line)
		abort();
	json_dumpf(line, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	json_decref(line);
	putchar('\n');
	fflush(stdout);
}

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

/* Wilson's interval of a share (JASA 1927): right also near 0 and 1. */
static void interval_of(uint64_t hits, uint64_t count, double *ret_low, double *ret_high)
{
	double n = (double)count, p = n > 0 ? (double)hits / n : NAN;
	double centre = (p + Z95 * Z95 / (2 * n)) / (1 + Z95 * Z95 / n);
	double half = Z95 * sqrt(p * (1 - p) / n + Z95 * Z95 / (4 * n * n)) / (1 + Z95 * Z95 / n);

	*ret_low = fmax(centre - half, 0);
	*ret_high = fmin(centre + half, 1);
}

/* One figure of one split; a goal below 0 is none. Only the goals of "all" can be missed. */
static void report(int split, const char *case_name, const char *unit, double value, uint64_t runs,
		   double low, double high, double goal, bool at_most)
{
	char name[128];
	json_t *ok = json_null();

	snprintf(name, sizeof(name), "%s %s %s", case_name, mode_name, split_names[split]);
	if (goal >= 0 && isfinite(value) && runs > 0) {
		bool met = at_most ? value <= goal : value >= goal;

		ok = json_boolean(met);
		missed |= split == SPLITS - 1 && !met;
	}
	print_line(json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:I,s:n,s:n,s:o,s:o}", "bench", "detect",
			     "case", name, "metric", "detection", "unit", unit, "value",
			     number(value), "min", number(low), "max", number(high), "runs",
			     (json_int_t)runs, "baseline", "ratio", "goal",
			     number(goal >= 0 ? goal : NAN), "ok", ok));
}

static void report_share(int split, const char *case_name, uint64_t hits, uint64_t count,
			 double goal, bool at_most)
{
	double low = NAN, high = NAN;

	if (count == 0)
		return;
	interval_of(hits, count, &low, &high);
	report(split, case_name, "share", (double)hits / (double)count, count, low, high, goal,
	       at_most);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report_attack(int split, enum bench_class class, struct sum *sum)
{
	const char *name = bench_class_name(class);
	char case_name[64];

	if (sum->captures == 0)
		return;
	snprintf(case_name, sizeof(case_name), "%s_captures", name);
	report_share(split, case_name, sum->found, sum->captures, capture_goals[class], false);
	snprintf(case_name, sizeof(case_name), "%s_windows", name);
	report_share(split, case_name, sum->covered, sum->windows, -1, false);
	if (sum->found == 0)
		return;
	qsort(sum->detect_s, sum->found, sizeof(sum->detect_s[0]), compare);
	snprintf(case_name, sizeof(case_name), "time_to_detect_%s", name);
	report(split, case_name, "s", sum->detect_s[sum->found / 2], sum->found, sum->detect_s[0],
	       sum->detect_s[sum->found - 1], -1, true);
}

/* Findings are rare: their number is Poisson's, with the exact interval's approximation by Byar. */
static void report_false(int split, const struct sum *benign, const struct sum *internet)
{
	double count = (double)(benign->false_findings + internet->false_findings);
	double days = benign->host_days + internet->host_days;
	double low = count > 0 ? count * pow(1 - 1 / (9 * count) - Z95 / (3 * sqrt(count)), 3) : 0;
	double high = (count + 1) * pow(1 - 1 / (9 * (count + 1)) + Z95 / (3 * sqrt(count + 1)), 3);

	if (days <= 0)
		return;
	report(split, "false_per_day_1000_hosts", "findings", 1000 * count / days, (uint64_t)days,
	       1000 * low / days, 1000 * high / days, 1, true);
	report(split, "benign_hours", "h", benign->hours + internet->hours, benign->captures, NAN,
	       NAN, -1, true);
	report(split, "benign_captures_false", "captures", (double)benign->false_captures,
	       benign->captures, NAN, NAN, -1, true);
	report_share(split, "benign_windows_false", benign->covered + internet->covered,
		     benign->windows + internet->windows, 0.003, true);
	report_share(split, "benign_flows_false", benign->flows_hit + internet->flows_hit,
		     benign->flows + internet->flows, 0.003, true);
}

static void report_all(void)
{
	for (int split = 0; split < SPLITS; split++) {
		struct sum *internet = &sums[split][BENCH_INTERNET];

		for (int class = BENCH_FLOOD; class < BENCH_INTERNET; class ++)
			report_attack(split, (enum bench_class) class, &sums[split][class]);
		report_share(split, "internet_scanners", internet->scanners_found,
			     internet->scanners, -1, false);
		report_share(split, "internet_guessers", internet->guessers_found,
			     internet->guessers, -1, false);
		report_false(split, &sums[split][BENCH_BENIGN], internet);
	}
}

/* ---- captures ------------------------------------------------------------------------------------ */

static void add(struct sum *sum, const struct bench_score *score)
{
	sum->captures++;
	if (score->found && sum->found < CAPTURES_MAX)
		sum->detect_s[sum->found] = score->detect_s;
	sum->found += score->found;
	sum->windows += score->windows;
	sum->covered += score->covered;
	sum->flows += score->flows;
	sum->flows_hit += score->flows_hit;
	sum->false_findings += score->false_findings;
	sum->false_captures += score->false_findings > 0;
	sum->host_days += score->host_days;
	sum->hours += score->hours;
	sum->scanners += score->scanners;
	sum->scanners_found += score->scanners_found;
	sum->guessers += score->guessers;
	sum->guessers_found += score->guessers_found;
}

/* A line for what was missed, or found where there is nothing, or called something else. */
static void tell(const struct bench_capture *capture, const struct bench_score *score)
{
	bool is_calm = capture->class == BENCH_BENIGN || capture->class == BENCH_INTERNET;
	const char *state = is_calm        ? (score->false_findings ? "false" : NULL)
			    : score->found ? NULL
			    : score->kinds ? "wrong"
					   : "missed";
	char kinds[256] = "";

	if (!state)
		return;
	for (int kind = 0; kind < MOAT_FINDING_KINDS; kind++)
		if (score->kinds >> kind & 1)
			snprintf(kinds + strlen(kinds), sizeof(kinds) - strlen(kinds), "%s%s",
				 kinds[0] ? " " : "", moat_finding_kind_name(kind));
	print_line(json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "capture", capture->name, "class",
			     bench_class_name(capture->class), "mode", mode_name, "split",
			     split_names[capture->is_test], "result", state, "found", kinds));
}

static void replay_set(const struct bench_set *set, uint32_t mode, const char *only)
{
	const char *name = getenv("MOAT_BENCH_ONLY");
	size_t inactive = 0;

	memset(sums, 0, sizeof(sums));
	for (size_t i = 0; i < set->count; i++) {
		const struct bench_capture *capture = &set->captures[i];
		struct moat_error error = { .text = "" };
		struct bench_score score;
		int r;

		if (only && strcmp(only, split_names[capture->is_test]) != 0)
			continue;
		if (name && !strstr(capture->name, name))
			continue;
		r = bench_score_capture(capture, mode, &score, &error);
		moat_bench_progress("detect", mode_name, (int)i + 1, (int)set->count);
		if (r == -ENOTSUP) {
			inactive++;
			continue;
		}
		if (r < 0) {
			fprintf(stderr, "detect: %s: %s\n", capture->name, error.text);
			missed = 1;
			continue;
		}
		tell(capture, &score);
		add(&sums[capture->is_test][capture->class], &score);
		add(&sums[SPLITS - 1][capture->class], &score);
	}
	if (inactive)
		fprintf(stderr, "detect: %s mode has no flows: %zu flow files left out\n",
			mode_name, inactive);
	report_all();
}

int main(int argc, char **argv)
{
	const char *shared = getenv("MOAT_SHARED"), *only = getenv("MOAT_BENCH_SPLIT");
	struct bench_set set;
	char data[4000];

	if (moat_bench_begin("detect", argc, argv, 1) < 0)
		return 2;
	snprintf(data, sizeof(data), "%s/data", shared ? shared : "../shared");
	if (bench_set_load(data, &set) < 0) {
		fprintf(stderr,
			"detect: skipped: there is no %s/MANIFEST.tsv (MOAT_SHARED says where)\n",
			data);
		return 0;
	}
	mode_name = "mirror";
	replay_set(&set, MOAT_MODE_MIRROR, only);
	if (!getenv("MOAT_BENCH_ONLY")) {
		mode_name = "gateway";
		replay_set(&set, MOAT_MODE_GATEWAY, only);
	}
	bench_set_deinit(&set);
	return missed;
}
