/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stages between parsing and counting, in the order of moat/stage.h. Each either decides the packet's
 * reason or leaves it to the next. Every outcome is that of dataplane/policy.h.
 */
#ifndef MOAT_GATE_JUDGE_H
#define MOAT_GATE_JUDGE_H

#include "gate/rules.h"

/* Sets the reason of a parsed packet. */
MOAT_INLINE void gate_judge(struct gate_packet *packet, const volatile struct moat_gate_ctl *control)
{
	__u32 half = packet->half, leaf;

	if (packet->parse != MOAT_PARSE_OK) {
		packet->reason = moat_parse_reason(packet->parse);
		return;
	}
	packet->reason = MOAT_REASON_PASS_DEFAULT;
	if (half > 1) {
		packet->reason = MOAT_REASON_PASS_NO_TABLE;
		return;
	}
	leaf = gate_lookup_src(&packet->headers.src, half, &packet->errors);
	if (leaf & MOAT_LPM_ALLOW)
		packet->reason = MOAT_REASON_PASS_ALLOWED;
	else if (leaf & MOAT_LPM_DENY)
		packet->reason = MOAT_REASON_DROP_DENIED;
	/* the compiler knows the bound from above, the verifier has to see the mask */
	asm volatile("" : "+r"(half));
	if (packet->reason == MOAT_REASON_PASS_DEFAULT && control->rule_count[half & 1])
		gate_judge_rules(packet, leaf & MOAT_LPM_CLASS);
}

#endif
