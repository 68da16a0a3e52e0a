/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How values of the configuration are taken and refused; for the files that it is read by (config*.c). */
#ifndef MOAT_CTL_CONFIG_READ_H
#define MOAT_CTL_CONFIG_READ_H

#include "ctl/config.h"
#include "ctl/config_schema.h"

#define MOAT_CONFIG_WHERE_LEN 128

struct moat_config_reader {
	const char *path;
	const struct moat_marks *marks;
	struct moat_error *error;
	unsigned int flags;
};

/* "PATH:LINE:COLUMN: WHERE: why". Returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int moat_config_bad(const struct moat_config_reader *reader,
							  const char *where, const char *format,
							  ...);

/* Each takes a raw value if there is one (NULL or "not said" leaves *ret_… as it is): 0, or -EINVAL after
 * moat_config_bad. */
int moat_config_take_uint(const struct moat_config_reader *reader, const char *where,
			  const uint32_t *raw, uint32_t min, uint32_t max, uint32_t *ret_value);
int moat_config_take_number(const struct moat_config_reader *reader, const char *where,
			    const double *raw, double min, double max, double *ret_value);
int moat_config_take_duration(const struct moat_config_reader *reader, const char *where,
			      const char *raw, uint64_t min_ns, uint64_t max_ns, uint64_t *ret_ns);
int moat_config_take_prefix(const struct moat_config_reader *reader, const char *where,
			    const char *raw, struct moat_prefix *ret_prefix);

/* config_detect.c */
int moat_config_take_detect(const struct moat_config_reader *reader,
			    const struct moat_raw_detect *raw, struct moat_detect_config *detect);

#endif
