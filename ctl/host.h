/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * moatd's end of the link to moat-sidecar: takes in what happens on the host, keeps a table of processes of
 * its own, and hands events on as OCSF. One sidecar at a time; a new one takes an older one's place.
 */
#ifndef MOAT_CTL_HOST_H
#define MOAT_CTL_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-event.h>

#include "ctl/sidecar/process.h"
#include "dataplane/base/error.h"

struct moat_host;

/* An OCSF object, stolen by the handler. */
typedef void (*moat_host_fn)(void *userdata, json_t *event);

/* Listens on `path` (mode 0600; only the own user and root may connect, by SO_PEERCRED). */
int moat_host_new(sd_event *loop, const char *path, moat_host_fn handler, void *userdata,
		  struct moat_host **ret_host, struct moat_error *error);
void moat_host_free(struct moat_host *host);

/* The processes that the sidecar has told of. Valid as long as the host is. */
const struct moat_processes *moat_host_processes(const struct moat_host *host);

/* For `moat status`: connected, messages, items, lost on either side. NULL without memory. */
json_t *moat_host_status(const struct moat_host *host);

#endif
