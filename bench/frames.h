/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The pool of frames that benches of workers read from, and what is written to it: 64-byte TCP frames of
 * established flows and of floods. */
#ifndef MOAT_BENCH_FRAMES_H
#define MOAT_BENCH_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_FRAME_SIZE 64
#define BENCH_FRAME_LEN (BENCH_FRAME_SIZE - 4) /* without FCS */
#define BENCH_FRAMES (1u << 22)                /* 256 MB: more than any cache */

struct bench_pool {
	uint8_t (*frames)[BENCH_FRAME_SIZE];
};

/* 0 or -ENOMEM. */
int bench_pool_init(struct bench_pool *pool);
void bench_pool_deinit(struct bench_pool *pool);

/* splitmix64 (Steele, Lea, Flood, OOPSLA'14) */
static inline uint64_t bench_mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15ULL;
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
	return value ^ value >> 31;
}

/* A segment with ACK of flow `flow` from its client (eight flows each, 10.0.0.0/9) or its server (256 in
 * 10.200.0.0/24). */
void bench_frame_established(uint8_t frame[BENCH_FRAME_SIZE], uint32_t flow, bool from_server);

/* A SYN of a flow that no other number (up to 2^48) has, from an address anywhere, to one of the
 * servers. */
void bench_frame_flood(uint8_t frame[BENCH_FRAME_SIZE], uint64_t number);

#endif
