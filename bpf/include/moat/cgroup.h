/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A cgroup's number in host events. Every hierarchy counts its cgroups anew, so the number says which it is
 * of: cgroup2 where the process has a place of its own there, else (version 1 and hybrid hosts) the pids or
 * the memory hierarchy.
 */
#ifndef MOAT_CGROUP_H
#define MOAT_CGROUP_H

#include "moat/types.h"

enum moat_hierarchy {
	MOAT_HIERARCHY_UNIFIED = 0, /* the number is the kernel's own */
	MOAT_HIERARCHY_PIDS,
	MOAT_HIERARCHY_MEMORY,
	MOAT_HIERARCHY_COUNT,
};

/* The kernel's number of a 64-bit machine counts up from 1 and never gets here. */
#define MOAT_HIERARCHY_SHIFT 56
#define MOAT_CGROUP_NUMBER(id) ((id) & ((1ULL << MOAT_HIERARCHY_SHIFT) - 1))
#define MOAT_CGROUP_HIERARCHY(id) ((id) >> MOAT_HIERARCHY_SHIFT)

#endif
