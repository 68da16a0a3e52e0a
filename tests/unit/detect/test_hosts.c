/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "detect/features.h"
#include "tests/harness/unit.h"

#define CELLS 64
#define LENGTH_NS 125000000ULL

struct seen {
	int calls, news;
	struct moat_host_window window, second; /* of the last call for `addr` */
	struct moat_addr addr;
};

static struct moat_cell to[2][CELLS], from[2][CELLS];
static struct moat_hosts *hosts;
static uint32_t window;

static struct moat_addr addr_of(uint32_t n)
{
	struct moat_addr addr;

	moat_addr_from_v4(&addr, __builtin_bswap32(0x0a000000u + n));
	return addr;
}

static void note(void *userdata, uint32_t host, bool is_new, const struct moat_host_window *w,
		 const struct moat_host_window *second)
{
	struct seen *seen = userdata;

	seen->calls++;
	seen->news += is_new;
	if (moat_addr_equal(&w->addr, &seen->addr)) {
		seen->window = *w;
		seen->second = *second;
	}
}

static void begin(uint32_t capacity)
{
	memset(to, 0, sizeof(to));
	memset(from, 0, sizeof(from));
	window = 100;
	CU_ASSERT_EQUAL_FATAL(moat_hosts_new(capacity, 1, &hosts), 0);
}

static void put(struct moat_cell *cell, uint32_t n, uint32_t packets, uint64_t distinct)
{
	struct moat_headers h = { .l3_len = 100, .family = MOAT_FAMILY_V4, .proto = 17 };
	struct moat_addr addr = addr_of(n);
	struct moat_cell_gain gain;

	moat_cell_gain_of(&gain, &h, window, 0);
	if (!moat_addr_equal(&cell->addr, &addr))
		moat_cell_take(cell, &addr);
	for (uint32_t i = 0; i < packets; i++)
		moat_cell_count(cell, &gain, distinct + i);
}

static struct seen read_now(uint32_t n, bool fresh)
{
	struct moat_cell_source sources[2] = { { to[0], from[0], CELLS, fresh },
					       { to[1], from[1], CELLS, fresh } };
	struct seen seen = { .addr = addr_of(n) };

	CU_ASSERT_EQUAL(moat_hosts_read(hosts, sources, 2, window, window * LENGTH_NS, LENGTH_NS,
					note, &seen),
			0);
	window++;
	return seen;
}

/* Two writers' cells of one host become one window; distinct sources are united, not added. */
static void test_merge(void)
{
	struct seen seen;

	begin(16);
	put(&to[0][3], 1, 10, 0);
	put(&to[1][9], 1, 10, 5);
	put(&from[0][3], 1, 7, 0);
	seen = read_now(1, true);
	CU_ASSERT_EQUAL(seen.calls, 1);
	CU_ASSERT_EQUAL(seen.news, 1);
	CU_ASSERT_EQUAL(seen.window.to.packets, 20);
	CU_ASSERT_EQUAL(seen.window.to.bytes, 2000);
	CU_ASSERT_EQUAL(seen.window.to.udp, 20);
	CU_ASSERT_EQUAL(seen.window.to.udp_bytes, 2000);
	CU_ASSERT_EQUAL(seen.window.from.packets, 7);
	CU_ASSERT_DOUBLE_EQUAL(seen.window.to.distinct, 15, 1);
	moat_hosts_free(hosts);
}

/* Only differences count, and the second is the sum of the last eight windows. */
static void test_second(void)
{
	struct seen seen = { 0 };

	begin(16);
	for (int i = 0; i < 12; i++) {
		put(&to[0][0], 1, 10, 0);
		seen = read_now(1, true);
		CU_ASSERT_EQUAL(seen.window.to.packets, 10);
	}
	CU_ASSERT_EQUAL(seen.second.to.packets, 80);
	CU_ASSERT_EQUAL(seen.second.length_ns, 8 * LENGTH_NS);
	CU_ASSERT_DOUBLE_EQUAL(moat_window_rate(&seen.second, 80), 80, 1e-6);
	for (int i = 0; i < 8; i++) {
		seen = read_now(1, true);
		CU_ASSERT_EQUAL(seen.calls, 1);
		CU_ASSERT_EQUAL(seen.window.to.packets, 0);
	}
	CU_ASSERT_EQUAL(seen.second.to.packets, 0);
	CU_ASSERT_DOUBLE_EQUAL(seen.second.to.distinct, 0, 0);
	seen = read_now(1, true);
	CU_ASSERT_EQUAL(seen.calls, 0); /* quiet */
	moat_hosts_free(hosts);
}

/* A cell that changes hands begins at zero for its new owner; the old one keeps what it had. */
static void test_takeover(void)
{
	struct seen seen;

	begin(16);
	put(&to[0][0], 1, 10, 0);
	(void)read_now(1, true);
	put(&to[0][0], 2, 6, 0);
	seen = read_now(2, true);
	CU_ASSERT_EQUAL(seen.window.to.packets, 6);
	CU_ASSERT_EQUAL(seen.calls, 2);
	put(&to[0][0], 1, 5, 0);
	seen = read_now(1, true);
	CU_ASSERT_EQUAL(seen.window.to.packets, 5);
	CU_ASSERT_EQUAL(seen.second.to.packets, 15);
	moat_hosts_free(hosts);
}

static void test_torn(void)
{
	struct moat_hosts_counters counters;
	struct seen seen;

	begin(16);
	put(&to[0][0], 1, 10, 0);
	to[0][0].epoch |= 1; /* in change */
	seen = read_now(1, true);
	CU_ASSERT_EQUAL(seen.calls, 0);
	moat_hosts_counters(hosts, &counters);
	CU_ASSERT_EQUAL(counters.torn, 1);
	to[0][0].epoch++;
	seen = read_now(1, true);
	CU_ASSERT_EQUAL(seen.window.to.packets, 10);
	moat_hosts_free(hosts);
}

/* A reading that comes too late to tell what was gained begins anew. */
static void test_late(void)
{
	struct moat_cell_source source = { to[0], from[0], CELLS, true };
	struct moat_hosts_counters counters;
	struct seen seen = { .addr = addr_of(1) };

	begin(16);
	put(&to[0][0], 1, 10, 0);
	(void)read_now(1, true);
	put(&to[0][0], 1, 10, 0);
	CU_ASSERT_EQUAL(moat_hosts_read(hosts, &source, 1, window, 0, MOAT_CELL_SPAN_NS + 1, note,
					&seen),
			0);
	CU_ASSERT_EQUAL(seen.window.to.packets, 0);
	moat_hosts_counters(hosts, &counters);
	CU_ASSERT_EQUAL(counters.late, 1);
	put(&to[0][0], 1, 7, 0);
	seen = read_now(1, true);
	CU_ASSERT_EQUAL(seen.window.to.packets, 7);
	moat_hosts_free(hosts);
}

/* What an adopted table counted before is no window's; single packets make no host. */
static void test_adopted_and_small(void)
{
	struct seen seen;

	begin(16);
	put(&to[0][0], 1, 1000, 0);
	seen = read_now(1, false);
	CU_ASSERT_EQUAL(seen.calls, 0);
	put(&to[0][0], 1, 10, 0);
	seen = read_now(1, false);
	CU_ASSERT_EQUAL(seen.window.to.packets, 10);

	put(&to[0][1], 2, MOAT_HOST_MIN_PACKETS - 1, 0);
	seen = read_now(2, false);
	CU_ASSERT_EQUAL(seen.window.to.packets, 0);
	put(&to[0][1], 2, 1, 0);
	seen = read_now(2, false);
	CU_ASSERT_EQUAL(seen.window.to.packets, MOAT_HOST_MIN_PACKETS);
	moat_hosts_free(hosts);
}

/* A full table refuses and counts; idle hosts leave, pinned ones stay. */
static void test_bounds(void)
{
	struct moat_hosts_counters counters;
	struct moat_addr one = addr_of(1), two = addr_of(2), nine = addr_of(9);

	begin(8);
	for (uint32_t n = 1; n <= 10; n++)
		put(&to[0][n], n, 10, 0);
	(void)read_now(1, true);
	moat_hosts_counters(hosts, &counters);
	CU_ASSERT_EQUAL(counters.hosts, 8);
	CU_ASSERT_EQUAL(counters.refused, 2);
	CU_ASSERT(moat_hosts_find(hosts, &one) >= 0);
	CU_ASSERT_EQUAL(moat_hosts_find(hosts, &nine), -1);
	moat_hosts_pin(hosts, (uint32_t)moat_hosts_find(hosts, &one), true);
	for (int i = 0; i < 60 * 8 + 200; i++)
		(void)read_now(1, true);
	moat_hosts_counters(hosts, &counters);
	CU_ASSERT_EQUAL(counters.hosts, 1);
	CU_ASSERT_EQUAL(counters.retired, 7);
	CU_ASSERT(moat_hosts_find(hosts, &one) >= 0);
	CU_ASSERT_EQUAL(moat_hosts_find(hosts, &two), -1);
	/* and their places are used again */
	for (uint32_t n = 20; n < 27; n++)
		put(&to[1][n], n, 10, 0);
	(void)read_now(20, true);
	moat_hosts_counters(hosts, &counters);
	CU_ASSERT_EQUAL(counters.hosts, 8);
	moat_hosts_free(hosts);
}

/* However many senders there are, who is sent to finds a place. */
static void test_forged_senders(void)
{
	struct moat_hosts_counters counters;
	struct moat_addr victim = addr_of(100);

	begin(16);
	for (uint32_t n = 1; n <= 40; n++)
		put(&from[0][n], n, 10, 0);
	(void)read_now(1, true);
	moat_hosts_counters(hosts, &counters);
	CU_ASSERT_EQUAL(counters.hosts, 14);
	put(&to[0][50], 100, 10, 0);
	(void)read_now(1, true);
	CU_ASSERT(moat_hosts_find(hosts, &victim) >= 0);
	moat_hosts_free(hosts);
}

/* The index finds every host after any order of arrivals and departures. */
static void test_index(void)
{
	struct moat_hosts_counters counters;

	begin(32);
	for (uint32_t round = 0; round < 6; round++) {
		for (uint32_t n = 0; n < CELLS; n += 2 + round)
			put(&to[round & 1][n], 100 * round + n, 10, 0);
		for (int i = 0; i < 3; i++)
			(void)read_now(1, true);
		for (uint32_t n = 0; n < CELLS; n += 2 + round) {
			struct moat_addr addr = addr_of(100 * round + n);

			if (n / (2 + round) < 4)
				CU_ASSERT(moat_hosts_find(hosts, &addr) >= 0);
		}
		for (int i = 0; i < 60 * 8 + 200; i++)
			(void)read_now(1, true);
		moat_hosts_counters(hosts, &counters);
		CU_ASSERT_EQUAL(counters.hosts, 0);
	}
	moat_hosts_free(hosts);
}

static void test_arguments(void)
{
	struct moat_hosts *none = NULL;

	CU_ASSERT(moat_hosts_new(0, 1, &none) < 0);
	CU_ASSERT(moat_hosts_new(1u << 30, 1, &none) < 0);
	CU_ASSERT_PTR_NULL(none);
	moat_hosts_free(NULL);
}

static const struct moat_test tests[] = {
	{ "writers are merged", test_merge },
	{ "differences and the second", test_second },
	{ "takeover", test_takeover },
	{ "a cell in change", test_torn },
	{ "a late reading", test_late },
	{ "adopted tables and single packets", test_adopted_and_small },
	{ "bounds", test_bounds },
	{ "forged senders", test_forged_senders },
	{ "index", test_index },
	{ "arguments", test_arguments },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-hosts", tests);
}
