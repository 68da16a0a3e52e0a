/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events meet what is known of their containers. An event of a container whose facts are still being looked
 * for waits for them, up to 2 s, and is marked as late then; all others pass at once. Both moat-sidecar's
 * lines and moatd's timeline go through one.
 */
#ifndef MOAT_CTL_SIDECAR_JOINER_H
#define MOAT_CTL_SIDECAR_JOINER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "dataplane/base/clock.h"

#define MOAT_JOINER_WAIT_NS (2 * MOAT_NS_PER_S)
#define MOAT_JOINER_CONTAINERS 2048 /* remembered; the one seen longest ago goes first */
#define MOAT_JOINER_EVENTS 8192     /* that may wait; beyond, the oldest goes on without facts */

struct moat_joiner;

/* An event of OCSF, stolen by the handler. */
typedef void (*moat_joiner_fn)(void *userdata, json_t *event);

struct moat_joiner_counters {
	uint64_t containers; /* remembered now */
	uint64_t waiting;    /* events now */
	uint64_t late;       /* joined after they had waited */
	uint64_t without;    /* of containers that nothing is known of */
	uint64_t pushed;     /* among them: MOAT_JOINER_EVENTS waited */
	uint64_t forgotten;  /* containers: MOAT_JOINER_CONTAINERS were remembered */
};

/* 0 or -ENOMEM. */
int moat_joiner_new(moat_joiner_fn handler, void *userdata, struct moat_joiner **ret_joiner);
/* Events that wait go to the handler. NULL is allowed. */
void moat_joiner_free(struct moat_joiner *joiner);

/* Takes an event (stolen; NULL is passed on) of container `id`, "" or NULL for none. */
void moat_joiner_event(struct moat_joiner *joiner, json_t *event, const char *id, uint64_t now_ns);

/* What is known of a container, or that nothing is: `facts` NULL. Borrowed. Releases what waits for it. */
void moat_joiner_facts(struct moat_joiner *joiner, const char *id, json_t *facts);

/* The facts of a container, NULL if there are none. Borrowed until the next call. */
json_t *moat_joiner_find(const struct moat_joiner *joiner, const char *id);

/* Releases what has waited for long enough. */
void moat_joiner_advance(struct moat_joiner *joiner, uint64_t now_ns);

void moat_joiner_counters(const struct moat_joiner *joiner,
			  struct moat_joiner_counters *ret_counters);

#endif
