/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The oracle's SYN challenge (moat/challenge.h, form wrong ACK), with a SipHash of its own. */
#ifndef MOAT_TESTS_ORACLE_CHALLENGE_H
#define MOAT_TESTS_ORACLE_CHALLENGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/challenge.h"
#include "tests/oracle/oracle_limit.h"

#define ORACLE_VALIDATED_MAX 8192

/* What the judge was told. */
struct oracle_challenge_settings {
	uint8_t keys[2][16];
	uint32_t first_slots[2]; /* the second key is the newer one */
	uint64_t seed;           /* of the caps' buckets */
	uint32_t lifetime_s, prefix_pps, box_pps;
};

/* A source that brought a cookie, for whom, until when. */
struct oracle_validated {
	struct moat_addr addr;
	uint8_t family;
	uint32_t scope;
	uint64_t end; /* challenge tick */
};

struct oracle_challenges {
	struct oracle_validated validated[ORACLE_VALIDATED_MAX];
	size_t count;
	struct oracle_tokens box;
	struct {
		uint16_t tick; /* its lower half */
		uint32_t answers;
	} caps[ORACLE_JUDGES_MAX][MOAT_CHALLENGE_BUCKETS];
	struct moat_challenge_counters counters;
};

/* When and where a packet is judged. */
struct oracle_challenge_moment {
	uint64_t now_ticks;
	uint64_t window;
	uint64_t window_ticks; /* its length */
	struct oracle_clock clock;
	uint32_t judge;
};

/* Judges a packet on behalf of a scope. MOAT_CHALLENGE_UNASKED: it has no part. *ret_cookie of SEND. */
enum moat_challenge_outcome oracle_challenge(struct oracle_challenges *challenges,
					     const struct oracle_challenge_settings *settings,
					     const struct oracle_challenge_moment *moment,
					     const struct moat_headers *h, uint32_t scope,
					     uint32_t *ret_cookie);

/* Whether a challenge looks at a packet at all. */
bool oracle_has_part(const struct moat_headers *h);

/* What a SYN is: neither in a tunnel nor a fragment. */
bool oracle_is_syn(const struct moat_headers *h);

#endif
