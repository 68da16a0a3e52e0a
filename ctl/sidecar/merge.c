/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See merge.h. A binary heap by (time, CPU, sequence), of copies. */
#include "ctl/sidecar/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

#define WAITING_MAX_DEFAULT 65536
#define HEAP_FIRST 256

struct moat_merge {
	moat_merge_fn handler;
	void *userdata;
	uint64_t watermark_ns;
	size_t waiting_max;
	uint64_t passed_ns; /* time up to which records have been handed on in order */
	struct moat_event **heap;
	size_t count, capacity;
	uint64_t *sequences; /* a CPU: the highest number seen */
	uint32_t cpus;
	struct moat_merge_counters counters;
};

int moat_merge_new(const struct moat_merge_options *options, moat_merge_fn handler, void *userdata,
		   struct moat_merge **ret_merge)
{
	struct moat_merge *merge = calloc(1, sizeof(*merge));

	if (!merge)
		return -ENOMEM;
	merge->sequences = calloc(options->cpus, sizeof(*merge->sequences));
	if (!merge->sequences) {
		free(merge);
		return -ENOMEM;
	}
	merge->handler = handler;
	merge->userdata = userdata;
	merge->cpus = options->cpus;
	merge->watermark_ns = options->watermark_ns ? options->watermark_ns
						    : MOAT_MERGE_WATERMARK_NS;
	merge->waiting_max = options->waiting_max ? options->waiting_max : WAITING_MAX_DEFAULT;
	*ret_merge = merge;
	return 0;
}

void moat_merge_free(struct moat_merge *merge)
{
	if (!merge)
		return;
	for (size_t i = 0; i < merge->count; i++)
		free(merge->heap[i]);
	free(merge->heap);
	free(merge->sequences);
	free(merge);
}

/* ---- heap --------------------------------------------------------------------------------------- */

static bool before(const struct moat_event *a, const struct moat_event *b)
{
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	if (a->cpu != b->cpu)
		return a->cpu < b->cpu;
	return a->sequence < b->sequence;
}

static void swap(struct moat_event **a, struct moat_event **b)
{
	struct moat_event *kept = *a;

	*a = *b;
	*b = kept;
}

static void rise(struct moat_event **heap, size_t at)
{
	while (at > 0 && before(heap[at], heap[(at - 1) / 2])) {
		swap(&heap[at], &heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
}

static void sink(struct moat_event **heap, size_t count)
{
	size_t at = 0, child;

	while ((child = 2 * at + 1) < count) {
		if (child + 1 < count && before(heap[child + 1], heap[child]))
			child++;
		if (!before(heap[child], heap[at]))
			return;
		swap(&heap[at], &heap[child]);
		at = child;
	}
}

static int reserve(struct moat_merge *merge)
{
	size_t capacity = merge->capacity ? 2 * merge->capacity : HEAP_FIRST;
	struct moat_event **heap;

	if (merge->count < merge->capacity)
		return 0;
	heap = realloc(merge->heap, capacity * sizeof(struct moat_event *));
	if (!heap)
		return -ENOMEM;
	merge->heap = heap;
	merge->capacity = capacity;
	return 0;
}

static struct moat_event *take_oldest(struct moat_merge *merge)
{
	struct moat_event *oldest = merge->heap[0];

	merge->heap[0] = merge->heap[--merge->count];
	sink(merge->heap, merge->count);
	return oldest;
}

/* ---- order -------------------------------------------------------------------------------------- */

static void hand_on(struct moat_merge *merge, const struct moat_event *event)
{
	bool late = event->time_ns < merge->passed_ns;

	if (late)
		merge->counters.late++;
	else
		merge->passed_ns = event->time_ns;
	merge->counters.handed++;
	merge->handler(merge->userdata, event, late);
}

/* A ring keeps the order of each of its CPUs, but a CPU's two lanes don't that of each other: a number that
 * was taken for missing may still come. */
static void note_sequence(struct moat_merge *merge, const struct moat_event *event)
{
	uint64_t *seen;

	if (event->cpu >= merge->cpus)
		return;
	seen = &merge->sequences[event->cpu];
	if (event->sequence > *seen) {
		merge->counters.missing += event->sequence - *seen - 1;
		*seen = event->sequence;
	} else if (merge->counters.missing > 0) {
		merge->counters.missing--;
	}
}

int moat_merge_add(struct moat_merge *merge, const struct moat_event *event)
{
	moat_auto_free struct moat_event *copy = NULL;

	merge->counters.received++;
	note_sequence(merge, event);
	if (merge->count >= merge->waiting_max) {
		struct moat_event *oldest = take_oldest(merge);

		merge->counters.early++;
		hand_on(merge, oldest);
		free(oldest);
	}
	copy = malloc(event->size);
	if (!copy || reserve(merge) < 0) {
		hand_on(merge, event);
		return -ENOMEM;
	}
	memcpy(copy, event, event->size);
	merge->heap[merge->count++] = moat_take_ptr(copy);
	rise(merge->heap, merge->count - 1);
	return 0;
}

void moat_merge_advance(struct moat_merge *merge, uint64_t now_ns)
{
	uint64_t mark = now_ns;

	if (now_ns != UINT64_MAX)
		mark = now_ns > merge->watermark_ns ? now_ns - merge->watermark_ns : 0;
	while (merge->count > 0 && merge->heap[0]->time_ns <= mark) {
		struct moat_event *oldest = take_oldest(merge);

		hand_on(merge, oldest);
		free(oldest);
	}
}

void moat_merge_counters(const struct moat_merge *merge, struct moat_merge_counters *ret_counters)
{
	*ret_counters = merge->counters;
}

size_t moat_merge_waiting(const struct moat_merge *merge)
{
	return merge->count;
}
