/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting one packet: its port's counters, and the cells of its destination and its source. */
#ifndef MOAT_LIB_COUNT_H
#define MOAT_LIB_COUNT_H

#include "moat/gate.h"

MOAT_INLINE void moat_count_packet(struct moat_gate_counters *counters, __u32 reason, __u32 bytes)
{
	counters->in.packets++;
	counters->in.bytes += bytes;
	/* one register, so that the verifier sees that what is tested is what is used */
	asm volatile("" : "+r"(reason));
	if (reason >= MOAT_REASON_COUNT)
		return; /* for the verifier: reasons come from the enum */
	counters->reasons[reason].packets++;
	counters->reasons[reason].bytes += bytes;
}

/* What a source's cell counts as distinct: destination and destination port. A sequence of ports must
 * not fill the bitmap evenly, hence two more rounds of the mix. */
MOAT_INLINE __u64 moat_service_hash(__u64 dst_hash, __u16 dport)
{
	__u64 h = (dst_hash ^ dport) * 0xff51afd7ed558ccdULL;

	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return h >> 32;
}

#endif
