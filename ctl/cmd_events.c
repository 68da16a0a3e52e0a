/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat events [-f] [--filter EXPR]: the latest events, and those to come. */
#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/filter.h"
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

/* What an event of the host was done to; "" if nothing of it has a name. */
static const char *object_of(const json_t *event)
{
	static const char *const places[] = {
		"ocsf.file.path",        "ocsf.kernel.path",     "ocsf.query.hostname",
		"ocsf.dst_endpoint.ip",  "ocsf.src_endpoint.ip", "ocsf.module.function_name",
		"ocsf.process.cmd_line", "ocsf.process.name",
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(places); i++) {
		if (moat_json_text(event, places[i])[0])
			return moat_json_text(event, places[i]);
	}
	return "";
}

/* A program's start or end: who started it stands in the event, too. */
static void describe_process(const json_t *event, bool starts, FILE *out)
{
	const char *line = moat_json_text(event, "ocsf.process.cmd_line");

	fprintf(out, "process %.0f %s: %s", moat_json_number(event, "ocsf.process.pid"),
		starts ? "runs" : "ended",
		line[0] ? line : moat_json_text(event, "ocsf.process.name"));
	if (!starts)
		fprintf(out, " (exit code %.0f)", moat_json_number(event, "ocsf.exit_code"));
}

static void describe_host(const json_t *event, FILE *out)
{
	const char *code = moat_json_text(event, "ocsf.metadata.event_code");
	const char *process = "ocsf.actor.process.container", *name, *id;
	bool starts = strcmp(code, "process.exec") == 0;
	json_t *container;

	if (starts || strcmp(code, "process.exit") == 0) {
		describe_process(event, starts, out);
		process = "ocsf.process.container";
	} else {
		fprintf(out, "process %.0f %s, %s: %s",
			moat_json_number(event, "ocsf.actor.process.pid"),
			moat_json_text(event, "ocsf.actor.process.name"), code, object_of(event));
		if (moat_json_number(event, "ocsf.status_id") == 2)
			fprintf(out, " (failed)");
	}
	container = moat_json_at(event, process);
	id = moat_json_text(container, "uid");
	name = moat_json_text(container, "name");
	if (id[0])
		fprintf(out, " (container %.12s%s%s)", id, name[0] ? " " : "", name);
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

/* Both kinds come in order of time; stable, since moatd's order is that of what happened. */
static json_t *in_order(const json_t *events)
{
	size_t count = json_array_size(events), host = 0, own = 0, end;
	json_t *merged = json_array();

	while (host < count &&
	       strcmp(moat_json_text(json_array_get(events, host), "event_type"), "host") != 0)
		host++;
	for (end = host; own < end || host < count;) {
		const char *first = moat_json_text(json_array_get(events, own), "timestamp");
		const char *second = moat_json_text(json_array_get(events, host), "timestamp");
		bool takes_own = host == count || (own < end && strcmp(first, second) <= 0);

		json_array_append(merged, json_array_get(events, takes_own ? own++ : host++));
	}
	return merged;
}

/* The latest that match, as many as were asked for. */
static void print_latest(const struct moat_cmd *cmd, struct moat_filter *filter, const json_t *found)
{
	json_t *events = in_order(found);
	size_t at = json_array_size(events), left = cmd->count >= 0 ? (size_t)cmd->count : at;
	json_t *chosen = json_array(); /* newest first */

	while (at-- > 0 && left > 0) {
		json_t *event = json_array_get(events, at);

		if (filter && !moat_filter_match(filter, event))
			continue;
		json_array_append(chosen, event);
		left--;
	}
	for (at = json_array_size(chosen); at-- > 0;)
		print_one(cmd, json_array_get(chosen, at));
	json_decref(chosen);
	json_decref(events);
}

static int ask(const struct moat_cmd *cmd, struct moat_client *client, struct moat_filter *filter,
	       struct moat_error *error)
{
	/* the host's are many: they are shown where they are asked for */
	json_t *params = json_pack("{s:b, s:b}", "follow", cmd->follow, "host", filter != NULL);
	json_t *result = NULL, *event;
	int r;

	if (cmd->count >= 0 && !filter)
		json_object_set_new(params, "last", json_integer(cmd->count));
	r = moat_client_call(client, "events", params, -1, &result, error);
	if (r < 0)
		return r;
	print_latest(cmd, filter, moat_json_at(result, "events"));
	json_decref(result);
	/* A reader that has gone ends this by SIGPIPE. */
	while (cmd->follow && r == 0) {
		r = moat_client_event(client, &event, error);
		if (r < 0)
			return r;
		if (!filter || moat_filter_match(filter, event))
			print_one(cmd, event);
		json_decref(event);
	}
	return 0;
}

int moat_cmd_events(const struct moat_cmd *cmd, struct moat_error *error)
{
	moat_cleanup(moat_client_free_cleanup) struct moat_client *client = NULL;
	struct moat_filter *filter = NULL;
	uint64_t failures;
	const char *why;
	int r = cmd->filter ? moat_filter_new(cmd->filter, &filter, error) : 0;

	if (r < 0)
		return MOAT_EXIT_USAGE;
	r = moat_client_connect(cmd->socket, &client, error);
	if (r == 0)
		r = ask(cmd, client, filter, error);
	failures = filter ? moat_filter_failures(filter, &why) : 0;
	if (failures > 0)
		fprintf(stderr, "moat: --filter failed on %llu events: %s\n",
			(unsigned long long)failures, why);
	moat_filter_free(filter);
	return r < 0 ? MOAT_EXIT_FAILED : MOAT_EXIT_OK;
}
