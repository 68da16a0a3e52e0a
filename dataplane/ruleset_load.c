/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Operators' rule files and blocklists, added all or nothing: to a copy, which replaces the set if every
 * line was good. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/ruleset_body.h"
#include "dataplane/ruleset_lines.h"

#define ERRORS_SHOWN 5
/* Something else than a file of rules: reading on would only take time. */
#define ERRORS_MAX 1000

/* Cuts the text at '#' or ';' outside of quotes. */
static void cut_comment(char *text)
{
	bool quoted = false;

	for (; *text; text++) {
		if (quoted && text[0] == '\\' && text[1])
			text++;
		else if (*text == '"')
			quoted = !quoted;
		else if (!quoted && (*text == '#' || *text == ';'))
			break;
	}
	*text = '\0';
}

/* ---- one entry -------------------------------------------------------------------------------- */

enum entry {
	ENTRY_EMPTY,
	ENTRY_ALLOWED,
	ENTRY_DENIED,
	ENTRY_RULE,
	ENTRY_DUPLICATE,
	ENTRY_FULL,
};

static int add_prefix(struct moat_ruleset *set, enum moat_list list,
		      const struct moat_prefix *prefix)
{
	int r = moat_ruleset_list_add(set, list, prefix);

	if (r < 0)
		return r;
	if (r == MOAT_RULESET_FULL)
		return ENTRY_FULL;
	if (r == MOAT_RULESET_EXISTS)
		return ENTRY_DUPLICATE;
	return list == MOAT_LIST_ALLOW ? ENTRY_ALLOWED : ENTRY_DENIED;
}

static int add_rule(struct moat_ruleset *set, const char *text, const char *owner, uint64_t now_ns,
		    struct moat_error *error)
{
	struct moat_rule rule;
	int r;

	r = moat_rule_parse(text, now_ns, &rule, error);
	if (r < 0)
		return r;
	snprintf(rule.owner, sizeof(rule.owner), "%s", owner ? owner : "");
	r = moat_ruleset_add(set, &rule, NULL);
	if (r < 0)
		return r;
	return r == MOAT_RULESET_FULL     ? ENTRY_FULL
	       : r == MOAT_RULESET_EXISTS ? ENTRY_DUPLICATE
					  : ENTRY_RULE;
}

static bool is_action(const char *word)
{
	for (uint32_t action = 0; action < MOAT_ACTION_COUNT_OF; action++) {
		if (strcmp(word, moat_action_name(action)) == 0)
			return true;
	}
	return strcmp(word, "count-only") == 0;
}

/* Adds what one line says: an enum entry or a negative errno. */
static int add_line(struct moat_ruleset *set, const char *text, const char *owner, uint64_t now_ns,
		    struct moat_error *error)
{
	struct moat_words words = { .begin = text, .at = text };
	enum moat_list list = MOAT_LIST_DENY;
	struct moat_prefix prefix;
	char word[MOAT_WORD_LEN];
	bool bare = true;
	size_t column;
	int r;

	r = moat_words_next(&words, word, &column);
	if (r == 0)
		return ENTRY_EMPTY;
	if (r > 0 && is_action(word))
		return add_rule(set, text, owner, now_ns, error);
	if (r > 0 && (strcmp(word, "allow") == 0 || strcmp(word, "deny") == 0)) {
		list = word[0] == 'a' ? MOAT_LIST_ALLOW : MOAT_LIST_DENY;
		bare = false;
		r = moat_words_next(&words, word, &column);
	}
	if (r < 0)
		return moat_error_set(error, r, "column %zu: no text", column);
	r = moat_lines_last_prefix(&words, word, &prefix, error);
	if (r < 0)
		return r;
	/* a slip in a blocklist must not cut off everybody */
	if (bare && prefix.len == 0)
		return moat_error_set(error, -EINVAL,
				      "'%s' is everybody: write \"deny %s\" to mean it", word, word);
	return add_prefix(set, list, &prefix);
}

/* ---- load ------------------------------------------------------------------------------------- */

static void count_entry(struct moat_ruleset_load_report *report, enum entry entry, size_t line)
{
	switch (entry) {
	case ENTRY_ALLOWED:
		report->allowed++;
		break;
	case ENTRY_DENIED:
		report->denied++;
		break;
	case ENTRY_RULE:
		report->rules++;
		break;
	case ENTRY_DUPLICATE:
		if (report->duplicates < MOAT_DUPLICATES_NAMED)
			report->duplicate_lines[report->duplicates] = line;
		report->duplicates++;
		break;
	default:
		break;
	}
}

/* Adds "PATH:LINE: why" to the sentence of all errors. */
static void add_error(struct moat_error *errors, size_t number, const char *path, size_t line,
		      const char *why)
{
	size_t length = strlen(errors->text);

	if (number > ERRORS_SHOWN)
		return;
	snprintf(errors->text + length, sizeof(errors->text) - length, "%s%s:%zu: %s",
		 length ? "; " : "", path, line, why);
}

static int load_lines(struct moat_ruleset *set, const char *path, struct moat_lines *lines,
		      const char *owner, uint64_t now_ns, struct moat_ruleset_load_report *report,
		      struct moat_error *errors)
{
	struct moat_error error;
	int r;

	while (report->errors < ERRORS_MAX) {
		error.text[0] = '\0';
		r = moat_lines_next(lines, &error);
		if (r == 0)
			break;
		if (r < 0 && r != -EINVAL)
			return moat_error_set(errors, r, "%s: %s", path, error.text);
		report->lines = lines->line;
		if (r > 0) {
			cut_comment(lines->text);
			r = add_line(set, lines->text, owner, now_ns, &error);
		}
		if (r == -ENOMEM)
			return moat_error_set(errors, r, "%s: no memory", path);
		if (r == ENTRY_FULL) {
			moat_error_set(errors, -ENOSPC,
				       "%s:%zu: full: at most %d rules and %d prefixes", path,
				       lines->line, MOAT_RULES_MAX, MOAT_PREFIXES_MAX);
			return MOAT_RULESET_FULL;
		}
		if (r < 0)
			add_error(errors, ++report->errors, path, lines->line, error.text);
		else
			count_entry(report, (enum entry)r, lines->line);
	}
	return report->errors ? -EINVAL : 0;
}

int moat_ruleset_load(struct moat_ruleset *set, const char *path, const char *owner, uint64_t now_ns,
		      struct moat_ruleset_load_report *ret_report, struct moat_error *error)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *copy = NULL;
	moat_cleanup(moat_lines_close) struct moat_lines lines = { 0 };
	struct moat_ruleset_load_report report = { 0 };
	struct moat_error errors = { 0 };
	int r;

	r = moat_lines_open(path, &lines, error);
	if (r < 0)
		return r;
	r = moat_ruleset_copy(set, &copy);
	if (r < 0)
		return moat_error_set(error, r, "%s: no memory", path);
	r = load_lines(copy, path, &lines, owner, now_ns, &report, &errors);
	if (ret_report)
		*ret_report = report;
	if (report.errors > ERRORS_SHOWN)
		return moat_error_set(error, r, "%s; and %zu more", errors.text,
				      report.errors - ERRORS_SHOWN);
	if (r != 0) {
		moat_error_set(error, -EINVAL, "%s", errors.text);
		return r;
	}
	moat_ruleset_replace(set, copy);
	return 0;
}
