/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MOAT_TESTS_REPLAY_CLOCK_H
#define MOAT_TESTS_REPLAY_CLOCK_H

#include <stdint.h>

/* The time of all judges. */
struct replay_clock {
	uint64_t ms;
	uint32_t ticks_per_s; /* of the gate's clock; set before it is opened */
};
extern struct replay_clock replay_clock;

/* What the gate's clock shows. */
uint64_t replay_clock_ticks(void);

#endif
