/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Requests in, replies out; knows nothing of sockets. */
#include "ctl/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int moat_request_parse(const char *line, size_t length, struct moat_request *ret_request,
		       struct moat_error *error)
{
	json_error_t where;
	json_t *root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &where);
	json_t *id = json_object_get(root, "id");
	json_t *params = json_object_get(root, "params");
	const char *method = json_string_value(json_object_get(root, "method"));
	int r = 0;

	if (!root)
		r = moat_error_set(error, -EINVAL, "no JSON: %s at column %d", where.text,
				   where.column);
	else if (!json_is_object(root) || !method)
		r = moat_error_set(error, -EINVAL, "a request is an object with a \"method\"");
	else if (id && !json_is_integer(id) && !json_is_string(id) && !json_is_null(id))
		r = moat_error_set(error, -EINVAL, "\"id\" is an integer or a string");
	else if (params && !json_is_object(params))
		r = moat_error_set(error, -EINVAL, "\"params\" is an object");
	else if (strlen(method) >= MOAT_METHOD_LEN)
		r = moat_error_set(error, -EINVAL, "there is no method of that name");
	if (r == 0) {
		snprintf(ret_request->method, sizeof(ret_request->method), "%s", method);
		ret_request->id = id ? json_incref(id) : json_null();
		ret_request->params = params ? json_incref(params) : json_object();
	}
	json_decref(root);
	return r;
}

void moat_request_deinit(struct moat_request *request)
{
	json_decref(request->id);
	json_decref(request->params);
	*request = (struct moat_request){ 0 };
}

/* Dumps {"id": ID, "KEY": VALUE} and a newline; `value` is stolen. */
static char *message(const json_t *id, const char *key, json_t *value)
{
	json_t *root = json_pack("{s:O,s:o}", "id", id ? id : json_null(), key, value);
	char *text = root ? json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	size_t length = text ? strlen(text) : 0;
	char *line = text ? realloc(text, length + 2) : NULL;

	json_decref(root);
	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + length, "\n", 2);
	return line;
}

char *moat_message_result(const json_t *id, json_t *result)
{
	return message(id, "result", result ? json_incref(result) : json_object());
}

char *moat_message_event(const json_t *id, const json_t *event)
{
	return message(id, "event", json_incref((json_t *)event));
}

const char *moat_message_code(int code)
{
	switch (code) {
	case -EINVAL:
		return "invalid";
	case -ENOENT:
		return "not_found";
	case -EEXIST:
		return "exists";
	case -EPERM:
	case -EACCES:
		return "not_permitted";
	case -ENOSPC:
		return "full";
	case -EBUSY:
		return "busy";
	case -ENOSYS:
		return "unknown_method";
	case -EMSGSIZE:
		return "too_long";
	default:
		return "failed";
	}
}

char *moat_message_error(const json_t *id, int code, const char *text)
{
	json_t *error = json_pack("{s:s,s:s+}", "code", moat_message_code(code), "message", text,
				  "");

	/* Text from a file or the wire may be no UTF-8, which JSON can't carry. */
	if (!error)
		error = json_pack("{s:s,s:s}", "code", moat_message_code(code), "message",
				  strerror(-code));
	return message(id, "error", error);
}
