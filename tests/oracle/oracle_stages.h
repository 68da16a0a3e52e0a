/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The oracle's stages besides lists and rules: moat/stage.h, sentence by sentence. */
#ifndef MOAT_TESTS_ORACLE_STAGES_H
#define MOAT_TESTS_ORACLE_STAGES_H

#include "tests/oracle/oracle.h"

/* Stage 2, what needs no policy. True: PASS_CONTROL. */
bool oracle_is_control(struct moat_oracle *oracle, const struct moat_headers *h, uint64_t now_ticks);
/* The rest of stage 2 and stage 4. Each MOAT_REASON_PASS_DEFAULT if it leaves the packet to the next. */
enum moat_reason oracle_by_marks(const struct moat_oracle *oracle, const struct moat_headers *h);
enum moat_reason oracle_by_sanity(const struct moat_oracle *oracle, const struct moat_headers *h);
/* Stages 7 to 11. */
enum moat_reason oracle_by_stages(struct moat_oracle *oracle, const struct moat_headers *h,
				  uint64_t now_ticks);

/* What all judges counted of the protection at this place of the stage set. */
void oracle_profile_hits(const struct moat_oracle *oracle, size_t index, uint64_t *ret_matched,
			 uint64_t *ret_dropped);

#endif
