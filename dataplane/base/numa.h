/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where memory and CPUs are near a device (libnuma). Without the library, or on a machine without nodes, every
 * question is answered as if there were none. */
#ifndef MOAT_DATAPLANE_BASE_NUMA_H
#define MOAT_DATAPLANE_BASE_NUMA_H

/* The node that an interface's device is on. -1: no device, or one that says nothing of it. */
int moat_numa_of_interface(const char *name);
/* The node of a CPU, -1: unknown. */
int moat_numa_of_cpu(int cpu);

/* The CPU to pin the number-th worker to: of the node's, or with -1 of all that this process may use, by
 * turns. A node without such a CPU is as -1. */
int moat_numa_cpu(int node, unsigned int number);

/* What this thread allocates from now on comes from the node, as long as that has any; -1: from where it runs, as
 * at the start. */
void moat_numa_prefer(int node);

#endif
