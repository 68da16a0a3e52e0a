/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules that a packet matches, by position: the AND of one bit vector a dimension (moat/rule.h). */
#ifndef MOAT_LIB_MATCH_H
#define MOAT_LIB_MATCH_H

#include <bpf/bpf_helpers.h>

#include "moat/rule.h"

/* The packet's class in every dimension. */
struct moat_classes {
	__u16 src, dst, proto, flags, sport, dport, len, vlan;
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

/* A class in bounds for the verifier; sound tables hold no other. In a register, for it knows nothing of two
 * reads from the stack. */
MOAT_INLINE __u64 moat_class_bound(__u64 class, __u64 bound)
{
	asm volatile("" : "+r"(class));
	return class < bound ? class : 0;
}

/* A port as an index. To verifiers before 6.12 a number that was turned to host order may be any. */
MOAT_INLINE __u64 moat_port_bound(__u64 port)
{
	asm volatile("" : "+r"(port));
	return port & 0xffff;
}

/* 0 if no rule may match both addresses. */
MOAT_INLINE int moat_addresses_match(const struct moat_rule_tables *rules, __u32 src, __u32 dst)
{
	return (rules->src_summary[moat_class_bound(src, MOAT_PREFIX_CLASSES)] &
		rules->dst_summary[moat_class_bound(dst, MOAT_PREFIX_CLASSES)]) != 0;
}

/* 0 if no rule may match a packet with ports, by the four dimensions that tell most packets apart. */
MOAT_INLINE int moat_summaries_match(const struct moat_rule_tables *rules, __u32 src, __u32 dst,
				     __u8 proto, __u16 dport)
{
	__u64 left = rules->src_summary[moat_class_bound(src, MOAT_PREFIX_CLASSES)] &
		     rules->dst_summary[moat_class_bound(dst, MOAT_PREFIX_CLASSES)] &
		     rules->proto_summary[proto];

	__u64 class = rules->dport_class[moat_port_bound(dport)];

	return left && (left & rules->dport_summary[moat_class_bound(class, MOAT_RANGE_CLASSES)]);
}

/* The rules that all vectors' summaries leave. */
MOAT_INLINE __u64 moat_matches_summary(const struct moat_rule_tables *rules,
				       const struct moat_classes *c)
{
	return rules->src[moat_class_bound(c->src, MOAT_PREFIX_CLASSES)].summary &
	       rules->dst[moat_class_bound(c->dst, MOAT_PREFIX_CLASSES)].summary &
	       rules->proto[moat_class_bound(c->proto, 256)].summary &
	       rules->flags[moat_class_bound(c->flags, MOAT_FLAG_CLASSES)].summary &
	       rules->sport[moat_class_bound(c->sport, MOAT_RANGE_CLASSES)].summary &
	       rules->dport[moat_class_bound(c->dport, MOAT_RANGE_CLASSES)].summary &
	       rules->len[moat_class_bound(c->len, MOAT_RANGE_CLASSES)].summary &
	       rules->vlan[moat_class_bound(c->vlan, MOAT_VLAN_CLASSES)].summary;
}

/* The same of one word, below MOAT_RULE_WORDS. The vectors are found anew, one after the other: eight pointers
 * would take the stack that the callers need. */
MOAT_INLINE __u64 moat_matches_word(const struct moat_rule_tables *rules,
				    const struct moat_classes *c, __u64 index)
{
	return rules->src[moat_class_bound(c->src, MOAT_PREFIX_CLASSES)].words[index] &
	       rules->dst[moat_class_bound(c->dst, MOAT_PREFIX_CLASSES)].words[index] &
	       rules->proto[moat_class_bound(c->proto, 256)].words[index] &
	       rules->flags[moat_class_bound(c->flags, MOAT_FLAG_CLASSES)].words[index] &
	       rules->sport[moat_class_bound(c->sport, MOAT_RANGE_CLASSES)].words[index] &
	       rules->dport[moat_class_bound(c->dport, MOAT_RANGE_CLASSES)].words[index] &
	       rules->len[moat_class_bound(c->len, MOAT_RANGE_CLASSES)].words[index] &
	       rules->vlan[moat_class_bound(c->vlan, MOAT_VLAN_CLASSES)].words[index];
}

MOAT_INLINE void moat_matches_init(struct moat_matches *matches,
				   const struct moat_rule_tables *rules,
				   const struct moat_classes *classes)
{
	matches->summary = moat_matches_summary(rules, classes);
	matches->word = 0;
	matches->word_index = 0;
}

/* Goes on with the next word that the summary names. 0 if there is none. */
MOAT_INLINE int moat_matches_next_word(struct moat_matches *matches,
				       const struct moat_rule_tables *rules,
				       const struct moat_classes *classes)
{
	__u64 index;

	if (matches->summary == 0)
		return 0;
	index = __builtin_ctzll(matches->summary);
	/* below 64, as the compiler knows; the verifier has to see the mask */
	asm volatile("" : "+r"(index));
	index &= MOAT_RULE_WORDS - 1;
	matches->summary &= matches->summary - 1;
	matches->word = moat_matches_word(rules, classes, index);
	matches->word_index = index;
	return 1;
}

/* The lowest position of the current word, which is not 0. */
MOAT_INLINE __u64 moat_matches_first(const struct moat_matches *matches)
{
	__u64 position = matches->word_index * 64ULL + __builtin_ctzll(matches->word);

	/* The compiler makes an OR of the sum and drops the mask that it can prove; verifiers before 6.10
	 * know nothing of the result of an OR. */
	asm volatile("" : "+r"(position));
	return position & (MOAT_RULES_MAX - 1);
}

/* Takes that position out of the word. */
MOAT_INLINE void moat_matches_drop_first(struct moat_matches *matches)
{
	matches->word &= matches->word - 1;
}

#endif
