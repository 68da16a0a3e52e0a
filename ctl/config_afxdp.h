/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration's section on AF_XDP sockets. */
#ifndef MOAT_CTL_CONFIG_AFXDP_H
#define MOAT_CTL_CONFIG_AFXDP_H

#include "ctl/config_schema.h"

/* Of every AF_XDP socket. */
struct moat_afxdp_settings {
	uint32_t frames;           /* buffers of 4,096 bytes */
	uint32_t busy_poll_us;     /* of a call; 0: off */
	uint32_t busy_poll_budget; /* packets a call */
};

struct moat_afxdp_settings moat_afxdp_default(void);

/* Takes what the section says over into *settings. NULL, or the key (static) that has no good value, with
 * *settings undefined and the reason in ret_why. */
const char *moat_afxdp_take(const struct moat_raw_afxdp *raw, struct moat_afxdp_settings *settings,
			    char ret_why[static 64]);

#endif
