/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate on one interface: its program is loaded with the port's own constants and the shared maps,
 * attached by a link that is pinned, or put into the pinned link of the process before us.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "moat/limit.h" /* what the skeleton speaks of */

#include "gate.skel.h"

#include "dataplane/base/cleanup.h"
#include "dataplane/gate_internal.h"
#include "dataplane/netdev.h"
#include "dataplane/rate.h"

#define LOG_BYTES (1 << 20) /* the verifier gives up if its log doesn't fit */

static void skeleton_cleanup(struct gate **skeleton)
{
	gate__destroy(*skeleton);
}

static struct moat_gate_port_record *record_of(const struct moat_gate *gate, uint32_t index)
{
	return moat_gate_maps_element(&gate->maps, GATE_MAP_PORTS, index);
}

static bool port_path(const struct moat_gate *gate, const char *name, const char *file,
		      char ret_path[PATH_MAX])
{
	char directory[16];

	moat_gate_pin_name(name, directory);
	return moat_gate_path(ret_path, "%s/ports/%s%s%s", gate->pin_path, directory,
			      *file ? "/" : "", file);
}

int moat_gate_port_pinned(const struct moat_gate *gate, const char *name, const char *file)
{
	char path[PATH_MAX];

	return port_path(gate, name, file, path) ? bpf_obj_get(path) : -ENAMETOOLONG;
}

/* Pins under a temporary name and renames: a pin of that name is replaced in one step. */
static int pin(const struct moat_gate *gate, const char *name, const char *file, int fd)
{
	char path[PATH_MAX], new_path[PATH_MAX];
	int r;

	if (!port_path(gate, name, file, path) || !port_path(gate, name, "new", new_path))
		return -ENAMETOOLONG;
	unlink(new_path);
	r = bpf_obj_pin(fd, new_path);
	if (r < 0)
		return r;
	return rename(new_path, path) < 0 ? -errno : 0;
}

/* ---- one port's descriptors ---------------------------------------------------------------- */

static void port_init(struct gate_port *port)
{
	memset(port, 0, sizeof(*port));
	port->link_fd = port->prog_fd = port->counters_fd = port->xsks_fd = port->forward_fd = -1;
	port->entry_fd = port->programs_fd = -1;
	moat_gate_wire_init(&port->wire);
}

static void port_deinit(struct gate_port *port, uint32_t cpus)
{
	int *fds[] = { &port->link_fd, &port->prog_fd,     &port->entry_fd,  &port->programs_fd,
		       &port->xsks_fd, &port->counters_fd, &port->forward_fd };

	if (port->forwards)
		munmap(port->forwards,
		       moat_gate_map_length(sizeof(struct moat_forward_counters), cpus));
	if (port->counters)
		munmap(port->counters,
		       moat_gate_map_length(sizeof(struct moat_gate_counters), cpus));
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(fds); i++)
		moat_close_cleanup(fds[i]);
	moat_gate_wire_deinit(&port->wire);
	port_init(port);
}

/* A port's own map: the pinned one, unless it is another version's, or a new one. */
static int open_map(const struct moat_gate *gate, const char *port, const char *file, uint32_t type,
		    uint32_t value_size, uint32_t entries)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);
	int fd = moat_gate_port_pinned(gate, port, file);

	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.type == type &&
	    info.value_size == value_size && info.max_entries == entries)
		return fd;
	moat_close_cleanup(&fd);
	/* known to gate_direct.c by its name */
	return moat_gate_map_create(strcmp(file, "counters") == 0 ? "port_counters" : file, type,
				    value_size, entries);
}

static int port_open_forwards(const struct moat_gate *gate, struct gate_port *port)
{
	size_t size = sizeof(struct moat_forward_counters);
	void *memory;

	port->forward_fd = open_map(gate, port->info.name, "forward", BPF_MAP_TYPE_ARRAY,
				    (uint32_t)size, gate->maps.cpus);
	if (port->forward_fd < 0)
		return port->forward_fd;
	memory = mmap(NULL, moat_gate_map_length((uint32_t)size, gate->maps.cpus), PROT_READ,
		      MAP_SHARED, port->forward_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	port->forwards = memory;
	return 0;
}

/* The port's counters and sockets: those that are pinned, so that counts go on and sockets stay, or
 * new ones. */
static int port_open_maps(struct moat_gate *gate, struct gate_port *port)
{
	const char *name = port->info.name;
	void *memory;
	int r;

	port->counters_fd = open_map(
		gate, name, "counters", BPF_MAP_TYPE_ARRAY,
		sizeof(struct moat_gate_counters) * moat_gate_cpu_slots(gate->maps.cpus), 1);
	if (port->counters_fd < 0)
		return port->counters_fd;
	port->xsks_fd = open_map(gate, name, "xsks", BPF_MAP_TYPE_XSKMAP, sizeof(uint32_t),
				 MOAT_GATE_QUEUES_MAX);
	if (port->xsks_fd < 0)
		return port->xsks_fd;
	memory = mmap(NULL, moat_gate_map_length(sizeof(struct moat_gate_counters), gate->maps.cpus),
		      PROT_READ, MAP_SHARED, port->counters_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	port->counters = memory;
	r = port_open_forwards(gate, port);
	return r < 0 ? r : moat_gate_wire_open(&port->wire);
}

/* ---- loading ------------------------------------------------------------------------------- */

static int reuse_maps(struct moat_gate *gate, const struct gate_port *port, struct gate *skeleton)
{
	struct bpf_map *map;
	int r = bpf_map__reuse_fd(skeleton->maps.port_counters, port->counters_fd);

	if (r == 0)
		r = bpf_map__reuse_fd(skeleton->maps.xsks, port->xsks_fd);
	if (r == 0)
		r = bpf_map__reuse_fd(skeleton->maps.pulses, port->wire.pulses_fd);
	if (r == 0)
		r = bpf_map__reuse_fd(skeleton->maps.wire_peer, port->wire.peer_fd);
	if (r == 0)
		r = bpf_map__reuse_fd(skeleton->maps.forward_counters, port->forward_fd);
	for (int i = 0; r == 0 && i < GATE_MAP_COUNT; i++) {
		map = bpf_object__find_map_by_name(skeleton->obj, gate->maps.map[i].name);
		if (map)
			r = bpf_map__reuse_fd(map, gate->maps.map[i].fd);
	}
	return r;
}

/* The verifier's reason stands before its statistics. */
static const char *last_line(char *log)
{
	char *end = strstr(log, "\nprocessed ");
	char *line;

	if (end)
		*end = '\0';
	line = strrchr(log, '\n');
	return line ? line + 1 : log;
}

/* Loads the program of the port's role; its descriptor in port->prog_fd. */
static int port_load(struct moat_gate *gate, struct gate_port *port, struct moat_error *error)
{
	moat_cleanup(skeleton_cleanup) struct gate *skeleton = NULL;
	bool steers = port->info.role != MOAT_ROLE_GATEWAY;
	struct bpf_program *program;
	moat_auto_free char *log = calloc(1, LOG_BYTES);
	struct moat_rate control_rate;
	uint64_t features;
	int r = moat_gate_direct_init();

	if (r == 0)
		skeleton = gate__open();
	if (!skeleton || !log)
		return moat_error_set(error, r < 0 ? r : -errno, "reading the gate's object: %s",
				      strerror(r < 0 ? -r : errno));
	skeleton->rodata->port_index = port->info.index;
	skeleton->rodata->window_shift = gate->clock.window_shift;
	skeleton->rodata->cells = gate->maps.cells;
	skeleton->rodata->set_mask = gate->maps.cells / MOAT_CELL_WAYS - 1;
	skeleton->rodata->node_chunks = gate->maps.map[GATE_MAP_TRIE_NODES].max_entries / 2;
	skeleton->rodata->node_count = gate->maps.nodes / skeleton->rodata->node_chunks;
	skeleton->rodata->challenge_form = gate->challenge_form;
	skeleton->rodata->validated_mask = gate->maps.validated - 1;
	skeleton->rodata->cpu_mask = moat_gate_cpu_slots(gate->maps.cpus) - 1;
	skeleton->rodata->port_stages = port->info.stages;
	skeleton->rodata->fail_closed = port->info.fail_closed;
	skeleton->rodata->row_mask = gate->maps.row_buckets - 1;
	control_rate = moat_rate_of_packets(MOAT_CONTROL_PTB_PPS, 0, gate->clock.ticks_per_s,
					    gate->maps.cpus);
	memcpy((void *)&skeleton->rodata->control_rate, &control_rate, sizeof(control_rate));
	skeleton->rodata->tunnel_stages = gate->tunnels.kinds & MOAT_STAGE_TUNNELS;
	if (gate->tunnels.vxlan_port)
		skeleton->rodata->vxlan_port = gate->tunnels.vxlan_port;
	if (gate->tunnels.geneve_port)
		skeleton->rodata->geneve_port = gate->tunnels.geneve_port;
	skeleton->rodata->wire_fail = port->wire.fail;
	skeleton->rodata->socket_frame_max = MOAT_GATE_SOCKET_FRAME_MAX;
	/* a kernel that is asked what drivers can do is one of 6.3 */
	skeleton->rodata->redirects_pieces = moat_netdev_xdp_features(port->info.ifindex,
								      &features) != -ENOTSUP;
	skeleton->rodata->pulse_ticks = MOAT_PULSE_MS * gate->clock.ticks_per_s / 1000;
	moat_gate_way_load(port, (uint32_t *)&skeleton->rodata->forward_mode,
			   (uint32_t *)&skeleton->rodata->forward_closed,
			   (uint8_t *)skeleton->rodata->forward_mac);
	program = steers ? skeleton->progs.steer : skeleton->progs.gate;
	bpf_program__set_autoload(skeleton->progs.gate, !steers);
	bpf_program__set_autoload(skeleton->progs.steer, steers);
	/* of the kind that the dispatcher's entry may call (gate_direct.c) */
	if (port->info.dispatched)
		bpf_program__set_expected_attach_type(program, 0);
	bpf_program__set_log_buf(program, log, LOG_BYTES);
	r = reuse_maps(gate, port, skeleton);
	if (r == 0)
		r = gate__load(skeleton);
	if (r == -EPERM)
		return moat_error_set(error, r,
				      "loading the gate's program is not permitted: it needs "
				      "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (run as root)");
	if (r < 0)
		return moat_error_set(error, r == -EINVAL ? -ENOTSUP : r,
				      "the kernel refuses the gate's program (5.18 or later is "
				      "needed): %s: %.300s",
				      strerror(-r), last_line(log));
	port->prog_fd = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0);
	return port->prog_fd < 0 ? moat_error_set(error, -errno, "%s", strerror(errno)) : 0;
}

/* ---- attaching ----------------------------------------------------------------------------- */

static int port_pin(struct moat_gate *gate, struct gate_port *port, struct moat_error *error)
{
	const char *name = port->info.name;
	char path[PATH_MAX];
	int r;

	if (!port_path(gate, name, "", path))
		return moat_error_set(error, -ENAMETOOLONG, "pin path %s is too long",
				      gate->pin_path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return moat_error_set(error, -errno, "making %s: %s", path, strerror(errno));
	r = pin(gate, name, "counters", port->counters_fd);
	if (r == 0)
		r = pin(gate, name, "xsks", port->xsks_fd);
	if (r == 0)
		r = pin(gate, name, "forward", port->forward_fd);
	if (r == 0)
		r = pin(gate, name, "prog", port->prog_fd);
	if (r == 0 && port->link_fd >= 0)
		r = pin(gate, name, "link", port->link_fd);
	if (r == 0 && port->entry_fd >= 0)
		r = pin(gate, name, "programs", port->programs_fd);
	if (r == 0 && port->entry_fd >= 0)
		r = pin(gate, name, "entry", port->entry_fd);
	if (r < 0)
		return moat_error_set(error, r, "pinning %s/ports/%s: %s", gate->pin_path, name,
				      strerror(-r));
	return 0;
}

/* What it takes to put the port in force. */
static int port_prepare(struct moat_gate *gate, struct gate_port *port, struct moat_error *error)
{
	int r = port_open_maps(gate, port);

	if (r < 0)
		return moat_error_set(error, r, "tables of port %s: %s", port->info.name,
				      strerror(-r));
	return port_load(gate, port, error);
}

/* The pin of a bare hold's program, by which it is found again, stays until the new one is in force. */
static void keep_before(const struct moat_gate *gate, const struct gate_port *port, bool keep)
{
	char prog[PATH_MAX], before[PATH_MAX];

	if (!port->is_bare || !port_path(gate, port->info.name, "prog", prog) ||
	    !port_path(gate, port->info.name, "before", before))
		return;
	if (!keep)
		unlink(before);
	else if (access(before, F_OK) < 0)
		rename(prog, before);
}

/* Puts the program where that of the process before us is: the last step, behind which nothing fails. */
static int port_adopt(struct moat_gate *gate, struct gate_port *port, struct moat_error *error)
{
	int r = port_prepare(gate, port, error);

	if (r < 0)
		return r;
	keep_before(gate, port, true);
	r = port_pin(gate, port, error);
	if (r < 0)
		return r;
	r = moat_gate_hold_update(gate, port);
	if (r < 0)
		return moat_error_set(error, r, "replacing the gate's program on %s: %s",
				      port->info.name, strerror(-r));
	keep_before(gate, port, false);
	return 0;
}

/* Puts the program on an interface that has none of ours. */
static int port_create(struct moat_gate *gate, struct gate_port *port,
		       const struct moat_gate_port_options *options, struct moat_error *error)
{
	char path[PATH_MAX];
	int r = port_prepare(gate, port, error);

	if (r == 0)
		r = moat_gate_hold_create(port, options, error);
	if (r < 0)
		return r;
	r = port_pin(gate, port, error);
	if (r < 0 && port_path(gate, port->info.name, "", path))
		moat_gate_hold_drop(path, port->info.name);
	return r;
}

/* Loads and puts in force, or leaves what is in force as it was. On failure the caller deinits the port. */
static int port_attach(struct moat_gate *gate, struct gate_port *port,
		       const struct moat_gate_port_options *options, struct moat_error *error)
{
	int r = moat_gate_hold_find(gate, port);

	if (r == 0)
		return port_adopt(gate, port, error);
	if (r != -ENOENT)
		return moat_error_set(error, r, "the link of port %s: %s", port->info.name,
				      strerror(-r));
	return port_create(gate, port, options, error);
}

/* ---- the gate's ports ---------------------------------------------------------------------- */

/* The index that a name has or had, else a free one, else MOAT_PORTS_MAX. */
static uint32_t find_index(const struct moat_gate *gate, const char *name)
{
	uint32_t index = MOAT_PORTS_MAX;

	for (uint32_t i = 0; i < MOAT_PORTS_MAX; i++) {
		const struct moat_gate_port_record *record = record_of(gate, i);

		if (strncmp(record->name, name, sizeof(record->name)) == 0)
			return i;
		if (!record->name[0] && index == MOAT_PORTS_MAX)
			index = i;
	}
	return index;
}

static void list_ports(struct moat_gate *gate)
{
	gate->info_count = 0;
	for (uint32_t i = 0; i < MOAT_PORTS_MAX; i++) {
		if (gate->ports[i].used)
			gate->infos[gate->info_count++] = gate->ports[i].info;
	}
}

uint32_t moat_gate_port_named(const struct moat_gate *gate, const char *name)
{
	/* no name is that of every free index */
	for (uint32_t i = 0; name[0] && i < MOAT_PORTS_MAX; i++) {
		if (strncmp(record_of(gate, i)->name, name, sizeof(record_of(gate, i)->name)) == 0)
			return i;
	}
	return MOAT_TARGET_NONE;
}

/* Notes a port that is in force, for others and for the next process. */
static void keep_port(struct moat_gate *gate, struct gate_port *port)
{
	struct moat_gate_port_record *record = record_of(gate, port->info.index);
	struct gate_port *old = &gate->ports[port->info.index];

	snprintf(record->name, sizeof(record->name), "%s", port->info.name);
	record->ifindex = (uint32_t)port->info.ifindex;
	record->role = port->info.role;
	record->native = port->info.native;
	moat_gate_wire_hand_over(&port->wire, &old->wire);
	pthread_mutex_lock(&gate->port_lock);
	port_deinit(old, gate->maps.cpus);
	*old = *port;
	old->used = true;
	list_ports(gate);
	pthread_mutex_unlock(&gate->port_lock);
	moat_gate_targets_update(gate);
	moat_gate_ways_update(gate);
}

int moat_gate_attach(struct moat_gate *gate, const struct moat_gate_port_options *options,
		     struct moat_gate_port_info *ret_info, struct moat_error *error)
{
	struct gate_port port;
	unsigned int ifindex = if_nametoindex(options->name);
	uint32_t index;
	int r;

	if (ifindex == 0)
		return moat_error_set(error, -ENODEV, "no interface %s", options->name);
	index = find_index(gate, options->name);
	if (index == MOAT_PORTS_MAX)
		return moat_error_set(error, -ENOSPC, "the gate has all of its %d ports",
				      MOAT_PORTS_MAX);
	port_init(&port);
	snprintf(port.info.name, sizeof(port.info.name), "%s", options->name);
	port.info.ifindex = (int)ifindex;
	port.info.index = index;
	port.info.role = options->role;
	port.info.stages = options->stages ? options->stages & ~MOAT_STAGE_NONE
					   : MOAT_STAGES_DEFAULT;
	port.info.fail_closed = options->fail_closed;
	port.info.fail = options->fail;
	port.info.way = options->way;
	port.info.dispatched = options->dispatcher;
	moat_netdev_address(options->name, port.info.way.mac);
	port.info.current = !options->found;
	port.wire.fail = options->fail;
	port.wire.peer = options->peer ? if_nametoindex(options->peer) : 0;
	r = moat_gate_wire_inherit(&port.wire, &gate->ports[index].wire);
	if (r < 0)
		return moat_error_set(error, r, "tables of port %s: %s", options->name,
				      strerror(-r));
	r = port_attach(gate, &port, options, error);
	if (r < 0) {
		port_deinit(&port, gate->maps.cpus);
		return r;
	}
	*ret_info = port.info;
	keep_port(gate, &port);
	return 0;
}

int moat_gate_release(struct moat_gate *gate, const char *name, struct moat_error *error)
{
	uint32_t index = find_index(gate, name);
	char path[PATH_MAX];

	if (index == MOAT_PORTS_MAX || !record_of(gate, index)->name[0])
		return moat_error_set(error, -ENOENT, "the gate is not on %s", name);
	if (port_path(gate, name, "", path))
		moat_gate_hold_drop(path, name);
	memset(record_of(gate, index), 0, sizeof(struct moat_gate_port_record));
	pthread_mutex_lock(&gate->port_lock);
	port_deinit(&gate->ports[index], gate->maps.cpus);
	list_ports(gate);
	pthread_mutex_unlock(&gate->port_lock);
	moat_gate_targets_update(gate);
	moat_gate_ways_update(gate);
	return 0;
}

/* Opens a port as the process before us left it: in force and counted, with the program of then. -ENODEV
 * if its interface is gone, or no longer holds our program. */
static int port_reopen(struct moat_gate *gate, struct gate_port *port)
{
	int r = moat_gate_hold_find(gate, port);

	if (r < 0)
		return r == -ENOENT ? -ENODEV : r;
	port->prog_fd = moat_gate_port_pinned(gate, port->info.name, "prog");
	return port->prog_fd < 0 ? port->prog_fd : port_open_maps(gate, port);
}

/* A port whose interface is gone is forgotten; one that can't be opened for another reason stays as it is,
 * and is an error. */
static int port_restore(struct moat_gate *gate, uint32_t index, struct moat_error *error)
{
	struct moat_gate_port_record *record = record_of(gate, index);
	struct gate_port *port = &gate->ports[index];
	int r;

	snprintf(port->info.name, sizeof(port->info.name), "%.15s", record->name);
	port->info.ifindex = (int)record->ifindex;
	port->info.index = index;
	port->info.role = record->role;
	r = port_reopen(gate, port);
	if (r == -ENODEV)
		return moat_gate_release(gate, record->name, error);
	if (r < 0) {
		moat_error_set(error, r, "the gate's port %s can't be adopted: %s", port->info.name,
			       strerror(-r));
		port_deinit(port, gate->maps.cpus);
		return r;
	}
	port->used = true;
	return 0;
}

/* The records are those of another layout: ports are known by their directories. */
static void record_pinned(struct moat_gate *gate)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *ports = NULL;
	uint32_t index = 0;

	if (moat_gate_path(path, "%s/ports", gate->pin_path))
		ports = opendir(path);
	while (ports && index < MOAT_PORTS_MAX && (entry = readdir(ports))) {
		struct moat_gate_port_record *record = record_of(gate, index);

		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(record->name))
			continue;
		moat_gate_unpin_name(entry->d_name, record->name);
		record->ifindex = if_nametoindex(record->name);
		index++;
	}
	if (ports)
		closedir(ports);
}

int moat_gate_ports_restore(struct moat_gate *gate, struct moat_error *error)
{
	int r = 0;

	if (gate->maps.moving && !gate->maps.adopted)
		record_pinned(gate);

	for (uint32_t i = 0; i < MOAT_PORTS_MAX; i++)
		port_init(&gate->ports[i]);
	for (uint32_t i = 0; r == 0 && i < MOAT_PORTS_MAX; i++) {
		if (record_of(gate, i)->name[0])
			r = port_restore(gate, i, error);
	}
	list_ports(gate);
	return r;
}

void moat_gate_ports_close(struct moat_gate *gate)
{
	for (uint32_t i = 0; i < MOAT_PORTS_MAX; i++) {
		if (gate->ports[i].used)
			port_deinit(&gate->ports[i], gate->maps.cpus);
	}
}

const struct moat_gate_port_info *moat_gate_ports(const struct moat_gate *gate, size_t *ret_count)
{
	*ret_count = gate->info_count;
	return gate->infos;
}

int moat_gate_xsks_fd(const struct moat_gate *gate, uint32_t port)
{
	if (port >= MOAT_PORTS_MAX || !gate->ports[port].used ||
	    gate->ports[port].info.role == MOAT_ROLE_GATEWAY)
		return -ENOENT;
	return gate->ports[port].xsks_fd;
}

int moat_gate_prog_fd(const struct moat_gate *gate, uint32_t port)
{
	if (port >= MOAT_PORTS_MAX || !gate->ports[port].used)
		return -ENOENT;
	return gate->ports[port].prog_fd;
}
