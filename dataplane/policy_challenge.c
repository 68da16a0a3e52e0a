/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The SYN challenge of the workers' policy: judges as bpf/gate/challenge.h does. */
#include <string.h>

#include "dataplane/policy_priv.h"

#define TICKS_PER_S 1000

static uint64_t window_of(uint64_t now_ms)
{
	return now_ms >> MOAT_WINDOW_SHIFT_MS;
}

void moat_policy_set_challenge(struct moat_policy *policy,
			       const struct moat_challenge_options *options)
{
	policy->challenge_form = options->form;
	moat_challenge_configure(&policy->challenge, options, TICKS_PER_S, MOAT_WINDOW_SHIFT_MS,
				 policy->judge_count);
}

int moat_policy_challenge_rotate(struct moat_policy *policy, uint64_t now_ms)
{
	uint64_t window = window_of(now_ms);

	moat_challenge_sweep(policy->validated, MOAT_CHALLENGE_SETS_DEFAULT, window);
	return moat_challenge_rotate(&policy->challenge, moat_challenge_slot(window));
}

void moat_policy_challenge_stats(const struct moat_policy *policy, uint64_t now_ms,
				 struct moat_challenge_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	for (uint32_t i = 0; i < policy->judge_count; i++)
		moat_challenge_stats_add(ret_stats, &policy->judges[i].challenges);
	moat_challenge_stats_table(ret_stats, policy->validated, MOAT_CHALLENGE_SETS_DEFAULT,
				   window_of(now_ms));
}

struct moat_challenge_state *moat_policy_challenge(struct moat_policy *policy)
{
	return &policy->challenge;
}

uint32_t moat_judge_cookie(const struct moat_judge *judge)
{
	return judge->cookie;
}

uint32_t moat_judge_challenge_form(const struct moat_judge *judge)
{
	return atomic_load_explicit(&judge->policy->challenge_form, memory_order_relaxed);
}

static enum moat_challenge_outcome judge_syn(struct moat_judge *judge, const struct moat_headers *h,
					     uint64_t now_ms, uint32_t form)
{
	struct moat_challenge_counters *count = &judge->challenges.counters;
	struct moat_challenge_state *state = &judge->policy->challenge;

	if (!moat_challenge_take_prefix(state, &judge->challenges, h,
					moat_challenge_tick(window_of(now_ms)))) {
		count->capped_prefix++;
		return MOAT_CHALLENGE_CAPPED;
	}
	if (!moat_challenge_take_box(state, &judge->challenges, now_ms)) {
		count->capped_box++;
		return MOAT_CHALLENGE_CAPPED;
	}
	count->sent++;
	judge->cookie = moat_challenge_make(state, h, moat_challenge_slot(window_of(now_ms)), form);
	return MOAT_CHALLENGE_SEND;
}

static enum moat_challenge_outcome judge_answer(struct moat_judge *judge,
						const struct moat_headers *h, uint64_t now_ms,
						uint32_t form, struct moat_validated *set,
						uint64_t hash)
{
	struct moat_challenge_counters *count = &judge->challenges.counters;
	const struct moat_challenge_state *state = &judge->policy->challenge;
	uint64_t window = window_of(now_ms);

	if (!moat_challenge_is_cookie(state, h, moat_challenge_slot(window), form)) {
		count->wrong++;
		return MOAT_CHALLENGE_GO_ON;
	}
	moat_challenge_count_added(count, moat_validated_add(set, hash, moat_challenge_tick(window),
							     state->lifetime));
	return form == MOAT_CHALLENGE_RESET ? MOAT_CHALLENGE_REFUSE : MOAT_CHALLENGE_ACCEPTED;
}

static enum moat_challenge_outcome judge_part(struct moat_judge *judge, const struct moat_headers *h,
					      uint64_t now_ms, uint32_t form, uint32_t scope)
{
	const struct moat_challenge_state *state = &judge->policy->challenge;
	uint64_t hash = moat_validated_hash(state, h, scope);
	struct moat_validated *set = &judge->policy
					      ->validated[hash & (MOAT_CHALLENGE_SETS_DEFAULT - 1)];
	bool is_live = moat_validated_test(set, hash, moat_challenge_tick(window_of(now_ms)));

	if (!(h->tcp_flags & MOAT_TCP_SYN)) {
		if (form == MOAT_CHALLENGE_RESET && is_live)
			return MOAT_CHALLENGE_GO_ON;
		return judge_answer(judge, h, now_ms, form, set, hash);
	}
	if (!is_live)
		return judge_syn(judge, h, now_ms, form);
	judge->challenges.counters.known++;
	return MOAT_CHALLENGE_KNOWN;
}

bool moat_judge_is_challengeable(const struct moat_judge *judge, const struct moat_headers *headers)
{
	return judge->challenge == MOAT_CHALLENGE_UNASKED &&
	       moat_challenge_part(headers, moat_judge_challenge_form(judge)) !=
		       MOAT_CHALLENGE_NO_PART;
}

bool moat_judge_challenge(struct moat_judge *judge, const struct moat_headers *headers,
			  uint64_t now_ms, uint32_t scope, enum moat_reason *ret_reason)
{
	uint32_t form = moat_judge_challenge_form(judge);

	if (!moat_judge_is_challengeable(judge, headers))
		return false;
	judge->challenge = judge_part(judge, headers, now_ms, form, scope);
	switch (judge->challenge) {
	case MOAT_CHALLENGE_SEND:
	case MOAT_CHALLENGE_REFUSE:
		*ret_reason = MOAT_REASON_TX_CHALLENGE;
		return true;
	case MOAT_CHALLENGE_CAPPED:
		*ret_reason = MOAT_REASON_DROP_CHALLENGE;
		return true;
	case MOAT_CHALLENGE_ACCEPTED:
		*ret_reason = MOAT_REASON_DROP_COOKIE;
		return true;
	default:
		return false;
	}
}
