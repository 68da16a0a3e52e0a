/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way from a system call that returns to the program that makes a record of it (moat/syscall.h). One
 * program for all families, since each one on this tracepoint costs every call of every process.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/emit.h"
#include "lib/syscall.h"

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long result)
{
	__u32 number = moat_syscall_number(regs);
	struct moat_syscall_entry *entry;

	entry = moat_syscall_entry(number, moat_syscall_abi(bpf_get_current_task_btf(), number));
	if (!entry || !entry->type || !moat_emit_wants(entry->type))
		return 0;
	/* comes back only if there is no such program */
	bpf_tail_call(ctx, &syscall_handlers, entry->handler);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
