/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SYN challenge in user space: its settings and keys, which the gate and the workers' policy share,
 * the numbers to show, and the answering frame of workers. How it works: moat/challenge.h.
 */
#ifndef MOAT_DATAPLANE_CHALLENGE_H
#define MOAT_DATAPLANE_CHALLENGE_H

#include <stddef.h>
#include <stdint.h>

#include "moat/challenge.h"

/* Sets of validated sources: 4 MiB, 524,288 sources. */
#define MOAT_CHALLENGE_SETS_DEFAULT (1u << 16)

struct moat_challenge_options {
	uint32_t lifetime_s; /* of a validation: 1 to 604,800 */
	uint32_t prefix_pps; /* answers to a source /24 or /48, a second on the whole box: 1 to 65,535;
			      * UINT32_MAX: no bound, for benches */
	uint32_t box_pps;    /* answers in all, likewise; 0: no bound */
	uint8_t form;        /* enum moat_challenge_form */
};

#define MOAT_CHALLENGE_LIFETIME_DEFAULT 600
#define MOAT_CHALLENGE_LIFETIME_MAX 604800
#define MOAT_CHALLENGE_PREFIX_PPS_DEFAULT 256

struct moat_challenge_options moat_challenge_default(void);

/* Random keys and seed; the first time, before any packet is judged. `slot`: of now. 0 or -EIO. */
int moat_challenge_init(struct moat_challenge_state *challenge, uint32_t slot);

/* Puts settings in force, in use or not. The judges' clock has `ticks_per_s` and windows of 2^window_shift
 * ticks; `judges` (CPUs or workers, 1 and up) share the cap of a prefix: each has its part, at least 1. */
void moat_challenge_configure(struct moat_challenge_state *challenge,
			      const struct moat_challenge_options *options, uint32_t ticks_per_s,
			      uint32_t window_shift, uint32_t judges);

/* Makes a new random key that is in force from the slot after next on; cookies of the old one are good
 * as long as they would have been. 1, 0 if the last change is less than two slots ago, or -EIO. One thread
 * at a time. */
int moat_challenge_rotate(struct moat_challenge_state *challenge, uint32_t slot);

/* Clears the entries of validated sources that have ended. An entry's end is told in 24 bits of ticks: one that
 * is left for half their range (about 99 days) would seem to be ahead again. To be called more often than
 * that; judges may go on meanwhile. Returns how many. */
size_t moat_challenge_sweep(struct moat_validated *sets, uint64_t count, uint64_t window);

/* The sum over all judges, and the table. */
struct moat_challenge_stats {
	struct moat_challenge_counters counters;
	uint64_t live;     /* sources validated now */
	uint64_t capacity; /* of the table */
};

void moat_challenge_stats_add(struct moat_challenge_stats *stats,
			      const struct moat_challenge_cpu *cpu);
/* Sets live and capacity from `count` sets, a look at each. */
void moat_challenge_stats_table(struct moat_challenge_stats *stats,
				const struct moat_validated *sets, uint64_t count, uint64_t window);

/* Makes the answer of the `length` bytes of a frame that its headers were parsed from: what the gate
 * makes of it, byte for byte. Returns its length, which is never more, or 0 if the frame doesn't hold
 * what the headers say. */
size_t moat_challenge_answer(uint8_t *frame, size_t length, const struct moat_headers *headers,
			     uint32_t form, uint32_t cookie);

/* In form reset, of a bare ACK: puts the number that it acknowledges where moat_challenge_judge looks. */
void moat_challenge_read_ack(const uint8_t *frame, size_t length, struct moat_headers *headers);

#endif
