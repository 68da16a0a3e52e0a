/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What stands for the gate in libxdp's dispatcher, beside programs of others. The dispatcher's programs can't be
 * exchanged one by one, so this one stays and calls the port's program, which can, in one step.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

SEC("xdp")
int moat_gate(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &programs, 0);
	/* the gate was taken off and its place in the dispatcher could not be */
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
