/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Captures: the worker stops before the first packet of a new window, so that the one before can be closed.
 * Flow files have no worker and no cells: windows close by the times of the records.
 */
#include "ctl/replay.h"

#include <errno.h>
#include <string.h>

#include "ctl/flow_file.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define WINDOW_NS (MOAT_NS_PER_MS << MOAT_WINDOW_SHIFT_MS)
/* Of a silence this many windows are closed one by one, 2 minutes: every timer of detection has run out
 * by then, or is far from it. */
#define SILENT_WINDOWS_MAX 1024
#define PROGRESS_NS (250 * MOAT_NS_PER_MS)
/* Seed of the cells: a capture can't aim at them. */
#define HASH_SEED 0x9e3779b97f4a7c15ULL
/* A step's packets tell of a few flows; the end of a capture of all that are left. */
#define FLOW_RING (1u << 17)
#define CONTENT_RING 1024

struct replay {
	const struct moat_replay_options *options;
	struct moat_port *port; /* the worker's, once there is one */
	struct moat_worker *worker;
	struct moat_detect *detect;
	uint64_t window; /* the next to close */
	bool started;
	uint64_t first_ns, last_ns, progress_ns;
};

static bool has_flows(const struct replay *replay)
{
	return !(replay->options->detect.mode & MOAT_MODE_GATEWAY);
}

static void take_record(struct replay *replay, const struct moat_flow_record *record,
			const char *label)
{
	if (replay->options->on_record)
		replay->options->on_record(replay->options->userdata, record, label);
	if (has_flows(replay))
		moat_detect_flow(replay->detect, record);
}

static void take_samples(struct replay *replay)
{
	struct moat_flow_record record;
	struct moat_content content;
	struct moat_sample sample;

	while (moat_ring_pop(moat_worker_samples(replay->worker), &sample))
		moat_detect_sample(replay->detect, &sample);
	while (moat_ring_pop(moat_worker_contents(replay->worker), &content))
		if (has_flows(replay))
			moat_detect_content(replay->detect, &content);
	while (moat_ring_pop(moat_worker_flows(replay->worker), &record))
		take_record(replay, &record, "");
}

static void close_window(struct replay *replay)
{
	struct moat_cell_source source = { 0 };
	size_t count = 0;

	if (replay->worker) {
		const struct moat_cells *cells = moat_worker_cells(replay->worker);

		source = (struct moat_cell_source){
			.to = cells->to, .from = cells->from, .count = cells->mask + 1, .fresh = true
		};
		count = 1;
	}
	moat_detect_tick(replay->detect, &source, count, (uint32_t)replay->window,
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
	replay->last_ns = now_ns;
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

/* ---- captures ------------------------------------------------------------------------------------ */

static int run(struct replay *replay)
{
	for (unsigned int steps = 0;; steps++) {
		int count = moat_worker_step(replay->worker);

		take_samples(replay);
		if (count < 0)
			return count;
		close_until(replay, moat_worker_now_ns(replay->worker));
		if (count == 0 && replay->options->realtime)
			moat_port_wait(replay->port, 50);
		if (steps % 256 == 0)
			tell_progress(replay);
	}
}

static int open_worker(struct replay *replay, struct moat_error *error)
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
		.cells = options->cells ? options->cells : 1u << 16,
		.sample_pass = options->sample_pass,
		.flow_ring = FLOW_RING,
		.content_ring = CONTENT_RING,
	};
	int r = moat_port_pcap_open(&pcap, &replay->port, error);

	if (r < 0)
		return r;
	worker.port = replay->port;
	r = moat_worker_new(&worker, &replay->worker, error);
	if (r < 0)
		moat_port_close(replay->port);
	return r;
}

static int run_captures(struct replay *replay, struct moat_error *error)
{
	int r = open_worker(replay, error);

	if (r < 0)
		return r;
	r = run(replay);
	if (r != -ENODATA)
		return moat_error_set(error, r, "the captures can't be read on: %s", strerror(-r));
	return 0;
}

/* ---- flow files ---------------------------------------------------------------------------------- */

static int run_flows(struct replay *replay, struct moat_error *error)
{
	const struct moat_replay_options *options = replay->options;
	moat_cleanup(moat_flow_file_deinit) struct moat_flow_file file = { 0 };

	for (size_t i = 0; i < options->path_count; i++) {
		int r = moat_flow_file_load(&file, options->paths[i], error);

		if (r < 0)
			return r;
	}
	moat_flow_file_sort(&file);
	for (size_t i = 0; i < file.count; i++) {
		close_until(replay, file.entries[i].record.last_ns);
		take_record(replay, &file.entries[i].record, file.entries[i].label);
	}
	return 0;
}

int moat_replay_run(const struct moat_replay_options *options,
		    struct moat_replay_report *ret_report, struct moat_error *error)
{
	struct replay replay = { .options = options };
	struct moat_replay_report report = { 0 };
	size_t flow_files = 0;
	int r;

	for (size_t i = 0; i < options->path_count; i++)
		flow_files += moat_flow_file_is(options->paths[i]);
	if (flow_files && flow_files < options->path_count)
		return moat_error_set(error, -EINVAL,
				      "captures and flow files can't be replayed together");
	r = moat_detect_new(&options->detect, options->on_finding, options->userdata,
			    &replay.detect);
	if (r < 0)
		return moat_error_set(error, r, "detection: %s", strerror(-r));
	r = flow_files ? run_flows(&replay, error) : run_captures(&replay, error);
	if (r == 0 && replay.started)
		close_window(&replay);
	if (r == 0) {
		report.first_ns = replay.first_ns;
		report.last_ns = replay.last_ns;
		if (replay.worker)
			moat_worker_counters(replay.worker, &report.counters);
		moat_detect_counters(replay.detect, &report.detect);
		*ret_report = report;
	}
	moat_detect_free(replay.detect);
	moat_worker_free(replay.worker);
	return r;
}
