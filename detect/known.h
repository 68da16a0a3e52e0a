/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sources that held conversations while all was calm: what a limit may prefer during an attack.
 * Bounded; the source not seen for longest makes room.
 */
#ifndef MOAT_DETECT_KNOWN_H
#define MOAT_DETECT_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "detect/engine.h"

#define MOAT_KNOWN_SOURCES_MAX 65536

struct moat_known_sources;

int moat_known_sources_new(uint64_t seed, struct moat_known_sources **ret_known);
void moat_known_sources_free(struct moat_known_sources *known);

/* Takes a source in or notes that it is still active. */
void moat_known_sources_add(struct moat_known_sources *known, const struct moat_addr *addr);

bool moat_known_sources_has(const struct moat_known_sources *known, const struct moat_addr *addr);

void moat_known_sources_each(const struct moat_known_sources *known, moat_known_fn handler,
			     void *userdata);

#endif
