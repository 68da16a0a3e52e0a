/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Text that comes from other people's programs. */
#ifndef MOAT_CTL_SIDECAR_TEXT_H
#define MOAT_CTL_SIDECAR_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* A copy of `length` bytes that JSON and terminals can carry: control characters, and bytes that are no
 * UTF-8 (RFC 3629: also surrogates and overlong forms), as \xNN, and each '\' before an 'x' as \x5c, so
 * that the original can be had back. NULL without memory; the caller frees it. */
char *moat_text_clean(const char *bytes, size_t length);

/* True if the text is ASCII without control characters and backslashes: then it is clean as it is. */
bool moat_text_is_plain(const char *bytes, size_t length);

#endif
