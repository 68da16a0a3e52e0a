/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The worker stops before the first packet of a new window, so that the one before can be closed. */
#include "ctl/replay.h"

#include <errno.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define WINDOW_NS (MOAT_NS_PER_MS << MOAT_WINDOW_SHIFT_MS)
/* Of a silence this many windows are closed one by one, 2 minutes: every timer of detection has run out
 * by then. */
#define SILENT_WINDOWS_MAX 1024
#define PROGRESS_NS (250 * MOAT_NS_PER_MS)
/* Seed of the cells: a capture can't aim at them. */
#define HASH_SEED 0x9e3779b97f4a7c15ULL

struct replay {
	const struct moat_replay_options *options;
	struct moat_port *port; /* the worker's, once there is one */
	struct moat_worker *worker;
	struct moat_detect *detect;
	uint64_t window; /* the next to close */
	bool started;
	uint64_t first_ns, progress_ns;
};

static void take_samples(struct replay *replay)
{
	struct moat_sample sample;

	while (moat_ring_pop(moat_worker_samples(replay->worker), &sample))
		moat_detect_sample(replay->detect, &sample);
}

static void close_window(struct replay *replay)
{
	const struct moat_cells *cells = moat_worker_cells(replay->worker);
	struct moat_cell_source source = {
		.to = cells->to, .from = cells->from, .count = cells->mask + 1, .fresh = true
	};

	moat_detect_tick(replay->detect, &source, 1, (uint32_t)replay->window,
			 replay->window * WINDOW_NS, WINDOW_NS);
	replay->window++;
}

/* Closes all windows before the one that `now_ns` is in. */
static void close_until(struct replay *replay, uint64_t now_ns)
{
	uint64_t window = now_ns / WINDOW_NS;

	if (!replay->started) {
		if (now_ns == 0)
			return;
		replay->started = true;
		replay->first_ns = now_ns;
		replay->window = window;
	}
	if (window > replay->window + SILENT_WINDOWS_MAX) {
		close_window(replay);
		replay->window = window - SILENT_WINDOWS_MAX;
	}
	while (replay->window < window)
		close_window(replay);
}

static void tell_progress(struct replay *replay)
{
	uint64_t now_ns = moat_clock_monotonic_ns();
	struct moat_worker_counters counters;

	if (!replay->options->on_progress || now_ns - replay->progress_ns < PROGRESS_NS)
		return;
	replay->progress_ns = now_ns;
	moat_worker_counters(replay->worker, &counters);
	replay->options->on_progress(replay->options->userdata,
				     moat_port_pcap_progress(replay->port), counters.in.packets);
}

static int run(struct replay *replay)
{
	for (unsigned int steps = 0;; steps++) {
		int count = moat_worker_step(replay->worker);

		if (count < 0)
			return count;
		take_samples(replay);
		close_until(replay, moat_worker_now_ns(replay->worker));
		if (count == 0 && replay->options->realtime)
			moat_port_wait(replay->port, 50);
		if (steps % 256 == 0)
			tell_progress(replay);
	}
}

static int open_all(struct replay *replay, struct moat_error *error)
{
	const struct moat_replay_options *options = replay->options;
	struct moat_port_pcap_options pcap = {
		.paths = options->paths,
		.path_count = options->path_count,
		.realtime = options->realtime,
	};
	struct moat_worker_options worker = {
		.cpu = -1,
		.hash_seed = HASH_SEED,
		.cells = 1u << 16,
		.sample_pass = options->sample_pass,
	};
	struct moat_detect_config detect = options->detect;
	int r = moat_port_pcap_open(&pcap, &replay->port, error);

	if (r < 0)
		return r;
	worker.port = replay->port;
	r = moat_worker_new(&worker, &replay->worker, error);
	if (r < 0) {
		moat_port_close(replay->port);
		return r;
	}
	detect.mode = MOAT_MODE_MIRROR;
	r = moat_detect_new(&detect, options->on_finding, options->userdata, &replay->detect);
	return r < 0 ? moat_error_set(error, r, "detection: %s", strerror(-r)) : 0;
}

int moat_replay_run(const struct moat_replay_options *options,
		    struct moat_replay_report *ret_report, struct moat_error *error)
{
	struct replay replay = { .options = options };
	int r = open_all(&replay, error);

	if (r == 0) {
		r = run(&replay);
		if (r != -ENODATA)
			moat_error_set(error, r, "the captures can't be read on: %s", strerror(-r));
		else
			r = 0;
		if (replay.started)
			close_window(&replay);
	}
	if (r == 0) {
		*ret_report = (struct moat_replay_report){
			.first_ns = replay.first_ns, .last_ns = moat_worker_now_ns(replay.worker)
		};
		moat_worker_counters(replay.worker, &ret_report->counters);
		moat_detect_counters(replay.detect, &ret_report->detect);
	}
	moat_detect_free(replay.detect);
	moat_worker_free(replay.worker);
	return r;
}
