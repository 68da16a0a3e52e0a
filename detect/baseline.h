/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is normal: K-means clusters of long-window vectors and, for each cluster and dimension, a robust
 * centre and tail. Learned from the first minutes, then kept up slowly; windows of hosts with an open
 * finding never teach it.
 */
#ifndef MOAT_DETECT_BASELINE_H
#define MOAT_DETECT_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/baseline_file.h"
#include "detect/features.h"

struct moat_baseline;

struct moat_baseline_options {
	uint32_t k;       /* clusters at most; 0: 16 */
	uint32_t history; /* rows kept for learning (reservoir); 0: 16,384 */
	uint32_t per_host; /* rows one host may have of them, a bound on its influence; 0: history / 8 */
	uint64_t seed;
};

/* How far a window is from normal. */
struct moat_baseline_score {
	uint32_t cluster;
	double score; /* largest one-sided robust deviation over its threshold; > 1 is abnormal */
	float deviation[MOAT_FEATURE_COUNT]; /* robust z, above the centre only */
	float upper[MOAT_FEATURE_COUNT];     /* the vector's upper bound of normal */
};

int moat_baseline_new(const struct moat_baseline_options *options,
		      struct moat_baseline **ret_baseline);
void moat_baseline_free(struct moat_baseline *baseline);

/* Takes one row for learning. */
void moat_baseline_learn(struct moat_baseline *baseline, const struct moat_addr *host,
			 const float vector[MOAT_FEATURE_COUNT]);

/* Fits clusters and tails to what was taken: first after learning, then now and then. False while there
 * are too few rows (fewer than 8 windows). */
bool moat_baseline_fit(struct moat_baseline *baseline);

/* The rows as they are (the image's other fields untouched); freed by moat_baseline_image_deinit. 0, -ENOMEM. */
int moat_baseline_export(const struct moat_baseline *baseline,
			 struct moat_baseline_image *ret_image);

/* Forgets what it has and takes an image's rows, as many as there is room for, then fits: false where that
 * are too few. */
bool moat_baseline_import(struct moat_baseline *baseline, const struct moat_baseline_image *image);
void moat_baseline_reset(struct moat_baseline *baseline);

bool moat_baseline_is_ready(const struct moat_baseline *baseline);

/* Scores a vector; -ENODATA before the first fit. */
int moat_baseline_score(const struct moat_baseline *baseline, const float vector[MOAT_FEATURE_COUNT],
			struct moat_baseline_score *ret_score);

/* For `moat status` and explanations: k, rows, and each cluster's centre in units. */
uint32_t moat_baseline_clusters(const struct moat_baseline *baseline);
size_t moat_baseline_rows(const struct moat_baseline *baseline);

#endif
