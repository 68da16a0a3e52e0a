/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Compiles a rule set into one half of the judge's tables (moat/rule.h). The memory belongs to the
 * gate's mapped arrays or to a worker policy; this file knows only where each part stands.
 */
#ifndef MOAT_DATAPLANE_TABLES_H
#define MOAT_DATAPLANE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/ruleset.h"
#include "moat/rule.h"

#define MOAT_TABLES_CHUNK 1024 /* root entries: a page */
#define MOAT_TABLES_CHUNKS \
	(((1u << MOAT_LPM_SRC4_BITS) + 3 * (1u << MOAT_LPM_ROOT_BITS)) / MOAT_TABLES_CHUNK)

/* One half. Nodes are shared by the four tries; node 0 is never used. */
struct moat_tables {
	uint32_t *src4_root; /* 2^24 leaves */
	uint32_t *dst4_root; /* 2^16 */
	uint32_t *src6_root; /* 2^16 */
	uint32_t *dst6_root; /* 2^16 */
	uint32_t (*nodes)[MOAT_LPM_NODE_SIZE];
	uint32_t node_capacity;
	struct moat_rule_tables *rules;
	struct moat_stage_tables *stages;
	uint32_t work; /* enum moat_stage: what this half has something to do for */

	/* builder's own: what this half holds besides zeros, so that a rebuild clears only that; all zero
	 * for new, zeroed memory */
	uint32_t node_count;                              /* in use, with node 0 */
	uint64_t touched[(MOAT_TABLES_CHUNKS + 63) / 64]; /* chunks of the roots, src4 dst4 src6 dst6 */
	bool dirty; /* contents unknown (adopted): the next build clears everything */
};

/* How the judge that reads the half tells time: the gate in jiffies, workers in milliseconds. */
struct moat_tables_clock {
	uint64_t now_ns;    /* CLOCK_MONOTONIC ... */
	uint64_t now_ticks; /* ... and the judge's clock at the same moment */
	uint32_t ticks_per_s;
	uint32_t judges; /* that share a limit: CPUs or workers, 1 and up */
};

/* The longest window of 2^shift ticks up to 128 ms: 128 ms at 1000 and 250 ticks a second, 80 ms at 100. */
uint32_t moat_tables_window_shift(uint32_t ticks_per_s);

/* What a protection did since it stands. */
struct moat_profile_hits {
	uint64_t matched; /* packets of the kinds that it limits */
	uint64_t dropped; /* of them */
};

/* Adds what a judge counted for the profile with a number of a half, if it is that profile's. */
void moat_tables_add_profile_hits(const struct moat_tables *half, uint32_t number,
				  const struct moat_profile_share *share,
				  struct moat_profile_hits *hits);

/* Fills the buckets (one of MOAT_PROFILES_MAX a number) whose number has another owner in the new half. */
void moat_tables_reset_profiles(const struct moat_tables *old_half,
				const struct moat_tables *new_half,
				struct moat_profile_limit *limits);

enum moat_tables_result {
	MOAT_TABLES_NO_NODES = 1,
	MOAT_TABLES_REBUILD = 2, /* of moat_tables_patch: a build has to do it */
};

/* Fills the half from the set; nothing may be reading it. 0; NO_NODES if the prefixes need more nodes
 * than there are (the half is then unusable until the next successful build; the other is untouched);
 * -ENOMEM. */
int moat_tables_build(struct moat_tables *half, const struct moat_ruleset *set,
		      const struct moat_tables_clock *clock, struct moat_error *error);

/* Makes a half that was built from `set` before one prefix came into the list or left it say what `set` says
 * now; it may be read meanwhile, by lookups that find the old answer or the new one. 0; NO_NODES or REBUILD:
 * part of it may be done, which only a build completes. */
int moat_tables_patch(struct moat_tables *half, const struct moat_ruleset *set, enum moat_list list,
		      const struct moat_prefix *prefix);

/* How many nodes a build from the set takes, node 0 included. -ENOMEM. */
int moat_tables_count_nodes(const struct moat_ruleset *set, uint32_t *ret_count);

/* The leaf of an address, 0 if no prefix holds it. */
uint32_t moat_tables_lookup_src(const struct moat_tables *half, const struct moat_addr *addr);
uint32_t moat_tables_lookup_dst(const struct moat_tables *half, const struct moat_addr *addr);

#endif
