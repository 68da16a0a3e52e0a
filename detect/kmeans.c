/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sixteen dimensions are two vectors of eight floats: written with GCC's vector types, so that the sums
 * have one fixed order on every machine and results are the same with SSE, AVX and NEON.
 */
#include "detect/kmeans.h"

#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

#define DIMS MOAT_KMEANS_DIMS
#define LANES 8
/* Weights are halved beyond this, so that centroids keep following slow change. */
#define WEIGHT_MAX 1e6

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

int moat_kmeans_init(struct moat_kmeans *kmeans)
{
	memset(kmeans, 0, sizeof(*kmeans));
	kmeans->centroids = aligned_alloc(32, sizeof(float) * MOAT_KMEANS_K_MAX * DIMS);
	return kmeans->centroids ? 0 : -ENOMEM;
}

void moat_kmeans_deinit(struct moat_kmeans *kmeans)
{
	free(kmeans->centroids);
	kmeans->centroids = NULL;
	kmeans->k = 0;
}

static float distance(const float *a, const float *b)
{
	lanes low = *(const lanes *)a - *(const lanes *)b;
	lanes high = *(const lanes *)(a + LANES) - *(const lanes *)(b + LANES);
	lanes sum = low * low + high * high;

	return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

uint32_t moat_kmeans_assign(const struct moat_kmeans *kmeans, const float *row, float *ret_distance)
{
	uint32_t nearest = 0;
	float best = FLT_MAX;

	for (uint32_t c = 0; c < kmeans->k; c++) {
		float d = distance(row, kmeans->centroids + (size_t)c * DIMS);

		if (d < best) {
			best = d;
			nearest = c;
		}
	}
	*ret_distance = best;
	return nearest;
}

double moat_kmeans_assign_all(const struct moat_kmeans *kmeans, const float *rows, size_t count,
			      uint32_t *ret_clusters, float *ret_distances)
{
	double inertia = 0;

	moat_kmeans_nearest(kmeans, rows, count, ret_clusters);
	for (size_t i = 0; i < count; i++) {
		ret_distances[i] = distance(rows + i * DIMS,
					    kmeans->centroids + (size_t)ret_clusters[i] * DIMS);
		inertia += (double)ret_distances[i];
	}
	return inertia;
}

/* xorshift64* (Vigna, 2016), as a number in [0, 1) */
static double next_uniform(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (double)(*state * 0x2545f4914f6cdd1dULL >> 11) * 0x1p-53;
}

static void centroid_set(struct moat_kmeans *kmeans, uint32_t c, const float *row)
{
	memcpy(kmeans->centroids + (size_t)c * DIMS, row, DIMS * sizeof(float));
	kmeans->weights[c] = 1;
}

/* The sum over all rows of the squared distance to the nearest of k centroids; with `target` in it, the
 * row where the running sum passes the target. Distances are recomputed rather than stored: seeding is
 * rare and needs no memory this way. */
static double spread(const struct moat_kmeans *kmeans, const float *rows, size_t count,
		     double target, size_t *ret_row)
{
	double sum = 0;
	float d;

	*ret_row = count;
	for (size_t i = 0; i < count; i++) {
		(void)moat_kmeans_assign(kmeans, rows + i * DIMS, &d);
		sum += (double)d;
		if (*ret_row == count && d > 0 && sum > target)
			*ret_row = i;
	}
	return sum;
}

int moat_kmeans_seed(struct moat_kmeans *kmeans, const float *rows, size_t count, uint32_t k,
		     uint64_t seed)
{
	uint64_t state = seed ^ 0x9e3779b97f4a7c15ULL;
	size_t row;

	if (k == 0 || k > MOAT_KMEANS_K_MAX || count == 0)
		return -EINVAL;
	if (state == 0)
		state = 1;
	row = (size_t)(next_uniform(&state) * (double)count);
	centroid_set(kmeans, 0, rows + row * DIMS);
	for (kmeans->k = 1; kmeans->k < k; kmeans->k++) {
		double total = spread(kmeans, rows, count, DBL_MAX, &row);

		(void)spread(kmeans, rows, count, total * next_uniform(&state), &row);
		if (row == count)
			break; /* every row is a centroid already */
		centroid_set(kmeans, kmeans->k, rows + row * DIMS);
	}
	return 0;
}

/* Rows are taken one after the other against the centroids as they were when the batch began: otherwise
 * the result would hang on how the rows are split among threads one day. */
void moat_kmeans_update(struct moat_kmeans *kmeans, const float *rows, size_t count,
			float floor_rate)
{
	float before[MOAT_KMEANS_K_MAX * DIMS];
	struct moat_kmeans frozen = { .k = kmeans->k, .centroids = before };

	memcpy(before, kmeans->centroids, (size_t)kmeans->k * DIMS * sizeof(float));
	for (size_t i = 0; i < count; i++) {
		const float *row = rows + i * DIMS;
		float d, rate, *centroid;
		uint32_t c = moat_kmeans_assign(&frozen, row, &d);

		kmeans->weights[c] += 1;
		rate = (float)(1 / kmeans->weights[c]);
		if (rate < floor_rate)
			rate = floor_rate;
		centroid = kmeans->centroids + (size_t)c * DIMS;
		for (int j = 0; j < DIMS; j++)
			centroid[j] += rate * (row[j] - centroid[j]);
		if (kmeans->weights[c] > WEIGHT_MAX)
			kmeans->weights[c] /= 2;
	}
}
