/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The event file: whole lines, nothing lost unseen, logrotate. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/dirs.h"
#include "ctl/sink.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

static char dir[64], path[128];

static size_t lines_of(const char *name)
{
	moat_auto_fclose FILE *file = fopen(name, "re");
	size_t lines = 0;
	char line[64];

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (fgets(line, sizeof(line), file)) {
		CU_ASSERT_STRING_EQUAL(line, "{\"a\":1}\n");
		lines++;
	}
	return lines;
}

static void test_lines(void)
{
	struct moat_sink_counters counters;
	struct moat_sink *sink = NULL;
	struct stat facts;
	size_t taken = 0;

	CU_ASSERT_EQUAL_FATAL(moat_sink_new(path, 64, &sink, NULL), 0);
	CU_ASSERT_EQUAL(stat(path, &facts), 0);
	CU_ASSERT_EQUAL(facts.st_mode & 0777, 0640);
	for (int i = 0; i < 5000; i++)
		taken += moat_sink_write(sink, "{\"a\":1}");
	moat_sink_counters(sink, &counters);
	CU_ASSERT_EQUAL(taken + counters.lost, 5000);
	moat_sink_free(sink);
	CU_ASSERT_EQUAL(lines_of(path), taken);
	unlink(path);
}

static void test_reopen(void)
{
	struct moat_sink *sink = NULL;
	char old[160];

	snprintf(old, sizeof(old), "%s.1", path);
	CU_ASSERT_EQUAL_FATAL(moat_sink_new(path, 64, &sink, NULL), 0);
	CU_ASSERT_TRUE(moat_sink_write(sink, "{\"a\":1}"));
	for (int i = 0; i < 200 && access(old, F_OK) < 0; i++) {
		struct moat_sink_counters counters;

		moat_sink_counters(sink, &counters);
		if (counters.written == 1)
			CU_ASSERT_EQUAL(rename(path, old), 0);
		usleep(5000);
	}
	moat_sink_reopen(sink);
	CU_ASSERT_TRUE(moat_sink_write(sink, "{\"a\":1}"));
	CU_ASSERT_TRUE(moat_sink_write(sink, "{\"a\":1}"));
	moat_sink_free(sink);
	CU_ASSERT_EQUAL(lines_of(old), 1);
	CU_ASSERT_EQUAL(lines_of(path), 2);
	unlink(old);
	unlink(path);
}

static void test_full_disk(void)
{
	struct moat_sink_counters counters = { 0 };
	struct moat_sink *sink = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_sink_new("/dev/full", 64, &sink, NULL), 0);
	CU_ASSERT_TRUE(moat_sink_write(sink, "{}"));
	for (int i = 0; i < 200 && counters.failed == 0; i++) {
		usleep(5000);
		moat_sink_counters(sink, &counters);
	}
	CU_ASSERT_EQUAL(counters.failed, 1);
	CU_ASSERT_EQUAL(counters.written, 0);
	moat_sink_free(sink);
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void wait_for(struct moat_sink *sink, uint64_t written, uint64_t failed)
{
	struct moat_sink_counters counters = { 0 };

	for (int i = 0; i < 200 && (counters.written < written || counters.failed < failed); i++) {
		usleep(5000);
		moat_sink_counters(sink, &counters);
	}
	CU_ASSERT_EQUAL(counters.written, written);
	CU_ASSERT_EQUAL(counters.failed, failed);
}

/* A line that the disk took half of spoils no other. */
static void test_torn(void)
{
	moat_auto_fclose FILE *file = NULL;
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct moat_sink *sink = NULL;
	char text[64] = "";

	CU_ASSERT_EQUAL(sigaction(SIGXFSZ, &ignore, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(moat_sink_new(path, 64, &sink, NULL), 0);
	limit_files(12);
	CU_ASSERT_TRUE(moat_sink_write(sink, "{\"a\":1}"));
	CU_ASSERT_TRUE(moat_sink_write(sink, "{\"b\":2}"));
	CU_ASSERT_TRUE(moat_sink_write(sink, "{\"c\":3}"));
	wait_for(sink, 1, 2);
	limit_files(RLIM_INFINITY);
	CU_ASSERT_TRUE(moat_sink_write(sink, "{\"d\":4}"));
	wait_for(sink, 2, 2);
	moat_sink_free(sink);
	file = fopen(path, "re");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	CU_ASSERT_STRING_EQUAL(text, "{\"a\":1}\n{\"b\"\n{\"d\":4}\n");
	unlink(path);
}

/* A pipe that nobody reads is refused at once. */
static void test_pipe(void)
{
	struct moat_error error = { .text = "" };
	struct moat_sink *sink = NULL;

	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	CU_ASSERT_EQUAL(moat_sink_new(path, 64, &sink, &error), -ENXIO);
	CU_ASSERT_PTR_NULL(sink);
	unlink(path);
}

static void test_refused(void)
{
	struct moat_error error = { .text = "" };
	struct moat_sink *sink = NULL;

	CU_ASSERT_EQUAL(moat_sink_new("/proc/nothing/x", 64, &sink, &error), -ENOENT);
	CU_ASSERT_STRING_EQUAL(error.text, "event file /proc/nothing/x: No such file or directory");
	CU_ASSERT_PTR_NULL(sink);
}

/* One moatd a run_dir; the second names the first. */
static void test_lock(void)
{
	struct moat_error error = { .text = "" };
	char expected[64], deep[160];
	int first = -1, second = -1;

	snprintf(deep, sizeof(deep), "%s/a/b", dir);
	CU_ASSERT_EQUAL(moat_dirs_make(deep, 0755), 0);
	CU_ASSERT_EQUAL(moat_dirs_make(deep, 0755), 0);
	CU_ASSERT_EQUAL_FATAL(moat_dirs_lock(deep, &first, &error), 0);
	CU_ASSERT_EQUAL(moat_dirs_lock(deep, &second, &error), -EBUSY);
	snprintf(expected, sizeof(expected), "moatd is running already with pid %d (", getpid());
	CU_ASSERT_EQUAL(strncmp(error.text, expected, strlen(expected)), 0);
	CU_ASSERT_EQUAL(second, -1);
	close(first);
	CU_ASSERT_EQUAL(moat_dirs_lock(deep, &second, &error), 0);
	close(second);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "lines", test_lines },         { "reopen", test_reopen },
		{ "full disk", test_full_disk }, { "refused", test_refused },
		{ "lock", test_lock },           { "torn", test_torn },
		{ "pipe", test_pipe },           { NULL, NULL },
	};
	char command[128];
	int r;

	snprintf(dir, sizeof(dir), "/tmp/moat-sink-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/events.json", dir);
	r = moat_test_main("sink", tests);
	snprintf(command, sizeof(command), "%s/a/b/moatd.pid", dir);
	unlink(command);
	snprintf(command, sizeof(command), "%s/a/b", dir);
	rmdir(command);
	snprintf(command, sizeof(command), "%s/a", dir);
	rmdir(command);
	rmdir(dir);
	return r;
}
