/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The findings that an operator can ask for: all that are open and the latest that closed. */
#ifndef MOAT_CTL_FINDINGS_H
#define MOAT_CTL_FINDINGS_H

#include <stddef.h>
#include <stdint.h>

#include "detect/finding.h"

/* The engine keeps up to 256 open; twice that leaves room for as many closed ones. */
#define MOAT_FINDINGS_KEPT 512

struct moat_findings;

/* 0 or -ENOMEM. */
int moat_findings_new(struct moat_findings **ret_findings);
void moat_findings_free(struct moat_findings *findings);

/* Takes a copy of a finding's newest state. If all places are taken, the one that closed first goes, or
 * else the oldest. */
void moat_findings_put(struct moat_findings *findings, const struct moat_finding *finding);

/* NULL if it isn't kept (any more). Valid until the next put. */
const struct moat_finding *moat_findings_get(const struct moat_findings *findings, uint64_t id);

/* The index-th, newest id first; NULL behind the last. */
const struct moat_finding *moat_findings_at(const struct moat_findings *findings, size_t index);

size_t moat_findings_open_count(const struct moat_findings *findings);

#endif
