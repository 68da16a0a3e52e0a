/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom findings go to: notify, and upstream. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/config_priv.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/rate.h"

/* ---- notify -------------------------------------------------------------------------------------- */

static int take_notify(const struct reader *reader, const struct moat_raw_notify *raw,
		       struct moat_notify_options *options)
{
	struct moat_error why;
	int r = moat_config_take_path(reader, "notify.script", raw->script, &options->script);

	if (r == 0)
		r = moat_config_take_path(reader, "notify.token_file", raw->token_file,
					  &options->token_file);
	if (r == 0)
		r = moat_config_take_duration(reader, "notify.timeout", raw->timeout, MOAT_NS_PER_S,
					      300 * MOAT_NS_PER_S, &options->timeout_ns);
	if (r < 0)
		return r;
	if (raw->webhook && strncmp(raw->webhook, "https://", 8) != 0 &&
	    strncmp(raw->webhook, "http://", 7) != 0)
		return bad(reader, "notify.webhook", "is no http:// or https:// URL");
	if (raw->token_file && (!raw->webhook || strncmp(raw->webhook, "https://", 8) != 0))
		return bad(reader, "notify.token_file", "a token goes to an https:// URL only");
	if (raw->webhook && !(options->webhook = strdup(raw->webhook)))
		return -ENOMEM;
	/* what is elsewhere may differ: as for interfaces */
	if ((reader->flags & MOAT_CONFIG_CHECK_PORTS) && options->script &&
	    moat_notify_check_script(options->script, &why) < 0)
		return bad(reader, "notify.script", "%s", why.text);
	return 0;
}

/* ---- upstream ------------------------------------------------------------------------------------ */

static int take_bandwidth(const struct reader *reader, const char *where, const char *raw,
			  double *ret_mbps)
{
	static const struct {
		const char *unit;
		double mbps;
	} units[] = { { "Gbit/s", 1000 }, { "Mbit/s", 1 } };
	char *end;
	double value = strtod(raw, &end);

	for (size_t i = 0; i < 2; i++) {
		if (end != raw && value > 0 && value < 1e6 && strcmp(end, units[i].unit) == 0) {
			*ret_mbps = value * units[i].mbps;
			return 0;
		}
	}
	return bad(reader, where, "\"%s\" is no bandwidth (say 10Gbit/s or 500Mbit/s)", raw);
}

static int take_community(const struct reader *reader, const char *raw, uint32_t *ret_community)
{
	unsigned long high, low;
	char *colon, *end = NULL;

	if (!raw)
		return 0;
	high = strtoul(raw, &colon, 10);
	low = *colon == ':' ? strtoul(colon + 1, &end, 10) : 0;
	if (!isdigit((unsigned char)raw[0]) || !end || !isdigit((unsigned char)colon[1]) || *end ||
	    high > UINT16_MAX || low > UINT16_MAX)
		return bad(reader, "upstream.community", "\"%s\" is no community (say 65535:666)",
			   raw);
	*ret_community = (uint32_t)(high << 16 | low);
	return 0;
}

static int take_hop(const struct reader *reader, const char *where, const char *raw, bool is_v4,
		    struct moat_addr *ret_addr)
{
	struct moat_addr addr;

	if (!raw)
		return 0;
	if (moat_addr_parse(raw, &addr) < 0 || !moat_addr_is_v4(&addr) == is_v4)
		return bad(reader, where, "\"%s\" is no IPv%d address", raw, is_v4 ? 4 : 6);
	*ret_addr = addr;
	return 0;
}

/* What an announcement can't do without. */
static int check_upstream(const struct reader *reader, const struct moat_raw_upstream *raw,
			  const struct moat_upstream_options *options)
{
	if (options->action == MOAT_UPSTREAM_OFF)
		return 0;
	if (!raw->uplink)
		return bad(reader, "upstream", "\"uplink\" is missing: what the uplink holds");
	if (raw->prefixes_count == 0)
		return bad(reader, "upstream",
			   "\"prefixes\" is missing: the addresses that may be announced");
	if (options->action == MOAT_UPSTREAM_BLACKHOLE && !raw->next_hop && !raw->next_hop6)
		return bad(reader, "upstream",
			   "\"next_hop\" (or next_hop6) is missing: where routers drop");
	return 0;
}

static int take_upstream(const struct reader *reader, const struct moat_raw_upstream *raw,
			 struct moat_config *config)
{
	struct moat_upstream_options *options = &config->upstream;
	int r = moat_config_take_number(reader, "upstream.share", raw->share, 0.01, 1,
					&options->share);

	options->action = (enum moat_upstream_action)raw->action;
	if (r == 0 && raw->uplink)
		r = take_bandwidth(reader, "upstream.uplink", raw->uplink, &options->uplink_mbps);
	if (r == 0)
		r = moat_config_take_duration(reader, "upstream.hold", raw->hold, MOAT_NS_PER_S,
					      7 * 86400 * MOAT_NS_PER_S, &options->hold_ns);
	if (r == 0)
		r = moat_config_take_uint(reader, "upstream.max_routes", raw->max_routes, 1,
					  MOAT_UPSTREAM_ROUTES_MAX, &options->max_routes);
	if (r == 0)
		r = take_community(reader, raw->community, &options->community);
	if (r == 0)
		r = take_hop(reader, "upstream.next_hop", raw->next_hop, true, &options->next_hop4);
	if (r == 0)
		r = take_hop(reader, "upstream.next_hop6", raw->next_hop6, false,
			     &options->next_hop6);
	if (r == 0)
		r = moat_config_take_prefixes(reader, "upstream.prefixes", raw->prefixes,
					      raw->prefixes_count, &config->upstream_prefixes);
	options->prefixes = config->upstream_prefixes.prefixes;
	options->prefix_count = config->upstream_prefixes.count;
	return r == 0 ? check_upstream(reader, raw, options) : r;
}

int moat_config_take_outlets(const struct reader *reader, const struct moat_raw_config *raw,
			     struct moat_config *config)
{
	int r = raw->notify ? take_notify(reader, raw->notify, &config->notify) : 0;

	if (r == 0 && raw->upstream)
		r = take_upstream(reader, raw->upstream, config);
	if (r == 0 && raw->flows)
		r = moat_config_take_flows(reader, raw->flows, config);
	return r;
}

void moat_config_default_outlets(struct moat_config *config)
{
	config->notify.timeout_ns = 10 * MOAT_NS_PER_S;
	config->upstream.share = 0.8;
	config->upstream.hold_ns = 600 * MOAT_NS_PER_S;
	config->upstream.max_routes = 16;
	config->upstream.community = 65535u << 16 | 666; /* BLACKHOLE, RFC 7999 */
}

void moat_config_free_outlets(struct moat_config *config)
{
	free(config->notify.script);
	free(config->notify.webhook);
	free(config->notify.token_file);
	free(config->upstream_prefixes.prefixes);
	free(config->flow_exporters.prefixes);
}
