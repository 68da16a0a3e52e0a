/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/cells.c: what is counted where, takeover of idle cells, and nothing lost unsaid. */
#include "dataplane/cells.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "tests/harness/unit.h"

static struct moat_headers headers_of(uint32_t src, uint32_t dst, uint8_t proto)
{
	struct moat_headers h = {
		.family = MOAT_FAMILY_V4, .proto = proto, .l3_len = 60, .has_ports = 1
	};

	moat_addr_from_v4(&h.src, __builtin_bswap32(src));
	moat_addr_from_v4(&h.dst, __builtin_bswap32(dst));
	return h;
}

static const struct moat_cell *find(const struct moat_cell *table, uint32_t mask,
				    const struct moat_addr *addr)
{
	for (uint32_t i = 0; i <= mask; i++) {
		if (moat_addr_equal(&table[i].addr, addr))
			return &table[i];
	}
	return NULL;
}

static void test_bounds(void)
{
	struct moat_cells cells = { 0 };

	CU_ASSERT_EQUAL(moat_cells_init(&cells, (1u << 22) + 1, 1), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(moat_cells_init(&cells, 17, 1), 0);
	CU_ASSERT_EQUAL(cells.mask, 31);
	moat_cells_deinit(&cells);
	moat_cells_deinit(&cells);
}

static void test_count(void)
{
	struct moat_headers syn = headers_of(1, 2, 6), dns = headers_of(2, 1, 17);
	const struct moat_cell *cell;
	struct moat_cells cells;

	CU_ASSERT_EQUAL_FATAL(moat_cells_init(&cells, 64, 1), 0);
	syn.tcp_flags = MOAT_TCP_SYN;
	dns.sport = 53;
	dns.l3_len = 1000;
	for (int i = 0; i < 3; i++)
		moat_cells_count(&cells, &syn, 100, i == 0);
	moat_cells_count(&cells, &dns, 100, false);
	cell = find(cells.to, cells.mask, &syn.dst);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cell);
	CU_ASSERT_TRUE(cell->packets == 3 && cell->bytes == 180 && cell->tcp_syn == 3);
	CU_ASSERT_TRUE(cell->small == 3 && cell->dropped == 1 && cell->seen == 100);
	cell = find(cells.from, cells.mask, &syn.dst);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cell);
	CU_ASSERT_TRUE(cell->packets == 1 && cell->udp == 1 && cell->udp_reflect == 1);
	CU_ASSERT_EQUAL(cell->udp_bytes, 1000);
	CU_ASSERT_EQUAL(cells.to_head->accounted, 4);
	CU_ASSERT_EQUAL(cells.from_head->accounted, 4);
	moat_cells_deinit(&cells);
}

static unsigned int bits_of(const struct moat_cell *cell, uint32_t window)
{
	unsigned int bits = 0;

	for (unsigned int i = 0; i < MOAT_DISTINCT_WORDS; i++)
		bits += (unsigned int)__builtin_popcountll(cell->distinct[window & 1][i]);
	return bits;
}

/* A destination counts sources, a source counts (destination, port). */
static void test_distinct(void)
{
	struct moat_cells cells;
	struct moat_headers h = { 0 };
	const struct moat_cell *to, *from;

	CU_ASSERT_EQUAL_FATAL(moat_cells_init(&cells, 4096, 1), 0);
	for (uint32_t i = 0; i < 100; i++) {
		h = headers_of(1000 + i, 5, 6);
		moat_cells_count(&cells, &h, 7, false);
		moat_cells_count(&cells, &h, 7, false);
	}
	to = find(cells.to, cells.mask, &h.dst);
	CU_ASSERT_PTR_NOT_NULL_FATAL(to);
	/* 256 (1 - e^(-100/256)) = 83 bits, give or take */
	CU_ASSERT_TRUE(bits_of(to, 7) > 65 && bits_of(to, 7) <= 100);
	for (uint32_t port = 0; port < 100; port++) {
		h = headers_of(9, 5, 6);
		h.dport = (uint16_t)port;
		moat_cells_count(&cells, &h, 8, false);
	}
	from = find(cells.from, cells.mask, &h.src);
	CU_ASSERT_PTR_NOT_NULL_FATAL(from);
	CU_ASSERT_TRUE(bits_of(from, 8) > 65 && bits_of(from, 8) <= 100);
	CU_ASSERT_EQUAL(bits_of(to, 8), 1);
	moat_cells_deinit(&cells);
}

static void test_full(void)
{
	struct moat_headers h = { 0 };
	uint64_t packets = 0;
	struct moat_cells cells;

	CU_ASSERT_EQUAL_FATAL(moat_cells_init(&cells, 16, 1), 0);
	for (uint32_t i = 0; i < 200; i++) {
		h = headers_of(7, 1000 + i, 17);
		moat_cells_count(&cells, &h, 50, false);
	}
	for (uint32_t i = 0; i <= cells.mask; i++)
		packets += cells.to[i].packets;
	CU_ASSERT_EQUAL(packets, cells.to_head->accounted);
	CU_ASSERT_EQUAL(cells.to_head->accounted + cells.to_head->unaccounted, 200);
	CU_ASSERT_TRUE(cells.to_head->accounted >= 12 && cells.to_head->accounted <= 16);
	CU_ASSERT_EQUAL(cells.to_head->takeovers, 0);
	CU_ASSERT_EQUAL(cells.from_head->accounted, 200);

	/* hosts that were silent long enough give way, with their counters cleared and the epoch even */
	for (uint32_t i = 0; i < 200; i++) {
		h = headers_of(7, 5000 + i, 17);
		moat_cells_count(&cells, &h, 50 + MOAT_CELL_IDLE, false);
	}
	CU_ASSERT_TRUE(cells.to_head->takeovers >= 12);
	for (uint32_t i = 0; i <= cells.mask; i++) {
		CU_ASSERT_EQUAL(cells.to[i].epoch & 1, 0);
		CU_ASSERT_TRUE(cells.to[i].packets <= 1);
	}
	CU_ASSERT_EQUAL(cells.to_head->accounted + cells.to_head->unaccounted, 400);
	moat_cells_deinit(&cells);
}

#define PACKETS_EACH 3
#define COPIES 50000

static struct moat_cell shared;
static _Atomic bool stop;

/* Two hosts take the cell from each other; the packets of one are of 101 bytes, the other's of 103. */
static void *take_in_turns(void *userdata)
{
	struct moat_headers hosts[2] = { headers_of(1, 2, 17), headers_of(3, 4, 17) };

	hosts[0].l3_len = 101;
	hosts[1].l3_len = 103;
	for (int i = 0; !atomic_load(&stop); i++) {
		moat_cell_take(&shared, &hosts[i & 1].src);
		for (int n = 0; n < PACKETS_EACH; n++)
			moat_cell_count(&shared, &hosts[i & 1], 7, 0, 0);
	}
	return NULL;
}

/* What was copied under one even epoch is of one host. */
static void test_reader(void)
{
	struct moat_headers first = headers_of(1, 2, 17);
	uint64_t whole = 0, mixed = 0;
	pthread_t writer;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&writer, NULL, take_in_turns, NULL), 0);
	while (whole < COPIES) {
		uint32_t epoch = __atomic_load_n(&shared.epoch, __ATOMIC_ACQUIRE);
		struct moat_cell copy;
		uint64_t length;

		memcpy(&copy, &shared, sizeof(copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (epoch == 0 || (epoch & 1) ||
		    __atomic_load_n(&shared.epoch, __ATOMIC_RELAXED) != epoch)
			continue;
		length = moat_addr_equal(&copy.addr, &first.src) ? 101 : 103;
		whole++;
		mixed += copy.bytes % length != 0 || copy.bytes > PACKETS_EACH * length ||
			 copy.packets > PACKETS_EACH;
	}
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	CU_ASSERT_EQUAL(mixed, 0);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "bounds", test_bounds }, { "count", test_count },   { "distinct", test_distinct },
		{ "full", test_full },     { "reader", test_reader }, { NULL, NULL },
	};

	return moat_test_main("cells", tests);
}
