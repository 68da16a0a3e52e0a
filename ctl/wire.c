/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets are opened in pairs for a wire, so that the two sides share memory and move descriptors. While a
 * lane is lost its workers stand still; where an interface of it is left, the gate does their work.
 */
#include "ctl/wire.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ports.h"
#include "ctl/probe.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/log.h"
#include "dataplane/base/numa.h"
#include "dataplane/netdev.h"

/* Records and beginnings that wait for the detection thread, which looks every 8 ms: a worker at a million
 * new flows a second would fill it, and then they are lost and counted. */
#define FLOW_RING 8192
#define CONTENT_RING 2048
#define HEADER_LEN 18 /* Ethernet's, with a tag */

static const struct moat_gate_port_info *port_named(struct moat_gate *gate, const char *name)
{
	size_t count;
	const struct moat_gate_port_info *ports = moat_gate_ports(gate, &count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(ports[i].name, name) == 0)
			return &ports[i];
	}
	return NULL;
}

/* ---- lanes ------------------------------------------------------------------------------------ */

static unsigned int lane_sides(const struct moat_wire_lane *lane)
{
	return lane->ports[1] ? 2 : 1;
}

/* Whether frames may be longer than one buffer. */
static bool wants_chains(const struct moat_wire_lane *lane)
{
	struct moat_netdev netdev;

	for (unsigned int i = 0; i < lane_sides(lane); i++) {
		if (moat_netdev_look(lane->ports[i]->name, &netdev) == 0 &&
		    netdev.mtu + HEADER_LEN > MOAT_GATE_SOCKET_FRAME_MAX)
			return true;
	}
	return false;
}

static int open_port(const struct moat_wire *wire, const struct moat_wire_lane *lane,
		     unsigned int side, struct moat_port *peer, bool copy,
		     struct moat_port **ret_port, struct moat_error *error)
{
	const struct moat_config_port *port = lane->ports[side];
	const struct moat_port_dpdk_options dpdk = {
		.device = port->dpdk,
		.queue = lane->queue,
		.queues = port->queues,
		.idle_us = wire->dpdk_idle_us,
	};
	struct moat_port_afxdp_options options = {
		.interface = port->name,
		.queue = lane->queue,
		.frames = wire->afxdp.frames,
		.alone = !lane->ports[1],
		.peer = peer,
		.multi_buffer = wants_chains(lane),
		.copy = copy,
		.busy_poll_us = wire->afxdp.busy_poll_us,
		.busy_poll_budget = wire->afxdp.busy_poll_budget,
	};
	const struct moat_gate_port_info *info = port_named(wire->gate, port->name);
	int r;

	if (port->dpdk[0])
		return moat_port_dpdk_open(&dpdk, ret_port, error);
	if (!info)
		return moat_error_set(error, -ENODEV, "port %s: the gate isn't attached",
				      port->name);
	options.xsks_fd = moat_gate_xsks_fd(wire->gate, info->index);
	if (options.xsks_fd < 0)
		return moat_error_set(error, options.xsks_fd, "port %s: no socket map", port->name);
	/* packets lie near the device that writes them; of a wire near the first port's */
	moat_numa_prefer(moat_numa_of_interface(lane->ports[0]->name));
	r = moat_port_afxdp_open(&options, ret_port, error);
	moat_numa_prefer(-1);
	return r;
}

/* The index that samples and reports know a port by: the gate's, or above those. */
static uint32_t index_of(const struct moat_wire *wire, const struct moat_config_port *port)
{
	const struct moat_gate_port_info *info = port_named(wire->gate, port->name);

	return info && !port->dpdk[0] ? info->index
				      : MOAT_PORTS_MAX + (uint32_t)(port - wire->ports);
}

/* A DPDK port has no gate that would look for a sign of life. */
static int pulse_of(const struct moat_wire *wire, const struct moat_config_port *port,
		    uint32_t queue, struct moat_pulse *ret_pulse)
{
	*ret_pulse = (struct moat_pulse){ .beat = NULL };
	return port->dpdk[0] ? 0
			     : moat_gate_pulse(wire->gate, index_of(wire, port), queue, ret_pulse);
}

/* Both sides or none; the second stays NULL of a mirror. */
static int lane_try(const struct moat_wire *wire, const struct moat_wire_lane *lane, bool copy,
		    struct moat_port *ret_ports[2], struct moat_error *error)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *left = NULL;
	struct moat_port *right = NULL;
	int r = open_port(wire, lane, 0, NULL, copy, &left, error);

	if (r == 0 && lane->ports[1])
		r = open_port(wire, lane, 1, left, copy, &right, error);
	if (r < 0)
		return r;
	ret_ports[0] = moat_take_ptr(left);
	ret_ports[1] = right;
	return 0;
}

/* Two sides share memory, so both copy where one driver has no zero-copy. */
static int lane_open(const struct moat_wire *wire, const struct moat_wire_lane *lane,
		     struct moat_port *ret_ports[2], struct moat_error *error)
{
	int r = lane_try(wire, lane, false, ret_ports, error);

	return r == -EOPNOTSUPP && lane->ports[1] ? lane_try(wire, lane, true, ret_ports, error) : r;
}

/* Notes what a worker's new port is like, and tells the gate what goes through it. */
static void place_set(struct moat_wire *wire, size_t index, const struct moat_port *port,
		      const struct moat_pulse *pulse)
{
	wire->places[index].lost = false;
	if (wire->places[index].dpdk)
		return;
	moat_port_afxdp_info(port, &wire->places[index].afxdp);
	if (pulse->beat)
		pulse->beat->frame_max = wire->places[index].afxdp.multi_buffer
						 ? wire->places[index].afxdp.frame_max
						 : 0;
}

/* Where the configuration doesn't say, a CPU of the device's node. */
static int cpu_of(const struct moat_config_port *port, uint32_t queue, unsigned int worker)
{
	if (port->cpu >= 0)
		return port->cpu + (int)queue;
	return moat_numa_cpu(port->dpdk[0] ? -1 : moat_numa_of_interface(port->name), worker);
}

/* The device's, or of one that has none the worker's. */
static int node_of(const struct moat_config_port *port, int cpu)
{
	int node = port->dpdk[0] ? -1 : moat_numa_of_interface(port->name);

	return node >= 0 ? node : moat_numa_of_cpu(cpu);
}

/* Takes `port` over, also on failure. */
static int add_worker(struct moat_wire *wire, const struct moat_config *config,
		      const struct moat_wire_lane *lane, unsigned int side, struct moat_port *port,
		      struct moat_port *peer, struct moat_error *error)
{
	size_t n = wire->worker_count;
	struct moat_worker_options options = {
		.port = port,
		.peer = peer,
		.judge = moat_policy_judge(wire->policy, (uint32_t)n),
		.port_index = index_of(wire, lane->ports[side]),
		.cpu = cpu_of(lane->ports[side], lane->queue, (unsigned int)n),
		.cells = config->gate_cells,
		.hash_seed = moat_gate_hash_seed(wire->gate),
		.flow_ring = FLOW_RING,
		.content_ring = CONTENT_RING,
		.sample_pass = config->sample_pass,
		.sample_drop = config->sample_drop,
		.tunnels = config->tunnels,
	};
	int r;

	moat_judge_set_stages(options.judge, lane->ports[side]->stages, false);
	r = moat_judge_set_targets(options.judge, lane->ports[side]->name,
				   peer ? lane->ports[side]->peer : NULL);
	if (r == 0)
		r = pulse_of(wire, lane->ports[side], lane->queue, &options.pulse);
	if (r < 0)
		moat_error_set(error, r, "port %s: its queue %u in the gate: %s", port->name,
			       lane->queue, strerror(-r));
	else {
		moat_numa_prefer(node_of(lane->ports[side], options.cpu));
		r = moat_worker_new(&options, &wire->workers[n], error);
		moat_numa_prefer(-1);
	}
	if (r < 0) {
		moat_port_close(port);
		return r;
	}
	wire->places[n].port = options.port_index;
	wire->places[n].queue = lane->queue;
	wire->places[n].name = lane->ports[side]->name;
	wire->places[n].cpu = options.cpu;
	wire->places[n].node = node_of(lane->ports[side], options.cpu);
	wire->places[n].dpdk = lane->ports[side]->dpdk[0];
	place_set(wire, n, port, &options.pulse);
	wire->worker_count++;
	return 0;
}

static int add_lane(struct moat_wire *wire, const struct moat_config *config,
		    const struct moat_config_port *port, const struct moat_config_port *peer,
		    uint32_t queue, struct moat_error *error)
{
	struct moat_port *ports[2] = { NULL, NULL };
	struct moat_wire_lane *lane;
	int r;

	if (!wire->lanes)
		return -EINVAL; /* made for every port that asks for workers */
	lane = &wire->lanes[wire->lane_count];
	*lane = (struct moat_wire_lane){ .ports = { port, peer },
					 .workers = { wire->worker_count, wire->worker_count + 1 },
					 .queue = queue };
	r = lane_open(wire, lane, ports, error);
	if (r < 0)
		return r;
	wire->lane_count++;
	r = add_worker(wire, config, lane, 0, ports[0], ports[1], error);
	if (!peer)
		return r;
	if (r < 0) {
		moat_port_close(ports[1]);
		return r;
	}
	return add_worker(wire, config, lane, 1, ports[1], ports[0], error);
}

/* ---- set-up ----------------------------------------------------------------------------------- */

static struct moat_config_port *wanted_port(const struct moat_wire *wire, const char *name)
{
	for (size_t i = 0; i < wire->port_count; i++) {
		if (strcmp(wire->ports[i].name, name) == 0)
			return &wire->ports[i];
	}
	return NULL;
}

/* Tells the gate of each side where the other is. */
static int set_peers(struct moat_wire *wire, const struct moat_config_port *port,
		     struct moat_error *error)
{
	const struct moat_gate_port_info *info = port_named(wire->gate, port->name);
	int r = port->dpdk[0] ? 0
		: info        ? moat_gate_set_peer(wire->gate, info->index, port->peer)
			      : -ENODEV;

	return r < 0 ? moat_error_set(error, r, "wire %s - %s: the way past moat: %s", port->name,
				      port->peer, strerror(-r))
		     : 0;
}

static uint32_t queues_of(const struct moat_config_port *port)
{
	return port->dpdk[0] ? port->queues : moat_wire_queues(port->name);
}

/* DPDK is begun with the first port of its own. */
static int begin_dpdk(struct moat_wire *wire, const struct moat_config *config,
		      struct moat_error *error)
{
	const char *devices[MOAT_PORTS_MAX];
	struct moat_dpdk_options options = {
		.arguments = (const char *const *)config->dpdk_eal,
		.argument_count = config->dpdk_eal_count,
		.devices = devices,
	};

	for (size_t i = 0; i < wire->port_count; i++) {
		if (wire->ports[i].dpdk[0])
			devices[options.device_count++] = wire->ports[i].dpdk;
	}
	wire->dpdk_idle_us = config->dpdk_idle_us;
	wire->has_dpdk = options.device_count > 0;
	return wire->has_dpdk ? moat_dpdk_init(&options, error) : 0;
}

/* Where a port is polled and interrupts come all the same. */
static void warn_of_interrupts(const struct moat_wire *wire, const struct moat_config_port *port)
{
	char why[128];

	if (wire->afxdp.busy_poll_us && !port->dpdk[0] &&
	    moat_probe_busy_poll(port->name, why, sizeof(why)))
		moat_log(MOAT_LOG_WARNING, "port %s: %s", port->name, why);
}

static int add_port(struct moat_wire *wire, const struct moat_config *config,
		    const struct moat_config_port *port, struct moat_error *error)
{
	const struct moat_config_port *peer = NULL;
	uint32_t queues = queues_of(port);
	int r = 0;

	if (port->role == MOAT_ROLE_WIRE) {
		peer = wanted_port(wire, port->peer);
		r = peer ? set_peers(wire, port, error) : -ENODEV;
		/* the one that is named first opens both */
		if (r < 0 || peer < port)
			return r;
		if (queues_of(peer) != queues)
			return moat_error_set(
				error, -EINVAL,
				"wire %s - %s: %u and %u receive queues, but a wire needs as many on "
				"either side (ethtool -L sets them)",
				port->name, peer->name, queues, queues_of(peer));
	}
	warn_of_interrupts(wire, port);
	if (peer)
		warn_of_interrupts(wire, peer);
	for (uint32_t queue = 0; r == 0 && queue < queues; queue++)
		r = add_lane(wire, config, port, peer, queue, error);
	return r;
}

static size_t count_workers(struct moat_wire *wire)
{
	size_t count = 0;

	for (size_t i = 0; i < wire->port_count; i++)
		count += wire->queues[i] = queues_of(&wire->ports[i]);
	return count;
}

static int allocate(struct moat_wire *wire, const struct moat_config *config)
{
	size_t count;

	wire->ports = calloc(config->port_count, sizeof(*wire->ports));
	if (!wire->ports)
		return -ENOMEM;
	for (size_t i = 0; i < config->port_count; i++) {
		if (moat_config_port_has_workers(&config->ports[i]))
			wire->ports[wire->port_count++] = config->ports[i];
	}
	count = count_workers(wire);
	if (count == 0)
		return 0;
	wire->workers = calloc(count, sizeof(*wire->workers));
	wire->places = calloc(count, sizeof(*wire->places));
	wire->lanes = calloc(count, sizeof(*wire->lanes));
	if (!wire->workers || !wire->places || !wire->lanes)
		return -ENOMEM;
	return moat_policy_new((uint32_t)count, moat_gate_hash_seed(wire->gate), &wire->policy);
}

int moat_wire_init(struct moat_wire *wire, struct moat_gate *gate, const struct moat_config *config,
		   struct moat_error *error)
{
	int r;

	*wire = (struct moat_wire){ .gate = gate, .afxdp = config->afxdp };
	r = allocate(wire, config);
	if (r < 0)
		moat_error_set(error, r, "workers: %s", strerror(-r));
	else
		r = begin_dpdk(wire, config, error);
	for (size_t i = 0; r == 0 && i < wire->port_count; i++)
		r = add_port(wire, config, &wire->ports[i], error);
	if (r < 0)
		moat_wire_deinit(wire);
	return r;
}

void moat_wire_configure(struct moat_wire *wire, const struct moat_config *config)
{
	for (size_t i = 0; i < config->port_count; i++) {
		struct moat_config_port *port = wanted_port(wire, config->ports[i].name);

		if (port)
			*port = config->ports[i];
	}
	for (size_t i = 0; i < wire->lane_count; i++) {
		const struct moat_wire_lane *lane = &wire->lanes[i];

		for (unsigned int side = 0; side < lane_sides(lane); side++)
			moat_judge_set_stages(moat_policy_judge(wire->policy,
								(uint32_t)lane->workers[side]),
					      lane->ports[side]->stages, false);
	}
}

int moat_wire_start(struct moat_wire *wire, struct moat_error *error)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < wire->worker_count; i++)
		r = moat_worker_start(wire->workers[i], error);
	return r;
}

void moat_wire_deinit(struct moat_wire *wire)
{
	/* A worker sends through its neighbour's socket: all stand still before the first is closed. */
	for (size_t i = 0; i < wire->worker_count; i++)
		moat_worker_stop(wire->workers[i]);
	for (size_t i = wire->worker_count; i-- > 0;)
		moat_worker_free(wire->workers[i]);
	if (wire->has_dpdk)
		moat_dpdk_deinit();
	moat_policy_free(wire->policy);
	free(wire->lanes);
	free(wire->workers);
	free(wire->places);
	free(wire->ports);
	*wire = (struct moat_wire){ 0 };
}

/* ---- loss and recovery ------------------------------------------------------------------------ */

/* Takes the ports out. */
static void lane_close(struct moat_wire *wire, struct moat_wire_lane *lane)
{
	unsigned int sides = lane_sides(lane);

	for (unsigned int i = 0; i < sides; i++)
		moat_worker_stop(wire->workers[lane->workers[i]]);
	for (unsigned int i = 0; i < sides; i++) {
		moat_worker_set_port(wire->workers[lane->workers[i]], NULL, NULL);
		wire->places[lane->workers[i]].lost = true;
	}
	lane->lost = true;
}

/* Of a lane one of whose workers has ended. */
static void lane_lose(struct moat_wire *wire, struct moat_wire_lane *lane, const char *name,
		      int error)
{
	moat_log(MOAT_LOG_ERROR, "port %s, queue %u: lost (%s)%s", name, lane->queue,
		 strerror(-error),
		 lane->ports[1] && !lane->ports[0]->dpdk[0]
			 ? ": the gate does the work of the wire's workers until it is back"
			 : "");
	lane_close(wire, lane);
}

/* Whether the interface that a port's gate is on has gone, perhaps for another of its name. */
static bool is_another(const struct moat_wire *wire, const struct moat_config_port *port)
{
	const struct moat_gate_port_info *info = port_named(wire->gate, port->name);

	return !port->dpdk[0] && (!info || info->ifindex != (int)if_nametoindex(port->name));
}

static void lane_check(struct moat_wire *wire, struct moat_wire_lane *lane)
{
	int error = 0;

	for (unsigned int i = 0; i < lane_sides(lane) && !lane->lost; i++) {
		if (moat_worker_is_done(wire->workers[lane->workers[i]], &error))
			lane_lose(wire, lane, lane->ports[i]->name, error);
		else if (is_another(wire, lane->ports[i]))
			lane_lose(wire, lane, lane->ports[i]->name, -ENODEV);
	}
}

/* Puts the gate on an interface that came back as another one. */
static int reattach(struct moat_wire *wire, const struct moat_config_port *port,
		    struct moat_error *error)
{
	const struct moat_gate_port_info *info = port_named(wire->gate, port->name);
	struct moat_gate_port_options options = moat_ports_options(port, port->name);
	struct moat_gate_port_info new_info;
	unsigned int ifindex = if_nametoindex(port->name);

	if (port->dpdk[0])
		return 0;
	if (ifindex == 0)
		return -ENODEV;
	if (info && info->ifindex == (int)ifindex)
		return 0;
	return moat_gate_attach(wire->gate, &options, &new_info, error);
}

/* Queues have come or gone. A queue with a socket can't go; of one that is new a veth passes frames on without
 * asking the program that it has, until it is given another. */
static void follow_queues(struct moat_wire *wire, const struct moat_config_port *port,
			  uint32_t before, uint32_t now)
{
	const struct moat_gate_port_info *info = port_named(wire->gate, port->name);
	int r = info ? moat_gate_reassert(wire->gate, info->index) : -ENOENT;

	moat_log(MOAT_LOG_WARNING,
		 "port %s: %u receive queues instead of %u; those that are new get workers when moatd is "
		 "restarted%s",
		 port->name, now, before,
		 port->role == MOAT_ROLE_WIRE ? ", till then the gate does their work" : "");
	if (r < 0)
		moat_log(MOAT_LOG_ERROR, "port %s: the gate on its new queues: %s", port->name,
			 strerror(-r));
}

void moat_wire_look(struct moat_wire *wire)
{
	for (size_t i = 0; i < wire->port_count; i++) {
		const struct moat_config_port *port = &wire->ports[i];
		uint32_t before = wire->queues[i];

		if (port->dpdk[0] || if_nametoindex(port->name) == 0)
			continue;
		wire->queues[i] = moat_wire_queues(port->name);
		if (wire->queues[i] != before && !is_another(wire, port))
			follow_queues(wire, port, before, wire->queues[i]);
	}
}

static int lane_recover(struct moat_wire *wire, struct moat_wire_lane *lane,
			struct moat_error *error)
{
	struct moat_port *ports[2] = { NULL, NULL };
	unsigned int sides = lane_sides(lane);
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < sides; i++)
		r = reattach(wire, lane->ports[i], error);
	for (unsigned int i = 0; r == 0 && sides == 2 && i < sides; i++)
		r = set_peers(wire, lane->ports[i], error);
	if (r == 0)
		r = lane_open(wire, lane, ports, error);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < sides; i++) {
		struct moat_worker *worker = wire->workers[lane->workers[i]];
		struct moat_pulse pulse;

		pulse_of(wire, lane->ports[i], lane->queue, &pulse);
		moat_worker_set_port(worker, ports[i], ports[1 - i]);
		moat_worker_set_pulse(worker, &pulse);
		place_set(wire, lane->workers[i], ports[i], &pulse);
	}
	lane->lost = false;
	for (unsigned int i = 0; r == 0 && i < sides; i++)
		r = moat_worker_start(wire->workers[lane->workers[i]], error);
	if (r < 0)
		lane_close(wire, lane);
	return r;
}

void moat_wire_tick(struct moat_wire *wire)
{
	for (size_t i = 0; i < wire->lane_count; i++) {
		struct moat_wire_lane *lane = &wire->lanes[i];
		struct moat_error error = { .text = "" };

		lane_check(wire, lane);
		if (!lane->lost || lane_recover(wire, lane, &error) < 0)
			continue;
		wire->recovered++;
		moat_log(MOAT_LOG_INFO, "port %s, queue %u: back", lane->ports[0]->name,
			 lane->queue);
	}
}
