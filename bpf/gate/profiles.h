/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 11: rates of a protected destination, by kind of packet. TCP that is no new connection has none
 * and touches nothing here. */
#ifndef MOAT_GATE_PROFILES_H
#define MOAT_GATE_PROFILES_H

#include "gate/rows.h"

MOAT_INLINE const struct moat_profile *gate_profile(__u32 half, __u32 number)
{
	__u64 index = number;

	asm volatile("" : "+r"(index));
	return &gate_stage_table(half)->profiles[index & (MOAT_PROFILES_MAX - 1)];
}

MOAT_INLINE struct moat_profile_share *gate_profile_share(__u32 cpu, __u32 number)
{
	struct gate_profile_shares *own = moat_map_element(profile_shares, cpu);
	__u64 index = number;

	if (!own)
		return (void *)0;
	asm volatile("" : "+r"(index));
	return &own->profiles[index & (MOAT_PROFILES_MAX - 1)];
}

MOAT_INLINE struct moat_profile_limit *gate_profile_limit(__u32 number)
{
	struct moat_profile_limit *limits_of = moat_table(profile_limits);
	__u64 index = number;

	asm volatile("" : "+r"(index));
	return &limits_of[index & (MOAT_PROFILES_MAX - 1)];
}

/* Tokens and counts of the protection that had the number before are void. */
MOAT_INLINE void gate_profile_own(struct moat_profile_share *share, __u16 owner)
{
	if (share->owner == owner)
		return;
	__builtin_memset(share, 0, sizeof(*share));
	share->owner = owner;
}

/* The CPU's share is short of tokens: 1 if the packet passes. `hash` is of the destination. */
__attribute__((noinline)) int gate_profile_fill(__u64 now, __u64 hash, __u32 number, __u32 kind,
						__u32 half)
{
	const struct moat_profile *profile = gate_profile(half, number);
	struct moat_profile_share *share = gate_profile_share(moat_machine_cpu(), number);
	struct moat_profile_limit *limit = gate_profile_limit(number);
	const struct moat_rate none = {};
	__u64 which = kind;
	int pass;

	if (!share)
		return 1; /* the array has this element */
	asm volatile("" : "+r"(which));
	which &= MOAT_KIND_COUNT - 1;
	gate_profile_own(share, profile->owner);
	share->matched++;
	if (profile->each) {
		pass = gate_rows_fill(moat_each_hash(hash, kind), &profile->rates[which], &none,
				      now, 0);
	} else {
		pass = moat_share_fill(&limit->rates[which], &share->rates[which],
				       &profile->rates[which], now, 1);
		if (pass)
			moat_share_spend(&limit->rates[which], &share->rates[which],
					 &profile->rates[which], 1);
	}
	if (!pass)
		share->dropped++;
	return pass;
}

/* 1 if it decided. */
MOAT_INLINE int gate_judge_profile(struct gate_packet *packet)
{
	__u32 kind = moat_kind_of(&packet->headers);
	__u32 number = (packet->dst_leaf & MOAT_LPM_PROFILE) >> MOAT_LPM_PROFILE_SHIFT;
	const struct moat_profile *profile;
	struct moat_profile_share *share;
	__u64 which = kind;

	if (number == 0 || kind >= MOAT_KIND_COUNT)
		return 0;
	profile = gate_profile(packet->half, number);
	share = gate_profile_share(packet->cpu, number);
	if (!share) {
		packet->errors++;
		return 0;
	}
	asm volatile("" : "+r"(which));
	which &= MOAT_KIND_COUNT - 1;
	if (profile->rates[which].cost == 0)
		return 0;
	if (!profile->each && share->owner == profile->owner && share->rates[which].credit) {
		share->rates[which].credit--;
		share->matched++;
		return 0;
	}
	if (gate_profile_fill(packet->now,
			      moat_addr_hash(&packet->headers.dst, gate_ctl()->hash_seed), number,
			      kind, packet->half))
		return 0;
	packet->reason = MOAT_REASON_DROP_PROFILE;
	return 1;
}

#endif
