/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See canary.h: files of its own, in a directory of its own, each act with what it needs. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ctl/sidecar/canary.h"
#include "dataplane/base/cleanup.h"

#define PATH_LEN 96

static const char *in_directory(const struct moat_canary *canary, const char *name,
				char ret_path[PATH_LEN])
{
	snprintf(ret_path, PATH_LEN, "%s/%s", canary->directory, name);
	return ret_path;
}

/* A file of that name, and its path. */
static const char *make(const struct moat_canary *canary, const char *name, char ret_path[PATH_LEN])
{
	moat_auto_close int fd = open(in_directory(canary, name, ret_path),
				      O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return ret_path;
}

void moat_canary_open(const struct moat_canary *canary)
{
	char path[PATH_LEN];

	unlink(make(canary, "open", path));
}

void moat_canary_create(const struct moat_canary *canary)
{
	char path[PATH_LEN];

	mkdir(in_directory(canary, "create", path), 0700);
	rmdir(path);
}

void moat_canary_rename(const struct moat_canary *canary)
{
	char from[PATH_LEN], to[PATH_LEN];

	make(canary, "from", from);
	rename(from, in_directory(canary, "to", to));
	unlink(to);
}

void moat_canary_link(const struct moat_canary *canary)
{
	char from[PATH_LEN], to[PATH_LEN];

	make(canary, "from", from);
	if (link(from, in_directory(canary, "to", to)) == 0)
		unlink(to);
	unlink(from);
}

void moat_canary_symlink(const struct moat_canary *canary)
{
	char path[PATH_LEN];

	if (symlink("canary", in_directory(canary, "symlink", path)) == 0)
		unlink(path);
}

void moat_canary_unlink(const struct moat_canary *canary)
{
	char path[PATH_LEN];

	unlink(make(canary, "unlink", path));
}

void moat_canary_chmod(const struct moat_canary *canary)
{
	chmod(canary->directory, 0700);
}

void moat_canary_chown(const struct moat_canary *canary)
{
	if (chown(canary->directory, (uid_t)-1, (gid_t)-1) < 0)
		return; /* it was asked for, which is all */
}

void moat_canary_xattr(const struct moat_canary *canary)
{
	removexattr(canary->directory, "user.moat.canary");
}

void moat_canary_truncate(const struct moat_canary *canary)
{
	char path[PATH_LEN];

	if (truncate(make(canary, "truncate", path), 0) == 0)
		unlink(path);
}

void moat_canary_mount(const struct moat_canary *canary)
{
	/* no such file system */
	mount("moat-canary", canary->directory, "moat-canary", 0, NULL);
}

void moat_canary_umount(const struct moat_canary *canary)
{
	/* nothing is mounted there */
	umount2(canary->directory, 0);
}

void moat_canary_map(const struct moat_canary *canary)
{
	moat_auto_close int fd = memfd_create("moat-canary", MFD_CLOEXEC);
	void *memory;

	if (fd < 0 || ftruncate(fd, 1) < 0)
		return;
	memory = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (memory != MAP_FAILED)
		munmap(memory, 1);
}

void moat_canary_memfd(const struct moat_canary *canary)
{
	moat_auto_close int fd = memfd_create("moat-canary", MFD_CLOEXEC);
}
