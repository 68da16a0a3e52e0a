/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules that a packet matches, by position: the AND of one bit vector a dimension (moat/rule.h). */
#ifndef MOAT_LIB_MATCH_H
#define MOAT_LIB_MATCH_H

#include <bpf/bpf_helpers.h>

#include "moat/rule.h"

/* The packet's class in every dimension. */
struct moat_classes {
	__u32 src, dst, proto, flags, sport, dport, len, vlan;
};

/* Their vectors. */
struct moat_vectors {
	const struct moat_bits *src, *dst, *proto, *flags, *sport, *dport, *len, *vlan;
};

/* What stands of an enumeration: words not yet looked at, bits not yet looked at of one word. */
struct moat_matches {
	__u64 summary;
	__u64 word;
	__u64 word_index;
};

MOAT_INLINE void moat_classes_find(struct moat_classes *classes,
				   const struct moat_rule_tables *rules,
				   const struct moat_headers *h, __u32 src, __u32 dst)
{
	classes->src = src;
	classes->dst = dst;
	classes->proto = h->proto;
	classes->flags = moat_flags_class(h);
	classes->sport = 0;
	classes->dport = 0;
	if (h->has_ports) {
		classes->sport = rules->sport_class[h->sport];
		classes->dport = rules->dport_class[h->dport];
	}
	classes->len = rules->len_class[h->l3_len];
	classes->vlan = rules->vlan_class[h->vlan & (MOAT_VLAN_IDS - 1)];
}

/* 0 if no rule may match both addresses. Classes out of range are left to moat_vectors_find. */
MOAT_INLINE int moat_addresses_match(const struct moat_rule_tables *rules, __u32 src, __u32 dst)
{
	if (src >= MOAT_PREFIX_CLASSES || dst >= MOAT_PREFIX_CLASSES)
		return 1;
	return (rules->src[src].summary & rules->dst[dst].summary) != 0;
}

/* Finds the vectors. 0 if a class is out of range, which sound tables don't hold. */
MOAT_INLINE int moat_vectors_find(struct moat_vectors *vectors, const struct moat_rule_tables *rules,
				  const struct moat_classes *classes)
{
	if (classes->src >= MOAT_PREFIX_CLASSES || classes->dst >= MOAT_PREFIX_CLASSES ||
	    classes->proto >= 256 || classes->flags >= MOAT_FLAG_CLASSES ||
	    classes->sport >= MOAT_RANGE_CLASSES || classes->dport >= MOAT_RANGE_CLASSES ||
	    classes->len >= MOAT_RANGE_CLASSES || classes->vlan >= MOAT_VLAN_CLASSES)
		return 0;
	vectors->src = &rules->src[classes->src];
	vectors->dst = &rules->dst[classes->dst];
	vectors->proto = &rules->proto[classes->proto];
	vectors->flags = &rules->flags[classes->flags];
	vectors->sport = &rules->sport[classes->sport];
	vectors->dport = &rules->dport[classes->dport];
	vectors->len = &rules->len[classes->len];
	vectors->vlan = &rules->vlan[classes->vlan];
	return 1;
}

MOAT_INLINE void moat_matches_init(struct moat_matches *matches, const struct moat_vectors *v)
{
	matches->summary = v->src->summary & v->dst->summary & v->proto->summary &
			   v->flags->summary & v->sport->summary & v->dport->summary &
			   v->len->summary & v->vlan->summary;
	matches->word = 0;
	matches->word_index = 0;
}

/* Goes on with the next word that the summary names. 0 if there is none. */
MOAT_INLINE int moat_matches_next_word(struct moat_matches *matches, const struct moat_vectors *v)
{
	__u64 index;

	if (matches->summary == 0)
		return 0;
	index = __builtin_ctzll(matches->summary);
	/* below 64, as the compiler knows; the verifier has to see the mask */
	asm volatile("" : "+r"(index));
	index &= MOAT_RULE_WORDS - 1;
	matches->summary &= matches->summary - 1;
	matches->word = v->src->words[index] & v->dst->words[index] & v->proto->words[index] &
			v->flags->words[index] & v->sport->words[index] & v->dport->words[index] &
			v->len->words[index] & v->vlan->words[index];
	matches->word_index = index;
	return 1;
}

/* Takes the lowest position out of the current word, which is not 0. */
MOAT_INLINE __u64 moat_matches_take(struct moat_matches *matches)
{
	__u64 position = matches->word_index * 64ULL + __builtin_ctzll(matches->word);

	matches->word &= matches->word - 1;
	/* The compiler makes an OR of the sum and drops the mask that it can prove; verifiers before 6.10
	 * know nothing of the result of an OR. */
	asm volatile("" : "+r"(position));
	return position & (MOAT_RULES_MAX - 1);
}

#endif
