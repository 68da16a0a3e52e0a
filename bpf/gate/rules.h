/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage 6: access rules, by position. */
#ifndef MOAT_GATE_RULES_H
#define MOAT_GATE_RULES_H

#include "gate/packet.h"

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
	    moat_known_test(filter, &packet->headers.src, packet->hash_seed))
		return MOAT_REASON_PASS_KNOWN;
	if (moat_limit_take(limit, &share->slots[slot], entry->id, &entry->packets, &entry->bytes,
			    packet->now, packet->headers.l3_len))
		return MOAT_REASON_PASS_LIMIT;
	return MOAT_REASON_DROP_LIMIT;
}

/* One matching rule. 1 if it decided. */
MOAT_INLINE int gate_apply(struct gate_packet *packet, const struct moat_rule_entry *entry)
{
	struct gate_hits *hit = moat_map_element(hits, packet->cpu);
	__u32 slot = entry->slot;

	if (entry->expires != 0 && packet->now >= entry->expires) {
		packet->expired++;
		return 0;
	}
	if (!hit || slot >= MOAT_RULES_MAX) {
		packet->errors++;
		return 0;
	}
	hit->slots[slot]++;
	if (entry->action == MOAT_ACTION_COUNT)
		return 0;
	packet->rule_id = entry->id;
	if (entry->action == MOAT_ACTION_DROP)
		packet->reason = MOAT_REASON_DROP_RULE;
	else if (entry->action == MOAT_ACTION_LIMIT)
		packet->reason = gate_limit(packet, entry, slot);
	else
		packet->reason = MOAT_REASON_PASS_RULE;
	return 1;
}

/* What the turns of the loop over a packet's matching rules share. All that changes is in the packet. */
struct gate_turn {
	struct gate_packet *packet;
	const struct moat_rule_tables *table;
	struct moat_vectors vectors;
};

/* One turn: a new word, or a rule. 1 ends the loop (bpf_loop's convention). */
static long gate_take_turn(__u32 number, struct gate_turn *turn)
{
	struct gate_packet *packet = turn->packet;

	if (packet->matches.word == 0)
		return !moat_matches_next_word(&packet->matches, &turn->vectors);
	if (gate_apply(packet, &turn->table->entries[moat_matches_take(&packet->matches)]))
		return 1;
	return ++packet->tries == MOAT_RULE_TRIES;
}

/*
 * Goes on with the rules where the first one didn't decide. Rare, so it may cost two calls (13 ns each
 * where returns are guarded against speculation): a global function, which the verifier looks at once, by
 * itself, instead of once for each path that leads here, and bpf_loop, likewise for its turns. The return
 * value is not used.
 */
__attribute__((noinline)) int gate_judge_rest(struct gate_packet *packet)
{
	struct gate_turn turn = {};

	if (!packet)
		return 0; /* for the verifier */
	turn.packet = packet;
	turn.table = moat_map_element(rule_tables, packet->half);
	if (!turn.table || !moat_vectors_find(&turn.vectors, turn.table, &packet->classes)) {
		packet->errors++;
		return 0;
	}
	bpf_loop(MOAT_RULE_WORDS + MOAT_RULE_TRIES, gate_take_turn, &turn, 0);
	return 0;
}

/* Judges by rules: mostly none is left after the summaries, or the first one decides. */
MOAT_INLINE void gate_judge_rules(struct gate_packet *packet, __u32 src_class)
{
	const struct moat_rule_tables *table = moat_map_element(rule_tables, packet->half);
	struct moat_vectors vectors;
	__u32 dst_class;

	if (!table) {
		packet->errors++;
		return;
	}
	dst_class = gate_lookup_dst(&packet->headers.dst, packet->half, &packet->errors) &
		    MOAT_LPM_CLASS;
	/* most rules name an address, so most packets need no more than this */
	if (!moat_addresses_match(table, src_class, dst_class))
		return;
	moat_classes_find(&packet->classes, table, &packet->headers, src_class, dst_class);
	if (!moat_vectors_find(&vectors, table, &packet->classes)) {
		packet->errors++;
		return;
	}
	moat_matches_init(&packet->matches, &vectors);
	packet->tries = 0;
	if (!moat_matches_next_word(&packet->matches, &vectors))
		return;
	if (packet->matches.word != 0) {
		packet->tries++;
		if (gate_apply(packet, &table->entries[moat_matches_take(&packet->matches)]))
			return;
	}
	if (packet->matches.word | packet->matches.summary)
		gate_judge_rest(packet);
}

#endif
