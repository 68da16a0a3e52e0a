/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of processes, and what becomes of them in OCSF. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "ctl/sidecar/ocsf.h"
#include "ctl/sidecar/process.h"
#include "ctl/sidecar/record.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

static struct moat_task task_of(uint32_t tgid, uint32_t execs)
{
	struct moat_task task = {
		.self = { .start_ns = tgid * 1000ULL, .tgid = tgid, .execs = execs },
		.parent = { .start_ns = 1000, .tgid = 1 },
		.tid = tgid,
		.ns_tid = tgid,
		.loginuid = UINT32_MAX,
		.session = UINT32_MAX,
		.comm = "task",
	};

	return task;
}

static struct moat_event head_of(uint16_t type, uint32_t size, uint32_t tgid, uint32_t execs)
{
	return (struct moat_event){
		.size = size,
		.type = type,
		.sequence = 1,
		.time_ns = 5000,
		.task = task_of(tgid, execs),
	};
}

static int fork_of(struct moat_processes *table, uint32_t parent, uint32_t child)
{
	struct moat_event_task event = {
		.head = head_of(MOAT_EVENT_FORK, sizeof(event), parent, 0),
		.subject = task_of(child, 0),
	};

	return moat_processes_update(table, &event.head);
}

static uint32_t make_exec(struct moat_event_exec *ret_event, uint32_t tgid, const char *path,
			  const char *args, uint16_t args_len)
{
	size_t path_len = strlen(path) + 1;
	uint32_t size = (uint32_t)(offsetof(struct moat_event_exec, text) + path_len + args_len + 7) &
			~7U;

	memset(ret_event, 0, sizeof(*ret_event));
	ret_event->head = head_of(MOAT_EVENT_EXEC, size, tgid, 1);
	ret_event->file = (struct moat_file){ .inode = 42, .device = 8 << 20 | 1 };
	ret_event->path_len = (uint16_t)path_len;
	ret_event->args_len = args_len;
	ret_event->args_total = args_len;
	memcpy(ret_event->text, path, path_len);
	memcpy(ret_event->text + path_len, args, args_len);
	return size;
}

static int end_of(struct moat_processes *table, uint32_t tgid)
{
	struct moat_event_exit event = {
		.head = head_of(MOAT_EVENT_EXIT, sizeof(event), tgid, 1),
	};

	return moat_processes_update(table, &event.head);
}

static struct moat_processes *new_table(void)
{
	struct moat_processes *table = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_processes_new(1024, &table), 0);
	return table;
}

static void test_life(void)
{
	struct moat_processes *table = new_table();
	struct moat_process child = task_of(20, 0).self;
	const struct moat_process_record *record;
	struct moat_processes_counters counters;
	struct moat_event_exec exec;

	make_exec(&exec, 10, "/bin/parent", "parent\0-v", 10);
	CU_ASSERT_EQUAL(moat_processes_update(table, &exec.head), 0);
	CU_ASSERT_EQUAL(fork_of(table, 10, 20), 0);
	record = moat_processes_find(table, &child);
	CU_ASSERT_PTR_NOT_NULL_FATAL(record);
	/* a child runs what its parent runs, and who forked it is its parent for ever */
	CU_ASSERT_STRING_EQUAL(record->path, "/bin/parent");
	CU_ASSERT_STRING_EQUAL(record->args, "parent -v");
	CU_ASSERT_EQUAL(record->task.parent.tgid, 10);
	make_exec(&exec, 20, "/bin/child\n", "child\0a b\0", 10);
	CU_ASSERT_EQUAL(moat_processes_update(table, &exec.head), 0);
	record = moat_processes_find(table, &child);
	CU_ASSERT_STRING_EQUAL(record->path, "/bin/child\\x0a");
	CU_ASSERT_STRING_EQUAL(record->args, "child a b");
	CU_ASSERT_EQUAL(record->task.parent.tgid, 10);
	CU_ASSERT_EQUAL(record->task.self.execs, 1);
	/* two threads may both be told as the last */
	CU_ASSERT_EQUAL(end_of(table, 20), 0);
	CU_ASSERT_EQUAL(end_of(table, 20), MOAT_PROCESSES_REPEATED);
	CU_ASSERT_NOT_EQUAL(moat_processes_find(table, &child)->ended_ns, 0);
	moat_processes_counters(table, &counters);
	CU_ASSERT_EQUAL(counters.living, 1);
	CU_ASSERT_EQUAL(counters.ended, 1);
	CU_ASSERT_EQUAL(counters.repeated, 1);
	CU_ASSERT_EQUAL(counters.unknown, 1); /* the first parent was never seen to start */
	moat_processes_free(table);
	moat_processes_free(NULL);
}

/* The ended go first, then the oldest living, which is counted. */
static void test_bound(void)
{
	struct moat_processes *table = new_table();
	struct moat_processes_counters counters;
	struct moat_process first = task_of(100, 0).self, second = task_of(101, 0).self;

	for (uint32_t i = 0; i < 1024; i++)
		fork_of(table, 1, 100 + i);
	end_of(table, 101);
	fork_of(table, 1, 5000);
	CU_ASSERT_PTR_NULL(moat_processes_find(table, &second));
	CU_ASSERT_PTR_NOT_NULL(moat_processes_find(table, &first));
	fork_of(table, 1, 5001);
	CU_ASSERT_PTR_NULL(moat_processes_find(table, &first));
	moat_processes_counters(table, &counters);
	CU_ASSERT_EQUAL(counters.living + counters.ended, 1024);
	CU_ASSERT_EQUAL(counters.forgotten, 1);
	moat_processes_free(table);
	CU_ASSERT_EQUAL(moat_processes_new(1023, &table), -EINVAL);
}

/* Records that contradict themselves are told from whole ones. */
static void test_sound(void)
{
	struct moat_event_exec exec;
	uint32_t size = make_exec(&exec, 7, "/bin/x", "x\0y", 4);

	CU_ASSERT_TRUE(moat_event_is_sound(&exec.head, size));
	CU_ASSERT_FALSE(moat_event_is_sound(&exec.head, size - 8));
	exec.args_len = MOAT_EXEC_ARGS_LEN;
	CU_ASSERT_FALSE(moat_event_is_sound(&exec.head, size));
	exec.args_len = 4;
	exec.path_len = 3; /* doesn't end with its 0 */
	CU_ASSERT_FALSE(moat_event_is_sound(&exec.head, size));
	exec.head.type = MOAT_EVENT_TYPES;
	CU_ASSERT_FALSE(moat_event_is_sound(&exec.head, size));
}

static const char *text_at(json_t *object, const char *a, const char *b, const char *c)
{
	json_t *found = json_object_get(json_object_get(object, a), b);

	return json_string_value(c ? json_object_get(found, c) : found);
}

static void test_ocsf(void)
{
	const struct moat_ocsf_context context = { .boot_id = "boot", .hostname = "host" };
	struct moat_processes *table = new_table();
	struct moat_ocsf_event told = { 0 };
	struct moat_container container = {
		.runtime = "docker",
		.path = "/docker/abc",
		.id = "abc",
	};
	struct moat_process parent = task_of(10, 0).self, child = task_of(20, 0).self;
	struct moat_event_exec exec;
	json_t *object;

	make_exec(&exec, 10, "/bin/sh", "sh", 3);
	moat_processes_update(table, &exec.head);
	fork_of(table, 10, 20);
	make_exec(&exec, 20, "/usr/bin/id", "id\0-u", 6);
	moat_processes_update(table, &exec.head);
	told.event = &exec.head;
	told.process = moat_processes_find(table, &child);
	told.parent = moat_processes_find(table, &parent);
	told.container = &container;
	object = moat_ocsf_event(&context, &told);
	CU_ASSERT_PTR_NOT_NULL_FATAL(object);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "class_uid")), 1007);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "type_uid")), 100701);
	CU_ASSERT_STRING_EQUAL(text_at(object, "process", "cmd_line", NULL), "id -u");
	CU_ASSERT_STRING_EQUAL(text_at(object, "process", "uid", NULL), "boot-20-4e20-1");
	CU_ASSERT_STRING_EQUAL(text_at(object, "process", "file", "name"), "id");
	CU_ASSERT_STRING_EQUAL(text_at(object, "process", "file", "uid"), "8:1:42");
	CU_ASSERT_STRING_EQUAL(text_at(object, "process", "container", "runtime"), "docker");
	CU_ASSERT_STRING_EQUAL(text_at(object, "process", "parent_process", "cmd_line"), "sh");
	CU_ASSERT_STRING_EQUAL(text_at(object, "actor", "process", "cmd_line"), "sh");
	json_decref(object);
	exec.head.type = MOAT_EVENT_FORK;
	CU_ASSERT_PTR_NULL(moat_ocsf_event(&context, &told));
	moat_processes_free(table);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "life", test_life }, { "bound", test_bound }, { "sound", test_sound },
		{ "ocsf", test_ocsf }, { NULL, NULL },
	};

	return moat_test_main("sidecar process", tests);
}
