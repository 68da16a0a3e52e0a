/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The appliance: gate, workers, detection, response, events and control socket, wired together. One loop
 * and one detection thread; the gate goes on without either.
 *
 *	detection thread ─ findings ─► loop: respond ─► rulebook ─► gate, policy ─► events ─► sink thread
 */
#ifndef MOAT_CTL_APPLIANCE_H
#define MOAT_CTL_APPLIANCE_H

#include <systemd/sd-event.h>

#include "ctl/config.h"
#include "dataplane/base/error.h"

struct moat_appliance;

/* Sets everything up; on failure nothing of ours is left running, and a gate that was pinned before goes
 * on as it was. `config` is taken over on success. */
int moat_appliance_new(sd_event *loop, struct moat_config *config,
		       struct moat_appliance **ret_appliance, struct moat_error *error);

/* Stops detection and workers and closes; the gate stays attached with its last rules. NULL is allowed. */
void moat_appliance_free(struct moat_appliance *appliance);

/* Reads the configuration file again and applies it, all or nothing. */
int moat_appliance_reload(struct moat_appliance *appliance, struct moat_error *error);

/* Opens the event file anew. */
void moat_appliance_reopen(struct moat_appliance *appliance);

#endif
