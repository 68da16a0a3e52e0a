/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See ocsf.h: what events of all classes have, and objects process, file, user, container and session of the
 * schema. */
#include "ctl/sidecar/ocsf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/sidecar/families.h"
#include "ctl/sidecar/ocsf_parts.h"
#include "ctl/sidecar/record.h"
#include "ctl/sidecar/syscalls.h"
#include "ctl/sidecar/text.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "moat/cgroup.h"

enum {
	SEVERITY_INFORMATIONAL = 1,
	STATUS_SUCCESS = 1,
	STATUS_FAILURE = 2,
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

json_t *moat_ocsf_time(uint64_t ns)
{
	return json_integer((json_int_t)(ns / MOAT_NS_PER_MS));
}

void moat_ocsf_add(json_t *object, const char *name, json_t *value)
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

/* A name that the task gives itself: any bytes. */
static char *comm_of(const struct moat_task *task)
{
	return moat_text_clean(task->comm, strnlen(task->comm, sizeof(task->comm)));
}

static json_t *file_of(const struct moat_process_record *record)
{
	moat_auto_free char *comm = comm_of(&record->task);
	const char *path = record->path ? record->path : comm; /* kernel threads */
	const char *slash = path ? strrchr(path, '/') : NULL;
	json_t *file = json_pack("{s:s, s:s, s:i}", "name", slash ? slash + 1 : path, "path", path,
				 "type_id", FILE_REGULAR);
	char uid[48];

	if (record->file.inode == 0)
		return file;
	snprintf(uid, sizeof(uid), "%u:%u:%llu", record->file.device >> 20,
		 record->file.device & 0xfffff, (unsigned long long)record->file.inode);
	moat_ocsf_add(file, "uid", json_string(uid));
	moat_ocsf_add(file, "modified_time", moat_ocsf_time(record->file.ctime_ns));
	moat_ocsf_add(file, "is_deleted", json_boolean(record->file.flags & MOAT_FILE_UNLINKED));
	return file;
}

static json_t *container_of(const struct moat_container *container)
{
	json_t *object;

	if (!container || !container->id[0])
		return NULL;
	object = json_pack("{s:s}", "uid", container->id);
	if (container->runtime[0])
		moat_ocsf_add(object, "runtime", json_string(container->runtime));
	if (container->pod[0])
		moat_ocsf_add(object, "pod_uuid", json_string(container->pod));
	return object;
}

/* The terminal's name below /dev, as far as its number has one for all (Linux, devices.txt). */
static json_t *terminal(uint32_t tty)
{
	uint32_t major = tty >> 20, minor = tty & 0xfffff;

	if (major >= 136 && major <= 143)
		return json_sprintf("pts/%u", (major - 136) * 256 + minor);
	if (major == 4)
		return minor < 64 ? json_sprintf("tty%u", minor)
				  : json_sprintf("ttyS%u", minor - 64);
	return json_sprintf("%u:%u", major, minor);
}

/* The audit session and the terminal. */
static json_t *session_of(const struct moat_process_record *record)
{
	json_t *session = json_object();

	if (record->task.session != NOT_SET)
		json_object_set_new(session, "uid_alt", json_sprintf("%u", record->task.session));
	if (record->tty)
		json_object_set_new(session, "terminal", terminal(record->tty));
	if (json_object_size(session) > 0)
		return session;
	json_decref(session);
	return NULL;
}

json_t *moat_ocsf_process(const struct moat_ocsf_context *context,
			  const struct moat_process_record *record)
{
	const struct moat_task *task = &record->task;
	moat_auto_free char *comm = comm_of(task);
	char uid[MOAT_OCSF_UID_LEN];
	json_t *process = json_pack(
		"{s:I, s:s, s:s, s:o, s:o, s:o}", "pid", (json_int_t)task->self.tgid, "uid",
		moat_ocsf_uid(context, &task->self, uid), "name", comm, "created_time",
		moat_ocsf_time(task->self.start_ns + context->boottime_offset_ns), "user",
		user(task), "file", file_of(record));

	if (!process)
		return NULL;
	if (record->args)
		moat_ocsf_add(process, "cmd_line", json_string(record->args));
	if (task->ns_tid != task->tid)
		moat_ocsf_add(process, "namespace_pid", json_integer(task->ns_tid));
	if (task->loginuid != NOT_SET)
		moat_ocsf_add(process, "auid", json_integer(task->loginuid));
	moat_ocsf_add(process, "session", session_of(record));
	return process;
}

/* ---- the event ---------------------------------------------------------------------------------- */

/* How an act was seen; OCSF has no name for any of it. */
static void add_call(json_t *object, const struct moat_call *call)
{
	static const char *const abis[] = { NULL, "native", "compat", "x32" };
	char *name = moat_syscalls_name(call->number, call->abi);

	if (name)
		moat_ocsf_add(object, "syscall", json_string(name));
	free(name);
	if (call->abi > MOAT_ABI_NATIVE && call->abi < MOAT_ARRAY_SIZE(abis))
		moat_ocsf_add(object, "abi", json_string(abis[call->abi]));
	moat_ocsf_add(object, "means", json_string(moat_means_name(call->means)));
	if (call->result != MOAT_RESULT_UNKNOWN)
		moat_ocsf_add(object, "result", json_integer(call->result));
}

static json_t *ancestors(const struct moat_container *container)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < container->ancestor_count; i++)
		json_array_append_new(
			list, json_integer((json_int_t)MOAT_CGROUP_NUMBER(container->ancestors[i])));
	return list;
}

/* What OCSF has no name for. */
static json_t *unmapped(const struct moat_ocsf_event *told)
{
	static const char *const hierarchies[MOAT_HIERARCHY_COUNT] = { NULL, "pids", "memory" };
	uint64_t hierarchy = MOAT_CGROUP_HIERARCHY(told->event->task.cgroup_id);
	const struct moat_task *task = &told->event->task;
	const struct moat_call *call = moat_event_call(told->event);
	json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "cgroup_id",
				   (json_int_t)MOAT_CGROUP_NUMBER(task->cgroup_id), "cpu",
				   (json_int_t)told->event->cpu, "sequence",
				   (json_int_t)told->event->sequence, "pid_ns",
				   (json_int_t)task->pid_ns, "mnt_ns", (json_int_t)task->mnt_ns,
				   "net_ns", (json_int_t)task->net_ns, "user_ns",
				   (json_int_t)task->user_ns);

	if (told->container && told->container->path[0])
		moat_ocsf_add(object, "cgroup", json_string(told->container->path));
	if (told->late)
		moat_ocsf_add(object, "late", json_true());
	if (told->process && told->process->args_cut)
		moat_ocsf_add(object, "cmd_line_cut", json_true());
	if (told->process && told->process->path_cut)
		moat_ocsf_add(object, "path_cut", json_true());
	if (hierarchy > 0 && hierarchy < MOAT_ARRAY_SIZE(hierarchies))
		moat_ocsf_add(object, "cgroup_hierarchy", json_string(hierarchies[hierarchy]));
	if (told->container && told->container->ancestor_count > 0)
		moat_ocsf_add(object, "cgroups_above", ancestors(told->container));
	if (told->process && told->process->file.flags & MOAT_FILE_OVERLAY)
		moat_ocsf_add(object, "upper_layer",
			      json_boolean(told->process->file.flags & MOAT_FILE_UPPER));
	if (told->process && told->process->file.flags & MOAT_FILE_MEMFD)
		moat_ocsf_add(object, "memfd", json_true());
	if (call)
		add_call(object, call);
	return object;
}

/* The process of the record, known or not. */
static json_t *actor(const struct moat_ocsf_context *context, const struct moat_ocsf_event *told)
{
	const struct moat_process_record unknown = { .task = told->event->task };
	json_t *process = moat_ocsf_process(context, told->process ? told->process : &unknown);

	if (told->parent)
		moat_ocsf_add(process, "parent_process", moat_ocsf_process(context, told->parent));
	moat_ocsf_add(process, "container", container_of(told->container));
	return process;
}

json_t *moat_ocsf_base(const struct moat_ocsf_context *context, const struct moat_ocsf_event *told,
		       int class, int activity)
{
	const struct moat_event *event = told->event;
	const struct moat_call *call = moat_event_call(event);
	json_t *object = json_pack(
		"{s:i, s:i, s:i, s:i, s:i, s:o, s:{s:s, s:s, s:{s:s, s:s, s:s}}, s:{s:s, s:i},"
		" s:{s:o}, s:o}",
		"category_uid", class / 1000, "class_uid", class, "activity_id", activity,
		"type_uid", class * 100 + activity, "severity_id", SEVERITY_INFORMATIONAL, "time",
		moat_ocsf_time(event->time_ns + context->realtime_offset_ns), "metadata", "version",
		MOAT_OCSF_VERSION, "event_code", moat_event_name(event->type), "product", "name",
		"moat", "vendor_name", "moat", "version", MOAT_VERSION, "device", "hostname",
		context->hostname, "type_id", DEVICE_SERVER, "actor", "process",
		actor(context, told), "unmapped", unmapped(told));

	if (object && call && call->result != MOAT_RESULT_UNKNOWN)
		moat_ocsf_add(object, "status_id",
			      json_integer(call->result < 0 && call->result > MOAT_RESULT_UNKNOWN
						   ? STATUS_FAILURE
						   : STATUS_SUCCESS));
	return object;
}

void moat_ocsf_note(json_t *object, const char *name, json_t *value)
{
	moat_ocsf_add(json_object_get(object, "unmapped"), name, value);
}

void moat_ocsf_find(const struct moat_processes *processes, struct moat_ocsf_event *told)
{
	const struct moat_event *event = told->event;

	told->process = moat_processes_find(processes, &event->task.self);
	told->parent = moat_processes_find(processes, told->process ? &told->process->task.parent
								    : &event->task.parent);
	told->target = NULL;
	if (event->type > MOAT_EVENT_EXIT && event->type <= MOAT_EVENT_PROCESS_LAST &&
	    event->type != MOAT_EVENT_CGROUP)
		told->target = moat_processes_find(processes,
						   &((const struct moat_event_act *)event)->target);
}

json_t *moat_ocsf_event(const struct moat_ocsf_context *context, const struct moat_ocsf_event *told)
{
	uint16_t type = told->event->type;

	if (type <= MOAT_EVENT_PROCESS_LAST)
		return moat_ocsf_process_event(context, told);
	if (type <= MOAT_EVENT_FILE_LAST)
		return moat_ocsf_file_event(context, told);
	if (type <= MOAT_EVENT_NET_LAST)
		return moat_ocsf_net_event(context, told);
	if (type >= MOAT_EVENT_KERNEL_FIRST && type <= MOAT_EVENT_KERNEL_LAST)
		return moat_ocsf_kernel_event(context, told);
	if (type == MOAT_EVENT_SUPPRESSED)
		return moat_ocsf_channel_event(context, told);
	return NULL;
}
