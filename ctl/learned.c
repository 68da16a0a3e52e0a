/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/learned.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		bytes += written;
		size -= (size_t)written;
	}
	return 0;
}

int moat_learned_save(const char *path, const void *bytes, size_t size, struct moat_error *error)
{
	moat_auto_close int fd = -1;
	char fresh[4096];
	int r = 0;

	snprintf(fresh, sizeof(fresh), "%.4000s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return moat_error_set(error, -errno, "%s: %s", fresh, strerror(errno));
	r = write_all(fd, bytes, size);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(fresh);
		return moat_error_set(error, r, "%s: %s", path, strerror(-r));
	}
	return 0;
}

int moat_learned_load(const char *path, void **ret_bytes, size_t *ret_size, struct moat_error *error)
{
	moat_auto_fclose FILE *file = fopen(path, "re");
	moat_auto_free uint8_t *bytes = NULL;
	size_t size;

	if (!file)
		return moat_error_set(error, -errno, "%s: %s", path, strerror(errno));
	bytes = malloc(MOAT_LEARNED_BYTES_MAX + 1);
	if (!bytes)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", path);
	size = fread(bytes, 1, MOAT_LEARNED_BYTES_MAX + 1, file);
	if (ferror(file))
		return moat_error_set(error, -EIO, "%s: can't be read", path);
	if (size > MOAT_LEARNED_BYTES_MAX)
		return moat_error_set(error, -EFBIG, "%s: larger than %u bytes", path,
				      MOAT_LEARNED_BYTES_MAX);
	*ret_bytes = moat_take_ptr(bytes);
	*ret_size = size;
	return 0;
}

const char *moat_learned_refusal(int r)
{
	switch (r) {
	case -EPROTO:
		return "is no baseline of this version";
	case -EBADMSG:
		return "was changed since it was written";
	case -ERANGE:
		return "holds values that no traffic has";
	default:
		return strerror(-r);
	}
}
