/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sFlow version 5 (sflow.org) to halves of flows: each flow sample is one packet that stands for many. */
#ifndef MOAT_CTL_FLOWS_SFLOW_H
#define MOAT_CTL_FLOWS_SFLOW_H

#include "ctl/flows/netflow.h"

/* Reads a datagram. 0; -EBADMSG: not sFlow's, or it contradicts itself; what came before that was handed on.
 * *skipped counts samples that tell of no packet of IP: counters, other protocols. */
int moat_sflow_read(const uint8_t *data, size_t length, moat_half_fn handler, void *userdata,
		    uint64_t *skipped);

#endif
