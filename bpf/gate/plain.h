/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The short way of most packets. Frames without tags that hold a whole TCP or UDP datagram without options,
 * extension headers or fragments are judged here, before the stages' packet is put together, as long as
 * nothing about them is of interest: their source is on the deny list and nothing else is said of it, or
 * nothing is said of it and no stage has anything to say. What is counted, and what is decided, is as on the
 * common way, which takes all others; nothing that isn't repeatable is done before it is clear that
 * a packet stays here.
 */
#ifndef MOAT_GATE_PLAIN_H
#define MOAT_GATE_PLAIN_H

#include "gate/cells.h"
#include "gate/sources.h"
#include "lib/match.h"
#include "lib/parse.h"
#include "lib/sample.h"
#include "machine.h"

/* Where a packet went. */
enum gate_plain {
	GATE_PLAIN_NOT = 0, /* the common way, still to go */
	GATE_PLAIN_DROPPED,
	GATE_PLAIN_PASSED,
};

/* Leaf flags that some stage asks for. */
#define GATE_PLAIN_FLAGS                                                             \
	(MOAT_LPM_DENY | MOAT_LPM_ALLOW | MOAT_LPM_NEIGHBOUR | MOAT_LPM_MANAGEMENT | \
	 MOAT_LPM_SESSION | MOAT_LPM_MARTIAN)

/* Shortest frames with all headers that are read. */
#define GATE_PLAIN_V4 (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define GATE_PLAIN_V6 (sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct tcphdr))

/* What is known of a packet on this way: scalars, which the compiler keeps in registers. */
struct gate_plain_packet {
	struct moat_headers headers; /* but offsets, ttl and tcp_seq */
	struct gate_cells *cells;
	struct moat_cell *to, *from;
	__u64 src_hash, dst_hash;
	__u64 now;
	__u32 frame;
	__u32 cpu;
	__u32 half, generation;
	__u32 leaf; /* of the source */
	__u32 errors;
};

/* The transport header behind `size` bytes of IP. 1 if that and the datagram are whole and plain. */
MOAT_INLINE int gate_plain_transport(struct moat_headers *h, const void *transport, __u32 size)
{
	const struct udphdr *udp = transport;
	const __u8 *tcp = transport;

	h->sport = bpf_ntohs(udp->source);
	h->dport = bpf_ntohs(udp->dest);
	h->has_ports = 1;
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
	if (h->proto != 17)
		return 0;
	if (port_stages & MOAT_STAGE_BROKEN) {
		__u32 datagram = bpf_ntohs(udp->len);

		if (datagram < sizeof(struct udphdr) || size + datagram > h->l3_len)
			return 0;
	}
	/* behind UDP there may be a tunnel */
	if (((tunnel_stages & MOAT_STAGE_VXLAN) && h->dport == vxlan_port) ||
	    ((tunnel_stages & MOAT_STAGE_GENEVE) && h->dport == geneve_port))
		return 0;
	return h->l3_len >= size + sizeof(struct udphdr);
}

/* 1 if some stage asks for what this TCP or UDP packet is, whoever it is from and to. */
MOAT_INLINE int gate_plain_is_asked(const struct gate_plain_packet *p, __u32 work)
{
	const struct moat_headers *h = &p->headers;

	if ((port_stages & MOAT_STAGE_CHALLENGE) && (work & MOAT_STAGE_CHALLENGE) &&
	    moat_challenge_part(h, challenge_form) != MOAT_CHALLENGE_NO_PART)
		return 1;
	if ((port_stages & MOAT_STAGE_AMPLIFICATION) && (work & MOAT_STAGE_AMPLIFICATION) &&
	    h->proto == 17) {
		__u16 longest = gate_stage_table(p->half)->reflect_len[moat_port_bound(h->sport)];

		return longest && h->l3_len > longest;
	}
	return 0;
}

/* What the tables say of an address that has a cell at hand: mostly the cell knows. */
MOAT_INLINE __u32 gate_plain_leaf(struct gate_plain_packet *p, struct moat_cell *cell,
				  const struct moat_addr *addr, int is_source)
{
	__u32 leaf;

	if (cell && cell->leaf_generation == p->generation)
		return cell->leaf;
	leaf = is_source ? gate_lookup_src(addr, p->half, &p->errors)
			 : gate_lookup_dst(addr, p->half, &p->errors);
	if (cell) {
		cell->leaf = leaf;
		cell->leaf_generation = p->generation;
	}
	return leaf;
}

/* 1 if nothing is said of the destination that this packet has to be judged by. */
MOAT_INLINE int gate_plain_is_free(struct gate_plain_packet *p, __u32 work)
{
	const struct moat_headers *h = &p->headers;
	__u32 leaf;

	if (!(work & (MOAT_STAGE_RULES | MOAT_STAGE_PROFILES)))
		return 1;
	leaf = gate_plain_leaf(p, p->to, &h->dst, 0);
	if ((port_stages & MOAT_STAGE_PROFILES) && (work & MOAT_STAGE_PROFILES) &&
	    (leaf & MOAT_LPM_PROFILE) && moat_kind_of(h) < MOAT_KIND_COUNT)
		return 0;
	return !(port_stages & MOAT_STAGE_RULES) || !(work & MOAT_STAGE_RULES) ||
	       !moat_summaries_match(gate_rule_table(p->half), p->leaf & MOAT_LPM_CLASS,
				     leaf & MOAT_LPM_CLASS, h->proto, h->dport);
}

/* 1 if the source is within its rates, and has paid. */
MOAT_INLINE int gate_plain_pays(struct gate_plain_packet *p, __u32 work)
{
	if (!(port_stages & MOAT_STAGE_SOURCES) || !(work & MOAT_STAGE_SOURCES))
		return 1;
	return gate_source_spend(&p->headers, p->leaf, p->half, p->cpu);
}

MOAT_INLINE void gate_plain_count(struct gate_plain_packet *p, struct moat_gate_counters *count,
				  __u32 reason, int drop)
{
	struct gate_cells *own = p->cells;
	struct moat_cell_gain gain;

	own->head.packets++;
	moat_cell_gain_of(&gain, &p->headers, p->now >> window_shift, drop);
	gate_cell_count(p->to, &p->cells->head.to, &gain, p->src_hash >> 24);
	gate_cell_count(p->from, &p->cells->head.from, &gain,
			moat_service_hash(p->dst_hash, p->headers.dport));
	moat_count_packet(count, reason, p->frame);
	count->helper_errors += p->errors;
}

/* Both cells. Their memory is asked for before anything waits for that of the tables. */
MOAT_INLINE void gate_plain_cells(struct gate_plain_packet *p)
{
	__u32 window = p->now >> window_shift;

	p->to = gate_cell_of(p->cells, p->cpu, GATE_TABLE_TO, p->dst_hash, &p->headers.dst, window);
	p->from = gate_cell_of(p->cells, p->cpu, GATE_TABLE_FROM, p->src_hash, &p->headers.src,
			       window);
}

/* Counts a packet that goes the short way, unless it is to be sampled, which needs all its headers. Once for
 * drops and once for what passes: what differs is known when this is compiled. */
MOAT_INLINE enum gate_plain gate_plain_finish(struct gate_plain_packet *p,
					      struct moat_gate_counters *count,
					      const volatile struct moat_gate_ctl *control,
					      __u32 work, int drop)
{
	if ((port_stages & MOAT_STAGE_SAMPLE) &&
	    !moat_sample_is_ahead(count, drop, drop ? control->sample_drop : control->sample_pass))
		return GATE_PLAIN_NOT;
	if (!drop && !gate_plain_pays(p, work))
		return GATE_PLAIN_NOT;
	if (port_stages & MOAT_STAGE_SAMPLE)
		count->sample_countdown[drop]--;
	gate_plain_count(p, count, drop ? MOAT_REASON_DROP_DENIED : MOAT_REASON_PASS_DEFAULT, drop);
	return drop ? GATE_PLAIN_DROPPED : GATE_PLAIN_PASSED;
}

/* Of a packet whose headers are plain, and whose source's leaf is known. */
MOAT_INLINE enum gate_plain gate_plain_end(struct gate_plain_packet *p,
					   struct moat_gate_counters *count,
					   const volatile struct moat_gate_ctl *control, int is_wire)
{
	__u32 work = port_stages & control->stages[p->half], flags = p->leaf & GATE_PLAIN_FLAGS;

	if ((port_stages & MOAT_STAGE_DENY) && flags == MOAT_LPM_DENY)
		return gate_plain_finish(p, count, control, work, 1);
	if (flags || is_wire || gate_plain_is_asked(p, work) || !gate_plain_is_free(p, work))
		return GATE_PLAIN_NOT;
	return gate_plain_finish(p, count, control, work, 0);
}

MOAT_INLINE enum gate_plain gate_plain_v4(struct gate_plain_packet *p, const void *data,
					  struct moat_gate_counters *count,
					  const volatile struct moat_gate_ctl *control, int is_wire)
{
	const struct iphdr *ip = data + sizeof(struct ethhdr);
	struct moat_headers *h = &p->headers;
	__u64 begun = control->hash_begun_v4;

	h->family = MOAT_FAMILY_V4;
	moat_addr_from_v4(&h->src, ip->saddr);
	moat_addr_from_v4(&h->dst, ip->daddr);
	h->l3_len = bpf_ntohs(ip->tot_len);
	h->proto = ip->protocol;
	if (*(const __u8 *)ip != 0x45 || sizeof(struct ethhdr) + h->l3_len > p->frame ||
	    (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_MASK)) ||
	    !gate_plain_transport(h, ip + 1, sizeof(*ip)) ||
	    ((port_stages & MOAT_STAGE_LAND) && ip->saddr == ip->daddr))
		return GATE_PLAIN_NOT;
	p->leaf = gate_lookup_src4(ip->saddr, p->half, &p->errors);
	if (!(p->leaf & MOAT_LPM_DENY) &&
	    gate_plain_is_asked(p, port_stages & control->stages[p->half]))
		return GATE_PLAIN_NOT;
	p->src_hash = moat_addr_hash_end(begun, h->src.quads[1]);
	p->dst_hash = moat_addr_hash_end(begun, h->dst.quads[1]);
	gate_plain_cells(p);
	return gate_plain_end(p, count, control, is_wire);
}

MOAT_INLINE enum gate_plain gate_plain_v6(struct gate_plain_packet *p, const void *data,
					  struct moat_gate_counters *count,
					  const volatile struct moat_gate_ctl *control, int is_wire)
{
	const struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	__u32 total = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	struct moat_headers *h = &p->headers;

	h->family = MOAT_FAMILY_V6;
	__builtin_memcpy(&h->src, &ip->saddr, sizeof(h->src));
	__builtin_memcpy(&h->dst, &ip->daddr, sizeof(h->dst));
	h->l3_len = total;
	h->proto = ip->nexthdr;
	if ((*(const __u8 *)ip & 0xf0) != 0x60 || total > 0xffff ||
	    sizeof(struct ethhdr) + total > p->frame || moat_addr_is_v4(&h->src) ||
	    moat_addr_is_v4(&h->dst) || !gate_plain_transport(h, ip + 1, sizeof(*ip)) ||
	    ((port_stages & MOAT_STAGE_LAND) && moat_addr_equal(&h->src, &h->dst)))
		return GATE_PLAIN_NOT;
	p->src_hash = moat_addr_hash(&h->src, control->hash_seed);
	p->dst_hash = moat_addr_hash(&h->dst, control->hash_seed);
	gate_plain_cells(p);
	p->leaf = gate_plain_leaf(p, p->from, &h->src, 1);
	return gate_plain_end(p, count, control, is_wire);
}

/* Judges and counts a packet, if it is plain. */
MOAT_INLINE enum gate_plain gate_judge_plain(struct xdp_md *ctx, __u32 cpu,
					     struct moat_gate_counters *count,
					     const volatile struct moat_gate_ctl *control,
					     int is_wire)
{
	const void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	union moat_gate_force force = { .word = control->force.word };
	struct gate_plain_packet p = {
		.cpu = cpu, .frame = end - data, .half = force.active, .generation = force.generation
	};
	const struct ethhdr *eth = data;

	if (p.half > 1 || data + GATE_PLAIN_V4 > end)
		return GATE_PLAIN_NOT;
	p.half &= 1;
	p.cells = moat_map_element(window_cells, cpu);
	if (!p.cells)
		return GATE_PLAIN_NOT;
	p.now = moat_machine_ticks();
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return gate_plain_v4(&p, data, count, control, is_wire);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6) && data + GATE_PLAIN_V6 <= end)
		return gate_plain_v6(&p, data, count, control, is_wire);
	return GATE_PLAIN_NOT;
}

#endif
