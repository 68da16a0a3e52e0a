/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Random rule sets, and frames that hit their edges: the first and last address of a prefix and their
 * neighbours, the ends of ranges and what lies behind, one flag too many, fragments, tags, extension
 * headers, cut and bent frames. Repeatable from a seed.
 */
#ifndef MOAT_TESTS_GENERATE_H
#define MOAT_TESTS_GENERATE_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/ruleset.h"
#include "tests/oracle/oracle.h"

struct moat_generator {
	uint64_t state;
};

/* The seed in $MOAT_TEST_SEED, or `otherwise`. */
uint64_t moat_generator_seed(uint64_t otherwise);
void moat_generator_init(struct moat_generator *generator, uint64_t seed);

/* 0 to bound - 1; bound up to 2^32, at least 1. */
uint32_t moat_generate_below(struct moat_generator *generator, uint64_t bound);

/* Adds up to `rules` rules and `prefixes` list entries; some rules expire within 2 s behind now_ns. */
void moat_generate_ruleset(struct moat_generator *generator, struct moat_ruleset *set, size_t rules,
			   size_t prefixes, uint64_t now_ns);

/* Gives the set other stages, or none, and perhaps a session more. */
void moat_generate_stages(struct moat_generator *generator, struct moat_ruleset *set);

#define MOAT_GENERATE_FRAME_LEN 1514
#define MOAT_GENERATE_FRAME_LEAST 14 /* what BPF_PROG_TEST_RUN takes */

/* Fills `ret_frame` with a frame aimed at the set and at the tunnels' ports; returns its length. */
size_t moat_generate_frame(struct moat_generator *generator,
			   const struct moat_oracle_settings *settings,
			   const struct moat_ruleset *set,
			   uint8_t ret_frame[MOAT_GENERATE_FRAME_LEN]);

#endif
