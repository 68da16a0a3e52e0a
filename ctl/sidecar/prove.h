/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decides by which means each observation goes: attaches the best candidate of each, does the canaries' acts,
 * and keeps what told of them. Where nothing came, the next candidate is tried. An observation without any is
 * said to be blind.
 */
#ifndef MOAT_CTL_SIDECAR_PROVE_H
#define MOAT_CTL_SIDECAR_PROVE_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/sidecar/families.h"
#include "ctl/sidecar/objects.h"
#include "dataplane/base/error.h"

struct moat_prover;

/* `objects` must outlive it. 0 or a negative errno. */
int moat_prover_new(const struct moat_objects *objects, const struct moat_event_set *events,
		    struct moat_prover **ret_prover);
void moat_prover_free(struct moat_prover *prover);

/* Hands the records that wait to moat_prover_see, and to whom they concern. */
typedef void (*moat_prover_poll_fn)(void *userdata);

/* Tries. From then on what this process does is no longer told. 0 or a negative errno with its reason. */
int moat_prover_run(struct moat_prover *prover, moat_prover_poll_fn poll, void *userdata,
		    struct moat_error *error);

/* A record that came while it runs. */
void moat_prover_see(struct moat_prover *prover, const struct moat_event *event);

/* Whether the record's actor is this process. */
bool moat_prover_is_own(const struct moat_prover *prover, const struct moat_event *event);

/* Takes all of them off. */
void moat_prover_detach(struct moat_prover *prover);

/* The means of an observation, by its index in moat_observations; NULL: blind, or off. */
const struct moat_candidate *moat_prover_chosen(const struct moat_prover *prover, uint32_t index,
						bool *ret_is_on);

#endif
