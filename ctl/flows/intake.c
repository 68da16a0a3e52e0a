/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/flows/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/flows/pour.h"
#include "dataplane/base/clock.h"

#define CELLS 65536
/* Halves taken before anybody else gets a turn. */
#define AT_ONCE 16384
/* A look at all waiting flows, once a second. */
#define PAIR_WINDOWS 8

struct moat_flow_intake {
	struct moat_flow_listener *listeners[MOAT_FLOW_LISTENERS_MAX];
	size_t listener_count;
	struct moat_cells cells;
	struct moat_pour *pour;
	struct moat_pair *pair;
	uint32_t window; /* the last one counted in */
	moat_pair_fn handler;
	void *userdata; /* both of the take under way */
};

static void on_flow(void *userdata, const struct moat_flow_record *record)
{
	struct moat_flow_intake *intake = userdata;

	intake->handler(intake->userdata, record);
}

int moat_flow_intake_new(const struct moat_flow_intake_options *options, uint64_t hash_seed,
			 struct moat_flow_intake **ret_intake, struct moat_error *error)
{
	struct moat_flow_intake *intake = calloc(1, sizeof(*intake));
	int r = intake ? moat_cells_init(&intake->cells, CELLS, hash_seed) : -ENOMEM;

	if (r == 0)
		r = moat_pour_new(&intake->cells, &intake->pour);
	if (r == 0)
		r = moat_pair_new(on_flow, intake, &intake->pair);
	if (r < 0)
		moat_error_set(error, r, "flows: out of memory");
	for (size_t i = 0; r == 0 && i < options->listener_count; i++) {
		r = moat_flow_listener_new(&options->listeners[i], &intake->listeners[i], error);
		intake->listener_count += r == 0;
	}
	if (r < 0)
		moat_flow_intake_free(intake);
	else
		*ret_intake = intake;
	return r;
}

void moat_flow_intake_free(struct moat_flow_intake *intake)
{
	if (!intake)
		return;
	for (size_t i = 0; i < intake->listener_count; i++)
		moat_flow_listener_free(intake->listeners[i]);
	moat_pair_free(intake->pair);
	moat_pour_free(intake->pour);
	moat_cells_deinit(&intake->cells);
	free(intake);
}

void moat_flow_intake_take(struct moat_flow_intake *intake, uint32_t window, moat_pair_fn handler,
			   void *userdata)
{
	struct moat_flow_half half;

	intake->handler = handler;
	intake->userdata = userdata;
	for (size_t i = 0; i < intake->listener_count; i++) {
		struct moat_ring *ring = moat_flow_listener_ring(intake->listeners[i]);

		for (int n = 0; n < AT_ONCE && moat_ring_pop(ring, &half); n++) {
			moat_pair_add(intake->pair, &half);
			moat_pour_add(intake->pour, &half, window);
		}
	}
	if (window != intake->window) {
		intake->window = window;
		moat_pour_window(intake->pour, window);
		if (window % PAIR_WINDOWS == 0)
			moat_pair_advance(intake->pair, moat_clock_monotonic_ns());
	}
}

const struct moat_cells *moat_flow_intake_cells(const struct moat_flow_intake *intake)
{
	return &intake->cells;
}

void moat_flow_intake_counters(const struct moat_flow_intake *intake,
			       struct moat_flow_intake_counters *ret_counters)
{
	memset(ret_counters, 0, sizeof(*ret_counters));
	ret_counters->listener_count = intake->listener_count;
	for (size_t i = 0; i < intake->listener_count; i++)
		moat_flow_listener_counters(intake->listeners[i], &ret_counters->listeners[i]);
	moat_pair_counters(intake->pair, &ret_counters->pairs);
	ret_counters->lumps = moat_pour_lumps(intake->pour);
}
