/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Processes: what is there when the probes come, and every fork, exec and exit since. Raw tracepoints with
 * BTF: no trampoline, so that they work wherever BTF is.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/emit.h"
#include "lib/exec.h"
#include "lib/syscall.h"
#include "lib/task.h"
#include "lib/versions.h"
#include "moat/event.h"

/* Of the whole thread group, 1 since 6.17 says so by an argument; before, the group's count of living
 * threads does, which two that end at once may both see at 0: the reader takes the first. */
const volatile __u32 exit_says_group_dead = 0;

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct moat_event_task *event;
	struct moat_emit emit;

	if (child->pid != child->tgid)
		return 0; /* a thread */
	if (!moat_emit_begin(&emit))
		return 0;
	event = (struct moat_event_task *)emit.record;
	moat_task_fill(&event->head.task, parent);
	moat_task_fill(&event->subject, child);
	moat_emit_end(&emit, MOAT_EVENT_FORK, MOAT_LANE_PROCESS, sizeof(*event));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct moat_event_exec *event;
	struct moat_emit emit;
	__u64 length;

	if (!moat_emit_begin(&emit))
		return 0;
	event = (struct moat_event_exec *)emit.record;
	length = moat_exec_fill(event, task, bprm->file, bprm->filename, emit.counters);
	event->interpreter = bprm->interp != bprm->filename;
	moat_emit_end(&emit, MOAT_EVENT_EXEC, MOAT_LANE_PROCESS, length);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int process_exit(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct moat_event_exit *event;
	struct moat_emit emit;
	__u32 code;

	if (exit_says_group_dead ? !(ctx[1] & 1) : task->signal->live.counter != 0)
		return 0;
	if (!moat_emit_begin(&emit))
		return 0;
	event = (struct moat_event_exit *)emit.record;
	moat_task_fill(&event->head.task, task);
	/* exit_group(2) and signals to the group leave their code with the group */
	code = task->signal->group_exit_code;
	if (!code)
		code = task->exit_code;
	event->code = code >> 8 & 0xff;
	event->signal = code & 0x7f;
	event->reserved = 0;
	moat_emit_end(&emit, MOAT_EVENT_EXIT, MOAT_LANE_PROCESS, sizeof(*event));
	return 0;
}

static __always_inline void fill_above(struct moat_event_cgroup *event, struct cgroup *cgroup,
				       __u64 hierarchy)
{
	__u32 count = 0;

	for (int i = 0; i < MOAT_CGROUP_ABOVE; i++) {
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
		event->above[i] = 0;
		if (!cgroup || BPF_CORE_READ(cgroup, level) <= 0) {
			cgroup = NULL;
			continue;
		}
		event->above[i] = BPF_CORE_READ(cgroup, kn, id) | hierarchy;
		count = i + 1;
	}
	event->above_count = count;
}

/* A container's cgroup may be gone before its processes are told of: its path is told as it is made. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(process_cgroup, struct cgroup *cgroup, const char *path)
{
	__u64 number = moat_cgroup_number(cgroup);
	struct moat_event_cgroup *event;
	struct moat_emit emit;
	long length;

	if (!number || !moat_emit_begin(&emit))
		return 0;
	event = (struct moat_event_cgroup *)emit.record;
	moat_task_fill(&event->head.task, bpf_get_current_task_btf());
	event->cgroup_id = number;
	fill_above(event, cgroup, number & ~MOAT_CGROUP_NUMBER(~0ULL));
	length = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	if (length <= 0) {
		emit.counters->unreadable++;
		length = 0;
	}
	if (length == sizeof(event->path))
		emit.counters->cut++;
	event->path_len = length;
	moat_emit_end(&emit, MOAT_EVENT_CGROUP, MOAT_LANE_PROCESS,
		      __builtin_offsetof(struct moat_event_cgroup, path) + length);
	return 0;
}

/* Run once, after the others are attached, so that no process falls between. */
SEC("iter/task")
int process_existing(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct moat_event_task *event;
	struct moat_emit emit;

	if (!task || task->pid != task->tgid || !moat_emit_begin(&emit))
		return 0;
	event = (struct moat_event_task *)emit.record;
	moat_task_fill(&event->head.task, task);
	event->subject = event->head.task;
	moat_emit_end(&emit, MOAT_EVENT_EXISTING, MOAT_LANE_PROCESS, sizeof(*event));
	return 0;
}

/* ---- acts --------------------------------------------------------------------------------------- */

/* Whose numbers: of the effective, permitted and inheritable sets. The call's own struct has them in halves. */
static __always_inline void capset_values(struct moat_event_act *event, struct moat_emit *emit)
{
	__u32 words[6] = {};

	if (bpf_probe_read_user(words, sizeof(words), (void *)emit->arguments[1]) < 0)
		emit->counters->unreadable++;
	for (int i = 0; i < 3; i++)
		event->call.values[i] = words[i] | (__u64)words[3 + i] << 32;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(process_call, struct pt_regs *regs, long result)
{
	struct moat_syscall_entry *entry;
	struct moat_event_act *event;
	struct moat_emit emit;

	if (!moat_syscall_begin(&emit, regs, result, &entry))
		return 0;
	event = (struct moat_event_act *)emit.record;
	__builtin_memset(&event->target, 0, sizeof(event->target));
	event->target_pid = emit.arguments[entry->target & 7];
	event->reserved = 0;
	if (entry->type == MOAT_EVENT_CAPSET)
		capset_values(event, &emit);
	moat_emit_end(&emit, entry->type, MOAT_LANE_PROCESS, sizeof(*event));
	return 0;
}

/* Signals that a process sends to another one: from user space (kernel's own have other codes), once for
 * a group. */
SEC("tp_btf/signal_generate")
int BPF_PROG(process_signal, int signal, struct kernel_siginfo *info, struct task_struct *task,
	     int group, int result)
{
	struct task_struct *actor = bpf_get_current_task_btf();
	struct moat_event_act *event;
	struct moat_emit emit;

	/* include/linux/sched/signal.h: 0 from the process itself, 1 from the kernel */
	if ((__u64)info == 1 || actor->tgid == task->tgid)
		return 0;
	if ((__u64)info > 1 && BPF_CORE_READ(info, si_code) > 0)
		return 0;
	if (!moat_emit_wants(MOAT_EVENT_SIGNAL) || !moat_emit_begin(&emit))
		return 0;
	event = (struct moat_event_act *)emit.record;
	moat_task_fill(&event->head.task, actor);
	__builtin_memset(&event->call, 0, sizeof(event->call));
	event->call.number = ~0U;
	event->call.means = MOAT_MEANS_TRACEPOINT;
	event->call.values[0] = signal;
	moat_process_fill(&event->target, task);
	event->target_pid = 0;
	event->reserved = 0;
	moat_emit_end(&emit, MOAT_EVENT_SIGNAL, MOAT_LANE_PROCESS, sizeof(*event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
