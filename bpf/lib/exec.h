/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is told of a program that is started: its file, its path as given, its arguments. */
#ifndef MOAT_LIB_EXEC_H
#define MOAT_LIB_EXEC_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "lib/task.h"
#include "lib/versions.h"
#include "moat/event.h"

#define TMPFS_MAGIC 0x01021994
#define OVERLAYFS_MAGIC 0x794c7630
#define MS_KERNMOUNT (1 << 22)

/* overlayfs may be a module without types of its own here. What stands behind the inode in its struct
 * ovl_inode (fs/overlayfs/ovl_entry.h) is the dentry in the upper layer, since 4.13. */
static __always_inline __u32 moat_exec_overlay(struct inode *inode)
{
	struct dentry *upper = NULL;

	bpf_probe_read_kernel(&upper, sizeof(upper),
			      (const char *)inode + bpf_core_type_size(struct inode));
	return upper ? MOAT_FILE_UPPER : 0;
}

/* The kernel's number of the controlling terminal, 0 without one. */
static __always_inline __u32 moat_exec_terminal(struct task_struct *task)
{
	struct tty_struct *tty = task->signal->tty;
	struct tty_driver *driver = tty->driver;

	if (!tty || !driver)
		return 0;
	return (__u32)driver->major << 20 | (driver->minor_start + tty->index);
}

static __always_inline void moat_exec_file_fill(struct moat_file *ret, struct file *file)
{
	struct inode *inode = file->f_inode;
	struct super_block *super = inode->i_sb;

	ret->inode = inode->i_ino;
	ret->ctime_ns = moat_inode_ctime(inode);
	ret->device = super->s_dev;
	ret->flags = 0;
	if (inode->i_nlink == 0)
		ret->flags |= MOAT_FILE_UNLINKED;
	if (super->s_magic == TMPFS_MAGIC && (super->s_flags & MS_KERNMOUNT))
		ret->flags |= MOAT_FILE_MEMFD;
	if (super->s_magic == OVERLAYFS_MAGIC)
		ret->flags |= MOAT_FILE_OVERLAY | moat_exec_overlay(inode);
}

/* The path and the arguments into the text; returns their length. */
static __always_inline __u64 moat_exec_text(struct moat_event_exec *event, struct task_struct *task,
					    const char *path_given,
					    struct moat_event_counters *counters)
{
	struct mm_struct *mm = task->mm;
	__u64 start = mm->arg_start, total = mm->arg_end - start, wanted = total;
	long length = bpf_probe_read_kernel_str(event->text, MOAT_EXEC_PATH_LEN, path_given);
	__u64 path = length;

	if (length < 0) {
		counters->unreadable++;
		path = 0;
	}
	if (path == MOAT_EXEC_PATH_LEN || total > MOAT_EXEC_ARGS_LEN)
		counters->cut++;
	asm volatile("" : "+r"(path));
	if (path > MOAT_EXEC_PATH_LEN)
		path = MOAT_EXEC_PATH_LEN;
	if (wanted > MOAT_EXEC_ARGS_LEN)
		wanted = MOAT_EXEC_ARGS_LEN;
	if (wanted > 0 && bpf_probe_read_user(event->text + path, wanted, (void *)start) < 0) {
		counters->unreadable++;
		wanted = 0;
	}
	event->path_len = path;
	event->args_len = wanted;
	event->args_total = total > 0xffffffff ? 0xffffffff : total;
	return path + wanted;
}

/* All of the record but `interpreter`; returns its length. */
static __always_inline __u64 moat_exec_fill(struct moat_event_exec *event, struct task_struct *task,
					    struct file *file, const char *path_given,
					    struct moat_event_counters *counters)
{
	moat_task_fill(&event->head.task, task);
	moat_exec_file_fill(&event->file, file);
	/* the kernel has counted the exec before it tells of it */
	event->previous_execs = event->head.task.self.execs - 1;
	event->tty = moat_exec_terminal(task);
	event->reserved = 0;
	return __builtin_offsetof(struct moat_event_exec, text) +
	       moat_exec_text(event, task, path_given, counters);
}

#endif
