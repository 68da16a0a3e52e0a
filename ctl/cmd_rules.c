/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* moat rules list|add|del|allow|deny|load|confirm. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/cmd.h"
#include "dataplane/base/cleanup.h"

static int usage(struct moat_error *error, const char *text)
{
	moat_error_set(error, -EINVAL, "%s", text);
	return MOAT_EXIT_USAGE;
}

/* What tells moatd whose session must stay, and whether it may go all the same. */
static json_t *with_author(const struct moat_cmd *cmd, json_t *params)
{
	const char *ssh = getenv("SSH_CONNECTION");

	if (ssh && *ssh)
		json_object_set_new(params, "ssh", json_string(ssh));
	if (cmd->force)
		json_object_set_new(params, "force", json_true());
	return params;
}

/* ---- list ---------------------------------------------------------------------------------------- */

/* The cards that a rule lives in, or "software" if there are none. */
static const char *where_of(const json_t *rule, char ret_text[static 64])
{
	json_t *where = moat_json_at(rule, "where"), *place;
	size_t i, length = 0;

	snprintf(ret_text, 64, "software");
	json_array_foreach(where, i, place) {
		if (i > 0 && length < 64)
			length += (size_t)snprintf(ret_text + length, 64 - length, "%s%s",
						   length ? ", " : "", json_string_value(place));
	}
	return ret_text;
}

static void print_rules(const json_t *rules)
{
	static const char *const headers[] = { ">ID",      "OWNER", ">HITS", ">ACTED",
					       ">ENDS IN", "WHERE", "RULE",  NULL };
	moat_auto_table table = { 0 };
	json_t *rule;
	size_t i;

	moat_table_init(&table, headers);
	json_array_foreach(rules, i, rule) {
		char id[16], hits[MOAT_TERM_TEXT_LEN], expires[MOAT_TERM_TEXT_LEN] = "never";
		char acted[MOAT_TERM_TEXT_LEN], where[64];

		snprintf(id, sizeof(id), "%.0f", moat_json_number(rule, "id"));
		if (!json_is_null(moat_json_at(rule, "expires_s")))
			moat_term_duration(moat_json_number(rule, "expires_s"), expires);
		moat_table_add(&table,
			       moat_json_flag(rule, "count_only") ? MOAT_STYLE_WARN
								  : MOAT_STYLE_PLAIN,
			       id, moat_json_text(rule, "owner"),
			       moat_term_grouped((uint64_t)moat_json_number(rule, "hits"), hits),
			       moat_term_grouped((uint64_t)moat_json_number(rule, "acted"), acted),
			       expires, where_of(rule, where), moat_json_text(rule, "rule"));
	}
	if (table.row_count)
		moat_table_print(&table, stdout, "");
	else
		printf("No rules.\n");
}

static void print_list(const json_t *result, const char *name)
{
	json_t *list = moat_json_at(result, name), *prefix;
	size_t i;

	json_array_foreach(moat_json_at(list, "prefixes"), i, prefix)
		printf("%s %s\n", name, json_string_value(prefix));
	if (moat_json_flag(list, "truncated"))
		printf("… and %.0f more: %s\n",
		       moat_json_number(list, "count") -
			       (double)json_array_size(moat_json_at(list, "prefixes")),
		       name);
}

/* Denied prefixes that a card drops by. */
static void print_cards(const json_t *denied)
{
	json_t *entry;
	size_t i;

	json_array_foreach(denied, i, entry) {
		printf("deny %s: nic %s", moat_json_text(entry, "prefix"),
		       moat_json_text(entry, "port"));
		if (!json_is_null(moat_json_at(entry, "hits")))
			printf(", %.0f packets", moat_json_number(entry, "hits"));
		printf("\n");
	}
}

static int list(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	int r = moat_cmd_call(cmd, "rules.list", NULL, -1, &result, error);

	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json) {
		moat_cmd_print_json(result);
	} else {
		print_list(result, "allow");
		print_list(result, "deny");
		print_cards(moat_json_at(result, "nic"));
		print_rules(moat_json_at(result, "rules"));
	}
	json_decref(result);
	return MOAT_EXIT_OK;
}

/* ---- add and del --------------------------------------------------------------------------------- */

/* The words of a rule as one text; a word with a space in it was a comment, whose quotes the shell took. */
static char *join(char *const *words, int count)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	for (int i = 0; i < count; i++) {
		bool quote = count > 1 && (strchr(words[i], ' ') || !words[i][0]) &&
			     words[i][0] != '"';

		fprintf(out, "%s%s%s%s", i ? " " : "", quote ? "\"" : "", words[i],
			quote ? "\"" : "");
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int add(const struct moat_cmd *cmd, struct moat_error *error)
{
	moat_auto_free char *text = join(cmd->args + 1, cmd->arg_count - 1);
	json_t *result = NULL;
	int r;

	if (cmd->arg_count < 2 || !text)
		return usage(
			error,
			"moat rules add takes a rule, as in: moat rules add drop src 192.0.2.0/24 for 10m");
	r = moat_cmd_call(cmd, "rules.add", with_author(cmd, json_pack("{s:s}", "rule", text)), -1,
			  &result, error);
	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else if (moat_json_at(result, "id"))
		printf("rule %.0f: %s\n", moat_json_number(result, "id"),
		       moat_json_text(result, "rule"));
	else
		printf("%s\n", moat_json_text(result, "entry"));
	json_decref(result);
	return MOAT_EXIT_OK;
}

/* A number is a rule's id; anything else is the text of a list entry. */
static json_t *target(const struct moat_cmd *cmd)
{
	char *end = NULL;
	long long id = strtoll(cmd->args[1], &end, 10);
	moat_auto_free char *text = NULL;

	if (cmd->arg_count == 2 && *end == '\0')
		return json_pack("{s:I}", "id", (json_int_t)id);
	text = join(cmd->args + 1, cmd->arg_count - 1);
	return text ? json_pack("{s:s}", "rule", text) : NULL;
}

static int del(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	int r;

	if (cmd->arg_count < 2)
		return usage(
			error,
			"moat rules del takes a rule's number (moat rules list shows it), \"allow PREFIX\" or "
			"\"deny PREFIX\"");
	r = moat_cmd_call(cmd, "rules.del", target(cmd), -1, &result, error);
	if (r == MOAT_EXIT_OK && cmd->json)
		moat_cmd_print_json(result);
	else if (r == MOAT_EXIT_OK)
		printf("deleted\n");
	json_decref(result);
	return r;
}

/* ---- load ---------------------------------------------------------------------------------------- */

/* moatd reads regular files only, so that no pipe can keep it waiting. */
static int copy_to_memory(int from, int *ret_fd, struct moat_error *error)
{
	moat_auto_close int fd = memfd_create("rules", MFD_CLOEXEC);
	char buffer[16384];
	ssize_t n;

	if (fd < 0)
		return moat_error_set(error, -errno, "memfd: %s", strerror(errno));
	while ((n = read(from, buffer, sizeof(buffer))) > 0) {
		if (write(fd, buffer, (size_t)n) != n)
			return moat_error_set(error, -EIO, "memfd: %s", strerror(errno));
	}
	if (n < 0)
		return moat_error_set(error, -errno, "standard input: %s", strerror(errno));
	*ret_fd = moat_take_fd(&fd);
	return 0;
}

static int open_rules(const char *path, int *ret_fd, struct moat_error *error)
{
	moat_auto_close int fd = -1;
	struct stat facts;

	if (strcmp(path, "-") == 0)
		return copy_to_memory(STDIN_FILENO, ret_fd, error);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &facts) < 0)
		return moat_error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (S_ISDIR(facts.st_mode))
		return moat_error_set(error, -EISDIR, "%s: is a directory", path);
	if (!S_ISREG(facts.st_mode))
		return copy_to_memory(fd, ret_fd, error);
	*ret_fd = moat_take_fd(&fd);
	return 0;
}

static void print_loaded(const struct moat_cmd *cmd, const json_t *result)
{
	json_t *line;
	size_t i;

	printf("%.0f lines: %.0f rules, %.0f allowed and %.0f denied prefixes added, %.0f stood already",
	       moat_json_number(result, "lines"), moat_json_number(result, "rules"),
	       moat_json_number(result, "allowed"), moat_json_number(result, "denied"),
	       moat_json_number(result, "duplicates"));
	json_array_foreach(moat_json_at(result, "duplicate_lines"), i, line)
		printf("%s%lld", i ? ", " : " (line ", (long long)json_integer_value(line));
	printf("%s\n", !i                                                   ? ""
		       : moat_json_number(result, "duplicates") > (double)i ? ", ...)"
									    : ")");
	if (cmd->confirm)
		printf("\"moat rules confirm\" within %ld s keeps them; else those before come "
		       "back.\n",
		       cmd->confirm);
}

static int load(const struct moat_cmd *cmd, struct moat_error *error)
{
	const char *path = cmd->arg_count == 2 ? cmd->args[1] : "-";
	moat_auto_close int fd = -1;
	json_t *params, *result = NULL;
	int r;

	if (cmd->arg_count > 2)
		return usage(error, "moat rules load takes one file, or reads standard input");
	if (open_rules(path, &fd, error) < 0)
		return MOAT_EXIT_FAILED;
	params = with_author(cmd, json_pack("{s:s}", "name",
					    strcmp(path, "-") == 0 ? "standard input" : path));
	if (cmd->confirm)
		json_object_set_new(params, "confirm", json_integer(cmd->confirm));
	r = moat_cmd_call(cmd, "rules.load", params, fd, &result, error);
	if (r != MOAT_EXIT_OK)
		return r;
	if (cmd->json)
		moat_cmd_print_json(result);
	else
		print_loaded(cmd, result);
	json_decref(result);
	return MOAT_EXIT_OK;
}

static int confirm(const struct moat_cmd *cmd, struct moat_error *error)
{
	json_t *result = NULL;
	int r = moat_cmd_call(cmd, "rules.confirm", NULL, -1, &result, error);

	if (r == MOAT_EXIT_OK && cmd->json)
		moat_cmd_print_json(result);
	else if (r == MOAT_EXIT_OK)
		printf("confirmed\n");
	json_decref(result);
	return r;
}

/* "rules deny add PREFIX" says the same as "rules add deny PREFIX". */
static int change_list(const struct moat_cmd *cmd, struct moat_error *error)
{
	char *words[] = { cmd->arg_count > 1 ? cmd->args[1] : NULL, cmd->args[0],
			  cmd->arg_count > 2 ? cmd->args[2] : NULL };
	struct moat_cmd turned = *cmd;

	turned.args = words;
	if (cmd->arg_count == 3 && strcmp(words[0], "add") == 0)
		return add(&turned, error);
	if (cmd->arg_count == 3 && strcmp(words[0], "del") == 0)
		return del(&turned, error);
	return usage(error, "moat rules allow and deny take add PREFIX or del PREFIX");
}

int moat_cmd_rules(const struct moat_cmd *cmd, struct moat_error *error)
{
	const char *verb = cmd->arg_count > 0 ? cmd->args[0] : "list";

	if (strcmp(verb, "list") == 0 && cmd->arg_count <= 1)
		return list(cmd, error);
	if (strcmp(verb, "add") == 0)
		return add(cmd, error);
	if (strcmp(verb, "del") == 0)
		return del(cmd, error);
	if (strcmp(verb, "load") == 0)
		return load(cmd, error);
	if (strcmp(verb, "confirm") == 0 && cmd->arg_count == 1)
		return confirm(cmd, error);
	if (strcmp(verb, "allow") == 0 || strcmp(verb, "deny") == 0)
		return change_list(cmd, error);
	return usage(error,
		     "moat rules takes list, add RULE, del ID, allow|deny add|del PREFIX, load "
		     "[FILE] or confirm");
}
