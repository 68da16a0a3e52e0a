/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <math.h>
#include <string.h>

#include "detect/features.h"
#include "tests/harness/unit.h"

static void test_vector(void)
{
	struct moat_host_window window = { .length_ns = 500000000 };
	float vector[MOAT_FEATURE_COUNT];

	window.to.packets = 100;
	window.to.bytes = 50000;
	window.to.tcp_syn = 10;
	window.to.tcp_fin = 3;
	window.to.tcp_rst = 2;
	window.to.small = 25;
	window.from.packets = 50;
	moat_features_of(&window, vector);
	CU_ASSERT_DOUBLE_EQUAL(vector[MOAT_FEATURE_TO_PPS], log1p(200), 1e-4);
	CU_ASSERT_DOUBLE_EQUAL(vector[MOAT_FEATURE_TO_SYN], log1p(20), 1e-4);
	CU_ASSERT_DOUBLE_EQUAL(vector[MOAT_FEATURE_TO_RST_FIN], log1p(10), 1e-4);
	CU_ASSERT_DOUBLE_EQUAL(vector[MOAT_FEATURE_TO_MEAN_LEN], log1p(500), 1e-4);
	CU_ASSERT_DOUBLE_EQUAL(vector[MOAT_FEATURE_TO_SMALL], .25, 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(vector[MOAT_FEATURE_FROM_PPS], log1p(100), 1e-4);
	CU_ASSERT_DOUBLE_EQUAL(
		moat_feature_unit_value(MOAT_FEATURE_TO_PPS, vector[MOAT_FEATURE_TO_PPS]), 200, .1);
	CU_ASSERT_DOUBLE_EQUAL(moat_feature_unit_value(MOAT_FEATURE_TO_SMALL, .25F), .25, 1e-6);
}

static void test_empty(void)
{
	struct moat_host_window window = { 0 };
	float vector[MOAT_FEATURE_COUNT];

	moat_features_of(&window, vector);
	for (int i = 0; i < MOAT_FEATURE_COUNT; i++)
		CU_ASSERT_EQUAL(vector[i], 0);
	CU_ASSERT_EQUAL(moat_window_rate(&window, 5), 0);
}

static void test_names(void)
{
	for (int i = 0; i < MOAT_FEATURE_COUNT; i++)
		for (int j = 0; j < i; j++)
			CU_ASSERT_STRING_NOT_EQUAL(moat_feature_name((enum moat_feature)i),
						   moat_feature_name((enum moat_feature)j));
	CU_ASSERT_STRING_EQUAL(moat_feature_name(MOAT_FEATURE_TO_SYN), "to.syn/s");
	CU_ASSERT_STRING_EQUAL(moat_feature_name((enum moat_feature)99), "unknown");
}

static void test_add(void)
{
	struct moat_host_window sum = { 0 }, window = { .start_ns = 5, .length_ns = 10 };

	window.to.packets = 3;
	window.from.other = 4;
	window.to.distinct = 2;
	moat_host_window_add(&sum, &window);
	window.start_ns = 15;
	moat_host_window_add(&sum, &window);
	CU_ASSERT_EQUAL(sum.start_ns, 5);
	CU_ASSERT_EQUAL(sum.length_ns, 20);
	CU_ASSERT_EQUAL(sum.to.packets, 6);
	CU_ASSERT_EQUAL(sum.from.other, 8);
	CU_ASSERT_DOUBLE_EQUAL(sum.to.distinct, 4, 0);
}

static const struct moat_test tests[] = {
	{ "a window's vector", test_vector },
	{ "an empty window", test_empty },
	{ "names", test_names },
	{ "sums of windows", test_add },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-features", tests);
}
