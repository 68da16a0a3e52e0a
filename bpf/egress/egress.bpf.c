/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a container sends, at the host's side of its veth. Loaded once an interface, whose slot is a constant.
 *
 *   egress  clsact, where the container's packets come in: GSO frames stay whole, and are counted as the
 *           packets that they become
 *   cut     XDP, while the container is cut off altogether: its packets end before the stack sees them. XDP on
 *           a veth takes the container's GSO away, so it stands there no longer than that
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "moat/egress.h"

#define TC_ACT_UNSPEC (-1) /* to the next filter, whosoever it is */
#define TC_ACT_SHOT 2
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_HEADER 14
#define ICMPV6 58 /* in vmlinux.h a macro of the kernel, so not there */

const volatile __u32 slot_index = 0;
const volatile __u32 cpus = 1; /* elements a slot in counters and shares */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MOAT_EGRESS_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct moat_egress_slot);
} slots SEC(".maps");

/* one element a slot and CPU: user space sizes them */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MOAT_EGRESS_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct moat_egress_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MOAT_EGRESS_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct moat_limit_share);
} shares SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MOAT_EGRESS_CUTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct moat_egress_key);
	__type(value, __u32);
} cuts SEC(".maps");

/* A frame, from either hook. */
struct egress_frame {
	void *ctx;
	void *data, *end; /* what lies in the first buffer */
	int is_xdp;       /* a constant where it is inlined */
};

struct egress_packet {
	struct moat_addr dst;
	__u32 headers; /* bytes up to the end of the transport header, as far as read */
	__u8 is_ip;
	__u8 proto;
	__u8 tcp_flags;
};

MOAT_INLINE long egress_read(const struct egress_frame *frame, __u32 offset, void *to,
			     const __u32 size)
{
	void *from = frame->data + offset;

	if (from + size <= frame->end) {
		__builtin_memcpy(to, from, size);
		return 0;
	}
	return frame->is_xdp ? bpf_xdp_load_bytes(frame->ctx, offset, to, size)
			     : bpf_skb_load_bytes(frame->ctx, offset, to, size);
}

/* Reads the transport's header: flags of TCP, and how long it is. */
MOAT_INLINE void egress_transport(const struct egress_frame *frame, struct egress_packet *packet)
{
	__u8 tcp[14];

	if (packet->proto == IPPROTO_UDP) {
		packet->headers += 8;
	} else if (packet->proto == IPPROTO_TCP &&
		   egress_read(frame, packet->headers, tcp, sizeof(tcp)) == 0) {
		packet->tcp_flags = tcp[13];
		packet->headers += (tcp[12] >> 4) * 4;
	}
}

/* Ethernet, IP, transport. Tags that aren't in the frame's metadata, and extension headers, are not looked
 * behind: such packets count as they are. */
MOAT_INLINE void egress_parse(const struct egress_frame *frame, struct egress_packet *packet)
{
	struct ipv6hdr v6;
	struct iphdr v4;
	__be16 type;

	packet->headers = ETH_HEADER;
	if (egress_read(frame, 12, &type, sizeof(type)) < 0)
		return;
	if (type == bpf_htons(ETH_P_IP)) {
		if (egress_read(frame, ETH_HEADER, &v4, sizeof(v4)) < 0)
			return;
		moat_addr_from_v4(&packet->dst, v4.daddr);
		packet->proto = v4.protocol;
		packet->headers += v4.ihl * 4;
		if (v4.frag_off & bpf_htons(0x1fff))
			packet->proto = 0; /* a later fragment has no transport header */
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		if (egress_read(frame, ETH_HEADER, &v6, sizeof(v6)) < 0)
			return;
		__builtin_memcpy(&packet->dst, &v6.daddr, sizeof(packet->dst));
		packet->proto = v6.nexthdr;
		packet->headers += sizeof(v6);
	} else {
		return;
	}
	packet->is_ip = 1;
	egress_transport(frame, packet);
}

MOAT_INLINE enum moat_egress_reason egress_cut_reason(const struct moat_egress_slot *slot,
						      const struct egress_packet *packet)
{
	struct moat_egress_key key;
	__u32 cut = *(volatile __u32 *)&slot->cut;

	if (cut == MOAT_EGRESS_CUT_ALL)
		return MOAT_EGRESS_DROP_CUT;
	if (cut != MOAT_EGRESS_CUT_DESTINATIONS || !packet->is_ip)
		return MOAT_EGRESS_PASS;
	key.prefix = 32 + 128;
	key.slot = slot_index;
	key.addr = packet->dst;
	return bpf_map_lookup_elem(&cuts, &key) ? MOAT_EGRESS_DROP_DESTINATION : MOAT_EGRESS_PASS;
}

/* A frame is never split: it passes if anything is left, and what it takes beyond is a debt that its bucket
 * pays first, so that the rate holds over time however large frames are. */
MOAT_INLINE enum moat_egress_reason egress_limit_reason(struct moat_egress_slot *slot,
							struct moat_limit_share *share,
							__u32 packets, __u64 bytes)
{
	__u64 now = bpf_jiffies64();

	if (slot->packets.cost &&
	    !moat_share_fill(&slot->buckets.packets, &share->packets, &slot->packets, now, packets))
		return MOAT_EGRESS_DROP_PACKETS;
	if (slot->bytes.cost &&
	    !moat_share_fill(&slot->buckets.bytes, &share->bytes, &slot->bytes, now, bytes))
		return MOAT_EGRESS_DROP_BYTES;
	if (slot->packets.cost)
		moat_share_spend(&slot->buckets.packets, &share->packets, &slot->packets, packets);
	if (slot->bytes.cost)
		moat_share_spend(&slot->buckets.bytes, &share->bytes, &slot->bytes, bytes);
	return MOAT_EGRESS_PASS;
}

MOAT_INLINE void egress_count(struct moat_egress_counters *count, const struct egress_packet *packet,
			      enum moat_egress_reason reason, __u32 packets, __u64 bytes)
{
	count->in.packets += packets;
	count->in.bytes += bytes;
	if (reason >= MOAT_EGRESS_REASONS)
		return; /* for the verifier */
	count->reasons[reason].packets += packets;
	count->reasons[reason].bytes += bytes;
	count->frames++;
	if (packet->proto == IPPROTO_TCP) {
		if ((packet->tcp_flags & (MOAT_TCP_SYN | MOAT_TCP_ACK)) == MOAT_TCP_SYN)
			count->syn += packets;
	} else if (packet->proto == IPPROTO_UDP) {
		count->udp += packets;
	} else if (packet->proto == IPPROTO_ICMP || packet->proto == ICMPV6) {
		count->icmp += packets;
	}
	count->unread += !packet->is_ip;
}

/* How many packets a frame is on a wire, and of how many bytes. The number is the kernel's; a guest's or a
 * socket's own frames may come without (SKB_GSO_DODGY), then it follows from the size. */
MOAT_INLINE void egress_measure(const struct __sk_buff *skb, const struct egress_packet *packet,
				__u32 *ret_packets, __u64 *ret_bytes)
{
	__u32 packets = skb->gso_segs, size = skb->gso_size;

	if (packets == 0)
		packets = 1;
	if (packets == 1 && size && skb->len > packet->headers + size)
		packets = (skb->len - packet->headers + size - 1) / size;
	*ret_packets = packets;
	*ret_bytes = skb->len + (__u64)(packets - 1) * packet->headers;
}

SEC("tc")
int egress(struct __sk_buff *skb)
{
	struct egress_frame frame = { .ctx = skb,
				      .data = (void *)(long)skb->data,
				      .end = (void *)(long)skb->data_end };
	__u32 slot_key = slot_index, cpu_key = slot_index * cpus + bpf_get_smp_processor_id();
	struct moat_egress_slot *slot = bpf_map_lookup_elem(&slots, &slot_key);
	struct moat_egress_counters *count = bpf_map_lookup_elem(&counters, &cpu_key);
	struct moat_limit_share *share = bpf_map_lookup_elem(&shares, &cpu_key);
	struct egress_packet packet = {};
	enum moat_egress_reason reason;
	__u32 packets;
	__u64 bytes;

	if (!slot || !count || !share)
		return TC_ACT_UNSPEC; /* arrays have these elements */
	egress_parse(&frame, &packet);
	egress_measure(skb, &packet, &packets, &bytes);
	reason = egress_cut_reason(slot, &packet);
	if (reason == MOAT_EGRESS_PASS)
		reason = egress_limit_reason(slot, share, packets, bytes);
	egress_count(count, &packet, reason, packets, bytes);
	return reason == MOAT_EGRESS_PASS ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/* What it lets pass is judged and counted by the other program. */
SEC("xdp.frags")
int cut(struct xdp_md *ctx)
{
	struct egress_frame frame = { .ctx = ctx,
				      .data = (void *)(long)ctx->data,
				      .end = (void *)(long)ctx->data_end,
				      .is_xdp = 1 };
	__u32 slot_key = slot_index, cpu_key = slot_index * cpus + bpf_get_smp_processor_id();
	struct moat_egress_slot *slot = bpf_map_lookup_elem(&slots, &slot_key);
	struct moat_egress_counters *count = bpf_map_lookup_elem(&counters, &cpu_key);
	struct egress_packet packet = {};

	if (!slot || !count || *(volatile __u32 *)&slot->cut != MOAT_EGRESS_CUT_ALL)
		return XDP_PASS;
	egress_parse(&frame, &packet);
	egress_count(count, &packet, MOAT_EGRESS_DROP_CUT, 1, bpf_xdp_get_buff_len(ctx));
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
