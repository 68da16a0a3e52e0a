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
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "moat/cgroup.h"

#define ID_DIGITS 64
#define CACHE_SIZE 4096
/* include/linux/exportfs.h */
#define FILEID_KERNFS 0xfe

#define ASK_FOR_NS (2 * MOAT_NS_PER_S)
#define ASK_EVERY_NS (10 * MOAT_NS_PER_MS)

/* Where a hierarchy is mounted. */
struct mount {
	int fd; /* -1: it isn't */
	char path[MOAT_CONTAINER_PATH_LEN];
};

struct entry {
	struct moat_container container;
	uint64_t look_ns;              /* not before: the path of one that is gone */
	uint64_t ask_ns, ask_until_ns; /* who it is */
};

struct moat_containers {
	struct mount mounts[MOAT_HIERARCHY_COUNT];
	moat_containers_fn identify; /* NULL: nobody */
	void *userdata;
	struct entry cache[CACHE_SIZE]; /* by number, the later one wins */
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

/* ---- mounts ------------------------------------------------------------------------------------- */

/* The hierarchy that is mounted there, -1 for none of ours. */
static int hierarchy_of(const struct mntent *entry)
{
	if (strcmp(entry->mnt_type, "cgroup2") == 0)
		return MOAT_HIERARCHY_UNIFIED;
	if (strcmp(entry->mnt_type, "cgroup") != 0)
		return -1;
	if (hasmntopt(entry, "pids"))
		return MOAT_HIERARCHY_PIDS;
	return hasmntopt(entry, "memory") ? MOAT_HIERARCHY_MEMORY : -1;
}

static int find_mounts(struct moat_containers *containers)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	int r = -ENOENT;

	if (!mounts)
		return -errno;
	while ((entry = getmntent(mounts))) {
		int hierarchy = hierarchy_of(entry);
		struct mount *mount = hierarchy < 0 ? NULL : &containers->mounts[hierarchy];

		if (!mount || mount->fd >= 0 || strlen(entry->mnt_dir) >= sizeof(mount->path))
			continue;
		mount->fd = open(entry->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		snprintf(mount->path, sizeof(mount->path), "%s", entry->mnt_dir);
		if (mount->fd >= 0)
			r = 0;
	}
	endmntent(mounts);
	return r;
}

int moat_containers_new(struct moat_containers **ret_containers)
{
	struct moat_containers *containers = calloc(1, sizeof(*containers));

	if (!containers)
		return -ENOMEM;
	for (size_t i = 0; i < MOAT_HIERARCHY_COUNT; i++)
		containers->mounts[i].fd = -1;
	*ret_containers = containers;
	return find_mounts(containers);
}

void moat_containers_free(struct moat_containers *containers)
{
	if (!containers)
		return;
	for (size_t i = 0; i < MOAT_HIERARCHY_COUNT; i++) {
		if (containers->mounts[i].fd >= 0)
			close(containers->mounts[i].fd);
	}
	free(containers);
}

void moat_containers_ask(struct moat_containers *containers, moat_containers_fn identify,
			 void *userdata)
{
	containers->identify = identify;
	containers->userdata = userdata;
}

/* ---- cgroups ------------------------------------------------------------------------------------ */

/* The path below the mount of a cgroup's number; empty: gone, or too long. */
static void read_path(const struct mount *mount, uint64_t number,
		      char ret_path[MOAT_CONTAINER_PATH_LEN])
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + sizeof(uint64_t)];
	} name = { .handle = { .handle_bytes = sizeof(uint64_t), .handle_type = FILEID_KERNFS } };
	size_t above = strlen(mount->path);
	char link[32], path[2 * MOAT_CONTAINER_PATH_LEN];
	moat_auto_close int fd = -1;
	ssize_t length;

	memcpy(name.bytes + offsetof(struct file_handle, f_handle), &number, sizeof(number));
	fd = open_by_handle_at(mount->fd, &name.handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < (ssize_t)above || (size_t)length - above >= MOAT_CONTAINER_PATH_LEN)
		return;
	path[length] = '\0';
	snprintf(ret_path, MOAT_CONTAINER_PATH_LEN, "%s", path[above] ? path + above : "/");
}

/* A cgroup's number is its directory's inode. */
static void read_ancestors(const struct mount *mount, uint64_t hierarchy,
			   struct moat_container *container)
{
	char path[MOAT_CONTAINER_PATH_LEN];
	struct stat status;

	for (const char *at = container->path + 1; mount->fd >= 0 && (at = strchr(at, '/')) &&
						   container->ancestor_count < MOAT_CONTAINER_DEPTH;
	     at++) {
		snprintf(path, sizeof(path), "%.*s", (int)(at - container->path - 1),
			 container->path + 1);
		if (fstatat(mount->fd, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return;
		container->ancestors[container->ancestor_count++] = status.st_ino |
								    hierarchy
									    << MOAT_HIERARCHY_SHIFT;
	}
}

static void ask(const struct moat_containers *containers, struct entry *entry)
{
	uint64_t now;

	/* most are nobody's, or known: no look at the clock with each of their events */
	if (!containers->identify || entry->container.id[0] || !entry->ask_until_ns)
		return;
	now = moat_clock_monotonic_ns();
	if (now >= entry->ask_until_ns)
		entry->ask_until_ns = 0;
	if (now >= entry->ask_until_ns || now < entry->ask_ns)
		return;
	entry->ask_ns = now + ASK_EVERY_NS;
	containers->identify(containers->userdata, entry->container.path, &entry->container);
}

/* The place of a cgroup in the cache, emptied if another one had it. */
static struct entry *entry_of(struct moat_containers *containers, uint64_t cgroup_id)
{
	uint64_t mixed = cgroup_id ^ cgroup_id >> MOAT_HIERARCHY_SHIFT << 8;
	struct entry *entry = &containers->cache[mixed % CACHE_SIZE];

	if (entry->container.cgroup_id != cgroup_id)
		*entry = (struct entry){ .container = { .cgroup_id = cgroup_id } };
	return entry;
}

/* Whose it is, by its path. */
static void settle(struct entry *entry)
{
	if (!moat_container_parse(entry->container.path, &entry->container) &&
	    entry->container.path[1])
		entry->ask_until_ns = moat_clock_monotonic_ns() + ASK_FOR_NS;
}

static struct entry *place(struct moat_containers *containers, uint64_t cgroup_id, const char *path)
{
	struct entry *entry;

	if (MOAT_CGROUP_HIERARCHY(cgroup_id) >= MOAT_HIERARCHY_COUNT || path[0] != '/' ||
	    strlen(path) >= sizeof(entry->container.path))
		return NULL;
	entry = entry_of(containers, cgroup_id);
	*entry = (struct entry){ .container = { .cgroup_id = cgroup_id } };
	snprintf(entry->container.path, sizeof(entry->container.path), "%s", path);
	return entry;
}

void moat_containers_made(struct moat_containers *containers, const struct moat_event_cgroup *made)
{
	struct entry *entry = place(containers, made->cgroup_id, made->path);

	if (!entry)
		return;
	while (entry->container.ancestor_count < made->above_count) {
		uint32_t i = entry->container.ancestor_count++;

		entry->container.ancestors[i] = made->above[made->above_count - 1 - i];
	}
	settle(entry);
}

/* "9:pids:/path" or "0::/path"; -1: none of ours. */
static int parse_membership(char *line, const char **ret_path)
{
	char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

	if (!path)
		return -1;
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	*ret_path = path;
	names++;
	if (!*names)
		return MOAT_HIERARCHY_UNIFIED;
	if (strcmp(names, "pids") == 0)
		return MOAT_HIERARCHY_PIDS;
	return strcmp(names, "memory") == 0 ? MOAT_HIERARCHY_MEMORY : -1;
}

static void learn(struct moat_containers *containers, int hierarchy, const char *path,
		  const char *id)
{
	struct entry *entry;
	struct stat status;
	uint64_t cgroup_id;

	/* the root is nobody's own */
	if (containers->mounts[hierarchy].fd < 0 || path[0] != '/' || !path[1] ||
	    fstatat(containers->mounts[hierarchy].fd, path + 1, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	cgroup_id = status.st_ino | (uint64_t)hierarchy << MOAT_HIERARCHY_SHIFT;
	entry = place(containers, cgroup_id, path);
	if (!entry)
		return;
	read_ancestors(&containers->mounts[hierarchy], (uint64_t)hierarchy, &entry->container);
	settle(entry);
	if (!entry->container.id[0])
		snprintf(entry->container.id, sizeof(entry->container.id), "%s", id);
}

void moat_containers_learn(struct moat_containers *containers, uint32_t pid, const char *id)
{
	char name[32], line[MOAT_CONTAINER_PATH_LEN + 64];
	moat_auto_fclose FILE *file = NULL;
	const char *path;

	snprintf(name, sizeof(name), "/proc/%u/cgroup", pid);
	file = fopen(name, "re");
	while (file && fgets(line, sizeof(line), file)) {
		int hierarchy = parse_membership(line, &path);

		if (hierarchy >= 0)
			learn(containers, hierarchy, path, id);
	}
}

const struct moat_container *moat_containers_find(struct moat_containers *containers,
						  uint64_t cgroup_id)
{
	struct entry *entry = entry_of(containers, cgroup_id);
	uint64_t hierarchy = MOAT_CGROUP_HIERARCHY(cgroup_id);

	if (!entry->container.path[0] && cgroup_id && hierarchy < MOAT_HIERARCHY_COUNT &&
	    containers->mounts[hierarchy].fd >= 0 && moat_clock_monotonic_ns() >= entry->look_ns) {
		entry->look_ns = moat_clock_monotonic_ns() + ASK_EVERY_NS;
		read_path(&containers->mounts[hierarchy], MOAT_CGROUP_NUMBER(cgroup_id),
			  entry->container.path);
		if (entry->container.path[0]) {
			read_ancestors(&containers->mounts[hierarchy], hierarchy, &entry->container);
			settle(entry);
		}
	}
	if (entry->container.path[0])
		ask(containers, entry);
	return &entry->container;
}
