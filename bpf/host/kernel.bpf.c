/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is asked of the kernel that reaches beyond the asking process: moat/event_kernel.h. */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/emit.h"
#include "lib/syscall.h"
#include "lib/task.h"
#include "moat/event_kernel.h"

/* The first text among the arguments. */
static __always_inline __u64 kernel_text(struct moat_event_kernel *event, struct moat_emit *emit,
					 struct moat_syscall_entry *entry)
{
	__u64 length = 0;
	long read;

	if (entry->path[0] != MOAT_SYSCALL_NONE) {
		read = bpf_probe_read_user_str(event->text, MOAT_KERNEL_TEXT_LEN,
					       (void *)emit->arguments[entry->path[0] & 7]);
		if (read < 0)
			emit->counters->unreadable++;
		else
			length = read;
		if (length == MOAT_KERNEL_TEXT_LEN)
			emit->counters->cut++;
	}
	event->text_len = length;
	return length;
}

/* The first words of perf_event_open(2)'s attributes: type, size, config. */
static __always_inline void perf_values(struct moat_event_kernel *event, struct moat_emit *emit)
{
	__u64 words[2] = {};

	if (bpf_probe_read_user(words, sizeof(words), (void *)emit->arguments[0]) < 0)
		emit->counters->unreadable++;
	event->call.values[0] = (__u32)words[0];
	event->call.values[1] = words[1];
}

/* io_uring_setup(2) has its flags in a struct, behind the sizes of both queues. */
static __always_inline void io_uring_values(struct moat_event_kernel *event, struct moat_emit *emit)
{
	__u32 words[3] = {};

	if (bpf_probe_read_user(words, sizeof(words), (void *)emit->arguments[1]) < 0)
		emit->counters->unreadable++;
	event->call.values[1] = words[2];
}

/* What programs do with maps and objects that they have already, thousands of times a second: elements, facts,
 * ids, test runs. */
static __always_inline int is_everyday(__u64 command)
{
	const __u64 everyday = 1ULL << BPF_MAP_LOOKUP_ELEM | 1ULL << BPF_MAP_UPDATE_ELEM |
			       1ULL << BPF_MAP_DELETE_ELEM | 1ULL << BPF_MAP_GET_NEXT_KEY |
			       1ULL << BPF_PROG_TEST_RUN | 1ULL << BPF_PROG_GET_NEXT_ID |
			       1ULL << BPF_MAP_GET_NEXT_ID | 1ULL << BPF_OBJ_GET_INFO_BY_FD |
			       1ULL << BPF_MAP_LOOKUP_AND_DELETE_ELEM | 1ULL << BPF_MAP_FREEZE |
			       1ULL << BPF_BTF_GET_NEXT_ID | 1ULL << BPF_MAP_LOOKUP_BATCH |
			       1ULL << BPF_MAP_LOOKUP_AND_DELETE_BATCH |
			       1ULL << BPF_MAP_UPDATE_BATCH | 1ULL << BPF_MAP_DELETE_BATCH |
			       1ULL << BPF_LINK_GET_NEXT_ID;

	return command < 64 && everyday >> command & 1;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(kernel_call, struct pt_regs *regs, long result)
{
	struct moat_syscall_entry *entry;
	struct moat_event_kernel *event;
	struct moat_emit emit;
	__u64 length;

	if (!moat_syscall_begin(&emit, regs, result, &entry))
		return 0;
	if (entry->type == MOAT_EVENT_KERNEL_BPF && is_everyday(emit.arguments[0])) {
		moat_emit_leave(&emit);
		return 0;
	}
	event = (struct moat_event_kernel *)emit.record;
	length = kernel_text(event, &emit, entry);
	if (entry->type == MOAT_EVENT_KERNEL_PERF)
		perf_values(event, &emit);
	else if (entry->type == MOAT_EVENT_KERNEL_IO_URING)
		io_uring_values(event, &emit);
	moat_emit_end(&emit, entry->type, MOAT_LANE_OTHER,
		      __builtin_offsetof(struct moat_event_kernel, text) + length);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
