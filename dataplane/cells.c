/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Window counters of one worker. The tables are page-aligned and zero-filled by the kernel, so that what
 * is never touched costs no memory. */
#include "dataplane/cells.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define CELLS_MIN 16u
#define CELLS_MAX (1u << 22)

static size_t tables_size(uint32_t count)
{
	return sizeof(struct moat_cell_head) + 2 * (size_t)count * sizeof(struct moat_cell) +
	       2 * (size_t)(count / MOAT_CELL_WAYS) * sizeof(uint64_t);
}

int moat_cells_init(struct moat_cells *cells, uint32_t count, uint64_t hash_seed)
{
	uint32_t size = CELLS_MIN;
	void *memory;

	if (count > CELLS_MAX)
		return -EINVAL;
	while (size < count)
		size <<= 1;
	memory = mmap(NULL, tables_size(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	/* cells are reached at random: a huge page saves a TLB miss each; refusal costs nothing */
	madvise(memory, tables_size(size), MADV_HUGEPAGE);
	*cells = (struct moat_cells){ .head = memory, .mask = size - 1, .hash_seed = hash_seed };
	cells->to = (struct moat_cell *)(cells->head + 1);
	cells->from = cells->to + size;
	cells->set_mask = size / MOAT_CELL_WAYS - 1;
	cells->to_sets = (uint64_t *)(cells->from + size);
	cells->from_sets = cells->to_sets + size / MOAT_CELL_WAYS;
	return 0;
}

void moat_cells_deinit(struct moat_cells *cells)
{
	if (cells->head)
		munmap(cells->head, tables_size(cells->mask + 1));
	memset(cells, 0, sizeof(*cells));
}

/* One of the two tables. */
struct table {
	struct moat_cell *cells;
	uint64_t *sets;
	struct moat_cell_misses *misses;
};

/* The first idle cell of a set that has no free one; notes a search in vain, which isn't done twice in a
 * window. */
static struct moat_cell *find_idle(uint64_t *word, struct moat_cell *set, uint32_t window)
{
	if (moat_cell_set_is_full(*word, window))
		return NULL;
	for (uint32_t i = 0; i < MOAT_CELL_WAYS; i++) {
		if (moat_cell_is_idle(&set[i], window))
			return &set[i];
	}
	*word = moat_cell_set_note(*word, window);
	return NULL;
}

/* The cell of a host: its own, or a free or idle one taken over; NULL if there is none for it. As
 * bpf/gate/cells.h. */
static struct moat_cell *table_find(const struct moat_cells *cells, const struct table *table,
				    const struct moat_addr *addr, uint64_t hash, uint32_t window)
{
	uint32_t index = (uint32_t)hash & cells->set_mask;
	struct moat_cell *set = &table->cells[index * MOAT_CELL_WAYS], *cell;
	uint64_t mark = moat_cell_mark(hash), *word = &table->sets[index];
	uint64_t found = moat_cell_marks_find(*word, mark), vacant;

	if (found) {
		cell = &set[moat_cell_way(found)];
		if (moat_addr_equal(&cell->addr, addr))
			return cell;
		/* another host has the mark */
		if (!moat_cell_is_idle(cell, window))
			return NULL;
	} else {
		vacant = moat_cell_marks_find(*word, 0);
		cell = vacant ? &set[moat_cell_way(vacant)] : find_idle(word, set, window);
		if (!cell)
			return NULL;
	}
	if (cell->epoch)
		table->misses->takeovers++;
	moat_cell_take(cell, addr);
	*word = moat_cell_set_give(*word, (uint64_t)(cell - set), mark);
	return cell;
}

static inline void table_count(const struct moat_cells *cells, const struct table *table,
			       const struct moat_addr *addr, uint64_t hash, uint32_t place,
			       const struct moat_cell_gain *gain, uint64_t distinct)
{
	struct moat_cell *cell;

	if (place != MOAT_CELLS_NO_PLACE && moat_addr_equal(&table->cells[place].addr, addr))
		cell = &table->cells[place];
	else
		cell = table_find(cells, table, addr, hash, gain->window);
	if (cell)
		moat_cell_count(cell, gain, distinct);
	else
		table->misses->unaccounted++;
}

/* Mixes a port into an address's hash, to count (destination, port) pairs as distinct. */
static inline uint64_t pair_hash(uint64_t addr_hash, uint16_t port)
{
	uint64_t h = (addr_hash ^ port) * 0xff51afd7ed558ccdULL;

	return h ^ (h >> 32);
}

static inline void count_both(struct moat_cells *cells, const struct moat_headers *headers,
			      const struct moat_cells_hash *hash, struct moat_cells_place place,
			      const struct moat_cell_gain *gain)
{
	struct moat_cell_head *head = cells->head;
	const struct table to = { cells->to, cells->to_sets, &head->to };
	const struct table from = { cells->from, cells->from_sets, &head->from };

	head->packets++;
	table_count(cells, &to, &headers->dst, hash->dst, place.to, gain, hash->src);
	table_count(cells, &from, &headers->src, hash->src, place.from, gain,
		    pair_hash(hash->dst, headers->dport));
}

void moat_cells_count_at(struct moat_cells *cells, const struct moat_headers *headers,
			 const struct moat_cells_hash *hash, struct moat_cells_place place,
			 uint32_t window, bool dropped)
{
	struct moat_cell_gain gain;

	moat_cell_gain_of(&gain, headers, window, dropped);
	count_both(cells, headers, hash, place, &gain);
}

static const struct moat_cells_place nowhere = { MOAT_CELLS_NO_PLACE, MOAT_CELLS_NO_PLACE };

void moat_cells_add(struct moat_cells *cells, const struct moat_headers *headers, uint64_t packets,
		    uint64_t bytes, uint32_t window)
{
	struct moat_cell_gain gain;
	struct moat_cells_hash hash;

	if (packets >> 27)
		packets = 1u << 27;
	if (bytes >> 35)
		bytes = 1ULL << 35;
	moat_cells_hash(cells, headers, &hash);
	moat_cell_gain_of(&gain, headers, window, false);
	gain.amount = packets << MOAT_CELL_BYTES_BITS | bytes;
	gain.marks *= packets;
	gain.fragments *= (uint32_t)packets;
	count_both(cells, headers, &hash, nowhere, &gain);
}

void moat_cells_count(struct moat_cells *cells, const struct moat_headers *headers, uint32_t window,
		      bool dropped)
{
	struct moat_cells_hash hash;

	moat_cells_hash(cells, headers, &hash);
	moat_cells_count_at(cells, headers, &hash, nowhere, window, dropped);
}
