/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat status: the whole appliance on one screen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/cmd_workers.h"
#include "dataplane/base/cleanup.h"

/* Of the names that the lines below the tables begin with. */
#define LABEL_WIDTH 12

struct sums {
	double passed, dropped;
};

/* Reasons say their verdict in their name. */
static struct sums sums_of(const json_t *set)
{
	struct sums sums = { 0 };
	const char *name;
	json_t *value;

	json_object_foreach(moat_json_at(set, "reasons"), name, value) {
		if (strncmp(name, "drop", 4) == 0)
			sums.dropped += json_number_value(value);
		else
			sums.passed += json_number_value(value);
	}
	return sums;
}

static void print_head(const json_t *status)
{
	char uptime[MOAT_TERM_TEXT_LEN];

	moat_term_print(stdout, MOAT_STYLE_BOLD, "moat %s", moat_json_text(status, "version"));
	printf("  up %s, pid %.0f, configuration %s\n\n",
	       moat_term_duration(moat_json_number(status, "uptime_s"), uptime),
	       moat_json_number(status, "pid"), moat_json_text(status, "config"));
}

static void add_port(struct moat_table *table, const json_t *port)
{
	struct sums sums = sums_of(port);
	bool balanced = moat_json_flag(port, "balanced");
	char received[MOAT_TERM_TEXT_LEN], bytes[MOAT_TERM_TEXT_LEN], passed[MOAT_TERM_TEXT_LEN],
		dropped[MOAT_TERM_TEXT_LEN];

	moat_table_add(table, balanced ? MOAT_STYLE_PLAIN : MOAT_STYLE_BAD,
		       moat_json_text(port, "name"), moat_json_text(port, "role"),
		       moat_json_text(port, "xdp"),
		       moat_term_scaled(moat_json_number(port, "received"), received),
		       moat_term_bytes(moat_json_number(port, "received_bytes"), bytes),
		       moat_term_scaled(sums.passed, passed),
		       moat_term_scaled(sums.dropped, dropped), balanced ? "in = out" : "in != out");
}

static void print_ports(const json_t *status)
{
	static const char *const headers[] = { "PORT",     "ROLE",     "XDP",
					       ">PACKETS", ">BYTES",   ">PASSED",
					       ">DROPPED", "COUNTERS", NULL };
	moat_auto_table table = { 0 };
	size_t i;
	json_t *port;

	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(status, "ports"), i, port)
		add_port(&table, port);
	moat_table_print(&table, stdout, "");
	json_array_foreach(moat_json_at(status, "ports"), i, port) {
		if (moat_json_text(port, "fallback")[0])
			printf("  %s runs in generic mode: %s\n", moat_json_text(port, "name"),
			       moat_json_text(port, "fallback"));
		if (strcmp(moat_json_text(port, "attach"), "dispatcher") == 0)
			printf("  %s shares its interface with other XDP programs\n",
			       moat_json_text(port, "name"));
	}
}

/* Of the ports whose stages aren't those that are on where nothing is said. */
static void print_stages(const json_t *status)
{
	static const char *const headers[] = { "PORT", "STAGES", NULL };
	moat_auto_table table = { 0 };
	size_t i, k, rows = 0;
	json_t *port, *stage;

	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(status, "ports"), i, port) {
		char text[256] = "";
		size_t length = 0;

		json_array_foreach(moat_json_at(port, "stages"), k, stage)
			length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s",
						   k ? ", " : "", json_string_value(stage));
		if (strcmp(text, "allow, deny, rules, sample") == 0)
			continue;
		moat_table_add(&table, MOAT_STYLE_PLAIN, moat_json_text(port, "name"),
			       length ? text : "none");
		rows++;
	}
	if (rows == 0)
		return;
	putchar('\n');
	moat_table_print(&table, stdout, "");
}

static void add_reasons(struct moat_table *table, const char *where, const json_t *set)
{
	const char *name;
	json_t *value;

	json_object_foreach(moat_json_at(set, "reasons"), name, value) {
		char packets[MOAT_TERM_TEXT_LEN], bytes[MOAT_TERM_TEXT_LEN], path[64];

		snprintf(path, sizeof(path), "reasons_bytes.%s", name);
		moat_table_add(table,
			       strncmp(name, "drop", 4) == 0 ? MOAT_STYLE_WARN : MOAT_STYLE_PLAIN,
			       where, name,
			       moat_term_grouped((uint64_t)json_number_value(value), packets),
			       moat_term_bytes(moat_json_number(set, path), bytes));
	}
}

static void print_reasons(const json_t *status)
{
	static const char *const headers[] = { "WHERE", "REASON", ">PACKETS", ">BYTES", NULL };
	moat_auto_table table = { 0 };
	char where[64];
	size_t i;
	json_t *set;

	moat_table_init(&table, headers);
	json_array_foreach(moat_json_at(status, "ports"), i, set)
		add_reasons(&table, moat_json_text(set, "name"), set);
	json_array_foreach(moat_json_at(status, "workers"), i, set) {
		snprintf(where, sizeof(where), "worker %.0f/%.0f", moat_json_number(set, "port"),
			 moat_json_number(set, "queue"));
		add_reasons(&table, where, set);
	}
	if (table.row_count == 0)
		return;
	putchar('\n');
	moat_table_print(&table, stdout, "");
}

/* "FIRST SECOND" from a column on, wrapped. */
static void print_pair(enum moat_style style, int column, const char *first, const char *second)
{
	moat_auto_free char *line = NULL;

	if (asprintf(&line, "%s %s", first, second) < 0) {
		line = NULL;
		return;
	}
	moat_term_wrap(stdout, style, (size_t)column, line);
	putchar('\n');
}

static void print_detectors(const json_t *status)
{
	size_t i;
	json_t *detector;

	json_array_foreach(moat_json_at(status, "detect.detectors"), i, detector) {
		bool active = moat_json_flag(detector, "active");
		char name[64];

		printf("%*s", LABEL_WIDTH, "");
		moat_term_print(stdout, active ? MOAT_STYLE_GOOD : MOAT_STYLE_DIM, "%-10s",
				active ? "active" : "inactive");
		snprintf(name, sizeof(name), "%s:", moat_json_text(detector, "name"));
		print_pair(MOAT_STYLE_PLAIN, LABEL_WIDTH + 10, name,
			   moat_json_text(detector, "title"));
	}
}

static void print_detection(const json_t *status)
{
	bool learning = strcmp(moat_json_text(status, "detect.state"), "learning") == 0;

	printf("\n%-*s", LABEL_WIDTH, "Detection");
	if (learning)
		moat_term_print(stdout, MOAT_STYLE_WARN, "learning %.0f %%",
				100 * moat_json_number(status, "detect.learned"));
	else
		moat_term_print(stdout, MOAT_STYLE_GOOD, "active");
	printf(", %.0f hosts, %.0f clusters, %.0f known sources\n",
	       moat_json_number(status, "detect.hosts"), moat_json_number(status, "detect.clusters"),
	       moat_json_number(status, "detect.known_sources"));
	printf("%*s%.0f findings so far, window judged in %.1f ms\n", LABEL_WIDTH, "",
	       moat_json_number(status, "detect.findings_opened"),
	       moat_json_number(status, "detect.tick_us") / 1000);
	print_detectors(status);
}

static void print_response(const json_t *status)
{
	bool enforce = strcmp(moat_json_text(status, "respond.mode"), "enforce") == 0;

	printf("Response    ");
	moat_term_print(stdout, enforce ? MOAT_STYLE_GOOD : MOAT_STYLE_WARN, "%s",
			enforce ? "enforce" : "observe (rules only count)");
	printf(", %.0f of %.0f rules stand\n", moat_json_number(status, "respond.standing"),
	       moat_json_number(status, "respond.max_rules"));
	printf("Rules       %.0f rules, %.0f allowed and %.0f denied prefixes, %.0f commits\n",
	       moat_json_number(status, "rules.total"), moat_json_number(status, "rules.allow"),
	       moat_json_number(status, "rules.deny"), moat_json_number(status, "rules.commits"));
}

/* What should be 0 and isn't. */
static void print_losses(const json_t *status)
{
	static const struct {
		const char *path, *text;
	} losses[] = {
		{ "cells.unaccounted_to",
		  "packets to hosts without a counter: floods on them can go unseen; raise gate.cells" },
		{ "cells.unaccounted_from",
		  "packets of more sources than there are counters: as expected of a flood with forged ones "
		  "(its victims have counters of their own); if there was none, raise gate.cells" },
		{ "detect.hosts_refused", "hosts were left out: raise detect.hosts" },
		{ "detect.windows_late", "windows were closed late: the machine is busy" },
		{ "detect.findings_lost", "findings were lost on the way to the responder" },
		{ "detect.findings_refused", "findings were refused: too many are open" },
		{ "respond.refused_full", "rules were refused: raise respond.max_rules" },
		{ "respond.displaced", "rules made room for those of larger attacks" },
		{ "respond.refused_allowed", "rules would have named an allowed source" },
		{ "rules.commits_failed", "rule changes failed" },
		{ "events.lost", "events were lost: the event file is slower than they come" },
		{ "events.failed", "events could not be written: look after the disk" },
		{ "control.dropped", "clients were dropped" },
		{ "host.lost", "events of the host were lost while moatd was away" },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(losses); i++) {
		double value = moat_json_number(status, losses[i].path);
		char text[MOAT_TERM_TEXT_LEN];

		if (value > 0) {
			printf("%*s", LABEL_WIDTH, "");
			print_pair(MOAT_STYLE_WARN, LABEL_WIDTH,
				   moat_term_grouped((uint64_t)value, text), losses[i].text);
		}
	}
}

static void print_events(const json_t *status)
{
	char text[MOAT_TERM_TEXT_LEN];

	if (!moat_json_text(status, "events.path")[0]) {
		printf("Events      no file (events.path is none)\n");
		return;
	}
	printf("Events      %s, %s written, %.0f lost\n", moat_json_text(status, "events.path"),
	       moat_term_grouped((uint64_t)moat_json_number(status, "events.written"), text),
	       moat_json_number(status, "events.lost") + moat_json_number(status, "events.failed"));
}

static void print_host(const json_t *status)
{
	char processes[MOAT_TERM_TEXT_LEN];

	if (!json_is_true(moat_json_at(status, "host.connected"))) {
		printf("Host        not watched (moat-sidecar isn't connected)\n");
		return;
	}
	printf("Host        watched by moat-sidecar, %s processes\n",
	       moat_term_grouped((uint64_t)moat_json_number(status, "host.processes"), processes));
}

int moat_cmd_status(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *status = NULL;
	int r = moat_cmd_call(cmd, "status", NULL, -1, &status, error);

	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json) {
		moat_cmd_print_json(status);
	} else {
		print_head(status);
		print_ports(status);
		print_stages(status);
		moat_cmd_print_workers(status);
		print_reasons(status);
		print_detection(status);
		print_response(status);
		print_events(status);
		print_host(status);
		print_losses(status);
		putchar('\n');
		moat_cmd_print_findings(moat_json_at(status, "findings"));
	}
	json_decref(status);
	return MOAT_EXIT_OK;
}
