/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flows of others, and ours to others (flows/): opened with moatd, shown in its status. */
#include <string.h>

#include "ctl/appliance_priv.h"

int moat_exporters_open(struct moat_appliance *appliance, struct moat_error *error)
{
	const struct moat_config *config = appliance->config;
	int r = 0;

	if (config->flows.listener_count)
		r = moat_flow_intake_new(&config->flows, moat_gate_hash_seed(appliance->gate),
					 &appliance->intake, error);
	if (r == 0 && config->export_address[0])
		r = moat_export_new(config->export_address, config->export_port,
				    config->export_domain, &appliance->exporter, error);
	return r;
}

void moat_exporters_close(struct moat_appliance *appliance)
{
	moat_flow_intake_free(appliance->intake);
	moat_export_free(appliance->exporter);
}

bool moat_exporters_differ(const struct moat_config *before, const struct moat_config *after)
{
	bool differ = before->flows.listener_count != after->flows.listener_count ||
		      before->flow_exporters.count != after->flow_exporters.count ||
		      strcmp(before->export_address, after->export_address) != 0 ||
		      before->export_port != after->export_port ||
		      before->export_domain != after->export_domain;

	for (size_t i = 0; !differ && i < before->flow_exporters.count; i++)
		differ = memcmp(&before->flow_exporters.prefixes[i],
				&after->flow_exporters.prefixes[i], sizeof(struct moat_prefix)) != 0;
	for (size_t i = 0; !differ && i < before->flows.listener_count; i++) {
		const struct moat_flow_listen_options *a = &before->flows.listeners[i],
						      *b = &after->flows.listeners[i];

		differ = a->port != b->port || a->sampling != b->sampling ||
			 strcmp(a->address, b->address) != 0;
	}
	return differ;
}

/* ---- status -------------------------------------------------------------------------------------- */

static json_t *listeners_of(const struct moat_config *config,
			    const struct moat_flow_intake_counters *counters)
{
	json_t *listeners = json_array();

	for (size_t i = 0; i < counters->listener_count; i++) {
		const struct moat_flow_listen_options *options = &config->flows.listeners[i];
		const struct moat_flow_listen_counters *heard = &counters->listeners[i];

		json_array_append_new(
			listeners,
			json_pack("{s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "address",
				  options->address, "port", (int)options->port, "datagrams",
				  (json_int_t)heard->datagrams, "foreign",
				  (json_int_t)heard->foreign, "broken", (json_int_t)heard->broken,
				  "flows", (json_int_t)heard->flows, "taken",
				  (json_int_t)heard->taken, "lost", (json_int_t)heard->lost,
				  "skipped", (json_int_t)heard->skipped, "missing_templates",
				  (json_int_t)heard->missing_templates));
	}
	return listeners;
}

json_t *moat_exporters_status(const struct moat_appliance *appliance)
{
	json_t *status = json_object();

	if (appliance->intake) {
		struct moat_flow_intake_counters counters;

		moat_flow_intake_counters(appliance->intake, &counters);
		json_object_set_new(status, "listen", listeners_of(appliance->config, &counters));
		json_object_set_new(status, "pairs",
				    json_pack("{s:I,s:I,s:I,s:I}", "halves",
					      (json_int_t)counters.pairs.halves, "whole",
					      (json_int_t)counters.pairs.whole, "alone",
					      (json_int_t)counters.pairs.alone, "early",
					      (json_int_t)counters.pairs.early));
		json_object_set_new(status, "lumps", json_integer((json_int_t)counters.lumps));
	}
	if (appliance->exporter) {
		struct moat_export_counters counters;

		moat_export_counters(appliance->exporter, &counters);
		json_object_set_new(status, "export",
				    json_pack("{s:I,s:I,s:I}", "sent", (json_int_t)counters.sent,
					      "lost", (json_int_t)counters.lost, "failed",
					      (json_int_t)counters.failed));
	}
	return status;
}
