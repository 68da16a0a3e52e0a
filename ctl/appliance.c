/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Set-up, the way of a finding into the gate, and tear-down. */
#include "ctl/appliance.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "ctl/appliance_priv.h"
#include "ctl/dirs.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/tables.h"

#define TICK_US 1000000ULL
/* Findings taken before the loop looks at anything else. */

/* ---- small things that the neighbours share ----------------------------------------------------- */

bool moat_appliance_has_gateway(const struct moat_config *config)
{
	return (moat_appliance_modes(config) & MOAT_MODE_GATEWAY) != 0;
}

uint32_t moat_appliance_modes(const struct moat_config *config)
{
	static const uint32_t modes[] = {
		[MOAT_ROLE_GATEWAY] = MOAT_MODE_GATEWAY,
		[MOAT_ROLE_WIRE] = MOAT_MODE_WIRE,
		[MOAT_ROLE_MIRROR] = MOAT_MODE_MIRROR,
		[MOAT_ROLE_CONTAINER] = 0,
	};
	uint32_t seen = 0;

	for (size_t i = 0; i < config->port_count; i++)
		seen |= modes[config->ports[i].role];
	/* containers alone: a gate that waits for a port */
	seen = seen ? seen : MOAT_MODE_GATEWAY;
	return config->flows.listener_count ? seen | MOAT_MODE_FLOWS : seen;
}

struct moat_event_context moat_appliance_context(const struct moat_appliance *appliance)
{
	size_t count;
	const struct moat_gate_port_info *ports = moat_gate_ports(appliance->gate, &count);

	return moat_event_context_now(ports, count);
}

struct moat_rule_count moat_appliance_rule_count(const struct moat_appliance *appliance,
						 const struct moat_rule *rule)
{
	struct moat_rule_count sum = moat_gate_rule_count(appliance->gate, rule->slot);
	struct moat_rule_count workers = { 0 };
	struct moat_counter nic;

	if (appliance->wire.policy)
		workers = moat_policy_rule_count(appliance->wire.policy, rule->slot);
	nic = moat_offloads_hits(appliance->offloads, rule->id);
	sum.packets += workers.packets + nic.packets;
	sum.acted += workers.acted + nic.packets;
	sum.bytes += workers.bytes + nic.bytes;
	return sum;
}

/* To the file and the followers. */
static void publish(struct moat_appliance *appliance, json_t *event)
{
	moat_auto_free char *line = json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER |
							      JSON_ENSURE_ASCII);

	if (line && appliance->sink)
		moat_sink_write(appliance->sink, line);
	if (appliance->control)
		moat_control_publish(appliance->control, event);
}

void moat_appliance_emit(struct moat_appliance *appliance, json_t *event)
{
	if (!event)
		return;
	publish(appliance, event);
	if (json_array_size(appliance->events) == MOAT_EVENTS_KEPT)
		json_array_remove(appliance->events, 0);
	json_array_append_new(appliance->events, event);
}

void moat_appliance_emit_host(void *userdata, json_t *object)
{
	struct moat_appliance *appliance = userdata;
	json_t *event = appliance->config->events_host ? moat_event_host(object) : NULL;

	json_t **place = &appliance->host_events[appliance->host_event_count % MOAT_HOST_EVENTS_KEPT];

	json_decref(object);
	if (!event)
		return;
	publish(appliance, event);
	json_decref(*place);
	*place = event;
	appliance->host_event_count++;
}

/* ---- rules --------------------------------------------------------------------------------------- */

static int commit(void *userdata, const struct moat_ruleset *set, struct moat_error *error)
{
	struct moat_appliance *appliance = userdata;
	uint64_t begin_ns = moat_clock_monotonic_ns();
	/* the gate judges for the workers of a wire when they don't */
	int r = moat_gate_commit(appliance->gate, set, error);

	if (r == 0 && appliance->wire.policy) {
		r = moat_policy_commit(appliance->wire.policy, set, error);
		/* both or none; before the first commit there is nothing to go back to */
		if (r != 0 && appliance->commits > 0 &&
		    moat_gate_commit(appliance->gate, moat_rulebook_live(appliance->rulebook),
				     NULL) != 0)
			moat_log(MOAT_LOG_ERROR,
				 "the gate has new rules and the workers have the old ones: "
				 "\"moat reload\" tries again");
	}
	if (r == MOAT_TABLES_NO_NODES)
		r = moat_error_set(
			error, -ENOSPC,
			"the prefixes need more table nodes than there are: raise gate.nodes, run \"moat "
			"gate detach\" and start moatd again");
	if (r == 0) {
		moat_offloads_sync(appliance->offloads, appliance->config, set);
		appliance->commits++;
		appliance->commit_done_ns = moat_clock_monotonic_ns();
		appliance->commit_last_ns = appliance->commit_done_ns - begin_ns;
	} else {
		appliance->commits_failed++;
	}
	return r;
}

/* moat_rulebook_ops.patch: the workers' policy can take it after the gate has, which judges for them when they
 * don't, or both are built anew. */
static int patch(void *userdata, const struct moat_ruleset *set, enum moat_list list,
		 const struct moat_prefix *prefix)
{
	struct moat_appliance *appliance = userdata;
	int r = moat_gate_patch(appliance->gate, set, list, prefix);

	if (r == 0 && appliance->wire.policy)
		r = moat_policy_patch(appliance->wire.policy, set, list, prefix);
	if (r == 0)
		moat_offloads_sync(appliance->offloads, appliance->config, set);
	appliance->commit_done_ns = moat_clock_monotonic_ns();
	return r;
}

int moat_appliance_change_list(struct moat_appliance *appliance, bool add, enum moat_list list,
			       const struct moat_prefix *prefix, struct moat_error *error)
{
	const struct moat_rulebook_ops ops = { commit, patch, appliance };
	struct moat_error ours = { .text = "" };
	uint64_t begin_ns = moat_clock_monotonic_ns();
	int save_error = 0;
	int r = (add ? moat_rulebook_list_add_now : moat_rulebook_list_del_now)(
		appliance->rulebook, list, prefix, &ops, &save_error, &ours);

	if (r != 0)
		return ours.text[0] ? moat_error_set(error, r, "%s", ours.text) : r;
	appliance->patches++;
	appliance->patch_last_ns = appliance->commit_done_ns - begin_ns;
	if (save_error < 0)
		moat_log(MOAT_LOG_WARNING, "the list is in force but not saved: %s", ours.text);
	return 0;
}

static void tell_change(struct moat_appliance *appliance, const struct moat_event_context *context,
			const struct moat_rule_change *change, uint64_t mono_ns)
{
	static const char *const words[] = {
		[MOAT_RULE_ADDED] = "added",
		[MOAT_RULE_RENEWED] = "renewed",
		[MOAT_RULE_REMOVED] = "removed",
		[MOAT_RULE_EXPIRED] = "expired",
	};
	const struct moat_finding *finding = moat_findings_get(appliance->findings,
							       change->rule.finding);
	struct moat_event_rule event = {
		.change = words[change->kind],
		.rule = &change->rule,
		.why = change->why[0] ? change->why : NULL,
		.mono_ns = mono_ns,
		.first_ns = change->kind == MOAT_RULE_ADDED && finding ? finding->first_ns : 0,
	};

	moat_appliance_emit(appliance, moat_event_rule(context, &event));
}

/* Commits the draft. 0 with *ret_mono_ns when it took effect, 0 if there was no draft. */
static int put_in_force(struct moat_appliance *appliance, uint64_t *ret_mono_ns,
			struct moat_error *error)
{
	struct moat_error ours = { .text = "" };
	int save_error = 0, r;

	*ret_mono_ns = 0;
	if (!moat_rulebook_is_changed(appliance->rulebook))
		return 0;
	r = moat_rulebook_apply(appliance->rulebook, commit, appliance, &save_error, &ours);
	if (r < 0)
		return moat_error_set(error, r, "%s", ours.text[0] ? ours.text : strerror(-r));
	*ret_mono_ns = appliance->commit_done_ns;
	if (save_error < 0)
		moat_log(MOAT_LOG_WARNING, "rules are in force but not saved: %s", ours.text);
	return 0;
}

void moat_appliance_tell_changes(struct moat_appliance *appliance, uint64_t mono_ns)
{
	struct moat_event_context context = moat_appliance_context(appliance);
	const struct moat_rule_change *changes;
	size_t count;

	if (mono_ns == 0)
		return;
	changes = moat_rulebook_changes(appliance->rulebook, &count);
	for (size_t i = 0; i < count; i++)
		tell_change(appliance, &context, &changes[i], mono_ns);
}

int moat_appliance_apply(struct moat_appliance *appliance, struct moat_error *error)
{
	uint64_t mono_ns;
	int r = put_in_force(appliance, &mono_ns, error);

	if (r == 0)
		moat_appliance_tell_changes(appliance, mono_ns);
	return r;
}

void moat_appliance_put(struct moat_appliance *appliance, uint64_t *ret_mono_ns)
{
	struct moat_error error = { .text = "" };

	if (put_in_force(appliance, ret_mono_ns, &error) < 0)
		moat_log(MOAT_LOG_ERROR, "rules: %s; those before stay in force", error.text);
}

/* ---- once a second ------------------------------------------------------------------------------- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct moat_appliance *appliance = userdata;
	uint64_t mono_ns;

	moat_respond_tick(appliance->respond, moat_clock_monotonic_ns());
	moat_rulebook_expire(appliance->rulebook, moat_clock_monotonic_ns());
	moat_appliance_put(appliance, &mono_ns);
	moat_appliance_tell_changes(appliance, mono_ns);
	moat_appliance_save_baseline(appliance, false);
	moat_wire_tick(&appliance->wire);
	/* a device that came back is empty */
	if (appliance->wire.recovered != appliance->offloads_wire) {
		appliance->offloads_wire = appliance->wire.recovered;
		moat_offloads_sync(appliance->offloads, appliance->config,
				   moat_rulebook_live(appliance->rulebook));
	}
	moat_appliance_challenge_tick(appliance, moat_clock_monotonic_ns());
	moat_ports_tick(appliance);
	moat_outlets_tick(appliance, moat_clock_monotonic_ns());
	sd_event_source_set_time(source, usec + TICK_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- set-up -------------------------------------------------------------------------------------- */

static int make_dirs(const struct moat_config *config, struct moat_error *error)
{
	int r = moat_dirs_make(config->run_dir, 0755);

	if (r < 0)
		return moat_error_set(error, r, "run_dir %s: %s", config->run_dir, strerror(-r));
	r = moat_dirs_make(config->state_dir, 0750);
	if (r < 0)
		return moat_error_set(error, r, "state_dir %s: %s", config->state_dir, strerror(-r));
	return 0;
}

/* What the rules that stand at the start take; a first commit that has to grow the gate would do as well. */
static uint32_t nodes_hint(const struct moat_appliance *appliance)
{
	uint32_t needed = 0;
	int nodes = 0;

	if (moat_tables_count_nodes(moat_rulebook_newest(appliance->rulebook), &needed) == 0)
		nodes = moat_gate_nodes_for(needed);
	return nodes > 0 ? (uint32_t)nodes : 0;
}

static int open_gate(struct moat_appliance *appliance, struct moat_error *error)
{
	const struct moat_config *config = appliance->config;
	struct moat_gate_options options = {
		.pin_path = config->pin_dir,
		.cells = config->gate_cells,
		.nodes = config->gate_nodes,
		.nodes_hint = nodes_hint(appliance),
		.row_buckets = config->gate_buckets,
		.sample_pass = config->sample_pass,
		.sample_drop = config->sample_drop,
		.tunnels = config->tunnels,
	};

	int r = moat_gate_open(&options, &appliance->gate, error);

	/* the form of answers is a constant of programs that are loaded later */
	if (r == 0)
		moat_appliance_challenge_configure(appliance, config);
	appliance->had_policy = r == 0 && (moat_gate_has_policy(appliance->gate) ||
					   moat_gate_is_moving(appliance->gate));
	if (r == 0 && moat_gate_is_moving(appliance->gate))
		moat_log(MOAT_LOG_INFO, "the gate of another version is moved to this one's tables");
	return r;
}

static int open_rules(struct moat_appliance *appliance, struct moat_error *error)
{
	char path[4096];
	int r;

	moat_pending_restore(appliance->config);
	snprintf(path, sizeof(path), "%s/rules", appliance->config->state_dir);
	r = moat_rulebook_new(path, &appliance->rulebook, error);
	if (r < 0)
		return r;
	return moat_rulebook_configure(appliance->rulebook, appliance->config, error);
}

/* Takes the gate off the ports of the configuration that nobody guarded before. */
static void release_new_ports(struct moat_appliance *appliance)
{
	struct moat_gate_port_info ports[MOAT_PORTS_MAX];
	size_t count;
	const struct moat_gate_port_info *attached = moat_gate_ports(appliance->gate, &count);

	memcpy(ports, attached, count * sizeof(ports[0])); /* a release changes the list */
	for (size_t i = 0; i < count; i++) {
		if (!ports[i].adopted && moat_gate_release(appliance->gate, ports[i].name, NULL) == 0)
			moat_log(MOAT_LOG_INFO, "port %s: the gate is off", ports[i].name);
	}
}

/* Attaches the ports of the configuration, then takes the gate off those that it has no more. */
static int attach_ports(struct moat_appliance *appliance, struct moat_error *error)
{
	int r = moat_ports_attach(appliance, appliance->config, error);

	if (r == 0)
		moat_ports_release(appliance, appliance->config);
	return r == 0 ? moat_gate_settle(appliance->gate, error) : r;
}

/* A failed start leaves a gate that was there before, and nothing of its own. */
static void undo_gate(struct moat_appliance *appliance)
{
	if (!appliance->gate)
		return;
	moat_offloads_free(appliance->offloads);
	appliance->offloads = NULL;
	moat_wire_deinit(&appliance->wire);
	release_new_ports(appliance);
	moat_egress_close(appliance->egress);
	appliance->egress = NULL;
	moat_gate_close(appliance->gate);
	appliance->gate = NULL;
	if (!appliance->had_policy)
		moat_gate_detach(appliance->config->pin_dir, NULL);
}

static int open_tables(struct moat_appliance *appliance, struct moat_error *error)
{
	int r = moat_respond_new(&appliance->config->respond, &moat_appliance_respond_ops,
				 appliance, &appliance->respond);

	if (r == 0)
		r = moat_findings_new(&appliance->findings);
	if (r == 0 && !(appliance->events = json_array()))
		r = -ENOMEM;
	return r < 0 ? moat_error_set(error, r, "out of memory") : 0;
}

static int open_detection(struct moat_appliance *appliance, struct moat_error *error)
{
	struct moat_detection_options options = {
		.detect = appliance->config->detect,
		.gate = appliance->gate,
		.policy = appliance->wire.policy,
		.workers = appliance->wire.workers,
		.worker_count = appliance->wire.worker_count,
		.intake = appliance->intake,
		.exporter = appliance->exporter,
	};
	int r;

	options.detect.mode = moat_appliance_modes(appliance->config);
	/* as the gate's: whoever knows the seed can fill a place of the tables at will */
	if (options.detect.seed == 0)
		options.detect.seed = moat_gate_hash_seed(appliance->gate);
	r = moat_detection_new(&options, &appliance->detection, error);
	if (r == 0)
		moat_appliance_load_baseline(appliance);
	if (r == 0)
		r = moat_top_new(appliance->gate, moat_appliance_has_gateway(appliance->config),
				 &appliance->wire, &appliance->top);
	return r;
}

static int add_sources(struct moat_appliance *appliance, struct moat_error *error)
{
	char path[4096];
	uint64_t now_us;
	int r;

	snprintf(path, sizeof(path), "%s/control.sock", appliance->config->run_dir);
	r = moat_control_new(appliance->loop, path, moat_appliance_call, appliance,
			     &appliance->control, error);
	if (r < 0)
		return r;
	r = sd_event_add_io(appliance->loop, &appliance->finding_source,
			    moat_detection_fd(appliance->detection), EPOLLIN,
			    moat_appliance_on_findings, appliance);
	/* A finding's way into the gate waits for no client. */
	if (r >= 0)
		r = sd_event_source_set_priority(appliance->finding_source,
						 SD_EVENT_PRIORITY_IMPORTANT);
	if (r >= 0)
		r = sd_event_now(appliance->loop, CLOCK_MONOTONIC, &now_us);
	if (r >= 0)
		r = sd_event_add_time(appliance->loop, &appliance->timer_source, CLOCK_MONOTONIC,
				      now_us + TICK_US, 10000, on_timer, appliance);
	return r < 0 ? moat_error_set(error, r, "event loop: %s", strerror(-r)) : 0;
}

static int open_all(struct moat_appliance *appliance, struct moat_error *error)
{
	const struct moat_config *config = appliance->config;
	int r = make_dirs(config, error);

	if (r == 0)
		r = moat_dirs_lock(config->run_dir, &appliance->lock_fd, error);
	if (r == 0 && config->events_path)
		r = moat_sink_new(config->events_path, config->events_queue, &appliance->sink,
				  error);
	if (r == 0)
		r = open_tables(appliance, error);
	if (r == 0)
		r = moat_outlets_open(appliance, error);
	if (r == 0)
		r = open_rules(appliance, error);
	if (r == 0) {
		appliance->offloads = moat_offloads_new();
		r = appliance->offloads ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = open_gate(appliance, error);
	/* The rules stand before the first port is attached: no packet sees a gate without them. */
	if (r == 0)
		r = moat_appliance_has_gateway(config) ? moat_appliance_apply(appliance, error) : 0;
	if (r == 0)
		r = moat_ports_open(appliance, error);
	if (r == 0)
		r = attach_ports(appliance, error);
	if (r == 0)
		r = moat_wire_init(&appliance->wire, appliance->gate, config, error);
	if (r == 0) {
		moat_appliance_challenge_configure(appliance, config);
		r = moat_appliance_apply(appliance, error);
	}
	if (r == 0)
		moat_offloads_sync(appliance->offloads, config,
				   moat_rulebook_live(appliance->rulebook));
	if (r == 0)
		r = moat_wire_start(&appliance->wire, error);
	if (r == 0)
		r = moat_exporters_open(appliance, error);
	if (r == 0)
		r = open_detection(appliance, error);
	if (r == 0)
		r = add_sources(appliance, error);
	return r;
}

static int open_host(struct moat_appliance *appliance, struct moat_error *error)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sidecar.sock", appliance->config->run_dir);
	return moat_host_new(appliance->loop, path, moat_appliance_emit_host, appliance,
			     &appliance->host, error);
}

int moat_appliance_new(sd_event *loop, struct moat_config *config,
		       struct moat_appliance **ret_appliance, struct moat_error *error)
{
	struct moat_appliance *appliance = calloc(1, sizeof(*appliance));
	struct moat_event_context context;
	int r;

	if (!appliance)
		return moat_error_set(error, -ENOMEM, "out of memory");
	appliance->loop = sd_event_ref(loop);
	appliance->config = config;
	appliance->lock_fd = -1;
	appliance->started_ns = moat_clock_monotonic_ns();
	r = open_all(appliance, error);
	if (r == 0)
		r = open_host(appliance, error);
	if (r < 0) {
		moat_detection_free(appliance->detection);
		appliance->detection = NULL;
		undo_gate(appliance);
		appliance->config = NULL; /* stays the caller's */
		moat_appliance_free(appliance);
		return r;
	}
	context = moat_appliance_context(appliance);
	moat_appliance_emit(appliance,
			    moat_event_moatd(&context, "started",
					     json_pack("{s:s}", "version", MOAT_VERSION)));
	*ret_appliance = appliance;
	return 0;
}

void moat_appliance_free(struct moat_appliance *appliance)
{
	if (!appliance)
		return;
	if (appliance->control) {
		struct moat_event_context context = moat_appliance_context(appliance);

		moat_appliance_emit(appliance, moat_event_moatd(&context, "stopped", NULL));
		moat_appliance_save_baseline(appliance, true);
	}
	sd_event_source_disable_unref(appliance->pending_source);
	sd_event_source_disable_unref(appliance->timer_source);
	sd_event_source_disable_unref(appliance->finding_source);
	moat_ports_close(appliance);
	moat_host_free(appliance->host); /* tells of what waits */
	moat_control_free(appliance->control);
	moat_outlets_close(appliance);
	moat_top_free(appliance->top);
	moat_detection_free(appliance->detection);
	/* behind detection, which takes from the one and gives to the other */
	moat_exporters_close(appliance);
	moat_offloads_free(appliance->offloads);
	appliance->offloads = NULL;
	moat_wire_deinit(&appliance->wire);
	moat_egress_close(appliance->egress);
	moat_gate_close(appliance->gate);
	moat_respond_free(appliance->respond);
	moat_rulebook_free(appliance->rulebook);
	moat_findings_free(appliance->findings);
	moat_sink_free(appliance->sink);
	json_decref(appliance->events);
	for (size_t i = 0; i < MOAT_HOST_EVENTS_KEPT; i++)
		json_decref(appliance->host_events[i]);
	if (appliance->lock_fd >= 0)
		close(appliance->lock_fd);
	moat_config_free(appliance->config);
	sd_event_unref(appliance->loop);
	free(appliance);
}

void moat_appliance_reopen(struct moat_appliance *appliance)
{
	if (appliance->sink)
		moat_sink_reopen(appliance->sink);
}
