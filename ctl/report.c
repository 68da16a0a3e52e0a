/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `moat status` shows, as JSON. Every set of counters says whether in = sum of outs. */
#include <string.h>
#include <unistd.h>

#include "ctl/appliance_priv.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"

/* Each takes microseconds. */
#define LOOKS 32

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *counter(const struct moat_counter *value)
{
	return json_pack("{s:I,s:I}", "packets", (json_int_t)value->packets, "bytes",
			 (json_int_t)value->bytes);
}

static bool is_balanced(const struct moat_counter *in, const struct moat_counter *reasons)
{
	uint64_t packets = 0, bytes = 0;

	for (uint32_t i = 0; i < MOAT_REASON_COUNT; i++) {
		packets += reasons[i].packets;
		bytes += reasons[i].bytes;
	}
	return in->packets == packets && in->bytes == bytes;
}

/* Adds what came in, what became of it by reason, and whether the two agree. */
static void add_reasons(json_t *into, const struct moat_counter *in,
			const struct moat_counter *reasons)
{
	json_t *packets = json_object(), *bytes = json_object();

	for (uint32_t i = 0; i < MOAT_REASON_COUNT; i++) {
		if (!reasons[i].packets)
			continue;
		json_object_set_new(packets, moat_reason_name(i), number(reasons[i].packets));
		json_object_set_new(bytes, moat_reason_name(i), number(reasons[i].bytes));
	}
	json_object_set_new(into, "received", number(in->packets));
	json_object_set_new(into, "reasons", packets);
	json_object_set_new(into, "received_bytes", number(in->bytes));
	json_object_set_new(into, "reasons_bytes", bytes);
	json_object_set_new(into, "balanced", json_boolean(is_balanced(in, reasons)));
}

/* The gate counts on while its counters are read: a packet between its "in" and its reason shows as a
 * difference that the next look doesn't have. */
static int read_port(const struct moat_appliance *appliance, uint32_t port,
		     struct moat_gate_counters *ret_counters)
{
	int r = 0;

	for (int look = 0; r == 0 && look < LOOKS; look++) {
		r = moat_gate_counters(appliance->gate, port, ret_counters);
		if (r == 0 && is_balanced(&ret_counters->in, ret_counters->reasons))
			break;
	}
	return r;
}

static const char *role_name(enum moat_port_role role)
{
	switch (role) {
	case MOAT_ROLE_WIRE:
		return "wire";
	case MOAT_ROLE_MIRROR:
		return "mirror";
	case MOAT_ROLE_CONTAINER:
		return "container";
	default:
		return "gateway";
	}
}

/* What became of what passed, where the port doesn't leave that to the kernel. */
static void add_forward(const struct moat_appliance *appliance, json_t *port,
			const struct moat_gate_port_info *info,
			const struct moat_gate_counters *counters)
{
	static const char *const modes[] = { "kernel", "fib", "wire" };
	struct moat_forward_counters forwards;
	uint64_t passed = 0, sum = 0;
	json_t *packets;

	json_object_set_new(port, "forward", json_string(modes[info->way.mode]));
	if (moat_gate_forwards(appliance->gate, info->index, &forwards) < 0)
		return;
	packets = json_object();
	for (int i = 0; i < MOAT_FORWARD_COUNT; i++) {
		sum += forwards.packets[i];
		if (forwards.packets[i])
			json_object_set_new(packets, moat_forward_name(i),
					    number(forwards.packets[i]));
	}
	for (uint32_t i = 0; i < MOAT_REASON_COUNT; i++) {
		if (moat_reason_verdict(i) == MOAT_VERDICT_PASS)
			passed += counters->reasons[i].packets;
	}
	json_object_set_new(port, "forwarded", packets);
	/* packets between the two counts are few, and gone with the next look */
	json_object_set_new(port, "forward_balanced", json_boolean(sum == passed));
}

static json_t *port_of(const struct moat_appliance *appliance,
		       const struct moat_gate_port_info *info)
{
	struct moat_gate_counters counters;
	json_t *port = json_pack("{s:s,s:s,s:i,s:i,s:s,s:s,s:b,s:s}", "name", info->name, "role",
				 role_name(info->role), "index", (int)info->index, "ifindex",
				 info->ifindex, "xdp", info->native ? "native" : "generic",
				 "fallback", info->fallback, "adopted", info->adopted, "replaced",
				 info->replaced);

	if (port)
		json_object_set_new(port, "attach",
				    json_string(info->dispatched ? "dispatcher" : "alone"));
	if (port)
		json_object_set_new(port, "stages", moat_stages_json(info->stages));
	if (!port || read_port(appliance, info->index, &counters) < 0)
		return port;
	add_reasons(port, &counters.in, counters.reasons);
	add_forward(appliance, port, info, &counters);
	json_object_set_new(port, "samples", number(counters.samples));
	json_object_set_new(port, "samples_lost", number(counters.samples_lost));
	json_object_set_new(port, "helper_errors", number(counters.helper_errors));
	json_object_set_new(port, "rules_expired", number(counters.rules_expired));
	return port;
}

static json_t *ports_of(const struct moat_appliance *appliance)
{
	json_t *ports = json_array();
	size_t count;
	const struct moat_gate_port_info *infos = moat_gate_ports(appliance->gate, &count);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(ports, port_of(appliance, &infos[i]));
	return ports;
}

static json_t *worker_of(const struct moat_appliance *appliance, size_t index)
{
	struct moat_worker_counters counters;
	const struct moat_port_afxdp_info *afxdp = &appliance->wire.places[index].afxdp;
	json_t *worker = json_pack(
		"{s:i,s:s,s:i,s:i,s:i,s:b,s:b,s:b,s:b,s:I,s:I}", "port",
		(int)appliance->wire.places[index].port, "name", appliance->wire.places[index].name,
		"cpu", appliance->wire.places[index].cpu, "node", appliance->wire.places[index].node,
		"queue", (int)appliance->wire.places[index].queue, "zerocopy", afxdp->zerocopy,
		"multi_buffer", afxdp->multi_buffer, "need_wakeup", afxdp->need_wakeup, "busy_poll",
		afxdp->busy_poll, "frames", (json_int_t)afxdp->frames, "frame_max",
		(json_int_t)afxdp->frame_max);

	if (!worker)
		return NULL;
	moat_worker_counters(appliance->wire.workers[index], &counters);
	add_reasons(worker, &counters.in, counters.reasons);
	json_object_set_new(worker, "kind",
			    json_string(appliance->wire.places[index].dpdk ? "dpdk" : "afxdp"));
	json_object_set_new(worker, "lost", json_boolean(appliance->wire.places[index].lost));
	json_object_set_new(worker, "rx", counter(&counters.port.received));
	json_object_set_new(worker, "tx", counter(&counters.port.sent));
	json_object_set_new(worker, "rx_ring_full", number(counters.port.rx_ring_full));
	json_object_set_new(worker, "rx_no_buffer", number(counters.port.rx_no_buffer));
	json_object_set_new(worker, "rx_invalid", number(counters.port.rx_invalid));
	json_object_set_new(worker, "replies", counter(&counters.port.replies));
	json_object_set_new(worker, "tx_ring_full", number(counters.port.tx_ring_full));
	json_object_set_new(worker, "tx_errors", number(counters.port.tx_errors));
	json_object_set_new(worker, "redistributed", number(counters.port.redistributed));
	json_object_set_new(worker, "flows", number(counters.flow.live));
	json_object_set_new(worker, "flows_refused", number(counters.flow.refused));
	json_object_set_new(worker, "samples", number(counters.samples));
	json_object_set_new(worker, "samples_lost", number(counters.samples_lost));
	json_object_set_new(worker, "wakeups", number(counters.port.wakeups));
	json_object_set_new(worker, "busy_ns", number(counters.busy_ns));
	json_object_set_new(worker, "idle_ns", number(counters.idle_ns));
	json_object_set_new(worker, "busy_ratio",
			    json_real(counters.busy_ns
					      ? (double)counters.busy_ns /
							(double)(counters.busy_ns + counters.idle_ns)
					      : 0));
	return worker;
}

static json_t *workers_of(const struct moat_appliance *appliance)
{
	json_t *workers = json_array();

	for (size_t i = 0; i < appliance->wire.worker_count; i++)
		json_array_append_new(workers, worker_of(appliance, i));
	return workers;
}

static void add_misses(struct moat_cell_misses *sum, const struct moat_cell_misses *misses)
{
	sum->unaccounted += misses->unaccounted;
	sum->takeovers += misses->takeovers;
}

static void add_head(struct moat_cell_head *sum, const struct moat_cell_head *head)
{
	sum->packets += head->packets;
	add_misses(&sum->to, &head->to);
	add_misses(&sum->from, &head->from);
}

static json_t *cells_of(const struct moat_appliance *appliance)
{
	struct moat_cell_head sum = { 0 };
	uint64_t unaccounted;

	for (uint32_t cpu = 0; cpu < moat_gate_cpus(appliance->gate); cpu++) {
		struct moat_gate_cells cells;

		moat_gate_cells(appliance->gate, cpu, &cells);
		add_head(&sum, cells.head);
	}
	for (size_t i = 0; i < appliance->wire.worker_count; i++)
		add_head(&sum, moat_worker_cells(appliance->wire.workers[i])->head);
	unaccounted = sum.to.unaccounted + sum.from.unaccounted;
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "accounted",
			 (json_int_t)(2 * sum.packets - unaccounted), "unaccounted",
			 (json_int_t)unaccounted, "unaccounted_to", (json_int_t)sum.to.unaccounted,
			 "unaccounted_from", (json_int_t)sum.from.unaccounted, "takeovers",
			 (json_int_t)(sum.to.takeovers + sum.from.takeovers));
}

static json_t *mode_names(uint32_t modes)
{
	json_t *names = json_array();

	if (modes & MOAT_MODE_GATEWAY)
		json_array_append_new(names, json_string("gateway"));
	if (modes & MOAT_MODE_WIRE)
		json_array_append_new(names, json_string("wire"));
	if (modes & MOAT_MODE_MIRROR)
		json_array_append_new(names, json_string("mirror"));
	if (modes & MOAT_MODE_FLOWS)
		json_array_append_new(names, json_string("flows"));
	return names;
}

static json_t *detectors_of(uint32_t modes)
{
	json_t *detectors = json_array();

	for (size_t i = 0; moat_detectors[i]; i++) {
		const struct moat_detector_ops *ops = moat_detectors[i];

		json_array_append_new(detectors,
				      json_pack("{s:s,s:s,s:b,s:o}", "name", ops->name, "title",
						ops->title, "active", (ops->modes & modes) != 0,
						"modes", mode_names(ops->modes)));
	}
	return detectors;
}

static json_t *detect_of(const struct moat_appliance *appliance)
{
	struct moat_detection_counters counters;
	uint32_t modes = moat_appliance_modes(appliance->config);
	json_t *detect;

	moat_detection_counters(appliance->detection, &counters);
	detect = json_pack("{s:s,s:f,s:o}", "state",
			   counters.engine.learning ? "learning" : "active", "learned",
			   counters.engine.learned, "modes", mode_names(modes));
	if (!detect)
		return NULL;
	json_object_set_new(detect, "hosts", number(counters.engine.hosts.hosts));
	json_object_set_new(detect, "hosts_refused", number(counters.engine.hosts.refused));
	json_object_set_new(detect, "cells_torn", number(counters.engine.hosts.torn));
	json_object_set_new(detect, "readings_late", number(counters.engine.hosts.late));
	json_object_set_new(detect, "clusters", number(counters.engine.baseline_clusters));
	json_object_set_new(detect, "rows", number(counters.engine.baseline_rows));
	json_object_set_new(detect, "windows", number(counters.engine.windows));
	json_object_set_new(detect, "windows_late", number(counters.late_windows));
	json_object_set_new(detect, "samples", number(counters.engine.samples));
	json_object_set_new(detect, "findings_opened", number(counters.engine.findings_opened));
	json_object_set_new(detect, "findings_open", number(counters.engine.findings_open));
	json_object_set_new(detect, "findings_refused", number(counters.engine.findings_refused));
	json_object_set_new(detect, "findings_lost", number(counters.findings_lost));
	json_object_set_new(detect, "known_sources", number(counters.known_sources));
	json_object_set_new(detect, "tick_us", number(counters.tick_last_ns / 1000));
	json_object_set_new(detect, "tick_max_us", number(counters.tick_max_ns / 1000));
	json_object_set_new(detect, "detectors", detectors_of(modes));
	return detect;
}

static json_t *findings_of(const struct moat_appliance *appliance)
{
	struct moat_event_context context = moat_appliance_context(appliance);
	json_t *findings = json_array();
	const struct moat_finding *finding;

	for (size_t i = 0; (finding = moat_findings_at(appliance->findings, i)); i++) {
		json_t *detail;

		if (finding->state == MOAT_FINDING_CLOSED)
			continue;
		detail = moat_event_finding_detail(&context, finding);
		json_object_del(detail, "evidence");
		json_object_del(detail, "proposals");
		json_object_del(detail, "drivers");
		json_array_append_new(findings, detail);
	}
	return findings;
}

static json_t *rules_of(const struct moat_appliance *appliance)
{
	const struct moat_ruleset *set = moat_rulebook_live(appliance->rulebook);
	size_t total, by_respond = 0, allow, deny;
	const struct moat_rule *rules = moat_ruleset_rules(set, &total);

	for (size_t i = 0; i < total; i++)
		by_respond += strcmp(rules[i].owner, MOAT_RESPOND_OWNER) == 0;
	moat_ruleset_prefixes(set, MOAT_LIST_ALLOW, &allow);
	moat_ruleset_prefixes(set, MOAT_LIST_DENY, &deny);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "total", (json_int_t)total, "respond",
			 (json_int_t)by_respond, "allow", (json_int_t)allow, "deny",
			 (json_int_t)deny, "commits", (json_int_t)appliance->commits,
			 "commits_failed", (json_int_t)appliance->commits_failed, "commit_us",
			 (json_int_t)(appliance->commit_last_ns / 1000));
}

static json_t *respond_of(const struct moat_appliance *appliance)
{
	struct moat_respond_counters counters;

	moat_respond_counters(appliance->respond, &counters);
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "mode",
			 appliance->config->respond.mode == MOAT_RESPOND_ENFORCE ? "enforce"
										 : "observe",
			 "max_rules", (json_int_t)appliance->config->respond.max_rules, "standing",
			 (json_int_t)counters.standing, "added", (json_int_t)counters.added,
			 "renewed", (json_int_t)counters.renewed, "replaced",
			 (json_int_t)counters.replaced, "lifted", (json_int_t)counters.lifted,
			 "refused_allowed", (json_int_t)counters.refused_allowed, "refused_full",
			 (json_int_t)counters.refused_full, "displaced",
			 (json_int_t)counters.displaced, "failed", (json_int_t)counters.failed);
}

static json_t *events_of(const struct moat_appliance *appliance)
{
	struct moat_sink_counters counters;

	if (!appliance->sink)
		return json_pack("{s:n}", "path");
	moat_sink_counters(appliance->sink, &counters);
	return json_pack("{s:s,s:I,s:I,s:I,s:I}", "path", moat_sink_path(appliance->sink), "written",
			 (json_int_t)counters.written, "bytes", (json_int_t)counters.bytes, "lost",
			 (json_int_t)counters.lost, "failed", (json_int_t)counters.failed);
}

static json_t *control_of(const struct moat_appliance *appliance)
{
	struct moat_control_counters counters;

	moat_control_counters(appliance->control, &counters);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "clients", (json_int_t)counters.clients,
			 "accepted", (json_int_t)counters.accepted, "refused",
			 (json_int_t)counters.refused, "dropped", (json_int_t)counters.dropped,
			 "requests", (json_int_t)counters.requests, "errors",
			 (json_int_t)counters.errors);
}

json_t *moat_appliance_status(struct moat_appliance *appliance)
{
	uint64_t now_ns = moat_clock_monotonic_ns();
	json_t *status = json_pack("{s:s,s:i,s:f,s:I,s:s}", "version", MOAT_VERSION, "pid",
				   (int)getpid(), "uptime_s",
				   (double)(now_ns - appliance->started_ns) / (double)MOAT_NS_PER_S,
				   "mono_ns", (json_int_t)now_ns, "config", appliance->config->path);

	if (!status)
		return NULL;
	json_object_set_new(status, "ports", ports_of(appliance));
	json_object_set_new(status, "interfaces", moat_ports_status(appliance));
	if (appliance->egress)
		json_object_set_new(status, "egress", moat_appliance_egress_status(appliance));
	json_object_set_new(status, "workers", workers_of(appliance));
	json_object_set_new(status, "offload", moat_offloads_status(appliance->offloads));
	json_object_set_new(status, "cells", cells_of(appliance));
	json_object_set_new(status, "detect", detect_of(appliance));
	json_object_set_new(status, "respond", respond_of(appliance));
	json_object_set_new(status, "rules", rules_of(appliance));
	json_object_set_new(status, "findings", findings_of(appliance));
	json_object_set_new(status, "events", events_of(appliance));
	json_object_set_new(status, "control", control_of(appliance));
	if (appliance->intake || appliance->exporter)
		json_object_set_new(status, "flows", moat_exporters_status(appliance));
	json_object_set_new(status, "upstream", moat_outlets_upstream_status(appliance));
	if (appliance->notify)
		json_object_set_new(status, "notify", moat_outlets_notify_status(appliance));
	json_object_set_new(status, "host", moat_host_status(appliance->host));
	return status;
}
