/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files that other programs of the host keep: read without being led astray. A directory is named by us, and
 * the way below it has no symbolic links; a file is looked at before it is opened, so that no pipe or device
 * holds the reader up, and it is never read beyond a bound.
 */
#ifndef MOAT_CTL_SIDECAR_HOST_FILE_H
#define MOAT_CTL_SIDECAR_HOST_FILE_H

#include <stddef.h>

/* Reads the regular file `path` below `directory` (whose own path may hold symbolic links), `most` bytes at
 * most. 0 with *ret_text, which the caller frees and which has a NUL behind its end; -ENOENT; -ELOOP or
 * -EXDEV: a link or a way out; -EFBIG: longer than `most`; -EINVAL: no regular file; another errno. */
int moat_host_file_read(const char *directory, const char *path, size_t most, char **ret_text,
			size_t *ret_length);

#endif
