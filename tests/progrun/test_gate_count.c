/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the gate counts besides verdicts: limits on the whole box, cells of both ends, samples. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"
#include "tests/progrun/frame.h"
#include "tests/progrun/gate_fixture.h"

static struct gate_fixture gate;

static void begin(const char *rule)
{
	moat_ruleset_free(gate.set);
	gate.set = NULL;
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&gate.set), 0);
	if (rule)
		CU_ASSERT_TRUE_FATAL(gate_fixture_rule(&gate, rule));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
}

static void pin_to(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* ---- limits ---------------------------------------------------------------------------------- */

#define RATE 20000
#define FLOOD_S 1.5
#define THREADS_MAX 4

static struct frame flood;
static uint64_t flood_until;

/* Sends as fast as it can, in runs far shorter than a window. */
static void *flood_thread(void *userdata)
{
	pin_to((int)(long)userdata);
	while (moat_clock_monotonic_ns() < flood_until)
		gate_fixture_run(&gate, flood.data, flood.length, 2000);
	return NULL;
}

/* The rate that passes while `threads` CPUs flood. */
static double limited_rate(int threads)
{
	struct moat_gate_counters before = gate_fixture_counters(&gate), after;
	uint64_t begin_ns = moat_clock_monotonic_ns();
	pthread_t ids[THREADS_MAX];

	flood_until = begin_ns + (uint64_t)(FLOOD_S * MOAT_NS_PER_S);
	for (int i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, flood_thread, (void *)(long)i);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	after = gate_fixture_counters(&gate);
	CU_ASSERT(after.reasons[MOAT_REASON_DROP_LIMIT].packets >
		  before.reasons[MOAT_REASON_DROP_LIMIT].packets);
	return (double)(after.reasons[MOAT_REASON_PASS_LIMIT].packets -
			before.reasons[MOAT_REASON_PASS_LIMIT].packets) *
	       MOAT_NS_PER_S / (double)(moat_clock_monotonic_ns() - begin_ns);
}

/* R is R on the box, whatever the number of CPUs; a window at either end may be full or missing. An emulated
 * machine stands still longer than a burst lasts: less than R says nothing there. */
static void test_limit(void)
{
	double least = getenv("MOAT_TEST_SLOW") ? 0.5 : 0.85;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	frame_simple(&flood, "192.0.2.1", "198.51.100.1", 17, 1, 2, 0, 9);
	begin("limit 20000/s proto udp");
	for (int threads = 1; threads <= cpus && threads <= THREADS_MAX; threads++) {
		double rate = limited_rate(threads);

		printf("limit of %d from %d CPUs: %.0f\n", RATE, threads, rate);
		CU_ASSERT(rate > RATE * least && rate < RATE * 1.15);
	}
}

static void test_prefer_known(void)
{
	struct moat_addr addr;
	struct frame frame;
	enum moat_reason reason = MOAT_REASON_COUNT;

	pin_to(0);
	begin("limit 10/s prefer-known proto udp dport 9");
	CU_ASSERT_EQUAL(moat_addr_parse("2001:db8::77", &addr), 0);
	moat_known_add(moat_gate_known(gate.gate), &addr, moat_gate_hash_seed(gate.gate));
	frame_simple(&frame, "2001:db8::78", "2001:db8::1", 17, 5, 9, 0, 0);
	for (int i = 0; i < 100; i++)
		reason = gate_fixture_reason(&gate, frame.data, frame.length);
	CU_ASSERT_EQUAL(reason, MOAT_REASON_DROP_LIMIT);
	frame_simple(&frame, "2001:db8::77", "2001:db8::1", 17, 5, 9, 0, 0);
	CU_ASSERT_EQUAL(gate_fixture_reason(&gate, frame.data, frame.length),
			MOAT_REASON_PASS_KNOWN);
}

/* ---- cells ----------------------------------------------------------------------------------- */

/* Sum of a host's cells over CPUs; false if it has none. */
static bool find_cell(bool to, const char *text, struct moat_cell *ret_cell)
{
	struct moat_gate_cells cells;
	struct moat_addr addr;
	bool found = false;

	memset(ret_cell, 0, sizeof(*ret_cell));
	if (moat_addr_parse(text, &addr) < 0)
		return false;
	for (uint32_t cpu = 0; cpu < moat_gate_cpus(gate.gate); cpu++) {
		moat_gate_cells(gate.gate, cpu, &cells);
		for (uint32_t i = 0; i < cells.count; i++) {
			const struct moat_cell *cell = to ? &cells.to[i] : &cells.from[i];

			if (!moat_addr_equal(&cell->addr, &addr))
				continue;
			*ret_cell = *cell; /* the tests are pinned: there is one */
			found = true;
		}
	}
	return found;
}

static uint64_t packets_of(const struct moat_cell *cell)
{
	return moat_cell_packets(moat_cell_sum(cell));
}

static unsigned int distinct(const struct moat_cell *cell)
{
	unsigned int most = 0;

	for (int half = 0; half < 2; half++) {
		unsigned int bits = 0;

		for (int i = 0; i < MOAT_DISTINCT_WORDS; i++)
			bits += (unsigned int)__builtin_popcountll(cell->distinct[half][i]);
		most = bits > most ? bits : most;
	}
	return most;
}

static void send(const char *src, const char *dst, uint8_t proto, uint16_t sport, uint16_t dport,
		 uint8_t flags, size_t payload)
{
	struct frame frame;

	frame_simple(&frame, src, dst, proto, sport, dport, flags, payload);
	CU_ASSERT_NOT_EQUAL(gate_fixture_run(&gate, frame.data, frame.length, 1), -1);
}

static void test_cells(void)
{
	static const uint8_t flags[] = { 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0x03 };
	struct moat_cell to, from;

	pin_to(0);
	begin("drop proto udp dport 666");
	for (size_t i = 0; i < sizeof(flags); i++)
		send("10.1.0.1", "10.2.0.1", 6, 1, 80, flags[i], 100);
	send("10.1.0.1", "10.2.0.1", 17, 53, 1000, 0, 200);
	send("10.1.0.1", "10.2.0.1", 17, 1000, 666, 0, 0);
	send("10.1.0.1", "10.2.0.1", 1, 0, 0, 0, 8);
	send("10.1.0.1", "10.2.0.1", 47, 0, 0, 0, 8);
	CU_ASSERT_TRUE_FATAL(find_cell(true, "10.2.0.1", &to));
	CU_ASSERT_TRUE_FATAL(find_cell(false, "10.1.0.1", &from));
	CU_ASSERT_FALSE(find_cell(true, "10.1.0.1", &from));
	CU_ASSERT_TRUE(find_cell(false, "10.1.0.1", &from));
	CU_ASSERT_EQUAL(packets_of(&to), 13);
	CU_ASSERT_EQUAL(packets_of(&from), 13);
	CU_ASSERT_EQUAL(moat_cell_bytes(moat_cell_sum(&to)), 9 * 140 + 228 + 28 + 28 + 28);
	CU_ASSERT_EQUAL(moat_cell_packets(to.kinds[MOAT_CELL_TCP_SYN]), 1);
	CU_ASSERT_EQUAL(moat_cell_packets(to.kinds[MOAT_CELL_TCP_SYNACK]), 1);
	CU_ASSERT_EQUAL(moat_cell_packets(to.kinds[MOAT_CELL_TCP_ACK]), 2);
	CU_ASSERT_EQUAL(moat_cell_packets(to.kinds[MOAT_CELL_TCP_FIN]), 1);
	CU_ASSERT_EQUAL(moat_cell_packets(to.kinds[MOAT_CELL_TCP_RST]), 2);
	CU_ASSERT_EQUAL(moat_cell_packets(to.kinds[MOAT_CELL_TCP_OTHER]), 2);
	CU_ASSERT_EQUAL(to.kinds[MOAT_CELL_UDP], (1ULL << MOAT_CELL_BYTES_BITS) + 28);
	CU_ASSERT_EQUAL(to.kinds[MOAT_CELL_UDP_REFLECT], (1ULL << MOAT_CELL_BYTES_BITS) + 228);
	CU_ASSERT_EQUAL(to.kinds[MOAT_CELL_ICMP], (1ULL << MOAT_CELL_BYTES_BITS) + 28);
	CU_ASSERT_EQUAL(to.kinds[MOAT_CELL_OTHER], (1ULL << MOAT_CELL_BYTES_BITS) + 28);
	CU_ASSERT_EQUAL(to.marks, (3ULL << MOAT_CELL_SMALL_SHIFT) + 1);
	CU_ASSERT_EQUAL(to.fragments, 0);
	CU_ASSERT_EQUAL(to.epoch, 2);
	CU_ASSERT_EQUAL(distinct(&to), 1);
}

/* Distinct sources of a destination, distinct services of a source; neither counts packets. */
static void test_distinct(void)
{
	struct moat_cell cell;
	uint64_t length;
	uint32_t window;
	char src[32];

	pin_to(0);
	begin(NULL);
	do {
		window = moat_gate_window(gate.gate, &length);
		for (int i = 0; i < 64; i++) {
			snprintf(src, sizeof(src), "10.3.0.%d", i);
			send(src, "10.4.0.1", 6, (uint16_t)i, 80, 2, 0);
			send("10.5.0.1", "10.6.0.1", 6, 7, (uint16_t)(i + 1), 2, 0);
			send("10.7.0.1", "10.6.0.2", 6, (uint16_t)i, 80, 2, 0);
		}
	} while (moat_gate_window(gate.gate, &length) != window);
	/* 64 of 256: 56.6 bits expected, standard deviation 2.1 */
	CU_ASSERT_TRUE_FATAL(find_cell(true, "10.4.0.1", &cell));
	CU_ASSERT(distinct(&cell) >= 46 && distinct(&cell) <= 64);
	CU_ASSERT_TRUE_FATAL(find_cell(false, "10.5.0.1", &cell));
	CU_ASSERT(distinct(&cell) >= 46 && distinct(&cell) <= 64);
	CU_ASSERT_TRUE_FATAL(find_cell(false, "10.7.0.1", &cell));
	CU_ASSERT_EQUAL(distinct(&cell), 1);
}

/* More hosts than cells: every packet is in a cell or unaccounted, and idle cells are taken over. */
static void test_crowd(void)
{
	struct moat_gate_cells cells;
	uint64_t before, unaccounted, sum = 0, takeovers, length;
	char src[32];

	pin_to(0);
	begin(NULL);
	moat_gate_cells(gate.gate, 0, &cells);
	before = cells.head->packets;
	unaccounted = cells.head->from.unaccounted;
	for (int i = 0; i < 4096; i++) {
		snprintf(src, sizeof(src), "10.8.%d.%d", i >> 8, i & 255);
		send(src, "10.9.0.1", 17, 1, 2, 0, 0);
	}
	CU_ASSERT_EQUAL(cells.head->packets, before + 4096);
	CU_ASSERT(cells.head->from.unaccounted > unaccounted);
	for (uint32_t i = 0; i < cells.count; i++)
		sum += packets_of(&cells.from[i]);
	/* all of them but for what earlier hosts had counted in cells that were taken over since */
	CU_ASSERT(sum + cells.head->from.unaccounted <= cells.head->packets);
	CU_ASSERT(sum + cells.head->from.unaccounted >= 4096);
	takeovers = cells.head->from.takeovers;
	moat_gate_window(gate.gate, &length);
	usleep((useconds_t)(length * (MOAT_CELL_IDLE + 1) / 1000));
	unaccounted = cells.head->from.unaccounted;
	send("10.10.0.1", "10.9.0.1", 17, 1, 2, 0, 0);
	CU_ASSERT_EQUAL(cells.head->from.unaccounted, unaccounted);
	CU_ASSERT_EQUAL(cells.head->from.takeovers, takeovers + 1);
}

/* ---- samples --------------------------------------------------------------------------------- */

struct tally {
	uint64_t passed, dropped, wrong;
};

static void tally_sample(void *userdata, const struct moat_sample *sample)
{
	struct tally *tally = userdata;

	if (sample->reason == MOAT_REASON_PASS_DEFAULT && sample->interval == 10 && !sample->rule_id)
		tally->passed++;
	else if (sample->reason == MOAT_REASON_DROP_RULE && sample->interval == 100 &&
		 sample->rule_id)
		tally->dropped++;
	else
		tally->wrong++;
}

static void test_sampling(void)
{
	struct moat_gate_counters before, after;
	struct tally tally = { 0 };
	struct frame pass, drop;

	pin_to(0);
	moat_gate_set_sampling(gate.gate, 10, 100);
	begin("drop proto udp dport 666");
	before = gate_fixture_counters(&gate);
	frame_simple(&pass, "1.1.1.1", "2.2.2.2", 17, 1, 2, 0, 1000);
	frame_simple(&drop, "1.1.1.1", "2.2.2.2", 17, 1, 666, 0, 1000);
	for (int i = 0; i < 20; i++) {
		gate_fixture_run(&gate, pass.data, pass.length, 1000);
		gate_fixture_run(&gate, drop.data, drop.length, 1000);
		while (moat_gate_poll(gate.gate, 7, tally_sample, &tally) == 7)
			;
	}
	after = gate_fixture_counters(&gate);
	CU_ASSERT_EQUAL(tally.wrong, 0);
	CU_ASSERT_EQUAL(after.samples - before.samples, tally.passed + tally.dropped);
	CU_ASSERT(tally.passed > 1900 && tally.passed < 2100);
	CU_ASSERT(tally.dropped > 170 && tally.dropped < 230);

	/* a ring that nobody empties fills up, and what is lost is counted */
	moat_gate_set_sampling(gate.gate, 1, 0);
	before = gate_fixture_counters(&gate);
	gate_fixture_run(&gate, pass.data, pass.length, 6000);
	after = gate_fixture_counters(&gate);
	CU_ASSERT_EQUAL(after.samples - before.samples + after.samples_lost - before.samples_lost,
			6000);
	CU_ASSERT(after.samples_lost > before.samples_lost);
	moat_gate_set_sampling(gate.gate, 0, 0);
	before = gate_fixture_counters(&gate);
	gate_fixture_run(&gate, pass.data, pass.length, 6000);
	after = gate_fixture_counters(&gate);
	CU_ASSERT(after.samples == before.samples && after.samples_lost == before.samples_lost);
}

static const struct moat_test tests[] = {
	{ "limit", test_limit },
	{ "prefer known", test_prefer_known },
	{ "cells", test_cells },
	{ "distinct", test_distinct },
	{ "more hosts than cells", test_crowd },
	{ "sampling", test_sampling },
	{ NULL, NULL },
};

int main(void)
{
	int r;

	gate_fixture_open(&gate, &(struct moat_gate_options){ .cells = 1024, .nodes = 1024 });
	r = moat_test_main("gate-count", tests);
	gate_fixture_close(&gate);
	return r;
}
