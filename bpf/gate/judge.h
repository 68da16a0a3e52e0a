/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stages between parsing and counting: lists, then rules. Each either decides the packet's reason or
 * leaves it to the next. The order and every outcome are those of dataplane/policy.h.
 */
#ifndef MOAT_GATE_JUDGE_H
#define MOAT_GATE_JUDGE_H

#include "gate/maps.h"
#include "lib/lookup.h"
#include "lib/match.h"

/* One packet on its way through the stages. */
struct gate_packet {
	struct moat_headers headers;
	__u64 now; /* jiffies */
	__u64 src_hash;
	__u64 hash_seed;
	__u32 window;
	__u32 cpu;
	__u32 half; /* of every table, read once */
	__u32 frame;
	__u32 parse;
	__u32 reason;
	__u32 rule_id;
	__u32 tries;   /* rules looked at */
	__u32 expired; /* of them */
	__u32 errors;  /* lookups that failed and can't */
	/* of the rules' stage, which sets them */
	struct moat_classes classes;
	struct moat_matches matches;
};

/* Goes down from a root's entry, for the few addresses whose prefixes are longer than the root's. */
MOAT_INLINE __u32 gate_descend(struct gate_packet *packet, __u32 leaf, __u64 high, __u64 low)
{
	const __u32 *nodes;

	if (!(leaf & MOAT_LPM_CHILD))
		return leaf;
	nodes = moat_map_element(trie_nodes, packet->half);
	if (!nodes) {
		packet->errors++;
		return 0;
	}
	return moat_lookup_descend(nodes, node_count, leaf, high, low);
}

MOAT_INLINE __u32 gate_lookup_src(struct gate_packet *packet)
{
	const struct moat_addr *addr = &packet->headers.src;
	int is_v4 = moat_addr_is_v4(addr);
	__u64 high = bpf_be64_to_cpu(addr->quads[is_v4]);
	__u64 low = bpf_be64_to_cpu(addr->quads[1]);
	const __u32 *root;

	if (is_v4) {
		root = moat_map_element(src4_root, packet->half);
		high <<= 32;
		if (root)
			return gate_descend(packet, root[high >> (64 - MOAT_LPM_SRC4_BITS)],
					    high << MOAT_LPM_SRC4_BITS, 0);
	} else {
		root = moat_map_element(src6_root, packet->half);
		if (root)
			return gate_descend(packet, root[high >> (64 - MOAT_LPM_ROOT_BITS)],
					    high << MOAT_LPM_ROOT_BITS |
						    low >> (64 - MOAT_LPM_ROOT_BITS),
					    low << MOAT_LPM_ROOT_BITS);
	}
	packet->errors++;
	return 0;
}

MOAT_INLINE __u32 gate_lookup_dst(struct gate_packet *packet)
{
	const struct moat_addr *addr = &packet->headers.dst;
	int is_v4 = moat_addr_is_v4(addr);
	__u64 high = bpf_be64_to_cpu(addr->quads[is_v4]);
	__u64 low = is_v4 ? 0 : bpf_be64_to_cpu(addr->quads[1]);
	const __u32 *root;

	if (is_v4) {
		root = moat_map_element(dst4_root, packet->half);
		high <<= 32;
	} else {
		root = moat_map_element(dst6_root, packet->half);
	}
	if (!root) {
		packet->errors++;
		return 0;
	}
	return gate_descend(packet, root[high >> (64 - MOAT_LPM_ROOT_BITS)],
			    high << MOAT_LPM_ROOT_BITS | low >> (64 - MOAT_LPM_ROOT_BITS),
			    low << MOAT_LPM_ROOT_BITS);
}

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
	dst_class = gate_lookup_dst(packet) & MOAT_LPM_CLASS;
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
	leaf = gate_lookup_src(packet);
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
