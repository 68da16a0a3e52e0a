/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Directories that moatd makes for itself, and the lock that keeps it alone. */
#ifndef MOAT_CTL_DIRS_H
#define MOAT_CTL_DIRS_H

#include <sys/types.h>

#include "dataplane/base/error.h"

/* Makes a directory and its missing parents. 0, also if it is there; -ENOTDIR; or as mkdir(2). */
int moat_dirs_make(const char *path, mode_t mode);
/* Likewise of the directory that `path` lies in. */
int moat_dirs_make_parent(const char *path, mode_t mode);

/* Takes the lock of RUN_DIR/moatd.pid and writes our pid into it; held until *ret_fd is closed. -EBUSY:
 * another moatd has it, its pid is in the error. */
int moat_dirs_lock(const char *run_dir, int *ret_fd, struct moat_error *error);

#endif
