/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules of the workers' policy: as bpf/gate/rules.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/policy_priv.h"

/* One writer: no need for an atomic add. */
static void add(_Atomic uint64_t *number, uint64_t gain)
{
	atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + gain,
			      memory_order_relaxed);
}

static enum moat_reason limit(struct moat_judge *judge, const struct moat_rule_entry *entry,
			      const struct moat_headers *headers, uint64_t now_ms)
{
	struct moat_policy *policy = judge->policy;

	if ((entry->flags & MOAT_RULE_PREFER_KNOWN) &&
	    moat_known_test(policy->known, &headers->src, policy->hash_seed))
		return MOAT_REASON_PASS_KNOWN;
	if (moat_limit_take(&policy->limits[entry->slot], &judge->shares[entry->slot], entry->id,
			    &entry->packets, &entry->bytes, now_ms, headers->l3_len))
		return MOAT_REASON_PASS_LIMIT;
	return MOAT_REASON_DROP_LIMIT;
}

static uint32_t random_below(struct moat_judge *judge, uint64_t bound)
{
	uint64_t x = judge->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	judge->random = x;
	return (uint32_t)((x >> 32) * bound >> 32);
}

/* As gate_rule_sample_due. */
static bool sample_is_due(struct moat_judge *judge, const struct moat_rule_entry *entry)
{
	struct moat_limit_share *share = &judge->shares[entry->slot];
	uint32_t left = share->owner == entry->id ? share->countdown : 0;
	uint32_t half = entry->value / 2;

	share->owner = entry->id;
	if (left == 0)
		left = 1 + random_below(judge, entry->value);
	if (left > 1) {
		share->countdown = left - 1;
		return false;
	}
	share->countdown = entry->value - half + random_below(judge, 2ULL * half + 1);
	return true;
}

/* ---- redirects --------------------------------------------------------------------------------- */

/* The place of a port's name among the policy's; MOAT_TARGET_NONE if there is no such port. */
static uint32_t find_target(const struct moat_policy *policy, const char *name)
{
	for (uint32_t i = 0; i < policy->target_count; i++) {
		if (strcmp(policy->targets[i], name) == 0)
			return i;
	}
	return MOAT_TARGET_NONE;
}

static uint32_t add_target(struct moat_policy *policy, const char *name)
{
	uint32_t place = find_target(policy, name);

	if (place != MOAT_TARGET_NONE || policy->target_count == MOAT_POLICY_TARGETS)
		return place;
	snprintf(policy->targets[policy->target_count], sizeof(policy->targets[0]), "%s", name);
	return policy->target_count++;
}

int moat_judge_set_targets(struct moat_judge *judge, const char *port, const char *peer)
{
	judge->port = add_target(judge->policy, port);
	judge->peer = peer ? add_target(judge->policy, peer) : MOAT_TARGET_NONE;
	return judge->port == MOAT_TARGET_NONE || (peer && judge->peer == MOAT_TARGET_NONE) ? -ENOSPC
											    : 0;
}

void moat_policy_find_targets(const struct moat_policy *policy, struct moat_tables *half,
			      const struct moat_ruleset *set)
{
	for (uint32_t i = 0; i < half->rules->rule_count; i++) {
		struct moat_rule_entry *entry = &half->rules->entries[i];
		const struct moat_rule *rule = entry->action == MOAT_ACTION_REDIRECT
						       ? moat_ruleset_find(set, entry->id)
						       : NULL;

		if (rule)
			entry->value = find_target(policy, rule->target);
	}
}

bool moat_judge_sends_back(const struct moat_judge *judge)
{
	return judge->sends_back;
}

static enum moat_reason redirect(struct moat_judge *judge, const struct moat_rule_entry *entry)
{
	if (entry->value == MOAT_TARGET_NONE ||
	    (entry->value != judge->port && entry->value != judge->peer))
		return MOAT_REASON_PASS_NO_TARGET;
	judge->sends_back = entry->value == judge->port;
	return MOAT_REASON_REDIRECT_RULE;
}

/* ---- actions ----------------------------------------------------------------------------------- */

/* What the action makes of a packet, if it isn't left to the next rule; and whether it acted on it. */
static enum moat_reason act(struct moat_judge *judge, const struct moat_rule_entry *entry,
			    const struct moat_headers *headers, uint64_t now_ms, bool *ret_acted)
{
	enum moat_reason reason;

	switch (entry->action) {
	case MOAT_ACTION_DROP:
		reason = MOAT_REASON_DROP_RULE;
		break;
	case MOAT_ACTION_LIMIT:
		reason = limit(judge, entry, headers, now_ms);
		break;
	case MOAT_ACTION_REDIRECT:
		reason = redirect(judge, entry);
		break;
	case MOAT_ACTION_SAMPLE:
		*ret_acted = sample_is_due(judge, entry);
		return MOAT_REASON_PASS_DEFAULT;
	case MOAT_ACTION_COUNT:
		*ret_acted = false;
		return MOAT_REASON_PASS_DEFAULT;
	case MOAT_ACTION_CHALLENGE:
		reason = MOAT_REASON_PASS_DEFAULT;
		if (entry->flags & MOAT_RULE_COUNT_ONLY) {
			/* what would have been asked */
			*ret_acted = moat_challenge_part(headers, MOAT_CHALLENGE_WRONG_ACK) ==
				     MOAT_CHALLENGE_SYN;
			return reason;
		}
		moat_judge_challenge(judge, headers, now_ms, MOAT_CHALLENGE_SCOPE_RULE | entry->id,
				     &reason);
		break;
	default:
		reason = MOAT_REASON_PASS_RULE;
	}
	*ret_acted = moat_reason_verdict(reason) != MOAT_VERDICT_PASS;
	return reason;
}

/* Whether an unexpired rule decides the packet, and how. */
static bool apply(struct moat_judge *judge, const struct moat_rule_entry *entry,
		  const struct moat_headers *headers, uint64_t now_ms, enum moat_reason *ret_reason)
{
	struct moat_slot_count *count = &judge->counts[entry->slot];
	enum moat_reason reason;
	bool acted;

	add(&count->packets, 1);
	add(&count->bytes, headers->frame_len);
	reason = act(judge, entry, headers, now_ms, &acted);
	if (acted)
		add(&count->acted, 1);
	if (entry->flags & MOAT_RULE_COUNT_ONLY)
		return false;
	if (entry->action == MOAT_ACTION_SAMPLE && acted)
		judge->sample_interval = entry->value;
	*ret_reason = reason;
	return reason != MOAT_REASON_PASS_DEFAULT;
}

/* The vectors of one packet's classes, one a dimension, those that cost least to find first: four are found
 * without a table, and a destination port tells most rules apart that these leave. */
#define DIMENSIONS 8
#define DIMENSIONS_EASY 4
#define DIMENSIONS_PORT 5
#define DIMENSIONS_FLOW 6

static inline uint64_t and_of(const struct moat_bits *const vectors[DIMENSIONS], unsigned int count,
			      unsigned int word)
{
	uint64_t bits = vectors[0]->words[word];

	for (unsigned int i = 1; i < count; i++)
		bits &= vectors[i]->words[word];
	return bits;
}

/* Of the words of `summary`, those in which the first `count` dimensions leave a rule: none for most packets,
 * which then don't cost the lookups of the others. */
static inline uint64_t words_left(const struct moat_bits *const vectors[DIMENSIONS],
				  unsigned int count, uint64_t summary)
{
	uint64_t left = 0;

	for (uint64_t rest = summary; rest; rest &= rest - 1) {
		if (and_of(vectors, count, (unsigned int)__builtin_ctzll(rest)))
			left |= rest & -rest;
	}
	return left;
}

enum moat_reason moat_judge_rules(struct moat_judge *judge, const struct moat_tables *half,
				  const struct moat_headers *h, uint32_t src_class,
				  uint32_t dst_class, uint64_t now_ms, uint32_t *ret_rule_id)
{
	const struct moat_rule_tables *rules = half->rules;
	const struct moat_bits *vectors[DIMENSIONS] = {
		&rules->src[src_class],
		&rules->dst[dst_class],
		&rules->proto[h->proto],
		&rules->flags[moat_flags_class(h)],
	};
	uint64_t summary = vectors[0]->summary & vectors[1]->summary & vectors[2]->summary &
			   vectors[3]->summary;
	unsigned int tries = 0;

	summary = words_left(vectors, DIMENSIONS_EASY, summary);
	if (summary == 0)
		return MOAT_REASON_PASS_DEFAULT;
	vectors[4] = &rules->dport[h->has_ports ? rules->dport_class[h->dport] : 0];
	summary = words_left(vectors, DIMENSIONS_PORT, summary & vectors[4]->summary);
	if (summary == 0)
		return MOAT_REASON_PASS_DEFAULT;
	vectors[5] = &rules->sport[h->has_ports ? rules->sport_class[h->sport] : 0];
	vectors[6] = &rules->len[rules->len_class[h->l3_len]];
	vectors[7] = &rules->vlan[rules->vlan_class[h->vlan % MOAT_VLAN_IDS]];
	summary &= vectors[5]->summary & vectors[6]->summary & vectors[7]->summary;
	for (; summary; summary &= summary - 1) {
		unsigned int word = (unsigned int)__builtin_ctzll(summary);

		for (uint64_t bits = and_of(vectors, DIMENSIONS, word); bits; bits &= bits - 1) {
			const struct moat_rule_entry *entry =
				&rules->entries[word * 64 + (unsigned int)__builtin_ctzll(bits)];
			enum moat_reason reason;

			if (tries++ == MOAT_RULE_TRIES)
				return MOAT_REASON_PASS_DEFAULT;
			if (entry->expires && now_ms >= entry->expires)
				continue;
			if (apply(judge, entry, h, now_ms, &reason)) {
				*ret_rule_id = entry->id;
				return reason;
			}
		}
	}
	return MOAT_REASON_PASS_DEFAULT;
}

/* Whether a rule may have anything to do with packets between these hosts and ports, with whatever length and
 * tag, with these flags. */
bool moat_judge_may_match(const struct moat_tables *half, const struct moat_headers *h,
			  uint32_t src_class, uint32_t dst_class, uint32_t flags_class)
{
	const struct moat_rule_tables *rules = half->rules;
	const struct moat_bits *vectors[DIMENSIONS] = {
		&rules->src[src_class],
		&rules->dst[dst_class],
		&rules->proto[h->proto],
		&rules->flags[flags_class],
		&rules->dport[h->has_ports ? rules->dport_class[h->dport] : 0],
		&rules->sport[h->has_ports ? rules->sport_class[h->sport] : 0],
	};
	uint64_t summary = UINT64_MAX;

	for (unsigned int i = 0; i < DIMENSIONS_FLOW; i++)
		summary &= vectors[i]->summary;
	return words_left(vectors, DIMENSIONS_FLOW, summary) != 0;
}

uint32_t moat_judge_sampled(const struct moat_judge *judge)
{
	return judge->sample_interval;
}
