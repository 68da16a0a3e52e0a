/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 9: rates of a source, or of the prefix that counts as one. */
#ifndef MOAT_GATE_SOURCES_H
#define MOAT_GATE_SOURCES_H

#include "gate/rows.h"

MOAT_INLINE const struct moat_source_profile *gate_source_profile(__u32 half, __u32 number)
{
	__u64 index = number;

	asm volatile("" : "+r"(index));
	return &gate_stage_table(half)->sources[index & (MOAT_SOURCE_PROFILES_MAX - 1)];
}

/* The common path's shares are short of tokens: 1 if the buckets have some. A global function, so that it
 * is verified once; with numbers for arguments, so that the packet stays in registers. */
__attribute__((noinline)) int gate_source_fill(__u64 hash, __u64 now, __u32 number, __u32 half,
					       __u32 length)
{
	const struct moat_source_profile *profile = gate_source_profile(half, number);

	return gate_rows_fill(hash, &profile->packets, &profile->bytes, now, length);
}

/* The hash of the address, or of the prefix that counts as one source. */
MOAT_INLINE __u64 gate_source_hash(const struct moat_addr *addr,
				   const struct moat_source_profile *profile)
{
	struct moat_addr source = *addr;

	if (moat_addr_is_v4(&source)) {
		source.quads[1] &= profile->v4_mask;
	} else {
		source.quads[0] &= profile->v6_mask.quads[0];
		source.quads[1] &= profile->v6_mask.quads[1];
	}
	return moat_addr_hash(&source, gate_ctl()->hash_seed);
}

/* 1 if this CPU's shares of the source's buckets have what the packet takes, and pay; or nothing limits it.
 * 0 with nothing taken if that takes a look at the buckets. */
MOAT_INLINE int gate_source_spend(const struct moat_headers *h, __u32 leaf, __u32 half, __u32 cpu)
{
	const struct moat_source_profile *profile = gate_source_profile(
		half, (leaf & MOAT_LPM_PROFILE) >> MOAT_LPM_PROFILE_SHIFT);
	struct moat_row_share *base;
	__u64 hash;

	if (!(profile->packets.cost | profile->bytes.cost))
		return 1;
	base = moat_map_element(row_shares, cpu);
	if (!base)
		return 0;
	hash = gate_source_hash(&h->src, profile);
	return gate_rows_spend(gate_row_share(base, hash, 0), gate_row_share(base, hash, 1),
			       &profile->packets, &profile->bytes, h->l3_len);
}

/* 1 if it decided. */
MOAT_INLINE int gate_judge_source(struct gate_packet *packet, __u32 leaf)
{
	const struct moat_headers *h = &packet->headers;
	__u32 number = (leaf & MOAT_LPM_PROFILE) >> MOAT_LPM_PROFILE_SHIFT;

	if (gate_source_spend(h, leaf, packet->half, packet->cpu))
		return 0;
	if (gate_source_fill(gate_source_hash(&h->src, gate_source_profile(packet->half, number)),
			     packet->now, number, packet->half, h->l3_len))
		return 0;
	packet->reason = MOAT_REASON_DROP_SOURCE;
	return 1;
}

#endif
