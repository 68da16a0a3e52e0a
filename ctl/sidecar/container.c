/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See container.h. A cgroup's number is a file handle of its file system (FILEID_KERNFS), so the path is
 * one system call away, without a walk. */
#include "ctl/sidecar/container.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

#define ID_DIGITS 64
#define CACHE_SIZE 4096
/* include/linux/exportfs.h */
#define FILEID_KERNFS 0xfe

struct moat_containers {
	int mount_fd;
	char mount[MOAT_CONTAINER_PATH_LEN];
	struct moat_container cache[CACHE_SIZE]; /* by number, the later one wins */
};

/* ---- paths -------------------------------------------------------------------------------------- */

/* What stands before the id in a component, and who writes it so. */
static const struct {
	const char *prefix, *runtime;
} forms[] = {
	{ "docker-", "docker" },      { "cri-containerd-", "containerd" },
	{ "nerdctl-", "containerd" }, { "crio-", "crio" },
	{ "libpod-", "podman" },      { "", "" }, /* cgroupfs: the bare id */
};

static bool is_id(const char *text)
{
	for (size_t i = 0; i < ID_DIGITS; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
	}
	return true;
}

/* One component, "docker-<id>.scope" or "<id>". */
static bool parse_component(const char *begin, size_t length, struct moat_container *ret)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(forms); i++) {
		size_t prefix = strlen(forms[i].prefix), rest;

		if (length < prefix + ID_DIGITS || strncmp(begin, forms[i].prefix, prefix) != 0 ||
		    !is_id(begin + prefix))
			continue;
		rest = length - prefix - ID_DIGITS;
		if (rest != 0 && (rest != 6 || strncmp(begin + prefix + ID_DIGITS, ".scope", 6) != 0))
			continue;
		memcpy(ret->id, begin + prefix, ID_DIGITS);
		ret->id[ID_DIGITS] = '\0';
		snprintf(ret->runtime, sizeof(ret->runtime), "%s", forms[i].runtime);
		return true;
	}
	return false;
}

/* "pod<uid>" or "kubepods-besteffort-pod<uid>.slice", where systemd writes '_' for '-'. */
static void parse_pod(const char *begin, size_t length, struct moat_container *ret)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	const size_t uid = sizeof(shape) - 1;
	char found[sizeof(shape)];

	for (size_t at = 0; at + 3 + uid <= length; at++) {
		size_t i = 0;

		if (strncmp(begin + at, "pod", 3) != 0)
			continue;
		for (; i < uid; i++) {
			char c = begin[at + 3 + i];

			found[i] = shape[i] == '-' && c == '_' ? '-' : c;
			if (shape[i] == '-' ? found[i] != '-' : !isxdigit((unsigned char)c))
				break;
		}
		if (i == uid) {
			memcpy(ret->pod, found, uid);
			ret->pod[uid] = '\0';
			return;
		}
	}
}

bool moat_container_parse(const char *path, struct moat_container *ret_container)
{
	ret_container->id[0] = ret_container->runtime[0] = ret_container->pod[0] = '\0';
	while (*path) {
		size_t length = strcspn(path, "/");

		if (!ret_container->id[0] && parse_component(path, length, ret_container)) {
			path += length;
			continue;
		}
		/* the pod stands above the container; what is below is the container's own doing */
		if (!ret_container->id[0] && !ret_container->pod[0])
			parse_pod(path, length, ret_container);
		path += length ? length : 1;
	}
	if (!ret_container->id[0])
		ret_container->pod[0] = '\0';
	return ret_container->id[0] != '\0';
}

/* ---- cgroups ------------------------------------------------------------------------------------ */

static int find_mount(char ret_mount[MOAT_CONTAINER_PATH_LEN])
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	int r = -ENOENT;

	if (!mounts)
		return -errno;
	while (r != 0 && (entry = getmntent(mounts))) {
		if (strcmp(entry->mnt_type, "cgroup2") == 0 &&
		    strlen(entry->mnt_dir) < MOAT_CONTAINER_PATH_LEN) {
			snprintf(ret_mount, MOAT_CONTAINER_PATH_LEN, "%s", entry->mnt_dir);
			r = 0;
		}
	}
	endmntent(mounts);
	return r;
}

int moat_containers_new(struct moat_containers **ret_containers)
{
	struct moat_containers *containers = calloc(1, sizeof(*containers));
	int r;

	if (!containers)
		return -ENOMEM;
	r = find_mount(containers->mount);
	containers->mount_fd = r == 0 ? open(containers->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				      : -1;
	if (r == 0 && containers->mount_fd < 0)
		r = -errno;
	*ret_containers = containers;
	return r;
}

void moat_containers_free(struct moat_containers *containers)
{
	if (!containers)
		return;
	if (containers->mount_fd >= 0)
		close(containers->mount_fd);
	free(containers);
}

static void look_up(const struct moat_containers *containers, struct moat_container *ret)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + sizeof(uint64_t)];
	} name = { .handle = { .handle_bytes = sizeof(uint64_t), .handle_type = FILEID_KERNFS } };
	size_t mount = strlen(containers->mount);
	char link[32], path[sizeof(ret->path) + MOAT_CONTAINER_PATH_LEN];
	moat_auto_close int fd = -1;
	ssize_t length;

	memcpy(name.bytes + offsetof(struct file_handle, f_handle), &ret->cgroup_id,
	       sizeof(ret->cgroup_id));
	fd = open_by_handle_at(containers->mount_fd, &name.handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return; /* gone, or of another hierarchy */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < (ssize_t)mount || (size_t)length - mount >= sizeof(ret->path))
		return;
	path[length] = '\0';
	snprintf(ret->path, sizeof(ret->path), "%s", path[mount] ? path + mount : "/");
	moat_container_parse(ret->path, ret);
}

const struct moat_container *moat_containers_find(struct moat_containers *containers,
						  uint64_t cgroup_id)
{
	struct moat_container *found = &containers->cache[cgroup_id % CACHE_SIZE];

	if (found->cgroup_id == cgroup_id && found->path[0])
		return found;
	*found = (struct moat_container){ .cgroup_id = cgroup_id };
	if (cgroup_id && containers->mount_fd >= 0)
		look_up(containers, found);
	return found;
}
