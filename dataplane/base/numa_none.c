/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Built where libnuma is absent. */
#include <sched.h>

#include "dataplane/base/numa.h"

int moat_numa_of_interface(const char *name)
{
	return -1;
}

int moat_numa_of_cpu(int cpu)
{
	return -1;
}

int moat_numa_cpu(int node, unsigned int number)
{
	cpu_set_t ours;
	unsigned int seen = 0;

	if (sched_getaffinity(0, sizeof(ours), &ours) < 0)
		return 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET((size_t)cpu, &ours) &&
		    seen++ == number % (unsigned int)CPU_COUNT(&ours))
			return cpu;
	}
	return 0;
}

void moat_numa_prefer(int node)
{
}
