/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ways out of ports that forward by themselves: which interfaces they may send to. Only ports whose own
 * way isn't the kernel's, and of them those whose driver takes redirected frames: a frame that is redirected
 * elsewhere is lost without a trace, one that finds no way goes to the stack.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include <bpf/bpf.h>

#include "dataplane/gate_internal.h"
#include "dataplane/netdev.h"

void moat_gate_way_load(const struct gate_port *port, uint32_t *ret_mode, uint32_t *ret_closed,
			uint8_t ret_mac[8])
{
	*ret_mode = port->info.way.mode;
	*ret_closed = port->info.way.closed;
	memcpy(ret_mac, port->info.way.mac, sizeof(port->info.way.mac));
}

/* Kernels before 6.3 can't be asked: the operator has named the port, so it is believed to be one. */
static bool takes_redirects(int ifindex)
{
	uint64_t features;
	int r = moat_netdev_xdp_features(ifindex, &features);

	return r == 0 ? (features & MOAT_NETDEV_XDP_NDO_XMIT) != 0 : r == -ENOTSUP;
}

static void set_way(const struct moat_gate *gate, uint32_t key, int ifindex)
{
	uint32_t value = (uint32_t)ifindex;
	int fd = gate->maps.map[GATE_MAP_WAYS].fd;

	if (ifindex && takes_redirects(ifindex))
		bpf_map_update_elem(fd, &key, &value, BPF_ANY);
	else
		bpf_map_delete_elem(fd, &key);
}

/* Entries of interfaces that are no such port any more. The kernel takes out those that have gone. */
static void clear_ways(const struct moat_gate *gate)
{
	int fd = gate->maps.map[GATE_MAP_WAYS].fd;
	uint32_t keys[2 * MOAT_PORTS_MAX], count = 0, key;
	const void *from = NULL;

	while (count < 2 * MOAT_PORTS_MAX && bpf_map_get_next_key(fd, from, &key) == 0) {
		keys[count] = key;
		from = &keys[count++];
	}
	for (uint32_t i = 0; i < count; i++) {
		bool wanted = false;

		for (uint32_t k = 0; k < MOAT_PORTS_MAX; k++) {
			const struct gate_port *port = &gate->ports[k];

			if (port->used && port->info.way.mode != MOAT_FORWARD_KERNEL)
				wanted |= keys[i] == (uint32_t)port->info.ifindex ||
					  keys[i] == (MOAT_FORWARD_PEER | k);
		}
		if (!wanted)
			bpf_map_delete_elem(fd, &keys[i]);
	}
}

void moat_gate_ways_update(struct moat_gate *gate)
{
	clear_ways(gate);
	for (uint32_t i = 0; i < MOAT_PORTS_MAX; i++) {
		const struct gate_port *port = &gate->ports[i];

		if (!port->used || port->info.way.mode == MOAT_FORWARD_KERNEL)
			continue;
		if (port->info.way.mode == MOAT_FORWARD_FIB)
			set_way(gate, (uint32_t)port->info.ifindex, port->info.ifindex);
		else
			set_way(gate, MOAT_FORWARD_PEER | i,
				(int)if_nametoindex(port->info.way.peer));
	}
}

void moat_gate_refresh(struct moat_gate *gate)
{
	moat_gate_ways_update(gate);
}

const char *moat_forward_name(enum moat_forward forward)
{
	static const char *const names[MOAT_FORWARD_COUNT] = {
		[MOAT_FORWARD_SENT] = "sent",
		[MOAT_FORWARD_NOT_IP] = "not_ip",
		[MOAT_FORWARD_TAGGED] = "tagged",
		[MOAT_FORWARD_NOT_OURS] = "not_ours",
		[MOAT_FORWARD_OPTIONS] = "options",
		[MOAT_FORWARD_TTL] = "ttl",
		[MOAT_FORWARD_LOCAL] = "local",
		[MOAT_FORWARD_REFUSED] = "refused",
		[MOAT_FORWARD_OFF] = "off",
		[MOAT_FORWARD_UNSUPPORTED] = "unsupported",
		[MOAT_FORWARD_NEIGHBOUR] = "neighbour",
		[MOAT_FORWARD_TOO_BIG] = "too_big",
		[MOAT_FORWARD_NO_TARGET] = "no_target",
		[MOAT_FORWARD_ERROR] = "error",
	};

	return (unsigned int)forward < MOAT_FORWARD_COUNT ? names[forward] : "unknown";
}

int moat_gate_forwards(const struct moat_gate *gate, uint32_t port,
		       struct moat_forward_counters *ret_counters)
{
	struct moat_forward_counters sum = {};
	struct moat_gate *mutable_gate = (struct moat_gate *)gate; /* the lock only */
	bool used;

	if (port >= MOAT_PORTS_MAX)
		return -ENOENT;
	pthread_mutex_lock(&mutable_gate->port_lock);
	used = gate->ports[port].used && gate->ports[port].info.way.mode != MOAT_FORWARD_KERNEL;
	for (uint32_t cpu = 0; used && cpu < gate->maps.cpus; cpu++) {
		const volatile struct moat_forward_counters
			*counters = (const void *)(gate->ports[port].forwards +
						   cpu * moat_gate_map_stride(sizeof(*counters)));

		for (int i = 0; i < MOAT_FORWARD_COUNT; i++)
			sum.packets[i] += counters->packets[i];
	}
	pthread_mutex_unlock(&mutable_gate->port_lock);
	if (!used)
		return -ENOENT;
	*ret_counters = sum;
	return 0;
}
