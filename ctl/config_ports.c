/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration's list of ports: what each may say depends on its role. */
#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "ctl/config_priv.h"
#include "dataplane/egress.h"

static int check_port_exists(const struct reader *reader, const char *where, const char *name)
{
	if (!(reader->flags & MOAT_CONFIG_CHECK_PORTS) || if_nametoindex(name) != 0)
		return 0;
	return bad(reader, where, "there is no interface \"%s\" (see: ip link)", name);
}

/* What a container may send. */
static int take_egress(const struct reader *reader, unsigned int index,
		       const struct moat_raw_port *raw, struct moat_config_port *port)
{
	char where[WHERE_LEN];

	if (!raw->egress)
		return 0;
	snprintf(where, sizeof(where), "ports.%u.egress", index);
	if (port->role != MOAT_ROLE_CONTAINER)
		return bad(reader, where,
			   "only a port with role container has limits on what it sends");
	if (raw->egress->packets)
		port->egress_packets = *raw->egress->packets;
	if (raw->egress->bytes)
		port->egress_bytes = *raw->egress->bytes;
	if (port->egress_bytes <= MOAT_EGRESS_RATE_MAX)
		return 0;
	snprintf(where, sizeof(where), "ports.%u.egress.bytes", index);
	return bad(reader, where, "%llu is above %llu", (unsigned long long)port->egress_bytes,
		   MOAT_EGRESS_RATE_MAX);
}

/* Alone on its interface, or beside others. */
static int take_attach(const struct reader *reader, unsigned int index,
		       const struct moat_raw_port *raw, struct moat_config_port *port)
{
	char where[WHERE_LEN];

	port->dispatcher = raw->attach == 1;
	if (!port->dispatcher || (!port->replace && !raw->dpdk && port->role != MOAT_ROLE_CONTAINER))
		return 0;
	snprintf(where, sizeof(where), "ports.%u.attach", index);
	return bad(reader, where,
		   "only an interface's gate that replaces nothing goes into a dispatcher");
}

/* How a gateway port sends on what passes. */
static int take_forward(const struct reader *reader, unsigned int index,
			const struct moat_raw_port *raw, struct moat_config_port *port)
{
	char where[WHERE_LEN];

	port->forward = (enum moat_forward_mode)raw->forward;
	snprintf(where, sizeof(where), "ports.%u.forward", index);
	if (raw->forward && port->role != MOAT_ROLE_GATEWAY)
		return bad(reader, where, "only a port with role gateway forwards");
	if (port->forward == MOAT_FORWARD_WIRE && port->is_pattern)
		return bad(reader, where, "\"%s\" is a pattern: a wire has two ends with names",
			   raw->name);
	snprintf(where, sizeof(where), "ports.%u.fail", index);
	if (raw->fail && port->role == MOAT_ROLE_CONTAINER)
		return bad(reader, where, "a container's port doesn't judge: it can't fail");
	/* what the kernel gets of a mirror, which has no other side */
	if (port->role != MOAT_ROLE_WIRE && raw->fail == MOAT_FAIL_OPEN)
		port->fail = MOAT_FAIL_KERNEL;
	return 0;
}

/* Where workers run. */
static int take_cpu(const struct reader *reader, unsigned int index,
		    const struct moat_raw_port *raw, struct moat_config_port *port)
{
	uint32_t cpu = 0;
	char where[WHERE_LEN];

	port->cpu = -1;
	snprintf(where, sizeof(where), "ports.%u.cpu", index);
	if (!raw->cpu)
		return 0;
	if (!moat_config_port_has_workers(port))
		return bad(reader, where, "only a port with role wire or mirror has workers");
	port->cpu = (int)*raw->cpu;
	return moat_config_take_uint(reader, where, raw->cpu, 0, CPU_SETSIZE - 1, &cpu);
}

static int take_offload(const struct reader *reader, unsigned int index,
			const struct moat_raw_port *raw, struct moat_config_port *port)
{
	char where[WHERE_LEN];

	port->offload = raw->offload && *raw->offload;
	snprintf(where, sizeof(where), "ports.%u.offload", index);
	if (port->offload && (port->is_pattern || port->role == MOAT_ROLE_CONTAINER))
		return bad(reader, where, "only of a port with a name and a gate or workers");
	return 0;
}

/* A DPDK device in place of an interface. */
static int take_dpdk(const struct reader *reader, unsigned int index,
		     const struct moat_raw_port *raw, struct moat_config_port *port)
{
	char where[WHERE_LEN];

	port->queues = raw->queues ? *raw->queues : 1;
	snprintf(where, sizeof(where), "ports.%u.queues", index);
	if (raw->queues && !raw->dpdk)
		return bad(reader, where, "only of a port with dpdk; interfaces: ethtool -L");
	if (port->queues < 1 || port->queues > MOAT_GATE_QUEUES_MAX)
		return bad(reader, where, "%u is not from 1 to %d", port->queues,
			   MOAT_GATE_QUEUES_MAX);
	if (!raw->dpdk)
		return 0;
	snprintf(port->dpdk, sizeof(port->dpdk), "%s", raw->dpdk);
	snprintf(where, sizeof(where), "ports.%u.dpdk", index);
	if (!moat_config_port_has_workers(port))
		return bad(reader, where, "only a port with role wire or mirror can be DPDK's");
	snprintf(where, sizeof(where), "ports.%u.fail", index);
	return raw->fail ? bad(reader, where, "a DPDK port has no gate that could do its work") : 0;
}

static int take_port(const struct reader *reader, unsigned int index,
		     const struct moat_raw_port *raw, struct moat_config *config)
{
	struct moat_config_port *port = &config->ports[config->port_count];
	char where[WHERE_LEN];
	int r;

	snprintf(where, sizeof(where), "ports.%u.name", index);
	if (strpbrk(raw->name, "/ \t\n:") || strcmp(raw->name, ".") == 0 ||
	    strcmp(raw->name, "..") == 0)
		return bad(reader, where, "\"%s\" is no interface name", raw->name);
	for (size_t i = 0; i < config->port_count; i++) {
		if (strcmp(config->ports[i].name, raw->name) == 0)
			return bad(reader, where, "port \"%s\" is listed twice", raw->name);
	}
	snprintf(port->name, sizeof(port->name), "%s", raw->name);
	port->is_pattern = strpbrk(raw->name, "*?[") != NULL;
	port->role = (enum moat_port_role)raw->role;
	port->generic = raw->mode == 1;
	port->replace = raw->replace && *raw->replace;
	r = take_offload(reader, index, raw, port);
	if (r < 0)
		return r;
	port->fail = (enum moat_gate_fail)raw->fail;
	if (port->role == MOAT_ROLE_WIRE && !raw->fail)
		port->fail = MOAT_FAIL_OPEN;
	r = take_attach(reader, index, raw, port);
	if (r == 0)
		r = take_forward(reader, index, raw, port);
	if (r < 0)
		return r;
	if (raw->peer)
		snprintf(port->peer, sizeof(port->peer), "%s", raw->peer);
	config->port_count++;
	/* sockets and workers are made at the start, for interfaces that are there */
	if (port->is_pattern && moat_config_port_has_workers(port))
		return bad(reader, where, "\"%s\" is a pattern: a wire or mirror port has a name",
			   raw->name);
	r = take_egress(reader, index, raw, port);
	if (r == 0)
		r = take_dpdk(reader, index, raw, port);
	if (r == 0)
		r = take_cpu(reader, index, raw, port);
	if (r < 0 || port->is_pattern || port->dpdk[0])
		return r;
	return check_port_exists(reader, where, raw->name);
}

bool moat_config_port_has_workers(const struct moat_config_port *port)
{
	return port->role == MOAT_ROLE_WIRE || port->role == MOAT_ROLE_MIRROR;
}

const struct moat_config_port *moat_config_port_of(const struct moat_config *config,
						   const char *interface)
{
	const struct moat_config_port *matching = NULL;

	for (size_t i = 0; i < config->port_count; i++) {
		const struct moat_config_port *port = &config->ports[i];

		if (port->dpdk[0])
			continue;
		if (!port->is_pattern && strcmp(port->name, interface) == 0)
			return port;
		if (port->is_pattern && !matching && fnmatch(port->name, interface, 0) == 0)
			matching = port;
	}
	return matching;
}

static const struct moat_config_port *port_named(const struct moat_config *config, const char *name)
{
	for (size_t i = 0; i < config->port_count; i++) {
		if (strcmp(config->ports[i].name, name) == 0)
			return &config->ports[i];
	}
	return NULL;
}

/* Both ends of a wire are wires of the same kind: of workers, or of the gate alone. */
static bool is_wire(const struct moat_config_port *port)
{
	return port->role == MOAT_ROLE_WIRE || port->forward == MOAT_FORWARD_WIRE;
}

/* The two ports of a wire name each other. */
static int check_peer(const struct reader *reader, unsigned int index,
		      const struct moat_config *config)
{
	const struct moat_config_port *port = &config->ports[index];
	const struct moat_config_port *peer = port_named(config, port->peer);
	char where[WHERE_LEN];

	snprintf(where, sizeof(where), "ports.%u.peer", index);
	if (!is_wire(port))
		return port->peer[0] ? bad(reader, where, "only a port with role wire has a peer")
				     : 0;
	if (!port->peer[0])
		return bad(reader, where, "a wire needs the port on its other side as \"peer\"");
	if (!peer || peer == port || peer->role != port->role || !is_wire(peer))
		return bad(reader, where, "\"%s\" is no other port with %s", port->peer,
			   port->role == MOAT_ROLE_WIRE ? "role wire" : "forward: wire");
	if (!port->dpdk[0] != !peer->dpdk[0])
		return bad(reader, where, "one side of a wire can't be DPDK's alone");
	if (strcmp(peer->peer, port->name) != 0)
		return bad(reader, where, "\"%s\" has another peer, \"%s\"", peer->name, peer->peer);
	return 0;
}

/* Both judges number their windows by clocks of their own, and one detection thread follows one. */
static int check_one_kind(const struct reader *reader, unsigned int index,
			  const struct moat_config *config)
{
	const enum moat_port_role role = config->ports[index].role;
	char where[WHERE_LEN];
	bool mixed = false;

	for (unsigned int i = 0; i < index; i++) {
		enum moat_port_role other = config->ports[i].role;

		mixed |= other != MOAT_ROLE_CONTAINER &&
			 (other == MOAT_ROLE_GATEWAY) != (role == MOAT_ROLE_GATEWAY);
	}
	if (!mixed || role == MOAT_ROLE_CONTAINER)
		return 0;
	snprintf(where, sizeof(where), "ports.%u.role", index);
	return bad(reader, where,
		   "gateway ports, and wire or mirror ports, need a moatd each (with run_dir, "
		   "state_dir and pin_dir of its own)");
}

int moat_config_take_ports(const struct reader *reader, const struct moat_raw_config *raw,
			   struct moat_config *config)
{
	int r = 0;

	if (raw->ports_count == 0)
		return bad(reader, "ports", "at least one port is needed");
	if (raw->ports_count > MOAT_PORTS_MAX)
		return bad(reader, "ports", "%u ports, but %d at most", raw->ports_count,
			   MOAT_PORTS_MAX);
	for (unsigned int i = 0; r == 0 && i < raw->ports_count; i++)
		r = take_port(reader, i, &raw->ports[i], config);
	for (unsigned int i = 0; r == 0 && i < raw->ports_count; i++)
		r = check_peer(reader, i, config);
	for (unsigned int i = 0; r == 0 && i < raw->ports_count; i++)
		r = check_one_kind(reader, i, config);
	return r;
}
