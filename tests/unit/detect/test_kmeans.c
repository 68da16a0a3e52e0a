/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/kmeans.h"
#include "tests/harness/unit.h"

#define DIMS MOAT_KMEANS_DIMS
#define ROWS 600

static float rows[ROWS][DIMS];

static uint32_t state;

/* A linear congruential generator (Knuth's constants): the same numbers everywhere. */
static uint32_t uniform(uint32_t bound)
{
	state = state * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)state * bound) >> 32);
}

/* Three clouds of different sizes around 0, 10 and 30. */
static void fill(void)
{
	static const float centres[] = { 0, 10, 30 };

	state = 7;
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < DIMS; j++)
			rows[i][j] = centres[i % 6 == 0 ? 2 : i % 3 == 0] +
				     (float)uniform(10000) / 10000.0F;
}

static double fit(struct moat_kmeans *kmeans, uint32_t k, uint64_t seed)
{
	uint32_t clusters[ROWS];
	float distances[ROWS];

	CU_ASSERT_EQUAL(moat_kmeans_seed(kmeans, rows[0], ROWS, k, seed), 0);
	for (int i = 0; i < 10; i++)
		moat_kmeans_update(kmeans, rows[0], ROWS, 0.01F);
	return moat_kmeans_assign_all(kmeans, rows[0], ROWS, clusters, distances);
}

static void test_clouds(void)
{
	struct moat_kmeans kmeans;
	uint32_t clusters[ROWS];
	float distances[ROWS];
	double inertia;

	fill();
	CU_ASSERT_EQUAL_FATAL(moat_kmeans_init(&kmeans), 0);
	inertia = fit(&kmeans, 3, 1);
	CU_ASSERT_EQUAL(kmeans.k, 3);
	/* uniform noise of variance 1/12 in every dimension is all that is left */
	CU_ASSERT_DOUBLE_EQUAL(inertia / ROWS, DIMS / 12.0, .1);
	(void)moat_kmeans_assign_all(&kmeans, rows[0], ROWS, clusters, distances);
	for (int i = 0; i + 6 < ROWS; i++)
		CU_ASSERT_EQUAL(clusters[i], clusters[i + 6]);
	CU_ASSERT_NOT_EQUAL(clusters[0], clusters[1]);
	CU_ASSERT_NOT_EQUAL(clusters[1], clusters[3]);
	moat_kmeans_deinit(&kmeans);
}

static void test_deterministic(void)
{
	struct moat_kmeans a, b;

	fill();
	CU_ASSERT_EQUAL_FATAL(moat_kmeans_init(&a), 0);
	CU_ASSERT_EQUAL_FATAL(moat_kmeans_init(&b), 0);
	CU_ASSERT_EQUAL(fit(&a, 16, 5), fit(&b, 16, 5));
	CU_ASSERT_EQUAL(memcmp(a.centroids, b.centroids, a.k * DIMS * sizeof(float)), 0);
	moat_kmeans_deinit(&a);
	moat_kmeans_deinit(&b);
}

/* Against sums in the plain order, in double precision. */
static void test_distance(void)
{
	struct moat_kmeans kmeans;

	fill();
	CU_ASSERT_EQUAL_FATAL(moat_kmeans_init(&kmeans), 0);
	(void)fit(&kmeans, 8, 3);
	for (int i = 0; i < ROWS; i++) {
		double best = INFINITY;
		uint32_t nearest = 0, got;
		float distance;

		for (uint32_t c = 0; c < kmeans.k; c++) {
			double sum = 0;

			for (int j = 0; j < DIMS; j++)
				sum += pow((double)rows[i][j] -
						   (double)kmeans.centroids[c * DIMS + j],
					   2);
			if (sum < best) {
				best = sum;
				nearest = c;
			}
		}
		got = moat_kmeans_assign(&kmeans, rows[i], &distance);
		CU_ASSERT_EQUAL(got, nearest);
		CU_ASSERT_DOUBLE_EQUAL(distance, best, 1e-3 * best + 1e-5);
	}
	moat_kmeans_deinit(&kmeans);
}

static void test_few_rows(void)
{
	struct moat_kmeans kmeans;

	memset(rows, 0, sizeof(rows));
	rows[1][0] = 1;
	CU_ASSERT_EQUAL_FATAL(moat_kmeans_init(&kmeans), 0);
	CU_ASSERT_EQUAL(moat_kmeans_seed(&kmeans, rows[0], 50, 16, 1), 0);
	CU_ASSERT_EQUAL(kmeans.k, 2); /* only two are distinct */
	CU_ASSERT_EQUAL(moat_kmeans_seed(&kmeans, rows[0], 0, 16, 1), -EINVAL);
	CU_ASSERT_EQUAL(moat_kmeans_seed(&kmeans, rows[0], 50, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(moat_kmeans_seed(&kmeans, rows[0], 50, MOAT_KMEANS_K_MAX + 1, 1), -EINVAL);
	moat_kmeans_deinit(&kmeans);
	moat_kmeans_deinit(&kmeans); /* twice is allowed */
}

static const struct moat_test tests[] = {
	{ "three clouds", test_clouds },
	{ "the same seed, the same result", test_deterministic },
	{ "distances", test_distance },
	{ "fewer distinct rows than clusters", test_few_rows },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-kmeans", tests);
}
