/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits: a rate R with a burst B is R on the whole box, whatever the number of judges (CPUs or
 * workers), with nobody to help: no daemon, no timer.
 *
 * Each limit is a token bucket of depth B that fills at R. A packet passes if at least one token is there,
 * and takes one (rates of packets) or as many as its datagram has bytes, which may leave a debt. The
 * bucket is one shared word, the time at which it will be full again (the theoretical arrival time of
 * the generic cell rate algorithm, ITU-T I.371 annex A): behind now it is full, B's time or more ahead of
 * now it is empty, and taking tokens adds their time. So it refills by the clock alone.
 *
 * A judge takes tokens from it in lots, by one atomic add, and spends them from its own share; what is
 * left of a bucket may be less than a lot and is taken whole. To one judge the bucket is exact. For
 * `judges` of them a lot is at most B / (4 judges), so that the tokens that all shares hold, and what
 * judges that ask at the same moment take beyond the end of the bucket, are each a quarter of B at most;
 * both have been paid for, hence the long-run rate is R exactly:
 *
 *	passed in any time t  <=  R t + B + B / 2, and where bytes are limited a datagram a judge
 *	passed while more is offered  >=  R t - B / 4
 *
 * Lots are powers of two up to 64 packets (128 KiB), which a bucket has when B >= 256 judges. An empty
 * bucket is remembered until it can have a token again, so that what is refused costs no shared access.
 * Only a bucket that was full needs a second atomic, if another judge fills its word at the same time.
 */
#ifndef MOAT_LIMIT_H
#define MOAT_LIMIT_H

#include "moat/types.h"

/* Times are ticks of the judge's clock with so many bits of fraction. They are compared by difference, so
 * that the clock may have any origin: 2^36 ticks is 2 years at 1,000 a second. */
#define MOAT_LIMIT_TICK_BITS 28
/* A bucket fills within so many ticks, a bound for whoever makes rates. */
#define MOAT_LIMIT_FILL_MAX (1u << 24)
/* For 1,024 judges: a packet of each, a datagram of each in bytes. */
#define MOAT_LIMIT_DEBT 10
#define MOAT_LIMIT_DEBT_BYTES 26
/* An empty bucket is looked at again after so many ticks, should it have been reset meanwhile. */
#define MOAT_LIMIT_RECHECK 64
#define MOAT_LIMIT_LOT_MAX 64           /* packets, */
#define MOAT_LIMIT_LOT_BYTES (1u << 17) /* bytes */
/* Where no burst is given: 1/16 s of the rate. */
#define MOAT_LIMIT_BURST_PART 16

/* A rate as a judge uses it, made by dataplane/rate.h for its clock and the number of judges. */
struct moat_rate {
	__u32 cost;  /* time of a token: cost / 2^shift in 2^-28 ticks; 0: no limit */
	__u32 burst; /* tokens, B */
	__s8 shift;  /* -32 to 63 */
	__u8 lot;    /* a lot is 2^lot tokens */
	__u8 debt;   /* 2^debt tokens is more than judges that ask at once can owe */
	__u8 reserved;
};

/* A judge's part of a bucket. */
struct moat_share {
	__u32 credit; /* tokens taken and not yet spent */
	__u32 until;  /* empty until this tick (its lower 32 bits); 0: not known to be */
};

/* The buckets of what has one limit of packets and one of bytes: a cache line each, so that judges that
 * share no limit share no line. All zero is full. */
struct moat_limit {
	__u64 packets;
	__u64 bytes;
	__u64 reserved[6];
};

struct moat_limit_share {
	struct moat_share packets;
	struct moat_share bytes;
	__u32 owner;     /* whose tokens these are: what a slot's former rule had taken is void */
	__u32 countdown; /* rules that sample: packets until the next one, 0: not yet drawn */
};

/* The time of so many tokens, below 2^53 for what a bucket holds. */
MOAT_INLINE __u64 moat_rate_time(const struct moat_rate *rate, __u64 tokens)
{
	__u64 time = tokens * rate->cost;

	return rate->shift < 0 ? time << (-rate->shift & 31) : time >> (rate->shift & 63);
}

/* The whole tokens of a time that is shorter than that of 2^17. */
MOAT_INLINE __u64 moat_rate_tokens(const struct moat_rate *rate, __u64 time)
{
	return (rate->shift < 0 ? time >> (-rate->shift & 31) : time << (rate->shift & 63)) /
	       rate->cost;
}

/* 1 if the share has a token or could take some: a lot, or `wanted` if that is more, or what there is. */
MOAT_INLINE int moat_share_fill(__u64 *bucket, struct moat_share *share,
				const struct moat_rate *rate, __u64 now, __u32 wanted)
{
	__u64 begin = now << MOAT_LIMIT_TICK_BITS, depth, one, old, room, time;
	__u64 tokens = 1ULL << (rate->lot & 31);
	__s64 ahead;
	int full;

	if (share->credit)
		return 1;
	if (share->until && share->until - (__u32)now - 1 < MOAT_LIMIT_RECHECK)
		return 0;
	share->until = 0;
	depth = moat_rate_time(rate, rate->burst);
	one = moat_rate_time(rate, 1);
	old = *(volatile __u64 *)bucket;
	ahead = (__s64)(old - begin);
	/* further ahead than it can be: it is left from a clock that began again */
	full = ahead < 0 ||
	       (__u64)ahead > 2 * depth + moat_rate_time(rate, 1ULL << (rate->debt & 31));
	room = full ? depth : (__u64)ahead < depth ? depth - (__u64)ahead : 0;
	if (room < one) {
		time = ((__u64)ahead + one - depth + (1ULL << MOAT_LIMIT_TICK_BITS) - 1) >>
		       MOAT_LIMIT_TICK_BITS;
		share->until = (__u32)now +
			       (time < MOAT_LIMIT_RECHECK ? (__u32)time : MOAT_LIMIT_RECHECK);
		return 0;
	}
	if (tokens < wanted)
		tokens = wanted;
	time = moat_rate_time(rate, tokens);
	if (time > room) {
		tokens = moat_rate_tokens(rate, room);
		tokens = tokens ? tokens : 1;
		time = moat_rate_time(rate, tokens);
	}
	share->credit = (__u32)tokens;
	if (full && __sync_val_compare_and_swap(bucket, old, begin + time) == old)
		return 1;
	__sync_fetch_and_add(bucket, time);
	return 1;
}

/* Takes what a share has that could be filled, and the rest, if it is too little, from the bucket. */
MOAT_INLINE void moat_share_spend(__u64 *bucket, struct moat_share *share,
				  const struct moat_rate *rate, __u32 tokens)
{
	if (share->credit >= tokens) {
		share->credit -= tokens;
		return;
	}
	__sync_fetch_and_add(bucket, moat_rate_time(rate, tokens - share->credit));
	share->credit = 0;
}

/* 1 if a datagram of `length` bytes is within both rates of `owner` at tick `now`, and takes its tokens. */
MOAT_INLINE int moat_limit_take(struct moat_limit *limit, struct moat_limit_share *share,
				__u32 owner, const struct moat_rate *packets,
				const struct moat_rate *bytes, __u64 now, __u32 length)
{
	if (share->owner != owner) {
		share->packets.credit = share->packets.until = 0;
		share->bytes.credit = share->bytes.until = 0;
		share->owner = owner;
	}
	if (packets->cost && !moat_share_fill(&limit->packets, &share->packets, packets, now, 1))
		return 0;
	if (bytes->cost && !moat_share_fill(&limit->bytes, &share->bytes, bytes, now, length))
		return 0;
	if (packets->cost)
		moat_share_spend(&limit->packets, &share->packets, packets, 1);
	if (bytes->cost)
		moat_share_spend(&limit->bytes, &share->bytes, bytes, length);
	return 1;
}

#endif
