/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The words of the control socket: JSON objects, one a line.
 *
 *	request   {"id": 1, "method": "rules.add", "params": {"rule": "drop src 192.0.2.1"}}
 *	reply     {"id": 1, "result": {…}}   or   {"id": 1, "error": {"code": "invalid", "message": "…"}}
 *	event     {"id": 1, "event": {…}}    after a request that asked to follow
 */
#ifndef MOAT_CTL_MESSAGE_H
#define MOAT_CTL_MESSAGE_H

#include <stddef.h>

#include <jansson.h>

#include "dataplane/base/error.h"

#define MOAT_REQUEST_BYTES_MAX 65536
#define MOAT_METHOD_LEN 32

struct moat_request {
	json_t *id; /* integer, string or null; owned */
	char method[MOAT_METHOD_LEN];
	json_t *params; /* an object, empty if none was sent; owned */
};

/* Reads one line (without newline). 0 or -EINVAL with the reason; *ret_request untouched on failure. */
int moat_request_parse(const char *line, size_t length, struct moat_request *ret_request,
		       struct moat_error *error);
void moat_request_deinit(struct moat_request *request);

/* One line with its newline, to be freed by the caller; NULL without memory. `result` and `event` are
 * borrowed. */
char *moat_message_result(const json_t *id, json_t *result);
char *moat_message_error(const json_t *id, int code, const char *text);
char *moat_message_event(const json_t *id, const json_t *event);

/* "invalid" for -EINVAL and so on: what scripts test for. */
const char *moat_message_code(int code);

#endif
