/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What differs between kernels, in one place: structs under the names that older ones use, each read only
 * where the running kernel has the field.
 */
#ifndef MOAT_LIB_VERSIONS_H
#define MOAT_LIB_VERSIONS_H

#include <bpf/bpf_core_read.h>

/* The change time: i_ctime before 6.6, __i_ctime before 6.11, two fields since. */
struct inode___before_6_6 {
	struct timespec64 i_ctime;
} __attribute__((preserve_access_index));

struct inode___before_6_11 {
	struct timespec64 __i_ctime;
} __attribute__((preserve_access_index));

struct inode___since_6_11 {
	time64_t i_ctime_sec;
	__u32 i_ctime_nsec;
} __attribute__((preserve_access_index));

/* Nanoseconds since the epoch; `inode` comes from an argument of a BTF-typed program (read directly). */
static __always_inline __u64 moat_inode_ctime(struct inode *inode)
{
	struct inode___since_6_11 *since = (void *)inode;
	struct inode___before_6_11 *between = (void *)inode;
	struct inode___before_6_6 *before = (void *)inode;
	__u64 seconds = 0, ns = 0;

	if (bpf_core_field_exists(since->i_ctime_sec)) {
		seconds = since->i_ctime_sec;
		ns = since->i_ctime_nsec;
	} else if (bpf_core_field_exists(between->__i_ctime)) {
		seconds = between->__i_ctime.tv_sec;
		ns = between->__i_ctime.tv_nsec;
	} else if (bpf_core_field_exists(before->i_ctime)) {
		seconds = before->i_ctime.tv_sec;
		ns = before->i_ctime.tv_nsec;
	}
	return seconds * 1000000000ULL + ns;
}

/* Likewise, of an inode that was found by its address. */
static __always_inline __u64 moat_inode_ctime_at(struct inode *inode)
{
	struct inode___since_6_11 *since = (void *)inode;
	struct inode___before_6_11 *between = (void *)inode;
	struct inode___before_6_6 *before = (void *)inode;
	__u64 seconds = 0, ns = 0;

	if (bpf_core_field_exists(since->i_ctime_sec)) {
		seconds = BPF_CORE_READ(since, i_ctime_sec);
		ns = BPF_CORE_READ(since, i_ctime_nsec);
	} else if (bpf_core_field_exists(between->__i_ctime)) {
		seconds = BPF_CORE_READ(between, __i_ctime.tv_sec);
		ns = BPF_CORE_READ(between, __i_ctime.tv_nsec);
	} else if (bpf_core_field_exists(before->i_ctime)) {
		seconds = BPF_CORE_READ(before, i_ctime.tv_sec);
		ns = BPF_CORE_READ(before, i_ctime.tv_nsec);
	}
	return seconds * 1000000000ULL + ns;
}

#endif
