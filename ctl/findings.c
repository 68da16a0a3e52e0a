/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An array sorted by id, newest first: ids only grow, so a new finding goes to the front. */
#include "ctl/findings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct moat_findings {
	size_t count;
	struct moat_finding *kept[MOAT_FINDINGS_KEPT];
};

int moat_findings_new(struct moat_findings **ret_findings)
{
	struct moat_findings *findings = calloc(1, sizeof(*findings));

	if (!findings)
		return -ENOMEM;
	*ret_findings = findings;
	return 0;
}

void moat_findings_free(struct moat_findings *findings)
{
	if (!findings)
		return;
	for (size_t i = 0; i < findings->count; i++)
		free(findings->kept[i]);
	free(findings);
}

/* The place to give up: what closed longest ago, else the oldest. */
static size_t victim_of(const struct moat_findings *findings)
{
	size_t victim = findings->count - 1;
	uint64_t oldest = UINT64_MAX;

	for (size_t i = 0; i < findings->count; i++) {
		const struct moat_finding *finding = findings->kept[i];

		if (finding->state == MOAT_FINDING_CLOSED && finding->last_ns < oldest) {
			oldest = finding->last_ns;
			victim = i;
		}
	}
	return victim;
}

void moat_findings_put(struct moat_findings *findings, const struct moat_finding *finding)
{
	struct moat_finding *place = NULL;
	size_t at;

	for (size_t i = 0; i < findings->count; i++) {
		if (findings->kept[i]->id == finding->id) {
			*findings->kept[i] = *finding;
			return;
		}
	}
	if (findings->count == MOAT_FINDINGS_KEPT) {
		at = victim_of(findings);
		place = findings->kept[at];
		findings->count--;
		memmove(&findings->kept[at], &findings->kept[at + 1],
			(findings->count - at) * sizeof(findings->kept[0]));
	} else {
		place = malloc(sizeof(*place));
	}
	if (!place)
		return;
	*place = *finding;
	for (at = 0; at < findings->count && findings->kept[at]->id > finding->id; at++)
		;
	memmove(&findings->kept[at + 1], &findings->kept[at],
		(findings->count - at) * sizeof(findings->kept[0]));
	findings->kept[at] = place;
	findings->count++;
}

const struct moat_finding *moat_findings_get(const struct moat_findings *findings, uint64_t id)
{
	for (size_t i = 0; i < findings->count; i++) {
		if (findings->kept[i]->id == id)
			return findings->kept[i];
	}
	return NULL;
}

const struct moat_finding *moat_findings_at(const struct moat_findings *findings, size_t index)
{
	return index < findings->count ? findings->kept[index] : NULL;
}

size_t moat_findings_open_count(const struct moat_findings *findings)
{
	size_t open = 0;

	for (size_t i = 0; i < findings->count; i++)
		open += findings->kept[i]->state != MOAT_FINDING_CLOSED;
	return open;
}
