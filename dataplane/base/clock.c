/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See clock.h. */
#include "dataplane/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_MAX_S (100.0 * 365.25 * 86400.0)

void moat_clock_format(uint64_t realtime_ns, char ret_text[MOAT_TIME_TEXT_LEN])
{
	time_t seconds = (time_t)(realtime_ns / MOAT_NS_PER_S);
	struct tm utc = { 0 };
	size_t length;

	gmtime_r(&seconds, &utc);
	length = strftime(ret_text, MOAT_TIME_TEXT_LEN, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(ret_text + length, MOAT_TIME_TEXT_LEN - length, ".%06u+0000",
		 (unsigned int)(realtime_ns % MOAT_NS_PER_S / 1000));
}

int moat_clock_parse_duration(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = { { "", 1 },   { "ms", 1e-3 }, { "s", 1 },
		      { "m", 60 }, { "h", 3600 },  { "d", 86400 } };
	char *end;
	double value;

	/* strtod would take signs, blanks, hex, "inf" and "nan": none of them is a duration */
	if (!isdigit((unsigned char)text[0]) || text[strspn(text, "0123456789.")] == 'e')
		return -EINVAL;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return -EINVAL;
	value = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (value * units[i].seconds > DURATION_MAX_S)
			return -ERANGE;
		*ret_ns = (uint64_t)llround(value * units[i].seconds * 1e9);
		return 0;
	}
	return -EINVAL;
}
