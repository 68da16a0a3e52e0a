/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way out of what passed. The mode is a load-time constant: a program whose port leaves it to the kernel
 * has none of this, and bpf_fib_lookup is only in those that route.
 *
 * The gate looks at the frame's own headers again, since those that were judged may be a tunnel's inner ones,
 * and rewrites nothing before it knows that the frame leaves.
 */
#ifndef MOAT_GATE_FORWARD_H
#define MOAT_GATE_FORWARD_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "moat/forward.h"

#include "gate/maps.h"
#include "lib/parse.h"
#include "machine.h"

#define AF_INET 2
#define AF_INET6 10

const volatile __u32 forward_mode = MOAT_FORWARD_KERNEL;
const volatile __u32 forward_closed = 0; /* a wire without its peer drops */
const volatile __u8 forward_mac[8] = {}; /* of the port: what isn't addressed to it isn't ours to route */

MOAT_ARRAY(forward_counters, struct moat_forward_counters, 1); /* of this port, one element a CPU */

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 1); /* user space sizes it */
	__type(key, __u32);
	__type(value, __u32);
} ways SEC(".maps");

/* By the kernel's return value, BPF_FIB_LKUP_RET_* (include/uapi/linux/bpf.h). */
MOAT_INLINE enum moat_forward gate_fib_result(long result)
{
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		return MOAT_FORWARD_SENT;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return MOAT_FORWARD_REFUSED;
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return MOAT_FORWARD_LOCAL;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return MOAT_FORWARD_OFF;
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return MOAT_FORWARD_UNSUPPORTED;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		return MOAT_FORWARD_NEIGHBOUR;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return MOAT_FORWARD_TOO_BIG;
	default:
		return MOAT_FORWARD_ERROR;
	}
}

/* Looks at Ethernet: SENT if the frame is an untagged IP packet to this port. */
MOAT_INLINE enum moat_forward gate_fib_ethernet(const struct ethhdr *eth)
{
	__u16 type = eth->h_proto;

	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD))
		return MOAT_FORWARD_TAGGED;
	if (type != bpf_htons(ETH_P_IP) && type != bpf_htons(ETH_P_IPV6))
		return MOAT_FORWARD_NOT_IP;
#pragma unroll
	for (int i = 0; i < 6; i++) {
		if (eth->h_dest[i] != forward_mac[i])
			return MOAT_FORWARD_NOT_OURS;
	}
	return MOAT_FORWARD_SENT;
}

MOAT_INLINE enum moat_forward gate_fib_ask_v4(const struct iphdr *ip, struct bpf_fib_lookup *fib)
{
	if (ip->version != 4 || ip->ihl < 5)
		return MOAT_FORWARD_NOT_IP;
	if (ip->ihl != 5)
		return MOAT_FORWARD_OPTIONS;
	if (ip->ttl <= 1)
		return MOAT_FORWARD_TTL;
	fib->family = AF_INET;
	fib->tos = ip->tos;
	fib->l4_protocol = ip->protocol;
	fib->tot_len = bpf_ntohs(ip->tot_len);
	fib->ipv4_src = ip->saddr;
	fib->ipv4_dst = ip->daddr;
	return MOAT_FORWARD_SENT;
}

MOAT_INLINE enum moat_forward gate_fib_ask_v6(const struct ipv6hdr *ip, struct bpf_fib_lookup *fib)
{
	if (ip->version != 6)
		return MOAT_FORWARD_NOT_IP;
	if (ip->nexthdr == 0 || ip->nexthdr == 43)
		return MOAT_FORWARD_OPTIONS;
	if (ip->hop_limit <= 1)
		return MOAT_FORWARD_TTL;
	/* link-local addresses are no matter for routers (RFC 4291, 2.5.6) */
	if ((ip->saddr.in6_u.u6_addr32[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000) ||
	    (ip->daddr.in6_u.u6_addr32[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000))
		return MOAT_FORWARD_LOCAL;
	fib->family = AF_INET6;
	fib->flowinfo = *(const __be32 *)ip & bpf_htonl(0x0fffffff);
	fib->l4_protocol = ip->nexthdr;
	fib->tot_len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	__builtin_memcpy(fib->ipv6_src, &ip->saddr, sizeof(fib->ipv6_src));
	__builtin_memcpy(fib->ipv6_dst, &ip->daddr, sizeof(fib->ipv6_dst));
	return MOAT_FORWARD_SENT;
}

/* One hop less; the checksum follows (RFC 1624). */
MOAT_INLINE void gate_fib_hop(void *ip, int is_v4)
{
	struct iphdr *v4 = ip;
	struct ipv6hdr *v6 = ip;
	__u32 check;

	if (!is_v4) {
		v6->hop_limit--;
		return;
	}
	check = v4->check + bpf_htons(0x0100);
	v4->check = check + (check >= 0xffff);
	v4->ttl--;
}

/* *ret_action is set where the frame leaves. A frame is only touched once it does. */
MOAT_INLINE enum moat_forward gate_fib(struct xdp_md *ctx, int *ret_action)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bpf_fib_lookup fib = {};
	struct ethhdr *eth = data;
	enum moat_forward result;
	int is_v4;

	if ((void *)(eth + 1) > end)
		return MOAT_FORWARD_NOT_IP;
	result = gate_fib_ethernet(eth);
	if (result != MOAT_FORWARD_SENT)
		return result;
	is_v4 = eth->h_proto == bpf_htons(ETH_P_IP);
	if (data + sizeof(*eth) + (is_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) > end)
		return MOAT_FORWARD_NOT_IP;
	result = is_v4 ? gate_fib_ask_v4((void *)(eth + 1), &fib)
		       : gate_fib_ask_v6((void *)(eth + 1), &fib);
	if (result != MOAT_FORWARD_SENT)
		return result;
	fib.ifindex = ctx->ingress_ifindex;
	result = gate_fib_result(bpf_fib_lookup(ctx, &fib, sizeof(fib), 0));
	if (result != MOAT_FORWARD_SENT)
		return result;
	*ret_action = bpf_redirect_map(&ways, fib.ifindex, XDP_PASS);
	if (*ret_action != XDP_REDIRECT)
		return MOAT_FORWARD_NO_TARGET;
	__builtin_memcpy(eth->h_dest, fib.dmac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, fib.smac, sizeof(eth->h_source));
	gate_fib_hop(eth + 1, is_v4);
	return MOAT_FORWARD_SENT;
}

/* Counts and sends on. A global function, see gate_judge_rest: it has the stack to itself. The mode is asked
 * for here too, since older kernels keep functions that nobody calls: of this one no more than that. */
__attribute__((noinline)) int gate_send_on(struct xdp_md *ctx)
{
	struct moat_forward_counters *count = moat_map_element(forward_counters, moat_machine_cpu());
	enum moat_forward result = MOAT_FORWARD_SENT;
	int action = XDP_PASS;

	if (forward_mode == MOAT_FORWARD_KERNEL || !count)
		return XDP_PASS;
	if (forward_mode == MOAT_FORWARD_FIB) {
		result = gate_fib(ctx, &action);
	} else {
		action = bpf_redirect_map(&ways, MOAT_FORWARD_PEER | port_index,
					  forward_closed ? XDP_DROP : XDP_PASS);
		if (action != XDP_REDIRECT)
			result = MOAT_FORWARD_NO_TARGET;
	}
	if (result < MOAT_FORWARD_COUNT)
		count->packets[result]++;
	return action;
}

/* The action of a packet that passed. */
MOAT_INLINE int gate_forward(struct xdp_md *ctx)
{
	return forward_mode == MOAT_FORWARD_KERNEL ? XDP_PASS : gate_send_on(ctx);
}

#endif
