/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The look-alike generator: an XDP program that BPF_PROG_TEST_RUN runs on live frames. Every run rewrites the
 * whole frame (the kernel hands out used frames again, as the receiver left them) and redirects it to the
 * outer end of the gateway's uplink. Header for header the frames are a legitimate client's: only the
 * sources are random, and the lab's mark is in the DSCP, which the gate never looks at.
 */
/* Headers of packets are what the wire says: nothing here may depend on how a kernel declares them. */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tests/lab/generator.h"

#define ETH_P_IP 0x0800
#define PACE_SLACK_NS 50000
#define IP_DF 0x4000
#define RESOLVERS 4095 /* distinct reflectors less one */

struct generator_config flood; /* not const: the compiler would fold the copies from it */
__u64 frames;                  /* one CPU runs this program: a plain counter is exact */
__u64 due_ns;                  /* of the next frame */

struct syn_options {
	__u8 mss[4];
	__u8 sack_permitted[2];
	__u8 timestamps[2];
	__be32 value;
	__be32 echo;
	__u8 window_scale[4]; /* NOP, then the option */
};

struct syn {
	struct tcphdr tcp;
	struct syn_options options;
};

static __always_inline __sum16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Sum of a header of ours, in 16-bit words as they lie in memory. */
static __always_inline __u64 sum_words(const void *data, __u32 bytes)
{
	const __u16 *words = data;
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < bytes / 2; i++)
		sum += words[i];
	return sum;
}

static __always_inline __u64 pseudo_sum(__be32 source, __u8 protocol, __u16 length)
{
	return (__u64)source + flood.target + bpf_htons(protocol) + bpf_htons(length);
}

/* Any unicast address outside of the ranges that the lab itself, loopback and private nets use. */
static __always_inline __be32 random_source(void)
{
	__u32 address = bpf_get_prandom_u32();
	__u8 top = address >> 24;

	if (flood.kind == GENERATOR_AMP)
		return bpf_htonl(0x08000000 + (address & RESOLVERS) * 4093);
	if (top == 0 || top == 10 || top == 127 || top == 192 || top == 198 || top == 203 ||
	    top >= 224)
		address = 0x0b000000 | (address & 0xffffff);
	return bpf_htonl(address);
}

static __always_inline void put_ethernet(struct ethhdr *eth)
{
	__builtin_memcpy(eth->h_dest, flood.target_mac, 6);
	__builtin_memcpy(eth->h_source, flood.source_mac, 6);
	eth->h_proto = bpf_htons(ETH_P_IP);
}

/* Senders are 5 to 23 hops away, like the lab's clients. */
static __always_inline void put_ip(struct iphdr *ip, __be32 source, __u8 protocol, __u16 payload)
{
	__u32 random = bpf_get_prandom_u32();
	struct iphdr header = {
		.ihl = 5,
		.version = 4,
		.tos = flood.dscp << 2,
		.tot_len = bpf_htons(sizeof(*ip) + payload),
		.id = (__u16)random,
		.frag_off = flood.kind == GENERATOR_AMP ? 0 : bpf_htons(IP_DF),
		.ttl = 41 + (random >> 16) % 19,
		.protocol = protocol,
		.saddr = source,
		.daddr = flood.target,
	};

	header.check = fold(sum_words(&header, sizeof(header)));
	*ip = header;
}

/* Linux 5.x/6.x on a 1,460-byte path: 40 bytes of TCP header, window 64,240, scale 7. */
static __always_inline void put_syn(struct syn *syn, __be32 source)
{
	struct syn header = {
		.tcp = {
			.source = bpf_htons(32768 + bpf_get_prandom_u32() % 28232),
			.dest = bpf_htons(flood.target_port),
			.seq = bpf_get_prandom_u32(),
			.doff = sizeof(struct syn) / 4,
			.syn = 1,
			.window = bpf_htons(64240),
		},
		.options = {
			.mss = { 2, 4, 1460 >> 8, 1460 & 0xff },
			.sack_permitted = { 4, 2 },
			.timestamps = { 8, 10 },
			.value = bpf_get_prandom_u32(),
			.window_scale = { 1, 3, 3, 7 },
		},
	};

	header.tcp.check = fold(sum_words(&header, sizeof(header)) +
				pseudo_sum(source, IPPROTO_TCP, sizeof(header)));
	*syn = header;
}

static __always_inline void put_udp(struct udphdr *udp, __be32 source, __u16 payload, __u64 sum)
{
	__u16 high = bpf_htons(32768 + bpf_get_prandom_u32() % 28232);
	__u16 length = sizeof(*udp) + payload;
	bool answer = flood.kind == GENERATOR_AMP;
	struct udphdr header = {
		.source = answer ? bpf_htons(53) : high,
		.dest = answer ? high : bpf_htons(flood.target_port),
		.len = bpf_htons(length),
	};

	sum += sum_words(&header, sizeof(header)) + pseudo_sum(source, IPPROTO_UDP, length);
	header.check = fold(sum);
	if (!header.check)
		header.check = 0xffff;
	*udp = header;
}

static __always_inline void put_echo(struct icmphdr *icmp, __u64 sum)
{
	struct icmphdr header = { .type = 8 };

	header.un.echo.id = bpf_get_prandom_u32();
	header.un.echo.sequence = bpf_htons(1 + bpf_get_prandom_u32() % 64);
	header.checksum = fold(sum + sum_words(&header, sizeof(header)));
	*icmp = header;
}

/* Writes a variant's head behind the layer-4 header with a fresh transaction id; returns the payload's sum. */
static __always_inline __u64 put_head(__u8 *head, const struct generator_variant *variant)
{
	__u16 id = bpf_get_prandom_u32();
	__u64 sum = variant->sum;

	__builtin_memcpy(head, variant->head, GENERATOR_HEAD);
	if (flood.kind == GENERATOR_UDP || flood.kind == GENERATOR_AMP) {
		*(__u16 *)head = id; /* the template's id is 0 and adds nothing to its sum */
		sum += id;
	}
	return sum;
}

/* Both layer-4 headers with a payload are 8 bytes long. */
static __always_inline void put_payload_frame(struct iphdr *ip, __be32 source,
					      const struct generator_variant *variant)
{
	__u64 sum = put_head((__u8 *)(ip + 1) + 8, variant);

	if (flood.kind == GENERATOR_ICMP) {
		put_ip(ip, source, IPPROTO_ICMP, 8 + variant->length);
		put_echo((struct icmphdr *)(ip + 1), sum);
	} else {
		put_ip(ip, source, IPPROTO_UDP, 8 + variant->length);
		put_udp((struct udphdr *)(ip + 1), source, variant->length, sum);
	}
}

/*
 * Waits for the frame's turn. Frames in clumps would leave gaps in which a full queue takes the clients'
 * packets; what the machine delayed by more than 50 us is forgone, not made up for in a clump.
 */
static __always_inline void pace(void)
{
	__u64 now = bpf_ktime_get_ns();

	for (int i = 0; i < 1024 && now < due_ns; i++)
		now = bpf_ktime_get_ns();
	due_ns = (now > due_ns + PACE_SLACK_NS ? now : due_ns) + flood.interval_ns;
}

/* User space gives frames of the longest variant, never below the heads' end. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u32 index = flood.variants ? bpf_get_prandom_u32() % flood.variants : 0;
	__u32 length = sizeof(struct ethhdr) + sizeof(struct iphdr);
	const struct generator_variant *variant;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__be32 source = random_source();
	struct ethhdr *eth = data;

	pace();
	asm volatile("" : "+r"(index));
	index &= GENERATOR_VARIANTS - 1;
	if (data + length + 8 + GENERATOR_HEAD > end)
		return XDP_ABORTED;
	variant = &flood.variant[index];
	put_ethernet(eth);
	if (flood.kind == GENERATOR_SYN) {
		put_ip((struct iphdr *)(eth + 1), source, IPPROTO_TCP, sizeof(struct syn));
		put_syn((struct syn *)((__u8 *)(eth + 1) + sizeof(struct iphdr)), source);
		length += sizeof(struct syn);
	} else {
		put_payload_frame((struct iphdr *)(eth + 1), source, variant);
		length += 8 + variant->length;
	}
	if (bpf_xdp_adjust_tail(ctx, (int)length - (int)(end - data)))
		return XDP_ABORTED;
	frames++;
	return bpf_redirect(flood.ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
