/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hashed buckets of sources and of single protected addresses (moat/stage.h): two rows, of which a
 * key has a bucket each.
 */
#ifndef MOAT_GATE_ROWS_H
#define MOAT_GATE_ROWS_H

#include "gate/packet.h"

/* This CPU's shares of both buckets of a key. */
MOAT_INLINE struct moat_row_share *gate_row_share(struct moat_row_share *base, __u64 hash, __u32 row)
{
	__u64 index = (row ? hash >> 32 : hash) & row_mask;

	/* the sum as a register of its own, see moat_lookup_child */
	index += row ? (__u64)row_mask + 1 : 0;
	asm volatile("" : "+r"(index));
	return &base[index];
}

MOAT_INLINE int gate_share_has(const struct moat_share *share, const struct moat_rate *rate,
			       __u32 tokens)
{
	return rate->cost == 0 || share->credit >= tokens;
}

/* 1 if both shares have what it takes, and takes it: no shared word is touched. */
MOAT_INLINE int gate_rows_spend(struct moat_row_share *a, struct moat_row_share *b,
				const struct moat_rate *packets, const struct moat_rate *bytes,
				__u32 length)
{
	if (!gate_share_has(&a->packets, packets, 1) || !gate_share_has(&b->packets, packets, 1) ||
	    !gate_share_has(&a->bytes, bytes, length) || !gate_share_has(&b->bytes, bytes, length))
		return 0;
	if (packets->cost) {
		a->packets.credit--;
		b->packets.credit--;
	}
	if (bytes->cost) {
		a->bytes.credit -= length;
		b->bytes.credit -= length;
	}
	return 1;
}

/* Fills what is empty. 1 if the packet passes: of each rate, one row at least has a token; those that have
 * pay. */
MOAT_INLINE int gate_rows_fill(__u64 hash, const struct moat_rate *packets,
			       const struct moat_rate *bytes, __u64 now, __u32 length)
{
	struct moat_row_share *base = moat_map_element(row_shares, moat_machine_cpu());
	struct moat_row_bucket *first = moat_map_element(rows, 0),
			       *second = moat_map_element(rows, 1);
	struct moat_row_share *a, *b;
	int packets_a = 0, packets_b = 0, bytes_a = 0, bytes_b = 0;

	if (!base || !first || !second)
		return 1; /* the arrays have these elements */
	first += hash & row_mask;
	second += hash >> 32 & row_mask;
	a = gate_row_share(base, hash, 0);
	b = gate_row_share(base, hash, 1);
	if (packets->cost) {
		packets_a = moat_share_fill(&first->packets, &a->packets, packets, now, 1);
		packets_b = moat_share_fill(&second->packets, &b->packets, packets, now, 1);
		if (!(packets_a | packets_b))
			return 0;
	}
	if (bytes->cost) {
		bytes_a = moat_share_fill(&first->bytes, &a->bytes, bytes, now, length);
		bytes_b = moat_share_fill(&second->bytes, &b->bytes, bytes, now, length);
		if (!(bytes_a | bytes_b))
			return 0;
	}
	if (packets_a)
		moat_share_spend(&first->packets, &a->packets, packets, 1);
	if (packets_b)
		moat_share_spend(&second->packets, &b->packets, packets, 1);
	if (bytes_a)
		moat_share_spend(&first->bytes, &a->bytes, bytes, length);
	if (bytes_b)
		moat_share_spend(&second->bytes, &b->bytes, bytes, length);
	return 1;
}

#endif
