/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See host_file.h. An O_PATH descriptor names the file without opening it; /proc/self/fd opens what was
 * named, whatever stands at the path by then. */
#include "ctl/sidecar/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

static int open_beneath(const char *directory, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	moat_auto_close int parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	long fd;

	if (parent < 0)
		return -errno;
	fd = syscall(SYS_openat2, parent, path, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

/* All of it, or -EFBIG: it may grow between being looked at and being read. */
static int read_all(int fd, size_t most, char **ret_text, size_t *ret_length)
{
	moat_auto_free char *text = malloc(most + 1);
	size_t length = 0;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	while ((n = read(fd, text + length, most + 1 - length)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		length += (size_t)n;
		if (length > most)
			return -EFBIG;
	}
	text[length] = '\0';
	*ret_text = moat_take_ptr(text);
	*ret_length = length;
	return 0;
}

int moat_host_file_read(const char *directory, const char *path, size_t most, char **ret_text,
			size_t *ret_length)
{
	moat_auto_close int named = open_beneath(directory, path);
	moat_auto_close int fd = -1;
	struct stat status;
	char link[32];

	if (named < 0)
		return named;
	if (fstat(named, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if (status.st_size < 0 || (size_t)status.st_size > most)
		return -EFBIG;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", named);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : read_all(fd, most, ret_text, ret_length);
}
