/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A kernel's task as struct moat_task. Tasks come from the arguments of BTF-typed programs, so that their
 * fields are read directly: a null pointer on the way reads as 0.
 */
#ifndef MOAT_LIB_TASK_H
#define MOAT_LIB_TASK_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "lib/cgroup.h"
#include "moat/event.h"

static __always_inline void moat_process_fill(struct moat_process *process, struct task_struct *task)
{
	process->start_ns = task->group_leader->start_boottime;
	process->tgid = task->tgid;
	process->execs = task->self_exec_id;
}

/* The pid namespace that the task itself is in; nsproxy has its children's. */
static __always_inline void moat_task_fill_pid(struct moat_task *ret, struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	struct upid upid = {};

	/* 0 and no namespace for a task that is being buried; the index is data, so no direct read */
	bpf_core_read(&upid, sizeof(upid), &pid->numbers[pid->level]);
	ret->ns_tid = upid.nr;
	ret->pid_ns = BPF_CORE_READ(upid.ns, ns.inum);
}

/* Sets all of *ret. */
static __always_inline void moat_task_fill(struct moat_task *ret, struct task_struct *task)
{
	const struct cred *cred = task->cred;

	__builtin_memset(ret, 0, sizeof(*ret));
	moat_process_fill(&ret->self, task);
	moat_process_fill(&ret->parent, task->real_parent);
	ret->tid = task->pid;
	moat_task_fill_pid(ret, task);
	ret->uid = cred->uid.val;
	ret->gid = cred->gid.val;
	ret->euid = cred->euid.val;
	ret->egid = cred->egid.val;
	ret->user_ns = cred->user_ns->ns.inum;
	ret->loginuid = ~0U;
	ret->session = ~0U;
	/* of kernels built with auditing */
	if (bpf_core_field_exists(task->loginuid))
		ret->loginuid = task->loginuid.val;
	if (bpf_core_field_exists(task->sessionid))
		ret->session = task->sessionid;
	ret->cgroup_id = moat_cgroup_of(task);
	ret->mnt_ns = task->nsproxy->mnt_ns->ns.inum;
	ret->net_ns = task->nsproxy->net_ns->ns.inum;
	bpf_core_read(&ret->comm, sizeof(ret->comm), &task->comm);
}

#endif
