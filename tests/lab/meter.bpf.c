/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lab's own eyes: marks what leaves the attackers (a DSCP drawn for each run, which the gate never looks
 * at) and counts marked and clean packets before the gate and behind it. Nothing here is part of moat.
 */
/* Headers of packets are what the wire says: nothing here may depend on how a kernel declares them. */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tests/lab/meter.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
#define TC_ACT_OK 0
#define BPF_F_RECOMPUTE_NONE 0

struct counts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, METER_BUCKETS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct meter_bucket);
};

struct counts sent SEC(".maps");
struct counts passed SEC(".maps");

const volatile __u8 mark_dscp = 1;
const volatile __u32 servers_net;     /* host order */
const volatile __u32 servers_mask;    /* host order */
const volatile __u32 servers6_net[2]; /* the first 64 bits, network order */
__u64 base_ns;                        /* start of bucket 0 */
__u64 first_marked_ns; /* first marked packet before the gate since base_ns, 0 while none */

/* One IP packet as the meter sees it. */
struct seen {
	bool ip;
	bool to_servers;
	__u8 dscp;
};

static __always_inline struct seen look(struct __sk_buff *skb)
{
	struct seen seen = {};

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &ip, sizeof(ip)))
			return seen;
		seen.ip = true;
		seen.dscp = ip.tos >> 2;
		seen.to_servers = (bpf_ntohl(ip.daddr) & servers_mask) == servers_net;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		__u32 words[10];

		if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), words, sizeof(words)))
			return seen;
		seen.ip = true;
		seen.dscp = (bpf_ntohl(words[0]) >> 22) & 0x3f;
		seen.to_servers = words[6] == servers6_net[0] && words[7] == servers6_net[1];
	}
	return seen;
}

static __always_inline void count(struct __sk_buff *skb, void *map, bool before_gate)
{
	struct seen seen = look(skb);
	struct meter_bucket *bucket;
	__u64 now = bpf_ktime_get_ns();
	__u32 slot = (now - base_ns) / METER_BUCKET_NS;
	__u32 packets = skb->gso_segs > 1 ? skb->gso_segs : 1;

	if (!seen.ip || !seen.to_servers)
		return;
	if (slot >= METER_BUCKETS)
		slot = METER_BUCKETS - 1;
	bucket = bpf_map_lookup_elem(map, &slot);
	if (!bucket)
		return;
	if (seen.dscp == mark_dscp) {
		__sync_fetch_and_add(&bucket->marked, packets);
		if (before_gate && !first_marked_ns)
			__sync_val_compare_and_swap(&first_marked_ns, 0, now);
	} else {
		__sync_fetch_and_add(&bucket->clean, packets);
	}
}

/* Outer end of the gateway's uplink: what the gate is about to get from the kernel's stack. */
SEC("tc")
int count_sent(struct __sk_buff *skb)
{
	count(skb, &sent, true);
	return TC_ACT_OK;
}

/* Gateway's inner interface, before the bottleneck's queue: what the gate let through. */
SEC("tc")
int count_passed(struct __sk_buff *skb)
{
	count(skb, &passed, false);
	return TC_ACT_OK;
}

/* Everything that leaves the attackers' stack carries the mark, whatever program made it. */
SEC("tc")
int mark_attack(struct __sk_buff *skb)
{
	__u32 at = sizeof(struct ethhdr);
	__be16 old, new;

	if (bpf_skb_load_bytes(skb, at, &old, sizeof(old)))
		return TC_ACT_OK;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		new = (old & bpf_htons(0xff03)) | bpf_htons((__u16)mark_dscp << 2);
		bpf_l3_csum_replace(skb, at + __builtin_offsetof(struct iphdr, check), old, new,
				    sizeof(new));
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		new = (old & bpf_htons(0xf03f)) | bpf_htons((__u16)mark_dscp << 6);
	} else {
		return TC_ACT_OK;
	}
	bpf_skb_store_bytes(skb, at, &new, sizeof(new), BPF_F_RECOMPUTE_NONE);
	return TC_ACT_OK;
}

/* Clients sit 5 to 23 hops away, each address always equally far: TTL tells no more here than on the internet. */
SEC("tc")
int spread_ttl(struct __sk_buff *skb)
{
	__u32 at = sizeof(struct ethhdr);
	__u32 source;
	__be16 old, new;
	__u8 ttl;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, at + 20, &source, sizeof(source)))
			return TC_ACT_OK;
		ttl = 41 + bpf_ntohl(source) * 2654435761U % 19;
		bpf_skb_store_bytes(skb, at + 7, &ttl, sizeof(ttl), BPF_F_RECOMPUTE_NONE);
		return TC_ACT_OK;
	}
	if (skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, at + __builtin_offsetof(struct iphdr, saddr), &source,
			       sizeof(source)) ||
	    bpf_skb_load_bytes(skb, at + __builtin_offsetof(struct iphdr, ttl), &old, sizeof(old)))
		return TC_ACT_OK;
	ttl = 41 + bpf_ntohl(source) * 2654435761U % 19;
	new = (old & bpf_htons(0x00ff)) | bpf_htons((__u16)ttl << 8);
	bpf_l3_csum_replace(skb, at + __builtin_offsetof(struct iphdr, check), old, new,
			    sizeof(new));
	bpf_skb_store_bytes(skb, at + __builtin_offsetof(struct iphdr, ttl), &new, sizeof(new),
			    BPF_F_RECOMPUTE_NONE);
	return TC_ACT_OK;
}

/* Stands in the gate's place while moat is off: a veth takes live frames only if its peer runs XDP. */
SEC("xdp")
int pass_all(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/* At the uplink's outer end: SYN-ACKs to forged sources are carried away, as on the internet, before they
 * cost this machine anything; all else arrives. The lab's clients are 198.18.0.0/15. */
SEC("xdp")
int take_answers(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(0x0800) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP || !tcp->syn || !tcp->ack)
		return XDP_PASS;
	return (bpf_ntohl(ip->daddr) & 0xfffe0000) == 0xc6120000 ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
