/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files and paths as the kernel has them. What comes here are bare addresses, read with care: a program at a
 * breakpoint has no typed pointers, and so all means share one code.
 */
#ifndef MOAT_LIB_PATH_H
#define MOAT_LIB_PATH_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "lib/file.h"
#include "lib/versions.h"
#include "moat/event_file.h"

#define MOAT_TMPFS_MAGIC 0x01021994
#define MOAT_MS_KERNMOUNT (1 << 22)
#define MOAT_AT_FDCWD (-100)
#define MOAT_TEXT_LEN (MOAT_PART_COUNT * MOAT_PART_LEN)

static __always_inline struct mount *moat_mount_of(struct vfsmount *mnt)
{
	struct mount *nothing = NULL;

	return (struct mount *)((char *)mnt -
				__builtin_preserve_field_info(nothing->mnt, BPF_FIELD_BYTE_OFFSET));
}

static __always_inline struct vfsmount *moat_mount_is(struct mount *mount)
{
	return (struct vfsmount *)((char *)mount +
				   __builtin_preserve_field_info(mount->mnt, BPF_FIELD_BYTE_OFFSET));
}

/* Appends the names of a dentry and of all above it, up to the root of its mount namespace, at `from` of the
 * text, and notes the length; a part that is cut says so. Returns the place behind. A global function, verified
 * once. */
__noinline int moat_path_walk(struct moat_event_file *event, __u64 dentry_address,
			      __u64 mount_address, __u32 part, __u32 from)
{
	struct dentry *dentry = (struct dentry *)dentry_address;
	struct vfsmount *mnt = (struct vfsmount *)mount_address;
	struct mount *mount = moat_mount_of(mnt), *above;
	__u32 at = from;
	int cut = 1;

	if (!event)
		return 0;
	for (int i = 0; i < 2 * MOAT_PART_DEPTH; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		long length;

		/* the root of what is mounted: on with the place it is mounted at */
		if (mnt && dentry == BPF_CORE_READ(mnt, mnt_root)) {
			above = BPF_CORE_READ(mount, mnt_parent);
			if (above == mount || !above) {
				cut = 0;
				break;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			mnt = moat_mount_is(mount);
			continue;
		}
		if (dentry == parent || !parent) {
			cut = 0; /* of no mount: a pipe, a memfd */
			if (at != from)
				break;
		}
		asm volatile("" : "+r"(at));
		if (at > MOAT_TEXT_LEN - MOAT_FILE_NAME_LEN ||
		    at - from > MOAT_PART_LEN - MOAT_FILE_NAME_LEN)
			break;
		length = bpf_probe_read_kernel_str(event->text + at, MOAT_FILE_NAME_LEN,
						   BPF_CORE_READ(dentry, d_name.name));
		if (length < 0)
			break;
		at += length;
		if (!cut)
			break;
		dentry = parent;
	}
	event->lengths[part & 3] = at - from;
	if (cut)
		event->flags |= MOAT_FILE_CUT << (part & 3);
	return at;
}

static __always_inline void moat_inode_fill(struct moat_event_file *event, struct inode *inode)
{
	struct super_block *super = BPF_CORE_READ(inode, i_sb);

	event->file.inode = BPF_CORE_READ(inode, i_ino);
	event->file.ctime_ns = moat_inode_ctime_at(inode);
	event->file.device = BPF_CORE_READ(super, s_dev);
	event->file.flags = 0;
	if (BPF_CORE_READ(inode, i_nlink) == 0)
		event->file.flags |= MOAT_FILE_UNLINKED;
	if (BPF_CORE_READ(super, s_magic) == MOAT_TMPFS_MAGIC &&
	    (BPF_CORE_READ(super, s_flags) & MOAT_MS_KERNMOUNT))
		event->file.flags |= MOAT_FILE_MEMFD;
	event->mode = BPF_CORE_READ(inode, i_mode);
	event->owner = BPF_CORE_READ(inode, i_uid.val);
}

/* All that is not told stays 0. */
static __always_inline void moat_file_begin(struct moat_event_file *event)
{
	__builtin_memset(&event->file, 0, sizeof(event->file));
	__builtin_memset(&event->lengths, 0, sizeof(event->lengths));
	event->flags = 0;
	event->mode = 0;
	event->owner = ~0U;
	event->dir_fd = ~0U;
}

static __always_inline __u64 moat_file_size(__u64 text)
{
	return __builtin_offsetof(struct moat_event_file, text) + text;
}

#endif
