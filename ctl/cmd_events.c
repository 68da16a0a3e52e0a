/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat events [-f]: the latest events, and those to come. */
#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

/* Behind "2026-01-31T08:00:00.123  ". */
#define MARGIN 25

static void describe_rule(const json_t *event, FILE *out)
{
	double rule_ms = moat_json_number(event, "moat.rule_ms");

	fprintf(out, "rule %.0f %s: %s", moat_json_number(event, "moat.id"),
		moat_json_text(event, "moat.change"), moat_json_text(event, "moat.rule"));
	if (rule_ms > 0)
		fprintf(out, " (%.0f ms after the first packets)", rule_ms);
	if (moat_json_text(event, "moat.why")[0])
		fprintf(out, " (%s)", moat_json_text(event, "moat.why"));
}

static void describe_host(const json_t *event, FILE *out)
{
	bool starts = moat_json_number(event, "ocsf.activity_id") == 1;
	const char *line = moat_json_text(event, "ocsf.process.cmd_line");
	const char *container = moat_json_text(event, "ocsf.process.container.uid");

	fprintf(out, "process %.0f %s: %s", moat_json_number(event, "ocsf.process.pid"),
		starts ? "runs" : "ended",
		line[0] ? line : moat_json_text(event, "ocsf.process.name"));
	if (!starts)
		fprintf(out, " (exit code %.0f)", moat_json_number(event, "ocsf.exit_code"));
	if (container[0])
		fprintf(out, " (container %.12s)", container);
}

static void describe(const json_t *event, FILE *out)
{
	const char *object = moat_json_text(event, "moat.object");
	const char *entry = moat_json_text(event, "moat.entry");

	if (strcmp(moat_json_text(event, "event_type"), "host") == 0)
		describe_host(event, out);
	else if (strcmp(object, "finding") == 0)
		fprintf(out, "finding %.0f %s: %s", moat_json_number(event, "moat.id"),
			moat_json_text(event, "moat.state"), moat_json_text(event, "moat.sentence"));
	else if (strcmp(object, "rule") == 0)
		describe_rule(event, out);
	else
		fprintf(out, "%s %s%s%s", object, moat_json_text(event, "moat.change"),
			entry[0] ? ": " : "", entry);
}

void moat_cmd_print_event(const json_t *event)
{
	bool is_open = strcmp(moat_json_text(event, "moat.state"), "open") == 0;
	moat_auto_free char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return;
	describe(event, out);
	if (fclose(out) != 0)
		return;
	moat_term_print(stdout, MOAT_STYLE_DIM, "%.23s  ", moat_json_text(event, "timestamp"));
	moat_term_wrap(stdout, is_open ? MOAT_STYLE_BAD : MOAT_STYLE_PLAIN, MARGIN, text);
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
