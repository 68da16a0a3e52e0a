/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "bench/common.h"
#include "tests/harness/unit.h"

static struct moat_bench_series series_of(const double *values, size_t count)
{
	struct moat_bench_series series = { .count = 0 };

	for (size_t i = 0; i < count; i++)
		moat_bench_series_add(&series, values[i]);
	return series;
}

static void test_median(void)
{
	struct moat_bench_series odd = series_of((double[]){ 9, 1, 5 }, 3);
	struct moat_bench_series even = series_of((double[]){ 4, 1, 3, 100 }, 4);
	struct moat_bench_series none = { .count = 0 };

	CU_ASSERT_EQUAL(moat_bench_series_median(&odd), 5);
	CU_ASSERT_EQUAL(odd.values[0], 9);
	CU_ASSERT_EQUAL(moat_bench_series_median(&even), 3.5);
	CU_ASSERT_TRUE(isnan(moat_bench_series_median(&none)));
}

static void test_full(void)
{
	static struct moat_bench_series series;

	for (int i = 0; i < MOAT_BENCH_RUNS_MAX + 5; i++)
		moat_bench_series_add(&series, i);
	CU_ASSERT_EQUAL(series.count, MOAT_BENCH_RUNS_MAX);
}

/* Runs the report with stdout in a pipe and reads the line back; NULL if it isn't one JSON object. */
static json_t *reported(const struct moat_bench_result *result,
			const struct moat_bench_series *series, int *ret_status)
{
	int saved = dup(STDOUT_FILENO), pipes[2];
	char line[1024] = "";
	ssize_t n;

	fflush(stdout);
	CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
	dup2(pipes[1], STDOUT_FILENO);
	*ret_status = moat_bench_report(result, series);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(pipes[1]);
	n = read(pipes[0], line, sizeof(line) - 1);
	close(pipes[0]);
	CU_ASSERT_TRUE(n <= 0 || line[n - 1] == '\n');
	return json_loads(line, 0, NULL);
}

static void test_report_all(void)
{
	struct moat_bench_series series = series_of((double[]){ 30, 10, 20 }, 3);
	struct moat_bench_series base = series_of((double[]){ 40 }, 1);
	struct moat_bench_result result = {
		.bench = "b",
		.case_name = "c",
		.metric = "time",
		.unit = "ns",
		.baseline = &base,
		.goal_kind = MOAT_BENCH_AT_MOST,
		.goal = 20,
	};
	int status;
	json_t *line = reported(&result, &series, &status);

	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL_FATAL(json_object_size(line), 12);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(line, "case")), "c");
	CU_ASSERT_EQUAL(json_number_value(json_object_get(line, "value")), 20);
	CU_ASSERT_EQUAL(json_number_value(json_object_get(line, "min")), 10);
	CU_ASSERT_EQUAL(json_number_value(json_object_get(line, "max")), 30);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(line, "runs")), 3);
	CU_ASSERT_EQUAL(json_number_value(json_object_get(line, "baseline")), 40);
	CU_ASSERT_EQUAL(json_number_value(json_object_get(line, "ratio")), 0.5);
	CU_ASSERT_EQUAL(json_number_value(json_object_get(line, "goal")), 20);
	CU_ASSERT_TRUE(json_is_true(json_object_get(line, "ok")));
	json_decref(line);
}

static void test_report_missed(void)
{
	struct moat_bench_series series = series_of((double[]){ 21 }, 1);
	struct moat_bench_result result = { "b", "c", "m", "u", NULL, MOAT_BENCH_AT_MOST, 20 };
	int status;
	json_t *line = reported(&result, &series, &status);

	CU_ASSERT_EQUAL(status, 1);
	CU_ASSERT_TRUE(json_is_false(json_object_get(line, "ok")));
	CU_ASSERT_TRUE(json_is_null(json_object_get(line, "baseline")));
	json_decref(line);

	result.goal_kind = MOAT_BENCH_AT_LEAST;
	line = reported(&result, &series, &status);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_TRUE(json_is_true(json_object_get(line, "ok")));
	json_decref(line);
}

static void test_report_no_goal(void)
{
	struct moat_bench_series series = series_of((double[]){ 1 }, 1), none = { .count = 0 };
	struct moat_bench_result result = {
		.bench = "b", .case_name = "c", .metric = "m", .unit = "u"
	};
	int status;
	json_t *line = reported(&result, &series, &status);

	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_TRUE(json_is_null(json_object_get(line, "ok")));
	CU_ASSERT_TRUE(json_is_null(json_object_get(line, "goal")));
	json_decref(line);
	CU_ASSERT_PTR_NULL(reported(&result, &none, &status));
	CU_ASSERT_EQUAL(status, -ENODATA);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "median", test_median },
		{ "full", test_full },
		{ "report: every field", test_report_all },
		{ "report: goal missed", test_report_missed },
		{ "report: no goal", test_report_no_goal },
		{ NULL, NULL },
	};

	return moat_test_main("bench/common", tests);
}
