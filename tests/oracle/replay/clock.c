/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* In place of dataplane/gate_clock.c: the gate's clock, as the test sets it. */
#include "dataplane/base/clock.h"
#include "dataplane/gate_internal.h"
#include "dataplane/tables.h"
#include "tests/oracle/replay/clock.h"

struct replay_clock replay_clock = { .ticks_per_s = 1000 };

uint64_t replay_clock_ticks(void)
{
	return replay_clock.ms * replay_clock.ticks_per_s / 1000;
}

int moat_gate_clock_open(struct gate_clock *clock, struct moat_error *error)
{
	*clock = (struct gate_clock){
		.ticks_per_s = replay_clock.ticks_per_s,
		.window_shift = moat_tables_window_shift(replay_clock.ticks_per_s),
	};
	return 0;
}

void moat_gate_clock_close(struct gate_clock *clock)
{
	clock->ticks_per_s = 0;
}

int moat_gate_clock_read(const struct gate_clock *clock, struct gate_time *ret_time)
{
	ret_time->jiffies = replay_clock_ticks();
	ret_time->monotonic_ns = replay_clock.ms * MOAT_NS_PER_MS;
	return 0;
}
