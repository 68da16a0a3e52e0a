/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Somebody else's XDP program: drops UDP over IPv4 without options to port 7200, and passes all else. */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int neighbour(struct xdp_md *ctx)
{
	struct {
		struct ethhdr ethernet;
		struct iphdr ip;
		struct udphdr udp;
	} __attribute__((packed)) *frame = (void *)(long)ctx->data;

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end ||
	    frame->ethernet.h_proto != bpf_htons(0x0800) || frame->ip.protocol != 17)
		return XDP_PASS;
	return frame->udp.dest == bpf_htons(7200) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
