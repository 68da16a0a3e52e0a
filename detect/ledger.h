/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What detectors remember of sources, pairs and edges: a bounded table by key, eight entries a bucket. A
 * new key takes a free place of its bucket or that of the entry not touched for longest; nothing is
 * allocated after the first moment, and memory is used only where entries are.
 */
#ifndef MOAT_DETECT_LEDGER_H
#define MOAT_DETECT_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/types.h"

/* Two addresses and what goes between them; unused fields are zero. */
struct moat_ledger_key {
	struct moat_addr a, b;
	uint64_t c; /* port and protocol, a hash, ... */
};

struct moat_ledger;

/* Room for at least `capacity` entries (1 to 2^22) of `size` bytes. 0, -EINVAL, -ENOMEM. */
int moat_ledger_new(uint32_t capacity, size_t size, uint64_t seed, struct moat_ledger **ret_ledger);
void moat_ledger_free(struct moat_ledger *ledger);

/* The key's entry, NULL if there is none. Valid until the next take. */
void *moat_ledger_find(const struct moat_ledger *ledger, const struct moat_ledger_key *key);

/* The key's entry, a zeroed one if it is new, touched at now_ns. */
void *moat_ledger_take(struct moat_ledger *ledger, const struct moat_ledger_key *key,
		       uint64_t now_ns, bool *ret_is_new);

/* Calls `handler` for each entry. */
typedef void (*moat_ledger_fn)(void *userdata, const struct moat_ledger_key *key, void *entry,
			       uint64_t touched_ns);
void moat_ledger_each(const struct moat_ledger *ledger, moat_ledger_fn handler, void *userdata);

void moat_ledger_clear(struct moat_ledger *ledger);

/* Entries now, and those that had to give up their place to another. */
uint32_t moat_ledger_count(const struct moat_ledger *ledger);
uint64_t moat_ledger_displaced(const struct moat_ledger *ledger);

/* Distinct things in 256 bits by linear counting, as moat/cell.h has it; saturates at 1,420. */
struct moat_distinct {
	uint64_t bits[4];
};
/* True if the thing wasn't in it yet (as far as the bits tell). */
bool moat_distinct_add(struct moat_distinct *distinct, uint64_t hash);
double moat_distinct_count(const struct moat_distinct *distinct);

/* A well mixed hash of a number (the finaliser of MurmurHash3). */
uint64_t moat_mix(uint64_t value);

#endif
