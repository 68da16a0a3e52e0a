/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A system call that returns, as seen by tp_btf/sys_exit: its number, its arguments (the registers still hold
 * them) and its result. What user space has at the arguments' addresses may have changed since the kernel
 * read it, but its pages are there: at the entry they often aren't.
 */
#ifndef MOAT_LIB_SYSCALL_H
#define MOAT_LIB_SYSCALL_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/emit.h"
#include "lib/task.h"
#include "moat/event.h"
#include "moat/syscall.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * MOAT_SYSCALL_NUMBERS);
	__type(key, __u32);
	__type(value, struct moat_syscall_entry);
} syscall_entries SEC(".maps");

/* By enum moat_syscall_handler. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MOAT_HANDLER_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} syscall_handlers SEC(".maps");

#if defined(__TARGET_ARCH_x86)
#define MOAT_TS_COMPAT 2 /* arch/x86/include/asm/thread_info.h */
#define MOAT_X32_BIT 0x40000000

static __always_inline __u32 moat_syscall_number(struct pt_regs *regs)
{
	return regs->orig_ax;
}

static __always_inline int moat_syscall_is_compat(struct task_struct *task)
{
	return task->thread_info.status & MOAT_TS_COMPAT;
}

#define MOAT_PARM6(regs) ((regs)->r9)

/* i386: ebx, ecx, edx, esi, edi, ebp */
static __always_inline void moat_syscall_compat_args(__u64 *ret, struct pt_regs *regs)
{
	ret[0] = (__u32)regs->bx;
	ret[1] = (__u32)regs->cx;
	ret[2] = (__u32)regs->dx;
	ret[3] = (__u32)regs->si;
	ret[4] = (__u32)regs->di;
	ret[5] = (__u32)regs->bp;
}
#elif defined(__TARGET_ARCH_arm64)
#define MOAT_TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h */
#define MOAT_X32_BIT 0

static __always_inline __u32 moat_syscall_number(struct pt_regs *regs)
{
	return regs->syscallno;
}

static __always_inline int moat_syscall_is_compat(struct task_struct *task)
{
	return task->thread_info.flags >> MOAT_TIF_32BIT & 1;
}

#define MOAT_PARM6(regs) ((regs)->regs[5])

/* aarch32: r0 to r5, r0 having become the result */
static __always_inline void moat_syscall_compat_args(__u64 *ret, struct pt_regs *regs)
{
	ret[0] = (__u32)regs->orig_x0;
	for (int i = 1; i < 6; i++)
		ret[i] = (__u32)regs->regs[i];
}
#else
#error "system calls of this architecture aren't known here"
#endif

static __always_inline __u8 moat_syscall_abi(struct task_struct *task, __u32 number)
{
	if (moat_syscall_is_compat(task))
		return MOAT_ABI_COMPAT;
	return number & MOAT_X32_BIT ? MOAT_ABI_X32 : MOAT_ABI_NATIVE;
}

/* What is made of the call; NULL: nothing. */
static __always_inline struct moat_syscall_entry *moat_syscall_entry(__u32 number, __u8 abi)
{
	__u32 place = number & ~MOAT_X32_BIT;

	if (place >= MOAT_SYSCALL_NUMBERS)
		return NULL;
	if (abi == MOAT_ABI_COMPAT)
		place += MOAT_SYSCALL_NUMBERS;
	return bpf_map_lookup_elem(&syscall_entries, &place);
}

/* Eight of them, so that any index of an entry is in: NONE reads as 0. */
static __always_inline void moat_syscall_args(__u64 *ret, struct pt_regs *regs, __u8 abi)
{
	ret[6] = ret[7] = 0;
	if (abi == MOAT_ABI_COMPAT) {
		moat_syscall_compat_args(ret, regs);
		return;
	}
	ret[0] = PT_REGS_PARM1_CORE_SYSCALL(regs);
	ret[1] = PT_REGS_PARM2_CORE_SYSCALL(regs);
	ret[2] = PT_REGS_PARM3_CORE_SYSCALL(regs);
	ret[3] = PT_REGS_PARM4_CORE_SYSCALL(regs);
	ret[4] = PT_REGS_PARM5_CORE_SYSCALL(regs);
	ret[5] = MOAT_PARM6(regs);
}

/* What records of acts begin with. */
struct moat_syscall_record {
	struct moat_event head;
	struct moat_call call;
};

/* Begins the record of a call that returns: who, and what. 0: none is to be made of it. */
static __always_inline int moat_syscall_begin(struct moat_emit *emit, struct pt_regs *regs,
					      long result, struct moat_syscall_entry **ret_entry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 number = moat_syscall_number(regs);
	__u8 abi = moat_syscall_abi(task, number);
	struct moat_syscall_entry *entry = moat_syscall_entry(number, abi);
	struct moat_syscall_record *record;

	if (!entry || !entry->type || !moat_emit_begin(emit))
		return 0;
	record = (struct moat_syscall_record *)emit->record;
	moat_task_fill(&record->head.task, task);
	moat_syscall_args(emit->arguments, regs, abi);
	record->call.result = result;
	for (int i = 0; i < MOAT_CALL_VALUES; i++)
		record->call.values[i] = emit->arguments[entry->values[i] & 7];
	if (entry->values[0] == MOAT_SYSCALL_NONE)
		record->call.values[0] = entry->constant;
	record->call.number = number;
	record->call.abi = abi;
	record->call.means = MOAT_MEANS_SYSCALL;
	record->call.reserved = 0;
	*ret_entry = entry;
	return 1;
}

#endif
