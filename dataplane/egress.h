/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What containers send, seen from user space: interfaces attached and let go, limits and cuts, counters.
 *
 * Everything lives pinned below the gate's directory, in egress/: tables, and the XDP program of a container
 * that is cut off. The traffic-control filters live on their interfaces. Without the program that made them
 * they go on counting, limiting and cutting. One thread, but for moat_egress_info.
 */
#ifndef MOAT_DATAPLANE_EGRESS_H
#define MOAT_DATAPLANE_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/gate.h"
#include "moat/egress.h"

struct moat_egress;

/* Opens the tables, or adopts the pinned ones; slots of interfaces that have gone are freed. `gate` outlives
 * it. Errors as of moat_gate_open. */
int moat_egress_open(const struct moat_gate *gate, struct moat_egress **ret_egress,
		     struct moat_error *error);
/* Closes descriptors and mappings; what is attached goes on. NULL is allowed. */
void moat_egress_close(struct moat_egress *egress);

/* Takes all of it off the interfaces of this network namespace and removes the pins. */
void moat_egress_remove(const char *pin_path);

/* Puts our filter on an interface, beside those of others, or a new program in place of the one it has. 1 if
 * it stood there before. -ENODEV; -ENOSPC: MOAT_EGRESS_SLOTS. */
int moat_egress_attach(struct moat_egress *egress, const char *name, struct moat_error *error);
/* Takes it off; the clsact qdisc too, if it was made for us and nobody else uses it. Also frees what belongs
 * to an interface that has gone. -ENOENT. */
int moat_egress_release(struct moat_egress *egress, const char *name);

/* Rates a second on the whole box, 0: none. `by_operator` keeps the configuration's hands off, which come with
 * false and then change nothing. -ENOENT, or -ERANGE: bytes above MOAT_EGRESS_RATE_MAX. */
#define MOAT_EGRESS_RATE_MAX 1000000000000ULL
int moat_egress_set_limit(struct moat_egress *egress, const char *name, uint64_t packets,
			  uint64_t bytes, bool by_operator);

/* Cuts a container off, by XDP too where the driver has it (*ret_xdp). */
int moat_egress_cut(struct moat_egress *egress, const char *name, bool *ret_xdp);
/* Cuts it off from a prefix. -EALREADY: it is cut off altogether; -ENOSPC: MOAT_EGRESS_CUTS. */
int moat_egress_cut_to(struct moat_egress *egress, const char *name,
		       const struct moat_prefix *prefix);
/* Ends all its cuts. 0 or -ENOENT. */
int moat_egress_lift(struct moat_egress *egress, const char *name);

struct moat_egress_info {
	char name[16];
	int ifindex;
	uint64_t packets_rate, bytes_rate; /* a second, 0: no limit */
	bool by_operator;
	enum moat_egress_cut cut;
	bool xdp;     /* the cut is made by XDP */
	bool current; /* attached by this process; false: found, and still with the program of then */
	struct moat_egress_counters counters;
};

/* Slot `slot`, counters summed over CPUs; false if it is free. */
bool moat_egress_info(const struct moat_egress *egress, uint32_t slot,
		      struct moat_egress_info *ret_info);
/* The slot of an interface, or MOAT_EGRESS_SLOTS. */
uint32_t moat_egress_find(const struct moat_egress *egress, const char *name);
/* Calls `visit` for each prefix that a container is cut off from; at most MOAT_EGRESS_CUTS times. */
void moat_egress_cuts(const struct moat_egress *egress, uint32_t slot,
		      void (*visit)(void *userdata, const struct moat_prefix *prefix),
		      void *userdata);

/* For tests: the program of a container's filter, to be run with BPF_PROG_TEST_RUN; -ENOENT. */
int moat_egress_prog_fd(const struct moat_egress *egress, const char *name);

#endif
