/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What changed in the lists since a set was saved, a line each:
 *
 *	moat-rules-log INODE      of the saved set: notes to another one are void
 *	+ deny PREFIX
 *	- allow PREFIX
 *
 * A line without its end was cut off, and nothing stands behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/ruleset_body.h"
#include "dataplane/ruleset_lines.h"

/* Bytes of 10,000 notes, about. */
#define LOG_BYTES_MAX 300000

static const char header[] = "moat-rules-log";
static const char *const list_names[] = { "allow", "deny" };

static uint64_t inode_of(const char *path)
{
	struct stat facts;

	return stat(path, &facts) == 0 ? facts.st_ino : 0;
}

static int log_path(const char *path, char ret_path[PATH_MAX])
{
	return snprintf(ret_path, PATH_MAX, "%s.log", path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

void moat_ruleset_log_remove(const char *path)
{
	char log[PATH_MAX];

	if (log_path(path, log) == 0)
		unlink(log);
}

/* Writes all of it or, as far as that can be, nothing. */
static int append(int fd, const char *text, off_t before)
{
	size_t length = strlen(text);
	ssize_t n = write(fd, text, length);
	int r = n < 0 ? -errno : -ENOSPC;

	if (n == (ssize_t)length)
		return fdatasync(fd) < 0 ? -errno : 0;
	if (ftruncate(fd, before) < 0)
		return -errno;
	return r;
}

int moat_ruleset_log(const char *path, bool added, enum moat_list list,
		     const struct moat_prefix *prefix, struct moat_error *error)
{
	char log[PATH_MAX], text[MOAT_PREFIX_TEXT_LEN], line[2 * MOAT_PREFIX_TEXT_LEN + 64];
	moat_auto_close int fd = -1;
	struct stat facts;
	int r = log_path(path, log);

	if (r < 0)
		return moat_error_set(error, r, "%s: the name is too long", path);
	fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &facts) < 0)
		return moat_error_set(error, -errno, "%s: %s", log, strerror(errno));
	if (facts.st_size > LOG_BYTES_MAX)
		return MOAT_RULESET_FULL;
	line[0] = '\0';
	if (facts.st_size == 0)
		snprintf(line, sizeof(line), "%s %" PRIu64 "\n", header, inode_of(path));
	r = (int)strlen(line);
	snprintf(line + r, sizeof(line) - (size_t)r, "%c %s %s\n", added ? '+' : '-',
		 list_names[list], moat_prefix_format(prefix, text));
	r = append(fd, line, facts.st_size);
	return r < 0 ? moat_error_set(error, r, "%s: %s", log, strerror(-r)) : 0;
}

/* "+ deny PREFIX" done to the set. 0 or -EINVAL, -ENOMEM. */
static int replay_line(struct moat_ruleset *set, const char *text)
{
	struct moat_words words = { .begin = text, .at = text };
	char sign[MOAT_WORD_LEN], name[MOAT_WORD_LEN], word[MOAT_WORD_LEN];
	struct moat_prefix prefix;
	enum moat_list list;
	size_t column;
	int r;

	if (moat_words_next(&words, sign, &column) != 1 ||
	    moat_words_next(&words, name, &column) != 1 ||
	    moat_words_next(&words, word, &column) != 1)
		return -EINVAL;
	list = strcmp(name, list_names[MOAT_LIST_ALLOW]) == 0 ? MOAT_LIST_ALLOW : MOAT_LIST_DENY;
	if (strcmp(name, list_names[list]) != 0 ||
	    moat_lines_last_prefix(&words, word, &prefix, NULL) < 0)
		return -EINVAL;
	if (strcmp(sign, "+") == 0)
		r = moat_ruleset_list_add(set, list, &prefix);
	else if (strcmp(sign, "-") == 0)
		r = moat_ruleset_list_del(set, list, &prefix);
	else
		return -EINVAL;
	return r == -ENOMEM ? r : 0; /* what stood already, or didn't, is as it should be */
}

int moat_ruleset_log_replay(struct moat_ruleset *set, const char *path, struct moat_error *error)
{
	moat_cleanup(moat_lines_close) struct moat_lines lines = { 0 };
	struct moat_error ours = { .text = "" };
	char log[PATH_MAX], first[64];
	int r = log_path(path, log);

	if (r == 0)
		r = moat_lines_open(log, &lines, &ours);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return moat_error_set(error, r, "%s", ours.text);
	snprintf(first, sizeof(first), "%s %" PRIu64, header, inode_of(path));
	r = moat_lines_next(&lines, error);
	if (r == 0 || (r > 0 && strcmp(lines.text, first) != 0))
		return 0;
	while (r > 0) {
		r = moat_lines_next(&lines, error);
		/* the last one is whole only if its end was written */
		if (r > 0 && !(feof(lines.file) && lines.text[0])) {
			r = replay_line(set, lines.text);
			if (r < 0)
				return moat_error_set(error, r, "%s:%zu: not a note on a list", log,
						      lines.line);
			r = 1;
		}
	}
	return r;
}
