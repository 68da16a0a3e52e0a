/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules of the workers' policy: as bpf/gate/rules.h. */
#include "dataplane/policy_priv.h"

/* Whether an unexpired rule decides the packet, and how. */
static bool apply(struct moat_judge *judge, const struct moat_rule_entry *entry,
		  const struct moat_headers *headers, uint64_t now_ms, enum moat_reason *ret_reason)
{
	struct moat_policy *policy = judge->policy;
	uint32_t slot = entry->slot;

	/* one writer: no need for an atomic add */
	atomic_store_explicit(&judge->hits[slot],
			      atomic_load_explicit(&judge->hits[slot], memory_order_relaxed) + 1,
			      memory_order_relaxed);
	switch (entry->action) {
	case MOAT_ACTION_COUNT:
		return false;
	case MOAT_ACTION_PASS:
		*ret_reason = MOAT_REASON_PASS_RULE;
		return true;
	case MOAT_ACTION_LIMIT:
		if ((entry->flags & MOAT_RULE_PREFER_KNOWN) &&
		    moat_known_test(policy->known, &headers->src, policy->hash_seed))
			*ret_reason = MOAT_REASON_PASS_KNOWN;
		else if (moat_limit_take(&policy->limits[slot], &judge->shares[slot], entry->id,
					 &entry->packets, &entry->bytes, now_ms, headers->l3_len))
			*ret_reason = MOAT_REASON_PASS_LIMIT;
		else
			*ret_reason = MOAT_REASON_DROP_LIMIT;
		return true;
	default:
		*ret_reason = MOAT_REASON_DROP_RULE;
		return true;
	}
}

/* The vectors of one packet's classes, one a dimension. */
#define DIMENSIONS 8

static uint64_t and_of(const struct moat_bits *const vectors[DIMENSIONS], unsigned int word)
{
	uint64_t bits = vectors[0]->words[word];

	for (unsigned int i = 1; i < DIMENSIONS; i++)
		bits &= vectors[i]->words[word];
	return bits;
}

enum moat_reason moat_judge_rules(struct moat_judge *judge, const struct moat_tables *half,
				  const struct moat_headers *h, uint32_t src_class, uint64_t now_ms,
				  uint32_t *ret_rule_id)
{
	const struct moat_rule_tables *rules = half->rules;
	uint32_t dst_class = moat_tables_lookup_dst(half, &h->dst) & MOAT_LPM_CLASS;
	const struct moat_bits *const vectors[DIMENSIONS] = {
		&rules->src[src_class],
		&rules->dst[dst_class],
		&rules->proto[h->proto],
		&rules->flags[moat_flags_class(h)],
		&rules->sport[h->has_ports ? rules->sport_class[h->sport] : 0],
		&rules->dport[h->has_ports ? rules->dport_class[h->dport] : 0],
		&rules->len[rules->len_class[h->l3_len]],
		&rules->vlan[rules->vlan_class[h->vlan % MOAT_VLAN_IDS]],
	};
	uint64_t summary = vectors[0]->summary;
	unsigned int tries = 0;

	for (unsigned int i = 1; i < DIMENSIONS; i++)
		summary &= vectors[i]->summary;
	for (; summary; summary &= summary - 1) {
		unsigned int word = (unsigned int)__builtin_ctzll(summary);

		for (uint64_t bits = and_of(vectors, word); bits; bits &= bits - 1) {
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
