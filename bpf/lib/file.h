/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a descriptor to its file. */
#ifndef MOAT_LIB_FILE_H
#define MOAT_LIB_FILE_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* The current task's open file; NULL: there is none. */
static __always_inline struct file *moat_file_of(struct task_struct *task, __u64 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;

	if ((__u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), &files[(__u32)fd]);
	return file;
}

#endif
