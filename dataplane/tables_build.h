/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of the builder, for tables*.c alone: tries (tables_lpm.c), rules (tables_rules.c), their vectors
 * (tables_vectors.c). */
#ifndef MOAT_DATAPLANE_TABLES_BUILD_H
#define MOAT_DATAPLANE_TABLES_BUILD_H

#include "dataplane/tables.h"

/* A prefix and what its addresses get: MOAT_LPM_ALLOW or MOAT_LPM_DENY, or the class of a rule's prefix. */
struct moat_lpm_item {
	const struct moat_prefix *prefix;
	uint32_t value;
};

/* Zeroes what an earlier build left in the roots and gives back all nodes. */
void moat_lpm_clear(struct moat_tables *half);

/* Fills the tries of sources or destinations from `count` items of any order and family (not ANY). 0,
 * MOAT_TABLES_NO_NODES or -ENOMEM. */
int moat_lpm_fill(struct moat_tables *half, bool source, const struct moat_lpm_item *items,
		  size_t count);

/* The entry of a root where a prefix is or begins, and the bits that the root takes. Notes that a change is
 * coming. */
uint32_t *moat_lpm_root_entry(struct moat_tables *half, bool source,
			      const struct moat_prefix *prefix, unsigned int *ret_depth);

/* The distinct prefixes of one side of the rules: class c is prefixes[c - 1]. */
struct moat_prefix_classes {
	size_t count;
	const struct moat_prefix *prefixes[MOAT_RULES_MAX];
};

/* Fills half->rules from `count` rules by position and says which prefix has which class. 0 or -ENOMEM. */
int moat_rule_tables_fill(struct moat_rule_tables *tables, const struct moat_rule *const *rules,
			  size_t count, const struct moat_tables_clock *clock,
			  struct moat_prefix_classes *ret_src, struct moat_prefix_classes *ret_dst);

/* Its part for the vectors and the classes of values. 0 or -ENOMEM. */
int moat_vectors_fill(struct moat_rule_tables *tables, const struct moat_rule *const *rules,
		      size_t count, struct moat_prefix_classes *ret_src,
		      struct moat_prefix_classes *ret_dst);

/* Fills half->stages and half->work from what the set asks of stages. */
void moat_stage_tables_fill(struct moat_tables *half, const struct moat_ruleset *set,
			    const struct moat_tables_clock *clock);

/* What the stages' prefixes make of leaves, of sources and of destinations; ret_hosts is where the prefixes
 * of sessions are kept. Each returns how many, at most moat_stage_items_most. */
size_t moat_stage_items_most(const struct moat_ruleset *set);
size_t moat_stage_src_items(const struct moat_ruleset *set, struct moat_lpm_item *ret_items,
			    struct moat_prefix ret_hosts[MOAT_SESSIONS_MAX]);
size_t moat_stage_dst_items(const struct moat_ruleset *set, struct moat_lpm_item *ret_items);

#endif
