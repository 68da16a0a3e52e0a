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
