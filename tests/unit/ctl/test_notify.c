/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reports to a script: delivered, failed or lost, each counted. The web hook: tests/netns/outlets.py. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/notify.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "tests/harness/unit.h"

static char dir[64], path[128];
static const char *const words[3] = { "open", "udp_flood", "198.51.100.7" };

static void write_script(const char *body, mode_t mode)
{
	moat_auto_fclose FILE *file = fopen(path, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fprintf(file, "#!/bin/sh\n%s\n", body);
	CU_ASSERT_EQUAL(fchmod(fileno(file), mode), 0);
}

static struct moat_notify *begin(uint64_t timeout_ns)
{
	struct moat_notify_options options = { .script = path, .timeout_ns = timeout_ns };
	struct moat_notify *notify = NULL;
	struct moat_error error;

	CU_ASSERT_EQUAL_FATAL(moat_notify_new(&options, &notify, &error), 0);
	return notify;
}

/* Waits until `count` reports have met their end. */
static struct moat_notify_counters wait_for(struct moat_notify *notify, uint64_t count)
{
	struct moat_notify_counters counters = { 0 };

	for (int i = 0; i < 1000; i++) {
		moat_notify_counters(notify, &counters);
		if (counters.script_sent + counters.script_failed >= count)
			break;
		usleep(10000);
	}
	return counters;
}

static void test_delivered(void)
{
	char body[256], out[128], line[64] = "";
	struct moat_notify *notify;
	struct moat_notify_counters counters;

	snprintf(out, sizeof(out), "%s/out", dir);
	snprintf(body, sizeof(body), "{ echo \"$*\"; cat; env | grep -c HOME; } >%s", out);
	write_script(body, 0700);
	notify = begin(20 * MOAT_NS_PER_S);
	CU_ASSERT_TRUE(moat_notify_send(notify, "{\"a\":1}", words));
	counters = wait_for(notify, 1);
	CU_ASSERT_EQUAL(counters.script_sent, 0); /* grep found none: status 1 */
	CU_ASSERT_EQUAL(counters.script_failed, 1);
	moat_notify_free(notify);

	moat_auto_fclose FILE *file = fopen(out, "re");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_PTR_NOT_NULL(fgets(line, sizeof(line), file));
	CU_ASSERT_STRING_EQUAL(line, "open udp_flood 198.51.100.7\n");
	CU_ASSERT_PTR_NOT_NULL(fgets(line, sizeof(line), file));
	CU_ASSERT_STRING_EQUAL(line, "{\"a\":1}\n");
	/* nothing of our environment */
	CU_ASSERT_PTR_NOT_NULL(fgets(line, sizeof(line), file));
	CU_ASSERT_STRING_EQUAL(line, "0\n");
	unlink(out);
}

/* One that doesn't read its input, with more of it than a socket holds, is no failure. */
static void test_deaf(void)
{
	size_t size = 4u << 20;
	moat_auto_free char *large = malloc(size + 1);
	struct moat_notify *notify;

	CU_ASSERT_PTR_NOT_NULL_FATAL(large);
	memset(large, 'x', size);
	large[size] = '\0';
	write_script("exit 0", 0700);
	notify = begin(20 * MOAT_NS_PER_S);
	CU_ASSERT_TRUE(moat_notify_send(notify, large, words));
	CU_ASSERT_EQUAL(wait_for(notify, 1).script_sent, 1);
	moat_notify_free(notify);
}

static void test_late(void)
{
	struct moat_notify *notify;
	uint64_t begin_ns;

	write_script("sleep 600", 0700);
	notify = begin(MOAT_NS_PER_S / 4);
	CU_ASSERT_TRUE(moat_notify_send(notify, "{}", words));
	CU_ASSERT_EQUAL(wait_for(notify, 1).script_failed, 1);
	moat_notify_free(notify);
	/* our own end waits for no script */
	notify = begin(300 * MOAT_NS_PER_S);
	CU_ASSERT_TRUE(moat_notify_send(notify, "{}", words));
	usleep(50000);
	begin_ns = moat_clock_monotonic_ns();
	moat_notify_free(notify);
	CU_ASSERT_TRUE(moat_clock_monotonic_ns() - begin_ns < 20 * MOAT_NS_PER_S);
}

static void test_full(void)
{
	struct moat_notify_counters counters;
	struct moat_notify *notify;
	unsigned int taken = 0;

	write_script("sleep 600", 0700);
	notify = begin(300 * MOAT_NS_PER_S);
	for (int i = 0; i < 2 * MOAT_NOTIFY_QUEUE; i++)
		taken += moat_notify_send(notify, "{}", words);
	moat_notify_counters(notify, &counters);
	CU_ASSERT_TRUE(taken >= MOAT_NOTIFY_QUEUE && taken <= MOAT_NOTIFY_QUEUE + 1);
	CU_ASSERT_EQUAL(counters.lost, 2 * MOAT_NOTIFY_QUEUE - taken);
	moat_notify_free(notify);
}

static void test_trust(void)
{
	struct moat_error error;

	write_script("exit 0", 0700);
	CU_ASSERT_EQUAL(moat_notify_check_script(path, &error), 0);
	CU_ASSERT_EQUAL(chmod(path, 0722), 0);
	CU_ASSERT_EQUAL(moat_notify_check_script(path, &error), -EPERM);
	CU_ASSERT_EQUAL(chmod(path, 0600), 0);
	CU_ASSERT_EQUAL(moat_notify_check_script(path, &error), -EACCES);
	CU_ASSERT_EQUAL(chmod(path, 0700), 0);
	CU_ASSERT_EQUAL(chmod(dir, 0777), 0);
	CU_ASSERT_EQUAL(moat_notify_check_script(path, &error), -EPERM);
	CU_ASSERT_EQUAL(chmod(dir, 0700), 0);
	CU_ASSERT_EQUAL(moat_notify_check_script(dir, &error), -EPERM);
	CU_ASSERT_EQUAL(moat_notify_check_script("/nonexistent/x", &error), -ENOENT);
}

/* What a web hook can't do without is said at the start. */
static void test_web(void)
{
	struct moat_notify_options options = { .webhook = (char[]){ "https://192.0.2.1/" },
					       .token_file = path,
					       .timeout_ns = MOAT_NS_PER_S };
	struct moat_notify *notify = NULL;
	struct moat_error error;

	unlink(path);
	CU_ASSERT_EQUAL(moat_notify_new(&options, &notify, &error), -ENOENT);
	write_script("", 0604);
	CU_ASSERT_EQUAL(moat_notify_new(&options, &notify, &error), -EPERM);
	CU_ASSERT_PTR_NULL(notify);
	CU_ASSERT_EQUAL(chmod(path, 0600), 0);
	CU_ASSERT_EQUAL(moat_notify_new(&options, &notify, &error), 0);
	moat_notify_free(notify);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "delivered", test_delivered },
		{ "deaf", test_deaf },
		{ "late", test_late },
		{ "full", test_full },
		{ "trust", test_trust },
		{ "web", test_web },
		{ NULL, NULL },
	};
	int r;

	snprintf(dir, sizeof(dir), "/tmp/moat-notify-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/script", dir);
	moat_log_set_level(MOAT_LOG_ERROR); /* warnings are what is tested */
	r = moat_test_main("notify", tests);
	unlink(path);
	rmdir(dir);
	return r;
}
