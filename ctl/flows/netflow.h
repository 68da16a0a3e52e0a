/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * NetFlow v5 (Cisco's description), v9 (RFC 3954) and IPFIX (RFC 7011) messages to halves of flows. Templates
 * are kept for each exporter and observation domain. (libfixbuf was tried: it loses the first message of each
 * exporter, and hears nothing more of one that has sent a broken one.)
 */
#ifndef MOAT_CTL_FLOWS_NETFLOW_H
#define MOAT_CTL_FLOWS_NETFLOW_H

#include <stddef.h>

#include "ctl/flows/half.h"

/* Templates kept of all exporters; beyond that the one unused for longest goes, and is missed until its
 * exporter sends it again. */
#define MOAT_NETFLOW_TEMPLATES 512
/* Fields of a template; one with more isn't kept. */
#define MOAT_NETFLOW_FIELDS 96

struct moat_netflow;

struct moat_netflow_counters {
	uint64_t skipped;   /* records that tell of no flow: options, other protocols than IP */
	uint64_t templates; /* seen */
	uint64_t displaced; /* kept no longer, to make room */
	uint64_t missing;   /* sets of records whose template hasn't been seen */
};

/* One half; its arrival is 0, its sampling too unless the exporter told it. */
typedef void (*moat_half_fn)(void *userdata, struct moat_flow_half *half);

/* 0 or -ENOMEM. */
int moat_netflow_new(struct moat_netflow **ret_netflow);
void moat_netflow_free(struct moat_netflow *netflow);

/* Reads a datagram of an exporter. 0; -EBADMSG: neither of the three, or it contradicts itself; what came
 * before that was handed on. */
int moat_netflow_read(struct moat_netflow *netflow, const struct moat_addr *exporter,
		      const uint8_t *data, size_t length, moat_half_fn handler, void *userdata);

void moat_netflow_counters(const struct moat_netflow *netflow,
			   struct moat_netflow_counters *ret_counters);

#endif
