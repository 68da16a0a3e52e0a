/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <sched.h>

#include "dataplane/base/numa.h"
#include "tests/harness/unit.h"

/* By turns over all that the process may use, whatever it is asked for. */
static void check_turns(int node)
{
	cpu_set_t ours;
	unsigned int count;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(ours), &ours), 0);
	count = (unsigned int)CPU_COUNT(&ours);
	for (unsigned int i = 0; i < 2 * count; i++) {
		int cpu = moat_numa_cpu(node, i);

		CU_ASSERT_TRUE_FATAL(cpu >= 0);
		CU_ASSERT_TRUE(CPU_ISSET((size_t)cpu, &ours));
		CU_ASSERT_EQUAL(cpu, moat_numa_cpu(node, i + count));
	}
}

static void test_turns(void)
{
	check_turns(-1);
	check_turns(1023); /* a node that isn't there is as none */
}

static void test_node(void)
{
	int node = moat_numa_of_cpu(moat_numa_cpu(-1, 0));

	if (node < 0)
		return; /* a kernel without nodes */
	check_turns(node);
	CU_ASSERT_EQUAL(moat_numa_of_cpu(moat_numa_cpu(node, 0)), node);
	moat_numa_prefer(node);
	moat_numa_prefer(-1);
}

static void test_interface(void)
{
	CU_ASSERT_EQUAL(moat_numa_of_interface("lo"), -1);
	CU_ASSERT_EQUAL(moat_numa_of_interface("no such"), -1);
}

static void test_affinity(void)
{
	cpu_set_t before, one;
	int cpu = moat_numa_cpu(-1, 0);

	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(one), &one), 0);
	CU_ASSERT_EQUAL(moat_numa_cpu(-1, 0), cpu);
	CU_ASSERT_EQUAL(moat_numa_cpu(-1, 7), cpu);
	sched_setaffinity(0, sizeof(before), &before);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "CPUs by turns", test_turns },
		{ "CPUs of a node", test_node },
		{ "interfaces without a device", test_interface },
		{ "only CPUs of our own", test_affinity },
		{ NULL, NULL },
	};

	return moat_test_main("base-numa", tests);
}
