/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets are opened in pairs for a wire, so that the two sides share memory and move descriptors. */
#include "ctl/wire.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"

/* Asked of the driver, since /sys may show another network namespace. */
uint32_t moat_wire_queues(const char *interface)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = { .ifr_data = (char *)&channels };
	moat_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t queues = 1;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0)
		queues = channels.combined_count + channels.rx_count;
	return queues ? queues : 1;
}

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

static int open_port(struct moat_gate *gate, const char *name, uint32_t queue,
		     struct moat_port *peer, struct moat_port **ret_port, struct moat_error *error)
{
	const struct moat_gate_port_info *info = port_named(gate, name);
	struct moat_port_afxdp_options options = { .interface = name, .queue = queue, .peer = peer };

	if (!info)
		return moat_error_set(error, -ENODEV, "port %s: the gate isn't attached", name);
	options.xsks_fd = moat_gate_xsks_fd(gate, info->index);
	if (options.xsks_fd < 0)
		return moat_error_set(error, options.xsks_fd, "port %s: no socket map", name);
	return moat_port_afxdp_open(&options, ret_port, error);
}

/* Takes `port` over, also on failure. */
static int add_worker(struct moat_wire *wire, struct moat_gate *gate,
		      const struct moat_config *config, const char *name, uint32_t queue,
		      struct moat_port *port, struct moat_port *peer, struct moat_error *error)
{
	size_t n = wire->worker_count;
	struct moat_worker_options options = {
		.port = port,
		.peer = peer,
		.judge = moat_policy_judge(wire->policy, (uint32_t)n),
		.port_index = port_named(gate, name)->index,
		.cpu = (int)(n % (size_t)sysconf(_SC_NPROCESSORS_ONLN)),
		.cells = config->gate_cells,
		.hash_seed = moat_gate_hash_seed(gate),
		.sample_pass = config->sample_pass,
		.sample_drop = config->sample_drop,
		.tunnels = config->tunnels,
	};
	int r = moat_worker_new(&options, &wire->workers[n], error);

	if (r < 0) {
		moat_port_close(port);
		return r;
	}
	wire->places[n].port = options.port_index;
	wire->places[n].queue = queue;
	wire->places[n].zerocopy = moat_port_afxdp_is_zerocopy(port);
	wire->worker_count++;
	return 0;
}

static int add_mirror(struct moat_wire *wire, struct moat_gate *gate,
		      const struct moat_config *config, const struct moat_config_port *port,
		      struct moat_error *error)
{
	for (uint32_t queue = 0; queue < moat_wire_queues(port->name); queue++) {
		struct moat_port *opened = NULL;
		int r = open_port(gate, port->name, queue, NULL, &opened, error);

		if (r == 0)
			r = add_worker(wire, gate, config, port->name, queue, opened, NULL, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_pair(struct moat_wire *wire, struct moat_gate *gate, const struct moat_config *config,
		    const struct moat_config_port *port, uint32_t queue, struct moat_error *error)
{
	struct moat_port *left = NULL, *right = NULL;
	int r = open_port(gate, port->name, queue, NULL, &left, error);

	if (r < 0)
		return r;
	r = open_port(gate, port->peer, queue, left, &right, error);
	if (r < 0) {
		moat_port_close(left);
		return r;
	}
	r = add_worker(wire, gate, config, port->name, queue, left, right, error);
	if (r < 0) {
		moat_port_close(right);
		return r;
	}
	return add_worker(wire, gate, config, port->peer, queue, right, left, error);
}

/* Both sides of a wire come as ports; the one that is named first opens them. */
static int add_wire(struct moat_wire *wire, struct moat_gate *gate, const struct moat_config *config,
		    const struct moat_config_port *port, struct moat_error *error)
{
	uint32_t queues = moat_wire_queues(port->name);

	if (moat_wire_queues(port->peer) != queues)
		return moat_error_set(
			error, -EINVAL,
			"wire %s - %s: %u and %u receive queues, but a wire needs as many on either "
			"side (ethtool -L sets them)",
			port->name, port->peer, queues, moat_wire_queues(port->peer));
	for (const struct moat_config_port *other = config->ports; other < port; other++) {
		if (strcmp(other->name, port->peer) == 0)
			return 0;
	}
	for (uint32_t queue = 0; queue < queues; queue++) {
		int r = add_pair(wire, gate, config, port, queue, error);

		if (r < 0)
			return r;
	}
	return 0;
}

static size_t count_workers(const struct moat_config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->port_count; i++) {
		if (config->ports[i].role != MOAT_ROLE_GATEWAY)
			count += moat_wire_queues(config->ports[i].name);
	}
	return count;
}

int moat_wire_init(struct moat_wire *wire, struct moat_gate *gate, const struct moat_config *config,
		   struct moat_error *error)
{
	size_t count = count_workers(config);
	int r = 0;

	*wire = (struct moat_wire){ 0 };
	if (count == 0)
		return 0;
	wire->workers = calloc(count, sizeof(*wire->workers));
	wire->places = calloc(count, sizeof(*wire->places));
	if (!wire->workers || !wire->places)
		r = -ENOMEM;
	if (r == 0)
		r = moat_policy_new((uint32_t)count, moat_gate_hash_seed(gate), &wire->policy);
	if (r < 0) {
		moat_wire_deinit(wire);
		return moat_error_set(error, r, "workers: %s", strerror(-r));
	}
	for (size_t i = 0; r == 0 && i < config->port_count; i++) {
		const struct moat_config_port *port = &config->ports[i];

		if (port->role == MOAT_ROLE_MIRROR)
			r = add_mirror(wire, gate, config, port, error);
		else if (port->role == MOAT_ROLE_WIRE)
			r = add_wire(wire, gate, config, port, error);
	}
	if (r < 0)
		moat_wire_deinit(wire);
	return r;
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
	moat_policy_free(wire->policy);
	free(wire->workers);
	free(wire->places);
	*wire = (struct moat_wire){ 0 };
}
