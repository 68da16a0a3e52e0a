/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See ruleset_lines.h. Lines have a bound, so that no file makes us allocate. */
#include "dataplane/ruleset_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"

int moat_lines_open(const char *path, struct moat_lines *ret_lines, struct moat_error *error)
{
	/* a pipe without a writer must not stop whoever opens it */
	moat_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	moat_auto_fclose FILE *file = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int code = -errno;

		return moat_error_set(error, code, "%s: %s", path, strerror(-code));
	}
	if (S_ISDIR(st.st_mode))
		return moat_error_set(error, -EISDIR, "%s: a directory, not a file of rules", path);
	/* a device or a pipe has no end that could be waited for */
	if (!S_ISREG(st.st_mode))
		return moat_error_set(error, -EINVAL, "%s: not a regular file", path);
	file = fdopen(fd, "r");
	if (!file)
		return moat_error_set(error, -ENOMEM, "%s: no memory", path);
	moat_take_fd(&fd);
	ret_lines->file = moat_take_ptr(file);
	ret_lines->line = 0;
	return 0;
}

void moat_lines_close(struct moat_lines *lines)
{
	if (lines->file)
		fclose(lines->file);
	lines->file = NULL;
}

static int refuse(struct moat_error *error, const char *why)
{
	return moat_error_set(error, -EINVAL, "%s", why);
}

int moat_lines_next(struct moat_lines *lines, struct moat_error *error)
{
	bool too_long = false, binary = false;
	size_t length = 0;
	int c;

	errno = 0;
	while ((c = getc_unlocked(lines->file)) != EOF && c != '\n') {
		binary |= c == '\0';
		too_long |= length == sizeof(lines->text) - 1;
		if (!too_long)
			lines->text[length++] = (char)c;
	}
	if (ferror(lines->file))
		return moat_error_set(error, errno ? -errno : -EIO, "reading failed: %s",
				      strerror(errno ? errno : EIO));
	if (c == EOF && length == 0 && !too_long)
		return 0;
	lines->line++;
	if (length > 0 && lines->text[length - 1] == '\r')
		length--;
	lines->text[length] = '\0';
	if (binary)
		return refuse(error, "a NUL byte: this is no text");
	if (too_long)
		return refuse(error, "the line is too long");
	return 1;
}

int moat_lines_last_prefix(struct moat_words *words, const char *word,
			   struct moat_prefix *ret_prefix, struct moat_error *error)
{
	char more[MOAT_WORD_LEN];
	size_t column;

	switch (moat_prefix_parse(word, ret_prefix)) {
	case 0:
		break;
	case -EDOM:
		return moat_error_set(error, -EINVAL, "'%s': bits are set behind the prefix length",
				      word);
	default:
		return moat_error_set(error, -EINVAL, "'%s' is neither a prefix nor a rule", word);
	}
	if (moat_words_next(words, more, &column) != 0)
		return moat_error_set(error, -EINVAL, "column %zu: '%s' behind the prefix", column,
				      more);
	if (ret_prefix->family == MOAT_FAMILY_ANY)
		return refuse(error, "'any' is no prefix of a list");
	return 0;
}
