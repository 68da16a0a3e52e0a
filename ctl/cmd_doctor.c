/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat doctor: what this machine can do, and what moat uses where something is missing. Exit status 1 if
 * moatd couldn't run here. */
#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/probe.h"
#include "ctl/probe_host.h"
#include "dataplane/base/cleanup.h"

#define PROBES_MAX 64

static const char *const state_names[] = {
	[MOAT_PROBE_GOOD] = "good",
	[MOAT_PROBE_INSTEAD] = "instead",
	[MOAT_PROBE_MISSING] = "missing",
};

static json_t *list_of(const struct moat_probe *probes, size_t count, bool *missing)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		*missing |= probes[i].state == MOAT_PROBE_MISSING;
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "name", probes[i].name,
						      "state", state_names[probes[i].state], "found",
						      probes[i].found, "use", probes[i].use));
	}
	return list;
}

static void print_probes(const struct moat_probe *probes, size_t count, const char *title)
{
	static const enum moat_style styles[] = { MOAT_STYLE_PLAIN, MOAT_STYLE_WARN,
						  MOAT_STYLE_BAD };
	const char *headers[] = { title, "", "FOUND", "MOAT", NULL };
	moat_auto_table table = { 0 };

	moat_table_init(&table, headers);
	for (size_t i = 0; i < count; i++)
		moat_table_add(&table, styles[probes[i].state], probes[i].name,
			       state_names[probes[i].state], probes[i].found, probes[i].use);
	moat_table_print(&table, stdout, "");
	putchar('\n');
}

static void print_host(json_t *observations, const struct moat_error *error)
{
	const char *headers[] = { "EVENT", "MEANS", "LOST BY IT", NULL };
	moat_auto_table table = { 0 };
	json_t *one;
	size_t i;

	if (!observations) {
		printf("What moat-sidecar sees here can't be tried: %s\n\n", error->text);
		return;
	}
	moat_table_init(&table, headers);
	json_array_foreach(observations, i, one) {
		const char *means = json_string_value(json_object_get(one, "means"));

		moat_table_add(&table,
			       strcmp(means, "none") == 0 ? MOAT_STYLE_BAD : MOAT_STYLE_PLAIN,
			       json_string_value(json_object_get(one, "event")), means,
			       json_string_value(json_object_get(one, "lost")));
	}
	moat_table_print(&table, stdout, "");
	putchar('\n');
}

int moat_cmd_doctor(const struct moat_cmd *cmd, struct moat_error *error)
{
	static struct moat_probe system[PROBES_MAX], interfaces[PROBES_MAX], libraries[PROBES_MAX];
	size_t system_count = moat_probe_system(system, PROBES_MAX);
	size_t interface_count = moat_probe_interfaces(interfaces, PROBES_MAX);
	size_t library_count = moat_probe_libraries(libraries, PROBES_MAX);
	struct moat_error host_error = { .text = "" };
	json_t *host = moat_probe_host(&host_error);
	bool missing = false;
	json_t *result = json_pack("{s:o,s:o,s:o}", "system",
				   list_of(system, system_count, &missing), "interfaces",
				   list_of(interfaces, interface_count, &missing), "libraries",
				   list_of(libraries, library_count, &missing));

	json_object_set_new(result, "host", host ? json_incref(host) : json_null());
	json_object_set_new(result, "ready", json_boolean(!missing));
	if (cmd->json) {
		moat_cmd_print_json(result);
	} else {
		print_probes(system, system_count, "SYSTEM");
		if (interface_count)
			print_probes(interfaces, interface_count, "INTERFACE");
		print_probes(libraries, library_count, "LIBRARY");
		print_host(host, &host_error);
		moat_term_print(stdout, missing ? MOAT_STYLE_BAD : MOAT_STYLE_GOOD,
				missing ? "moatd can't run here: see what is missing.\n"
					: "moatd can run here.\n");
	}
	json_decref(host);
	json_decref(result);
	return missing ? MOAT_EXIT_FAILED : MOAT_EXIT_OK;
}
