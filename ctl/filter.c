/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See filter.h: libjq, which takes its values from text. */
#include "ctl/filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jv.h>

#include <jq.h>

#include "dataplane/base/cleanup.h"

#define VALUES_MAX 1000

struct moat_filter {
	jq_state *jq;
	char said[256]; /* by jq while compiling, or at the last failure */
	uint64_t failures;
};

/* Keeps the first message; its lines become one. */
static void on_error(void *userdata, jv message)
{
	struct moat_filter *filter = userdata;

	if (!filter->said[0] && jv_get_kind(message) == JV_KIND_STRING)
		snprintf(filter->said, sizeof(filter->said), "%s", jv_string_value(message));
	for (char *at = filter->said; *at; at++) {
		if (*at == '\n')
			*at = at[1] ? ' ' : '\0';
	}
	jv_free(message);
}

int moat_filter_new(const char *program, struct moat_filter **ret_filter, struct moat_error *error)
{
	struct moat_filter *filter = calloc(1, sizeof(*filter));
	const char *said;

	if (!filter)
		return -ENOMEM;
	filter->jq = jq_init();
	if (!filter->jq) {
		free(filter);
		return -ENOMEM;
	}
	jq_set_error_cb(filter->jq, on_error, filter);
	if (jq_compile(filter->jq, program)) {
		filter->said[0] = '\0';
		*ret_filter = filter;
		return 0;
	}
	said = strncmp(filter->said, "jq: error: ", 11) == 0 ? filter->said + 11 : filter->said;
	moat_error_set(error, -EINVAL, "--filter: %s (jq(1) describes the language)", said);
	moat_filter_free(filter);
	return -EINVAL;
}

void moat_filter_free(struct moat_filter *filter)
{
	if (!filter)
		return;
	jq_teardown(&filter->jq);
	free(filter);
}

static bool is_true(jv value)
{
	jv_kind kind = jv_get_kind(value);

	return kind != JV_KIND_FALSE && kind != JV_KIND_NULL;
}

/* The end of the values: an error if it carries a message. Consumed. */
static void take_end(struct moat_filter *filter, jv end)
{
	jv message;

	if (!jv_invalid_has_msg(jv_copy(end))) {
		jv_free(end);
		return;
	}
	message = jv_invalid_get_msg(end);
	filter->failures++;
	snprintf(filter->said, sizeof(filter->said), "%s",
		 jv_get_kind(message) == JV_KIND_STRING ? jv_string_value(message) : "error");
	jv_free(message);
}

bool moat_filter_match(struct moat_filter *filter, const json_t *event)
{
	moat_auto_free char *text = json_dumps(event, JSON_COMPACT);
	bool matches = false;

	if (!text)
		return false;
	jq_start(filter->jq, jv_parse(text), 0);
	for (int i = 0; i < VALUES_MAX && !matches; i++) {
		jv value = jq_next(filter->jq);

		if (!jv_is_valid(value)) {
			take_end(filter, value);
			return false;
		}
		matches = is_true(value);
		jv_free(value);
	}
	return matches;
}

uint64_t moat_filter_failures(const struct moat_filter *filter, const char **ret_text)
{
	*ret_text = filter->failures ? filter->said : NULL;
	return filter->failures;
}
