/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lock is an flock: it goes with the process, however that ends. */
#include "ctl/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "dataplane/base/cleanup.h"

static int make_one(const char *path, mode_t mode)
{
	struct stat facts;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &facts) < 0)
		return -errno;
	return S_ISDIR(facts.st_mode) ? 0 : -ENOTDIR;
}

int moat_dirs_make(const char *path, mode_t mode)
{
	char partial[PATH_MAX];
	size_t length = strlen(path);

	if (length == 0 || length >= sizeof(partial))
		return -ENAMETOOLONG;
	memcpy(partial, path, length + 1);
	for (char *slash = strchr(partial + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int r;

		*slash = '\0';
		r = make_one(partial, mode);
		*slash = '/';
		if (r < 0)
			return r;
	}
	return make_one(partial, mode);
}

int moat_dirs_make_parent(const char *path, mode_t mode)
{
	moat_auto_free char *parent = strdup(path);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!parent)
		return -ENOMEM;
	if (!slash || slash == parent)
		return 0;
	*slash = '\0';
	return moat_dirs_make(parent, mode);
}

int moat_dirs_lock(const char *run_dir, int *ret_fd, struct moat_error *error)
{
	moat_auto_close int fd = -1;
	char path[PATH_MAX], pid[32] = "";

	snprintf(path, sizeof(path), "%s/moatd.pid", run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return moat_error_set(error, -errno, "lock file %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return moat_error_set(error, -errno, "lock file %s: %s", path,
					      strerror(errno));
		if (read(fd, pid, sizeof(pid) - 1) <= 0)
			snprintf(pid, sizeof(pid), "unknown");
		pid[strcspn(pid, "\n")] = '\0';
		return moat_error_set(
			error, -EBUSY,
			"moatd is running already with pid %s (lock file %s): stop it first, or give "
			"this one a run_dir of its own",
			pid, path);
	}
	snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
		return moat_error_set(error, -errno, "lock file %s: %s", path, strerror(errno));
	*ret_fd = moat_take_fd(&fd);
	return 0;
}
