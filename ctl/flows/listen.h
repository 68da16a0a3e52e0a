/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listening to exporters, each address by a thread of its own: NetFlow v5 and v9, IPFIX and sFlow v5, told
 * apart by their version. Datagrams of exporters that aren't listed are dropped and counted: UDP has no other
 * proof of who speaks.
 */
#ifndef MOAT_CTL_FLOWS_LISTEN_H
#define MOAT_CTL_FLOWS_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/flows/half.h"
#include "ctl/flows/netflow.h"
#include "dataplane/base/error.h"
#include "dataplane/base/ring.h"

#define MOAT_FLOW_LISTENERS_MAX 8
#define MOAT_FLOW_EXPORTERS_MAX 64
/* Halves that may wait for detection; more are lost, and counted. */
#define MOAT_FLOW_RING 65536

struct moat_flow_listen_options {
	char address[64]; /* numeric */
	uint16_t port;
	uint32_t sampling; /* one packet in so many; 0: as the exporter says, 1 if it doesn't */
	const struct moat_prefix *exporters; /* borrowed; who is heard */
	size_t exporter_count;
};

/* Each datagram is foreign, broken or read. */
struct moat_flow_listen_counters {
	uint64_t datagrams;
	uint64_t foreign;           /* of exporters that aren't listed */
	uint64_t broken;            /* none of the protocols, or not whole */
	uint64_t flows;             /* heard: taken + lost */
	uint64_t taken;             /* handed on */
	uint64_t lost;              /* the ring was full */
	uint64_t skipped;           /* records that tell of no flow of IP: options, counters, ... */
	uint64_t missing_templates; /* sets of records that came before their template */
};

struct moat_flow_listener;

/* Binds and starts the thread. 0 or a negative errno with the reason. */
int moat_flow_listener_new(const struct moat_flow_listen_options *options,
			   struct moat_flow_listener **ret_listener, struct moat_error *error);
/* Ends it. NULL is allowed. */
void moat_flow_listener_free(struct moat_flow_listener *listener);

/* Of struct moat_flow_half; one consumer. */
struct moat_ring *moat_flow_listener_ring(struct moat_flow_listener *listener);

void moat_flow_listener_counters(const struct moat_flow_listener *listener,
				 struct moat_flow_listen_counters *ret_counters);

#endif
