/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See error.h. */
#include "dataplane/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int moat_error_set(struct moat_error *error, int code, const char *format, ...)
{
	va_list args;

	if (!error)
		return code;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return code;
}

int moat_error_prefix(struct moat_error *error, int code, const char *format, ...)
{
	char cause[MOAT_ERROR_LEN];
	va_list args;
	int length;

	if (!error)
		return code;
	snprintf(cause, sizeof(cause), "%s",
		 error->text[0] ? error->text : strerror(code < 0 ? -code : code));
	va_start(args, format);
	length = vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	if (length < 0)
		length = 0;
	if ((size_t)length < sizeof(error->text))
		snprintf(error->text + length, sizeof(error->text) - (size_t)length, ": %s", cause);
	return code;
}
