/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See path.h. */
#include "ctl/sidecar/path.h"

#include <string.h>

#include "ctl/sidecar/text.h"

#define CUT_LEN (sizeof(CUT) - 1)
#define CUT "\xe2\x80\xa6" /* an ellipsis, which no absolute path begins with */

/* Where a part begins, and how long it is. */
static const char *part_of(const struct moat_event_file *event, unsigned int part,
			   size_t *ret_length)
{
	const char *at = event->text;

	for (unsigned int i = 0; i < part; i++)
		at += event->lengths[i];
	*ret_length = event->lengths[part];
	return at;
}

/* Writes names, which come leaf first, root first; returns how long that is. A file of no mount has a name alone
 * ("memfd:x", "pipe:"), the root of a namespace none. */
static size_t join_names(const char *names, size_t length, bool is_cut, char *to)
{
	size_t written = 0, end = length;

	if (is_cut) {
		memcpy(to, CUT, CUT_LEN);
		written = CUT_LEN;
	}
	while (end > 0) {
		size_t begin = end - 1;

		while (begin > 0 && names[begin - 1] != '\0')
			begin--;
		/* a name of '/' alone is the root of something that isn't mounted */
		if (strcmp(names + begin, "/") != 0) {
			to[written++] = '/';
			memcpy(to + written, names + begin, end - 1 - begin);
			written += end - 1 - begin;
		}
		end = begin;
	}
	return written;
}

bool moat_path_is_cut(const struct moat_event_file *event, unsigned int which)
{
	return event->flags >> (2 * which) & (MOAT_FILE_CUT | MOAT_FILE_CUT << 1);
}

char *moat_path_text(const struct moat_event_file *event, unsigned int which)
{
	char text[2 * MOAT_PART_LEN + 8];
	size_t names_length, given_length, length;
	const char *names = part_of(event, 2 * which, &names_length);
	const char *given = part_of(event, 2 * which + 1, &given_length);
	bool is_cut = event->flags & MOAT_FILE_CUT << (2 * which);

	length = join_names(names, names_length, is_cut, text);
	if (given_length > 1) {
		if ((names_length > 0 || length > 0) && given[0] != '/')
			text[length++] = '/';
		memcpy(text + length, given, given_length - 1);
		length += given_length - 1;
	}
	return moat_text_clean(text, length);
}
