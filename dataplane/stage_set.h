/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the stages besides lists and rules are asked to do (moat/stage.h): a part of a rule set, made whole
 * from the configuration and never changed then, so that copies of a rule set share it.
 */
#ifndef MOAT_DATAPLANE_STAGE_SET_H
#define MOAT_DATAPLANE_STAGE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/stage.h"

/* So many packets or bytes a second, so many of them at once; 0: no limit, the default burst (see
 * dataplane/rate.h). */
struct moat_rate_ask {
	uint64_t per_s;
	uint64_t burst;
};

/* A protected destination. */
struct moat_protection {
	struct moat_prefix prefix; /* not ANY */
	struct moat_rate_ask rates[MOAT_KIND_COUNT];
	enum moat_challenge challenge;
	struct moat_rate_ask challenge_above; /* of MOAT_CHALLENGE_ABOVE: packets */
	bool each;                            /* the rates hold for each address of the prefix */
};

/* How the sources of a prefix are limited. */
struct moat_source_limit {
	struct moat_prefix prefix; /* ANY: those of no other */
	struct moat_rate_ask packets, bytes;
	uint8_t v4_len, v6_len; /* prefixes of this length are one source: 1 to 32, 1 to 128 */
};

/* Sources that get a mark. */
enum moat_marked {
	MOAT_MARKED_NEIGHBOUR,
	MOAT_MARKED_MANAGEMENT,
	MOAT_MARKED_MARTIAN,
	MOAT_MARKED_COUNT,
};

struct moat_marked_prefixes {
	struct moat_prefix *prefixes;
	size_t count;
};

/* Read freely; filled by the functions below. */
struct moat_stage_set {
	unsigned int references;
	bool drop_fragments;
	struct moat_protection *protections;
	size_t protection_count;
	struct moat_source_limit *sources;
	size_t source_count;
	struct moat_marked_prefixes marked[MOAT_MARKED_COUNT];
	uint16_t reflect_len[65536]; /* by source port; 0: no bound */
};

/* An empty set with one reference. 0 or -ENOMEM. */
int moat_stage_set_new(struct moat_stage_set **ret_set);
/* One reference more, or less; NULL is allowed. The last one frees. One thread at a time. */
struct moat_stage_set *moat_stage_set_ref(struct moat_stage_set *set);
void moat_stage_set_unref(struct moat_stage_set *set);
void moat_stage_set_unref_cleanup(struct moat_stage_set **set);

/* 0; -EEXIST: the same prefix stands; -ENOSPC: MOAT_PROFILES_MAX - 1 or MOAT_SOURCE_PROFILES_MAX - 1 of
 * them; -EINVAL: what the struct's comments exclude; -ENOMEM. */
int moat_stage_set_protect(struct moat_stage_set *set, const struct moat_protection *protection);
int moat_stage_set_limit_source(struct moat_stage_set *set, const struct moat_source_limit *limit);

/* 0, also if it is marked so already; -EINVAL for ANY; -ENOMEM. */
int moat_stage_set_mark(struct moat_stage_set *set, enum moat_marked marked,
			const struct moat_prefix *prefix);

/* Marks as martians the prefixes that RFC 6890 and its registries let be no source on the Internet, but
 * for link-local IPv6, which neighbours use. 0 or -ENOMEM. */
int moat_stage_set_mark_rfc6890(struct moat_stage_set *set);

/* Bounds for the ports that reflectors answer from (moat_is_reflector_port), from the lengths that their
 * protocols need. */
void moat_stage_set_bound_reflectors(struct moat_stage_set *set);

#endif
