/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files that check a configuration share. Nobody else includes this. */
#ifndef MOAT_CTL_CONFIG_PRIV_H
#define MOAT_CTL_CONFIG_PRIV_H

#include "ctl/config.h"
#include "ctl/config_schema.h"

#define WHERE_LEN 128

struct reader {
	const char *path;
	const struct moat_marks *marks;
	struct moat_error *error;
	unsigned int flags;
};

/* "PATH:LINE:COLUMN: WHERE: why". Returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int
moat_config_bad(const struct reader *reader, const char *where, const char *format, ...);
#define bad moat_config_bad

/* A prefix that isn't ANY, or a complaint about `where`. 0 or -EINVAL. */
int moat_config_take_prefix(const struct reader *reader, const char *where, const char *raw,
			    struct moat_prefix *ret_prefix);

/* Each checks one value and takes it; NULL leaves what is there. Bounds are inclusive. 0, -EINVAL with the
 * place, -ENOMEM. */
int moat_config_take_uint(const struct reader *reader, const char *where, const uint32_t *raw,
			  uint32_t min, uint32_t max, uint32_t *ret_value);
int moat_config_take_number(const struct reader *reader, const char *where, const double *raw,
			    double min, double max, double *ret_value);
int moat_config_take_duration(const struct reader *reader, const char *where, const char *raw,
			      uint64_t min_ns, uint64_t max_ns, uint64_t *ret_ns);
int moat_config_take_path(const struct reader *reader, const char *where, const char *raw,
			  char **path);
/* Appends to what `list` has. */
int moat_config_take_prefixes(const struct reader *reader, const char *where, char *const *raw,
			      unsigned int count, struct moat_config_prefixes *list);

/* Whom findings go to (config_outlets.c). */
int moat_config_take_outlets(const struct reader *reader, const struct moat_raw_config *raw,
			     struct moat_config *config);
/* Flows of others, and ours to others (config_flows.c). */
int moat_config_take_flows(const struct reader *reader, const struct moat_raw_flows *raw,
			   struct moat_config *config);
void moat_config_default_outlets(struct moat_config *config);
void moat_config_free_outlets(struct moat_config *config);

/* What the stages are to do, and which of them each port has (config_stages.c). The ports have been taken. */
int moat_config_take_stages(const struct reader *reader, const struct moat_raw_config *raw,
			    struct moat_config *config);

/* The list of ports (config_ports.c). */
int moat_config_take_ports(const struct reader *reader, const struct moat_raw_config *raw,
			   struct moat_config *config);

#endif
