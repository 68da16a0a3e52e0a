/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SIGHUP: a new configuration, all or nothing. What can fail is done first and can be undone; what changes
 * the running appliance can't fail.
 */
#include <errno.h>
#include <string.h>

#include "ctl/appliance_priv.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/log.h"

static const struct moat_config_port *port_named(const struct moat_config *config, const char *name)
{
	for (size_t i = 0; i < config->port_count; i++) {
		if (strcmp(config->ports[i].name, name) == 0)
			return &config->ports[i];
	}
	return NULL;
}

/* A wire's sockets and workers are made at the start. */
static bool same_wires(const struct moat_config *before, const struct moat_config *after)
{
	for (size_t i = 0; i < after->port_count; i++) {
		const struct moat_config_port *new = &after->ports[i],
					      *old = port_named(before, new->name);

		if (old ? old->role != new->role || old->generic != new->generic ||
				    old->dispatcher != new->dispatcher ||
				    strcmp(old->peer, new->peer) != 0 ||
				    strcmp(old->dpdk, new->dpdk) != 0 || old->queues != new->queues
			: moat_config_port_has_workers(new))
			return false;
	}
	for (size_t i = 0; i < before->port_count; i++) {
		const struct moat_config_port *old = &before->ports[i];

		if (moat_config_port_has_workers(old) && !port_named(after, old->name))
			return false;
	}
	return true;
}

/* What a running moatd can't change, NULL if there is nothing of it. */
static const char *fixed_difference(const struct moat_config *before,
				    const struct moat_config *after)
{
	if (strcmp(before->run_dir, after->run_dir) != 0)
		return "run_dir";
	if (strcmp(before->state_dir, after->state_dir) != 0)
		return "state_dir";
	if (strcmp(before->pin_dir, after->pin_dir) != 0)
		return "pin_dir";
	if (moat_exporters_differ(before, after))
		return "flows";
	if (before->gate_cells != after->gate_cells || before->gate_nodes != after->gate_nodes ||
	    before->gate_buckets != after->gate_buckets)
		return "gate.cells, gate.nodes or gate.buckets";
	if (memcmp(&before->tunnels, &after->tunnels, sizeof(before->tunnels)) != 0)
		return "tunnels";
	if (before->challenge.form != after->challenge.form)
		return "challenge.form";
	if (before->detect.hosts != after->detect.hosts ||
	    before->detect.clusters != after->detect.clusters ||
	    before->detect.seed != after->detect.seed)
		return "detect.hosts, clusters or seed";
	if (!same_wires(before, after))
		return "a port's role, peer or mode";
	if (!moat_appliance_has_gateway(before) && (before->sample_pass != after->sample_pass ||
						    before->sample_drop != after->sample_drop))
		return "gate.sample_pass or sample_drop of workers";
	return NULL;
}

static int open_sink(const struct moat_appliance *appliance, const struct moat_config *config,
		     bool *ret_same, struct moat_sink **ret_sink, struct moat_error *error)
{
	const char *old = appliance->config->events_path, *new = config->events_path;

	*ret_same = old && new ? strcmp(old, new) == 0 &&
					 appliance->config->events_queue == config->events_queue
			       : old == new;
	return *ret_same || !new ? 0 : moat_sink_new(new, config->events_queue, ret_sink, error);
}

/* From here on nothing fails. */
static void adopt(struct moat_appliance *appliance, struct moat_config *config,
		  struct moat_sink *sink, bool same_sink, struct moat_notify *notify)
{
	struct moat_detect_config detect = config->detect;
	struct moat_config *before = appliance->config;

	moat_ports_release(appliance, config);
	moat_wire_configure(&appliance->wire, config);
	moat_appliance_challenge_configure(appliance, config);
	moat_gate_set_sampling(appliance->gate, config->sample_pass, config->sample_drop);
	detect.mode = moat_appliance_modes(config);
	moat_detection_configure(appliance->detection, &detect);
	moat_respond_configure(appliance->respond, &config->respond);
	if (!same_sink) {
		moat_sink_free(appliance->sink);
		appliance->sink = sink;
	}
	moat_log_set_level(config->log_level);
	moat_outlets_adopt(appliance, before, config, notify);
	appliance->config = config;
	moat_config_free(before);
}

int moat_appliance_reload(struct moat_appliance *appliance, struct moat_error *error)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	struct moat_event_context context;
	struct moat_sink *sink = NULL;
	struct moat_notify *notify = NULL;
	bool same_sink = true;
	const char *fixed;
	int r = moat_config_load(appliance->config->path, MOAT_CONFIG_CHECK_PORTS, &config, error);

	if (r < 0)
		return r;
	fixed = fixed_difference(appliance->config, config);
	if (fixed)
		return moat_error_set(error, -EINVAL,
				      "%s: %s can't change while moatd runs: restart it",
				      config->path, fixed);
	r = moat_rulebook_configure(appliance->rulebook, config, error);
	if (r == 0)
		r = open_sink(appliance, config, &same_sink, &sink, error);
	if (r == 0)
		r = moat_outlets_prepare(config, &notify, error);
	if (r == 0)
		r = moat_ports_attach(appliance, config, error);
	if (r == 0)
		r = moat_appliance_apply(appliance, error);
	if (r < 0) {
		moat_rulebook_drop(appliance->rulebook);
		moat_ports_release(appliance, appliance->config);
		moat_sink_free(sink);
		moat_notify_free(notify);
		return r;
	}
	adopt(appliance, moat_take_ptr(config), sink, same_sink, notify);
	context = moat_appliance_context(appliance);
	moat_appliance_emit(appliance, moat_event_moatd(&context, "reloaded", NULL));
	return 0;
}
