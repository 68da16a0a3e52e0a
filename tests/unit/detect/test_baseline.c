/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/baseline.h"
#include "tests/harness/unit.h"

static uint32_t state;

/* A linear congruential generator (Knuth's constants): the same numbers everywhere. */
static uint32_t uniform(uint32_t bound)
{
	state = state * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)state * bound) >> 32);
}

static struct moat_addr addr_of(uint32_t n)
{
	struct moat_addr addr;

	moat_addr_from_v4(&addr, __builtin_bswap32(0x0a000000u + n));
	return addr;
}

/* A second of a host that gets about `pps` packets a second. */
static void vector_of(double pps, float ret_vector[MOAT_FEATURE_COUNT])
{
	struct moat_host_window window = { .length_ns = 1000000000 };
	double noise = 0.8 + uniform(400) / 1000.0;

	window.to.packets = (uint64_t)(pps * noise);
	window.to.bytes = window.to.packets * 300;
	window.to.tcp_ack = window.to.packets * 8 / 10;
	window.to.tcp_syn = window.to.packets / 20;
	window.from.packets = window.to.packets;
	moat_features_of(&window, ret_vector);
}

static void learn(struct moat_baseline *baseline, uint32_t host, double pps, int seconds)
{
	struct moat_addr addr = addr_of(host);
	float vector[MOAT_FEATURE_COUNT];

	for (int i = 0; i < seconds; i++) {
		vector_of(pps, vector);
		moat_baseline_learn(baseline, &addr, vector);
	}
}

static double score_of(struct moat_baseline *baseline, double pps)
{
	struct moat_baseline_score score = { 0 };
	float vector[MOAT_FEATURE_COUNT];

	vector_of(pps, vector);
	CU_ASSERT_EQUAL(moat_baseline_score(baseline, vector, &score), 0);
	return score.score;
}

static struct moat_baseline *learned(uint32_t history)
{
	struct moat_baseline_options options = { .seed = 3, .history = history };
	struct moat_baseline *baseline = NULL;

	state = 5;
	CU_ASSERT_EQUAL_FATAL(moat_baseline_new(&options, &baseline), 0);
	for (uint32_t host = 0; host < 40; host++)
		learn(baseline, host, host % 2 ? 50 : 2000, 40);
	return baseline;
}

static void test_normal_and_not(void)
{
	struct moat_baseline *baseline = learned(0);

	CU_ASSERT_FALSE(moat_baseline_is_ready(baseline));
	CU_ASSERT(moat_baseline_fit(baseline));
	CU_ASSERT(moat_baseline_is_ready(baseline));
	CU_ASSERT_EQUAL(moat_baseline_rows(baseline), 1600);
	CU_ASSERT(moat_baseline_clusters(baseline) > 1);
	for (int i = 0; i < 100; i++) {
		CU_ASSERT(score_of(baseline, 50) < 1);
		CU_ASSERT(score_of(baseline, 2000) < 1);
	}
	CU_ASSERT(score_of(baseline, 500000) > 1);
	moat_baseline_free(baseline);
}

static void test_too_few(void)
{
	struct moat_baseline_options options = { .seed = 3 };
	struct moat_baseline *baseline = NULL;
	struct moat_baseline_score score;
	float vector[MOAT_FEATURE_COUNT] = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_baseline_new(&options, &baseline), 0);
	learn(baseline, 1, 50, 7);
	CU_ASSERT_FALSE(moat_baseline_fit(baseline));
	CU_ASSERT_EQUAL(moat_baseline_score(baseline, vector, &score), -ENODATA);
	CU_ASSERT_EQUAL(moat_baseline_clusters(baseline), 0);
	moat_baseline_free(baseline);
	moat_baseline_free(NULL);
	baseline = NULL;
	options.k = 1000;
	CU_ASSERT_EQUAL(moat_baseline_new(&options, &baseline), -EINVAL);
	CU_ASSERT_PTR_NULL(baseline);
}

/* One host that sends without end has at most its share of the rows, and can't make 200,000 packets a
 * second normal for the others' clusters. */
static void test_poison(void)
{
	struct moat_baseline *baseline = learned(1024);
	struct moat_addr bad = addr_of(999);
	double before, after;

	CU_ASSERT(moat_baseline_fit(baseline));
	before = score_of(baseline, 500000);
	for (int i = 0; i < 20000; i++) {
		float vector[MOAT_FEATURE_COUNT];

		vector_of(20000, vector);
		moat_baseline_learn(baseline, &bad, vector);
	}
	CU_ASSERT(moat_baseline_fit(baseline));
	after = score_of(baseline, 500000);
	CU_ASSERT_EQUAL(moat_baseline_rows(baseline), 1024);
	CU_ASSERT(before > 1);
	CU_ASSERT(after > 1);
	for (int i = 0; i < 50; i++)
		CU_ASSERT(score_of(baseline, 2000) < 1);
	moat_baseline_free(baseline);
}

/* Five odd rows among 1,600 move no threshold. */
static void test_outliers(void)
{
	struct moat_baseline *clean = learned(0), *odd = learned(0);
	struct moat_baseline_score a, b;
	float vector[MOAT_FEATURE_COUNT];

	for (uint32_t i = 0; i < 5; i++)
		learn(odd, 500 + i, 3000000, 1);
	CU_ASSERT(moat_baseline_fit(clean));
	CU_ASSERT(moat_baseline_fit(odd));
	vector_of(2000, vector);
	CU_ASSERT_EQUAL(moat_baseline_score(clean, vector, &a), 0);
	CU_ASSERT_EQUAL(moat_baseline_score(odd, vector, &b), 0);
	CU_ASSERT_DOUBLE_EQUAL(a.upper[MOAT_FEATURE_TO_PPS], b.upper[MOAT_FEATURE_TO_PPS], .5);
	moat_baseline_free(clean);
	moat_baseline_free(odd);
}

static const struct moat_test tests[] = {
	{ "normal and abnormal seconds", test_normal_and_not },
	{ "too few rows", test_too_few },
	{ "a host that talks without end", test_poison },
	{ "outliers", test_outliers },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-baseline", tests);
}
