/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * K-means over float vectors: k-means++ seeding (Arthur and Vassilvitskii, SODA'07) and mini-batch
 * updates (Sculley, WWW'10). No allocation after init; deterministic for a given seed. Distances are
 * squared Euclidean; callers scale the dimensions first.
 */
#ifndef MOAT_DETECT_KMEANS_H
#define MOAT_DETECT_KMEANS_H

#include <stddef.h>
#include <stdint.h>

#define MOAT_KMEANS_DIMS 16
#define MOAT_KMEANS_K_MAX 64

struct moat_kmeans {
	uint32_t k;                        /* centroids in use, 0 before seeding */
	float *centroids;                  /* k rows of MOAT_KMEANS_DIMS, 32-byte aligned */
	double weights[MOAT_KMEANS_K_MAX]; /* samples each centroid has taken, decayed */
};

int moat_kmeans_init(struct moat_kmeans *kmeans);
void moat_kmeans_deinit(struct moat_kmeans *kmeans);

/* Chooses up to k (1 to K_MAX) centroids from `count` rows; fewer if fewer rows are distinct. 0 or
 * -EINVAL. */
int moat_kmeans_seed(struct moat_kmeans *kmeans, const float *rows, size_t count, uint32_t k,
		     uint64_t seed);

/* One mini-batch: assigns all rows, then moves each centroid by rate 1/weight, not below `floor_rate`. */
void moat_kmeans_update(struct moat_kmeans *kmeans, const float *rows, size_t count,
			float floor_rate);

/* The nearest centroid of one row and its squared distance. k must be > 0. */
uint32_t moat_kmeans_assign(const struct moat_kmeans *kmeans, const float *row, float *ret_distance);

/* The nearest centroids of many rows, by this CPU's widest vectors or by none in particular: equal results. Of
 * centroids at the same distance, to rounding, either may be meant. k must be > 0. */
void moat_kmeans_nearest(const struct moat_kmeans *kmeans, const float *rows, size_t count,
			 uint32_t *ret_clusters);
void moat_kmeans_nearest_portable(const struct moat_kmeans *kmeans, const float *rows, size_t count,
				  uint32_t *ret_clusters);

/* Of many; the sum of squared distances (inertia) is returned. */
double moat_kmeans_assign_all(const struct moat_kmeans *kmeans, const float *rows, size_t count,
			      uint32_t *ret_clusters, float *ret_distances);

#endif
