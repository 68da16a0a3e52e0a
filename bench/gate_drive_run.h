/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Runs programs over pools of packets, see gate_drive.bpf.c. */
#ifndef MOAT_BENCH_GATE_DRIVE_RUN_H
#define MOAT_BENCH_GATE_DRIVE_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/gate_drive.h"
#include "dataplane/base/error.h"

struct bench_drive; /* the skeleton */

/* Which driver a program is called by. */
enum gate_driver {
	GATE_DRIVER_V4 = 0,
	GATE_DRIVER_V6,
	GATE_DRIVER_PLAIN, /* IPv4, programs that know no frames in pieces */
	GATE_DRIVER_VXLAN, /* IPv4 in VXLAN over IPv4 */
	GATE_DRIVERS,
};

#define GATE_MISSES 4

struct gate_drive {
	struct bench_drive *skeleton;
	int bare_fds[GATE_DRIVERS];
	int miss_fds[GATE_MISSES]; /* of one read and more */
	int cookie_fds[2];         /* the kernel's, our own; of GATE_DRIVER_PLAIN */
};

/* Loads drivers and references. 0 or a negative errno with its sentence; deinit takes half-made ones. */
int gate_drive_init(struct gate_drive *drive, struct moat_error *error);
void gate_drive_deinit(struct gate_drive *drive);

/* The pools, to be filled. */
struct gate_pool_v4 *gate_drive_pool_v4(struct gate_drive *drive);
struct gate_pool_v6 *gate_drive_pool_v6(struct gate_drive *drive);

/* Has the program run over GATE_POOL packets, those of the pool in turn or (`hot`) its first one. CPU time of
 * a packet in ns, driver and all; NAN if it can't be run. */
double gate_drive_run(struct gate_drive *drive, enum gate_driver driver, int prog_fd, bool hot);

/* The TCP flags of the packets from now on. */
void gate_drive_set_flags(struct gate_drive *drive, uint8_t flags);

/* The driver's program that sends to an interface, for live frames. */
int gate_drive_live_fd(struct gate_drive *drive, enum gate_driver driver, unsigned int ifindex,
		       bool hot);

#endif
