/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/base/log.c: one line an event, whatever the text holds. */
#include "dataplane/base/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/harness/unit.h"

/* What moat_log wrote to stderr, in a static buffer. */
static const char *logged(enum moat_log_level level, const char *text)
{
	int saved = dup(STDERR_FILENO), pipes[2];
	static char line[8192];
	ssize_t length;

	CU_ASSERT_EQUAL_FATAL(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	moat_log(level, "%s", text);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(pipes[1]);
	length = read(pipes[0], line, sizeof(line) - 1);
	close(pipes[0]);
	line[length > 0 ? length : 0] = '\0';
	return line;
}

static void test_line(void)
{
	setenv("JOURNAL_STREAM", "8:1", 1);
	CU_ASSERT_STRING_EQUAL(logged(MOAT_LOG_WARNING, "two\nlines\x1b[31m"),
			       "<4>two\\x0alines\\x1b[31m\n");
	unsetenv("JOURNAL_STREAM");
	CU_ASSERT_PTR_NOT_NULL(strstr(logged(MOAT_LOG_ERROR, "plain"), " error: plain\n"));
}

static void test_level(void)
{
	moat_log_set_level(MOAT_LOG_WARNING);
	CU_ASSERT_STRING_EQUAL(logged(MOAT_LOG_INFO, "quiet"), "");
	moat_log_set_level(MOAT_LOG_DEBUG);
	CU_ASSERT_STRING_NOT_EQUAL(logged(MOAT_LOG_DEBUG, "loud"), "");
}

static void test_long(void)
{
	static char text[8192];

	memset(text, '\x01', sizeof(text) - 1);
	CU_ASSERT_TRUE(strlen(logged(MOAT_LOG_ERROR, text)) < 4200);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "line", test_line }, { "level", test_level }, { "long", test_long }, { NULL, NULL }
	};

	return moat_test_main("log", tests);
}
