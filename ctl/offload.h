/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where rules live: in software always, and in the cards of ports that ask for it (dataplane/offload.h). */
#ifndef MOAT_CTL_OFFLOAD_H
#define MOAT_CTL_OFFLOAD_H

#include <jansson.h>

#include "ctl/config.h"
#include "dataplane/offload.h"

struct moat_offloads;

/* Empty; NULL: no memory. */
struct moat_offloads *moat_offloads_new(void);
/* Takes everything out of the cards. NULL is allowed. */
void moat_offloads_free(struct moat_offloads *offloads);

/* Makes the cards' rules those of a set that is in force in software. What a card refuses is logged, once a reason.
 * Without ports that ask for it this costs nothing. */
void moat_offloads_sync(struct moat_offloads *offloads, const struct moat_config *config,
			const struct moat_ruleset *set);

/* What cards dropped by a rule since they have it, beside software's own count: no packet is in both. */
struct moat_counter moat_offloads_hits(const struct moat_offloads *offloads, uint32_t rule_id);

/* ["software", "nic PORT"…]: where a rule lives (0: the deny prefix), as `moat rules list` has it. */
json_t *moat_offloads_where(const struct moat_offloads *offloads, uint32_t rule_id,
			    const struct moat_prefix *prefix);
/* Denied prefixes in cards: [{prefix, where, hits}…]. */
json_t *moat_offloads_denied(const struct moat_offloads *offloads);
/* Of each port that asks: how many rules its card took, refused, and why. */
json_t *moat_offloads_status(const struct moat_offloads *offloads);

#endif
