/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The oracle's token buckets: what moat/limit.h and dataplane/rate.h promise, in exact
 * numbers. */
#ifndef MOAT_TESTS_ORACLE_LIMIT_H
#define MOAT_TESTS_ORACLE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define ORACLE_JUDGES_MAX 4

/* What judges share and when they judge. */
struct oracle_clock {
	uint32_t ticks_per_s;
	uint32_t judges;
};

/* Of packets or of bytes; the bound on a lot is all that differs. */
struct oracle_rate {
	uint64_t per_s; /* 0: no limit */
	uint64_t burst; /* 0: 1/16 s */
	uint64_t lot_most;
};
#define ORACLE_LOT_PACKETS 64
#define ORACLE_LOT_BYTES (128 * 1024)

/* Times are in so many parts of a tick, a multiple of every rate that the tests use: 2^7 3^3 5^7 7 11. */
#define ORACLE_UNITS 20790000000LL

/* A bucket, as moat/limit.h describes it, and what judges have of it. All zero: full. One bucket may be
 * asked at several rates, where keys are hashed: it is a time, which tokens of either rate put off. */
struct oracle_tokens {
	__int128 full_at; /* when it will be full */
	uint64_t held[ORACLE_JUDGES_MAX];
	uint64_t empty_until[ORACLE_JUDGES_MAX]; /* tick */
};

/* True if the judge has a token, or could take some, of which it may want `wanted`. */
bool oracle_tokens_fill(struct oracle_tokens *tokens, const struct oracle_clock *clock,
			const struct oracle_rate *rate, uint32_t judge, uint64_t wanted,
			uint64_t now_ticks);
/* Behind a fill that was true: takes them, if need be as a debt. */
void oracle_tokens_spend(struct oracle_tokens *tokens, const struct oracle_clock *clock,
			 const struct oracle_rate *rate, uint32_t judge, uint64_t count);

#endif
