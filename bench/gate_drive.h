/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What bench gate's driver shares between its programs and its user side. */
#ifndef MOAT_BENCH_GATE_DRIVE_H
#define MOAT_BENCH_GATE_DRIVE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Packets of a pool: one run goes through it once. */
#define GATE_POOL (1u << 18)
/* Frames of Ethernet's least length, and what TCP over IPv6 takes; without FCS. */
#define GATE_FRAME_V4 64
#define GATE_FRAME_V6 80
/* The IPv4 frame in VXLAN: Ethernet, IPv4, UDP and VXLAN before it. */
#define GATE_VXLAN_HEAD 50
#define GATE_FRAME_VXLAN (GATE_VXLAN_HEAD + GATE_FRAME_V4)
#define GATE_MISS_WORDS (1u << 24) /* 64 MB */

/* All in network byte order. */
struct gate_pool_v4 {
	__be32 src, dst;
	__be16 sport, dport;
};

struct gate_pool_v6 {
	__u8 src[16], dst[16];
	__be16 sport, dport;
};

#endif
