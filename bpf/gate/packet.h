/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the stages know of one packet, and the leaves of its addresses. */
#ifndef MOAT_GATE_PACKET_H
#define MOAT_GATE_PACKET_H

#include "gate/maps.h"
#include "lib/lookup.h"
#include "lib/match.h"
#include "machine.h"

/* One packet on its way through the stages. */
struct gate_packet {
	struct moat_headers headers;
	__u64 now; /* jiffies */
	__u32 cpu;
	__u32 half;     /* of every table, read once */
	__u8 parse;     /* enum moat_parse */
	__u8 challenge; /* enum moat_challenge_outcome of who asked */
	__u16 reason;   /* enum moat_reason */
	__u32 rule_id;
	__u32 sample_interval; /* of the rule that sampled it; 0: none did */
	union {                /* the stack is short */
		__u32 tries;   /* rules looked at; */
		__u32 cookie;  /* behind them, of the answer to be sent */
	};
	__u32 expired;  /* of them */
	__u32 errors;   /* lookups that failed and can't */
	__u32 dst_leaf; /* looked up by gate_judge for the stages from the rules on */
	/* of the rules' stage, which sets them */
	struct moat_classes classes;
	struct moat_matches matches;
};

/* The same where a half's nodes are more than one element: one lookup a level. */
MOAT_INLINE __u32 gate_descend_chunks(__u32 half, __u32 leaf, __u64 high, __u64 low, __u32 *errors)
{
#pragma clang loop unroll(disable)
	for (int level = 0; level < MOAT_LPM_V6_LEVELS && (leaf & MOAT_LPM_CHILD); level++) {
		__u32 node = leaf & ~MOAT_LPM_CHILD;
		const __u32 *nodes = moat_map_element(
			trie_nodes, half * node_chunks + (node >> MOAT_LPM_CHUNK_SHIFT));

		if (!nodes) {
			++*errors;
			return 0;
		}
		leaf = moat_lookup_child(nodes, node_count, node & (MOAT_LPM_CHUNK_NODES - 1),
					 high >> 56);
		high = high << 8 | low >> 56;
		low <<= 8;
	}
	return leaf;
}

_Static_assert(sizeof(struct gate_packet) <= MOAT_GATE_SCRATCH, "see moat/gate.h");

/*
 * This CPU's packet. In a table, not on the stack: of what the verifier reads from there it assumes nothing,
 * so that all ways through the parser look alike to what follows, which it then verifies once instead of
 * once for each of them.
 */
MOAT_INLINE struct gate_packet *gate_packet_of(__u32 cpu)
{
	return moat_table(scratch) + (__u64)(cpu & cpu_mask) * MOAT_GATE_SCRATCH;
}

/* Goes down from a root's entry, for the few addresses whose prefixes are longer than the root's. `errors`
 * counts lookups that failed and can't. */
MOAT_INLINE __u32 gate_descend(__u32 half, __u32 leaf, __u64 high, __u64 low, __u32 *errors)
{
	const __u32 *nodes;

	if (!(leaf & MOAT_LPM_CHILD))
		return leaf;
	if (node_chunks > 1)
		return gate_descend_chunks(half, leaf, high, low, errors);
	nodes = moat_map_element(trie_nodes, half);
	if (!nodes) {
		++*errors;
		return 0;
	}
	return moat_lookup_descend(nodes, node_count, leaf, high, low);
}

#define GATE_ROOT_BYTES (4u << MOAT_LPM_ROOT_BITS)
#define GATE_SRC4_BYTES (4u << MOAT_LPM_SRC4_BITS)

/* In the 16-bit root of a trie of keys of 128 bits or, `low` being 0, fewer. */
MOAT_INLINE __u32 gate_lookup_root(const __u32 *root, __u32 half, __u64 high, __u64 low,
				   __u32 *errors)
{
	return gate_descend(half, root[high >> (64 - MOAT_LPM_ROOT_BITS)],
			    high << MOAT_LPM_ROOT_BITS | low >> (64 - MOAT_LPM_ROOT_BITS),
			    low << MOAT_LPM_ROOT_BITS, errors);
}

MOAT_INLINE __u32 gate_lookup_src4(__be32 addr, __u32 half, __u32 *errors)
{
	const __u32 *root = moat_table_half(src4_root, half, GATE_SRC4_BYTES);
	__u32 key = bpf_ntohl(addr);

	return gate_descend(half, root[key >> (32 - MOAT_LPM_SRC4_BITS)],
			    (__u64)key << (32 + MOAT_LPM_SRC4_BITS), 0, errors);
}

MOAT_INLINE __u32 gate_lookup_src(const struct moat_addr *addr, __u32 half, __u32 *errors)
{
	if (moat_addr_is_v4(addr))
		return gate_lookup_src4(addr->words[3], half, errors);
	return gate_lookup_root(moat_table_half(src6_root, half, GATE_ROOT_BYTES), half,
				bpf_be64_to_cpu(addr->quads[0]), bpf_be64_to_cpu(addr->quads[1]),
				errors);
}

MOAT_INLINE __u32 gate_lookup_dst(const struct moat_addr *addr, __u32 half, __u32 *errors)
{
	if (moat_addr_is_v4(addr))
		return gate_lookup_root(moat_table_half(dst4_root, half, GATE_ROOT_BYTES), half,
					(__u64)bpf_ntohl(addr->words[3]) << 32, 0, errors);
	return gate_lookup_root(moat_table_half(dst6_root, half, GATE_ROOT_BYTES), half,
				bpf_be64_to_cpu(addr->quads[0]), bpf_be64_to_cpu(addr->quads[1]),
				errors);
}

#endif
