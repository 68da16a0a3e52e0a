/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stages between parsing and counting, in the order of moat/stage.h. Each either decides the packet's
 * reason or leaves it to the next. Every outcome is that of dataplane/policy_stages.c.
 *
 * `port_stages` is known at load time, so what is off is not in the program. What is on and has nothing to do
 * costs a test of a bit of the half's word.
 */
#ifndef MOAT_GATE_JUDGE_H
#define MOAT_GATE_JUDGE_H

#include "gate/amplification.h"
#include "gate/challenged.h"
#include "gate/control.h"
#include "gate/fragments.h"
#include "gate/profiles.h"
#include "gate/rules.h"
#include "gate/sanity.h"
#include "gate/sources.h"

/* Stages 5 to 11, of a packet that the stages before have left. What can be read again isn't kept over the
 * rules: the stack is full. */
MOAT_INLINE void gate_judge_policy(struct gate_packet *packet, __u32 leaf, __u32 half,
				   const volatile struct moat_gate_ctl *control)
{
	__u32 work = port_stages & control->stages[half];
	int has_rules = (port_stages & MOAT_STAGE_RULES) && (work & MOAT_STAGE_RULES);

	packet->reason = MOAT_REASON_PASS_DEFAULT;
	if ((port_stages & MOAT_STAGE_ALLOW) && (leaf & MOAT_LPM_ALLOW)) {
		packet->reason = MOAT_REASON_PASS_ALLOWED;
		return;
	}
	if ((port_stages & MOAT_STAGE_DENY) && (leaf & MOAT_LPM_DENY)) {
		packet->reason = MOAT_REASON_DROP_DENIED;
		return;
	}
	/* one look at the destination for all that ask for it, none for TCP that no rule may name */
	packet->dst_leaf = 0;
	if (has_rules ||
	    ((work & MOAT_STAGE_PROFILES) && moat_kind_of(&packet->headers) < MOAT_KIND_COUNT) ||
	    ((work & MOAT_STAGE_CHALLENGE) && gate_challenge_wants(packet)))
		packet->dst_leaf = gate_lookup_dst(&packet->headers.dst, packet->half,
						   &packet->errors);
	if (has_rules) {
		gate_judge_rules(packet, leaf & MOAT_LPM_CLASS);
		if (packet->reason != MOAT_REASON_PASS_DEFAULT)
			return;
	}
	work = port_stages & control->stages[half];
	if ((port_stages & MOAT_STAGE_AMPLIFICATION) && (work & MOAT_STAGE_AMPLIFICATION) &&
	    gate_judge_amplification(packet))
		return;
	if ((port_stages & MOAT_STAGE_FRAGMENTS) && (work & MOAT_STAGE_FRAGMENTS) &&
	    gate_judge_fragments(packet))
		return;
	if ((port_stages & MOAT_STAGE_SOURCES) && (work & MOAT_STAGE_SOURCES) &&
	    gate_judge_source(packet, leaf))
		return;
	if ((port_stages & MOAT_STAGE_CHALLENGE) && (work & MOAT_STAGE_CHALLENGE) &&
	    gate_judge_challenge(packet))
		return;
	if ((port_stages & MOAT_STAGE_PROFILES) && (work & MOAT_STAGE_PROFILES))
		gate_judge_profile(packet);
}

/* Sets the reason of a parsed packet. */
MOAT_INLINE void gate_judge(struct gate_packet *packet, const volatile struct moat_gate_ctl *control)
{
	__u32 half = packet->half, leaf;

	if (packet->parse == MOAT_PARSE_NOT_IP) {
		packet->reason = MOAT_REASON_PASS_NOT_IP;
		return;
	}
	if (packet->parse == MOAT_PARSE_OK && gate_control_icmp(packet))
		return;
	if (half > 1) {
		packet->reason = fail_closed ? MOAT_REASON_DROP_NO_POLICY
					     : MOAT_REASON_PASS_NO_TABLE;
		return;
	}
	if (packet->parse != MOAT_PARSE_OK) {
		packet->reason = gate_unread_reason(packet);
		return;
	}
	leaf = gate_lookup_src(&packet->headers.src, half, &packet->errors);
	if (gate_control_source(packet, leaf) || gate_judge_sanity(packet, leaf))
		return;
	/* the compiler knows the bound from above, the verifier has to see the mask */
	asm volatile("" : "+r"(half));
	half &= 1;
	gate_judge_policy(packet, leaf, half, control);
}

#endif
