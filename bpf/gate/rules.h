/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 6: access rules, by position. */
#ifndef MOAT_GATE_RULES_H
#define MOAT_GATE_RULES_H

#include "gate/challenge.h"
#include "gate/packet.h"
#include "lib/sample.h"

MOAT_INLINE enum moat_reason gate_limit(struct gate_packet *packet,
					const struct moat_rule_entry *entry, __u32 slot)
{
	const struct moat_known *filter = moat_map_element(known, 0);
	struct moat_limit *limit = moat_map_element(limits, slot);
	struct gate_shares *share = moat_map_element(shares, packet->cpu);

	if (!filter || !limit || !share) {
		packet->errors++;
		return MOAT_REASON_PASS_LIMIT;
	}
	if ((entry->flags & MOAT_RULE_PREFER_KNOWN) &&
	    moat_known_test(filter, &packet->headers.src, gate_ctl()->hash_seed))
		return MOAT_REASON_PASS_KNOWN;
	if (moat_limit_take(limit, &share->slots[slot], entry->id, &entry->packets, &entry->bytes,
			    packet->now, packet->headers.l3_len))
		return MOAT_REASON_PASS_LIMIT;
	return MOAT_REASON_DROP_LIMIT;
}

/* What isn't done on the common path. */
MOAT_INLINE int gate_is_rare(const struct moat_rule_entry *entry)
{
	return entry->action > MOAT_ACTION_COUNT || (entry->flags & MOAT_RULE_COUNT_ONLY);
}

MOAT_INLINE int gate_rule_has_expired(const struct gate_packet *packet,
				      const struct moat_rule_entry *entry)
{
	return entry->expires != 0 && packet->now >= entry->expires;
}

/* Counts a packet of a rule that hasn't expired. NULL if it has, or can't be. */
MOAT_INLINE struct moat_rule_count *gate_rule_hit(struct gate_packet *packet,
						  const struct moat_rule_entry *entry)
{
	struct gate_hits *hit = moat_map_element(hits, packet->cpu);
	__u32 slot = entry->slot;

	if (gate_rule_has_expired(packet, entry)) {
		packet->expired++;
		return 0;
	}
	if (!hit || slot >= MOAT_RULES_MAX) {
		packet->errors++;
		return 0;
	}
	hit->slots[slot].packets++;
	hit->slots[slot].bytes += packet->headers.frame_len;
	return &hit->slots[slot];
}

/* One matching rule that isn't rare. 1 if it decided. */
MOAT_INLINE int gate_apply(struct gate_packet *packet, const struct moat_rule_entry *entry)
{
	struct moat_rule_count *hit = gate_rule_hit(packet, entry);

	if (!hit || entry->action == MOAT_ACTION_COUNT)
		return 0;
	packet->rule_id = entry->id;
	if (entry->action == MOAT_ACTION_DROP)
		packet->reason = MOAT_REASON_DROP_RULE;
	else if (entry->action == MOAT_ACTION_LIMIT)
		packet->reason = gate_limit(packet, entry, entry->slot);
	else
		packet->reason = MOAT_REASON_PASS_RULE;
	hit->acted += packet->reason >= MOAT_REASON_DROP_DENIED;
	return 1;
}

/* 1 if a rule challenges and the packet is still to be asked: then gate_rule_ask asks it, of all rules the
 * only one. */
MOAT_INLINE int gate_rule_asks(const struct gate_packet *packet, const struct moat_rule_entry *entry)
{
	return entry->action == MOAT_ACTION_CHALLENGE && !(entry->flags & MOAT_RULE_COUNT_ONLY) &&
	       !gate_rule_has_expired(packet, entry) && gate_challenge_wants(packet);
}

/* A matching rule that asks. 1 if that decided. */
MOAT_INLINE int gate_rule_ask(struct gate_packet *packet, const struct moat_rule_entry *entry)
{
	struct moat_rule_count *hit = gate_rule_hit(packet, entry);

	if (!hit || !gate_challenge(packet, MOAT_CHALLENGE_SCOPE_RULE | entry->id))
		return 0;
	hit->acted++;
	packet->rule_id = entry->id;
	return 1;
}

/* 1 if this packet is the one in entry->value. The next is drawn uniformly from interval +- half, so that
 * no periodic traffic can hide between samples. */
MOAT_INLINE int gate_rule_sample_due(struct gate_packet *packet, const struct moat_rule_entry *entry)
{
	struct moat_gate_counters *count = gate_counters(packet->cpu);
	struct gate_shares *shares_of = moat_map_element(shares, packet->cpu);
	__u32 slot = entry->slot, interval = entry->value, half = interval / 2;
	struct moat_limit_share *share;
	__u32 left;

	if (!shares_of || slot >= MOAT_RULES_MAX) {
		packet->errors++;
		return 0;
	}
	share = &shares_of->slots[slot];
	left = share->owner == entry->id ? share->countdown : 0;
	share->owner = entry->id;
	if (left == 0)
		left = 1 + (((moat_sample_random(count) >> 32) * interval) >> 32);
	if (left > 1) {
		share->countdown = left - 1;
		return 0;
	}
	share->countdown = interval - half +
			   (((moat_sample_random(count) >> 32) * (2ULL * half + 1)) >> 32);
	return 1;
}

/* Any matching rule: those that sample, redirect or only count as well. 1 if it decided. */
MOAT_INLINE int gate_act(struct gate_packet *packet, const struct moat_rule_entry *entry)
{
	struct moat_rule_count *hit;
	__u32 reason, acted;

	if (!gate_is_rare(entry))
		return gate_apply(packet, entry);
	hit = gate_rule_hit(packet, entry);
	if (!hit)
		return 0;
	switch (entry->action) {
	case MOAT_ACTION_DROP:
		reason = MOAT_REASON_DROP_RULE;
		break;
	case MOAT_ACTION_LIMIT:
		reason = gate_limit(packet, entry, entry->slot);
		break;
	case MOAT_ACTION_REDIRECT:
		reason = bpf_redirect_map(&targets, entry->value, XDP_PASS) == XDP_REDIRECT
				 ? MOAT_REASON_REDIRECT_RULE
				 : MOAT_REASON_PASS_NO_TARGET;
		break;
	default:
		reason = MOAT_REASON_PASS_RULE;
	}
	acted = reason >= MOAT_REASON_DROP_DENIED;
	if (entry->action == MOAT_ACTION_SAMPLE)
		acted = gate_rule_sample_due(packet, entry);
	/* this one was asked, has no part, or is only to be counted as one that would have been asked */
	if (entry->action == MOAT_ACTION_CHALLENGE)
		acted = (entry->flags & MOAT_RULE_COUNT_ONLY) &&
			moat_challenge_part(&packet->headers, challenge_form) == MOAT_CHALLENGE_SYN;
	hit->acted += acted;
	if ((entry->flags & MOAT_RULE_COUNT_ONLY) || entry->action == MOAT_ACTION_CHALLENGE)
		return 0;
	if (entry->action == MOAT_ACTION_SAMPLE) {
		if (acted)
			packet->sample_interval = entry->value;
		return 0;
	}
	packet->rule_id = entry->id;
	packet->reason = reason;
	return 1;
}

/* What the turns of the loop over a packet's matching rules share. All that changes is in the packet. */
struct gate_turn {
	struct gate_packet *packet;
	const struct moat_rule_tables *table;
	__u64 challenger; /* position of a rule that is to ask, plus 1 */
};

/* One turn: a new word, or a rule. 1 ends the loop (bpf_loop's convention). */
static long gate_take_turn(__u32 number, struct gate_turn *turn)
{
	struct gate_packet *packet = turn->packet;
	const struct moat_rule_entry *entry;
	__u64 position;

	if (packet->matches.word == 0)
		return !moat_matches_next_word(&packet->matches, turn->table, &packet->classes);
	position = moat_matches_first(&packet->matches);
	entry = &turn->table->entries[position];
	moat_matches_drop_first(&packet->matches);
	if (gate_rule_asks(packet, entry)) {
		turn->challenger = position + 1;
		return 1;
	}
	if (gate_act(packet, entry))
		return 1;
	return ++packet->tries == MOAT_RULE_TRIES;
}

/*
 * Goes on with the rules where the first one didn't decide, or is no drop, pass, limit or count. Rare, so it may cost two calls (13 ns each
 * where returns are guarded against speculation): a global function, which the verifier looks at once, by
 * itself, instead of once for each path that leads here, and bpf_loop, likewise for its turns. The return
 * value is not used.
 */
__attribute__((noinline)) int gate_judge_rest(struct gate_packet *packet)
{
	struct gate_turn turn = {};
	__u64 position;

	if (!packet)
		return 0; /* for the verifier */
	turn.packet = packet;
	turn.table = gate_rule_table(packet->half);
	bpf_loop(MOAT_RULE_WORDS + MOAT_RULE_TRIES, gate_take_turn, &turn, 0);
	if (!turn.challenger)
		return 0;
	/* asked from here: the turn's calls are as deep as the stack allows. Once: see moat/challenge.h. */
	position = turn.challenger - 1;
	asm volatile("" : "+r"(position)); /* so that the mask stays for the verifier */
	turn.challenger = 0;
	if (!gate_rule_ask(packet, &turn.table->entries[position & (MOAT_RULES_MAX - 1)]) &&
	    ++packet->tries < MOAT_RULE_TRIES)
		bpf_loop(MOAT_RULE_WORDS + MOAT_RULE_TRIES, gate_take_turn, &turn, 0);
	return 0;
}

/* Judges by rules: mostly none is left after the summaries, or the first one decides. */
MOAT_INLINE void gate_judge_rules(struct gate_packet *packet, __u32 src_class)
{
	const struct moat_rule_tables *table = gate_rule_table(packet->half);
	const struct moat_rule_entry *entry;
	__u32 dst_class;

	dst_class = packet->dst_leaf & MOAT_LPM_CLASS;
	/* most rules name an address, so most packets need no more than this */
	if (!moat_addresses_match(table, src_class, dst_class))
		return;
	moat_classes_find(&packet->classes, table, &packet->headers, src_class, dst_class);
	moat_matches_init(&packet->matches, table, &packet->classes);
	packet->tries = 0;
	if (!moat_matches_next_word(&packet->matches, table, &packet->classes))
		return;
	if (packet->matches.word != 0) {
		entry = &table->entries[moat_matches_first(&packet->matches)];
		if (gate_rule_asks(packet, entry)) {
			packet->tries++;
			moat_matches_drop_first(&packet->matches);
			if (gate_rule_ask(packet, entry))
				return;
		} else if (!gate_is_rare(entry)) {
			packet->tries++;
			moat_matches_drop_first(&packet->matches);
			if (gate_apply(packet, entry))
				return;
		}
	}
	if (packet->matches.word | packet->matches.summary)
		gate_judge_rest(packet);
}

#endif
