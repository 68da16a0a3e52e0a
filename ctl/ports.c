/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every piece of news leads to one comparison of what is there with what is wanted, so that no order of
 * events and no lost one can leave a port behind. */
#include "ctl/ports.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ctl/appliance_priv.h"
#include "ctl/probe.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/log.h"

/* Seconds between two tries of what refused. */
#define LOOK_US 100000
#define RETRY_TICKS 10

struct moat_gate_port_options moat_ports_options(const struct moat_config_port *port,
						 const char *interface)
{
	struct moat_gate_port_options options = {
		.name = interface,
		.role = port->role,
		.generic = port->generic,
		.replace = port->replace,
		.dispatcher = port->dispatcher,
		.fail = port->fail,
		.fail_closed = port->fail == MOAT_FAIL_CLOSED,
		.stages = port->stages,
		.peer = port->peer[0] ? port->peer : NULL,
	};

	options.way.mode = port->forward;
	if (port->forward == MOAT_FORWARD_WIRE) {
		options.way.closed = port->fail == MOAT_FAIL_CLOSED;
		snprintf(options.way.peer, sizeof(options.way.peer), "%s", port->peer);
	}
	return options;
}

static bool is_alike(const struct moat_gate_port_info *info,
		     const struct moat_gate_port_options *options, int ifindex)
{
	return info->ifindex == ifindex && info->role == options->role &&
	       info->stages == (options->stages & ~MOAT_STAGE_NONE) && info->fail == options->fail &&
	       info->way.mode == options->way.mode && info->way.closed == options->way.closed &&
	       strcmp(info->way.peer, options->way.peer) == 0;
}

static const struct moat_gate_port_info *attached_port(const struct moat_appliance *appliance,
						       const char *name)
{
	size_t count;
	const struct moat_gate_port_info *ports = moat_gate_ports(appliance->gate, &count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(ports[i].name, name) == 0)
			return &ports[i];
	}
	return NULL;
}

static void tell(struct moat_appliance *appliance, const char *change, json_t *detail)
{
	struct moat_event_context context = moat_appliance_context(appliance);

	moat_appliance_emit(appliance, moat_event_moatd(&context, change, detail));
}

/* ---- what refused ------------------------------------------------------------------------------ */

static struct moat_ports_waiting *waiting_of(struct moat_ports *ports, int ifindex)
{
	for (size_t i = 0; i < ports->waiting_count; i++) {
		if (ports->waiting[i].ifindex == ifindex)
			return &ports->waiting[i];
	}
	return NULL;
}

/* Says it once: a reason that stays the same at the next try is old news. */
static void note_refusal(struct moat_ports *ports, const struct moat_link *link, const char *why)
{
	struct moat_ports_waiting *waiting = waiting_of(ports, link->ifindex);
	bool is_news = true;

	ports->failed++;
	if (waiting)
		is_news = strncmp(waiting->why, why, sizeof(waiting->why) - 1) != 0;
	else if (ports->waiting_count < MOAT_PORTS_WAITING_MAX)
		waiting = &ports->waiting[ports->waiting_count++];
	if (is_news)
		moat_log(MOAT_LOG_WARNING, "port %s: %s; it is tried again", link->name, why);
	if (!waiting)
		return;
	waiting->ifindex = link->ifindex;
	memcpy(waiting->name, link->name, sizeof(waiting->name));
	snprintf(waiting->why, sizeof(waiting->why), "%s", why);
}

static void forget_refusal(struct moat_ports *ports, int ifindex)
{
	struct moat_ports_waiting *waiting = waiting_of(ports, ifindex);

	if (waiting)
		*waiting = ports->waiting[--ports->waiting_count];
}

/* ---- attaching and letting go ------------------------------------------------------------------ */

static const char *container_name(const struct moat_appliance *appliance, uint32_t slot,
				  struct moat_egress_info *ret_info)
{
	return moat_egress_info(appliance->egress, slot, ret_info) ? ret_info->name : NULL;
}

/* Of each container its limits, which the configuration may have changed. */
static int attach_container(struct moat_appliance *appliance, const struct moat_config_port *port,
			    const struct moat_link *link, struct moat_error *error)
{
	uint32_t slot = moat_egress_find(appliance->egress, link->name);
	struct moat_egress_info info;
	bool is_new = !container_name(appliance, slot, &info) || info.ifindex != link->ifindex ||
		      !info.current;
	int r = is_new ? moat_egress_attach(appliance->egress, link->name, error) : 0;

	if (r < 0)
		return r;
	moat_egress_set_limit(appliance->egress, link->name, port->egress_packets,
			      port->egress_bytes, false);
	if (!is_new)
		return 0;
	appliance->ports.attached++;
	forget_refusal(&appliance->ports, link->ifindex);
	moat_log(MOAT_LOG_INFO, "port %s: a container's%s", link->name, r ? ", adopted" : "");
	return 0;
}

static int attach_one(struct moat_appliance *appliance, const struct moat_config_port *port,
		      const struct moat_link *link, struct moat_error *error)
{
	struct moat_gate_port_options options = moat_ports_options(port, link->name);
	const struct moat_gate_port_info *attached = attached_port(appliance, link->name);
	struct moat_gate_port_info info;
	char warnings[256];
	int r;

	if (port->role == MOAT_ROLE_CONTAINER)
		return attach_container(appliance, port, link, error);
	/* a program that routes knows its interface's address */
	if (attached && attached->current && is_alike(attached, &options, link->ifindex) &&
	    (options.way.mode != MOAT_FORWARD_FIB ||
	     memcmp(attached->way.mac, link->mac, sizeof(link->mac)) == 0))
		return 0;
	r = moat_gate_attach(appliance->gate, &options, &info, error);
	if (r < 0)
		return r;
	appliance->ports.attached++;
	forget_refusal(&appliance->ports, link->ifindex);
	moat_log(MOAT_LOG_INFO, "port %s: %s mode%s%s%s", info.name,
		 info.native ? "native" : "generic", info.adopted ? ", adopted" : "",
		 info.fallback[0] ? ": " : "", info.fallback);
	moat_probe_warnings(info.name, warnings, sizeof(warnings));
	if (warnings[0])
		moat_log(MOAT_LOG_INFO, "port %s: %s", info.name, warnings);
	if (info.dispatched)
		moat_log(MOAT_LOG_INFO, "port %s: in libxdp's dispatcher, beside other programs",
			 info.name);
	if (info.dispatched != port->dispatcher)
		moat_log(MOAT_LOG_WARNING,
			 "port %s: attached before, it stays %s; \"moat gate detach\" first changes that",
			 info.name, info.dispatched ? "in the dispatcher" : "alone");
	if (info.replaced[0])
		moat_log(MOAT_LOG_WARNING, "port %s: replaced %s", info.name, info.replaced);
	return 0;
}

/* What has a name has to be there. */
static int check_names(const struct moat_appliance *appliance, const struct moat_config *config,
		       struct moat_error *error)
{
	for (size_t i = 0; i < config->port_count; i++) {
		const struct moat_config_port *port = &config->ports[i];

		if (!port->is_pattern && !port->dpdk[0] &&
		    !moat_links_find(appliance->ports.links, port->name))
			return moat_error_set(error, -ENODEV, "no interface %s", port->name);
	}
	return 0;
}

/* With the first container, or what is left of earlier ones to be let go. */
static int open_egress(struct moat_appliance *appliance, const struct moat_config *config,
		       struct moat_error *error)
{
	char path[4096];
	bool wanted;

	snprintf(path, sizeof(path), "%s/egress", config->pin_dir);
	wanted = access(path, F_OK) == 0;
	for (size_t i = 0; i < config->port_count; i++)
		wanted |= config->ports[i].role == MOAT_ROLE_CONTAINER;
	return wanted && !appliance->egress
		       ? moat_egress_open(appliance->gate, &appliance->egress, error)
		       : 0;
}

int moat_ports_attach(struct moat_appliance *appliance, const struct moat_config *config,
		      struct moat_error *error)
{
	size_t count;
	const struct moat_link *links;
	int r = moat_links_update(appliance->ports.links);

	if (r < 0)
		return moat_error_set(error, r, "watching the interfaces: %s", strerror(-r));
	appliance->ports.has_news |= r > 0;
	r = check_names(appliance, config, error);
	if (r == 0)
		r = open_egress(appliance, config, error);
	if (r < 0)
		return r;
	links = moat_links_all(appliance->ports.links, &count);
	for (size_t i = 0; i < count; i++) {
		const struct moat_config_port *port = moat_config_port_of(config, links[i].name);
		struct moat_error ours = { .text = "" };

		r = port ? attach_one(appliance, port, &links[i], &ours) : 0;

		if (r < 0 && !port->is_pattern)
			return moat_error_set(error, r, "%s", ours.text);
		if (r < 0)
			note_refusal(&appliance->ports, &links[i], ours.text);
	}
	return 0;
}

static bool is_wanted(const struct moat_config *wanted, const char *name, bool container)
{
	const struct moat_config_port *port = moat_config_port_of(wanted, name);

	return port && (port->role == MOAT_ROLE_CONTAINER) == container;
}

static void release_containers(struct moat_appliance *appliance, const struct moat_config *wanted)
{
	struct moat_egress_info info;

	for (uint32_t i = 0; appliance->egress && i < MOAT_EGRESS_SLOTS; i++) {
		if (!container_name(appliance, i, &info) || is_wanted(wanted, info.name, true))
			continue;
		moat_egress_release(appliance->egress, info.name);
		moat_log(MOAT_LOG_INFO, "port %s: its filter is off", info.name);
	}
}

void moat_ports_release(struct moat_appliance *appliance, const struct moat_config *wanted)
{
	struct moat_gate_port_info ports[MOAT_PORTS_MAX];
	size_t count;
	const struct moat_gate_port_info *attached = moat_gate_ports(appliance->gate, &count);

	memcpy(ports, attached, count * sizeof(ports[0])); /* a release changes the list */
	for (size_t i = 0; i < count; i++) {
		if (is_wanted(wanted, ports[i].name, false))
			continue;
		if (moat_gate_release(appliance->gate, ports[i].name, NULL) == 0)
			moat_log(MOAT_LOG_INFO, "port %s: the gate is off", ports[i].name);
	}
	release_containers(appliance, wanted);
}

/* ---- what comes and goes ----------------------------------------------------------------------- */

static void let_go(struct moat_appliance *appliance, const struct moat_gate_port_info *info)
{
	struct moat_gate_counters counters = {};
	struct moat_error error = { .text = "" };
	uint64_t dropped = 0;

	moat_gate_counters(appliance->gate, info->index, &counters);
	for (uint32_t i = 0; i < MOAT_REASON_COUNT; i++) {
		if (moat_reason_verdict(i) == MOAT_VERDICT_DROP)
			dropped += counters.reasons[i].packets;
	}
	if (moat_gate_release(appliance->gate, info->name, &error) < 0) {
		moat_log(MOAT_LOG_WARNING, "port %s: %s", info->name, error.text);
		return;
	}
	appliance->ports.vanished++;
	moat_log(MOAT_LOG_INFO, "port %s: its interface is gone; of %llu packets %llu were dropped",
		 info->name, (unsigned long long)counters.in.packets, (unsigned long long)dropped);
	tell(appliance, "port_gone",
	     json_pack("{s:s,s:I,s:I}", "port", info->name, "packets",
		       (json_int_t)counters.in.packets, "dropped", (json_int_t)dropped));
}

static void let_go_containers(struct moat_appliance *appliance)
{
	struct moat_egress_info info;

	for (uint32_t i = 0; appliance->egress && i < MOAT_EGRESS_SLOTS; i++) {
		const struct moat_link *link;

		if (!container_name(appliance, i, &info))
			continue;
		link = moat_links_find(appliance->ports.links, info.name);
		if (link && link->ifindex == info.ifindex)
			continue;
		moat_egress_release(appliance->egress, info.name);
		appliance->ports.vanished++;
		moat_log(MOAT_LOG_INFO, "port %s: its container is gone; it sent %llu packets",
			 info.name, (unsigned long long)info.counters.in.packets);
		tell(appliance, "port_gone",
		     json_pack("{s:s,s:I}", "port", info.name, "packets",
			       (json_int_t)info.counters.in.packets));
	}
}

/* Gateway ports whose interface is not the one they were attached to. A wire's end is its worker's matter,
 * which says it. */
static void let_go_vanished(struct moat_appliance *appliance)
{
	struct moat_gate_port_info ports[MOAT_PORTS_MAX];
	size_t count;
	const struct moat_gate_port_info *attached = moat_gate_ports(appliance->gate, &count);

	memcpy(ports, attached, count * sizeof(ports[0]));
	for (size_t i = 0; i < count; i++) {
		const struct moat_link *link = moat_links_find(appliance->ports.links,
							       ports[i].name);

		if (ports[i].role == MOAT_ROLE_GATEWAY &&
		    (!link || link->ifindex != ports[i].ifindex))
			let_go(appliance, &ports[i]);
	}
	let_go_containers(appliance);
	for (size_t i = appliance->ports.waiting_count; i-- > 0;) {
		const struct moat_ports_waiting *waiting = &appliance->ports.waiting[i];
		const struct moat_link *link = moat_links_find(appliance->ports.links,
							       waiting->name);

		if (!link || link->ifindex != waiting->ifindex)
			forget_refusal(&appliance->ports, waiting->ifindex);
	}
}

/* Tries one interface at most, from `next` on: loading a program may take the verifier a second, and findings
 * don't wait for containers that start. True if there may be more. */
static bool attach_next(struct moat_appliance *appliance)
{
	struct moat_ports *ports = &appliance->ports;
	uint64_t tried = ports->attached + ports->failed;
	size_t count;
	const struct moat_link *links = moat_links_all(ports->links, &count);

	while (ports->next < count) {
		const struct moat_link *link = &links[ports->next++];
		const struct moat_config_port *port = moat_config_port_of(appliance->config,
									  link->name);
		uint64_t before = ports->attached;
		struct moat_error error = { .text = "" };

		if (!port || moat_config_port_has_workers(port))
			continue;
		if (attach_one(appliance, port, link, &error) < 0)
			note_refusal(ports, link, error.text);
		else if (ports->attached != before)
			tell(appliance, "port_attached", json_pack("{s:s}", "port", link->name));
		if (ports->attached + ports->failed != tried)
			return true;
	}
	return false;
}

static int on_more(sd_event_source *source, void *userdata)
{
	struct moat_appliance *appliance = userdata;

	if (attach_next(appliance))
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	/* a wire's peer may have come back as another interface */
	moat_gate_refresh(appliance->gate);
	return 0;
}

/* Begins a comparison. */
static void sync_ports(struct moat_appliance *appliance)
{
	appliance->ports.has_news = false;
	appliance->ports.next = 0;
	let_go_vanished(appliance);
	sd_event_source_set_enabled(appliance->ports.more, SD_EVENT_ONESHOT);
}

static int on_news(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct moat_appliance *appliance = userdata;
	int r = moat_links_update(appliance->ports.links);

	if (r < 0)
		moat_log(MOAT_LOG_WARNING, "watching the interfaces: %s", strerror(-r));
	if (r != 0) {
		sync_ports(appliance);
		/* an end of a wire may have gone or come back */
		moat_wire_tick(&appliance->wire);
	}
	return 0;
}

/* A veth passes frames of a receive queue that is new on without asking the program that it has, until it is
 * given it again. Of wires: moat_wire_look. */
static void look_at_gateways(struct moat_appliance *appliance)
{
	size_t count;
	const struct moat_gate_port_info *infos = moat_gate_ports(appliance->gate, &count);

	for (size_t i = 0; i < count; i++) {
		uint32_t index = infos[i].index, queues, before;

		if (infos[i].role != MOAT_ROLE_GATEWAY || index >= MOAT_PORTS_MAX)
			continue;
		queues = moat_wire_queues(infos[i].name);
		before = appliance->ports.seen[index].queues;
		if (before && appliance->ports.seen[index].ifindex == infos[i].ifindex &&
		    queues > before) {
			int r = moat_gate_reassert(appliance->gate, index);

			moat_log(r < 0 ? MOAT_LOG_ERROR : MOAT_LOG_INFO,
				 "port %s: %u receive queues instead of %u: %s", infos[i].name,
				 queues, before,
				 r < 0 ? strerror(-r) : "the gate is on all of them");
		}
		appliance->ports.seen[index].ifindex = infos[i].ifindex;
		appliance->ports.seen[index].queues = queues;
	}
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct moat_appliance *appliance = userdata;

	moat_wire_look(&appliance->wire);
	look_at_gateways(appliance);
	sd_event_source_set_time(source, usec + LOOK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void moat_ports_tick(struct moat_appliance *appliance)
{
	bool is_due = ++appliance->ports.ticks % RETRY_TICKS == 0;

	if (is_due)
		moat_gate_refresh(appliance->gate);
	if (appliance->ports.has_news || (is_due && appliance->ports.waiting_count > 0))
		sync_ports(appliance);
}

/* ---- life -------------------------------------------------------------------------------------- */

int moat_ports_open(struct moat_appliance *appliance, struct moat_error *error)
{
	int r = moat_links_new(&appliance->ports.links, error);

	if (r < 0)
		return r;
	r = sd_event_add_io(appliance->loop, &appliance->ports.source,
			    moat_links_fd(appliance->ports.links), EPOLLIN, on_news, appliance);
	if (r >= 0)
		r = sd_event_add_time_relative(appliance->loop, &appliance->ports.look,
					       CLOCK_MONOTONIC, LOOK_US, 0, on_look, appliance);
	if (r >= 0)
		r = sd_event_add_defer(appliance->loop, &appliance->ports.more, on_more, appliance);
	if (r >= 0)
		r = sd_event_source_set_priority(appliance->ports.more, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_source_set_enabled(appliance->ports.more, SD_EVENT_OFF);
	return r < 0 ? moat_error_set(error, r, "event loop: %s", strerror(-r)) : 0;
}

void moat_ports_close(struct moat_appliance *appliance)
{
	sd_event_source_disable_unref(appliance->ports.look);
	sd_event_source_disable_unref(appliance->ports.more);
	appliance->ports.look = NULL;
	sd_event_source_disable_unref(appliance->ports.source);
	appliance->ports.more = NULL;
	moat_links_free(appliance->ports.links);
	appliance->ports.source = NULL;
	appliance->ports.links = NULL;
}

json_t *moat_ports_status(const struct moat_appliance *appliance)
{
	const struct moat_ports *ports = &appliance->ports;
	struct moat_links_counters links;
	json_t *waiting = json_array();

	moat_links_counters(ports->links, &links);
	for (size_t i = 0; i < ports->waiting_count; i++)
		json_array_append_new(waiting, json_pack("{s:s,s:s}", "name", ports->waiting[i].name,
							 "why", ports->waiting[i].why));
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "appeared", (json_int_t)links.appeared,
			 "vanished", (json_int_t)links.vanished, "overruns",
			 (json_int_t)links.overruns, "attached", (json_int_t)ports->attached,
			 "let_go", (json_int_t)ports->vanished, "refused",
			 (json_int_t)ports->failed, "waiting", waiting);
}
