/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sending host events. A record is built in per-CPU memory and copied to the ring: the ring's own memory
 * can only be reserved in sizes known to the verifier, and a record that is half built when its task
 * faults must not hold up the others. A probe can interrupt another on its CPU (an interrupt's in a task's):
 * there is memory for some at once.
 *
 * The maps here are one for all families of probes: each object names them, and moat-sidecar gives the ones
 * of the first object to the others, so that a family can be refused by a kernel, or left out, singly.
 *
 * Two lanes: what processes are and do goes by rings of its own, so that no storm of other events can
 * push it out.
 */
#ifndef MOAT_LIB_EMIT_H
#define MOAT_LIB_EMIT_H

#include <bpf/bpf_helpers.h>

#include "lib/budget.h"
#include "moat/event.h"

#define MOAT_EMIT_DEPTH 3
#define MOAT_EMIT_RECORD \
	8192 /* a power of two above the largest record; all of them: below 32 KiB */
#define MOAT_EMIT_SHARDS_MAX 32 /* rings a lane */

enum moat_lane {
	MOAT_LANE_PROCESS = 0,
	MOAT_LANE_OTHER = 1,
	MOAT_LANE_COUNT,
};

/* Set before loading. */
const volatile __u32 shard_mask = 0; /* rings a lane - 1 */
const volatile __u64 wakeup_bytes = 1
				    << 16; /* the reader polls; it is woken where so much more waits */

struct moat_emit_memory {
	__u8 records[MOAT_EMIT_DEPTH][MOAT_EMIT_RECORD];
	__u64 arguments[MOAT_EMIT_DEPTH][8]; /* of a system call */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct moat_emit_memory);
} emit_memory SEC(".maps");

/* One element a CPU, an array since only arrays can be mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct moat_event_counters);
} event_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct moat_event_settings);
} event_settings SEC(".maps");

struct moat_emit_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
};

/* Lane after lane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MOAT_LANE_COUNT *MOAT_EMIT_SHARDS_MAX);
	__type(key, __u32);
	__array(values, struct moat_emit_ring);
} rings SEC(".maps");

/* A record being built. */
struct moat_emit {
	struct moat_event_counters *counters;
	__u8 *record;
	__u64 *arguments;
	__u32 cpu;
	__u32 slot; /* bit in counters->busy */
};

/* Whether such a record is asked for, whoever acts. */
static __always_inline int moat_emit_wants_of(__u32 type)
{
	__u32 zero = 0;
	struct moat_event_settings *settings = bpf_map_lookup_elem(&event_settings, &zero);

	return settings && type < MOAT_EVENT_TYPES &&
	       settings->wanted[type >> 6] & 1ULL << (type & 63);
}

/* Whether the current task's are; what moat-sidecar itself does is only counted. */
static __always_inline int moat_emit_wants(__u32 type)
{
	__u32 zero = 0, cpu = bpf_get_smp_processor_id();
	struct moat_event_settings *settings = bpf_map_lookup_elem(&event_settings, &zero);
	struct moat_event_counters *counters;

	if (!settings || !moat_emit_wants_of(type))
		return 0;
	if (settings->own_tgid != bpf_get_current_pid_tgid() >> 32)
		return 1;
	counters = bpf_map_lookup_elem(&event_counters, &cpu);
	if (counters)
		counters->own++;
	return 0;
}

/* Takes one of the CPU's records: by a bit each rather than by counting up and down, since a program that is
 * preempted (LSM's may be) needn't end before the one that preempted it. MOAT_EMIT_DEPTH: all are taken. */
static __always_inline __u32 moat_emit_take(struct moat_event_counters *counters)
{
	__u32 slot;

#pragma unroll
	for (slot = 0; slot < MOAT_EMIT_DEPTH; slot++) {
		if (!(__sync_fetch_and_or(&counters->busy, 1U << slot) & 1U << slot))
			break;
	}
	return slot;
}

/* Begins a record: 0 if there is no memory for it, which is counted. What begins must end, or be left. */
static __always_inline int moat_emit_begin(struct moat_emit *emit)
{
	__u32 cpu = bpf_get_smp_processor_id(), zero = 0, slot;
	struct moat_emit_memory *memory = bpf_map_lookup_elem(&emit_memory, &zero);

	emit->cpu = cpu;
	emit->counters = bpf_map_lookup_elem(&event_counters, &cpu);
	if (!emit->counters || !memory)
		return 0; /* both are there for every CPU */
	slot = moat_emit_take(emit->counters);
	if (slot >= MOAT_EMIT_DEPTH) {
		__sync_fetch_and_add(&emit->counters->sequence, 1);
		__sync_fetch_and_add(&emit->counters->lost_scratch, 1);
		return 0;
	}
	emit->slot = slot;
	emit->record = memory->records[slot];
	emit->arguments = memory->arguments[slot];
	return 1;
}

/* Gives the record back. Alone: it turned out that there is nothing to tell. */
static __always_inline void moat_emit_leave(struct moat_emit *emit)
{
	__sync_fetch_and_and(&emit->counters->busy, ~(1U << emit->slot));
}

/* Numbers the record, sends its first `size` bytes if its cgroup's budget admits it, and ends it. */
static __always_inline void moat_emit_end(struct moat_emit *emit, __u32 type, enum moat_lane lane,
					  __u64 size)
{
	struct moat_event *head = (struct moat_event *)emit->record;
	__u32 shard = lane * MOAT_EMIT_SHARDS_MAX + (emit->cpu & shard_mask);
	__u64 flags = BPF_RB_NO_WAKEUP, waits;
	void *ring = bpf_map_lookup_elem(&rings, &shard);

	size = (size + 7) & ~7ULL;
	asm volatile("" : "+r"(size));
	if (size > MOAT_EMIT_RECORD)
		size = MOAT_EMIT_RECORD;
	head->size = size;
	head->type = type;
	head->cpu = emit->cpu;
	head->time_ns = bpf_ktime_get_ns();
	if (!moat_budget_admits(head, type, lane, emit->counters)) {
		moat_emit_leave(emit);
		return;
	}
	/* last, so that of two records of a CPU the one numbered first is the older one */
	head->sequence = __sync_fetch_and_add(&emit->counters->sequence, 1) + 1;
	/* once for each such step: woken again with every record, the reader would slow down the writers
	 * just when it is behind. Two CPUs may both miss a step; not the next one, and the reader polls. */
	if (ring) {
		waits = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) & (wakeup_bytes - 1);
		if (waits + size >= wakeup_bytes)
			flags = BPF_RB_FORCE_WAKEUP;
	}
	if (!ring || bpf_ringbuf_output(ring, head, size, flags) < 0)
		__sync_fetch_and_add(&emit->counters->lost_ring, 1);
	moat_emit_leave(emit);
}

#endif
