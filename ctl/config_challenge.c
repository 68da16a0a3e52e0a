/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/config_challenge.h"

#include <stdio.h>

#include "dataplane/base/clock.h"

static bool take_rate(const uint32_t *raw, uint32_t min, uint32_t max, uint32_t *rate,
		      char ret_why[static 64])
{
	if (!raw)
		return true;
	*rate = *raw;
	if (*raw >= min && *raw <= max)
		return true;
	snprintf(ret_why, 64, "%u is not in %u to %u", *raw, min, max);
	return false;
}

const char *moat_challenge_take(const struct moat_raw_challenge *raw,
				struct moat_challenge_options *options, char ret_why[static 64])
{
	uint64_t lifetime_ns = options->lifetime_s * MOAT_NS_PER_S;

	options->form = (uint8_t)raw->form;
	if ((raw->lifetime && moat_clock_parse_duration(raw->lifetime, &lifetime_ns) < 0) ||
	    lifetime_ns < MOAT_NS_PER_S ||
	    lifetime_ns > MOAT_CHALLENGE_LIFETIME_MAX * MOAT_NS_PER_S) {
		snprintf(ret_why, 64, "no duration of 1s to 7d");
		return "challenge.lifetime";
	}
	options->lifetime_s = (uint32_t)(lifetime_ns / MOAT_NS_PER_S);
	if (!take_rate(raw->prefix_rate, 1, UINT16_MAX, &options->prefix_pps, ret_why))
		return "challenge.prefix_rate";
	if (!take_rate(raw->rate, 0, INT32_MAX, &options->box_pps, ret_why))
		return "challenge.rate";
	return NULL;
}
