/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "dataplane/base/numa.h"

#include <numa.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/cleanup.h"

static bool has_nodes(void)
{
	return numa_available() >= 0;
}

int moat_numa_of_interface(const char *name)
{
	moat_auto_fclose FILE *file = NULL;
	char path[96], line[32];
	int node;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/numa_node", name);
	file = fopen(path, "re");
	if (!has_nodes() || !file || !fgets(line, sizeof(line), file))
		return -1;
	node = (int)strtol(line, NULL, 10);
	return node > numa_max_node() ? -1 : node;
}

int moat_numa_of_cpu(int cpu)
{
	return has_nodes() ? numa_node_of_cpu(cpu) : -1;
}

/* The number-th CPU that is ours and on the node, by turns. -1: there is none. */
static int pick(const cpu_set_t *ours, int node, unsigned int number)
{
	unsigned int count = 0, seen = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		count += CPU_ISSET((size_t)cpu, ours) && (node < 0 || moat_numa_of_cpu(cpu) == node);
	for (int cpu = 0; count && cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET((size_t)cpu, ours) && (node < 0 || moat_numa_of_cpu(cpu) == node) &&
		    seen++ == number % count)
			return cpu;
	}
	return -1;
}

int moat_numa_cpu(int node, unsigned int number)
{
	cpu_set_t ours;
	int cpu;

	if (sched_getaffinity(0, sizeof(ours), &ours) < 0)
		return 0;
	cpu = pick(&ours, node, number);
	return cpu >= 0 || node < 0 ? cpu : pick(&ours, -1, number);
}

void moat_numa_prefer(int node)
{
	if (!has_nodes())
		return;
	if (node < 0)
		numa_set_localalloc();
	else
		numa_set_preferred(node);
}
