/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The order of judgement of the workers' policy (moat/stage.h): as bpf/gate/judge.h. */
#include "dataplane/policy_priv.h"

void moat_judge_quiesce(struct moat_judge *judge)
{
	atomic_store_explicit(&judge->entered, 0, memory_order_release);
}

static void enter(struct moat_judge *judge)
{
	atomic_store(&judge->entered, atomic_load(&judge->policy->generation));
	/* either the commit sees us, or we see its half in force */
	atomic_thread_fence(memory_order_seq_cst);
}

enum moat_reason moat_judge_packet(struct moat_judge *judge, const struct moat_headers *headers,
				   enum moat_parse parse, uint64_t now_ms, uint32_t *ret_rule_id)
{
	enum moat_reason reason = moat_parse_reason(parse);
	const struct moat_tables *half;
	uint32_t active, leaf;

	*ret_rule_id = 0;
	judge->challenge = MOAT_CHALLENGE_UNASKED;
	judge->sample_interval = 0;
	if (reason != MOAT_REASON_PASS_DEFAULT)
		return reason;
	if (atomic_load_explicit(&judge->entered, memory_order_relaxed) == 0)
		enter(judge);
	active = atomic_load_explicit(&judge->policy->active, memory_order_acquire);
	if (active == MOAT_GATE_NO_POLICY)
		return MOAT_REASON_PASS_NO_TABLE;
	half = &judge->policy->halves[active];
	leaf = moat_tables_lookup_src(half, &headers->src);
	if (leaf & MOAT_LPM_ALLOW)
		return MOAT_REASON_PASS_ALLOWED;
	if (leaf & MOAT_LPM_DENY)
		return MOAT_REASON_DROP_DENIED;
	if (half->rules->rule_count == 0)
		return MOAT_REASON_PASS_DEFAULT;
	return moat_judge_rules(judge, half, headers, leaf & MOAT_LPM_CLASS, now_ms, ret_rule_id);
}
