/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Longest prefix match in the tries of moat/rule.h: one read of a root that is indexed by the first
 * bits, then one read a level of eight bits while the entry is a child. A missing entry is leaf 0.
 */
#ifndef MOAT_LIB_LOOKUP_H
#define MOAT_LIB_LOOKUP_H

#include <bpf/bpf_endian.h>

#include "moat/rule.h"

/* One level down. `nodes` holds `count` nodes; what points elsewhere (never, if the tables are sound) is
 * no match. */
MOAT_INLINE __u32 moat_lookup_child(const __u32 *nodes, __u32 count, __u32 child, __u8 key)
{
	__u32 node = child & ~MOAT_LPM_CHILD;
	__u64 first = (__u64)node * MOAT_LPM_NODE_SIZE;

	if (node >= count)
		return 0;
	/* as a register of its own, else the sum becomes an OR, of whose result verifiers before 6.10 know
	 * nothing */
	asm volatile("" : "+r"(first));
	return nodes[first + key];
}

MOAT_INLINE __u32 moat_lookup_src4(const __u32 *root, const __u32 *nodes, __u32 count, __be32 addr)
{
	__u32 host = bpf_ntohl(addr);
	__u32 leaf = root[host >> (32 - MOAT_LPM_SRC4_BITS)];

	if (leaf & MOAT_LPM_CHILD)
		leaf = moat_lookup_child(nodes, count, leaf, host & 0xff);
	return leaf;
}

MOAT_INLINE __u32 moat_lookup_dst4(const __u32 *root, const __u32 *nodes, __u32 count, __be32 addr)
{
	__u32 host = bpf_ntohl(addr);
	__u32 leaf = root[host >> (32 - MOAT_LPM_ROOT_BITS)];

	if (leaf & MOAT_LPM_CHILD)
		leaf = moat_lookup_child(nodes, count, leaf, (host >> 8) & 0xff);
	if (leaf & MOAT_LPM_CHILD)
		leaf = moat_lookup_child(nodes, count, leaf, host & 0xff);
	return leaf;
}

MOAT_INLINE __u32 moat_lookup_v6(const __u32 *root, const __u32 *nodes, __u32 count,
				 const struct moat_addr *addr)
{
	__u64 high = bpf_be64_to_cpu(addr->quads[0]);
	__u64 low = bpf_be64_to_cpu(addr->quads[1]);
	__u32 leaf = root[high >> (64 - MOAT_LPM_ROOT_BITS)];

	/* the bits not yet used, shifted to the top of high:low */
	high = high << MOAT_LPM_ROOT_BITS | low >> (64 - MOAT_LPM_ROOT_BITS);
	low <<= MOAT_LPM_ROOT_BITS;
	for (int level = 0; level < MOAT_LPM_V6_LEVELS && (leaf & MOAT_LPM_CHILD); level++) {
		leaf = moat_lookup_child(nodes, count, leaf, high >> 56);
		high = high << 8 | low >> 56;
		low <<= 8;
	}
	return leaf;
}

#endif
