/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One half of the judge's tables in zeroed, lazily backed memory of its own, for tests and benches. */
#ifndef MOAT_TESTS_TABLES_MEMORY_H
#define MOAT_TESTS_TABLES_MEMORY_H

#include <sys/mman.h>

#include "dataplane/tables.h"

static inline void *moat_test_map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static inline struct moat_tables moat_test_tables(uint32_t node_capacity)
{
	size_t root = ((size_t)1 << MOAT_LPM_ROOT_BITS) * sizeof(uint32_t);

	return (struct moat_tables){
		.src4_root = moat_test_map(((size_t)1 << MOAT_LPM_SRC4_BITS) * sizeof(uint32_t)),
		.dst4_root = moat_test_map(root),
		.src6_root = moat_test_map(root),
		.dst6_root = moat_test_map(root),
		.nodes = moat_test_map((size_t)node_capacity * MOAT_LPM_NODE_SIZE * sizeof(uint32_t)),
		.node_capacity = node_capacity,
		.rules = moat_test_map(sizeof(struct moat_rule_tables)),
		.stages = moat_test_map(sizeof(struct moat_stage_tables)),
	};
}

static inline void moat_test_tables_unmap(struct moat_tables *half)
{
	size_t root = ((size_t)1 << MOAT_LPM_ROOT_BITS) * sizeof(uint32_t);

	munmap(half->src4_root, ((size_t)1 << MOAT_LPM_SRC4_BITS) * sizeof(uint32_t));
	munmap(half->dst4_root, root);
	munmap(half->src6_root, root);
	munmap(half->dst6_root, root);
	munmap(half->nodes, (size_t)half->node_capacity * MOAT_LPM_NODE_SIZE * sizeof(uint32_t));
	munmap(half->rules, sizeof(struct moat_rule_tables));
	munmap(half->stages, sizeof(struct moat_stage_tables));
}

#endif
