/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What exporters tell, and whom we tell: flows. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "ctl/config_priv.h"
#include "dataplane/base/addr.h"

#define IPFIX_PORT 4739 /* RFC 7011 */

static int take_address(const struct reader *reader, const char *where, const char *raw,
			char ret_address[64])
{
	struct moat_addr addr;

	if (!raw)
		return 0;
	if (moat_addr_parse(raw, &addr) < 0 || strlen(raw) >= 64)
		return bad(reader, where, "\"%s\" is no address", raw);
	snprintf(ret_address, 64, "%s", raw);
	return 0;
}

static int take_port(const struct reader *reader, const char *where, const uint32_t *raw,
		     uint16_t *port)
{
	uint32_t value = *port;
	int r = moat_config_take_uint(reader, where, raw, 1, UINT16_MAX, &value);

	*port = (uint16_t)value;
	return r;
}

static int take_listener(const struct reader *reader, unsigned int index,
			 const struct moat_raw_listener *raw,
			 struct moat_flow_listen_options *options)
{
	char where[WHERE_LEN];
	int r;

	options->port = IPFIX_PORT;
	snprintf(options->address, sizeof(options->address), "0.0.0.0");
	snprintf(where, sizeof(where), "flows.listen.%u.address", index);
	r = take_address(reader, where, raw->address, options->address);
	snprintf(where, sizeof(where), "flows.listen.%u.port", index);
	if (r == 0)
		r = take_port(reader, where, raw->port, &options->port);
	snprintf(where, sizeof(where), "flows.listen.%u.sampling", index);
	if (r == 0)
		r = moat_config_take_uint(reader, where, raw->sampling, 1, 1u << 24,
					  &options->sampling);
	return r;
}

static int take_listeners(const struct reader *reader, const struct moat_raw_flows *raw,
			  struct moat_config *config)
{
	if (raw->listen_count > MOAT_FLOW_LISTENERS_MAX)
		return bad(reader, "flows.listen", "%u listeners, at most %d", raw->listen_count,
			   MOAT_FLOW_LISTENERS_MAX);
	if (raw->listen_count && !config->flow_exporters.count)
		return bad(reader, "flows",
			   "\"exporters\" is missing: whose datagrams are believed");
	if (config->flow_exporters.count > MOAT_FLOW_EXPORTERS_MAX)
		return bad(reader, "flows.exporters", "%zu prefixes, at most %d",
			   config->flow_exporters.count, MOAT_FLOW_EXPORTERS_MAX);
	for (unsigned int i = 0; i < raw->listen_count; i++) {
		struct moat_flow_listen_options *options = &config->flows.listeners[i];
		int r = take_listener(reader, i, &raw->listen[i], options);

		if (r < 0)
			return r;
		options->exporters = config->flow_exporters.prefixes;
		options->exporter_count = config->flow_exporters.count;
		config->flows.listener_count++;
	}
	return 0;
}

int moat_config_take_flows(const struct reader *reader, const struct moat_raw_flows *raw,
			   struct moat_config *config)
{
	int r = moat_config_take_prefixes(reader, "flows.exporters", raw->exporters,
					  raw->exporters_count, &config->flow_exporters);

	if (r == 0)
		r = take_listeners(reader, raw, config);
	if (r < 0 || !raw->export)
		return r;
	config->export_port = IPFIX_PORT;
	r = take_address(reader, "flows.export.address", raw->export->address,
			 config->export_address);
	if (r == 0)
		r = take_port(reader, "flows.export.port", raw->export->port, &config->export_port);
	if (r == 0)
		r = moat_config_take_uint(reader, "flows.export.domain", raw->export->domain, 0,
					  UINT32_MAX, &config->export_domain);
	return r;
}
