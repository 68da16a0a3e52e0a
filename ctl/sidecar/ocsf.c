/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See ocsf.h. Attribute names and ids are those of the schema's class process_activity and objects process,
 * file, user, container and session. */
#include "ctl/sidecar/ocsf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

enum {
	CATEGORY_SYSTEM = 1,
	CLASS_PROCESS = 1007,
	ACTIVITY_LAUNCH = 1,
	ACTIVITY_TERMINATE = 2,
	SEVERITY_INFORMATIONAL = 1,
	FILE_REGULAR = 1,
	DEVICE_SERVER = 1,
};

#define NOT_SET UINT32_MAX

int moat_ocsf_context_init(struct moat_ocsf_context *ret_context)
{
	struct moat_ocsf_context context = { 0 };
	moat_auto_fclose FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	uint64_t realtime = moat_clock_realtime_ns();

	if (!file)
		return -errno;
	if (!fgets(context.boot_id, sizeof(context.boot_id), file))
		return -EIO;
	if (gethostname(context.hostname, sizeof(context.hostname) - 1) < 0)
		return -errno;
	context.realtime_offset_ns = realtime - moat_clock_monotonic_ns();
	context.boottime_offset_ns = realtime - moat_clock_read_ns(CLOCK_BOOTTIME);
	*ret_context = context;
	return 0;
}

const char *moat_ocsf_uid(const struct moat_ocsf_context *context,
			  const struct moat_process *process, char ret_text[MOAT_OCSF_UID_LEN])
{
	snprintf(ret_text, MOAT_OCSF_UID_LEN, "%s-%u-%llx-%u", context->boot_id, process->tgid,
		 (unsigned long long)process->start_ns, process->execs);
	return ret_text;
}

static json_t *milliseconds(uint64_t ns)
{
	return json_integer((json_int_t)(ns / MOAT_NS_PER_MS));
}

/* Stolen values; what is NULL is left out. */
static void add(json_t *object, const char *name, json_t *value)
{
	if (value)
		json_object_set_new(object, name, value);
}

static json_t *user(const struct moat_task *task)
{
	char uid[12], euid[12];

	snprintf(uid, sizeof(uid), "%u", task->uid);
	snprintf(euid, sizeof(euid), "%u", task->euid);
	/* what a process may do goes by the effective id; the real one is said where it differs */
	if (task->uid == task->euid)
		return json_pack("{s:s}", "uid", uid);
	return json_pack("{s:s, s:s}", "uid", euid, "uid_alt", uid);
}

static json_t *file_of(const struct moat_process_record *record)
{
	const char *path = record->path ? record->path : record->task.comm; /* kernel threads */
	const char *slash = strrchr(path, '/');
	json_t *file = json_pack("{s:s, s:s, s:i}", "name", slash ? slash + 1 : path, "path", path,
				 "type_id", FILE_REGULAR);
	char uid[48];

	if (record->file.inode == 0)
		return file;
	snprintf(uid, sizeof(uid), "%u:%u:%llu", record->file.device >> 20,
		 record->file.device & 0xfffff, (unsigned long long)record->file.inode);
	add(file, "uid", json_string(uid));
	add(file, "modified_time", milliseconds(record->file.ctime_ns));
	add(file, "is_deleted", json_boolean(record->file.flags & MOAT_FILE_UNLINKED));
	return file;
}

static json_t *container_of(const struct moat_container *container)
{
	json_t *object;

	if (!container || !container->id[0])
		return NULL;
	object = json_pack("{s:s}", "uid", container->id);
	if (container->runtime[0])
		add(object, "runtime", json_string(container->runtime));
	if (container->pod[0])
		add(object, "pod_uuid", json_string(container->pod));
	return object;
}

static json_t *process_of(const struct moat_ocsf_context *context,
			  const struct moat_process_record *record)
{
	const struct moat_task *task = &record->task;
	char uid[MOAT_OCSF_UID_LEN];
	json_t *process = json_pack("{s:I, s:s, s:s, s:o, s:o, s:o}", "pid",
				    (json_int_t)task->self.tgid, "uid",
				    moat_ocsf_uid(context, &task->self, uid), "name", task->comm,
				    "created_time",
				    milliseconds(task->self.start_ns + context->boottime_offset_ns),
				    "user", user(task), "file", file_of(record));

	if (!process)
		return NULL;
	if (record->args)
		add(process, "cmd_line", json_string(record->args));
	if (task->ns_tid != task->tid)
		add(process, "namespace_pid", json_integer(task->ns_tid));
	if (task->loginuid != NOT_SET)
		add(process, "auid", json_integer(task->loginuid));
	if (task->session != NOT_SET)
		add(process, "session", json_pack("{s:o}", "uid_alt", json_integer(task->session)));
	return process;
}

/* What OCSF has no name for. */
static json_t *unmapped(const struct moat_ocsf_process_event *told)
{
	const struct moat_task *task = &told->event->task;
	json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "cpu",
				   (json_int_t)told->event->cpu, "sequence",
				   (json_int_t)told->event->sequence, "pid_ns",
				   (json_int_t)task->pid_ns, "mnt_ns", (json_int_t)task->mnt_ns,
				   "net_ns", (json_int_t)task->net_ns, "user_ns",
				   (json_int_t)task->user_ns);

	if (told->container && told->container->path[0])
		add(object, "cgroup", json_string(told->container->path));
	if (told->late)
		add(object, "late", json_true());
	if (told->process->args_cut)
		add(object, "cmd_line_cut", json_true());
	if (told->process->file.flags & MOAT_FILE_MEMFD)
		add(object, "memfd", json_true());
	return object;
}

json_t *moat_ocsf_process(const struct moat_ocsf_context *context,
			  const struct moat_ocsf_process_event *told)
{
	const struct moat_event *event = told->event;
	int activity = event->type == MOAT_EVENT_EXEC ? ACTIVITY_LAUNCH : ACTIVITY_TERMINATE;
	json_t *process, *object, *actor;

	if (event->type != MOAT_EVENT_EXEC && event->type != MOAT_EVENT_EXIT)
		return NULL;
	process = process_of(context, told->process);
	if (told->parent)
		add(process, "parent_process", process_of(context, told->parent));
	add(process, "container", container_of(told->container));
	/* who acts: the parent starts a program, a process ends itself */
	actor = activity == ACTIVITY_LAUNCH && told->parent ? process_of(context, told->parent)
							    : process_of(context, told->process);
	object = json_pack("{s:i, s:i, s:i, s:i, s:i, s:o, s:{s:s, s:{s:s, s:s, s:s}},"
			   " s:{s:s, s:i}, s:{s:o}, s:o, s:o}",
			   "category_uid", CATEGORY_SYSTEM, "class_uid", CLASS_PROCESS,
			   "activity_id", activity, "type_uid", CLASS_PROCESS * 100 + activity,
			   "severity_id", SEVERITY_INFORMATIONAL, "time",
			   milliseconds(event->time_ns + context->realtime_offset_ns), "metadata",
			   "version", MOAT_OCSF_VERSION, "product", "name", "moat", "vendor_name",
			   "moat", "version", MOAT_VERSION, "device", "hostname", context->hostname,
			   "type_id", DEVICE_SERVER, "actor", "process", actor, "process", process,
			   "unmapped", unmapped(told));
	if (object && event->type == MOAT_EVENT_EXIT) {
		const struct moat_event_exit *end = (const struct moat_event_exit *)event;

		add(object, "exit_code",
		    json_integer(end->signal ? 128 + (json_int_t)end->signal : end->code));
	}
	return object;
}
