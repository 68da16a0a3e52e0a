/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* File System Activity, class 1001. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/sidecar/ocsf_parts.h"
#include "ctl/sidecar/path.h"
#include "dataplane/base/cleanup.h"
#include "moat/event_file.h"

enum {
	CLASS_FILE = 1001,
	ACTIVITY_CREATE = 1,
	ACTIVITY_READ = 2,
	ACTIVITY_UPDATE = 3,
	ACTIVITY_DELETE = 4,
	ACTIVITY_RENAME = 5,
	ACTIVITY_SET_ATTRIBUTES = 6,
	ACTIVITY_SET_SECURITY = 7,
	ACTIVITY_MOUNT = 12,
	ACTIVITY_UNMOUNT = 13,
	ACTIVITY_OPEN = 14,
};

/* include/linux/fs.h: the open made the file */
#define FMODE_CREATED (1u << 20)

static int activity_of(const struct moat_event_file *event)
{
	switch (event->head.type) {
	case MOAT_EVENT_FILE_OPEN:
		return event->call.values[2] & FMODE_CREATED ? ACTIVITY_CREATE : ACTIVITY_OPEN;
	case MOAT_EVENT_FILE_CREATE:
	case MOAT_EVENT_FILE_LINK:
	case MOAT_EVENT_FILE_SYMLINK:
	case MOAT_EVENT_FILE_MEMFD:
		return ACTIVITY_CREATE;
	case MOAT_EVENT_FILE_RENAME:
		return ACTIVITY_RENAME;
	case MOAT_EVENT_FILE_UNLINK:
		return ACTIVITY_DELETE;
	case MOAT_EVENT_FILE_CHMOD:
	case MOAT_EVENT_FILE_CHOWN:
		return ACTIVITY_SET_SECURITY;
	case MOAT_EVENT_FILE_XATTR:
		return ACTIVITY_SET_ATTRIBUTES;
	case MOAT_EVENT_FILE_TRUNCATE:
		return ACTIVITY_UPDATE;
	case MOAT_EVENT_FILE_MOUNT:
		return ACTIVITY_MOUNT;
	case MOAT_EVENT_FILE_UMOUNT:
		return ACTIVITY_UNMOUNT;
	default:
		return MOAT_OCSF_ACTIVITY_OTHER;
	}
}

/* type_id of the object `file`; 0: unknown. */
static int type_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 1;
	case S_IFDIR:
		return 2;
	case S_IFCHR:
		return 3;
	case S_IFBLK:
		return 4;
	case S_IFIFO:
		return 5;
	case S_IFSOCK:
		return 6;
	case S_IFLNK:
		return 7;
	default:
		return 0;
	}
}

static json_t *file_at(const char *path, int type)
{
	const char *slash = strrchr(path, '/');

	return json_pack("{s:s, s:s, s:i}", "name", slash && slash[1] ? slash + 1 : path, "path",
			 path, "type_id", type);
}

/* The first path, with what is known of the file that it leads to. */
static json_t *first_file(const struct moat_event_file *event, const char *path)
{
	json_t *file = file_at(path, type_of(event->mode));
	char uid[48], owner[12];

	if (event->file.inode == 0)
		return file;
	snprintf(uid, sizeof(uid), "%u:%u:%llu", event->file.device >> 20,
		 event->file.device & 0xfffff, (unsigned long long)event->file.inode);
	moat_ocsf_add(file, "uid", json_string(uid));
	snprintf(owner, sizeof(owner), "%u", event->owner);
	moat_ocsf_add(file, "owner", json_pack("{s:s}", "uid", owner));
	moat_ocsf_add(file, "modified_time", moat_ocsf_time(event->file.ctime_ns));
	if (event->file.flags & MOAT_FILE_UNLINKED)
		moat_ocsf_add(file, "is_deleted", json_true());
	return file;
}

static void note(json_t *object, const char *name, uint64_t value)
{
	moat_ocsf_note(object, name, json_integer((json_int_t)value));
}

/* What the call was given, under the manual's names. */
static void note_values(json_t *object, const struct moat_event_file *event)
{
	const __u64 *values = event->call.values;

	switch (event->head.type) {
	case MOAT_EVENT_FILE_OPEN:
		note(object, "flags", values[0]);
		if (values[0] & (O_CREAT | O_TMPFILE))
			note(object, "mode", values[1] & 07777);
		break;
	case MOAT_EVENT_FILE_CREATE:
	case MOAT_EVENT_FILE_CHMOD:
		note(object, "mode", values[0] & 0177777);
		break;
	case MOAT_EVENT_FILE_CHOWN:
		/* -1 leaves it as it is */
		moat_ocsf_note(object, "uid", json_integer((int32_t)values[0]));
		moat_ocsf_note(object, "gid", json_integer((int32_t)values[1]));
		break;
	case MOAT_EVENT_FILE_XATTR:
		moat_ocsf_note(object, "removed", json_boolean(values[0]));
		note(object, "size", values[1]);
		break;
	case MOAT_EVENT_FILE_TRUNCATE:
		note(object, "length", values[0]);
		break;
	case MOAT_EVENT_FILE_MAP:
		note(object, "protection", values[0]);
		note(object, "flags", values[1]);
		break;
	default:
		note(object, "flags", values[0]);
		break;
	}
}

/* Where the second path belongs. */
static void add_second(json_t *object, const struct moat_event_file *event, const char *path)
{
	switch (event->head.type) {
	case MOAT_EVENT_FILE_RENAME:
	case MOAT_EVENT_FILE_LINK:
		moat_ocsf_add(object, "file_result", file_at(path, type_of(event->mode)));
		break;
	case MOAT_EVENT_FILE_SYMLINK:
		moat_ocsf_add(object, "file_result", file_at(path, type_of(S_IFLNK)));
		break;
	case MOAT_EVENT_FILE_XATTR:
		moat_ocsf_note(object, "attribute", json_string(path));
		break;
	default:
		moat_ocsf_note(object, "source", json_string(path));
		break;
	}
}

json_t *moat_ocsf_file_event(const struct moat_ocsf_context *context,
			     const struct moat_ocsf_event *told)
{
	const struct moat_event_file *event = (const struct moat_event_file *)told->event;
	moat_auto_free char *first = moat_path_text(event, 0), *second = moat_path_text(event, 1);
	int activity = activity_of(event);
	json_t *object;

	if (!first || !second)
		return NULL;
	object = moat_ocsf_base(context, told, CLASS_FILE, activity);
	moat_ocsf_add(object, "file", first_file(event, first));
	if (second[0])
		add_second(object, event, second);
	if (activity == MOAT_OCSF_ACTIVITY_OTHER)
		moat_ocsf_add(object, "activity_name", json_string("Map"));
	if (event->file.flags & MOAT_FILE_MEMFD)
		moat_ocsf_note(object, "file_is_memfd", json_true());
	if (moat_path_is_cut(event, 0) || moat_path_is_cut(event, 1))
		moat_ocsf_note(object, "path_cut", json_true());
	if (event->flags & MOAT_FILE_UNREADABLE)
		moat_ocsf_note(object, "path_unreadable", json_true());
	note_values(object, event);
	return object;
}
