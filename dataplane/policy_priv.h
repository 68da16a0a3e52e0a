/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the workers' policy share: policy.c, policy_rules.c, policy_stages.c. The path of a burst
 * (worker_burst.c) looks at the epoch. */
#ifndef MOAT_DATAPLANE_POLICY_PRIV_H
#define MOAT_DATAPLANE_POLICY_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>

#include "dataplane/policy.h"
#include "dataplane/tables.h"
#include "moat/gate.h"

/* struct moat_rule_count, with one writer. */
struct moat_slot_count {
	_Atomic uint64_t packets, acted, bytes;
};

struct moat_judge {
	/* written by the judge's thread, read by commits and listings */
	_Alignas(64) _Atomic uint64_t entered; /* the policy's generation then; 0 while outside */
	struct moat_policy *policy;
	struct moat_slot_count counts[MOAT_RULES_MAX]; /* by slot */
	uint32_t sample_interval; /* of the rule that sampled the last packet, 0: none did */
	uint64_t random;          /* of the distances between samples, xorshift64 */
	struct moat_limit_share shares[MOAT_RULES_MAX];
	uint32_t challenge; /* enum moat_challenge_outcome of who asked this packet */
	uint32_t cookie;    /* of the packet that was challenged last */
	struct moat_challenge_cpu challenges;
	/* the judge's thread alone, but for the counts in profiles */
	_Atomic uint32_t stages; /* enum moat_stage; written by who configures */
	bool fail_closed;
	bool sends_back;     /* of the packet that was redirected last */
	uint32_t port, peer; /* places in the policy's targets, or MOAT_TARGET_NONE */
	struct moat_row_share *rows[MOAT_ROWS];
	_Alignas(64) struct moat_profile_share profiles[MOAT_PROFILES_MAX];
};

struct moat_policy {
	/* read once a packet, written by commits */
	_Alignas(64) _Atomic uint32_t active; /* 0, 1 or MOAT_GATE_NO_POLICY */
	uint32_t judge_count;
	uint64_t hash_seed;
	struct moat_known *known;
	struct moat_judge *judges;
	struct moat_tables halves[2];
	struct moat_validated *validated; /* MOAT_CHALLENGE_SETS_DEFAULT sets */
	_Atomic uint32_t challenge_form;
	_Alignas(64) struct moat_challenge_state challenge;
	/* written by judges: a cache line each */
	_Alignas(64) struct moat_limit limits[MOAT_RULES_MAX]; /* by slot */
	struct moat_profile_limit profiles[MOAT_PROFILES_MAX]; /* by number */
	struct moat_row_bucket *rows[MOAT_ROWS];
	struct moat_rate control_rate; /* MOAT_CONTROL_PTB_PPS, constant */
	/* written by commits */
	_Alignas(64) _Atomic uint64_t generation;
	char targets[MOAT_POLICY_TARGETS][16]; /* the ports that judges name, before the first commit */
	uint32_t target_count;
	_Atomic uint64_t changes; /* of anything that verdicts depend on: odd while one is made */
	uint32_t slot_ids[MOAT_RULES_MAX];                 /* the rule that had the slot last */
	struct moat_slot_count slot_bases[MOAT_RULES_MAX]; /* what the slot had before that rule */
};

/* The hashed buckets of the workers' policy: as many as a gate has that isn't told otherwise. */
#define MOAT_POLICY_ROW (1u << MOAT_ROW_BITS_DEFAULT)

/* Whether the packet is still to be judged by a challenge, and has a part in one. */
bool moat_judge_is_challengeable(const struct moat_judge *judge, const struct moat_headers *headers);

/* Challenges on behalf of a scope. True if that decided; else the packet goes on. */
bool moat_judge_challenge(struct moat_judge *judge, const struct moat_headers *headers,
			  uint64_t now_ms, uint32_t scope, enum moat_reason *ret_reason);

/* Gives the redirecting rules of a half the places of the ports that they name. */
void moat_policy_find_targets(const struct moat_policy *policy, struct moat_tables *half,
			      const struct moat_ruleset *set);

/* Stage 6: what the rules of a half say of a packet; MOAT_REASON_PASS_DEFAULT and *ret_rule_id untouched if
 * none decides. */
enum moat_reason moat_judge_rules(struct moat_judge *judge, const struct moat_tables *half,
				  const struct moat_headers *headers, uint32_t src_class,
				  uint32_t dst_class, uint64_t now_ms, uint32_t *ret_rule_id);
bool moat_judge_may_match(const struct moat_tables *half, const struct moat_headers *h,
			  uint32_t src_class, uint32_t dst_class, uint32_t flags_class);

/* Around every change of what verdicts depend on (moat_judge_epoch). */
static inline void moat_policy_begin_change(struct moat_policy *policy)
{
	atomic_fetch_add(&policy->changes, 1);
}

static inline void moat_policy_end_change(struct moat_policy *policy)
{
	atomic_fetch_add(&policy->changes, 1);
}

static inline uint64_t moat_judge_epoch_now(const struct moat_judge *judge)
{
	uint64_t changes = atomic_load_explicit(&judge->policy->changes, memory_order_acquire);

	return changes & 1 ? MOAT_JUDGE_NO_EPOCH : changes >> 1;
}

#endif
