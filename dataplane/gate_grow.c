/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * More trie nodes for a gate that runs: a map can't grow, so a larger one takes its place. It gets what the
 * half in force holds, every port's program is loaded anew on it and put into the old one's place, and only
 * then the old map goes, which the kernel frees when the last program that reads it is gone. A packet is
 * judged by the old program and nodes or by the new ones, which say the same.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/gate_internal.h"

static void set_nodes(struct moat_gate *gate, const struct gate_map *map, uint32_t nodes)
{
	gate->maps.map[GATE_MAP_TRIE_NODES] = *map;
	gate->maps.nodes = nodes;
	for (uint32_t i = 0; i < 2; i++) {
		gate->halves[i].nodes = moat_gate_maps_nodes(&gate->maps, i);
		gate->halves[i].node_capacity = nodes;
	}
}

/* Every port's program again, on the maps as they are now. */
static int reload_ports(struct moat_gate *gate, struct moat_error *error)
{
	struct moat_gate_port_info ports[MOAT_PORTS_MAX];
	size_t count;
	const struct moat_gate_port_info *infos = moat_gate_ports(gate, &count);

	memcpy(ports, infos, count * sizeof(ports[0])); /* the list is made anew with each */
	for (size_t i = 0; i < count; i++) {
		const struct gate_wire *wire = &gate->ports[ports[i].index].wire;
		char peer[IF_NAMESIZE];
		struct moat_gate_port_options options = {
			.name = ports[i].name,
			.role = ports[i].role,
			.generic = !ports[i].native,
			.fail = wire->fail,
			.peer = wire->peer ? if_indextoname(wire->peer, peer) : NULL,
			.stages = ports[i].stages || !ports[i].current ? ports[i].stages
								       : MOAT_STAGE_NONE,
			.found = !ports[i].current,
			.fail_closed = ports[i].fail_closed,
			.way = ports[i].way,
			.dispatcher = ports[i].dispatched,
		};
		struct moat_gate_port_info info;
		int r = moat_gate_attach(gate, &options, &info, error);

		/* whose interface has just gone reads no table: its owner lets it go */
		if (r < 0 && !(r == -ENODEV && if_nametoindex(ports[i].name) == 0))
			return r;
	}
	return 0;
}

/* Puts the pin of the new map in the old one's place in one step. */
static int repin(const struct moat_gate *gate, const struct gate_map *map, struct moat_error *error)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int r = -ENAMETOOLONG;

	if (moat_gate_path(path, "%s/%s/%s", gate->pin_path, gate->maps.directory, map->name) &&
	    moat_gate_path(fresh, "%s/%s/new", gate->pin_path, gate->maps.directory)) {
		unlink(fresh);
		r = bpf_obj_pin(map->fd, fresh);
		if (r == 0 && rename(fresh, path) < 0)
			r = -errno;
	}
	return r < 0 ? moat_error_set(error, r, "pinning %s: %s", map->name, strerror(-r)) : 0;
}

int moat_gate_grow(struct moat_gate *gate, uint32_t nodes, struct moat_error *error)
{
	uint32_t active = moat_gate_ctl(gate)->force.active;
	struct gate_map old = gate->maps.map[GATE_MAP_TRIE_NODES], fresh;
	uint32_t before = gate->maps.nodes;
	int r = moat_gate_maps_new_nodes(&gate->maps, &nodes, &fresh, error);

	if (r < 0)
		return r;
	/* of an adopted half it isn't known how many nodes are in use */
	if (active < 2)
		memcpy(fresh.memory + (size_t)active * nodes * sizeof(gate->halves[0].nodes[0]),
		       gate->halves[active].nodes,
		       (size_t)(gate->halves[active].dirty ? before
							   : gate->halves[active].node_count) *
			       sizeof(gate->halves[0].nodes[0]));
	set_nodes(gate, &fresh, nodes);
	r = reload_ports(gate, error);
	if (r == 0)
		r = repin(gate, &fresh, error);
	if (r < 0) {
		set_nodes(gate, &old, before);
		reload_ports(gate, NULL);
		moat_gate_map_close(&fresh);
		return r;
	}
	moat_gate_map_close(&old);
	return 0;
}
