/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat egress: what containers send, and how much of it may. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

static const char how[] =
	"moat egress list | limit NAME [packets N] [bytes N] | cut NAME [PREFIX…] | release NAME";

static double dropped_of(const json_t *container)
{
	return json_number_value(moat_json_at(container, "sent.packets")) -
	       json_number_value(moat_json_at(container, "reasons.pass.packets"));
}

static void limit_text(const json_t *container, char ret_text[static 2 * MOAT_TERM_TEXT_LEN + 8])
{
	double packets = moat_json_number(container, "limit.packets");
	double bytes = moat_json_number(container, "limit.bytes");
	char left[MOAT_TERM_TEXT_LEN] = "", right[MOAT_TERM_TEXT_LEN] = "";

	if (packets)
		moat_term_scaled(packets, left);
	if (bytes)
		moat_term_bytes(bytes, right);
	snprintf(ret_text, 2 * MOAT_TERM_TEXT_LEN + 8, "%s%s%s%s%s", left, packets ? "/s" : "",
		 packets && bytes ? ", " : "", right,
		 bytes     ? "/s"
		 : packets ? ""
			   : "-");
}

static void cut_text(const json_t *container, char ret_text[static 64])
{
	const char *from = moat_json_text(container, "cut.from");

	if (strcmp(from, "all") == 0)
		snprintf(ret_text, 64, "off%s",
			 moat_json_flag(container, "cut.xdp") ? ", by XDP" : "");
	else if (strcmp(from, "destinations") == 0)
		snprintf(ret_text, 64, "%zu prefixes",
			 json_array_size(moat_json_at(container, "cut.to")));
	else
		snprintf(ret_text, 64, "-");
}

static void add_row(struct moat_table *table, const json_t *container)
{
	char sent[MOAT_TERM_TEXT_LEN], bytes[MOAT_TERM_TEXT_LEN], syn[MOAT_TERM_TEXT_LEN],
		udp[MOAT_TERM_TEXT_LEN], icmp[MOAT_TERM_TEXT_LEN], dropped[MOAT_TERM_TEXT_LEN],
		limit[2 * MOAT_TERM_TEXT_LEN + 8], cut[64];

	limit_text(container, limit);
	cut_text(container, cut);
	moat_table_add(table, cut[0] != '-' ? MOAT_STYLE_WARN : MOAT_STYLE_PLAIN,
		       moat_json_text(container, "name"),
		       moat_term_scaled(moat_json_number(container, "sent.packets"), sent),
		       moat_term_bytes(moat_json_number(container, "sent.bytes"), bytes),
		       moat_term_scaled(moat_json_number(container, "syn"), syn),
		       moat_term_scaled(moat_json_number(container, "udp"), udp),
		       moat_term_scaled(moat_json_number(container, "icmp"), icmp),
		       moat_term_scaled(dropped_of(container), dropped), limit, cut);
}

static void print_containers(const json_t *const *containers, size_t count)
{
	static const char *const headers[] = { "CONTAINER", ">PACKETS", ">BYTES", ">SYN", ">UDP",
					       ">ICMP",     ">DROPPED", "LIMIT",  "CUT",  NULL };
	moat_auto_table table = { 0 };

	moat_table_init(&table, headers);
	for (size_t i = 0; i < count; i++)
		add_row(&table, containers[i]);
	moat_table_print(&table, stdout, "");
}

static void print_list(const json_t *result)
{
	const json_t *list = moat_json_at(result, "containers");
	size_t count = json_array_size(list);
	moat_auto_free const json_t **rows = calloc(count + 1, sizeof(*rows));

	for (size_t i = 0; rows && i < count; i++)
		rows[i] = json_array_get(list, i);
	if (count == 0)
		printf("no container: ports with role container make them\n");
	else if (rows)
		print_containers(rows, count);
}

/* "off" is 0; k, M and G are powers of 1,000. -1 if it is none of that. */
static json_int_t take_rate(const char *text)
{
	static const char units[] = "kMG";
	char *end;
	double value = strtod(text, &end);
	const char *unit = *end ? strchr(units, *end) : NULL;

	if (strcmp(text, "off") == 0)
		return 0;
	for (long i = 0; unit && i <= unit - units; i++)
		value *= 1000;
	if (end == text || (*end && (!unit || end[1])) || !(value >= 1 && value <= 1e15))
		return -1;
	return (json_int_t)value;
}

static int take_limits(const struct moat_cmd *cmd, json_t *params, struct moat_error *error)
{
	for (int i = 2; i < cmd->arg_count; i += 2) {
		bool known = strcmp(cmd->args[i], "packets") == 0 ||
			     strcmp(cmd->args[i], "bytes") == 0;
		json_int_t rate = i + 1 < cmd->arg_count ? take_rate(cmd->args[i + 1]) : -1;

		if (!known || rate < 0)
			return moat_error_set(
				error, -EINVAL,
				"a limit is packets N or bytes N, a second (10k, 5M, off)");
		json_object_set_new(params, cmd->args[i], json_integer(rate));
	}
	return cmd->arg_count > 2 ? 0 : moat_error_set(error, -EINVAL, "%s", how);
}

/* The method and what it is given; NULL for a wrong call. */
static const char *method_of(const struct moat_cmd *cmd, json_t *params, struct moat_error *error)
{
	const char *verb = cmd->arg_count ? cmd->args[0] : "";
	json_t *to;

	if (strcmp(verb, "list") == 0 && cmd->arg_count == 1)
		return "egress.list";
	if (cmd->arg_count > 1)
		json_object_set_new(params, "name", json_string(cmd->args[1]));
	if (strcmp(verb, "limit") == 0 && cmd->arg_count > 1)
		return take_limits(cmd, params, error) < 0 ? NULL : "egress.limit";
	if (strcmp(verb, "release") == 0 && cmd->arg_count == 2)
		return "egress.release";
	if (strcmp(verb, "cut") == 0 && cmd->arg_count > 1) {
		to = json_array();
		for (int i = 2; i < cmd->arg_count; i++)
			json_array_append_new(to, json_string(cmd->args[i]));
		json_object_set_new(params, "to", to);
		return "egress.cut";
	}
	moat_error_set(error, -EINVAL, "%s", how);
	return NULL;
}

int moat_cmd_egress(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *params = json_object(), *result = NULL;
	const char *method = method_of(cmd, params, error);
	const json_t *row;
	int r;

	if (!method) {
		json_decref(params);
		return MOAT_EXIT_USAGE;
	}
	r = moat_cmd_call(cmd, method, params, -1, &result, error);
	if (r != MOAT_EXIT_OK)
		return r;
	row = result;
	if (cmd->json)
		moat_cmd_print_json(result);
	else if (strcmp(method, "egress.list") == 0)
		print_list(result);
	else
		print_containers(&row, 1);
	json_decref(result);
	return MOAT_EXIT_OK;
}
