/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a window costs detection: 100,000 active hosts, counted by two writers, all of them with packets in
 * every window; from the end of the window to the last verdict on it, by CPU time of this thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common.h"
#include "dataplane/base/clock.h"
#include "dataplane/cells.h"
#include "detect/engine.h"

#define HOSTS 100000
#define WRITERS 2
#define CELLS (1u << 18)
#define WINDOW_NS (MOAT_NS_PER_MS << MOAT_WINDOW_SHIFT_MS)
#define WARM_WINDOWS 24
#define LEARN_WINDOWS 16

static struct moat_cells cells[WRITERS];
static int runs, missed;

static void ignore(void *userdata, const struct moat_finding *finding)
{
	(*(int *)userdata)++;
}

/* Each host's packets of a window: a few, to and from another host, TCP or UDP. */
static void count_window(uint32_t window)
{
	for (uint32_t n = 0; n < HOSTS / 2; n++) {
		struct moat_headers h = { .family = MOAT_FAMILY_V4, .has_ports = 1, .l3_len = 400 };

		moat_addr_from_v4(&h.src, htobe32(0x0a000000 + n));
		moat_addr_from_v4(&h.dst, htobe32(0xc0a80000 + n));
		h.proto = n % 3 ? 6 : 17;
		h.tcp_flags = h.proto == 6 ? MOAT_TCP_ACK : 0;
		h.sport = (uint16_t)(1024 + n % 60000);
		h.dport = 443;
		for (uint32_t i = 0; i < 3 + (n + window) % 3; i++) {
			struct moat_addr other = h.src;

			moat_cells_count(&cells[n % WRITERS], &h, window, false);
			h.src = h.dst;
			h.dst = other;
		}
	}
}

static void report(const char *case_name, const char *unit, double goal,
		   const struct moat_bench_series *series)
{
	struct moat_bench_result result = {
		.bench = "windows",
		.case_name = case_name,
		.metric = strcmp(unit, "ms") == 0 ? "cpu_time" : "memory",
		.unit = unit,
		.goal_kind = goal > 0 ? MOAT_BENCH_AT_MOST : MOAT_BENCH_NO_GOAL,
		.goal = goal,
	};

	missed |= moat_bench_report(&result, series) != 0;
}

/* Resident memory of this process, bytes. */
static double resident(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	char line[256] = "", *second;
	unsigned long pages = 0;

	if (file) {
		/* all pages, resident ones, ... */
		if (fgets(line, sizeof(line), file) && (second = strchr(line, ' ')))
			pages = strtoul(second, NULL, 10);
		fclose(file);
	}
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv)
{
	static struct moat_bench_series series, memory;
	struct moat_detect_config config = moat_detect_config_default();
	struct moat_cell_source sources[WRITERS];
	struct moat_detect_counters counters;
	struct moat_detect *detect = NULL;
	uint32_t window = 1000;
	double before;
	int found = 0;

	runs = moat_bench_begin("windows", argc, argv, 48);
	if (runs < 0)
		return 2;
	config.learn_ns = LEARN_WINDOWS * WINDOW_NS;
	for (int i = 0; i < WRITERS; i++) {
		if (moat_cells_init(&cells[i], CELLS, 7) < 0)
			return 2;
		sources[i] = (struct moat_cell_source){ cells[i].to, cells[i].from, CELLS, true };
	}
	count_window(window);
	before = resident();
	if (moat_detect_new(&config, ignore, &found, &detect) < 0)
		return 2;
	for (int i = 0; i < WARM_WINDOWS + runs; i++, window++) {
		uint64_t begin;

		count_window(window);
		begin = moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
		moat_detect_tick(detect, sources, WRITERS, window, window * WINDOW_NS, WINDOW_NS);
		if (i < WARM_WINDOWS)
			continue;
		moat_bench_series_add(
			&series,
			(double)(moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / 1e6);
		moat_bench_progress("windows", "100000_hosts", i + 1 - WARM_WINDOWS, runs);
	}
	moat_detect_counters(detect, &counters);
	/* a few find both of their cells taken, as in life */
	if (counters.hosts.hosts < HOSTS / 100 * 98 || found) {
		fprintf(stderr, "windows: %llu hosts, %d findings\n",
			(unsigned long long)counters.hosts.hosts, found);
		missed = 1;
	}
	report("window_100000_hosts", "ms", 50, &series);
	moat_bench_series_add(&memory, (resident() - before) / HOSTS);
	report("memory_per_host", "bytes", 0, &memory);
	moat_detect_free(detect);
	for (int i = 0; i < WRITERS; i++)
		moat_cells_deinit(&cells[i]);
	return missed;
}
