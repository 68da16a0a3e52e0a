/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What moat-sidecar can see on this machine, and by which means: tried, as moat-sidecar itself does. */
#ifndef MOAT_CTL_PROBE_HOST_H
#define MOAT_CTL_PROBE_HOST_H

#include <jansson.h>

#include "dataplane/base/error.h"

/* An array with an object an observation: "event"; "means" ("lsm", "fentry", "kprobe", "tracepoint", "syscall";
 * "none": it is blind here); "lost", what this means doesn't see. Takes about a second, and loads and attaches
 * probes for so long. NULL with the reason, such as that it isn't permitted. */
json_t *moat_probe_host(struct moat_error *error);

#endif
