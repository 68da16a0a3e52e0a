/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A worker's life, its time, and its steps; what happens to the packets of one step is worker_burst.c's.
 * The clock is read once a step.
 */
#include "dataplane/worker.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/worker_priv.h"

#define FLOWS_DEFAULT 65536
#define CELLS_DEFAULT 16384
#define SAMPLE_SLOTS 4096
/* Steps back of capture time from which on the clock is taken to have been set. */
#define TIME_STEP_NS MOAT_NS_PER_S

/* ---- life --------------------------------------------------------------------------------- */

static void on_flow_end(void *userdata, const struct moat_flow *flow)
{
	struct moat_worker *worker = userdata;

	moat_worker_tell_end(worker, flow);
}

static int worker_init(struct moat_worker *worker, const struct moat_worker_options *options)
{
	int r;

	r = moat_cells_init(&worker->cells, options->cells ? options->cells : CELLS_DEFAULT,
			    options->hash_seed);
	if (r < 0)
		return r;
	r = moat_flow_table_new(options->flows ? options->flows : FLOWS_DEFAULT, options->hash_seed,
				options->flow_ring ? on_flow_end : NULL, worker, &worker->flows);
	if (r < 0)
		return r;
	r = moat_ring_init(&worker->samples, SAMPLE_SLOTS, sizeof(struct moat_sample));
	if (r < 0)
		return r;
	if (options->flow_ring) {
		r = moat_ring_init(&worker->flow_ring, options->flow_ring,
				   sizeof(struct moat_flow_record));
		if (r == 0)
			r = moat_flow_table_keep_talks(worker->flows);
		if (r < 0)
			return r;
	}
	if (options->content_ring) {
		r = moat_ring_init(&worker->contents, options->content_ring,
				   sizeof(struct moat_content));
		if (r < 0)
			return r;
	}
	worker->options = *options;
	worker->hash_begun = moat_addr_hash_begin(0, options->hash_seed);
	worker->random = options->hash_seed ? options->hash_seed : 1; /* xorshift stays at 0 */
	worker->samplers[0].interval = options->sample_pass;
	worker->samplers[1].interval = options->sample_drop;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(worker->samplers); i++)
		moat_worker_arm_sampler(worker, &worker->samplers[i]);
	worker->clock_ns = moat_clock_monotonic_ns();
	worker->port = options->port;
	return 0;
}

int moat_worker_new(const struct moat_worker_options *options, struct moat_worker **ret_worker,
		    struct moat_error *error)
{
	struct moat_worker *worker = aligned_alloc(64, sizeof(*worker));
	int r;

	if (!worker)
		return moat_error_set(error, -ENOMEM, "worker of %s: out of memory",
				      options->port->name);
	memset(worker, 0, sizeof(*worker));
	r = worker_init(worker, options);
	if (r < 0) {
		moat_worker_free(worker);
		return moat_error_set(error, r, "worker of %s: %u flows and %u cells: %s",
				      options->port->name, options->flows, options->cells,
				      strerror(-r));
	}
	*ret_worker = worker;
	return 0;
}

void moat_worker_free(struct moat_worker *worker)
{
	if (!worker)
		return;
	moat_worker_stop(worker);
	if (worker->burst_next < worker->burst_count)
		moat_port_release(worker->port, worker->burst + worker->burst_next,
				  worker->burst_count - worker->burst_next);
	moat_port_close(worker->port);
	moat_flow_table_free(worker->flows);
	moat_cells_deinit(&worker->cells);
	moat_ring_deinit(&worker->samples);
	moat_ring_deinit(&worker->flow_ring);
	moat_ring_deinit(&worker->contents);
	free(worker);
}

void moat_worker_set_port(struct moat_worker *worker, struct moat_port *port, struct moat_port *peer)
{
	if (worker->port) {
		struct moat_port_counters last = worker->port->counters;

		/* what a device that is still there would say is lost with it otherwise */
		if (worker->port->ops->refresh)
			worker->port->ops->refresh(worker->port, &last);
		moat_port_counters_add(&worker->lost_ports, &last);
		moat_port_close(worker->port);
	}
	worker->port = port;
	worker->options.port = port;
	worker->options.peer = peer;
	worker->burst_next = worker->burst_count = 0;
	worker->end = 0;
	worker->clock_ns = moat_clock_monotonic_ns();
	worker->was_busy = false;
	atomic_store(&worker->done, false);
	atomic_store(&worker->error, 0);
	worker->counters.port = worker->lost_ports;
}

void moat_worker_set_pulse(struct moat_worker *worker, const struct moat_pulse *pulse)
{
	worker->options.pulse = *pulse;
}

/* ---- time --------------------------------------------------------------------------------- */

static uint64_t now_get(const struct moat_worker *worker)
{
	return atomic_load_explicit(&worker->now_ns, memory_order_relaxed);
}

static void now_set(struct moat_worker *worker, uint64_t now_ns)
{
	atomic_store_explicit(&worker->now_ns, now_ns, memory_order_relaxed);
}

static uint32_t window_of(uint64_t time_ns)
{
	return (uint32_t)(time_ns / MOAT_NS_PER_MS >> MOAT_WINDOW_SHIFT_MS);
}

/* Gives every packet of a new burst its time, which never decreases. */
static void set_times(struct moat_worker *worker)
{
	uint64_t reached = worker->is_replay ? now_get(worker) : 0;

	for (unsigned int i = 0; i < worker->burst_count; i++) {
		struct moat_packet *packet = &worker->burst[i];
		uint64_t time_ns = packet->time_ns + worker->time_shift_ns;

		if (packet->time_ns == 0) {
			packet->time_ns = worker->clock_ns;
			continue;
		}
		if (time_ns < reached) {
			if (reached - time_ns >= TIME_STEP_NS)
				worker->time_shift_ns += reached - time_ns;
			worker->counters.time_backwards++;
			time_ns = reached;
		}
		if (!worker->is_replay) {
			worker->is_replay = true;
			now_set(worker, time_ns);
		}
		reached = time_ns;
		packet->time_ns = time_ns;
	}
}

/* How many of the waiting packets belong to the window of the first. */
static unsigned int same_window(const struct moat_worker *worker)
{
	const struct moat_packet *burst = worker->burst;
	unsigned int end = worker->burst_next + 1;

	if (!worker->is_replay)
		return worker->burst_count - worker->burst_next;
	while (end < worker->burst_count &&
	       window_of(burst[end].time_ns) == window_of(burst[worker->burst_next].time_ns))
		end++;
	return end - worker->burst_next;
}

/* ---- steps -------------------------------------------------------------------------------- */

static void begin_change(struct moat_worker *worker)
{
	uint32_t epoch = atomic_load_explicit(&worker->epoch, memory_order_relaxed);

	atomic_store_explicit(&worker->epoch, epoch + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void end_change(struct moat_worker *worker)
{
	uint32_t epoch = atomic_load_explicit(&worker->epoch, memory_order_relaxed);

	worker->counters.port = worker->lost_ports;
	moat_port_counters_add(&worker->counters.port, &worker->port->counters);
	moat_flow_table_counters(worker->flows, &worker->counters.flow);
	atomic_store_explicit(&worker->epoch, epoch + 1, memory_order_release);
}

/* Time since the last step goes to what that one was. */
static void account_time(struct moat_worker *worker)
{
	uint64_t now = moat_clock_monotonic_ns();

	if (worker->was_busy)
		worker->counters.busy_ns += now - worker->clock_ns;
	else
		worker->counters.idle_ns += now - worker->clock_ns;
	worker->clock_ns = now;
	worker->stage_ns = now;
	moat_pulse_write(&worker->options.pulse, now);
	worker->was_busy = false;
}

void moat_worker_clock_stage(struct moat_worker *worker, enum moat_worker_stage stage)
{
	uint64_t now = moat_clock_monotonic_ns();

	worker->counters.stage_ns[stage] += now - worker->stage_ns;
	worker->stage_ns = now;
}

static void handle(struct moat_worker *worker, unsigned int count)
{
	uint64_t now_ns = worker->burst[worker->burst_next + count - 1].time_ns;

	moat_worker_burst(worker, worker->burst + worker->burst_next, count, window_of(now_ns));
	worker->burst_next += count;
	now_set(worker, now_ns);
	worker->was_busy = true;
}

/* The next burst, if the last one is done with. 0 or what ended the source. */
static int fetch(struct moat_worker *worker)
{
	int count;

	if (worker->burst_next < worker->burst_count)
		return 0;
	worker->burst_next = 0;
	worker->burst_count = 0;
	count = moat_port_rx(worker->port, worker->burst, MOAT_BURST);
	if (count < 0) {
		moat_flow_table_flush(worker->flows);
		worker->end = count;
		return count;
	}
	worker->burst_count = (unsigned int)count;
	set_times(worker);
	return 0;
}

/* Ends flows that are idle, and forgets which were settled before the policy's last change. */
static void age_flows(struct moat_worker *worker)
{
	if (worker->options.judge)
		worker->flows->epoch = moat_flow_epoch(moat_judge_epoch(worker->options.judge));
	moat_flow_table_age(worker->flows, now_get(worker));
}

/* One step between begin_change and end_change. */
static int step(struct moat_worker *worker)
{
	unsigned int count;
	int r;

	account_time(worker);
	r = fetch(worker);
	if (r < 0)
		return r;
	if (worker->burst_count == 0) {
		if (!worker->is_replay)
			now_set(worker, worker->clock_ns);
		age_flows(worker);
		return 0;
	}
	if (worker->is_replay) {
		uint64_t time_ns = worker->burst[worker->burst_next].time_ns;

		if (window_of(time_ns) != window_of(now_get(worker))) {
			now_set(worker, time_ns);
			return 0;
		}
	}
	count = same_window(worker);
	moat_worker_end_stage(worker, MOAT_WORKER_RX);
	handle(worker, count);
	age_flows(worker);
	moat_worker_end_stage(worker, MOAT_WORKER_AGE);
	return (int)count;
}

int moat_worker_step(struct moat_worker *worker)
{
	int r;

	if (worker->end < 0)
		return worker->end;
	begin_change(worker);
	r = step(worker);
	end_change(worker);
	return r;
}

/* ---- looking in --------------------------------------------------------------------------- */

uint64_t moat_worker_now_ns(const struct moat_worker *worker)
{
	return now_get(worker);
}

void moat_worker_counters(const struct moat_worker *worker,
			  struct moat_worker_counters *ret_counters)
{
	uint32_t before, after;

	/* a burst takes microseconds: whoever meets one in the middle looks again */
	for (;;) {
		before = atomic_load_explicit(&worker->epoch, memory_order_acquire);
		*ret_counters = worker->counters;
		atomic_thread_fence(memory_order_acquire);
		after = atomic_load_explicit(&worker->epoch, memory_order_relaxed);
		if (before == after && !(before & 1))
			break;
		sched_yield();
	}
	ret_counters->samples_lost = moat_ring_lost(&worker->samples);
	ret_counters->flows_lost = moat_ring_lost(&worker->flow_ring);
	ret_counters->contents_lost = moat_ring_lost(&worker->contents);
	if (!worker->port)
		return;
	/* the sending half is the peer's worker's: as of now, not of our last step */
	ret_counters->port.sent.packets = worker->lost_ports.sent.packets +
					  worker->port->counters.sent.packets;
	ret_counters->port.sent.bytes = worker->lost_ports.sent.bytes +
					worker->port->counters.sent.bytes;
	ret_counters->port.tx_ring_full = worker->lost_ports.tx_ring_full +
					  worker->port->counters.tx_ring_full;
	if (worker->port->ops->refresh)
		worker->port->ops->refresh(worker->port, &ret_counters->port);
}

const struct moat_cells *moat_worker_cells(const struct moat_worker *worker)
{
	return &worker->cells;
}

struct moat_ring *moat_worker_samples(struct moat_worker *worker)
{
	return &worker->samples;
}

struct moat_ring *moat_worker_flows(struct moat_worker *worker)
{
	return worker->flow_ring.slots ? &worker->flow_ring : NULL;
}

struct moat_ring *moat_worker_contents(struct moat_worker *worker)
{
	return worker->contents.slots ? &worker->contents : NULL;
}
