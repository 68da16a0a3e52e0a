/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flows of wire and mirror ports as IPFIX over UDP (RFC 7011), two records a flow, one a direction. A
 * thread of its own sends; a full queue loses the flow and counts it. accepted = sent + failed + waiting.
 */
#ifndef MOAT_CTL_FLOWS_EXPORT_H
#define MOAT_CTL_FLOWS_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/base/record.h"

#define MOAT_EXPORT_QUEUE 65536
/* UDP loses datagrams: templates are sent again so often. */
#define MOAT_EXPORT_TEMPLATES_NS 60000000000ULL

struct moat_export_counters {
	uint64_t sent; /* flows */
	uint64_t lost; /* the queue was full */
	uint64_t failed;
};

struct moat_export;

/* `address` is numeric. 0 or a negative errno with the reason. */
int moat_export_new(const char *address, uint16_t port, uint32_t domain,
		    struct moat_export **ret_export, struct moat_error *error);
/* Sends what waits. NULL is allowed. */
void moat_export_free(struct moat_export *exporter);

/* Takes a copy of a flow that has ended; others are ignored. One thread at a time. */
void moat_export_flow(struct moat_export *exporter, const struct moat_flow_record *record);

void moat_export_counters(const struct moat_export *exporter,
			  struct moat_export_counters *ret_counters);

#endif
