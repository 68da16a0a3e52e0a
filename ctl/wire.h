/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The workers of wire and mirror ports: one a receive queue, each with an AF_XDP socket or a queue of a DPDK
 * device. A lane is what
 * opens, is lost and comes back together: a queue of a mirror, or the same queue of a wire's two ports. */
#ifndef MOAT_CTL_WIRE_H
#define MOAT_CTL_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "ctl/config.h"
#include "dataplane/gate.h"
#include "dataplane/policy.h"
#include "dataplane/worker.h"

struct moat_wire_lane {
	const struct moat_config_port *ports[2]; /* the second NULL: a mirror */
	size_t workers[2];                       /* indices */
	uint32_t queue;
	bool lost;
};

struct moat_wire {
	struct moat_gate *gate;
	struct moat_config_port *ports; /* of our own: the configuration may be loaded anew */
	size_t port_count;
	uint32_t queues[MOAT_PORTS_MAX]; /* of each, as last seen */
	struct moat_policy *policy;
	struct moat_worker **workers;
	size_t worker_count;
	struct {
		uint32_t port; /* index */
		const char *name;
		int cpu;
		int node; /* that its memory is near; -1: there are none */
		uint32_t queue;
		struct moat_port_afxdp_info afxdp; /* unless it is DPDK's */
		bool dpdk;
		bool lost;
	} *places; /* of each worker */
	struct moat_wire_lane *lanes;
	size_t lane_count;
	uint64_t recovered; /* lanes */
	uint32_t dpdk_idle_us;
	struct moat_afxdp_settings afxdp;
	bool has_dpdk;
};

/* Receive queues of an interface, at least 1. */
uint32_t moat_wire_queues(const char *interface);

/* Opens a socket and a worker for each queue of the gate's wire and mirror ports, none of them running.
 * Without such ports the wire is empty. 0 or a negative errno; nothing is left open on failure. */
int moat_wire_init(struct moat_wire *wire, struct moat_gate *gate, const struct moat_config *config,
		   struct moat_error *error);
/* Takes over what a configuration with the same wires says of them: stages, and what becomes of frames that no
 * worker takes. In force with the next packet. */
void moat_wire_configure(struct moat_wire *wire, const struct moat_config *config);
/* Starts all workers. A failure leaves some running: deinit stops them. */
int moat_wire_start(struct moat_wire *wire, struct moat_error *error);
/* Notices lanes that lost a port and says so; brings them back once their interfaces are there. Call once
 * a second, and when an interface comes or goes. */
void moat_wire_tick(struct moat_wire *wire);
/* Notices receive queues that came or went, and says so. Call every 100 ms: until then a veth lets frames of new
 * ones past the gate. */
void moat_wire_look(struct moat_wire *wire);
/* Stops all, then closes. A zeroed wire is a valid argument. */
void moat_wire_deinit(struct moat_wire *wire);

#endif
