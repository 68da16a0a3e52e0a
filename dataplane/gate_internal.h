/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the gate's own files share. Nobody else includes this. */
#ifndef MOAT_DATAPLANE_GATE_INTERNAL_H
#define MOAT_DATAPLANE_GATE_INTERNAL_H

#include <limits.h>
#include <pthread.h>

#include "dataplane/gate.h"
#include "dataplane/tables.h"

/* The maps that all ports share, each pinned as maps/NAME. */
enum gate_map_id {
	GATE_MAP_CTL,
	GATE_MAP_SRC4_ROOT,
	GATE_MAP_DST4_ROOT,
	GATE_MAP_SRC6_ROOT,
	GATE_MAP_DST6_ROOT,
	GATE_MAP_TRIE_NODES,
	GATE_MAP_RULE_TABLES,
	GATE_MAP_STAGE_TABLES,
	GATE_MAP_ROWS,
	GATE_MAP_PROFILE_LIMITS,
	GATE_MAP_LIMITS,
	GATE_MAP_CELLS,
	GATE_MAP_SCRATCH,
	GATE_MAP_HITS, /* one element more than CPUs: the sums that a slot's current rule began with */
	GATE_MAP_SHARES,
	GATE_MAP_ROW_SHARES,
	GATE_MAP_PROFILE_SHARES,
	GATE_MAP_KNOWN,
	GATE_MAP_CHALLENGE,
	GATE_MAP_CHALLENGE_CPU,
	GATE_MAP_VALIDATED,
	GATE_MAP_PORTS,
	GATE_MAP_TARGETS,
	GATE_MAP_WAYS, /* out of the ports that forward by themselves (moat/forward.h) */
	GATE_MAP_SAMPLES,
	GATE_MAP_COUNT,
};

/* Open (fd >= 0) and, but for the sample ring, mapped. */
struct gate_map {
	const char *name;
	uint32_t type;
	uint32_t value_size;
	uint32_t max_entries;
	bool direct; /* the gate reaches it by address: one value that holds all elements */
	int fd;
	uint8_t *memory;
};

struct gate_maps {
	struct gate_map map[GATE_MAP_COUNT];
	uint32_t cpus; /* possible */
	uint32_t cells;
	uint32_t nodes;
	uint32_t validated;   /* sets of validated sources: a power of two */
	uint32_t row_buckets; /* a row: a power of two */
	bool adopted;
	bool moving;        /* made beside maps of another layout, which programs still use */
	char directory[16]; /* below the pin path */
};

/* Opens what is pinned below `pin_path`, or makes and pins it. cells, nodes and row_buckets are wishes for
 * new maps. Errors as of moat_gate_open. */
int moat_gate_maps_open(struct gate_maps *maps, const char *pin_path, struct moat_error *error);
/* Ends a move: no program uses the old maps any more. */
int moat_gate_maps_settle(struct gate_maps *maps, const char *pin_path);
/* Removes all pinned maps, of whatever version. */
void moat_gate_maps_detach(const char *pin_path);
void moat_gate_maps_close(struct gate_maps *maps);
/* Closes the maps and removes their pins. */
void moat_gate_maps_remove(struct gate_maps *maps, const char *pin_path);
/* Has the section of the gate's programs loaded as XDP programs that reach direct maps by address: to be
 * called before the object is opened. 0 or a negative errno. */
int moat_gate_direct_init(void);
/* Elements of direct maps that have one a CPU: a power of two, for a mask bounds the index. */
uint32_t moat_gate_cpu_slots(uint32_t cpus);
/* Element `index`, mapped. */
void *moat_gate_maps_element(const struct gate_maps *maps, enum gate_map_id id, uint32_t index);
/* The nodes of a half. */
void *moat_gate_maps_nodes(const struct gate_maps *maps, uint32_t half);
/* Another map for so many nodes, or for as many more as fit its elements: mapped, not pinned, and not yet the
 * maps' own. */
int moat_gate_maps_new_nodes(const struct gate_maps *maps, uint32_t *nodes,
			     struct gate_map *ret_map, struct moat_error *error);
/* Unmaps and closes. */
void moat_gate_map_close(struct gate_map *map);
/* Replaces the nodes by `nodes` or some more (gate_grow.c); what is in force stays in force. On failure all is
 * as it was. */
int moat_gate_grow(struct moat_gate *gate, uint32_t nodes, struct moat_error *error);
/* One array map of `entries` values, mmapable; its descriptor, or a negative errno. */
int moat_gate_map_create(const char *name, uint32_t type, uint32_t value_size, uint32_t entries);
/* Bytes between elements of an array map, and of its whole mapping. */
size_t moat_gate_map_stride(uint32_t value_size);
size_t moat_gate_map_length(uint32_t value_size, uint32_t entries);

/* A moment on the gate's clock. */
struct gate_time {
	uint64_t jiffies;
	uint64_t monotonic_ns;
};

/* The program that reads the kernel's tick counter. */
struct gate_clock {
	struct clock *skeleton;
	uint32_t ticks_per_s;
	uint32_t window_shift;
};

/* Loads the clock and finds the tick rate: takes up to 60 ms. */
int moat_gate_clock_open(struct gate_clock *clock, struct moat_error *error);
void moat_gate_clock_close(struct gate_clock *clock);
/* Any thread. */
int moat_gate_clock_read(const struct gate_clock *clock, struct gate_time *ret_time);

/* Of a wire or mirror port (gate_wire.c). */
struct gate_wire {
	int pulses_fd;
	int peer_fd;
	struct moat_gate_pulses *pulses; /* mapped */
	enum moat_gate_fail fail;
	uint32_t peer; /* index of the other port's interface; 0: none yet */
};

void moat_gate_wire_init(struct gate_wire *wire);
void moat_gate_wire_deinit(struct gate_wire *wire);
/* Gives `wire`, before it is opened, the pulses of the port that it takes the place of, if that has some. */
int moat_gate_wire_inherit(struct gate_wire *wire, const struct gate_wire *old);
/* And their memory, where workers write, once it is in that port's place: `old` may be deinited then. */
void moat_gate_wire_hand_over(struct gate_wire *wire, struct gate_wire *old);
/* Makes its maps. On failure the caller deinits. */
int moat_gate_wire_open(struct gate_wire *wire);

/* One port, by index. */
struct gate_port {
	bool used;
	bool is_bare; /* held without a link (gate_hold.c) */
	int link_fd;
	int prog_fd;
	int entry_fd;    /* its place in a dispatcher, which calls ... */
	int programs_fd; /* ... what is in this map (gate_entry.c); -1: none */
	int counters_fd;
	int xsks_fd;
	int forward_fd;    /* counters of its way out */
	uint8_t *counters; /* mapped, an element a CPU */
	struct gate_wire wire;
	uint8_t *forwards; /* likewise */
	struct moat_gate_port_info info;
};

struct moat_gate {
	char pin_path[PATH_MAX / 2];
	int lock_fd;
	bool grows; /* the number of nodes was left to us */
	struct gate_clock clock;
	struct moat_tunnels tunnels;
	struct gate_maps maps;
	struct moat_tables halves[2];
	uint32_t slot_ids[MOAT_RULES_MAX];     /* which rule holds a slot; 0: none */
	char slot_targets[MOAT_RULES_MAX][16]; /* where it redirects to */
	uint32_t challenge_form;               /* of programs to be loaded */
	struct ring_buffer *ring;
	moat_gate_sample_fn handler; /* of the poll that runs */
	void *handler_data;
	int handed, wanted;

	pthread_mutex_t port_lock; /* of what follows */
	struct gate_port ports[MOAT_PORTS_MAX];
	struct moat_gate_port_info infos[MOAT_PORTS_MAX];
	size_t info_count;
};

static inline struct moat_gate_ctl *moat_gate_ctl(const struct moat_gate *gate)
{
	return (struct moat_gate_ctl *)gate->maps.map[GATE_MAP_CTL].memory;
}

/* Takes up the ports that the pinned records and links tell of. 0, or a negative errno with all of them as
 * they were. */
int moat_gate_ports_restore(struct moat_gate *gate, struct moat_error *error);
void moat_gate_ports_close(struct moat_gate *gate);

/* An interface's name as a file of a bpffs, which forbids dots (kernel/bpf/inode.c); no interface has a colon
 * in its name (dev_valid_name). And back. */
void moat_gate_pin_name(const char *name, char ret_file[static 16]);
void moat_gate_unpin_name(const char *file, char ret_name[static 16]);

/* What is pinned of a port, or -ENOENT. */
int moat_gate_port_pinned(const struct moat_gate *gate, const char *name, const char *file);

/* gate_forward.c: the ways out of ports. */
/* Sets what a port's program has to know of its way. */
void moat_gate_way_load(const struct gate_port *port, uint32_t *ret_mode, uint32_t *ret_closed,
			uint8_t ret_mac[8]);
/* Brings the map of ways up to date with the ports and their interfaces. */
void moat_gate_ways_update(struct moat_gate *gate);

/* gate_hold.c: what holds a port's program to its interface. */
/* Puts the loaded program on an interface that has none of ours. Errors as of moat_gate_attach. */
int moat_gate_hold_create(struct gate_port *port, const struct moat_gate_port_options *options,
			  struct moat_error *error);
/* Finds the hold of the process before us. -ENOENT: there is none, or its interface vanished and another has
 * its name. */
int moat_gate_hold_find(const struct moat_gate *gate, struct gate_port *port);
/* Puts the loaded program in place of the one that is held, in one step. */
int moat_gate_hold_update(const struct moat_gate *gate, struct gate_port *port);
/* Takes the program off and removes the port's directory. */
void moat_gate_hold_drop(const char *directory, const char *name);

/* gate_entry.c: a place in libxdp's dispatcher. What the owner of the port has to close is in *port. */
/* Puts the loaded program into the dispatcher of an interface. Errors of moat_dispatch_attach. */
int moat_gate_entry_create(struct gate_port *port, bool generic, struct moat_error *error);
/* Finds the place of the process before us in the dispatcher `attached`. 0 or -ENOENT. */
int moat_gate_entry_find(const struct moat_gate *gate, struct gate_port *port, uint32_t attached);
/* Lets the place call the loaded program, from the next packet on. */
int moat_gate_entry_update(const struct gate_port *port);
/* Gives up the place that a port's directory tells of. False if it tells of none. */
bool moat_gate_entry_drop(const char *directory, int ifindex);

/* The record of a port that is there under this name; its index, or MOAT_TARGET_NONE. */
uint32_t moat_gate_port_named(const struct moat_gate *gate, const char *name);
/* Lets redirecting rules find the ports that are there now: call it when one comes or goes. */
void moat_gate_targets_update(struct moat_gate *gate);

/* Keys and default settings for maps that are new. */
int moat_gate_challenge_open(struct moat_gate *gate, struct moat_error *error);

/* Finds what the halves hold after adoption. */
void moat_gate_tables_init(struct moat_gate *gate);

/* "PIN/maps/NAME" and the like. False if it doesn't fit. */
__attribute__((format(printf, 2, 3))) bool moat_gate_path(char ret_path[PATH_MAX],
							  const char *format, ...);

/* Removes every file of a directory and the directory. Missing is fine. */
void moat_gate_remove_dir(const char *path);

#endif
