/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control socket: who may connect, bounded requests, replies, and followers of events. A client that
 * doesn't read what it asked for is dropped and counted; nothing here ever blocks.
 */
#ifndef MOAT_CTL_CONTROL_H
#define MOAT_CTL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-event.h>

#include "ctl/message.h"
#include "dataplane/base/error.h"

#define MOAT_CONTROL_GROUP "moat"
#define MOAT_CONTROL_CLIENTS_MAX 32
#define MOAT_CONTROL_BACKLOG_MAX (8u << 20) /* bytes a client may leave unread */

struct moat_control;

struct moat_control_call {
	const char *method;
	const json_t *params;
	int fd;      /* a descriptor that came with the request, -1 if none; the control's */
	bool follow; /* set by the handler: events go to this client from now on */
};

/* Does what a request says. 0 with *ret_result (owned by the control; may stay NULL for {}), or a
 * negative errno with the sentence; -ENOSYS: no such method. */
typedef int (*moat_control_fn)(void *userdata, struct moat_control_call *call, json_t **ret_result,
			       struct moat_error *error);

struct moat_control_counters {
	uint64_t accepted;
	uint64_t refused; /* not permitted, or too many */
	uint64_t dropped; /* slow, or sent too much */
	uint64_t requests;
	uint64_t errors; /* requests answered by an error */
	uint32_t clients;
};

/* Listens on `path` (mode 0660, group moat if there is one); a socket left by a dead moatd is replaced. */
int moat_control_new(sd_event *loop, const char *path, moat_control_fn handler, void *userdata,
		     struct moat_control **ret_control, struct moat_error *error);
/* Closes all and removes the socket. NULL is allowed. */
void moat_control_free(struct moat_control *control);

/* Sends an event to all followers. Borrowed. */
void moat_control_publish(struct moat_control *control, const json_t *event);

void moat_control_counters(const struct moat_control *control,
			   struct moat_control_counters *ret_counters);

#endif
