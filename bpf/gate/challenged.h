/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 10: SYNs to a protection that challenges, and what answers a challenge. */
#ifndef MOAT_GATE_CHALLENGED_H
#define MOAT_GATE_CHALLENGED_H

#include "gate/challenge.h"
#include "gate/profiles.h"

/* 0 if a SYN is within the rate up to which a protection doesn't challenge, and takes its token. */
__attribute__((noinline)) int gate_challenge_is_above(__u64 now, __u32 number, __u32 half)
{
	const struct moat_profile *profile = gate_profile(half, number);
	struct moat_profile_share *share = gate_profile_share(moat_machine_cpu(), number);
	struct moat_profile_limit *limit = gate_profile_limit(number);

	if (!share)
		return 0; /* the array has this element */
	gate_profile_own(share, profile->owner);
	if (!moat_share_fill(&limit->challenge, &share->challenge, &profile->challenge_rate, now, 1))
		return 1;
	moat_share_spend(&limit->challenge, &share->challenge, &profile->challenge_rate, 1);
	return 0;
}

/* 1 if it decided. */
MOAT_INLINE int gate_judge_challenge(struct gate_packet *packet)
{
	__u32 number = (packet->dst_leaf & MOAT_LPM_PROFILE) >> MOAT_LPM_PROFILE_SHIFT;
	const struct moat_profile *profile;

	if (number == 0 || !gate_challenge_wants(packet))
		return 0;
	profile = gate_profile(packet->half, number);
	if (profile->challenge == MOAT_CHALLENGE_OFF ||
	    (profile->challenge == MOAT_CHALLENGE_ABOVE &&
	     (packet->headers.tcp_flags & MOAT_TCP_SYN) &&
	     !gate_challenge_is_above(packet->now, number, packet->half)))
		return 0;
	return gate_challenge(packet, moat_challenge_scope(profile, number));
}

#endif
