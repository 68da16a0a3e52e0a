/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The short way of a flood from listed sources. Frames without tags that hold a whole TCP or UDP datagram
 * without options, extension headers or fragments, from a source that is on the deny list and of which
 * the tables say nothing else, are known to be dropped before the stages' packet is put together. What
 * is counted, and what else decides, is as on the common way, which takes all others.
 */
#ifndef MOAT_GATE_LISTED_H
#define MOAT_GATE_LISTED_H

#include "gate/cells.h"
#include "lib/parse.h"
#include "lib/sample.h"
#include "machine.h"

/* Leaf flags that other stages ask for. */
#define GATE_LISTED_FLAGS                                                            \
	(MOAT_LPM_DENY | MOAT_LPM_ALLOW | MOAT_LPM_NEIGHBOUR | MOAT_LPM_MANAGEMENT | \
	 MOAT_LPM_SESSION | MOAT_LPM_MARTIAN)

/* Shortest frames with all headers that are read. */
#define GATE_LISTED_V4 (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define GATE_LISTED_V6 (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct tcphdr))

/* The transport header behind `size` bytes of IP. 1 if that and the datagram are whole and plain. */
MOAT_INLINE int gate_listed_transport(struct moat_headers *h, const void *transport, __u32 size)
{
	const struct udphdr *udp = transport;
	const __u8 *tcp = transport;

	h->sport = bpf_ntohs(udp->source);
	h->dport = bpf_ntohs(udp->dest);
	if (h->proto == 6) {
		h->tcp_flags = tcp[13];
		/* what the sanity stage may drop for another reason takes the common way */
		if (port_stages & MOAT_STAGE_BROKEN) {
			__u32 header = (tcp[12] >> 4) * 4;

			if (header < sizeof(struct tcphdr) || size + header > h->l3_len)
				return 0;
		}
		if ((port_stages & MOAT_STAGE_FLAGS) && !moat_flags_are_legal(h->tcp_flags))
			return 0;
		return h->l3_len >= size + sizeof(struct tcphdr);
	}
	if (port_stages & MOAT_STAGE_BROKEN) {
		__u32 datagram = bpf_ntohs(udp->len);

		if (datagram < sizeof(struct udphdr) || size + datagram > h->l3_len)
			return 0;
	}
	/* behind UDP there may be a tunnel */
	return h->proto == 17 && !(tunnel_stages & (MOAT_STAGE_VXLAN | MOAT_STAGE_GENEVE)) &&
	       h->l3_len >= size + sizeof(struct udphdr);
}

/* 1 if the leaf says that the source is on the deny list, and nothing else. */
MOAT_INLINE int gate_listed_leaf(__u32 leaf)
{
	return (leaf & GATE_LISTED_FLAGS) == MOAT_LPM_DENY;
}

MOAT_INLINE int gate_listed_v4(struct moat_headers *h, const void *data, __u32 frame, __u32 half,
			       __u32 *errors)
{
	const struct iphdr *ip = data + sizeof(struct ethhdr);

	h->family = MOAT_FAMILY_V4;
	moat_addr_from_v4(&h->src, ip->saddr);
	moat_addr_from_v4(&h->dst, ip->daddr);
	if (!gate_listed_leaf(gate_lookup_src4(ip->saddr, half, errors)))
		return 0;
	h->l3_len = bpf_ntohs(ip->tot_len);
	h->proto = ip->protocol;
	return *(const __u8 *)ip == 0x45 && sizeof(struct ethhdr) + h->l3_len <= frame &&
	       !(ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_MASK)) &&
	       gate_listed_transport(h, ip + 1, sizeof(*ip));
}

MOAT_INLINE int gate_listed_v6(struct moat_headers *h, const void *data, __u32 frame, __u32 half,
			       __u32 *errors)
{
	const struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	__u32 total = bpf_ntohs(ip->payload_len) + sizeof(*ip);

	h->family = MOAT_FAMILY_V6;
	__builtin_memcpy(&h->src, &ip->saddr, sizeof(h->src));
	__builtin_memcpy(&h->dst, &ip->daddr, sizeof(h->dst));
	if (moat_addr_is_v4(&h->src) || !gate_listed_leaf(gate_lookup_src(&h->src, half, errors)))
		return 0;
	h->l3_len = total;
	h->proto = ip->nexthdr;
	return (*(const __u8 *)ip & 0xf0) == 0x60 && total <= 0xffff &&
	       sizeof(struct ethhdr) + total <= frame &&
	       gate_listed_transport(h, ip + 1, sizeof(*ip));
}

/* 1 if the packet took this way: then it is counted and to be dropped. */
MOAT_INLINE int gate_drop_listed(struct xdp_md *ctx, __u32 cpu, struct moat_gate_counters *count,
				 const volatile struct moat_gate_ctl *control)
{
	const void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 frame = end - data, half = control->active, errors = 0;
	const struct ethhdr *eth = data;
	struct moat_headers h = {};
	int listed = 0;

	if (!(port_stages & MOAT_STAGE_DENY) || half > 1 || data + GATE_LISTED_V4 > end)
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		listed = gate_listed_v4(&h, data, frame, half, &errors);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6) && data + GATE_LISTED_V6 <= end)
		listed = gate_listed_v6(&h, data, frame, half, &errors);
	if (!listed || ((port_stages & MOAT_STAGE_LAND) && moat_addr_equal(&h.src, &h.dst)))
		return 0;
	/* a packet that is to be sampled needs all its headers */
	if ((port_stages & MOAT_STAGE_SAMPLE) && !moat_sample_skip(count, 1, control->sample_drop))
		return 0;
	gate_count_cells(&h, cpu, moat_machine_ticks() >> window_shift, control, 1, &errors);
	moat_count_packet(count, MOAT_REASON_DROP_DENIED, frame);
	count->helper_errors += errors;
	return 1;
}

#endif
