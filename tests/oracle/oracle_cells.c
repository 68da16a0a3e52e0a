/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See oracle_cells.h. Only the hash that picks cells is the product's, by its declared formula. */
#include "tests/oracle/oracle_cells.h"

#include <stdlib.h>
#include <string.h>

#include "tests/oracle/oracle_priv.h"

void oracle_cells_init(struct oracle_cells *cells, uint32_t count, uint64_t seed)
{
	*cells = (struct oracle_cells){ .count = count, .seed = seed };
	cells->to.cells = calloc(count, sizeof(struct oracle_cell));
	cells->from.cells = calloc(count, sizeof(struct oracle_cell));
	cells->to.searched = calloc(count / 4, 1);
	cells->from.searched = calloc(count / 4, 1);
	if (!cells->to.cells || !cells->from.cells || !cells->to.searched || !cells->from.searched)
		abort();
}

void oracle_cells_deinit(struct oracle_cells *cells)
{
	free(cells->to.cells);
	free(cells->from.cells);
	free(cells->to.searched);
	free(cells->from.searched);
}

static bool is_reflector(uint16_t port)
{
	static const uint16_t ports[] = { 17,  19,  53,   69,   111,  123,  137,  161,
					  389, 520, 1900, 3283, 3702, 5353, 11211 };

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (ports[i] == port)
			return true;
	}
	return false;
}

static enum moat_cell_kind tcp_kind(uint8_t flags)
{
	bool syn = flags & 2, ack = flags & 16, rst = flags & 4, fin = flags & 1;

	if (rst && !syn && !fin)
		return MOAT_CELL_TCP_RST;
	if (syn && !rst && !fin)
		return ack ? MOAT_CELL_TCP_SYNACK : MOAT_CELL_TCP_SYN;
	if (ack && !syn && !rst)
		return fin ? MOAT_CELL_TCP_FIN : MOAT_CELL_TCP_ACK;
	return MOAT_CELL_TCP_OTHER;
}

static enum moat_cell_kind kind_of(const struct moat_headers *h)
{
	if (h->fragment == MOAT_FRAGMENT_LATER)
		return h->proto == 17 ? MOAT_CELL_UDP : MOAT_CELL_OTHER;
	if (h->proto == 6)
		return tcp_kind(h->tcp_flags);
	if (h->proto == 17)
		return is_reflector(h->sport) ? MOAT_CELL_UDP_REFLECT : MOAT_CELL_UDP;
	return h->proto == 1 || h->proto == 58 ? MOAT_CELL_ICMP : MOAT_CELL_OTHER;
}

/* Free, or without packets in the last eight windows, this one among them. */
static bool is_idle(const struct oracle_cell *cell, uint32_t window)
{
	static const uint8_t none[16];
	uint32_t latest = window - cell->windows[0] < window - cell->windows[1] ? cell->windows[0]
										: cell->windows[1];

	return memcmp(cell->addr, none, sizeof(none)) == 0 || window - latest >= 8;
}

/* Gives a free or idle cell to a host. */
static struct oracle_cell *give(struct oracle_table *table, struct oracle_cell *cell,
				const struct moat_addr *addr)
{
	table->takeovers += cell->taken;
	memset(cell, 0, sizeof(*cell));
	memcpy(cell->addr, addr, 16);
	cell->taken = true;
	return cell;
}

/* The upper 13 bits of a host's hash: two of a set that agree in them can't both have cells. */
static uint32_t mark_of(const struct oracle_cells *cells, const void *addr)
{
	return (uint32_t)(oracle_hash(addr, cells->seed) >> 51);
}

/* One of a set's four. */
static struct oracle_cell *find_of_four(const struct oracle_cells *cells, struct oracle_table *table,
					struct oracle_cell *const *four, uint8_t *searched,
					const struct moat_addr *addr, uint32_t window)
{
	for (int i = 0; i < 4; i++) {
		if (!four[i]->taken || mark_of(cells, four[i]->addr) != mark_of(cells, addr))
			continue;
		if (memcmp(four[i]->addr, addr, 16) == 0)
			return four[i];
		return is_idle(four[i], window) ? give(table, four[i], addr) : NULL;
	}
	for (int i = 0; i < 4; i++) {
		if (!four[i]->taken)
			return give(table, four[i], addr);
	}
	/* searched in vain in this window, or one of the same number in its lowest byte */
	if (*searched == window % 256)
		return NULL;
	for (int i = 0; i < 4; i++) {
		if (is_idle(four[i], window))
			return give(table, four[i], addr);
	}
	*searched = (uint8_t)(window % 256);
	return NULL;
}

static void count(struct oracle_cell *cell, const struct moat_headers *h, uint32_t window,
		  bool dropped)
{
	cell->packets[kind_of(h)]++;
	cell->bytes[kind_of(h)] += h->l3_len;
	cell->dropped += dropped;
	cell->small += h->l3_len <= 64;
	cell->fragments += h->fragment != MOAT_FRAGMENT_NONE;
	if (cell->windows[window % 2] != window) {
		cell->windows[window % 2] = window;
		memset(cell->bits[window % 2], 0, sizeof(cell->bits[0]));
	}
}

/* Bits only come, one at a time, and the window that counted has one. */
static bool bits_agree(struct oracle_cell *expected, const struct moat_cell *cell, uint32_t window)
{
	int came = 0, there = 0;

	for (int i = 0; i < MOAT_DISTINCT_WORDS; i++) {
		uint64_t old = expected->bits[window % 2][i], new = cell->distinct[window % 2][i];

		if (old & ~new)
			return false;
		came += __builtin_popcountll(new & ~old);
		there += __builtin_popcountll(new);
		expected->bits[window % 2][i] = new;
	}
	return came <= 1 && there >= 1;
}

static const char *compare(const struct oracle_cell *expected, const struct moat_cell *cell)
{
	if (memcmp(expected->addr, &cell->addr, 16) != 0)
		return "a cell's address";
	for (int kind = 0; kind < MOAT_CELL_KINDS; kind++) {
		if (cell->kinds[kind] !=
		    (expected->packets[kind] << MOAT_CELL_BYTES_BITS) + expected->bytes[kind])
			return "a cell's packets or bytes of a kind";
	}
	if (cell->marks != ((uint64_t)expected->small << MOAT_CELL_SMALL_SHIFT) + expected->dropped)
		return "a cell's drops or small datagrams";
	if (cell->fragments != expected->fragments)
		return "a cell's fragments";
	if (cell->windows[0] != expected->windows[0] || cell->windows[1] != expected->windows[1])
		return "a cell's windows";
	return cell->epoch & 1 ? "a cell's epoch" : NULL;
}

static const char *check_table(const struct oracle_cells *cells, struct oracle_table *table,
			       const struct moat_addr *addr, const struct moat_headers *h,
			       uint32_t window, bool dropped, const struct moat_cell *actual,
			       const struct moat_cell_misses *misses)
{
	uint64_t hash = oracle_hash(addr, cells->seed);
	uint32_t set = (uint32_t)(hash % (cells->count / 4));
	struct oracle_cell *ways[4], *cell;
	const char *what = NULL;

	for (uint32_t i = 0; i < 4; i++)
		ways[i] = &table->cells[set * 4 + i];
	cell = find_of_four(cells, table, ways, &table->searched[set], addr, window);
	if (cell) {
		count(cell, h, window, dropped);
		if (!bits_agree(cell, &actual[cell - table->cells], window))
			return "a cell's bits of distinct peers";
	} else {
		table->unaccounted++;
	}
	for (int i = 0; !what && i < 4; i++)
		what = compare(ways[i], &actual[ways[i] - table->cells]);
	if (!what && misses->unaccounted != table->unaccounted)
		what = "packets without a cell";
	if (!what && misses->takeovers != table->takeovers)
		what = "takeovers";
	return what;
}

const char *oracle_cells_check(struct oracle_cells *cells, const struct moat_headers *headers,
			       uint32_t window, bool dropped, const struct moat_cell_head *head)
{
	const struct moat_cell *to = (const struct moat_cell *)(head + 1);
	const char *what = NULL;

	if (headers->family != MOAT_FAMILY_ANY) {
		cells->packets++;
		what = check_table(cells, &cells->to, &headers->dst, headers, window, dropped, to,
				   &head->to);
		if (!what)
			what = check_table(cells, &cells->from, &headers->src, headers, window,
					   dropped, to + cells->count, &head->from);
	}
	return !what && head->packets != cells->packets ? "packets of all cells" : what;
}
