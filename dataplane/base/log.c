/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See log.h. */
#include "dataplane/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_LEN 4096 /* a part of a status */

static _Atomic int log_level = MOAT_LOG_INFO;

void moat_log_set_level(enum moat_log_level level)
{
	log_level = (int)level;
}

static const char *level_word(enum moat_log_level level)
{
	switch (level) {
	case MOAT_LOG_ERROR:
		return "error";
	case MOAT_LOG_WARNING:
		return "warning";
	case MOAT_LOG_INFO:
		return "info";
	case MOAT_LOG_DEBUG:
		return "debug";
	}
	return "?";
}

/* Copies `text` with control characters as \xNN, as far as it fits; always terminated. Bytes >= 0x80 stay:
 * UTF-8 is harmless to a line-based reader. */
static size_t escape(char *line, size_t size, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	size_t length = 0;

	for (; *text && length + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != 0x7f) {
			line[length++] = (char)c;
			continue;
		}
		line[length++] = '\\';
		line[length++] = 'x';
		line[length++] = digits[c >> 4];
		line[length++] = digits[c & 15];
	}
	line[length] = '\0';
	return length;
}

/* Under systemd the journal adds the time; elsewhere the line brings its own. */
static int write_head(char *line, size_t size, enum moat_log_level level)
{
	struct timespec now;
	struct tm utc;

	if (getenv("JOURNAL_STREAM"))
		return snprintf(line, size, "<%d>", (int)level);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	return snprintf(line, size, "%02d:%02d:%02d.%03ld %s: ", utc.tm_hour, utc.tm_min,
			utc.tm_sec, now.tv_nsec / 1000000, level_word(level));
}

void moat_log(enum moat_log_level level, const char *format, ...)
{
	char text[LINE_LEN], line[LINE_LEN + 64];
	size_t length;
	va_list args;
	int head;

	if ((int)level > log_level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	head = write_head(line, 64, level);
	if (head < 0)
		head = 0;
	length = (size_t)head;
	length += escape(line + length, sizeof(line) - length - 1, text);
	line[length++] = '\n';
	/* one write, so that lines of several threads never mix; a closed stderr leaves nobody to tell */
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}
