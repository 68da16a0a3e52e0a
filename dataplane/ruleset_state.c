/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The whole set across restarts, as lines of text:
 *
 *	moat-rules 1
 *	allow PREFIX
 *	deny PREFIX
 *	rule ID SLOT FINDING EXPIRES "OWNER" RULE    EXPIRES: ns since the epoch, 0 is never
 *	next ID
 *	end LINES                                    without it the file was cut
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/ruleset_body.h"
#include "dataplane/ruleset_lines.h"

static const char header[] = "moat-rules 1";
static const char *const list_names[] = { "allow", "deny" };

/* ---- save ------------------------------------------------------------------------------------- */

/* From one clock to another; 0 stays "never". */
static uint64_t move_time(uint64_t time_ns, uint64_t from_now, uint64_t to_now)
{
	if (time_ns == 0)
		return 0;
	if (time_ns >= from_now)
		return to_now + (time_ns - from_now);
	return to_now > from_now - time_ns ? to_now - (from_now - time_ns) : 1;
}

static void write_rule(FILE *file, const struct moat_rule *rule, uint64_t monotonic_ns,
		       uint64_t realtime_ns)
{
	char owner[MOAT_QUOTED_LEN(MOAT_RULE_OWNER_LEN)], text[MOAT_RULE_TEXT_LEN];
	struct moat_rule lasting = *rule;

	lasting.expires_ns = 0;
	moat_text_quote(rule->owner, sizeof(rule->owner), owner);
	fprintf(file, "rule %u %u %u %" PRIu64 " %s %s\n", rule->id, rule->slot, rule->finding,
		move_time(rule->expires_ns, monotonic_ns, realtime_ns), owner,
		moat_rule_format(&lasting, 0, text));
}

static void write_set(FILE *file, const struct moat_ruleset *set)
{
	uint64_t monotonic_ns = moat_clock_monotonic_ns(), realtime_ns = moat_clock_realtime_ns();
	char text[MOAT_PREFIX_TEXT_LEN];
	size_t lines = 2 + set->count;

	fprintf(file, "%s\n", header);
	for (size_t list = 0; list < MOAT_ARRAY_SIZE(list_names); list++) {
		size_t count = moat_prefixes_count(&set->lists[list]);
		const struct moat_prefix *items = moat_prefixes_items(&set->lists[list]);

		for (size_t i = 0; i < count; i++)
			fprintf(file, "%s %s\n", list_names[list],
				moat_prefix_format(&items[i], text));
		lines += count;
	}
	for (size_t i = 0; i < set->count; i++)
		write_rule(file, &set->rules[i], monotonic_ns, realtime_ns);
	fprintf(file, "next %u\nend %zu\n", set->next_id, lines);
}

/* Makes the rename itself last. */
static void sync_directory(const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	moat_auto_close int fd = -1;

	snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
}

int moat_ruleset_save(const struct moat_ruleset *set, const char *path, struct moat_error *error)
{
	moat_auto_fclose FILE *file = NULL;
	moat_auto_close int fd = -1;
	char fresh[PATH_MAX];
	int r = 0;

	if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh))
		return moat_error_set(error, -ENAMETOOLONG, "%s: the name is too long", path);
	/* what an interrupted save left; a link must not be followed */
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return moat_error_set(error, -errno, "%s: %s", fresh, strerror(errno));
	file = fdopen(fd, "w");
	if (!file)
		return moat_error_set(error, -errno, "%s: %s", fresh, strerror(errno));
	moat_take_fd(&fd);
	write_set(file, set);
	if (ferror(file) || fflush(file) != 0 || fsync(fileno(file)) < 0 || rename(fresh, path) < 0)
		r = errno ? -errno : -EIO;
	if (r < 0) {
		unlink(fresh);
		return moat_error_set(error, r, "%s: %s", path, strerror(-r));
	}
	sync_directory(path);
	moat_ruleset_log_remove(path);
	return 0;
}

/* ---- restore ---------------------------------------------------------------------------------- */

struct restore {
	struct moat_ruleset *set;
	uint64_t monotonic_ns;
	uint64_t realtime_ns;
	bool ended;
};

static int next_number(struct moat_words *words, uint64_t max, uint64_t *ret_number)
{
	char word[MOAT_WORD_LEN];
	size_t column;

	return moat_words_next(words, word, &column) == 1 ? moat_number_parse(word, max, ret_number)
							  : -EINVAL;
}

static int restore_rule(struct restore *restore, struct moat_words *words, struct moat_error *error)
{
	uint64_t id, slot, finding, expires;
	struct moat_rule rule;
	char owner[MOAT_WORD_LEN];
	size_t column;
	int r;

	if (next_number(words, UINT32_MAX, &id) < 0 || id == 0 ||
	    next_number(words, MOAT_RULES_MAX - 1, &slot) < 0 ||
	    next_number(words, UINT32_MAX, &finding) < 0 ||
	    next_number(words, UINT64_MAX, &expires) < 0 ||
	    moat_words_next(words, owner, &column) != 1 || strlen(owner) >= MOAT_RULE_OWNER_LEN)
		return moat_error_set(error, -EINVAL,
				      "not \"rule ID SLOT FINDING EXPIRES OWNER RULE\"");
	r = moat_rule_parse(words->at, 0, &rule, error);
	if (r < 0)
		return r;
	if (expires && expires <= restore->realtime_ns)
		return 0;
	rule.id = (uint32_t)id;
	rule.finding = (uint32_t)finding;
	rule.expires_ns = move_time(expires, restore->realtime_ns, restore->monotonic_ns);
	memcpy(rule.owner, owner, strlen(owner) + 1);
	return moat_ruleset_put(restore->set, &rule, (uint32_t)slot, NULL);
}

static int restore_prefix(struct restore *restore, enum moat_list list, struct moat_words *words,
			  struct moat_error *error)
{
	char word[MOAT_WORD_LEN];
	struct moat_prefix prefix;
	size_t column;
	int r;

	if (moat_words_next(words, word, &column) != 1)
		return moat_error_set(error, -EINVAL, "a prefix is missing");
	r = moat_lines_last_prefix(words, word, &prefix, error);
	return r < 0 ? r : moat_ruleset_list_add(restore->set, list, &prefix);
}

/* 0, a negative errno, or an enum moat_ruleset_result. */
static int restore_line(struct restore *restore, const struct moat_lines *lines,
			struct moat_error *error)
{
	struct moat_words words = { .begin = lines->text, .at = lines->text };
	char word[MOAT_WORD_LEN];
	uint64_t number = 0;
	size_t column;

	if (lines->line == 1)
		return strcmp(lines->text, header) == 0
			       ? 0
			       : moat_error_set(error, -EINVAL, "no rule set of this version");
	if (restore->ended || moat_words_next(&words, word, &column) != 1)
		return moat_error_set(error, -EINVAL, "not a line of a rule set");
	for (size_t list = 0; list < MOAT_ARRAY_SIZE(list_names); list++) {
		if (strcmp(word, list_names[list]) == 0)
			return restore_prefix(restore, (enum moat_list)list, &words, error);
	}
	if (strcmp(word, "rule") == 0)
		return restore_rule(restore, &words, error);
	if (strcmp(word, "next") == 0 && next_number(&words, UINT32_MAX, &number) == 0) {
		/* ids that were given out before stay used, also those of deleted rules */
		if (number > restore->set->next_id)
			restore->set->next_id = (uint32_t)number;
		return 0;
	}
	if (strcmp(word, "end") == 0 && next_number(&words, UINT32_MAX, &number) == 0 &&
	    number == lines->line - 1) {
		restore->ended = true;
		return 0;
	}
	return moat_error_set(error, -EINVAL, "not a line of a rule set");
}

static int restore_lines(struct restore *restore, const char *path, struct moat_lines *lines,
			 struct moat_error *error)
{
	int r;

	while ((r = moat_lines_next(lines, error)) > 0) {
		r = restore_line(restore, lines, error);
		if (r > 0)
			r = moat_error_set(error, -EINVAL, "%s",
					   r == MOAT_RULESET_FULL ? "the set is full"
								  : "said twice");
		if (r < 0)
			break;
	}
	if (r < 0)
		return moat_error_prefix(error, r, "%s:%zu", path, lines->line);
	if (!restore->ended)
		return moat_error_set(error, -EINVAL, "%s:%zu: the file ends too early", path,
				      lines->line);
	return 0;
}

static bool is_empty(const struct moat_ruleset *set)
{
	return set->count == 0 && moat_prefixes_count(&set->lists[MOAT_LIST_ALLOW]) == 0 &&
	       moat_prefixes_count(&set->lists[MOAT_LIST_DENY]) == 0;
}

int moat_ruleset_restore(struct moat_ruleset *set, const char *path, struct moat_error *error)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *fresh = NULL;
	moat_cleanup(moat_lines_close) struct moat_lines lines = { 0 };
	struct restore restore = {
		.monotonic_ns = moat_clock_monotonic_ns(),
		.realtime_ns = moat_clock_realtime_ns(),
	};
	bool missing;
	int r;

	r = moat_lines_open(path, &lines, error);
	missing = r == -ENOENT;
	if (r < 0 && !missing)
		return r;
	r = moat_ruleset_new(&fresh);
	if (r < 0)
		return moat_error_set(error, r, "%s: no memory", path);
	restore.set = fresh;
	r = missing ? 0 : restore_lines(&restore, path, &lines, error);
	if (r == 0)
		r = moat_ruleset_log_replay(fresh, path, error);
	if (r < 0)
		return r;
	if (missing && is_empty(fresh))
		return -ENOENT;
	moat_ruleset_replace(set, fresh);
	return 0;
}

int moat_ruleset_take_owned(struct moat_ruleset *set, const struct moat_ruleset *from,
			    const char *owner)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(set, &count);
	int r = 0;

	for (size_t i = count; i-- > 0; rules = moat_ruleset_rules(set, &count)) {
		if (strcmp(rules[i].owner, owner) == 0)
			moat_ruleset_del(set, rules[i].id);
	}
	rules = moat_ruleset_rules(from, &count);
	for (size_t i = 0; r >= 0 && r != MOAT_RULESET_FULL && i < count; i++) {
		if (strcmp(rules[i].owner, owner) == 0)
			r = moat_ruleset_add(set, &rules[i], NULL);
	}
	return r == MOAT_RULESET_EXISTS ? 0 : r;
}
