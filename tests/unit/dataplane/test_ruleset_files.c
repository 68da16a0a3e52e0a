/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/ruleset_load.c and ruleset_state.c: reports, errors with their lines, all or nothing, state
 * that survives. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "dataplane/ruleset.h"
#include "tests/harness/unit.h"

static char path[] = "/tmp/moat-test-rules-XXXXXX";

static void write_bytes(const char *text, size_t size)
{
	moat_auto_fclose FILE *file = fopen(path, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_EQUAL(fwrite(text, 1, size, file), size);
}

static void write_text(const char *text)
{
	write_bytes(text, strlen(text));
}

static struct moat_ruleset *new_set(void)
{
	struct moat_ruleset *set = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	return set;
}

static size_t rule_count(const struct moat_ruleset *set)
{
	size_t count;

	moat_ruleset_rules(set, &count);
	return count;
}

static size_t prefix_count(const struct moat_ruleset *set, enum moat_list list)
{
	size_t count;

	moat_ruleset_prefixes(set, list, &count);
	return count;
}

static void test_load(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	struct moat_ruleset_load_report report;
	struct moat_error error = { 0 };
	size_t count;

	write_text("# a list\r\n"
		   "192.0.2.0/24 ; SBL1\n"
		   "\n"
		   "192.0.2.0/24\n"
		   "2001:db8::/32\n"
		   "  allow 198.51.100.7  # the operator\n"
		   "deny 203.0.113.9\n"
		   "drop proto udp dport 53 comment \"a # is no ; comment here\"\n"
		   "limit 10/s proto tcp\n"
		   "drop dport 53 proto udp\n"
		   "deny 0.0.0.0/0");
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "tester", 1, &report, &error), 0);
	CU_ASSERT_STRING_EQUAL(error.text, "");
	CU_ASSERT_EQUAL(report.lines, 11);
	CU_ASSERT_EQUAL(report.allowed, 1);
	CU_ASSERT_EQUAL(report.denied, 4);
	CU_ASSERT_EQUAL(report.rules, 2);
	CU_ASSERT_EQUAL(report.duplicates, 2);
	CU_ASSERT_EQUAL(report.duplicate_lines[0], 4);
	CU_ASSERT_EQUAL(report.errors, 0);
	CU_ASSERT_STRING_EQUAL(moat_ruleset_rules(set, &count)[0].owner, "tester");
	CU_ASSERT_STRING_EQUAL(moat_ruleset_rules(set, &count)[0].comment,
			       "a # is no ; comment here");
	/* the same again adds nothing */
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "tester", 1, &report, &error), 0);
	CU_ASSERT_EQUAL(report.duplicates, 9);
	CU_ASSERT_EQUAL(rule_count(set), 2);
}

static void test_load_refused(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	struct moat_ruleset_load_report report;
	struct moat_error error = { 0 };
	char expected[MOAT_ERROR_LEN];
	static const char *const bad[] = {
		"10.0.0.1/8\n", "10.0.0.0/8 10.1.0.0/16\n",
		"hello\n",      "any\n",
		"0.0.0.0/0\n",  "::/0\n",
		"allow any\n",  "drop\n",
		"allow\n",      "deny \"\n",
		"drop dport x",
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(bad); i++) {
		char text[128];

		snprintf(text, sizeof(text), "192.0.2.0/24\n%s", bad[i]);
		write_text(text);
		error.text[0] = '\0';
		CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "", 1, &report, &error), -EINVAL);
		snprintf(expected, sizeof(expected), "%s:2: ", path);
		CU_ASSERT_EQUAL(strncmp(error.text, expected, strlen(expected)), 0);
		CU_ASSERT_EQUAL(report.errors, 1);
		CU_ASSERT_EQUAL(prefix_count(set, MOAT_LIST_DENY), 0);
	}
	write_text("x\nx\nx\nx\nx\nx\nx\n192.0.2.1\n");
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "", 1, &report, &error), -EINVAL);
	CU_ASSERT_EQUAL(report.errors, 7);
	CU_ASSERT_EQUAL(report.denied, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, ":5: "));
	CU_ASSERT_PTR_NULL(strstr(error.text, ":6: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "; and 2 more"));
	CU_ASSERT_EQUAL(prefix_count(set, MOAT_LIST_DENY), 0);
}

static void test_load_odd_files(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	struct moat_ruleset_load_report report;
	struct moat_error error = { 0 };
	char line[5000];

	write_text("");
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "", 1, &report, &error), 0);
	CU_ASSERT_EQUAL(report.lines, 0);
	write_bytes("1.2.3.4\n\0\0\n", 11);
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "", 1, &report, &error), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, ":2: a NUL byte"));
	memset(line, '1', sizeof(line));
	line[4998] = '\n';
	write_bytes(line, sizeof(line));
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "", 1, &report, &error), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, ":1: the line is too long"));
	CU_ASSERT_EQUAL(report.errors, 2);
	memset(line, '\n', sizeof(line));
	for (size_t i = 0; i < sizeof(line); i += 2)
		line[i] = 'x';
	write_bytes(line, sizeof(line));
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "", 1, &report, &error), -EINVAL);
	CU_ASSERT_EQUAL(report.errors, 1000);
	CU_ASSERT_EQUAL(moat_ruleset_load(set, "/dev/zero", "", 1, NULL, &error), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "/dev/zero: not a regular file"));
	CU_ASSERT_EQUAL(moat_ruleset_load(set, "/tmp", "", 1, NULL, &error), -EISDIR);
	CU_ASSERT_EQUAL(moat_ruleset_load(set, "/nonexistent/x", "", 1, NULL, &error), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "/nonexistent/x: No such file"));
}

static void test_load_full(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	struct moat_ruleset_load_report report;
	struct moat_error error = { 0 };
	moat_auto_fclose FILE *file = fopen(path, "we");

	for (int i = 0; i <= MOAT_RULES_MAX; i++)
		fprintf(file, "drop proto tcp dport %d\n", i);
	fflush(file);
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "", 1, &report, &error), MOAT_RULESET_FULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, ":4097: full"));
	CU_ASSERT_EQUAL(rule_count(set), 0);
}

/* Saved and restored is the same set, clocks apart. */
static void test_state(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set(),
								    *back = new_set();
	struct moat_ruleset_load_report report;
	struct moat_error error = { 0 };
	const struct moat_rule *a, *b;
	struct stat st;
	uint32_t id;

	write_text("192.0.2.0/24\n2001:db8::/32\nallow 198.51.100.7\n"
		   "drop proto udp dport 53 comment \"\\\"quoted\\\"\"\n"
		   "limit 10/s prefer-known proto tcp for 1h priority 7\n"
		   "drop proto gre for 1ms\n"
		   "count\n");
	CU_ASSERT_EQUAL(moat_ruleset_load(set, path, "an \"owner\"", moat_clock_monotonic_ns(),
					  &report, NULL),
			0);
	CU_ASSERT_EQUAL(moat_ruleset_del(set, 1), 0);
	usleep(2000);
	CU_ASSERT_EQUAL(moat_ruleset_save(set, path, &error), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(moat_ruleset_restore(back, path, &error), 0);
	CU_ASSERT_STRING_EQUAL(error.text, "");
	CU_ASSERT_EQUAL(prefix_count(back, MOAT_LIST_DENY), 2);
	CU_ASSERT_EQUAL(prefix_count(back, MOAT_LIST_ALLOW), 1);
	CU_ASSERT_EQUAL(rule_count(back), 2); /* without the one that expired meanwhile */
	a = moat_ruleset_find(set, 2);
	b = moat_ruleset_find(back, 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_EQUAL(b->slot, a->slot);
	CU_ASSERT_EQUAL(b->priority, 7);
	CU_ASSERT_EQUAL(b->rate_pps, 10);
	CU_ASSERT_EQUAL(b->flags, MOAT_RULE_PREFER_KNOWN);
	CU_ASSERT_STRING_EQUAL(b->owner, "an \"owner\"");
	CU_ASSERT_EQUAL(memcmp(&a->match, &b->match, sizeof(a->match)), 0);
	CU_ASSERT(b->expires_ns - a->expires_ns + 1000000000 < 2000000000);
	CU_ASSERT_EQUAL(moat_ruleset_find(back, 4)->slot, 3);
	/* ids of deleted rules stay used */
	CU_ASSERT_EQUAL(moat_ruleset_del(back, 4), 0);
	CU_ASSERT_EQUAL(moat_ruleset_add(back, moat_ruleset_find(set, 4), &id), 0);
	CU_ASSERT_EQUAL(id, 4);
	CU_ASSERT_EQUAL(moat_ruleset_load(back, path, "", 1, &report, &error), -EINVAL);
}

static void test_state_refused(void)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", ":0: the file ends too early" },
		{ "moat-rules 2\n", ":1: no rule set of this version" },
		{ "moat-rules 1\n", ":1: the file ends too early" },
		{ "moat-rules 1\nend 5\n", ":2: not a line" },
		{ "moat-rules 1\nend 1\ndeny 1.2.3.4\n", ":3: not a line" },
		{ "moat-rules 1\ndeny 1.2.3.4\ndeny 1.2.3.4\nend 3\n", ":3: said twice" },
		{ "moat-rules 1\ndeny 1.2.3\nend 2\n", ":2: '1.2.3'" },
		{ "moat-rules 1\nrule 1 0 0 0 drop proto gre\nend 2\n", ":2: column" },
		{ "moat-rules 1\nrule 0 0 0 0 \"\" drop proto gre\nend 2\n", ":2: not \"rule" },
		{ "moat-rules 1\nrule 1 4096 0 0 \"\" drop proto gre\nend 2\n", ":2: not \"rule" },
		{ "moat-rules 1\nrule 1 0 0 0 \"\" drop\nend 2\n", ":2: a rule that drops" },
		{ "moat-rules 1\nrule 1 0 0 0 \"12345678901234567\" count\nend 2\n", ":2: not" },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
		struct moat_error error = { 0 };

		write_text(cases[i].text);
		CU_ASSERT_EQUAL(moat_ruleset_restore(set, path, &error), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(error.text, cases[i].why));
		if (!strstr(error.text, cases[i].why))
			fprintf(stderr, "case %zu: %s\n", i, error.text);
		CU_ASSERT_EQUAL(rule_count(set) + prefix_count(set, MOAT_LIST_DENY), 0);
	}
}

static void test_save_refused(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	struct moat_error error = { 0 };

	CU_ASSERT_EQUAL(moat_ruleset_save(set, "/nonexistent/rules", &error), -ENOENT);
	CU_ASSERT_EQUAL(moat_ruleset_restore(set, "/nonexistent/rules", &error), -ENOENT);
	/* a rename onto a directory fails at the end: nothing is left behind */
	CU_ASSERT(moat_ruleset_save(set, "/tmp", &error) < 0);
	CU_ASSERT_NOT_EQUAL(access("/tmp.new", F_OK), 0);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "load", test_load },
		{ "load refused", test_load_refused },
		{ "load odd files", test_load_odd_files },
		{ "load full", test_load_full },
		{ "state", test_state },
		{ "state refused", test_state_refused },
		{ "save refused", test_save_refused },
		{ NULL, NULL },
	};
	int fd = mkstemp(path);
	int r;

	if (fd < 0)
		return 1;
	close(fd);
	r = moat_test_main("ruleset-files", tests);
	unlink(path);
	return r;
}
