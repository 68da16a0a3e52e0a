/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See oracle_limit.h. */
#include "tests/oracle/oracle_limit.h"

#include <stdlib.h>

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

/* Of one token, in units; whole for the rates that tests use. */
static __int128 cost_of(const struct oracle_clock *clock, const struct oracle_rate *rate)
{
	__int128 second = (__int128)clock->ticks_per_s * ORACLE_UNITS;

	if (second % rate->per_s != 0)
		abort();
	return second / rate->per_s;
}

/* A bucket that is further ahead than debts can bring it belongs to a clock that began again. */
static bool is_lost(const struct oracle_rate *rate, __int128 ahead, __int128 depth, __int128 cost)
{
	return ahead > 2 * depth + cost * (rate->lot_most == ORACLE_LOT_PACKETS ? 1 << 10 : 1 << 26);
}

bool oracle_tokens_fill(struct oracle_tokens *tokens, const struct oracle_clock *clock,
			const struct oracle_rate *rate, uint32_t judge, uint64_t wanted,
			uint64_t now_ticks)
{
	__int128 now = (__int128)now_ticks * ORACLE_UNITS, cost = cost_of(clock, rate);
	__int128 depth = depth_of(clock, rate) * cost, room;
	uint64_t lot = lot_of(clock, rate), ticks;

	if (tokens->held[judge])
		return true;
	if (tokens->empty_until[judge] > now_ticks)
		return false;
	if (tokens->full_at < now || is_lost(rate, tokens->full_at - now, depth, cost))
		tokens->full_at = now;
	room = depth - (tokens->full_at - now);
	if (room < cost) {
		/* it isn't looked at before it can have a token, but after 64 ticks at the latest */
		ticks = (uint64_t)((cost - room + ORACLE_UNITS - 1) / ORACLE_UNITS);
		tokens->empty_until[judge] = now_ticks + (ticks < 64 ? ticks : 64);
		return false;
	}
	if (lot < wanted)
		lot = wanted;
	if (lot > (uint64_t)(room / cost))
		lot = (uint64_t)(room / cost);
	tokens->held[judge] = lot;
	tokens->full_at += lot * cost;
	return true;
}

void oracle_tokens_spend(struct oracle_tokens *tokens, const struct oracle_clock *clock,
			 const struct oracle_rate *rate, uint32_t judge, uint64_t count)
{
	if (tokens->held[judge] >= count) {
		tokens->held[judge] -= count;
		return;
	}
	tokens->full_at += (__int128)(count - tokens->held[judge]) * cost_of(clock, rate);
	tokens->held[judge] = 0;
}
