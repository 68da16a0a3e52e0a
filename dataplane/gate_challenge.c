/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The gate's SYN challenge: settings and keys in, counters out, all through mapped memory. */
#include <string.h>
#include <unistd.h>

#include "dataplane/gate_internal.h"

struct moat_challenge_state *moat_gate_challenge(struct moat_gate *gate)
{
	return moat_gate_maps_element(&gate->maps, GATE_MAP_CHALLENGE, 0);
}

/* The window of now, in full. */
static uint64_t window_now(const struct moat_gate *gate)
{
	struct gate_time time = {};

	/* fails only if the process lost the right to run programs: then time seems to stand still */
	moat_gate_clock_read(&gate->clock, &time);
	return time.jiffies >> gate->clock.window_shift;
}

int moat_gate_challenge_open(struct moat_gate *gate, struct moat_error *error)
{
	struct moat_challenge_options options = moat_challenge_default();
	int r;

	if (gate->maps.adopted)
		return 0;
	r = moat_challenge_init(moat_gate_challenge(gate), moat_challenge_slot(window_now(gate)));
	if (r < 0)
		return moat_error_set(error, r, "the kernel gives no random numbers");
	moat_gate_set_challenge(gate, &options);
	return 0;
}

void moat_gate_set_challenge(struct moat_gate *gate, const struct moat_challenge_options *options)
{
	/* possible CPUs may be many more than there are: each would have next to nothing */
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	gate->challenge_form = options->form;
	moat_challenge_configure(moat_gate_challenge(gate), options, gate->clock.ticks_per_s,
				 gate->clock.window_shift,
				 online > 0 ? (uint32_t)online : gate->maps.cpus);
}

int moat_gate_challenge_rotate(struct moat_gate *gate)
{
	uint64_t window = window_now(gate);

	moat_challenge_sweep(moat_gate_maps_element(&gate->maps, GATE_MAP_VALIDATED, 0),
			     gate->maps.validated, window);
	return moat_challenge_rotate(moat_gate_challenge(gate), moat_challenge_slot(window));
}

void moat_gate_challenge_stats(const struct moat_gate *gate, struct moat_challenge_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	for (uint32_t cpu = 0; cpu < gate->maps.cpus; cpu++)
		moat_challenge_stats_add(
			ret_stats, moat_gate_maps_element(&gate->maps, GATE_MAP_CHALLENGE_CPU, cpu));
	moat_challenge_stats_table(ret_stats,
				   moat_gate_maps_element(&gate->maps, GATE_MAP_VALIDATED, 0),
				   gate->maps.validated, window_now(gate));
}
