/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bench events measures with: getppid(2), the cheapest system call, of a few processes makes a record
 * as an exec would, filled and sent by the probes' own code; or, as a yardstick, one of the same size that
 * nothing is filled into.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bench/events.h"
#include "bpf/lib/emit.h"
#include "bpf/lib/exec.h"

__u32 producers[EVENTS_PRODUCERS]; /* tgids; 0: none */
__u32 getppid_number;
__u32 bare_size;
char path_given[EVENTS_PATH_LEN];

static __always_inline int is_asked(long number)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return number == getppid_number && (tgid == producers[0] || tgid == producers[1]);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(events_exec, struct pt_regs *regs, long number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct moat_event_exec *event;
	struct moat_emit emit;
	__u64 length;

	if (!is_asked(number) || !moat_emit_begin(&emit))
		return 0;
	event = (struct moat_event_exec *)emit.record;
	length = moat_exec_fill(event, task, task->mm->exe_file, path_given, emit.counters);
	event->interpreter = 0;
	moat_emit_end(&emit, MOAT_EVENT_EXEC, MOAT_LANE_PROCESS, length);
	return 0;
}

/* The ring alone: no counters, nothing looked at. */
SEC("tp_btf/sys_enter")
int BPF_PROG(events_bare, struct pt_regs *regs, long number)
{
	__u32 zero = 0, shard = bpf_get_smp_processor_id() & shard_mask;
	struct moat_emit_memory *memory = bpf_map_lookup_elem(&emit_memory, &zero);
	void *ring = bpf_map_lookup_elem(&rings, &shard);
	__u64 flags = BPF_RB_NO_WAKEUP, size = bare_size;

	if (!is_asked(number) || !memory || !ring || size > EVENTS_BARE_MAX)
		return 0;
	if ((bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) & (wakeup_bytes - 1)) + size >= wakeup_bytes)
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_output(ring, memory->records[0], size, flags);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
