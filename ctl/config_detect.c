/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The section "detect" of the configuration. */
#include <stdio.h>

#include "ctl/config_read.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

static int take_rates(const struct moat_config_reader *reader, const char *where,
		      const struct moat_raw_rates *raw, double rates[MOAT_FLOOD_RATES])
{
	static const char *const kinds[] = { "syn", "udp", "icmp", "amplification", "ack" };
	const double *const values[] = { raw ? raw->syn : NULL, raw ? raw->udp : NULL,
					 raw ? raw->icmp : NULL, raw ? raw->amplification : NULL,
					 raw ? raw->ack : NULL };
	char item[MOAT_CONFIG_WHERE_LEN];
	int r = 0;

	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(kinds); i++) {
		snprintf(item, sizeof(item), "%s.%s", where, kinds[i]);
		r = moat_config_take_number(reader, item, values[i], 0, 1e9, &rates[i]);
	}
	return r;
}

/* At most `max` prefixes into an array of that many. */
static int take_hosts(const struct moat_config_reader *reader, const char *key, char *const *raw,
		      unsigned int count, unsigned int max, struct moat_prefix *prefixes,
		      size_t *ret_count)
{
	char where[MOAT_CONFIG_WHERE_LEN];

	if (count > max)
		return moat_config_bad(reader, key, "%u prefixes, but %u at most", count, max);
	for (unsigned int i = 0; i < count; i++) {
		int r;

		snprintf(where, sizeof(where), "%s.%u", key, i);
		r = moat_config_take_prefix(reader, where, raw[i], &prefixes[i]);
		if (r < 0)
			return r;
	}
	*ret_count = count;
	return 0;
}

static int take_behaviours(const struct moat_config_reader *reader,
			   const struct moat_raw_detect *raw, struct moat_detect_config *detect)
{
	int r = take_hosts(reader, "detect.admins", raw->admins, raw->admin_count, MOAT_ADMINS_MAX,
			   detect->admins, &detect->admin_count);

	if (r == 0)
		r = moat_config_take_number(reader, "detect.scan_failures", raw->scan_failures, 0,
					    1000, &detect->scan_failures);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.brute_logins", raw->brute_logins, 0,
					    10000, &detect->brute_logins);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.beacon_times", raw->beacon_times, 0, 20,
					    &detect->beacon_times);
	if (r == 0)
		r = moat_config_take_duration(reader, "detect.learn_edges", raw->learn_edges, 0,
					      90ULL * 86400 * MOAT_NS_PER_S,
					      &detect->learn_edges_ns);
	return r;
}

int moat_config_take_detect(const struct moat_config_reader *reader,
			    const struct moat_raw_detect *raw, struct moat_detect_config *detect)
{
	int r;

	if (!raw)
		return 0;
	r = take_hosts(reader, "detect.protected", raw->protected_prefixes, raw->protected_count,
		       MOAT_PROTECTED_MAX, detect->protected_prefixes, &detect->protected_count);
	if (r == 0)
		r = moat_config_take_duration(reader, "detect.learn", raw->learn, 2 * MOAT_NS_PER_S,
					      7 * 86400 * MOAT_NS_PER_S, &detect->learn_ns);
	if (r == 0)
		r = take_rates(reader, "detect.floor", raw->floor, detect->floor_pps);
	if (r == 0)
		r = take_rates(reader, "detect.guard", raw->guard, detect->guard_pps);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.scan_targets", raw->scan_targets, 1,
					    1e6, &detect->scan_targets);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.sensitivity", raw->sensitivity, 0.01,
					    100, &detect->sensitivity);
	if (r == 0)
		r = moat_config_take_duration(reader, "detect.close_after", raw->close_after,
					      MOAT_NS_PER_S, 3600 * MOAT_NS_PER_S,
					      &detect->close_ns);
	if (r == 0)
		r = moat_config_take_number(reader, "detect.collateral_max", raw->collateral_max, 0,
					    1, &detect->collateral_max);
	if (r == 0)
		r = moat_config_take_uint(reader, "detect.hosts", raw->hosts, 1024, 1u << 22,
					  &detect->hosts);
	if (r == 0)
		r = moat_config_take_uint(reader, "detect.clusters", raw->clusters, 1, 64,
					  &detect->clusters);
	if (r == 0)
		r = take_behaviours(reader, raw, detect);
	if (r == 0 && raw->seed)
		detect->seed = *raw->seed;
	return r;
}
