/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * See merge.h. What comes from one CPU by one lane is sorted already: so records stand in streams, first in
 * first out, and a heap orders the streams by their heads. A record that is older than the end of a stream (it
 * came by the other lane, or its probe was interrupted by another one) goes to the next stream of its CPU. It
 * is copied once, into the stream's memory, and handed on from there.
 */
#include "ctl/sidecar/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX_DEFAULT (1u << 18)
#define BYTES_MAX_DEFAULT (64u << 20)
/* Two lanes, and one each for what was interrupted. */
#define STREAMS_A_CPU 4
#define CHUNK_BYTES (1u << 16)
/* Chunks kept for the next burst: 4 MiB. */
#define SPARE_MAX 64

struct chunk {
	struct chunk *next;
	uint32_t begin, end;
	uint8_t bytes[CHUNK_BYTES];
};

struct stream {
	struct chunk *first, *last;    /* NULL: empty */
	uint64_t end_ns, end_sequence; /* of the newest record */
};

struct moat_merge {
	moat_merge_fn handler;
	void *userdata;
	uint64_t watermark_ns;
	size_t waiting_max, bytes_max;
	uint64_t passed_ns; /* time up to which records have been handed on in order */
	struct stream *streams;
	struct stream **heap; /* those that aren't empty */
	size_t heap_count;
	size_t count, bytes;
	struct chunk *spare;
	size_t spare_count;
	uint64_t *sequences; /* a CPU: the highest number seen */
	uint32_t cpus;
	struct moat_merge_counters counters;
};

int moat_merge_new(const struct moat_merge_options *options, moat_merge_fn handler, void *userdata,
		   struct moat_merge **ret_merge)
{
	struct moat_merge *merge = calloc(1, sizeof(*merge));
	size_t streams = (size_t)options->cpus * STREAMS_A_CPU;

	if (!merge)
		return -ENOMEM;
	merge->sequences = calloc(options->cpus, sizeof(*merge->sequences));
	merge->streams = calloc(streams, sizeof(*merge->streams));
	merge->heap = calloc(streams, sizeof(struct stream *));
	if (!merge->sequences || !merge->streams || !merge->heap) {
		moat_merge_free(merge);
		return -ENOMEM;
	}
	merge->handler = handler;
	merge->userdata = userdata;
	merge->cpus = options->cpus;
	merge->watermark_ns = options->watermark_ns ? options->watermark_ns
						    : MOAT_MERGE_WATERMARK_NS;
	merge->waiting_max = options->waiting_max ? options->waiting_max : WAITING_MAX_DEFAULT;
	merge->bytes_max = options->bytes_max ? options->bytes_max : BYTES_MAX_DEFAULT;
	*ret_merge = merge;
	return 0;
}

static void chunks_free(struct chunk *chunk)
{
	while (chunk) {
		struct chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

void moat_merge_free(struct moat_merge *merge)
{
	if (!merge)
		return;
	for (size_t i = 0; merge->streams && i < (size_t)merge->cpus * STREAMS_A_CPU; i++)
		chunks_free(merge->streams[i].first);
	chunks_free(merge->spare);
	free(merge->streams);
	free(merge->heap);
	free(merge->sequences);
	free(merge);
}

/* ---- heap of streams ---------------------------------------------------------------------------- */

/* Of a stream in the heap, which holds those with records alone. */
static const struct moat_event *head_of(const struct stream *stream)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): see above */
	return (const struct moat_event *)(stream->first->bytes + stream->first->begin);
}

/* Of one moment, what a process can't do before: it is forked, runs something, does things, ends. */
static int rank_of(const struct moat_event *event)
{
	switch (event->type) {
	case MOAT_EVENT_EXISTING:
	case MOAT_EVENT_FORK:
		return 0;
	case MOAT_EVENT_EXEC:
		return 1;
	case MOAT_EVENT_EXIT:
		return 3;
	default:
		return 2;
	}
}

static bool before(const struct stream *left, const struct stream *right)
{
	const struct moat_event *a = head_of(left), *b = head_of(right);

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	if (a->cpu == b->cpu)
		return a->sequence < b->sequence;
	if (rank_of(a) != rank_of(b))
		return rank_of(a) < rank_of(b);
	return a->cpu < b->cpu;
}

static void swap(struct stream **a, struct stream **b)
{
	struct stream *kept = *a;

	*a = *b;
	*b = kept;
}

static void rise(struct stream **heap, size_t at)
{
	while (at > 0 && before(heap[at], heap[(at - 1) / 2])) {
		swap(&heap[at], &heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
}

static void sink(struct stream **heap, size_t count)
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

/* ---- streams ------------------------------------------------------------------------------------ */

static struct chunk *chunk_get(struct moat_merge *merge)
{
	struct chunk *chunk = merge->spare;

	if (chunk) {
		merge->spare = chunk->next;
		merge->spare_count--;
	} else {
		chunk = malloc(sizeof(*chunk));
	}
	if (!chunk)
		return NULL;
	chunk->next = NULL;
	chunk->begin = chunk->end = 0;
	return chunk;
}

static void chunk_put(struct moat_merge *merge, struct chunk *chunk)
{
	if (merge->spare_count == SPARE_MAX) {
		free(chunk);
		return;
	}
	chunk->next = merge->spare;
	merge->spare = chunk;
	merge->spare_count++;
}

/* The stream that the record continues: empty, or ending before it. If there is none, the CPU's first: it
 * will be late. */
static struct stream *stream_for(const struct moat_merge *merge, const struct moat_event *event)
{
	struct stream *streams = &merge->streams[(size_t)(event->cpu % merge->cpus) * STREAMS_A_CPU];

	for (size_t i = 0; i < STREAMS_A_CPU; i++) {
		if (!streams[i].first || streams[i].end_ns < event->time_ns ||
		    (streams[i].end_ns == event->time_ns &&
		     streams[i].end_sequence < event->sequence))
			return &streams[i];
	}
	return streams;
}

static int stream_append(struct moat_merge *merge, struct stream *stream,
			 const struct moat_event *event)
{
	struct chunk *chunk = stream->last;
	bool was_empty = !stream->first;

	if (!chunk || CHUNK_BYTES - chunk->end < event->size) {
		chunk = chunk_get(merge);
		if (!chunk || event->size > CHUNK_BYTES) {
			free(chunk);
			return -ENOMEM;
		}
		if (stream->last)
			stream->last->next = chunk;
		else
			stream->first = chunk;
		stream->last = chunk;
	}
	memcpy(chunk->bytes + chunk->end, event, event->size);
	chunk->end += event->size;
	stream->end_ns = event->time_ns;
	stream->end_sequence = event->sequence;
	merge->count++;
	merge->bytes += event->size;
	if (was_empty) {
		merge->heap[merge->heap_count++] = stream;
		rise(merge->heap, merge->heap_count - 1);
	}
	return 0;
}

/* Takes the oldest of all off its stream. */
static void drop_oldest(struct moat_merge *merge)
{
	struct stream *stream = merge->heap[0];
	struct chunk *chunk = stream->first;
	uint32_t size = head_of(stream)->size;

	merge->count--;
	merge->bytes -= size;
	chunk->begin += size;
	if (chunk->begin == chunk->end) {
		stream->first = chunk->next;
		if (!stream->first) {
			stream->last = NULL;
			merge->heap[0] = merge->heap[--merge->heap_count];
		}
		chunk_put(merge, chunk);
	}
	sink(merge->heap, merge->heap_count);
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

static void hand_on_oldest(struct moat_merge *merge)
{
	hand_on(merge, head_of(merge->heap[0]));
	drop_oldest(merge);
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
	merge->counters.received++;
	note_sequence(merge, event);
	while (merge->count > 0 && (merge->count >= merge->waiting_max ||
				    merge->bytes + event->size > merge->bytes_max)) {
		merge->counters.early++;
		hand_on_oldest(merge);
	}
	if (stream_append(merge, stream_for(merge, event), event) < 0) {
		hand_on(merge, event);
		return -ENOMEM;
	}
	return 0;
}

void moat_merge_advance(struct moat_merge *merge, uint64_t now_ns)
{
	uint64_t mark = now_ns;

	if (now_ns != UINT64_MAX)
		mark = now_ns > merge->watermark_ns ? now_ns - merge->watermark_ns : 0;
	while (merge->heap_count > 0 && head_of(merge->heap[0])->time_ns <= mark)
		hand_on_oldest(merge);
}

void moat_merge_counters(const struct moat_merge *merge, struct moat_merge_counters *ret_counters)
{
	*ret_counters = merge->counters;
}

size_t moat_merge_waiting(const struct moat_merge *merge)
{
	return merge->count;
}
