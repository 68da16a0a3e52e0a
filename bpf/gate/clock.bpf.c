/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's clock, read by user space: expiries and windows are told in jiffies, whose rate and origin
 * only the kernel knows. Run by BPF_PROG_TEST_RUN, never attached.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

struct moat_gate_time {
	__u64 jiffies;
	__u64 monotonic_ns;
};

SEC("syscall")
int read_clock(struct moat_gate_time *time)
{
	time->jiffies = bpf_jiffies64();
	time->monotonic_ns = bpf_ktime_get_ns();
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
