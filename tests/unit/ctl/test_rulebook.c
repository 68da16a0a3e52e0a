/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Drafts, commits that fail, what is saved and what the configuration owns. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/rulebook.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"

static char dir[64], state[128];
static int commit_result;

static int commit(void *userdata, const struct moat_ruleset *set, struct moat_error *error)
{
	return commit_result < 0 ? moat_error_set(error, commit_result, "the gate refuses")
				 : commit_result;
}

static struct moat_rulebook *open_book(void)
{
	struct moat_rulebook *book = NULL;
	struct moat_error error = { .text = "" };

	CU_ASSERT_EQUAL_FATAL(moat_rulebook_new(state, &book, &error), 0);
	return book;
}

static int configure(struct moat_rulebook *book, const char *text, struct moat_error *error)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	int r = moat_config_parse("f", text, strlen(text), 0, &config, error);

	if (r == 0)
		r = moat_rulebook_configure(book, config, error);
	return r;
}

static uint32_t add_as(struct moat_rulebook *book, const char *owner, const char *text)
{
	struct moat_rule rule;
	uint32_t id = 0;

	CU_ASSERT_EQUAL_FATAL(moat_rule_parse(text, moat_clock_monotonic_ns(), &rule, NULL), 0);
	snprintf(rule.owner, sizeof(rule.owner), "%s", owner);
	CU_ASSERT_EQUAL(moat_rulebook_add(book, &rule, &id), 0);
	return id;
}

static uint32_t add(struct moat_rulebook *book, const char *text)
{
	return add_as(book, MOAT_OWNER_OPERATOR, text);
}

static size_t live_count(const struct moat_rulebook *book)
{
	size_t count;

	moat_ruleset_rules(moat_rulebook_live(book), &count);
	return count;
}

static size_t denied_count(const struct moat_rulebook *book)
{
	size_t count;

	moat_ruleset_prefixes(moat_rulebook_live(book), MOAT_LIST_DENY, &count);
	return count;
}

static int apply(struct moat_rulebook *book)
{
	struct moat_error error = { .text = "" };
	int save_error = 0;
	int r = moat_rulebook_apply(book, commit, NULL, &save_error, &error);

	CU_ASSERT_EQUAL(save_error, 0);
	return r;
}

static struct moat_prefix prefix_of(const char *text)
{
	struct moat_prefix prefix = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_prefix_parse(text, &prefix), 0);
	return prefix;
}

/* What an operator did not confirm goes; what the responder did meanwhile stays. */
static void test_roll_back(void)
{
	static const char text[] = "ports: [{name: a}]\nrespond: {mode: enforce}\n";
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	struct moat_rulebook *book = open_book();
	uint32_t kept = add(book, "drop src 192.0.2.1"), loaded, ended, begun;
	char before[160];

	snprintf(before, sizeof(before), "%s.before", state);
	CU_ASSERT_EQUAL_FATAL(moat_config_parse("f", text, strlen(text), 0, &config, NULL), 0);
	ended = add_as(book, MOAT_RESPOND_OWNER, "drop src 192.0.2.2 for 1m");
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(moat_rulebook_save_before(book, before, NULL), 0);
	loaded = add(book, "drop src 192.0.2.3");
	CU_ASSERT_EQUAL(apply(book), 0);
	begun = add_as(book, MOAT_RESPOND_OWNER, "drop src 192.0.2.4 for 1m");
	CU_ASSERT_EQUAL(moat_rulebook_del(book, ended, "it ended"), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(moat_rulebook_roll_back(book, before, config, NULL), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_PTR_NOT_NULL(moat_ruleset_find(moat_rulebook_live(book), kept));
	CU_ASSERT_PTR_NULL(moat_ruleset_find(moat_rulebook_live(book), loaded));
	CU_ASSERT_PTR_NULL(moat_ruleset_find(moat_rulebook_live(book), ended));
	CU_ASSERT_PTR_NOT_NULL(moat_ruleset_find(moat_rulebook_live(book), begun));
	moat_rulebook_free(book);
	unlink(before);
	unlink(state);
}

static void test_draft(void)
{
	struct moat_rulebook *book = open_book();
	const struct moat_rule_change *changes;
	size_t count;
	uint32_t id = add(book, "drop src 192.0.2.1");

	CU_ASSERT_EQUAL(live_count(book), 0);
	CU_ASSERT_TRUE(moat_rulebook_is_changed(book));
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(live_count(book), 1);
	changes = moat_rulebook_changes(book, &count);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(changes[0].kind, MOAT_RULE_ADDED);
	CU_ASSERT_EQUAL(changes[0].rule.id, id);
	CU_ASSERT_EQUAL(moat_rulebook_del(book, id, "test"), 0);
	CU_ASSERT_EQUAL(moat_rulebook_del(book, id, "test"), -ENOENT);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(live_count(book), 0);
	moat_rulebook_free(book);
}

static void test_failed_commit(void)
{
	struct moat_rulebook *book = open_book();

	add(book, "drop src 192.0.2.1");
	CU_ASSERT_EQUAL(apply(book), 0);
	commit_result = -EIO;
	add(book, "drop src 192.0.2.2");
	CU_ASSERT_EQUAL(apply(book), -EIO);
	commit_result = 0;
	CU_ASSERT_FALSE(moat_rulebook_is_changed(book));
	CU_ASSERT_EQUAL(live_count(book), 1);
	moat_rulebook_free(book);
	unlink(state);
}

static void test_state(void)
{
	struct moat_prefix deny = prefix_of("198.51.100.0/24");
	struct moat_rulebook *book = open_book();
	uint32_t id;

	CU_ASSERT_EQUAL(
		configure(book, "ports: [{name: a}]\nlists: {deny: [203.0.113.0/24]}\n", NULL), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	id = add(book, "drop src 192.0.2.1 for 1h");
	CU_ASSERT_EQUAL(moat_rulebook_list_add(book, MOAT_LIST_DENY, &deny), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(denied_count(book), 2);
	moat_rulebook_free(book);
	/* the next moatd has another configuration: only what operators did is restored */
	book = open_book();
	CU_ASSERT_EQUAL(configure(book, "ports: [{name: a}]\n", NULL), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(live_count(book), 1);
	CU_ASSERT_PTR_NOT_NULL(moat_ruleset_find(moat_rulebook_live(book), id));
	CU_ASSERT_EQUAL(denied_count(book), 1);
	moat_rulebook_free(book);
	unlink(state);
}

static void test_config_owns(void)
{
	static const char text[] =
		"ports: [{name: a}]\nlists: {deny: [203.0.113.0/24]}\nrespond: {allow: [192.0.2.9]}\n";
	struct moat_prefix deny = prefix_of("203.0.113.0/24");
	struct moat_rulebook *book = open_book();
	const struct moat_rule *rule;
	size_t count;

	CU_ASSERT_EQUAL(configure(book, text, NULL), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	rule = moat_ruleset_rules(moat_rulebook_live(book), &count);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(rule->action, MOAT_ACTION_PASS);
	CU_ASSERT_EQUAL(rule->priority, MOAT_RESPOND_ALLOW_PRIORITY);
	CU_ASSERT_EQUAL(moat_rulebook_del(book, rule->id, "test"), -EPERM);
	CU_ASSERT_EQUAL(moat_rulebook_list_del(book, MOAT_LIST_DENY, &deny), -EPERM);
	moat_rulebook_drop(book);
	CU_ASSERT_EQUAL(denied_count(book), 1);
	moat_rulebook_free(book);
	unlink(state);
}

static void write_file(const char *path, const char *text)
{
	moat_auto_fclose FILE *file = fopen(path, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(text, file);
}

static void test_load(void)
{
	struct moat_ruleset_load_report report = { 0 };
	struct moat_error error = { .text = "" };
	struct moat_rulebook *book = open_book();
	char path[160];

	snprintf(path, sizeof(path), "%s/file", dir);
	write_file(path, "192.0.2.0/24\nallow 198.51.100.1\ndrop proto udp dport 19\n");
	CU_ASSERT_EQUAL(moat_rulebook_load(book, path, moat_clock_monotonic_ns(), &report, &error),
			0);
	CU_ASSERT_EQUAL(report.rules, 1);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(live_count(book), 1);
	write_file(path, "drop proto udp dport 20\nnonsense\n");
	CU_ASSERT_EQUAL(moat_rulebook_load(book, path, moat_clock_monotonic_ns(), &report, &error),
			-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "file:2:"));
	CU_ASSERT_FALSE(moat_rulebook_is_changed(book));
	moat_rulebook_free(book);
	/* saved under the ids that were in force */
	book = open_book();
	CU_ASSERT_EQUAL(configure(book, "ports: [{name: a}]\n", NULL), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(live_count(book), 1);
	CU_ASSERT_EQUAL(denied_count(book), 1);
	moat_rulebook_free(book);
	unlink(path);
	unlink(state);
}

static void test_expiry(void)
{
	struct moat_rulebook *book = open_book();
	const struct moat_rule_change *changes;
	uint64_t now_ns = moat_clock_monotonic_ns();
	size_t count;

	add(book, "drop src 192.0.2.1 for 10s");
	add(book, "drop src 192.0.2.2");
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(moat_rulebook_expire(book, now_ns), 0);
	CU_ASSERT_FALSE(moat_rulebook_is_changed(book));
	CU_ASSERT_EQUAL(moat_rulebook_expire(book, now_ns + 11 * MOAT_NS_PER_S), 1);
	CU_ASSERT_EQUAL(apply(book), 0);
	changes = moat_rulebook_changes(book, &count);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(changes[0].kind, MOAT_RULE_EXPIRED);
	CU_ASSERT_EQUAL(live_count(book), 1);
	moat_rulebook_free(book);
	unlink(state);
}

/* Rules of the responder from before: they end when it only observes, and never outlive its hold, however
 * the clock was set meanwhile. */
static void test_responder(void)
{
	static const char observe[] = "ports: [{name: x}]\n";
	static const char enforce[] = "ports: [{name: x}]\nrespond: {mode: enforce, hold: 30s}\n";
	struct moat_rulebook *book = open_book();
	const struct moat_rule_change *changes;
	const struct moat_rule *rules;
	struct moat_rule rule;
	size_t count;

	CU_ASSERT_EQUAL_FATAL(moat_rule_parse("drop dst 192.0.2.7 proto udp for 100d",
					      moat_clock_monotonic_ns(), &rule, NULL),
			      0);
	snprintf(rule.owner, sizeof(rule.owner), MOAT_RESPOND_OWNER);
	rule.priority = MOAT_RESPOND_PRIORITY;
	CU_ASSERT_EQUAL(moat_rulebook_add(book, &rule, NULL), 0);
	add(book, "drop dst 192.0.2.7 proto tcp for 100d");
	CU_ASSERT_EQUAL(apply(book), 0);
	moat_rulebook_free(book);
	book = open_book();
	CU_ASSERT_EQUAL(configure(book, enforce, NULL), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	rules = moat_ruleset_rules(moat_rulebook_live(book), &count);
	CU_ASSERT_EQUAL_FATAL(count, 2);
	CU_ASSERT_TRUE(rules[1].expires_ns <= moat_clock_monotonic_ns() + 30 * MOAT_NS_PER_S);
	CU_ASSERT_TRUE(rules[0].expires_ns > moat_clock_monotonic_ns() + 99 * 86400 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(configure(book, observe, NULL), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	changes = moat_rulebook_changes(book, &count);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(changes[0].kind, MOAT_RULE_REMOVED);
	rules = moat_ruleset_rules(moat_rulebook_live(book), &count);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_STRING_EQUAL(rules[0].owner, MOAT_OWNER_OPERATOR);
	moat_rulebook_free(book);
	unlink(state);
}

static int patch_result;
static size_t patches;

static int patch(void *userdata, const struct moat_ruleset *set, enum moat_list list,
		 const struct moat_prefix *prefix)
{
	patches++;
	return patch_result;
}

/* One prefix at a time, kept over a restart by notes, also cut off ones, and made again if it can't be. */
static void test_list_now(void)
{
	const struct moat_rulebook_ops ops = { commit, patch, NULL };
	struct moat_prefix a = prefix_of("192.0.2.0/24"), b = prefix_of("2001:db8::/32"),
			   owned = prefix_of("198.51.100.0/24");
	struct moat_rulebook *book;
	struct moat_error error = { .text = "" };
	int save_error = 0;
	char log[160];
	FILE *file;

	unlink(state);
	book = open_book();
	CU_ASSERT_EQUAL(configure(book, "ports: [{name: a}]\nlists:\n  allow: [198.51.100.0/24]\n",
				  &error),
			0);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(
		moat_rulebook_list_add_now(book, MOAT_LIST_DENY, &a, &ops, &save_error, &error), 0);
	CU_ASSERT_EQUAL(moat_rulebook_list_add_now(book, MOAT_LIST_DENY, &a, &ops, &save_error,
						   &error),
			MOAT_RULESET_EXISTS);
	CU_ASSERT_EQUAL(
		moat_rulebook_list_add_now(book, MOAT_LIST_DENY, &b, &ops, &save_error, &error), 0);
	CU_ASSERT_EQUAL(
		moat_rulebook_list_add_now(book, MOAT_LIST_ALLOW, &b, &ops, &save_error, &error), 0);
	CU_ASSERT_EQUAL(
		moat_rulebook_list_del_now(book, MOAT_LIST_DENY, &a, &ops, &save_error, &error), 0);
	CU_ASSERT_EQUAL(moat_rulebook_list_del_now(book, MOAT_LIST_DENY, &a, &ops, &save_error,
						   &error),
			-ENOENT);
	CU_ASSERT_EQUAL(moat_rulebook_list_del_now(book, MOAT_LIST_ALLOW, &owned, &ops, &save_error,
						   &error),
			-EPERM);
	CU_ASSERT_EQUAL(patches, 4);
	CU_ASSERT_EQUAL(save_error, 0);
	/* neither a patch nor a commit: as it was */
	patch_result = 1;
	commit_result = -EIO;
	CU_ASSERT_EQUAL(moat_rulebook_list_add_now(book, MOAT_LIST_DENY, &a, &ops, &save_error,
						   &error),
			-EIO);
	CU_ASSERT_EQUAL(denied_count(book), 1);
	patch_result = commit_result = 0;
	moat_rulebook_free(book);
	snprintf(log, sizeof(log), "%s.log", state);
	file = fopen(log, "ae");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs("+ deny 203.0.113", file);
	fclose(file);
	book = open_book();
	CU_ASSERT_EQUAL(configure(book, "ports: [{name: a}]\n", &error), 0);
	CU_ASSERT_EQUAL(apply(book), 0);
	CU_ASSERT_EQUAL(denied_count(book), 1);
	CU_ASSERT_TRUE(moat_ruleset_list_has(moat_rulebook_live(book), MOAT_LIST_ALLOW, &b));
	/* the whole set is saved now, and the notes are gone */
	CU_ASSERT_NOT_EQUAL(access(log, F_OK), 0);
	CU_ASSERT_EQUAL(
		moat_rulebook_list_del_now(book, MOAT_LIST_DENY, &b, &ops, &save_error, &error), 0);
	moat_rulebook_free(book);
	book = open_book();
	CU_ASSERT_EQUAL(configure(book, "ports: [{name: a}]\n", &error), 0);
	CU_ASSERT_EQUAL(denied_count(book), 0);
	moat_rulebook_free(book);
	unlink(log);
	unlink(state);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "draft", test_draft },         { "failed commit", test_failed_commit },
		{ "state", test_state },         { "config owns", test_config_owns },
		{ "load", test_load },           { "expiry", test_expiry },
		{ "responder", test_responder }, { "one prefix", test_list_now },
		{ "roll back", test_roll_back }, { NULL, NULL },
	};
	int r;

	snprintf(dir, sizeof(dir), "/tmp/moat-rulebook-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	snprintf(state, sizeof(state), "%s/rules", dir);
	r = moat_test_main("rulebook", tests);
	unlink(state);
	rmdir(dir);
	return r;
}
