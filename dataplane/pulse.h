/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A worker's sign of life for the gate (bpf/gate/steer.h): where it is written, and how to tell the kernel's
 * jiffies from CLOCK_MONOTONIC, by which the kernel counts them. */
#ifndef MOAT_DATAPLANE_PULSE_H
#define MOAT_DATAPLANE_PULSE_H

#include "dataplane/base/clock.h"
#include "moat/gate.h"

struct moat_pulse {
	struct moat_gate_pulse *beat; /* mapped; NULL: nobody looks */
	uint64_t origin_ns;           /* one moment on both clocks */
	uint64_t origin_ticks;
	uint32_t ticks_per_s;
};

/* Says that the worker is there at `now_ns`. Any thread, one at a time. The gate reads the line for every
 * frame, on another CPU: so it is written only when it would say something else. */
static inline void moat_pulse_write(const struct moat_pulse *pulse, uint64_t now_ns)
{
	uint64_t ticks;

	if (!pulse->beat)
		return;
	ticks = pulse->origin_ticks +
		(now_ns - pulse->origin_ns) * pulse->ticks_per_s / MOAT_NS_PER_S;
	if (__atomic_load_n(&pulse->beat->jiffies, __ATOMIC_RELAXED) != ticks)
		__atomic_store_n(&pulse->beat->jiffies, ticks, __ATOMIC_RELAXED);
}

#endif
