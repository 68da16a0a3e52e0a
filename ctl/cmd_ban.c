/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat ban, unban, bans: sources shut out by hand for a time, which are rules with an owner of their own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/rulebook.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

static int usage(struct moat_error *error, const char *text)
{
	moat_error_set(error, -EINVAL, "%s", text);
	return MOAT_EXIT_USAGE;
}

/* The prefix as rules are printed with it; its length behind the address is not needed for a host. */
static int take_prefix(const char *text, char ret_text[static MOAT_PREFIX_TEXT_LEN],
		       struct moat_error *error)
{
	struct moat_prefix prefix;
	int r = moat_prefix_parse(text, &prefix);

	if (r < 0 || prefix.family == MOAT_FAMILY_ANY) {
		moat_error_set(error, -EINVAL, "\"%s\" %s", text,
			       r == -EDOM
				       ? "has bits set behind the prefix"
				       : "is no address or prefix (say 192.0.2.7 or 2001:db8::/32)");
		return MOAT_EXIT_USAGE;
	}
	moat_prefix_format(&prefix, ret_text);
	return MOAT_EXIT_OK;
}

/* "drop src PREFIX for TIME comment "..."" of ban's words: PREFIX [for TIME] [COMMENT...]. */
static char *rule_text(const struct moat_cmd *cmd, const char *prefix, struct moat_error *error)
{
	const char *time = "1h";
	char *text = NULL;
	size_t length;
	uint64_t ns;
	FILE *out;
	int i = 1;

	if (cmd->arg_count == 2 && strcmp(cmd->args[1], "for") == 0) {
		moat_error_set(error, -EINVAL,
			       "\"for\" takes a duration (say 10m, 1.5h, 2d or ever)");
		return NULL;
	}
	if (cmd->arg_count > 2 && strcmp(cmd->args[1], "for") == 0) {
		time = cmd->args[2];
		i = 3;
	}
	if (strcmp(time, "ever") != 0 && moat_clock_parse_duration(time, &ns) < 0) {
		moat_error_set(error, -EINVAL, "\"%s\" is no duration (say 10m, 1.5h, 2d or ever)",
			       time);
		return NULL;
	}
	out = open_memstream(&text, &length);
	if (!out)
		return NULL;
	fprintf(out, "drop src %s", prefix);
	if (strcmp(time, "ever") != 0)
		fprintf(out, " for %s", time);
	for (int first = i; i < cmd->arg_count; i++) {
		fputs(i == first ? " comment \"" : " ", out);
		for (const char *c = cmd->args[i]; *c; c++)
			fputc(*c == '"' || *c == '\\' ? '\'' : *c, out);
		fputs(i + 1 == cmd->arg_count ? "\"" : "", out);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static json_t *ban_params(const struct moat_cmd *cmd, const char *rule)
{
	json_t *params = json_pack("{s:s,s:s}", "rule", rule, "owner", MOAT_OWNER_BAN);
	const char *ssh = getenv("SSH_CONNECTION");

	if (ssh && *ssh)
		json_object_set_new(params, "ssh", json_string(ssh));
	if (cmd->force)
		json_object_set_new(params, "force", json_true());
	return params;
}

int moat_cmd_ban(const struct moat_cmd *cmd, struct moat_error *error)
{
	char prefix[MOAT_PREFIX_TEXT_LEN];
	moat_auto_free char *text = NULL;
	json_t *result = NULL;
	int r;

	if (cmd->arg_count < 1)
		return usage(error, "moat ban takes an address or prefix, as in: "
				    "moat ban 192.0.2.7 for 2h tries passwords");
	r = take_prefix(cmd->args[0], prefix, error);
	if (r != MOAT_EXIT_OK)
		return r;
	text = rule_text(cmd, prefix, error);
	if (!text)
		return MOAT_EXIT_USAGE;
	r = moat_cmd_call(cmd, "rules.add", ban_params(cmd, text), -1, &result, error);
	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else
		printf("rule %.0f: %s\n", moat_json_number(result, "id"),
		       moat_json_text(result, "rule"));
	json_decref(result);
	return MOAT_EXIT_OK;
}

/* What a ban's match says behind "src ". */
static const char *source_of(const json_t *rule)
{
	const char *match = moat_json_text(rule, "match");

	return strncmp(match, "src ", 4) == 0 ? match + 4 : match;
}

/* The bans among the rules; NULL with *ret_status if they can't be had. */
static json_t *fetch(const struct moat_cmd *cmd, int *ret_status, struct moat_error *error)
{
	json_t *result = NULL, *bans = json_array(), *rule;
	size_t i;

	*ret_status = moat_cmd_call(cmd, "rules.list", NULL, -1, &result, error);
	json_array_foreach(moat_json_at(result, "rules"), i, rule) {
		if (strcmp(moat_json_text(rule, "owner"), MOAT_OWNER_BAN) == 0)
			json_array_append(bans, rule);
	}
	json_decref(result);
	if (*ret_status == MOAT_EXIT_OK)
		return bans;
	json_decref(bans);
	return NULL;
}

int moat_cmd_unban(const struct moat_cmd *cmd, struct moat_error *error)
{
	char prefix[MOAT_PREFIX_TEXT_LEN];
	json_t *bans, *rule, *result = NULL;
	json_int_t id = 0;
	size_t i;
	int r;

	if (cmd->arg_count != 1)
		return usage(error, "moat unban takes the address or prefix of a ban (moat bans)");
	r = take_prefix(cmd->args[0], prefix, error);
	if (r != MOAT_EXIT_OK)
		return r;
	bans = fetch(cmd, &r, error);
	if (!bans)
		return r;
	json_array_foreach(bans, i, rule) {
		if (strcmp(source_of(rule), prefix) == 0)
			id = json_integer_value(json_object_get(rule, "id"));
	}
	json_decref(bans);
	if (!id) {
		moat_error_set(error, -ENOENT, "%s is not banned (moat bans shows who is)", prefix);
		return MOAT_EXIT_FAILED;
	}
	r = moat_cmd_call(cmd, "rules.del", json_pack("{s:I}", "id", id), -1, &result, error);
	if (r == MOAT_EXIT_OK && cmd->json)
		moat_cmd_print_json(result);
	else if (r == MOAT_EXIT_OK)
		printf("%s may send again\n", prefix);
	json_decref(result);
	return r;
}

int moat_cmd_bans(const struct moat_cmd *cmd, struct moat_error *error)
{
	static const char *const headers[] = { "SOURCE", ">ENDS IN", ">PACKETS", "WHY", NULL };
	moat_auto_table table = { 0 };
	json_t *bans, *rule;
	size_t i;
	int r;

	bans = fetch(cmd, &r, error);
	if (!bans)
		return r;
	moat_table_init(&table, headers);
	json_array_foreach(bans, i, rule) {
		char left[MOAT_TERM_TEXT_LEN] = "never", hits[MOAT_TERM_TEXT_LEN];

		if (!json_is_null(moat_json_at(rule, "expires_s")))
			moat_term_duration(moat_json_number(rule, "expires_s"), left);
		moat_table_add(&table, MOAT_STYLE_PLAIN, source_of(rule), left,
			       moat_term_grouped((uint64_t)moat_json_number(rule, "hits"), hits),
			       moat_json_text(rule, "comment"));
	}
	if (cmd->json)
		moat_cmd_print_json(bans);
	else if (table.row_count)
		moat_table_print(&table, stdout, "");
	else
		printf("Nobody is banned.\n");
	json_decref(bans);
	return MOAT_EXIT_OK;
}
