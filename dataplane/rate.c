/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See rate.h. */
#include "dataplane/rate.h"

typedef unsigned __int128 u128;

/* A bucket is shared out in so many parts a judge, of which a lot is at most one. */
#define LOTS_A_JUDGE 4
#define SHIFT_MAX 63
#define TIME_MAX (1ULL << 60)

static uint64_t clamp(u128 value, uint64_t min, uint64_t max)
{
	if (value < min)
		return min;
	return value > max ? max : (uint64_t)value;
}

/* The time of a token as a 32-bit number and a shift, as exact as these can be. */
static void set_cost(struct moat_rate *rate, uint64_t per_s, uint32_t ticks_per_s)
{
	int shift = SHIFT_MAX;
	u128 cost;

	/* rounded down: what comes to a whole number of tokens in a tick lets them all through */
	while ((cost = ((u128)ticks_per_s << (MOAT_LIMIT_TICK_BITS + shift)) / per_s) > UINT32_MAX)
		shift--;
	rate->cost = (uint32_t)cost;
	rate->shift = (__s8)shift;
}

static uint8_t lot_of(uint64_t burst, uint32_t judges, uint64_t lot_max)
{
	uint64_t most = clamp(burst / LOTS_A_JUDGE / judges, 1, lot_max);
	uint8_t lot = 0;

	while (2ULL << lot <= most)
		lot++;
	return lot;
}

static struct moat_rate rate_of(uint64_t per_s, uint64_t burst, uint32_t ticks_per_s,
				uint32_t judges, uint64_t lot_max, uint8_t debt)
{
	struct moat_rate rate = { .debt = debt };
	uint64_t least, most;

	if (per_s == 0)
		return rate;
	least = clamp(((u128)2 * per_s + ticks_per_s - 1) / ticks_per_s, 1, UINT32_MAX);
	most = clamp((u128)per_s * MOAT_LIMIT_FILL_MAX / ticks_per_s, 1, UINT32_MAX);
	if (burst == 0)
		burst = per_s / MOAT_LIMIT_BURST_PART;
	burst = clamp(burst, least, most > least ? most : least);
	set_cost(&rate, per_s, ticks_per_s);
	rate.burst = (uint32_t)burst;
	rate.lot = lot_of(burst, judges, lot_max);
	/* of a slow rate of bytes the last judges' debts are cut off, which is better than overflow */
	while (rate.debt && moat_rate_time(&rate, 1) > TIME_MAX >> rate.debt)
		rate.debt--;
	return rate;
}

struct moat_rate moat_rate_of_packets(uint64_t per_s, uint64_t burst, uint32_t ticks_per_s,
				      uint32_t judges)
{
	return rate_of(per_s, burst, ticks_per_s, judges, MOAT_LIMIT_LOT_MAX, MOAT_LIMIT_DEBT);
}

struct moat_rate moat_rate_of_bytes(uint64_t per_s, uint64_t burst, uint32_t ticks_per_s,
				    uint32_t judges)
{
	return rate_of(per_s, burst, ticks_per_s, judges, MOAT_LIMIT_LOT_BYTES,
		       MOAT_LIMIT_DEBT_BYTES);
}
