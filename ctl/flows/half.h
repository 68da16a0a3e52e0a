/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an exporter says of one direction of a flow (NetFlow, IPFIX), or of one sampled packet (sFlow). */
#ifndef MOAT_CTL_FLOWS_HALF_H
#define MOAT_CTL_FLOWS_HALF_H

#include <stdint.h>

#include "moat/types.h"

struct moat_flow_half {
	struct moat_addr src, dst;
	uint64_t packets, bytes; /* as counted; times `sampling` is what passed */
	uint64_t duration_ns;    /* from its first to its last packet */
	uint64_t arrived_ns;     /* when it was heard of, CLOCK_MONOTONIC */
	uint32_t sampling;       /* one packet in so many was looked at, >= 1 */
	uint16_t sport, dport;   /* 0: none */
	uint8_t proto;
	uint8_t tcp_flags; /* of all its packets, ORed */
	uint16_t reserved;
};

#endif
