/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names of events, sets of them, the table of means, and paths from their parts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/sidecar/families.h"
#include "ctl/sidecar/path.h"
#include "ctl/sidecar/record.h"
#include "dataplane/base/cleanup.h"
#include "moat/event_file.h"
#include "moat/event_kernel.h"
#include "moat/event_net.h"
#include "tests/harness/unit.h"

static void test_names(void)
{
	CU_ASSERT_STRING_EQUAL(moat_event_name(MOAT_EVENT_FILE_OPEN), "file.open");
	CU_ASSERT_PTR_NULL(moat_event_name(MOAT_EVENT_NONE));
	CU_ASSERT_PTR_NULL(moat_event_name(MOAT_EVENT_TYPES));
	CU_ASSERT_EQUAL(moat_event_type_of("net.dns"), MOAT_EVENT_NET_DNS);
	CU_ASSERT_EQUAL(moat_event_type_of("net"), MOAT_EVENT_NONE);
	for (int type = 0; type < MOAT_EVENT_TYPES; type++) {
		const char *name = moat_event_name((uint16_t)type);

		if (name)
			CU_ASSERT_EQUAL(moat_event_type_of(name), type);
	}
}

static void test_sets(void)
{
	struct moat_event_set set;
	char word[64];

	CU_ASSERT_EQUAL(moat_event_set_parse("net,-net.dns, kernel.bpf", &set, word), 0);
	CU_ASSERT_TRUE(moat_event_set_has(&set, MOAT_EVENT_NET_BIND));
	CU_ASSERT_FALSE(moat_event_set_has(&set, MOAT_EVENT_NET_DNS));
	CU_ASSERT_TRUE(moat_event_set_has(&set, MOAT_EVENT_KERNEL_BPF));
	CU_ASSERT_FALSE(moat_event_set_has(&set, MOAT_EVENT_KERNEL_PERF));
	/* starts and ends are always in */
	CU_ASSERT_TRUE(moat_event_set_has(&set, MOAT_EVENT_EXEC));
	CU_ASSERT_FALSE(set.everything);
	CU_ASSERT_EQUAL(moat_event_set_parse("default,-file,file.open:all", &set, word), 0);
	CU_ASSERT_TRUE(moat_event_set_has(&set, MOAT_EVENT_FILE_OPEN));
	CU_ASSERT_FALSE(moat_event_set_has(&set, MOAT_EVENT_FILE_RENAME));
	CU_ASSERT_TRUE(moat_event_set_has(&set, MOAT_EVENT_SIGNAL));
	CU_ASSERT_TRUE(set.everything);
	CU_ASSERT_EQUAL(moat_event_set_parse("", &set, word), 0);
	CU_ASSERT_FALSE(moat_event_set_has(&set, MOAT_EVENT_SIGNAL));
	CU_ASSERT_EQUAL(moat_event_set_parse("file,files", &set, word), -EINVAL);
	CU_ASSERT_STRING_EQUAL(word, "files");
	CU_ASSERT_EQUAL(moat_event_set_parse("-", &set, word), -EINVAL);
}

/* Each observation has a name, a canary and a last resort; the order of means is that of their worth. */
static void test_table(void)
{
	for (uint32_t i = 0; i < moat_observation_count; i++) {
		const struct moat_observation *one = &moat_observations[i];

		CU_ASSERT_PTR_NOT_NULL(moat_event_name(one->type));
		CU_ASSERT_PTR_NOT_NULL(one->canary);
		CU_ASSERT_NOT_EQUAL(one->candidates[0].means, MOAT_MEANS_NONE);
		for (uint32_t c = 1; c < MOAT_CANDIDATES_MAX && one->candidates[c].means; c++)
			CU_ASSERT_TRUE(one->candidates[c].means > one->candidates[c - 1].means);
		for (uint32_t c = 0; c < MOAT_CANDIDATES_MAX && one->candidates[c].means; c++)
			CU_ASSERT_PTR_NOT_NULL(one->candidates[c].lost);
	}
}

static struct moat_event_file file_of(const char *text, const uint16_t lengths[MOAT_PART_COUNT])
{
	struct moat_event_file event = { .flags = 0 };
	size_t length = 0;

	for (size_t i = 0; i < MOAT_PART_COUNT; i++) {
		event.lengths[i] = lengths[i];
		length += lengths[i];
	}
	memcpy(event.text, text, length);
	return event;
}

static void expect_path(const struct moat_event_file *event, unsigned int which, const char *path)
{
	moat_auto_free char *text = moat_path_text(event, which);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_STRING_EQUAL(text, path);
}

static void test_paths(void)
{
	/* names come leaf first: /var/log, relative "a"; the second from the root, and given from it */
	struct moat_event_file event = file_of("log\0var\0a\0/etc/x", (uint16_t[]){ 8, 2, 0, 7 });

	expect_path(&event, 0, "/var/log/a");
	expect_path(&event, 1, "/etc/x");
	event.flags = MOAT_FILE_CUT << MOAT_PART_NAMES;
	expect_path(&event, 0, "\xe2\x80\xa6/var/log/a");
	CU_ASSERT_TRUE(moat_path_is_cut(&event, 0));
	CU_ASSERT_FALSE(moat_path_is_cut(&event, 1));
	event = file_of("", (uint16_t[]){ 0, 0, 0, 0 });
	expect_path(&event, 0, "");
	/* the root of something that isn't mounted */
	event = file_of("/\0b\n", (uint16_t[]){ 2, 3, 0, 0 });
	expect_path(&event, 0, "/b\\x0a");
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "names", test_names }, { "sets", test_sets }, { "table", test_table },
		{ "paths", test_paths }, { NULL, NULL },
	};

	return moat_test_main("sidecar families", tests);
}
