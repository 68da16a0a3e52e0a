/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 4: what no sound host sends. */
#ifndef MOAT_GATE_SANITY_H
#define MOAT_GATE_SANITY_H

#include "gate/packet.h"

/* A packet that can't be read: its reason, for nothing behind this stage can use it. */
MOAT_INLINE __u32 gate_unread_reason(const struct gate_packet *packet)
{
	return port_stages & MOAT_STAGE_BROKEN ? MOAT_REASON_DROP_BROKEN
					       : moat_parse_reason(packet->parse);
}

/* 1 if it decided. */
MOAT_INLINE int gate_judge_sanity(struct gate_packet *packet, __u32 leaf)
{
	const struct moat_headers *h = &packet->headers;

	if ((port_stages & MOAT_STAGE_BROKEN) && h->broken)
		packet->reason = MOAT_REASON_DROP_BROKEN;
	else if ((port_stages & MOAT_STAGE_FLAGS) && h->proto == 6 && h->has_ports &&
		 !moat_flags_are_legal(h->tcp_flags))
		packet->reason = MOAT_REASON_DROP_FLAGS;
	else if ((port_stages & MOAT_STAGE_LAND) && moat_addr_equal(&h->src, &h->dst))
		packet->reason = MOAT_REASON_DROP_LAND;
	else if ((port_stages & MOAT_STAGE_MARTIAN) && (leaf & MOAT_LPM_MARTIAN))
		packet->reason = MOAT_REASON_DROP_MARTIAN;
	else
		return 0;
	return 1;
}

#endif
