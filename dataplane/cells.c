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
	return sizeof(struct moat_cell_head) + 2 * (size_t)count * sizeof(struct moat_cell);
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
	return 0;
}

void moat_cells_deinit(struct moat_cells *cells)
{
	if (cells->head)
		munmap(cells->head, tables_size(cells->mask + 1));
	memset(cells, 0, sizeof(*cells));
}

/* The cell of a host: its own, or an idle one taken over; NULL if both that it may have are in use. */
static inline struct moat_cell *table_find(const struct moat_cells *cells,
					   struct moat_cell_misses *misses, struct moat_cell *table,
					   const struct moat_addr *addr, uint64_t hash,
					   uint32_t window)
{
	struct moat_cell *first = moat_cells_first(cells, table, hash);
	struct moat_cell *second = moat_cells_second(cells, table, hash);
	struct moat_cell *idle;

	if (moat_addr_equal(&first->addr, addr))
		return first;
	if (moat_addr_equal(&second->addr, addr))
		return second;
	if (moat_cell_is_idle(first, window))
		idle = first;
	else if (moat_cell_is_idle(second, window))
		idle = second;
	else
		return NULL;
	if (idle->epoch)
		misses->takeovers++;
	moat_cell_take(idle, addr);
	return idle;
}

static void table_count(struct moat_cell_misses *misses, struct moat_cell *cell,
			const struct moat_cell_gain *gain, uint64_t distinct)
{
	if (cell)
		moat_cell_count(cell, gain, distinct);
	else
		misses->unaccounted++;
}

/* Mixes a port into an address's hash, to count (destination, port) pairs as distinct. */
static inline uint64_t pair_hash(uint64_t addr_hash, uint16_t port)
{
	uint64_t h = (addr_hash ^ port) * 0xff51afd7ed558ccdULL;

	return h ^ (h >> 32);
}

static inline void count_both(struct moat_cells *cells, const struct moat_headers *headers,
			      const struct moat_cells_hash *hash, const struct moat_cell_gain *gain)
{
	struct moat_cell_head *head = cells->head;
	struct moat_cell *to, *from;

	head->packets++;
	to = table_find(cells, &head->to, cells->to, &headers->dst, hash->dst, gain->window);
	table_count(&head->to, to, gain, hash->src);
	from = table_find(cells, &head->from, cells->from, &headers->src, hash->src, gain->window);
	table_count(&head->from, from, gain, pair_hash(hash->dst, headers->dport));
}

void moat_cells_count_hashed(struct moat_cells *cells, const struct moat_headers *headers,
			     const struct moat_cells_hash *hash, uint32_t window, bool dropped)
{
	struct moat_cell_gain gain;

	moat_cell_gain_of(&gain, headers, window, dropped);
	count_both(cells, headers, hash, &gain);
}

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
	count_both(cells, headers, &hash, &gain);
}

void moat_cells_count(struct moat_cells *cells, const struct moat_headers *headers, uint32_t window,
		      bool dropped)
{
	struct moat_cells_hash hash;

	moat_cells_hash(cells, headers, &hash);
	moat_cells_count_hashed(cells, headers, &hash, window, dropped);
}
