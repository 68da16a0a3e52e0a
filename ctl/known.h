/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keeps the filter of known sources (struct moat_known) up to date: built aside, copied in word by word.
 * Never while a flood is open, and of a bounded number of sources, so that an attack can't vouch for
 * itself by filling it.
 */
#ifndef MOAT_CTL_KNOWN_H
#define MOAT_CTL_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "detect/engine.h"

/* At 2^17 sources 4.9 % of strangers are taken for known; more are left out. */
#define MOAT_KNOWN_SOURCES_MAX (1u << 17)

struct moat_known_builder {
	struct moat_known *fresh;
	uint64_t hash_seed;
	uint64_t sources; /* in the filter that was copied last */
	bool adopted; /* the gate brought a filter along that isn't replaced before learning has ended */
};

/* `in_force` may be a filter from before a restart, or empty. 0 or -ENOMEM. */
int moat_known_builder_init(struct moat_known_builder *builder, uint64_t hash_seed,
			    const struct moat_known *in_force);
void moat_known_builder_deinit(struct moat_known_builder *builder);

/* Builds from what the engine knows and copies to each of `filters` (NULL entries are skipped). */
void moat_known_builder_update(struct moat_known_builder *builder, const struct moat_detect *detect,
			       struct moat_known *const *filters, size_t filter_count);

#endif
