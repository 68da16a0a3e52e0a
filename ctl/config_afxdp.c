/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/config_afxdp.h"

#include <stdio.h>

#include "dataplane/port.h"

#define BUSY_POLL_US_MAX 1000
#define BUDGET_MAX 1024

struct moat_afxdp_settings moat_afxdp_default(void)
{
	return (struct moat_afxdp_settings){ .frames = MOAT_AFXDP_FRAMES,
					     .busy_poll_budget = MOAT_BURST };
}

static bool take(const uint32_t *raw, uint32_t min, uint32_t max, uint32_t *value,
		 char ret_why[static 64])
{
	if (!raw)
		return true;
	*value = *raw;
	if (*raw >= min && *raw <= max)
		return true;
	snprintf(ret_why, 64, "%u is not in %u to %u", *raw, min, max);
	return false;
}

const char *moat_afxdp_take(const struct moat_raw_afxdp *raw, struct moat_afxdp_settings *settings,
			    char ret_why[static 64])
{
	if (!take(raw->frames, MOAT_AFXDP_FRAMES_MIN, MOAT_AFXDP_FRAMES_MAX, &settings->frames,
		  ret_why))
		return "afxdp.frames";
	if (settings->frames & (settings->frames - 1)) {
		snprintf(ret_why, 64, "%u is not a power of two", settings->frames);
		return "afxdp.frames";
	}
	if (!take(raw->busy_poll, 0, BUSY_POLL_US_MAX, &settings->busy_poll_us, ret_why))
		return "afxdp.busy_poll";
	if (!take(raw->budget, 1, BUDGET_MAX, &settings->busy_poll_budget, ret_why))
		return "afxdp.budget";
	return NULL;
}
