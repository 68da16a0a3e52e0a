/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The paths of a record about files, put together from their parts (moat/event_file.h). */
#ifndef MOAT_CTL_SIDECAR_PATH_H
#define MOAT_CTL_SIDECAR_PATH_H

#include <stdbool.h>

#include "moat/event_file.h"

/* The first (0) or second (1) path of a sound record, clean text: absolute in the actor's mount namespace, "." and
 * ".." as they were given. "…/" in front: its beginning is cut. Without names, what was given, or "". NULL
 * without memory; the caller frees it. */
char *moat_path_text(const struct moat_event_file *event, unsigned int which);

/* Whether that path is cut. */
bool moat_path_is_cut(const struct moat_event_file *event, unsigned int which);

#endif
