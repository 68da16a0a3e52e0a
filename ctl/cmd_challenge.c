/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat challenge show: how many were asked who they are, and what they answered. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

static void add_row(struct moat_table *table, const json_t *result, const char *key,
		    const char *what, const char *meaning)
{
	char number[MOAT_TERM_TEXT_LEN];

	moat_table_add(table, MOAT_STYLE_PLAIN, what,
		       moat_term_grouped((uint64_t)moat_json_number(result, key), number), meaning);
}

static void print_settings(const json_t *result)
{
	char lifetime[MOAT_TERM_TEXT_LEN], prefix[MOAT_TERM_TEXT_LEN], box[MOAT_TERM_TEXT_LEN];
	double rate = moat_json_number(result, "rate");

	printf("form %s; validated for %s; answers a second: %s to a prefix, %s in all; responder: "
	       "%s\n",
	       moat_json_text(result, "form"),
	       moat_term_duration(moat_json_number(result, "lifetime_s"), lifetime),
	       moat_term_scaled(moat_json_number(result, "prefix_rate"), prefix),
	       rate > 0 ? moat_term_scaled(rate, box) : "any number",
	       moat_json_flag(result, "responder") ? "challenges" : "doesn't");
}

static void print_text(const json_t *result)
{
	static const char *const headers[] = { "SYN CHALLENGE", ">PACKETS", "", NULL };
	char live[MOAT_TERM_TEXT_LEN], capacity[MOAT_TERM_TEXT_LEN];
	moat_auto_table table = { 0 };

	print_settings(result);
	moat_table_init(&table, headers);
	add_row(&table, result, "sent", "answered", "SYNs of unknown sources, with a SYN-ACK");
	add_row(&table, result, "capped_prefix", "capped, prefix",
		"dropped: their prefix had its part");
	add_row(&table, result, "capped_box", "capped, box", "dropped: the box had its part");
	add_row(&table, result, "known", "known", "SYNs of validated sources, which went on");
	add_row(&table, result, "validated", "validated", "cookies that came back from new sources");
	add_row(&table, result, "renewed", "renewed", "likewise from sources that were validated");
	add_row(&table, result, "wrong", "wrong",
		moat_json_text(result, "form")[0] == 'r' ? "ACKs without a cookie, which went on"
							 : "RSTs without a cookie, which went on");
	add_row(&table, result, "evicted", "evicted", "validated sources that new ones displaced");
	moat_table_print(&table, stdout, "");
	printf("%s sources are validated now, of %s that there is room for\n",
	       moat_term_grouped((uint64_t)moat_json_number(result, "live"), live),
	       moat_term_grouped((uint64_t)moat_json_number(result, "capacity"), capacity));
}

int moat_cmd_challenge(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	int r;

	if (cmd->arg_count != 1 || strcmp(cmd->args[0], "show") != 0) {
		moat_error_set(error, -EINVAL, "moat challenge show");
		return MOAT_EXIT_USAGE;
	}
	r = moat_cmd_call(cmd, "challenge.show", json_object(), -1, &result, error);
	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else
		print_text(result);
	json_decref(result);
	return MOAT_EXIT_OK;
}
