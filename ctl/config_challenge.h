/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration's section on the SYN challenge. */
#ifndef MOAT_CTL_CONFIG_CHALLENGE_H
#define MOAT_CTL_CONFIG_CHALLENGE_H

#include "ctl/config_schema.h"
#include "dataplane/challenge.h"

/* Takes what the section says over into *options. NULL, or the key (static) that has no good value, with
 * *options undefined and the reason in ret_why. */
const char *moat_challenge_take(const struct moat_raw_challenge *raw,
				struct moat_challenge_options *options, char ret_why[static 64]);

#endif
