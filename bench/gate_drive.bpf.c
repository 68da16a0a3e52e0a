/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bench gate measures with. BPF_PROG_TEST_RUN repeats one packet, and the gate never alters it; so
 * a driver makes the next packet of a pool out of it, and calls the program under test as the kernel's XDP
 * hook would. The driver's own cost is measured by having it call a program that only drops.
 *
 * Also the yardsticks: programs that do nothing but a number of dependent reads of 64 MB at random.
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench/gate_drive.h"
#include "moat/challenge.h"

/* What the next packet differs by, and what it has in common with the others. */
__u32 pool_mask; /* packets in use - 1 */
__u32 pool_next;
__u32 live_ifindex; /* where drive_live sends to */
struct gate_pool_v4 pool_v4[GATE_POOL];
struct gate_pool_v6 pool_v6[GATE_POOL];
__u8 template_v4[GATE_FRAME_V4];
__u8 template_v6[GATE_FRAME_V6];
__u8 template_vxlan[GATE_FRAME_VXLAN];
__u64 miss_count;
__u32 miss_table[GATE_MISS_WORDS];

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps"), target_plain SEC(".maps");

struct frame_v4 {
	struct ethhdr eth;
	struct iphdr ip;
	__be16 sport, dport;
	__u8 rest[GATE_FRAME_V4 - 38];
} __attribute__((packed));

struct frame_vxlan {
	__u8 outer[GATE_VXLAN_HEAD];
	struct frame_v4 inner;
} __attribute__((packed));

struct frame_v6 {
	struct ethhdr eth;
	struct ipv6hdr ip;
	__be16 sport, dport;
	__u8 rest[GATE_FRAME_V6 - 58];
} __attribute__((packed));

static __always_inline int make_v4(struct xdp_md *ctx)
{
	struct frame_v4 *frame = (void *)(long)ctx->data;
	const struct gate_pool_v4 *next = &pool_v4[pool_next++ & pool_mask & (GATE_POOL - 1)];

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return 0;
	__builtin_memcpy(frame, template_v4, sizeof(template_v4));
	frame->ip.saddr = next->src;
	frame->ip.daddr = next->dst;
	frame->sport = next->sport;
	frame->dport = next->dport;
	return 1;
}

static __always_inline int make_vxlan(struct xdp_md *ctx)
{
	struct frame_vxlan *frame = (void *)(long)ctx->data;
	const struct gate_pool_v4 *next = &pool_v4[pool_next++ & pool_mask & (GATE_POOL - 1)];

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return 0;
	__builtin_memcpy(frame, template_vxlan, sizeof(template_vxlan));
	frame->inner.ip.saddr = next->src;
	frame->inner.ip.daddr = next->dst;
	frame->inner.sport = next->sport;
	frame->inner.dport = next->dport;
	return 1;
}

static __always_inline int make_v6(struct xdp_md *ctx)
{
	struct frame_v6 *frame = (void *)(long)ctx->data;
	const struct gate_pool_v6 *next = &pool_v6[pool_next++ & pool_mask & (GATE_POOL - 1)];

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return 0;
	__builtin_memcpy(frame, template_v6, sizeof(template_v6));
	__builtin_memcpy(&frame->ip.saddr, next->src, sizeof(next->src));
	__builtin_memcpy(&frame->ip.daddr, next->dst, sizeof(next->dst));
	frame->sport = next->sport;
	frame->dport = next->dport;
	return 1;
}

SEC("xdp.frags")
int drive_v4(struct xdp_md *ctx)
{
	if (make_v4(ctx))
		bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int drive_v6(struct xdp_md *ctx)
{
	if (make_v6(ctx))
		bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int drive_vxlan(struct xdp_md *ctx)
{
	if (make_vxlan(ctx))
		bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

/* For programs that know no frames in pieces. */
SEC("xdp")
int drive_plain(struct xdp_md *ctx)
{
	if (make_v4(ctx))
		bpf_tail_call(ctx, &target_plain, 0);
	return XDP_ABORTED;
}

/* On live frames: to the other end of a wire. */
SEC("xdp.frags")
int drive_live_v4(struct xdp_md *ctx)
{
	return make_v4(ctx) ? bpf_redirect(live_ifindex, 0) : XDP_ABORTED;
}

SEC("xdp.frags")
int drive_live_v6(struct xdp_md *ctx)
{
	return make_v6(ctx) ? bpf_redirect(live_ifindex, 0) : XDP_ABORTED;
}

SEC("xdp.frags")
int bare(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp")
int bare_plain(struct xdp_md *ctx)
{
	return XDP_DROP;
}

/* Each place to read comes of what was read before; packets don't wait for one another. */
static __always_inline int miss(int reads)
{
	__u64 state = miss_count++ * 0x9e3779b97f4a7c15ULL;

#pragma unroll
	for (int i = 0; i < reads; i++) {
		state = (state ^ (state >> 32)) * 0xd6e8feb86659fd93ULL;
		state += miss_table[(state >> 33) & (GATE_MISS_WORDS - 1)];
	}
	/* never, but the compiler doesn't know */
	return state == 0 ? XDP_PASS : XDP_DROP;
}

#define MISS(reads)                         \
	SEC("xdp.frags")                    \
	int miss##reads(struct xdp_md *ctx) \
	{                                   \
		return miss(reads);         \
	}

MISS(1)
MISS(2)
MISS(3)
MISS(4)

/* What a SYN cookie costs, by the kernel's helper and by our own hash: of the frames that drivers make. */
SEC("xdp")
int cookie_kernel(struct xdp_md *ctx)
{
	struct frame_v4 *frame = (void *)(long)ctx->data;

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	/* frames are packed, so their members have no addresses to take */
	return bpf_tcp_raw_gen_syncookie_ipv4((void *)frame + 14, (void *)frame + 34, 20) < 0
		       ? XDP_ABORTED
		       : XDP_DROP;
}

struct moat_challenge_state cookie_state;

SEC("xdp")
int cookie_siphash(struct xdp_md *ctx)
{
	struct frame_v4 *frame = (void *)(long)ctx->data;
	struct moat_headers h = { .family = MOAT_FAMILY_V4 };

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	h.src.words[3] = frame->ip.saddr;
	h.dst.words[3] = frame->ip.daddr;
	h.sport = bpf_ntohs(frame->sport);
	h.dport = bpf_ntohs(frame->dport);
	/* one in 2^32 of them passes: the compiler can't leave it out */
	return moat_challenge_cookie(&cookie_state, &h, 7) == 0 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
