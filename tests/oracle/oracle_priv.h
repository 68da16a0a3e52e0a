/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the oracle's files share. */
#ifndef MOAT_TESTS_ORACLE_PRIV_H
#define MOAT_TESTS_ORACLE_PRIV_H

#include "tests/oracle/oracle.h"

/* Asks a packet that has a part once, whoever comes first. MOAT_REASON_PASS_DEFAULT: it goes on. */
enum moat_reason oracle_by_challenge(struct moat_oracle *oracle, const struct moat_headers *headers,
				     uint64_t now_ticks, uint32_t scope);

/* First and last address of the prefix, compared as numbers; IPv4 by its mapped form. */
bool oracle_prefix_matches(const struct moat_prefix *prefix, const struct moat_addr *addr);
bool oracle_is_mapped(const struct moat_addr *addr);

/* The hash that picks cells and buckets, by its declared formula (moat/types.h): rounds of multiplication
 * and shifts over the two halves of an address. */
static inline uint64_t oracle_hash(const struct moat_addr *addr, uint64_t seed)
{
	uint64_t h = addr->quads[0] ^ seed;

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdULL;
	h ^= addr->quads[1];
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ULL;
	h = (h ^ h >> 29) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 32;
}

#endif
