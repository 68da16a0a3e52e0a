/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What detection has learned, in a file: written whole or not at all, read before anything is judged. */
#ifndef MOAT_CTL_LEARNED_H
#define MOAT_CTL_LEARNED_H

#include "dataplane/base/error.h"
#include "detect/engine.h"

/* Larger files aren't read. */
#define MOAT_LEARNED_BYTES_MAX (8u << 20)

/* Writes PATH by way of PATH.new: after a crash there is the old one or the new one. 0 or negative errno. */
int moat_learned_save(const char *path, const void *bytes, size_t size, struct moat_error *error);

/* Reads a file or descriptor (at most MOAT_LEARNED_BYTES_MAX) into memory that the caller frees. 0, -ENOENT,
 * -EFBIG, others of open(2) and read(2). */
int moat_learned_load(const char *path, void **ret_bytes, size_t *ret_size,
		      struct moat_error *error);

/* Why moat_detect_restore refused, as a sentence's end. */
const char *moat_learned_refusal(int r);

#endif
