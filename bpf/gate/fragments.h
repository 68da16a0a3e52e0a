/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 8: fragments where none are wanted. */
#ifndef MOAT_GATE_FRAGMENTS_H
#define MOAT_GATE_FRAGMENTS_H

#include "gate/packet.h"

/* 1 if it decided. Called if the tables say to drop them. */
MOAT_INLINE int gate_judge_fragments(struct gate_packet *packet)
{
	if (packet->headers.fragment == MOAT_FRAGMENT_NONE)
		return 0;
	packet->reason = MOAT_REASON_DROP_FRAGMENT;
	return 1;
}

#endif
