/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A worker: one thread, one queue, from packet to verdict. rx -> parse -> policy -> cells -> flow of what
 * passes -> samples -> tx or release, a burst at a time, pinned to its CPU. It shares nothing with other
 * workers but the policy; detection reads its cells and its rings. A sample carries the judge's reason
 * also where the port consumes everything (its counter is then MOAT_REASON_CONSUMED).
 *
 * Time: CLOCK_MONOTONIC, or in a replay the packets' own, which never goes backwards here: a packet
 * that is late by less than a second is taken as of the time reached; a larger step back (a clock that
 * was set, captures put end to end) shifts everything after it so that time goes on from where it was.
 * Both are counted in time_backwards. The number of the window (moat/cell.h) is this time in
 * milliseconds >> MOAT_WINDOW_SHIFT_MS, modulo 2^32; so a replay has the same windows on every machine.
 */
#ifndef MOAT_DATAPLANE_WORKER_H
#define MOAT_DATAPLANE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/ring.h"
#include "dataplane/cells.h"
#include "dataplane/flow.h"
#include "dataplane/parse.h"
#include "dataplane/policy.h"
#include "dataplane/port.h"
#include "dataplane/pulse.h"
#include "moat/gate.h"

/* What a worker does with a burst: one after the other when it accounts time to them (options.profile), else
 * woven into each other, so that one packet's memory is on its way while another is worked on. */
enum moat_worker_stage {
	MOAT_WORKER_RX = 0, /* the clock, what waits at the port, its times */
	MOAT_WORKER_PARSE,  /* headers and hashes */
	MOAT_WORKER_JUDGE,
	MOAT_WORKER_FLOW,
	MOAT_WORKER_TELL, /* records of flows, for detection */
	MOAT_WORKER_CELLS,
	MOAT_WORKER_OUT, /* samples, counters, the other port */
	MOAT_WORKER_AGE,
	MOAT_WORKER_STAGES,
};

struct moat_worker_options {
	struct moat_port *port; /* owned by the worker from here on */
	struct moat_port *peer; /* wire: where passing packets go; not owned. NULL: mirror, all consumed */
	struct moat_judge *judge; /* not owned; NULL: no policy, everything passes and is counted so */
	uint32_t port_index;      /* what samples carry */
	int cpu;                  /* to pin to; -1: not pinned */
	uint32_t flows;           /* capacity of the flow table; 0: 65,536 */
	uint32_t cells;           /* a table; 0: 16,384 */
	uint64_t hash_seed;
	uint32_t sample_pass; /* one in so many; 0: off */
	uint32_t sample_drop;
	struct moat_tunnels tunnels; /* looked into */
	uint32_t flow_ring;          /* records of flows that may wait for detection; 0: none */
	uint32_t content_ring;       /* with it: beginnings of payloads */
	struct moat_pulse pulse;     /* written once a step, for the gate */
	bool profile; /* account time to stages: reads the clock often, and weaves nothing */
};

/* in = sum of reasons, always. */
struct moat_worker_counters {
	struct moat_counter in;
	struct moat_counter reasons[MOAT_REASON_COUNT];
	struct moat_port_counters port;
	struct moat_flow_counters flow;
	uint64_t samples;
	uint64_t samples_lost;
	uint64_t flows_lost; /* records that found the ring full */
	uint64_t contents_lost;
	uint64_t time_backwards; /* packets whose capture time lay before the time reached */
	uint64_t busy_ns;        /* time spent with a non-empty burst */
	uint64_t idle_ns;
	uint64_t stage_ns[MOAT_WORKER_STAGES]; /* of non-empty bursts; 0 unless options.profile */
};

struct moat_worker;

/* 0, -EINVAL or -ENOMEM; on failure the port is still the caller's. */
int moat_worker_new(const struct moat_worker_options *options, struct moat_worker **ret_worker,
		    struct moat_error *error);
/* Stops the thread if it runs, closes the port. */
void moat_worker_free(struct moat_worker *worker);

/* Gives a worker that doesn't run another port in place of a lost one, which is closed; counters go on, and
 * it can be started again. `port` is owned by the worker from here on. NULL: none for now; the worker can't
 * be started then. */
void moat_worker_set_port(struct moat_worker *worker, struct moat_port *port,
			  struct moat_port *peer);

/* Likewise of where it writes its pulse. */
void moat_worker_set_pulse(struct moat_worker *worker, const struct moat_pulse *pulse);

/* Runs in a thread of its own until moat_worker_stop, the end of its source, or loss of its port. */
int moat_worker_start(struct moat_worker *worker, struct moat_error *error);
void moat_worker_stop(struct moat_worker *worker);
/* True once the source ended or the port was lost (*ret_error: 0 or the negative errno). */
bool moat_worker_is_done(const struct moat_worker *worker, int *ret_error);

/* Or, without a thread: one burst in the caller's. The packets handled, -ENODATA at the end, or the
 * negative errno that the port was lost with. In a replay no call handles packets of two windows: when
 * the next packet belongs to a later window, the call moves moat_worker_now_ns there and returns 0, so
 * that the caller can close the windows before. */
int moat_worker_step(struct moat_worker *worker);
/* The time the worker has reached (capture time in a replay), ns. */
uint64_t moat_worker_now_ns(const struct moat_worker *worker);

void moat_worker_counters(const struct moat_worker *worker,
			  struct moat_worker_counters *ret_counters);
const struct moat_cells *moat_worker_cells(const struct moat_worker *worker);
/* struct moat_sample elements; consumer side for one thread. */
struct moat_ring *moat_worker_samples(struct moat_worker *worker);
/* struct moat_flow_record elements. NULL if flow_ring was 0. */
struct moat_ring *moat_worker_flows(struct moat_worker *worker);
/* struct moat_content elements. NULL if content_ring was 0. */
struct moat_ring *moat_worker_contents(struct moat_worker *worker);

#endif
