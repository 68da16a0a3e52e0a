/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 7: answers of reflectors, longer than such answers need be. */
#ifndef MOAT_GATE_AMPLIFICATION_H
#define MOAT_GATE_AMPLIFICATION_H

#include "gate/packet.h"

/* 1 if it decided. */
MOAT_INLINE int gate_judge_amplification(struct gate_packet *packet)
{
	const struct moat_headers *h = &packet->headers;
	__u16 longest;

	if (h->proto != 17 || !h->has_ports)
		return 0;
	longest = gate_stage_table(packet->half)->reflect_len[h->sport];
	if (longest == 0 || h->l3_len <= longest)
		return 0;
	packet->reason = MOAT_REASON_DROP_AMPLIFICATION;
	return 1;
}

#endif
