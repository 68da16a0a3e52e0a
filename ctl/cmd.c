/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the commands share: calling moatd and reading JSON by path. */
#include "ctl/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

int moat_cmd_call(const struct moat_cmd *cmd, const char *method, json_t *params, int fd,
		  json_t **ret_result, struct moat_error *error)
{
	moat_cleanup(moat_client_free_cleanup) struct moat_client *client = NULL;

	if (moat_client_connect(cmd->socket, &client, error) < 0) {
		json_decref(params);
		return MOAT_EXIT_FAILED;
	}
	return moat_client_call(client, method, params, fd, ret_result, error) < 0 ? MOAT_EXIT_FAILED
										   : MOAT_EXIT_OK;
}

void moat_cmd_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
	putchar('\n');
	fflush(stdout);
}

json_t *moat_json_at(const json_t *value, const char *path)
{
	char key[64];

	while (value && *path) {
		size_t length = strcspn(path, ".");

		if (length >= sizeof(key))
			return NULL;
		memcpy(key, path, length);
		key[length] = '\0';
		value = json_object_get(value, key);
		path += length + (path[length] == '.');
	}
	return (json_t *)value;
}

double moat_json_number(const json_t *value, const char *path)
{
	return json_number_value(moat_json_at(value, path));
}

const char *moat_json_text(const json_t *value, const char *path)
{
	const char *text = json_string_value(moat_json_at(value, path));

	return text ? text : "";
}

bool moat_json_flag(const json_t *value, const char *path)
{
	return json_is_true(moat_json_at(value, path));
}
