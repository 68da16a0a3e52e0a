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
	CU_ASSERT_EQUAL(cell->kinds[MOAT_CELL_TCP_SYN], (3ULL << MOAT_CELL_BYTES_BITS) + 180);
	CU_ASSERT_EQUAL(moat_cell_sum(cell), cell->kinds[MOAT_CELL_TCP_SYN]);
	CU_ASSERT_EQUAL(cell->marks, (3ULL << MOAT_CELL_SMALL_SHIFT) + 1);
	CU_ASSERT_EQUAL(cell->windows[0], 100);
	cell = find(cells.from, cells.mask, &syn.dst);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cell);
	CU_ASSERT_EQUAL(moat_cell_packets(cell->kinds[MOAT_CELL_UDP_REFLECT]), 1);
	CU_ASSERT_EQUAL(moat_cell_bytes(cell->kinds[MOAT_CELL_UDP_REFLECT]), 1000);
	CU_ASSERT_EQUAL(moat_cell_sum(cell), cell->kinds[MOAT_CELL_UDP_REFLECT]);
	CU_ASSERT_EQUAL(cells.head->packets, 4);
	CU_ASSERT_EQUAL(cells.head->to.unaccounted + cells.head->from.unaccounted, 0);
	moat_cells_deinit(&cells);
}

/* Every set of TCP flags is of the kind that its words say. */
static void test_kinds(void)
{
	struct moat_headers h = headers_of(1, 2, 6);

	for (unsigned int flags = 0; flags < 256; flags++) {
		bool syn = flags & MOAT_TCP_SYN, ack = flags & MOAT_TCP_ACK,
		     fin = flags & MOAT_TCP_FIN, rst = flags & MOAT_TCP_RST;
		enum moat_cell_kind kind = MOAT_CELL_TCP_OTHER;

		if (syn + fin + rst == 0 && ack)
			kind = MOAT_CELL_TCP_ACK;
		else if (syn + fin + rst == 1 && syn)
			kind = ack ? MOAT_CELL_TCP_SYNACK : MOAT_CELL_TCP_SYN;
		else if (syn + fin + rst == 1 && rst)
			kind = MOAT_CELL_TCP_RST;
		else if (syn + fin + rst == 1 && ack)
			kind = MOAT_CELL_TCP_FIN;
		h.tcp_flags = (uint8_t)flags;
		CU_ASSERT_EQUAL(moat_cell_kind(&h), kind);
	}
	h.fragment = MOAT_FRAGMENT_LATER;
	CU_ASSERT_EQUAL(moat_cell_kind(&h), MOAT_CELL_OTHER);
	h.proto = 58;
	CU_ASSERT_EQUAL(moat_cell_kind(&h), MOAT_CELL_OTHER);
	h.fragment = MOAT_FRAGMENT_FIRST;
	CU_ASSERT_EQUAL(moat_cell_kind(&h), MOAT_CELL_ICMP);
	h.proto = 17;
	CU_ASSERT_EQUAL(moat_cell_kind(&h), MOAT_CELL_UDP);
}

/* A word that carries and wraps still tells what was added. */
static void test_wrap(void)
{
	struct moat_headers h = headers_of(1, 2, 17);
	struct moat_cell cell = { .kinds[MOAT_CELL_UDP] = UINT64_MAX - 100 };
	struct moat_cell before = cell;
	struct moat_cell_gain gain;
	uint64_t gained;

	h.l3_len = 65535;
	moat_cell_gain_of(&gain, &h, 1, 0);
	for (int i = 0; i < 100000; i++)
		moat_cell_count(&cell, &gain, 0);
	gained = cell.kinds[MOAT_CELL_UDP] - before.kinds[MOAT_CELL_UDP];
	CU_ASSERT_EQUAL(moat_cell_packets(gained), 100000);
	CU_ASSERT_EQUAL(moat_cell_bytes(gained), 100000ULL * 65535);
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

static uint64_t packets_of(const struct moat_cell *cell)
{
	return moat_cell_packets(moat_cell_sum(cell));
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
		packets += packets_of(&cells.to[i]);
	CU_ASSERT_EQUAL(cells.head->packets, 200);
	CU_ASSERT_EQUAL(packets + cells.head->to.unaccounted, 200);
	CU_ASSERT_TRUE(packets >= 12 && packets <= 16);
	CU_ASSERT_EQUAL(cells.head->to.takeovers, 0);
	CU_ASSERT_EQUAL(cells.head->from.unaccounted, 0);

	/* hosts that were silent long enough give way, with their counters cleared and the epoch even */
	for (uint32_t i = 0; i < 200; i++) {
		h = headers_of(7, 5000 + i, 17);
		moat_cells_count(&cells, &h, 50 + MOAT_CELL_IDLE, false);
	}
	CU_ASSERT_TRUE(cells.head->to.takeovers >= 12);
	for (uint32_t i = 0; i <= cells.mask; i++) {
		CU_ASSERT_EQUAL(cells.to[i].epoch & 1, 0);
		CU_ASSERT_TRUE(packets_of(&cells.to[i]) <= 1);
	}
	CU_ASSERT_EQUAL(cells.head->packets, 400);
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
	struct moat_cell_gain gains[2];

	hosts[0].l3_len = 101;
	hosts[1].l3_len = 103;
	for (int i = 0; i < 2; i++)
		moat_cell_gain_of(&gains[i], &hosts[i], 7, 0);
	for (int i = 0; !atomic_load(&stop); i++) {
		moat_cell_take(&shared, &hosts[i & 1].src);
		for (int n = 0; n < PACKETS_EACH; n++)
			moat_cell_count(&shared, &gains[i & 1], 0);
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
		mixed += moat_cell_bytes(moat_cell_sum(&copy)) % length != 0 ||
			 packets_of(&copy) > PACKETS_EACH;
	}
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	CU_ASSERT_EQUAL(mixed, 0);
}

/* Every mark is found where it first stands, with any others beside it, and no other is. */
static void test_marks(void)
{
	for (uint64_t round = 0; round < 100000; round++) {
		uint64_t hash = moat_addr_hash_end(round, 1), word = hash << 56, wanted, found;
		uint64_t marks[MOAT_CELL_WAYS], expected = MOAT_CELL_WAYS;

		for (uint64_t way = 0; way < MOAT_CELL_WAYS; way++) {
			/* few values, so that some are alike and some next to each other */
			marks[way] = hash >> (way * 3) & 7;
			if (marks[way] == 7)
				marks[way] = 1 << 13;
			word = moat_cell_set_give(word, way, marks[way]);
		}
		wanted = hash >> 20 & 7;
		for (uint64_t way = MOAT_CELL_WAYS; way-- > 0;)
			expected = marks[way] == wanted ? way : expected;
		found = moat_cell_marks_find(word, wanted);
		CU_ASSERT_EQUAL(found ? moat_cell_way(found) : MOAT_CELL_WAYS, expected);
		CU_ASSERT_EQUAL(word >> MOAT_CELL_MARKS_BITS, hash & 0xff);
	}
	CU_ASSERT_EQUAL(moat_cell_mark(0), 1);
	CU_ASSERT_EQUAL(moat_cell_mark(UINT64_MAX), 1 << 13);
}

/* Full is what was looked through in this window and has nothing free. */
static void test_sets(void)
{
	uint64_t word = moat_cell_set_note(0, 0x1234);

	for (uint64_t way = 0; way < MOAT_CELL_WAYS; way++) {
		CU_ASSERT(!moat_cell_set_is_full(word, 0x1234));
		word = moat_cell_set_give(word, way, 1 + way);
	}
	CU_ASSERT(moat_cell_set_is_full(word, 0x1234));
	CU_ASSERT(!moat_cell_set_is_full(word, 0x1235));
	CU_ASSERT(moat_cell_set_is_full(moat_cell_set_note(word, 0x1235), 0x1235));
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "bounds", test_bounds },     { "count", test_count },
		{ "kinds", test_kinds },       { "wrap", test_wrap },
		{ "distinct", test_distinct }, { "full", test_full },
		{ "reader", test_reader },     { "marks", test_marks },
		{ "sets", test_sets },         { NULL, NULL },
	};

	return moat_test_main("cells", tests);
}
