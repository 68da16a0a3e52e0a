/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP gate, seen from user space: load or adopt, attach, rules, counters, samples.
 *
 * Everything lives pinned under one directory of a bpffs (default /sys/fs/bpf/moat): maps/ shared by all
 * ports, ports/NAME/{prog,link,counters} for each. Killing the program leaves the gate forwarding and
 * enforcing its last rules; opening it again adopts the maps as they are and replaces the programs by
 * link update, with no packet unguarded between. Not thread-safe unless said so.
 */
#ifndef MOAT_DATAPLANE_GATE_H
#define MOAT_DATAPLANE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/challenge.h"
#include "dataplane/parse.h"
#include "dataplane/pulse.h"
#include "dataplane/ruleset.h"
#include "dataplane/tables.h"
#include "moat/forward.h"
#include "moat/gate.h"

#define MOAT_GATE_PIN_DEFAULT "/sys/fs/bpf/moat"
#define MOAT_PORTS_MAX 64

enum moat_port_role {
	MOAT_ROLE_GATEWAY = 0,   /* the kernel forwards what passes */
	MOAT_ROLE_WIRE = 1,      /* everything goes to an AF_XDP worker, which judges it */
	MOAT_ROLE_MIRROR = 2,    /* likewise, and nothing is sent on */
	MOAT_ROLE_CONTAINER = 3, /* the host's side of a container: no gate, see dataplane/egress.h */
};

struct moat_gate_options {
	const char *pin_path; /* NULL: MOAT_GATE_PIN_DEFAULT */
	uint32_t cells;       /* a CPU, direction: power of two, 1,024 to 2^20; 0: 16,384 */
	uint32_t nodes; /* of the tries, each half, 1 KiB each; 0: nodes_hint, and more as needed */
	uint32_t nodes_hint; /* 0: 32,768 */
	uint32_t row_buckets; /* for sources, a row: a power of two, 2^10 to 2^22; 0: 2^16 (moat/stage.h) */
	uint32_t sample_pass; /* one in so many passing packets; 0: off */
	uint32_t sample_drop;
	struct moat_tunnels tunnels; /* looked into by the ports attached from now on */
};

struct moat_gate;

/* Loads the maps, or adopts the pinned ones (then cells and nodes are theirs). -EPERM: which capability
 * is missing; -ENOTSUP: which kernel feature; -EBUSY: another process has the gate open (an flock on
 * the pin directory's lock file in /run). What another version pinned is moved: moat_gate_is_moving. The sentence is in *error. Nothing is left pinned by a failed first load. */
int moat_gate_open(const struct moat_gate_options *options, struct moat_gate **ret_gate,
		   struct moat_error *error);

/* How many nodes to ask for where `needed` are known to be needed (moat_tables_count_nodes): some to spare.
 * Negative if there can't be as many. */
int moat_gate_nodes_for(uint32_t needed);

/* Bytes of the tables of a pinned gate and its trie nodes a half, of which there are two; 0 if none is pinned or
 * it may not be read. Opens nothing for longer. */
uint64_t moat_gate_memory(const char *pin_path, uint32_t *ret_nodes);

/* Closes descriptors and mappings; the gate goes on without us. NULL is allowed. */
void moat_gate_close(struct moat_gate *gate);

/*
 * True if what was pinned is of another layout (another version of moat, or other table sizes than this one
 * makes): its ports go on by their programs and tables of then, and are in moat_gate_ports. To move:
 * commit a rule set, attach each port (its program is replaced in one step, so that every packet is judged
 * by the old rules or by the new), release the others, settle. Hits, buckets and what was learned of
 * sources begin anew. Whoever is killed meanwhile leaves a gate that the next one moves on.
 */
bool moat_gate_is_moving(const struct moat_gate *gate);
/* Removes the tables of the other layout. 0 also if there are none. */
int moat_gate_settle(struct moat_gate *gate, struct moat_error *error);

/* Removes programs, links and maps below pin_path, attached or not. For `moat gate detach`. */
int moat_gate_detach(const char *pin_path, struct moat_error *error);

/* The XDP program on an interface, "NAME (id N)"; false if there is none. */
bool moat_gate_program_on(const char *interface, char ret_text[static 48]);

/* Notes which XDP programs of others stand on interfaces now, by name: while the process may still ask
 * (CAP_SYS_ADMIN). What isn't noted is known by its number alone, and can't be replaced where a link holds
 * it. One thread, once. */
void moat_gate_look_around(void);

/* How what passes a gateway port is sent on. Ports whose way isn't the kernel's may send to each other. */
struct moat_gate_way {
	enum moat_forward_mode mode;
	char peer[16];  /* wire: the interface on the other side */
	bool closed;    /* wire: without the peer packets are dropped, not passed to the stack */
	uint8_t mac[6]; /* fib: the interface's address when its program was loaded */
};

struct moat_gate_port_options {
	const char *name; /* interface */
	enum moat_port_role role;
	bool generic;    /* ask for generic mode at once */
	bool replace;    /* another XDP program is replaced in one step instead of refused */
	bool dispatcher; /* into libxdp's dispatcher, beside programs of others; else alone */
	bool found; /* the gate's own: the port is still to be attached as its owner wants it */
	enum moat_gate_fail fail; /* wire and mirror: what becomes of frames that no worker takes */
	const char *peer; /* wire: the interface they leave by if it fails open; NULL: see set_peer */
	uint32_t stages;  /* enum moat_stage; 0: MOAT_STAGES_DEFAULT; MOAT_STAGE_NONE: none */
	bool fail_closed; /* while no policy was ever loaded, packets are dropped */
	struct moat_gate_way way; /* gateway; its address is found */
};

struct moat_gate_port_info {
	char name[16];
	int ifindex;
	uint32_t index; /* of the port, 0 to MOAT_PORTS_MAX - 1: what samples carry */
	enum moat_port_role role;
	uint32_t stages; /* that are in its program; MOAT_STAGE_NONE apart */
	bool fail_closed;
	enum moat_gate_fail fail;
	bool native; /* false: generic mode, after native was refused (reason in `fallback`) */
	char fallback[128]; /* kernel's words on why not native; empty if native */
	struct moat_gate_way way;
	bool dispatched; /* it stands in libxdp's dispatcher, as options asked or as it was found */
	bool adopted;    /* a pinned link was taken over by link update */
	bool current; /* attached by this process; false: found, and still with the program of then */
	char replaced[48]; /* name and id of the program that was replaced; empty: none */
};

/* Attaches to an interface, driver mode first, generic with the reason kept. -ENODEV: no such interface;
 * -EEXIST: another XDP program is attached (its name and id in the error; it is left alone unless `replace`);
 * -ENOSPC: MOAT_PORTS_MAX. The port's program is in force when this returns. */
int moat_gate_attach(struct moat_gate *gate, const struct moat_gate_port_options *options,
		     struct moat_gate_port_info *ret_info, struct moat_error *error);

/* Takes the gate off one interface. 0 or -ENOENT. */
int moat_gate_release(struct moat_gate *gate, const char *name, struct moat_error *error);

/* Puts a rule set in force: builds the idle half, flips, waits a grace period. Old or new for every
 * packet. MOAT_TABLES_NO_NODES or an error leave the old one. */
int moat_gate_commit(struct moat_gate *gate, const struct moat_ruleset *set,
		     struct moat_error *error);

/* Sum over CPUs of what became of packets that passed, for ports whose way isn't the kernel's. -ENOENT. */
int moat_gate_forwards(const struct moat_gate *gate, uint32_t port,
		       struct moat_forward_counters *ret_counters);
/* "sent", "neighbour", ...: as in `moat status`. */
const char *moat_forward_name(enum moat_forward forward);
/* Finds anew which interfaces can be sent to: what a driver or a veth's peer allows may change. Cheap; to be
 * called now and then. */
void moat_gate_refresh(struct moat_gate *gate);

/* Puts one prefix that came into a list of the committed set, or left it, in force without a rebuild. `set` is as
 * it is now. 0, MOAT_TABLES_NO_NODES or MOAT_TABLES_REBUILD: commit it instead. */
int moat_gate_patch(struct moat_gate *gate, const struct moat_ruleset *set, enum moat_list list,
		    const struct moat_prefix *prefix);

/* False until the first commit (of this process or of the one whose gate was adopted). */
bool moat_gate_has_policy(const struct moat_gate *gate);

/* Attached ports; *ret_count of them. Valid until attach or release. */
const struct moat_gate_port_info *moat_gate_ports(const struct moat_gate *gate, size_t *ret_count);

/* Sum over CPUs of one port's counters (countdown and random are zeroed). -ENOENT. Any thread. */
int moat_gate_counters(const struct moat_gate *gate, uint32_t port,
		       struct moat_gate_counters *ret_counters);

/* What the rule of a slot has counted since it has the slot, over all ports and CPUs. Any thread. */
struct moat_rule_count moat_gate_rule_count(const struct moat_gate *gate, uint32_t slot);

/* What the protection with a number (its place in the stage set in force, from 1) did, over all ports and
 * CPUs, since it has the number. One thread, that which commits. */
struct moat_profile_hits moat_gate_profile_hits(const struct moat_gate *gate, uint32_t number);

/* The cell tables of one CPU, mapped: read them with the epoch rule of moat/cell.h. */
struct moat_gate_cells {
	const struct moat_cell_head *head;
	const struct moat_cell *to, *from;
	uint32_t count; /* a table */
};
uint32_t moat_gate_cpus(const struct moat_gate *gate);
void moat_gate_cells(const struct moat_gate *gate, uint32_t cpu, struct moat_gate_cells *ret_cells);

/* The number of the window (moat/cell.h) that the gate is in now, and its length. Any thread. */
uint32_t moat_gate_window(const struct moat_gate *gate, uint64_t *ret_length_ns);

/* The filter of known sources, mapped for writing; and the seed of its hash and the cells'. */
struct moat_known *moat_gate_known(struct moat_gate *gate);
uint64_t moat_gate_hash_seed(const struct moat_gate *gate);

/* Sets the sampling intervals; in force with the next packet. */
void moat_gate_set_sampling(struct moat_gate *gate, uint32_t sample_pass, uint32_t sample_drop);

/* The SYN challenge. Settings are in force with the next packet, but for the form, which programs that
 * are loaded later have. Keys: see moat_challenge_rotate, which comes with moat_challenge_sweep; kept while
 * nobody changes them. Stats and the sweep look at the whole table: milliseconds. */
void moat_gate_set_challenge(struct moat_gate *gate, const struct moat_challenge_options *options);
int moat_gate_challenge_rotate(struct moat_gate *gate);
void moat_gate_challenge_stats(const struct moat_gate *gate, struct moat_challenge_stats *ret_stats);
/* For tests: keys and settings, mapped. */
struct moat_challenge_state *moat_gate_challenge(struct moat_gate *gate);

/* Hands up to `max` waiting samples to `handler`, oldest first. Returns how many, or a negative errno.
 * One thread at a time, which needn't be the one that commits. The ring doesn't wake: poll it. */
typedef void (*moat_gate_sample_fn)(void *userdata, const struct moat_sample *sample);
int moat_gate_poll(struct moat_gate *gate, int max, moat_gate_sample_fn handler, void *userdata);

/* The XSKMAP of a wire or mirror port, for dataplane/port_afxdp.c; the gate owns it. -ENOENT. */
int moat_gate_xsks_fd(const struct moat_gate *gate, uint32_t port);

/* Where the worker of a queue of a wire or mirror port writes its pulse: until it does, and once it stops,
 * the gate takes it for gone. Valid while the port is attached. -ENOENT, or what reading the clock failed
 * with. */
int moat_gate_pulse(const struct moat_gate *gate, uint32_t port, uint32_t queue,
		    struct moat_pulse *ret_pulse);

/* Names the interface that a wire's frames leave by when the gate does its worker's work. To be told again
 * when that interface is another. -ENOENT: no such wire; -ENODEV: no such interface. */
int moat_gate_set_peer(struct moat_gate *gate, uint32_t port, const char *peer);

/* Puts the program of a port in force again, on receive queues that have come since too: of these a veth passes
 * frames on without asking it. Microseconds, in which frames are dropped. -ENOENT: no such port, or none of a
 * link. */
int moat_gate_reassert(struct moat_gate *gate, uint32_t port);

/* For tests and benches: the program of a port, to be run with BPF_PROG_TEST_RUN. -ENOENT. */
int moat_gate_prog_fd(const struct moat_gate *gate, uint32_t port);

#endif
