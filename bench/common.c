/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/common.h"
#include "dataplane/base/cleanup.h"

/* The processor's name as /proc/cpuinfo has it; arm64 has none, then the machine's. */
static void cpu_name(char *ret_name, size_t size, const char *otherwise)
{
	FILE *info = fopen("/proc/cpuinfo", "re");
	char line[512];

	snprintf(ret_name, size, "%s", otherwise);
	if (!info)
		return;
	while (fgets(line, sizeof(line), info)) {
		char *value = strchr(line, ':');

		if (!value || strncmp(line, "model name", 10) != 0)
			continue;
		value += 2;
		value[strcspn(value, "\n")] = '\0';
		snprintf(ret_name, size, "%s", value);
		break;
	}
	fclose(info);
}

/* Takes the object, which may be NULL. */
static int print_line(json_t *line)
{
	int r;

	if (!line)
		return -ENOMEM;
	r = json_dumpf(line, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	json_decref(line);
	if (r < 0)
		return -ENOMEM;
	putchar('\n');
	fflush(stdout);
	return 0;
}

static int print_facts(void)
{
	struct utsname name;
	struct sysinfo memory;
	char cpu[256];

	if (uname(&name) < 0 || sysinfo(&memory) < 0)
		return -errno;
	cpu_name(cpu, sizeof(cpu), name.machine);
	return print_line(json_pack("{s:{s:s, s:i, s:f, s:s, s:s, s:s, s:s}}", "machine", "cpu",
				    cpu, "cores", (int)sysconf(_SC_NPROCESSORS_ONLN), "memory_gib",
				    (double)memory.totalram * memory.mem_unit / (1 << 30), "arch",
				    name.machine, "kernel", name.release, "compiler",
				    "gcc " __VERSION__, "moat", MOAT_VERSION));
}

/* What the cases begin with that the command line names; NULL: all. */
static const char *wanted;

bool moat_bench_wants(const char *case_name)
{
	return !wanted || strncmp(wanted, case_name, strlen(wanted)) == 0;
}

int moat_bench_begin(const char *bench, int argc, char **argv, int runs)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "runs", required_argument, NULL, 'r' },
		{ "case", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r') {
			runs = (int)strtol(optarg, &end, 10);
			if (end == optarg || *end != '\0' || runs < 1 || runs > MOAT_BENCH_RUNS_MAX)
				option = '?';
		}
		if (option == 'c')
			wanted = optarg;
		if (option == '?') {
			fprintf(stderr, "usage: bench-%s [--json] [--runs 1-%d] [--case NAME]\n",
				bench, MOAT_BENCH_RUNS_MAX);
			return -EINVAL;
		}
	}
	r = print_facts();
	return r < 0 ? r : runs;
}

void moat_bench_progress(const char *bench, const char *case_name, int run, int runs)
{
	bool last = run >= runs;

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s: %s: run %d of %d%s", bench, case_name, run, runs,
			last ? "\n" : "");
	else if (last)
		fprintf(stderr, "%s: %s: %d runs\n", bench, case_name, runs);
}

void moat_bench_series_add(struct moat_bench_series *series, double value)
{
	if (series->count < MOAT_BENCH_RUNS_MAX)
		series->values[series->count++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sorted(const struct moat_bench_series *series, double *ret_values)
{
	memcpy(ret_values, series->values, series->count * sizeof(*ret_values));
	qsort(ret_values, series->count, sizeof(*ret_values), compare);
}

double moat_bench_series_median(const struct moat_bench_series *series)
{
	double values[MOAT_BENCH_RUNS_MAX];
	size_t middle = series->count / 2;

	if (series->count == 0)
		return NAN;
	sorted(series, values);
	return series->count % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/* JSON has no NaN: what isn't known is null. */
static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

int moat_bench_report(const struct moat_bench_result *result, const struct moat_bench_series *series)
{
	double median = moat_bench_series_median(series), values[MOAT_BENCH_RUNS_MAX];
	double baseline = result->baseline ? moat_bench_series_median(result->baseline) : NAN;
	json_t *ok = json_null();
	int met = 1, r;

	if (series->count == 0)
		return -ENODATA;
	sorted(series, values);
	if (result->goal_kind != MOAT_BENCH_NO_GOAL) {
		met = result->goal_kind == MOAT_BENCH_AT_MOST ? median <= result->goal
							      : median >= result->goal;
		ok = json_boolean(met);
	}
	r = print_line(json_pack(
		"{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o}", "bench",
		result->bench, "case", result->case_name, "metric", result->metric, "unit",
		result->unit, "value", number(median), "min", number(values[0]), "max",
		number(values[series->count - 1]), "runs", (json_int_t)series->count, "baseline",
		number(baseline), "ratio", number(median / baseline), "goal",
		number(result->goal_kind == MOAT_BENCH_NO_GOAL ? NAN : result->goal), "ok", ok));
	return r < 0 ? r : !met;
}
