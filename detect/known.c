/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A set-associative table: eight places an address can stand in, the least recently added leaves.
 */
#include "detect/known.h"

#include <errno.h>
#include <stdlib.h>

#include "dataplane/base/cleanup.h"

#define WAYS 8
#define SETS (MOAT_KNOWN_SOURCES_MAX / WAYS)

struct moat_known_sources {
	uint64_t seed;
	uint64_t clock; /* counts additions: the age of entries */
	struct {
		struct moat_addr addr; /* all zero: free */
		uint64_t used;
	} entries[SETS][WAYS];
};

int moat_known_sources_new(uint64_t seed, struct moat_known_sources **ret_known)
{
	struct moat_known_sources *known = calloc(1, sizeof(*known));

	if (!known)
		return -ENOMEM;
	known->seed = seed;
	*ret_known = known;
	return 0;
}

void moat_known_sources_free(struct moat_known_sources *known)
{
	free(known);
}

void moat_known_sources_add(struct moat_known_sources *known, const struct moat_addr *addr)
{
	uint64_t set = moat_addr_hash(addr, known->seed) % SETS;
	int oldest = 0;

	known->clock++;
	for (int i = 0; i < WAYS; i++) {
		if (moat_addr_equal(&known->entries[set][i].addr, addr)) {
			known->entries[set][i].used = known->clock;
			return;
		}
		if (known->entries[set][i].used < known->entries[set][oldest].used)
			oldest = i;
	}
	known->entries[set][oldest].addr = *addr;
	known->entries[set][oldest].used = known->clock;
}

bool moat_known_sources_has(const struct moat_known_sources *known, const struct moat_addr *addr)
{
	uint64_t set = moat_addr_hash(addr, known->seed) % SETS;

	for (int i = 0; i < WAYS; i++)
		if (known->entries[set][i].used &&
		    moat_addr_equal(&known->entries[set][i].addr, addr))
			return true;
	return false;
}

void moat_known_sources_each(const struct moat_known_sources *known, moat_known_fn handler,
			     void *userdata)
{
	for (int set = 0; set < SETS; set++)
		for (int i = 0; i < WAYS; i++)
			if (known->entries[set][i].used)
				handler(userdata, &known->entries[set][i].addr);
}
