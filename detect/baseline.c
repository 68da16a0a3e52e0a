/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reservoir of normal rows, the clusters fitted to it, and each cluster's centre and tail.
 *
 * Robust on purpose. Centres are medians and widths come from the median deviation and a moderate
 * quantile, so that a few odd rows move nothing (a raw 99.7 % quantile was moved by five captures); and
 * the rows of one host are bounded, so that nobody teaches it alone.
 */
#include "detect/baseline.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "detect/kmeans.h"

#define DIMS MOAT_FEATURE_COUNT
#define CLUSTERS_DEFAULT 16
#define HISTORY_DEFAULT 16384
#define ROWS_MIN 8
/* Old rows leave: a new one is taken with at least this chance. */
#define SEEN_FACTOR 8
#define UPDATES 8 /* mini-batch passes of the first fit */
#define UPDATE_FLOOR 0.01F
/* A cluster with fewer rows has no tail of its own: its widths are those of all rows. */
#define CLUSTER_ROWS_MIN 32
/* z from which a value is abnormal, on widths that are comparable to a standard deviation. */
#define Z_LIMIT 6.0F
#define MAD_TO_SIGMA 1.4826F /* of a normal distribution */
#define Q95_TO_SIGMA 1.645F

_Static_assert(DIMS == MOAT_KMEANS_DIMS, "rows are what the distance kernels take");

/* The narrowest widths: rates are logarithms, so .35 lets a rate be exp(6 * .35) = 8 times the median. */
static const float width_floor[DIMS] = {
	[MOAT_FEATURE_TO_PPS] = .35F,     [MOAT_FEATURE_TO_BPS] = .35F,
	[MOAT_FEATURE_TO_SYN] = .35F,     [MOAT_FEATURE_TO_ACK] = .35F,
	[MOAT_FEATURE_TO_RST_FIN] = .35F, [MOAT_FEATURE_TO_UDP] = .35F,
	[MOAT_FEATURE_TO_REFLECT] = .35F, [MOAT_FEATURE_TO_ICMP] = .35F,
	[MOAT_FEATURE_TO_SOURCES] = .35F, [MOAT_FEATURE_TO_MEAN_LEN] = .35F,
	[MOAT_FEATURE_TO_SMALL] = .15F,   [MOAT_FEATURE_FROM_PPS] = .35F,
	[MOAT_FEATURE_FROM_BPS] = .35F,   [MOAT_FEATURE_FROM_SYN] = .35F,
	[MOAT_FEATURE_FROM_RST] = .35F,   [MOAT_FEATURE_FROM_TARGETS] = .35F,
};

struct tail {
	float centre[DIMS], width[DIMS];
};

/* How many rows a host has; open addressing by hash, entries are never removed, only their counts. */
struct share {
	uint64_t host; /* hash, 0: free */
	uint32_t rows;
};

struct moat_baseline {
	struct moat_baseline_options options;
	uint64_t random;
	float (*rows)[DIMS];
	uint64_t *owners; /* hash of each row's host */
	size_t count;
	uint64_t seen;
	struct share *shares;
	uint64_t shares_mask;
	size_t shares_used;

	bool ready;
	float scale[DIMS]; /* what distances divide by */
	struct moat_kmeans kmeans;
	struct tail tails[MOAT_KMEANS_K_MAX];
	/* scratch of a fit, so that it allocates nothing */
	float (*scaled)[DIMS];
	uint32_t *clusters;
	float *distances;
	float *column;
};

static void baseline_free_cleanup(struct moat_baseline **baseline)
{
	moat_baseline_free(*baseline);
}

int moat_baseline_new(const struct moat_baseline_options *options,
		      struct moat_baseline **ret_baseline)
{
	moat_cleanup(baseline_free_cleanup) struct moat_baseline *baseline = NULL;
	size_t history, slots = 64;
	int r;

	baseline = calloc(1, sizeof(*baseline));
	if (!baseline)
		return -ENOMEM;
	baseline->options = *options;
	if (baseline->options.k == 0)
		baseline->options.k = CLUSTERS_DEFAULT;
	if (baseline->options.k > MOAT_KMEANS_K_MAX)
		return -EINVAL;
	if (baseline->options.history == 0)
		baseline->options.history = HISTORY_DEFAULT;
	history = baseline->options.history;
	if (baseline->options.per_host == 0)
		baseline->options.per_host = (uint32_t)(history / 8 + 1);
	while (slots < 4 * history)
		slots *= 2;
	baseline->random = options->seed | 1;
	baseline->shares_mask = slots - 1;
	baseline->rows = calloc(history, sizeof(*baseline->rows));
	baseline->owners = calloc(history, sizeof(*baseline->owners));
	baseline->scaled = calloc(history, sizeof(*baseline->scaled));
	baseline->clusters = calloc(history, sizeof(*baseline->clusters));
	baseline->distances = calloc(history, sizeof(*baseline->distances));
	baseline->column = calloc(history, sizeof(*baseline->column));
	baseline->shares = calloc(slots, sizeof(*baseline->shares));
	if (!baseline->rows || !baseline->owners || !baseline->scaled || !baseline->clusters ||
	    !baseline->distances || !baseline->column || !baseline->shares)
		return -ENOMEM;
	r = moat_kmeans_init(&baseline->kmeans);
	if (r < 0)
		return r;
	*ret_baseline = moat_take_ptr(baseline);
	return 0;
}

void moat_baseline_free(struct moat_baseline *baseline)
{
	if (!baseline)
		return;
	moat_kmeans_deinit(&baseline->kmeans);
	free(baseline->rows);
	free(baseline->owners);
	free(baseline->scaled);
	free(baseline->clusters);
	free(baseline->distances);
	free(baseline->column);
	free(baseline->shares);
	free(baseline);
}

/* ---- the reservoir ----------------------------------------------------------------------------- */

/* xorshift64 (Marsaglia, 2003) */
static uint64_t next_random(struct moat_baseline *baseline)
{
	baseline->random ^= baseline->random << 13;
	baseline->random ^= baseline->random >> 7;
	baseline->random ^= baseline->random << 17;
	return baseline->random;
}

static struct share *share_of(struct moat_baseline *baseline, uint64_t host)
{
	uint64_t i = host & baseline->shares_mask;

	while (baseline->shares[i].host && baseline->shares[i].host != host)
		i = (i + 1) & baseline->shares_mask;
	return &baseline->shares[i];
}

/* Hosts come and go; when the table of shares is half full it is counted anew from the rows. */
static void shares_recount(struct moat_baseline *baseline)
{
	memset(baseline->shares, 0, (baseline->shares_mask + 1) * sizeof(*baseline->shares));
	baseline->shares_used = 0;
	for (size_t i = 0; i < baseline->count; i++) {
		struct share *share = share_of(baseline, baseline->owners[i]);

		baseline->shares_used += share->host == 0;
		share->host = baseline->owners[i];
		share->rows++;
	}
}

static void row_set(struct moat_baseline *baseline, size_t place, uint64_t host, const float *vector)
{
	struct share *share;

	if (place < baseline->count)
		share_of(baseline, baseline->owners[place])->rows--;
	else
		baseline->count++;
	memcpy(baseline->rows[place], vector, sizeof(baseline->rows[place]));
	baseline->owners[place] = host;
	share = share_of(baseline, host);
	baseline->shares_used += share->host == 0;
	share->host = host;
	share->rows++;
	if (baseline->shares_used > baseline->shares_mask / 2)
		shares_recount(baseline);
}

/* A host at its bound replaces a row of its own: it has at least an eighth of them by default, so a few
 * steps from a random place find one. */
static size_t own_row(struct moat_baseline *baseline, uint64_t host)
{
	size_t place = next_random(baseline) % baseline->count;

	while (baseline->owners[place] != host)
		place = (place + 1) % baseline->count;
	return place;
}

void moat_baseline_learn(struct moat_baseline *baseline, const struct moat_addr *host,
			 const float vector[MOAT_FEATURE_COUNT])
{
	uint64_t owner = moat_addr_hash(host, baseline->options.seed) | 1;
	uint64_t bound = (uint64_t)baseline->options.history * SEEN_FACTOR, place;

	if (baseline->seen < bound)
		baseline->seen++;
	if (share_of(baseline, owner)->rows >= baseline->options.per_host)
		row_set(baseline, own_row(baseline, owner), owner, vector);
	else if (baseline->count < baseline->options.history)
		row_set(baseline, baseline->count, owner, vector);
	else if ((place = next_random(baseline) % baseline->seen) < baseline->count)
		row_set(baseline, place, owner, vector);
}

/* ---- fitting ----------------------------------------------------------------------------------- */

static int float_compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* Median and width of sorted values. */
static void centre_and_width(float *values, size_t count, float *ret_centre, float *ret_width)
{
	float median = values[count / 2], q95 = values[(count - 1) * 95 / 100], mad;

	for (size_t i = 0; i < count; i++)
		values[i] = fabsf(values[i] - median);
	qsort(values, count, sizeof(*values), float_compare);
	mad = values[count / 2];
	*ret_centre = median;
	*ret_width = fmaxf(MAD_TO_SIGMA * mad, (q95 - median) / Q95_TO_SIGMA);
}

/* Rows of one cluster (or of all: K_MAX), one dimension. Returns how many there are. */
static size_t column_of(struct moat_baseline *baseline, uint32_t cluster, int dim)
{
	size_t count = 0;

	for (size_t i = 0; i < baseline->count; i++)
		if (cluster == MOAT_KMEANS_K_MAX || baseline->clusters[i] == cluster)
			baseline->column[count++] = baseline->rows[i][dim];
	qsort(baseline->column, count, sizeof(*baseline->column), float_compare);
	return count;
}

static void fit_scale(struct moat_baseline *baseline, struct tail *ret_all)
{
	for (int dim = 0; dim < DIMS; dim++) {
		size_t count = column_of(baseline, MOAT_KMEANS_K_MAX, dim);

		centre_and_width(baseline->column, count, &ret_all->centre[dim],
				 &ret_all->width[dim]);
		ret_all->width[dim] = fmaxf(ret_all->width[dim], width_floor[dim]);
		/* clusters keep their scale, or a refit would move them all */
		if (!baseline->ready)
			baseline->scale[dim] = ret_all->width[dim];
	}
	for (size_t i = 0; i < baseline->count; i++)
		for (int dim = 0; dim < DIMS; dim++)
			baseline->scaled[i][dim] = baseline->rows[i][dim] / baseline->scale[dim];
}

static void fit_tails(struct moat_baseline *baseline, const struct tail *all)
{
	for (uint32_t c = 0; c < baseline->kmeans.k; c++)
		for (int dim = 0; dim < DIMS; dim++) {
			struct tail *tail = &baseline->tails[c];
			size_t count = column_of(baseline, c, dim);

			if (count == 0) {
				tail->centre[dim] = all->centre[dim];
				tail->width[dim] = all->width[dim];
				continue;
			}
			centre_and_width(baseline->column, count, &tail->centre[dim],
					 &tail->width[dim]);
			tail->width[dim] = fmaxf(tail->width[dim], width_floor[dim]);
			if (count < CLUSTER_ROWS_MIN)
				tail->width[dim] = fmaxf(tail->width[dim], all->width[dim]);
		}
}

bool moat_baseline_fit(struct moat_baseline *baseline)
{
	struct tail all;

	if (baseline->count < ROWS_MIN)
		return false;
	fit_scale(baseline, &all);
	if (!baseline->ready &&
	    moat_kmeans_seed(&baseline->kmeans, baseline->scaled[0], baseline->count,
			     baseline->options.k, baseline->options.seed) < 0)
		return false;
	for (int pass = 0; pass < (baseline->ready ? 1 : UPDATES); pass++)
		moat_kmeans_update(&baseline->kmeans, baseline->scaled[0], baseline->count,
				   UPDATE_FLOOR);
	(void)moat_kmeans_assign_all(&baseline->kmeans, baseline->scaled[0], baseline->count,
				     baseline->clusters, baseline->distances);
	fit_tails(baseline, &all);
	baseline->ready = true;
	return true;
}

/* ---- keeping ----------------------------------------------------------------------------------- */

int moat_baseline_export(const struct moat_baseline *baseline, struct moat_baseline_image *ret_image)
{
	struct moat_baseline_row *rows = calloc(baseline->count + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < baseline->count; i++) {
		rows[i].owner = baseline->owners[i];
		memcpy(rows[i].values, baseline->rows[i], sizeof(rows[i].values));
	}
	ret_image->seed = baseline->options.seed;
	ret_image->count = (uint32_t)baseline->count;
	ret_image->rows = rows;
	return 0;
}

void moat_baseline_reset(struct moat_baseline *baseline)
{
	baseline->count = 0;
	baseline->seen = 0;
	baseline->ready = false;
	baseline->kmeans.k = 0;
	shares_recount(baseline);
}

bool moat_baseline_import(struct moat_baseline *baseline, const struct moat_baseline_image *image)
{
	moat_baseline_reset(baseline);
	for (uint32_t i = 0; i < image->count && i < baseline->options.history; i++) {
		/* also in a file nobody has more rows than may teach */
		if (share_of(baseline, image->rows[i].owner)->rows < baseline->options.per_host)
			row_set(baseline, baseline->count, image->rows[i].owner,
				image->rows[i].values);
	}
	baseline->seen = baseline->count;
	return moat_baseline_fit(baseline);
}

/* ---- scoring ----------------------------------------------------------------------------------- */

bool moat_baseline_is_ready(const struct moat_baseline *baseline)
{
	return baseline->ready;
}

int moat_baseline_score(const struct moat_baseline *baseline, const float vector[MOAT_FEATURE_COUNT],
			struct moat_baseline_score *ret_score)
{
	struct moat_baseline_score score = { 0 };
	const struct tail *tail;
	float scaled[DIMS], distance;

	if (!baseline->ready)
		return -ENODATA;
	for (int dim = 0; dim < DIMS; dim++)
		scaled[dim] = vector[dim] / baseline->scale[dim];
	score.cluster = moat_kmeans_assign(&baseline->kmeans, scaled, &distance);
	tail = &baseline->tails[score.cluster];
	for (int dim = 0; dim < DIMS; dim++) {
		float z = (vector[dim] - tail->centre[dim]) / tail->width[dim];

		score.upper[dim] = tail->centre[dim] + Z_LIMIT * tail->width[dim];
		score.deviation[dim] = fmaxf(z, 0);
		score.score = fmax(score.score, (double)(score.deviation[dim] / Z_LIMIT));
	}
	*ret_score = score;
	return 0;
}

uint32_t moat_baseline_clusters(const struct moat_baseline *baseline)
{
	return baseline->ready ? baseline->kmeans.k : 0;
}

size_t moat_baseline_rows(const struct moat_baseline *baseline)
{
	return baseline->count;
}
