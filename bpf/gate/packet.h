/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the stages know of one packet, and the leaves of its addresses. */
#ifndef MOAT_GATE_PACKET_H
#define MOAT_GATE_PACKET_H

#include "gate/maps.h"
#include "lib/lookup.h"
#include "lib/match.h"

/* One packet on its way through the stages. */
struct gate_packet {
	struct moat_headers headers;
	__u64 now; /* jiffies */
	__u64 src_hash;
	__u64 hash_seed;
	__u32 window;
	__u32 cpu;
	__u32 half; /* of every table, read once */
	__u32 frame;
	__u32 parse;
	__u32 reason;
	__u32 rule_id;
	__u32 tries;   /* rules looked at */
	__u32 expired; /* of them */
	__u32 errors;  /* lookups that failed and can't */
	/* of the rules' stage, which sets them */
	struct moat_classes classes;
	struct moat_matches matches;
};

/* Goes down from a root's entry, for the few addresses whose prefixes are longer than the root's. */
MOAT_INLINE __u32 gate_descend(struct gate_packet *packet, __u32 leaf, __u64 high, __u64 low)
{
	const __u32 *nodes;

	if (!(leaf & MOAT_LPM_CHILD))
		return leaf;
	nodes = moat_map_element(trie_nodes, packet->half);
	if (!nodes) {
		packet->errors++;
		return 0;
	}
	return moat_lookup_descend(nodes, node_count, leaf, high, low);
}

MOAT_INLINE __u32 gate_lookup_src(struct gate_packet *packet)
{
	const struct moat_addr *addr = &packet->headers.src;
	int is_v4 = moat_addr_is_v4(addr);
	__u64 high = bpf_be64_to_cpu(addr->quads[is_v4]);
	__u64 low = bpf_be64_to_cpu(addr->quads[1]);
	const __u32 *root;

	if (is_v4) {
		root = moat_map_element(src4_root, packet->half);
		high <<= 32;
		if (root)
			return gate_descend(packet, root[high >> (64 - MOAT_LPM_SRC4_BITS)],
					    high << MOAT_LPM_SRC4_BITS, 0);
	} else {
		root = moat_map_element(src6_root, packet->half);
		if (root)
			return gate_descend(packet, root[high >> (64 - MOAT_LPM_ROOT_BITS)],
					    high << MOAT_LPM_ROOT_BITS |
						    low >> (64 - MOAT_LPM_ROOT_BITS),
					    low << MOAT_LPM_ROOT_BITS);
	}
	packet->errors++;
	return 0;
}

MOAT_INLINE __u32 gate_lookup_dst(struct gate_packet *packet)
{
	const struct moat_addr *addr = &packet->headers.dst;
	int is_v4 = moat_addr_is_v4(addr);
	__u64 high = bpf_be64_to_cpu(addr->quads[is_v4]);
	__u64 low = is_v4 ? 0 : bpf_be64_to_cpu(addr->quads[1]);
	const __u32 *root;

	if (is_v4) {
		root = moat_map_element(dst4_root, packet->half);
		high <<= 32;
	} else {
		root = moat_map_element(dst6_root, packet->half);
	}
	if (!root) {
		packet->errors++;
		return 0;
	}
	return gate_descend(packet, root[high >> (64 - MOAT_LPM_ROOT_BITS)],
			    high << MOAT_LPM_ROOT_BITS | low >> (64 - MOAT_LPM_ROOT_BITS),
			    low << MOAT_LPM_ROOT_BITS);
}

#endif
