/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 2: what keeps the network and its operator connected, before anything that a rule can say. Off the
 * common path, which pays for a look at the protocol and at the source's leaf.
 */
#ifndef MOAT_GATE_CONTROL_H
#define MOAT_GATE_CONTROL_H

#include "gate/packet.h"

/* 1 if one ICMP error more for path MTU discovery is within the box's rate of them. A global function: see
 * gate_judge_rest. */
__attribute__((noinline)) int gate_control_take(__u64 now)
{
	struct moat_profile_limit *limit = moat_table(profile_limits);
	struct gate_profile_shares *share = moat_map_element(profile_shares, moat_machine_cpu());
	struct moat_rate rate = { .cost = control_rate.cost,
				  .burst = control_rate.burst,
				  .shift = control_rate.shift,
				  .lot = control_rate.lot,
				  .debt = control_rate.debt };

	if (!share)
		return 1; /* the array has this element */
	if (!moat_share_fill(&limit->rates[MOAT_KIND_ICMP],
			     &share->profiles[0].rates[MOAT_KIND_ICMP], &rate, now, 1))
		return 0;
	moat_share_spend(&limit->rates[MOAT_KIND_ICMP], &share->profiles[0].rates[MOAT_KIND_ICMP],
			 &rate, 1);
	return 1;
}

/* ICMP that no policy is needed for. 1 if it decided. */
MOAT_INLINE int gate_control_icmp(struct gate_packet *packet)
{
	const struct moat_headers *h = &packet->headers;
	int too_big;

	if (h->proto != (h->family == MOAT_FAMILY_V4 ? 1 : 58) || h->fragment != MOAT_FRAGMENT_NONE)
		return 0;
	if (h->family != MOAT_FAMILY_V4) {
		if (h->ttl == 255 && (__u8)(h->icmp_type - 133) <= 137 - 133) {
			packet->reason = MOAT_REASON_PASS_CONTROL;
			return 1;
		}
		too_big = h->icmp_type == 2;
	} else {
		too_big = h->icmp_type == 3 && h->icmp_code == 4;
	}
	if (!too_big || !gate_control_take(packet->now))
		return 0;
	packet->reason = MOAT_REASON_PASS_CONTROL;
	return 1;
}

/* 1 if the packet is of one of the sessions. */
MOAT_INLINE int gate_is_session(const struct gate_packet *packet)
{
	const struct moat_stage_tables *tables = gate_stage_table(packet->half);
	const struct moat_headers *h = &packet->headers;

	if (h->proto != 6)
		return 0;
	for (int i = 0; i < MOAT_SESSIONS_MAX; i++) {
		const struct moat_session *session = &tables->sessions[i];

		if (session->used && session->sport == h->sport && session->dport == h->dport &&
		    moat_addr_equal(&session->src, &h->src) &&
		    moat_addr_equal(&session->dst, &h->dst))
			return 1;
	}
	return 0;
}

MOAT_INLINE int gate_is_routing(const struct moat_headers *h)
{
	switch (h->proto) {
	case 6:
		return h->sport == 179 || h->dport == 179;
	case 17:
		return h->dport == 3784 || h->dport == 4784 || h->dport == 6784;
	case 89:
	case 112:
		return 1;
	default:
		return 0;
	}
}

/* What the marks of the source's leaf say. 1 if they decided. */
MOAT_INLINE int gate_control_source(struct gate_packet *packet, __u32 leaf)
{
	const struct moat_headers *h = &packet->headers;

	if (!(leaf & (MOAT_LPM_NEIGHBOUR | MOAT_LPM_MANAGEMENT | MOAT_LPM_SESSION)))
		return 0;
	if ((leaf & MOAT_LPM_NEIGHBOUR) && h->fragment == MOAT_FRAGMENT_NONE && gate_is_routing(h)) {
		packet->reason = MOAT_REASON_PASS_CONTROL;
		return 1;
	}
	if (!(leaf & MOAT_LPM_MANAGEMENT) && !((leaf & MOAT_LPM_SESSION) && gate_is_session(packet)))
		return 0;
	packet->reason = MOAT_REASON_PASS_MANAGEMENT;
	return 1;
}

#endif
