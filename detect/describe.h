/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sentence of a finding, as a person reads it first. */
#ifndef MOAT_DETECT_DESCRIBE_H
#define MOAT_DETECT_DESCRIBE_H

#include "detect/finding.h"

/* Writes finding->sentence from its fields. `share` of the host's packets are of the kind (0-1);
 * `usual_pps` is the highest normal rate, -1 if unknown. */
void moat_finding_describe(struct moat_finding *finding, double share, double usual_pps);

/* "312,000": a count with thousands separated. Returns ret_text. */
#define MOAT_COUNT_TEXT_LEN 32
const char *moat_count_format(double count, char ret_text[MOAT_COUNT_TEXT_LEN]);

#endif
