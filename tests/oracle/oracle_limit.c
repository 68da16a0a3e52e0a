/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See oracle_limit.h. Levels are kept in tokens times ticks_per_s, so that a tick brings a whole number. */
#include "tests/oracle/oracle_limit.h"

typedef unsigned __int128 u128;

/* The bucket's depth: the burst, 1/16 s of the rate where none is given, and what two ticks bring at least,
 * in whole tokens; what 2^24 ticks bring, and what a word of 32 bits holds, at most. */
static uint64_t depth_of(const struct oracle_clock *clock, const struct oracle_rate *rate)
{
	u128 least = ((u128)2 * rate->per_s + clock->ticks_per_s - 1) / clock->ticks_per_s;
	u128 most = ((u128)rate->per_s << 24) / clock->ticks_per_s;
	u128 depth = rate->burst ? rate->burst : rate->per_s / 16;

	if (most > UINT32_MAX)
		most = UINT32_MAX;
	if (depth > most)
		depth = most;
	if (depth < least)
		depth = least;
	return depth ? (uint64_t)depth : 1;
}

/* A power of two up to a quarter of what the depth is for each judge. */
static uint64_t lot_of(const struct oracle_clock *clock, const struct oracle_rate *rate)
{
	uint64_t lot = 1;

	while (2 * lot * 4 * clock->judges <= depth_of(clock, rate) && 2 * lot <= rate->lot_most)
		lot *= 2;
	return lot;
}

static void refill(struct oracle_tokens *tokens, const struct oracle_clock *clock,
		   const struct oracle_rate *rate, uint64_t now_ticks)
{
	__int128 full = (__int128)depth_of(clock, rate) * clock->ticks_per_s;

	if (!tokens->begun)
		tokens->level = full;
	else
		tokens->level += (__int128)rate->per_s * (now_ticks - tokens->ticks);
	if (tokens->level > full)
		tokens->level = full;
	tokens->begun = true;
	tokens->ticks = now_ticks;
}

bool oracle_tokens_fill(struct oracle_tokens *tokens, const struct oracle_clock *clock,
			const struct oracle_rate *rate, uint32_t judge, uint64_t wanted,
			uint64_t now_ticks)
{
	uint64_t lot = lot_of(clock, rate), left;

	if (tokens->held[judge])
		return true;
	refill(tokens, clock, rate, now_ticks);
	if (tokens->level < (__int128)clock->ticks_per_s)
		return false;
	left = (uint64_t)(tokens->level / clock->ticks_per_s);
	if (lot < wanted)
		lot = wanted;
	if (lot > left)
		lot = left;
	tokens->held[judge] = lot;
	tokens->level -= (__int128)lot * clock->ticks_per_s;
	return true;
}

void oracle_tokens_spend(struct oracle_tokens *tokens, const struct oracle_clock *clock,
			 const struct oracle_rate *rate, uint32_t judge, uint64_t count)
{
	if (tokens->held[judge] >= count) {
		tokens->held[judge] -= count;
		return;
	}
	tokens->level -= (__int128)(count - tokens->held[judge]) * clock->ticks_per_s;
	tokens->held[judge] = 0;
}
