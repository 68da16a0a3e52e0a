/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat events [-f]: the latest events, and those to come. */
#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

static void print_rule(const json_t *event)
{
	double rule_ms = moat_json_number(event, "moat.rule_ms");

	printf("rule %.0f %s: %s", moat_json_number(event, "moat.id"),
	       moat_json_text(event, "moat.change"), moat_json_text(event, "moat.rule"));
	if (rule_ms > 0)
		printf(" (%.0f ms after the first packets)", rule_ms);
	if (moat_json_text(event, "moat.why")[0])
		printf(" (%s)", moat_json_text(event, "moat.why"));
}

static void print_finding(const json_t *event)
{
	const char *state = moat_json_text(event, "moat.state");
	bool is_open = strcmp(state, "open") == 0;

	moat_term_print(stdout, is_open ? MOAT_STYLE_BAD : MOAT_STYLE_PLAIN, "finding %.0f %s: %s",
			moat_json_number(event, "moat.id"), state,
			moat_json_text(event, "moat.sentence"));
}

void moat_cmd_print_event(const json_t *event)
{
	const char *object = moat_json_text(event, "moat.object");
	const char *entry = moat_json_text(event, "moat.entry");

	moat_term_print(stdout, MOAT_STYLE_DIM, "%.23s  ", moat_json_text(event, "timestamp"));
	if (strcmp(object, "finding") == 0)
		print_finding(event);
	else if (strcmp(object, "rule") == 0)
		print_rule(event);
	else
		printf("%s %s%s%s", object, moat_json_text(event, "moat.change"),
		       entry[0] ? ": " : "", entry);
	putchar('\n');
	fflush(stdout);
}

static void print_one(const struct moat_cmd *cmd, const json_t *event)
{
	if (cmd->json)
		moat_cmd_print_json(event);
	else
		moat_cmd_print_event(event);
}

int moat_cmd_events(const struct moat_cmd *cmd, struct moat_error *error)
{
	moat_cleanup(moat_client_free_cleanup) struct moat_client *client = NULL;
	json_t *params = json_pack("{s:b}", "follow", cmd->follow), *result = NULL, *event;
	size_t i;
	int r;

	if (cmd->count >= 0)
		json_object_set_new(params, "last", json_integer(cmd->count));
	r = moat_client_connect(cmd->socket, &client, error);
	if (r < 0) {
		json_decref(params);
		return MOAT_EXIT_FAILED;
	}
	r = moat_client_call(client, "events", params, -1, &result, error);
	if (r < 0)
		return MOAT_EXIT_FAILED;
	json_array_foreach(moat_json_at(result, "events"), i, event)
		print_one(cmd, event);
	json_decref(result);
	/* A reader that has gone ends this by SIGPIPE. */
	while (cmd->follow && r == 0) {
		r = moat_client_event(client, &event, error);
		if (r < 0)
			return MOAT_EXIT_FAILED;
		print_one(cmd, event);
		json_decref(event);
	}
	return MOAT_EXIT_OK;
}
