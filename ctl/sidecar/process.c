/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See process.h. A chained hash by (tgid, start), and two lists by age: the living and the ended. */
#include "ctl/sidecar/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "ctl/sidecar/text.h"
#include "dataplane/base/cleanup.h"

#define MOST_MIN 1024
#define MOST_MAX (1u << 22)

struct entry {
	struct moat_process_record record;
	bool has_ended;     /* and is in that list */
	struct entry *next; /* of the bucket */
	TAILQ_ENTRY(entry) by_age;
};

TAILQ_HEAD(entries, entry);

struct moat_processes {
	size_t most, bucket_count;
	struct entry **buckets;
	struct entries living, ended; /* oldest first */
	struct moat_processes_counters counters;
};

int moat_processes_new(size_t most, struct moat_processes **ret_table)
{
	struct moat_processes *table;

	if (most < MOST_MIN || most > MOST_MAX)
		return -EINVAL;
	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->most = most;
	table->bucket_count = MOST_MIN;
	while (table->bucket_count < most)
		table->bucket_count *= 2;
	TAILQ_INIT(&table->living);
	TAILQ_INIT(&table->ended);
	table->buckets = calloc(table->bucket_count, sizeof(struct entry *));
	if (!table->buckets) {
		free(table);
		return -ENOMEM;
	}
	*ret_table = table;
	return 0;
}

static void entry_free(struct entry *entry)
{
	free(entry->record.path);
	free(entry->record.args);
	free(entry);
}

static void list_free(struct entries *list)
{
	struct entry *entry;

	while ((entry = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, entry, by_age);
		entry_free(entry);
	}
}

void moat_processes_free(struct moat_processes *table)
{
	if (!table)
		return;
	list_free(&table->living);
	list_free(&table->ended);
	free(table->buckets);
	free(table);
}

/* ---- table -------------------------------------------------------------------------------------- */

static struct entry **bucket_of(const struct moat_processes *table,
				const struct moat_process *process)
{
	/* start times differ in their low bits, pids by one: a multiplicative mix (Knuth, 6.4) */
	uint64_t hash = (process->start_ns ^ (uint64_t)process->tgid << 32) * 0x9e3779b97f4a7c15ULL;

	return &table->buckets[hash >> 32 & (table->bucket_count - 1)];
}

static struct entry *entry_find(const struct moat_processes *table,
				const struct moat_process *process)
{
	struct entry *entry = *bucket_of(table, process);

	while (entry && (entry->record.task.self.tgid != process->tgid ||
			 entry->record.task.self.start_ns != process->start_ns))
		entry = entry->next;
	return entry;
}

const struct moat_process_record *moat_processes_find(const struct moat_processes *table,
						      const struct moat_process *process)
{
	const struct entry *entry = entry_find(table, process);

	return entry ? &entry->record : NULL;
}

static void entry_remove(struct moat_processes *table, struct entry *entry)
{
	struct entry **at = bucket_of(table, &entry->record.task.self);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	if (entry->has_ended) {
		TAILQ_REMOVE(&table->ended, entry, by_age);
		table->counters.ended--;
	} else {
		TAILQ_REMOVE(&table->living, entry, by_age);
		table->counters.living--;
	}
	entry_free(entry);
}

static void make_room(struct moat_processes *table)
{
	if (table->counters.living + table->counters.ended < table->most)
		return;
	if (!TAILQ_EMPTY(&table->ended)) {
		entry_remove(table, TAILQ_FIRST(&table->ended));
		return;
	}
	table->counters.forgotten++;
	entry_remove(table, TAILQ_FIRST(&table->living));
}

static struct entry *entry_add(struct moat_processes *table, const struct moat_task *task)
{
	struct entry *entry, **bucket;

	make_room(table);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->record.task = *task;
	bucket = bucket_of(table, &task->self);
	entry->next = *bucket;
	*bucket = entry;
	TAILQ_INSERT_TAIL(&table->living, entry, by_age);
	table->counters.living++;
	return entry;
}

/* The entry of a task, made if it isn't there. */
static struct entry *entry_of(struct moat_processes *table, const struct moat_task *task)
{
	struct entry *entry = entry_find(table, &task->self);

	if (entry)
		return entry;
	table->counters.unknown++;
	return entry_add(table, task);
}

/* ---- records ------------------------------------------------------------------------------------ */

/* Joins arguments by blanks; returns the length, without zeros at the end. */
static size_t join_args(const char *args, size_t length, char *joined)
{
	while (length > 0 && args[length - 1] == '\0')
		length--;
	for (size_t i = 0; i < length; i++)
		joined[i] = args[i] ? args[i] : ' ';
	return length;
}

char *moat_process_args_text(const char *args, size_t length)
{
	moat_auto_free char *joined = malloc(length + 1);

	if (!joined)
		return NULL;
	return moat_text_clean(joined, join_args(args, length, joined));
}

/* Puts the clean text of these bytes into *text, unless it is that already: shells and builds run the same
 * programs all day. */
static void text_update(char **text, const char *bytes, size_t length)
{
	/* plain: without zeros, too */
	if (*text && moat_text_is_plain(bytes, length) && strncmp(*text, bytes, length) == 0 &&
	    (*text)[length] == '\0')
		return;
	free(*text);
	*text = moat_text_clean(bytes, length);
}

/* Path and arguments of a process that was there before, as far as it still is. */
static void read_proc(struct moat_process_record *record)
{
	char path[64], target[4096], args[MOAT_EXEC_ARGS_LEN];
	moat_auto_close int fd = -1;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%u/exe", record->task.self.tgid);
	length = readlink(path, target, sizeof(target));
	if (length > 0)
		record->path = moat_text_clean(target, (size_t)length);
	snprintf(path, sizeof(path), "/proc/%u/cmdline", record->task.self.tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd >= 0 ? read(fd, args, sizeof(args)) : -1;
	if (length <= 0)
		return;
	record->args = moat_process_args_text(args, (size_t)length);
	record->args_cut = (size_t)length == sizeof(args);
}

static int on_existing(struct moat_processes *table, const struct moat_event_task *event)
{
	struct entry *entry = entry_find(table, &event->subject.self);

	if (entry)
		return 0; /* the probes told of it first, and know more */
	entry = entry_add(table, &event->subject);
	if (!entry)
		return -ENOMEM;
	entry->record.existed = true;
	read_proc(&entry->record);
	return 0;
}

/* A child runs what its parent runs. */
static int on_fork(struct moat_processes *table, const struct moat_event_task *event)
{
	struct entry *child, *parent;

	if (entry_find(table, &event->subject.self))
		return 0; /* listed as existing, told late */
	child = entry_add(table, &event->subject);
	if (!child)
		return -ENOMEM;
	/* not real_parent, which is init's or a subreaper's for CLONE_PARENT and the like */
	child->record.task.parent = event->head.task.self;
	parent = entry_find(table, &event->head.task.self);
	if (!parent)
		return 0;
	child->record.file = parent->record.file;
	child->record.tty = parent->record.tty;
	child->record.args_cut = parent->record.args_cut;
	child->record.path_cut = parent->record.path_cut;
	if (parent->record.path)
		child->record.path = strdup(parent->record.path);
	if (parent->record.args)
		child->record.args = strdup(parent->record.args);
	return 0;
}

/* Keeps who forked it: real_parent changes when a parent ends. And its own name: a thread's, also one of the
 * kernel's for io_uring, is another. */
static void take_task(struct moat_process_record *record, const struct moat_task *task)
{
	struct moat_process parent = record->task.parent;
	char comm[MOAT_COMM_LEN];

	memcpy(comm, record->task.comm, sizeof(comm));
	record->task = *task;
	if (task->tid != task->self.tgid && comm[0])
		memcpy(record->task.comm, comm, sizeof(comm));
	if (parent.tgid)
		record->task.parent = parent;
}

static int on_exec(struct moat_processes *table, const struct moat_event_exec *event)
{
	struct entry *entry = entry_of(table, &event->head.task);
	struct moat_process_record *record;
	char args[MOAT_EXEC_ARGS_LEN];

	if (!entry)
		return -ENOMEM;
	record = &entry->record;
	take_task(record, &event->head.task);
	record->file = event->file;
	record->tty = event->tty;
	record->existed = false;
	if (event->path_len) {
		text_update(&record->path, event->text, event->path_len - 1U);
	} else {
		free(record->path);
		record->path = NULL;
	}
	text_update(&record->args, args,
		    join_args(event->text + event->path_len, event->args_len, args));
	record->args_cut = event->args_total > event->args_len;
	record->path_cut = event->path_len == MOAT_EXEC_PATH_LEN;
	return 0;
}

static int on_end(struct moat_processes *table, const struct moat_event_exit *event)
{
	struct entry *entry = entry_of(table, &event->head.task);

	if (!entry)
		return -ENOMEM;
	if (entry->has_ended) {
		table->counters.repeated++;
		return MOAT_PROCESSES_REPEATED;
	}
	take_task(&entry->record, &event->head.task);
	entry->record.ended_ns = event->head.time_ns;
	entry->has_ended = true;
	TAILQ_REMOVE(&table->living, entry, by_age);
	TAILQ_INSERT_TAIL(&table->ended, entry, by_age);
	table->counters.living--;
	table->counters.ended++;
	return 0;
}

int moat_processes_update(struct moat_processes *table, const struct moat_event *event)
{
	switch (event->type) {
	case MOAT_EVENT_EXISTING:
		return on_existing(table, (const struct moat_event_task *)event);
	case MOAT_EVENT_FORK:
		return on_fork(table, (const struct moat_event_task *)event);
	case MOAT_EVENT_EXEC:
		return on_exec(table, (const struct moat_event_exec *)event);
	case MOAT_EVENT_EXIT:
		return on_end(table, (const struct moat_event_exit *)event);
	default:
		return 0;
	}
}

void moat_processes_each(const struct moat_processes *table, moat_processes_fn handler,
			 void *userdata)
{
	const struct entry *entry;

	TAILQ_FOREACH(entry, &table->living, by_age)
	handler(userdata, &entry->record);
}

int moat_processes_put(struct moat_processes *table, const struct moat_process_record *record)
{
	struct entry *entry = entry_find(table, &record->task.self);

	if (!entry)
		entry = entry_add(table, &record->task);
	if (!entry)
		return -ENOMEM;
	free(entry->record.path);
	free(entry->record.args);
	entry->record.task = record->task;
	entry->record.file = record->file;
	entry->record.tty = record->tty;
	entry->record.args_cut = record->args_cut;
	entry->record.path_cut = record->path_cut;
	entry->record.existed = record->existed;
	entry->record.path = record->path ? strdup(record->path) : NULL;
	entry->record.args = record->args ? strdup(record->args) : NULL;
	return 0;
}

void moat_processes_counters(const struct moat_processes *table,
			     struct moat_processes_counters *ret_counters)
{
	*ret_counters = table->counters;
}
