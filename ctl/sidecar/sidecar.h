/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * moat-sidecar's inside: probes ─► merge ─► processes, containers ─► moatd, and OCSF lines ─► joiner ─► sink. One
 * thread, one loop; the sink's thread waits for the disk.
 */
#ifndef MOAT_CTL_SIDECAR_SIDECAR_H
#define MOAT_CTL_SIDECAR_SIDECAR_H

#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-event.h>

#include "ctl/sidecar/families.h"
#include "dataplane/base/error.h"

#define MOAT_SIDECAR_LINK_DEFAULT "/run/moat/sidecar.sock"

struct moat_sidecar_options {
	const char *output; /* file for JSON lines, opened for appending; "-": standard output; NULL: none */
	const char *link;                      /* socket of moatd; NULL: none */
	const char *hook;                      /* socket for `moat oci-hook`; NULL: none */
	uint32_t ring_bytes;                   /* as of struct moat_probes_options */
	uint32_t queue;                        /* lines that may wait for the file; 0: 65,536 */
	uint32_t processes;                    /* held in the table; 0: 65,536 */
	const struct moat_event_set *events;   /* what is observed; NULL: the default */
	uint32_t budget_process, budget_other; /* as of struct moat_probes_options */
	uint32_t cgroups;                      /* likewise */
};

struct moat_sidecar;
struct moat_probes;

/* Loads the probes, lists what runs, and from then on writes a line for each event while the loop runs. */
int moat_sidecar_new(sd_event *loop, const struct moat_sidecar_options *options,
		     struct moat_sidecar **ret_sidecar, struct moat_error *error);

/* Detaches the probes and writes what has come until now: the counters are final then. */
void moat_sidecar_stop(struct moat_sidecar *sidecar);

/* Stops if that wasn't done, closes. NULL is allowed. */
void moat_sidecar_free(struct moat_sidecar *sidecar);

/* Opens the file anew, for logrotate. */
void moat_sidecar_reopen(struct moat_sidecar *sidecar);

/* Its probes, for programs that send by the same channel. */
const struct moat_probes *moat_sidecar_probes(const struct moat_sidecar *sidecar);

/* All counters, each event being in one of them at every step: tried = received + lost_ring + lost_scratch
 * once the probes are stopped; received = handed + waiting; made = written + lost + failed + what waits for
 * the file. NULL without memory. */
json_t *moat_sidecar_status(const struct moat_sidecar *sidecar);

#endif
