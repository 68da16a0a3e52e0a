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

/* Down from a child, by the bits at the top of high:low that are not used yet. A loop, since most of it is
 * hardly ever run, and code that isn't there needs no cache and no stack. */
MOAT_INLINE __u32 moat_lookup_descend(const __u32 *nodes, __u32 count, __u32 leaf, __u64 high,
				      __u64 low)
{
#pragma clang loop unroll(disable)
	for (int level = 0; level < MOAT_LPM_V6_LEVELS && (leaf & MOAT_LPM_CHILD); level++) {
		leaf = moat_lookup_child(nodes, count, leaf, high >> 56);
		high = high << 8 | low >> 56;
		low <<= 8;
	}
	return leaf;
}

#endif
