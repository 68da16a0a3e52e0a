/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all detectors need to say what they suspect. */
#include <math.h>

#include "detect/detector.h"

/* Spread of a rate's logarithm that is taken for one sigma, as in the baseline's narrowest tails. */
#define LOG_SIGMA 0.35

void moat_suspicion_drive(struct moat_suspicion *suspicion, const char *name, double expected,
			  double seen)
{
	double deviation = (log1p(fmax(seen, 0)) - log1p(fmax(expected, 0))) / LOG_SIGMA;
	uint32_t place = suspicion->driver_count;

	if (place == MOAT_DRIVERS_MAX)
		return;
	deviation = fmax(deviation, 0);
	/* strongest first */
	while (place > 0 && suspicion->drivers[place - 1].deviation < deviation) {
		suspicion->drivers[place] = suspicion->drivers[place - 1];
		place--;
	}
	suspicion->drivers[place] = (struct moat_driver){ name, expected, seen, deviation };
	suspicion->driver_count++;
}

struct moat_suspicion moat_suspicion_of_content(const struct moat_content *content,
						enum moat_finding_kind kind, double score,
						uint64_t first_ns, uint64_t hold_ns)
{
	return (struct moat_suspicion){
		.kind = kind,
		.subject = content->client,
		.subject_is_source = true,
		.score = score,
		.share = 1,
		.usual_pps = -1,
		.peer = content->server,
		.port = content->server_port,
		.proto = content->proto,
		.first_ns = first_ns,
		.hold_ns = hold_ns,
	};
}
