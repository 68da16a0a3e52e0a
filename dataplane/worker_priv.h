/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The worker's inside, shared by worker.c (its life and steps), worker_burst.c (the path of a burst) and
 * worker_thread.c (the thread around it), by nobody else. */
#ifndef MOAT_DATAPLANE_WORKER_PRIV_H
#define MOAT_DATAPLANE_WORKER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "dataplane/flow_table.h"
#include "dataplane/worker.h"

/* What becomes known of a packet on its way through the stages of a burst. */
struct moat_work {
	struct moat_headers headers;
	struct moat_cells_hash hash;
	uint64_t flow_hash;
	struct moat_cells_place cells; /* of its hosts, as far as known */
	struct moat_flow_place place;  /* of its flow, if `direction` says that it has one */
	uint32_t rule_id;
	uint32_t sample_interval; /* of the rule that sampled it; 0: none */
	uint32_t epoch;           /* moat_flow_epoch, from before it was judged */
	uint32_t cookie;          /* of the answer to be sent, if the verdict is tx */
	uint8_t parse;            /* enum moat_parse */
	uint8_t reason;           /* enum moat_reason; the judge's */
	bool sends_back;          /* redirected out of the port that it came from */
	uint8_t verdict;          /* enum moat_verdict, of that */
	bool may_flow;            /* it is read, and no later fragment */
	bool is_ordinary;         /* moat_judge_is_ordinary */
	bool is_settled;          /* its flow in this direction, see moat_flow_settle */
	uint8_t slot;             /* where its flow may be, see moat_flow_seek */
	int8_t direction;         /* of it in its flow; -1: none, or not found yet */
};

/* Sampling of one kind of verdict: one in `interval` on average, at irregular distances. */
struct moat_sampler {
	uint32_t interval; /* 0: off */
	uint32_t countdown;
};

struct moat_worker {
	/* constant after new */
	struct moat_worker_options options;
	struct moat_port *port;
	struct moat_ring samples;
	struct moat_ring flow_ring;
	struct moat_ring contents;

	/* the worker's thread alone */
	struct moat_cells cells;
	struct moat_flow_table *flows;
	uint64_t hash_begun; /* moat_addr_hash_begin of every IPv4 address */
	struct moat_packet burst[MOAT_BURST];
	struct moat_work work[MOAT_BURST];
	unsigned int burst_count;
	unsigned int burst_next;         /* the first not handled yet */
	struct moat_sampler samplers[2]; /* of passing and dropped packets */
	bool rule_sampled;               /* a rule sampled a packet of this burst */
	uint64_t random;
	bool is_replay;         /* packets bring their time */
	uint64_t time_shift_ns; /* added to packets' times, see worker.h */
	uint64_t clock_ns;      /* CLOCK_MONOTONIC at the begin of the last step ... */
	bool was_busy;          /* ... and whether that had packets */
	uint64_t stage_ns;      /* profiling: when the last stage ended */
	int end;                /* 0, or what ended the source */
	struct moat_port_counters lost_ports; /* what earlier ports counted */

	/* written by the worker's thread between two steps of `epoch`, read by all: odd is in change */
	_Alignas(64) _Atomic uint32_t epoch;
	_Atomic uint64_t now_ns;
	struct moat_worker_counters counters;

	/* the thread's life */
	_Alignas(64) pthread_t thread;
	bool has_thread;
	_Atomic bool stop;
	_Atomic bool done;
	_Atomic int error;
};

/* Takes 1 to MOAT_BURST packets, all of one window and with their times set, from parsing to their
 * counters, and sends them on or gives them back. */
void moat_worker_burst(struct moat_worker *worker, const struct moat_packet *burst,
		       unsigned int count, uint32_t window);

/* Ends a stage: the time since the last one ended is its. */
void moat_worker_clock_stage(struct moat_worker *worker, enum moat_worker_stage stage);

static inline void moat_worker_end_stage(struct moat_worker *worker, enum moat_worker_stage stage)
{
	if (worker->options.profile)
		moat_worker_clock_stage(worker, stage);
}

/* worker_tell.c: what detection hears of a packet that was added to its flow, and of a flow that ended. The
 * worker has a flow ring. */
void moat_worker_tell(struct moat_worker *worker, const struct moat_packet *packet,
		      const struct moat_work *work);
void moat_worker_tell_end(struct moat_worker *worker, const struct moat_flow *flow);

/* Draws the distance to the next sample. */
void moat_worker_arm_sampler(struct moat_worker *worker, struct moat_sampler *sampler);

#endif
