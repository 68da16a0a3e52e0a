/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See record.h. One line a type. */
#include "ctl/sidecar/record.h"

#include <stddef.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "moat/event_file.h"
#include "moat/event_kernel.h"
#include "moat/event_net.h"

static const char *const names[MOAT_EVENT_TYPES] = {
	[MOAT_EVENT_EXISTING] = "process.existing",
	[MOAT_EVENT_FORK] = "process.fork",
	[MOAT_EVENT_EXEC] = "process.exec",
	[MOAT_EVENT_EXIT] = "process.exit",
	[MOAT_EVENT_SETID] = "process.setid",
	[MOAT_EVENT_CAPSET] = "process.capset",
	[MOAT_EVENT_PTRACE] = "process.ptrace",
	[MOAT_EVENT_MEMORY] = "process.memory",
	[MOAT_EVENT_SIGNAL] = "process.signal",
	[MOAT_EVENT_CGROUP] = "process.cgroup",
	[MOAT_EVENT_FILE_OPEN] = "file.open",
	[MOAT_EVENT_FILE_CREATE] = "file.create",
	[MOAT_EVENT_FILE_RENAME] = "file.rename",
	[MOAT_EVENT_FILE_LINK] = "file.link",
	[MOAT_EVENT_FILE_SYMLINK] = "file.symlink",
	[MOAT_EVENT_FILE_UNLINK] = "file.unlink",
	[MOAT_EVENT_FILE_CHMOD] = "file.chmod",
	[MOAT_EVENT_FILE_CHOWN] = "file.chown",
	[MOAT_EVENT_FILE_XATTR] = "file.xattr",
	[MOAT_EVENT_FILE_TRUNCATE] = "file.truncate",
	[MOAT_EVENT_FILE_MOUNT] = "file.mount",
	[MOAT_EVENT_FILE_UMOUNT] = "file.umount",
	[MOAT_EVENT_FILE_MAP] = "file.map",
	[MOAT_EVENT_FILE_MEMFD] = "file.memfd",
	[MOAT_EVENT_NET_SOCKET] = "net.socket",
	[MOAT_EVENT_NET_BIND] = "net.bind",
	[MOAT_EVENT_NET_LISTEN] = "net.listen",
	[MOAT_EVENT_NET_CONNECT] = "net.connect",
	[MOAT_EVENT_NET_ACCEPT] = "net.accept",
	[MOAT_EVENT_NET_STATE] = "net.state",
	[MOAT_EVENT_NET_DNS] = "net.dns",
	[MOAT_EVENT_KERNEL_BPF] = "kernel.bpf",
	[MOAT_EVENT_KERNEL_MODULE] = "kernel.module",
	[MOAT_EVENT_KERNEL_UNLOAD] = "kernel.unload",
	[MOAT_EVENT_KERNEL_PERF] = "kernel.perf",
	[MOAT_EVENT_KERNEL_USERFAULTFD] = "kernel.userfaultfd",
	[MOAT_EVENT_KERNEL_IO_URING] = "kernel.io_uring",
	[MOAT_EVENT_KERNEL_KEY] = "kernel.key",
	[MOAT_EVENT_KERNEL_KEXEC] = "kernel.kexec",
	[MOAT_EVENT_KERNEL_UNSHARE] = "kernel.unshare",
	[MOAT_EVENT_KERNEL_SETNS] = "kernel.setns",
	[MOAT_EVENT_KERNEL_PIVOT_ROOT] = "kernel.pivot_root",
	[MOAT_EVENT_KERNEL_CHROOT] = "kernel.chroot",
	[MOAT_EVENT_SUPPRESSED] = "channel.suppressed",
};

const char *moat_event_name(uint16_t type)
{
	return type < MOAT_EVENT_TYPES ? names[type] : NULL;
}

uint16_t moat_event_type_of(const char *name)
{
	for (int type = 0; type < MOAT_EVENT_TYPES; type++) {
		if (names[type] && strcmp(names[type], name) == 0)
			return (uint16_t)type;
	}
	return MOAT_EVENT_NONE;
}

/* ---- soundness ---------------------------------------------------------------------------------- */

#define ALIGNED(size) (((size) + 7) & ~(size_t)7)

static bool exec_is_sound(const struct moat_event *event, uint32_t size)
{
	const struct moat_event_exec *exec = (const struct moat_event_exec *)event;
	size_t text = offsetof(struct moat_event_exec, text);

	return size >= text && exec->path_len <= MOAT_EXEC_PATH_LEN &&
	       exec->args_len <= MOAT_EXEC_ARGS_LEN &&
	       size >= text + exec->path_len + exec->args_len &&
	       (exec->path_len == 0 || exec->text[exec->path_len - 1] == '\0');
}

/* A text of `length` bytes at `offset` is all that is behind it, and ends by a 0. */
static bool ends_with_text(const struct moat_event *event, uint32_t size, size_t offset,
			   size_t length, size_t most)
{
	return length <= most && size == ALIGNED(offset + length) &&
	       (length == 0 || ((const char *)event)[offset + length - 1] == '\0');
}

static bool file_is_sound(const struct moat_event *event, uint32_t size)
{
	const struct moat_event_file *file = (const struct moat_event_file *)event;
	size_t at = offsetof(struct moat_event_file, text);

	if (size < at)
		return false;
	for (unsigned int part = 0; part < MOAT_PART_COUNT; part++) {
		size_t length = file->lengths[part];

		if (length > MOAT_PART_LEN || at + length > size ||
		    (length > 0 && ((const char *)event)[at + length - 1] != '\0'))
			return false;
		at += length;
	}
	return size == ALIGNED(at);
}

static bool net_is_sound(const struct moat_event *event, uint32_t size)
{
	const struct moat_event_net *net = (const struct moat_event_net *)event;
	size_t text = offsetof(struct moat_event_net, text);

	/* a name from a packet holds what it likes */
	return size >= text && net->text_len <= MOAT_NET_TEXT_LEN &&
	       size == ALIGNED(text + net->text_len);
}

static bool kernel_is_sound(const struct moat_event *event, uint32_t size)
{
	const struct moat_event_kernel *kernel = (const struct moat_event_kernel *)event;
	size_t text = offsetof(struct moat_event_kernel, text);

	return size >= text &&
	       ends_with_text(event, size, text, kernel->text_len, MOAT_KERNEL_TEXT_LEN);
}

static bool cgroup_is_sound(const struct moat_event *event, uint32_t size)
{
	const struct moat_event_cgroup *cgroup = (const struct moat_event_cgroup *)event;
	size_t path = offsetof(struct moat_event_cgroup, path);

	return size >= path && cgroup->above_count <= MOAT_CGROUP_ABOVE &&
	       ends_with_text(event, size, path, cgroup->path_len, sizeof(cgroup->path));
}

static bool process_is_sound(const struct moat_event *event, uint32_t size)
{
	switch (event->type) {
	case MOAT_EVENT_EXISTING:
	case MOAT_EVENT_FORK:
		return size == sizeof(struct moat_event_task);
	case MOAT_EVENT_EXEC:
		return exec_is_sound(event, size);
	case MOAT_EVENT_EXIT:
		return size == sizeof(struct moat_event_exit);
	case MOAT_EVENT_CGROUP:
		return cgroup_is_sound(event, size);
	default:
		return size == sizeof(struct moat_event_act);
	}
}

bool moat_event_is_sound(const struct moat_event *event, uint32_t size)
{
	if (size < sizeof(*event) || event->size != size || !moat_event_name(event->type))
		return false;
	if (event->type <= MOAT_EVENT_PROCESS_LAST)
		return process_is_sound(event, size);
	if (event->type <= MOAT_EVENT_FILE_LAST)
		return file_is_sound(event, size);
	if (event->type <= MOAT_EVENT_NET_LAST)
		return net_is_sound(event, size);
	if (event->type == MOAT_EVENT_SUPPRESSED)
		return size == sizeof(struct moat_event_suppressed);
	return event->type <= MOAT_EVENT_KERNEL_LAST && kernel_is_sound(event, size);
}

const struct moat_call *moat_event_call(const struct moat_event *event)
{
	/* all records of acts begin alike */
	if (event->type <= MOAT_EVENT_EXIT || event->type == MOAT_EVENT_CGROUP ||
	    event->type > MOAT_EVENT_KERNEL_LAST)
		return NULL;
	return &((const struct moat_event_act *)event)->call;
}
