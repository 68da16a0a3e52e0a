/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The command line's end of the control socket: one request at a time, then events if it asked for them. */
#ifndef MOAT_CTL_CLIENT_H
#define MOAT_CTL_CLIENT_H

#include <jansson.h>

#include "dataplane/base/error.h"

struct moat_client;

/* The error says what to do: start moatd, or become a member of its group. */
int moat_client_connect(const char *path, struct moat_client **ret_client, struct moat_error *error);
void moat_client_free(struct moat_client *client);
void moat_client_free_cleanup(struct moat_client **client);

/* Sends a request (`params` is stolen and may be NULL; `fd` goes along unless -1) and waits for its answer.
 * 0 with *ret_result, the caller's; -EREMOTEIO with moatd's own sentence; or a negative errno. */
int moat_client_call(struct moat_client *client, const char *method, json_t *params, int fd,
		     json_t **ret_result, struct moat_error *error);

/* Waits for the next event of a followed request. -EPIPE: moatd has gone. */
int moat_client_event(struct moat_client *client, json_t **ret_event, struct moat_error *error);

#endif
