/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists of a million prefixes: from the file into force in a gate (wall time), what they take, one prefix more
 * or less, and lookups as lists grow, beside as many dependent reads of as much memory (ref_reads): what the
 * two have in common are the cache misses, so their difference has to stay what it is. Needs root.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/common.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/gate.h"
#include "dataplane/tables.h"
#include "tests/unit/dataplane/tables_memory.h"

#define V4_PREFIXES 1000000
#define V6_PREFIXES 250000
#define LOOKUPS 500000
#define NODES (1u << 18)

static uint64_t random_state = 1;
static int runs;
static int missed;

/* The same numbers in each run: xorshift64* (Vigna, 2016). */
static uint32_t random_u32(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)(random_state * 2685821657736338717ULL >> 32);
}

static void report(const char *case_name, const char *metric, const char *unit, double goal,
		   const struct moat_bench_series *series)
{
	const struct moat_bench_result result = {
		.bench = "tables",
		.case_name = case_name,
		.metric = metric,
		.unit = unit,
		.goal_kind = goal > 0 ? MOAT_BENCH_AT_MOST : MOAT_BENCH_NO_GOAL,
		.goal = goal,
	};

	missed |= moat_bench_report(&result, series) != 0;
}

static void report_one(const char *case_name, const char *metric, const char *unit, double value)
{
	struct moat_bench_series series = { .count = 0 };

	moat_bench_series_add(&series, value);
	report(case_name, metric, unit, 0, &series);
}

/* Like public blocklists: mostly /24 and shorter, hosts in 4,096 networks. */
static struct moat_prefix v4_prefix(void)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4 };
	uint32_t kind = random_u32() % 100, address = random_u32();

	prefix.len = kind < 15 ? 32 : kind < 30 ? 20 : 24;
	address = prefix.len == 32 ? 0x0a000000 | (address & 0x000fffff)
				   : address & (~0U << (32 - prefix.len));
	moat_addr_from_v4(&prefix.addr, htobe32(address));
	return prefix;
}

static struct moat_prefix v6_prefix(void)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V6, .len = 40 };

	prefix.addr.words[0] = htobe32(0x20000000 | (random_u32() & 0x1fff));
	prefix.addr.words[1] = htobe32(random_u32() & 0xff000000);
	return prefix;
}

static void fill(struct moat_ruleset *set, struct moat_prefix (*prefix_of)(void), size_t count)
{
	for (size_t added = 0; added < count;) {
		struct moat_prefix prefix = prefix_of();

		added += moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix) == 0;
	}
}

static struct moat_ruleset *new_set(size_t v4, size_t v6)
{
	struct moat_ruleset *set = NULL;

	if (moat_ruleset_new(&set) < 0)
		_exit(1);
	fill(set, v4_prefix, v4);
	fill(set, v6_prefix, v6);
	return set;
}

/* ---- from the file into force ---------------------------------------------------------------- */

static int write_file(const struct moat_ruleset *set, char path[static 32])
{
	moat_auto_close int fd = mkstemp(path);
	moat_auto_fclose FILE *file = fd < 0 ? NULL : fopen(path, "we");
	size_t count;
	const struct moat_prefix *prefixes = moat_ruleset_prefixes(set, MOAT_LIST_DENY, &count);

	for (size_t i = 0; file && i < count; i++) {
		char text[MOAT_PREFIX_TEXT_LEN];

		fprintf(file, "%s\n", moat_prefix_format(&prefixes[i], text));
	}
	return file && fflush(file) == 0 ? 0 : -1;
}

static void bench_patch(struct moat_gate *gate, struct moat_ruleset *set)
{
	struct moat_bench_series add = { .count = 0 }, del = { .count = 0 };

	for (int i = 0; i < runs; i++) {
		size_t count;
		const struct moat_prefix *all = moat_ruleset_prefixes(set, MOAT_LIST_DENY, &count);
		struct moat_prefix prefix = all[random_u32() % count];
		uint64_t begin_ns = moat_clock_monotonic_ns(), end_ns;

		missed |= moat_ruleset_list_del(set, MOAT_LIST_DENY, &prefix) != 0 ||
			  moat_gate_patch(gate, set, MOAT_LIST_DENY, &prefix) != 0;
		end_ns = moat_clock_monotonic_ns();
		moat_bench_series_add(&del, (double)(end_ns - begin_ns) / 1e3);
		missed |= moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix) != 0 ||
			  moat_gate_patch(gate, set, MOAT_LIST_DENY, &prefix) != 0;
		moat_bench_series_add(&add, (double)(moat_clock_monotonic_ns() - end_ns) / 1e3);
	}
	report("add_one_prefix", "wall_time", "us", 1000, &add);
	report("del_one_prefix", "wall_time", "us", 1000, &del);
}

static void bench_gate(void)
{
	struct moat_bench_series series = { .count = 0 };
	struct moat_gate_options options = { .pin_path = "/sys/fs/bpf/moat-bench-tables",
					     .cells = 1024 };
	struct moat_ruleset *set = new_set(V4_PREFIXES, V6_PREFIXES), *loaded = NULL;
	struct moat_error error = { .text = "" };
	char path[32] = "/tmp/moat-bench-XXXXXX";
	struct moat_gate *gate = NULL;
	uint32_t nodes = 0;

	missed |= moat_tables_count_nodes(set, &nodes) != 0;
	options.nodes_hint = (uint32_t)moat_gate_nodes_for(nodes);
	if (write_file(set, path) < 0 || moat_gate_open(&options, &gate, &error) < 0) {
		fprintf(stderr, "tables: %s\n", error.text);
		missed = 1;
		goto end;
	}
	for (int i = 0; i < runs; i++) {
		uint64_t begin_ns;

		moat_ruleset_free(loaded);
		loaded = NULL;
		begin_ns = moat_clock_monotonic_ns();
		missed |= moat_ruleset_new(&loaded) != 0 ||
			  moat_ruleset_load(loaded, path, "bench", 0, NULL, &error) != 0 ||
			  moat_gate_commit(gate, loaded, &error) != 0;
		moat_bench_series_add(&series, (double)(moat_clock_monotonic_ns() - begin_ns) / 1e6);
		moat_bench_progress("tables", "file_to_force_1m_250k", i + 1, runs);
	}
	report("file_to_force_1m_250k", "wall_time", "ms", 1000, &series);
	report_one("memory_roots_half", "size", "MiB",
		   (4.0 * (1 << 24) + 3 * 4.0 * (1 << 16)) / 1048576);
	report_one("memory_nodes_half", "size", "MiB", (double)nodes / 1024);
	report_one("memory_rules_half", "size", "MiB",
		   (double)sizeof(struct moat_rule_tables) / 1048576);
	bench_patch(gate, loaded);
end:
	unlink(path);
	moat_ruleset_free(loaded);
	moat_ruleset_free(set);
	moat_gate_close(gate);
	moat_gate_detach(options.pin_path, NULL);
}

/* ---- lookups ---------------------------------------------------------------------------------- */

/* Each lookup waits for the one before: the leaf, whose lowest bit is 0, is part of the next index. */
static double time_lookups(const struct moat_tables *half, const struct moat_prefix *prefixes,
			   const uint32_t *order)
{
	uint64_t begin_ns = moat_clock_monotonic_ns();
	uint32_t leaf = 0;

	for (size_t i = 0; i < LOOKUPS; i++)
		leaf = moat_tables_lookup_src(half, &prefixes[order[i] + (leaf & 1)].addr);
	missed |= (leaf & MOAT_LPM_DENY) == 0;
	return (double)(moat_clock_monotonic_ns() - begin_ns) / LOOKUPS;
}

/* Where a lookup of a prefix reads: its entry of the root, and that of a node, or 0. */
struct places {
	uint32_t root, node;
};

/* The reads that a lookup makes, of the same places of memory of the same size, and nothing else. */
static double time_reads(const uint32_t *root, const uint32_t *nodes, const struct places *places,
			 const uint32_t *order)
{
	uint64_t begin_ns = moat_clock_monotonic_ns();
	uint32_t value = 0;

	for (size_t i = 0; i < LOOKUPS; i++) {
		const struct places *place = &places[order[i] + (value & 1)];

		value = nodes[place->node + (root[place->root] & 1)];
	}
	missed |= value == 1;
	return (double)(moat_clock_monotonic_ns() - begin_ns) / LOOKUPS;
}

static struct places places_of(const struct moat_tables *half, const struct moat_prefix *prefix)
{
	uint32_t address = be32toh(prefix->addr.words[3]);
	uint32_t entry = half->src4_root[address >> 8];

	return (struct places){
		.root = address >> 8,
		.node = (entry & MOAT_LPM_CHILD)
				? (entry & ~MOAT_LPM_CHILD) * MOAT_LPM_NODE_SIZE + (address & 255)
				: 0,
	};
}

static void bench_lookups(size_t size)
{
	struct moat_bench_series lookups = { .count = 0 }, reads = { .count = 0 };
	const struct moat_tables_clock clock = { .ticks_per_s = 1000, .judges = 1 };
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set(size, 0);
	struct moat_tables half = moat_test_tables(NODES);
	uint32_t *order = calloc(LOOKUPS, sizeof(*order));
	struct places *places = calloc(size + 1, sizeof(*places));
	uint32_t *root = moat_test_map(sizeof(*root) << 24);
	uint32_t *nodes = moat_test_map((size_t)NODES * MOAT_LPM_NODE_SIZE * sizeof(*nodes));
	const struct moat_prefix *prefixes;
	char name[32];
	size_t count;

	prefixes = moat_ruleset_prefixes(set, MOAT_LIST_DENY, &count);
	if (count == 0 || !order || !places || !root || !nodes ||
	    moat_tables_build(&half, set, &clock, NULL) != 0)
		_exit(1);
	for (size_t i = 0; i < count; i++) {
		places[i] = places_of(&half, &prefixes[i]);
		root[places[i].root] = nodes[places[i].node] = 2;
	}
	for (size_t i = 0; i < LOOKUPS; i++)
		order[i] = random_u32() % (uint32_t)count;
	for (int i = 0; i < runs; i++) {
		moat_bench_series_add(&lookups, time_lookups(&half, prefixes, order));
		moat_bench_series_add(&reads, time_reads(root, nodes, places, order));
	}
	snprintf(name, sizeof(name), "lookup_%zu", size);
	report(name, "wall_time", "ns", 0, &lookups);
	snprintf(name, sizeof(name), "ref_reads_%zu", size);
	report(name, "wall_time", "ns", 0, &reads);
	munmap(root, sizeof(*root) << 24);
	munmap(nodes, (size_t)NODES * MOAT_LPM_NODE_SIZE * sizeof(*nodes));
	moat_test_tables_unmap(&half);
	free(order);
	free(places);
}

int main(int argc, char **argv)
{
	runs = moat_bench_begin("tables", argc, argv, 7);
	if (runs < 0)
		return 1;
	for (size_t size = 1000; size <= V4_PREFIXES; size *= 10)
		bench_lookups(size);
	if (geteuid() == 0)
		bench_gate();
	else
		fputs("tables: the gate needs root: only lookups\n", stderr);
	return missed;
}
