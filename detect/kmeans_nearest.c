/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The nearest centroids of many rows. Of |x - c|² = |x|² - 2 (x·c - |c|²/2) only the last part differs
 * between centroids, so a row's nearest is the one with the largest x·c - |c|²/2: a multiplication and an
 * addition a dimension. Centroids stand in blocks of eight, dimension by dimension; eight rows go through a
 * block together, so that each load serves eight and the sums' latencies overlap.
 *
 * The same source is compiled for any CPU and for AVX2; neither fuses multiplication and addition, and both
 * add in the same order, so the results are equal to the last bit.
 */
#include <float.h>
#include <string.h>

#include "detect/kmeans.h"

#define DIMS MOAT_KMEANS_DIMS
#define LANES 8
#define ROWS 8
#define BLOCKS_MAX (MOAT_KMEANS_K_MAX / LANES)

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(32)));
typedef int32_t marks __attribute__((vector_size(LANES * sizeof(int32_t)), aligned(32)));

struct packed {
	lanes values[BLOCKS_MAX][DIMS];
	lanes half_norms[BLOCKS_MAX];
	uint32_t blocks;
};

static void pack(const struct moat_kmeans *kmeans, struct packed *ret_packed)
{
	ret_packed->blocks = (kmeans->k + LANES - 1) / LANES;
	for (uint32_t c = 0; c < ret_packed->blocks * LANES; c++) {
		/* what fills up the last block is never nearest */
		float norm = c < kmeans->k ? 0 : FLT_MAX;

		for (int d = 0; d < DIMS; d++) {
			float value = c < kmeans->k ? kmeans->centroids[(size_t)c * DIMS + (size_t)d]
						    : 0;

			ret_packed->values[c / LANES][d][c % LANES] = value;
			norm += c < kmeans->k ? value * value : 0;
		}
		ret_packed->half_norms[c / LANES][c % LANES] = norm / 2;
	}
}

/* The lowest index of the largest value. */
static inline uint32_t first_of(const lanes *values, const marks *places)
{
	float best = -FLT_MAX;
	uint32_t nearest = 0;

	for (int i = 0; i < LANES; i++) {
		uint32_t place = (uint32_t)(*places)[i];

		if ((*values)[i] > best || ((*values)[i] == best && place < nearest)) {
			best = (*values)[i];
			nearest = place;
		}
	}
	return nearest;
}

static inline __attribute__((always_inline)) void
nearest_of_rows(const struct packed *packed, const float *rows, uint32_t ret_clusters[ROWS])
{
	lanes best[ROWS] = { 0 };
	marks place[ROWS] = { 0 };

	for (uint32_t block = 0; block < packed->blocks; block++) {
		marks here = { 0, 1, 2, 3, 4, 5, 6, 7 };
		lanes sum[ROWS];

		here += (int32_t)(block * LANES);
#pragma GCC unroll 8
		for (int r = 0; r < ROWS; r++)
			sum[r] = -packed->half_norms[block];
		for (int d = 0; d < DIMS; d++) {
#pragma GCC unroll 8
			for (int r = 0; r < ROWS; r++)
				sum[r] += packed->values[block][d] * rows[r * DIMS + d];
		}
#pragma GCC unroll 8
		for (int r = 0; r < ROWS; r++) {
			marks larger = block == 0 ? ~(here & 0) : sum[r] > best[r];

			best[r] = block == 0 ? sum[r]
					     : (lanes)((larger & (marks)sum[r]) |
						       (~larger & (marks)best[r]));
			place[r] = block == 0 ? here : ((larger & here) | (~larger & place[r]));
		}
	}
	for (int r = 0; r < ROWS; r++)
		ret_clusters[r] = first_of(&best[r], &place[r]);
}

static inline __attribute__((always_inline)) void
nearest_of_all(const struct packed *packed, const float *rows, size_t count, uint32_t *ret_clusters)
{
	float last[ROWS * DIMS] = { 0 };
	uint32_t clusters[ROWS];
	size_t i;

	for (i = 0; i + ROWS <= count; i += ROWS)
		nearest_of_rows(packed, rows + i * DIMS, ret_clusters + i);
	if (i == count)
		return;
	memcpy(last, rows + i * DIMS, (count - i) * DIMS * sizeof(float));
	nearest_of_rows(packed, last, clusters);
	memcpy(ret_clusters + i, clusters, (count - i) * sizeof(clusters[0]));
}

void moat_kmeans_nearest_portable(const struct moat_kmeans *kmeans, const float *rows, size_t count,
				  uint32_t *ret_clusters)
{
	struct packed packed;

	pack(kmeans, &packed);
	nearest_of_all(&packed, rows, count, ret_clusters);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void
nearest_avx2(const struct packed *packed, const float *rows, size_t count, uint32_t *ret_clusters)
{
	nearest_of_all(packed, rows, count, ret_clusters);
}

void moat_kmeans_nearest(const struct moat_kmeans *kmeans, const float *rows, size_t count,
			 uint32_t *ret_clusters)
{
	struct packed packed;

	if (!__builtin_cpu_supports("avx2")) {
		moat_kmeans_nearest_portable(kmeans, rows, count, ret_clusters);
		return;
	}
	pack(kmeans, &packed);
	nearest_avx2(&packed, rows, count, ret_clusters);
}

#else

void moat_kmeans_nearest(const struct moat_kmeans *kmeans, const float *rows, size_t count,
			 uint32_t *ret_clusters)
{
	moat_kmeans_nearest_portable(kmeans, rows, count, ret_clusters);
}

#endif
