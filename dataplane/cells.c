/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Window counters of one worker. The tables are page-aligned and zero-filled by the kernel, so that what
 * is never touched costs no memory. */
#include "dataplane/cells.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define CELLS_MIN 16u
#define CELLS_MAX (1u << 22)

static size_t table_size(uint32_t count)
{
	return sizeof(struct moat_cell_head) + (size_t)count * sizeof(struct moat_cell);
}

static struct moat_cell_head *table_map(uint32_t count)
{
	void *memory = mmap(NULL, table_size(count), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	/* cells are reached at random: a huge page saves a TLB miss each; refusal costs nothing */
	madvise(memory, table_size(count), MADV_HUGEPAGE);
	return memory;
}

int moat_cells_init(struct moat_cells *cells, uint32_t count, uint64_t hash_seed)
{
	uint32_t size = CELLS_MIN;
	struct moat_cells made = { .hash_seed = hash_seed };

	if (count > CELLS_MAX)
		return -EINVAL;
	while (size < count)
		size <<= 1;
	made.mask = size - 1;
	made.to_head = table_map(size);
	made.from_head = table_map(size);
	if (!made.to_head || !made.from_head) {
		moat_cells_deinit(&made);
		return -ENOMEM;
	}
	made.to = (struct moat_cell *)(made.to_head + 1);
	made.from = (struct moat_cell *)(made.from_head + 1);
	*cells = made;
	return 0;
}

void moat_cells_deinit(struct moat_cells *cells)
{
	if (cells->to_head)
		munmap(cells->to_head, table_size(cells->mask + 1));
	if (cells->from_head)
		munmap(cells->from_head, table_size(cells->mask + 1));
	memset(cells, 0, sizeof(*cells));
}

/* The cell of a host: its own, or an idle one taken over; NULL if both that it may have are in use. */
static struct moat_cell *table_find(struct moat_cell_head *head, struct moat_cell *table,
				    uint32_t mask, const struct moat_addr *addr, uint64_t hash,
				    uint32_t window)
{
	struct moat_cell *first = &table[hash & mask];
	struct moat_cell *second = &table[(hash >> 32) & mask];
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
		head->takeovers++;
	moat_cell_take(idle, addr);
	return idle;
}

static void table_count(struct moat_cell_head *head, struct moat_cell *cell,
			const struct moat_headers *headers, uint32_t window, bool dropped,
			uint64_t distinct)
{
	if (!cell) {
		head->unaccounted++;
		return;
	}
	moat_cell_count(cell, headers, window, dropped, distinct);
	head->accounted++;
}

/* Mixes a port into an address's hash, to count (destination, port) pairs as distinct. */
static inline uint64_t pair_hash(uint64_t addr_hash, uint16_t port)
{
	uint64_t h = (addr_hash ^ port) * 0xff51afd7ed558ccdULL;

	return h ^ (h >> 32);
}

void moat_cells_hash(const struct moat_cells *cells, const struct moat_headers *headers,
		     struct moat_cells_hash *ret_hash)
{
	ret_hash->src = moat_addr_hash(&headers->src, cells->hash_seed);
	ret_hash->dst = moat_addr_hash(&headers->dst, cells->hash_seed);
}

/* A packet touches the first line and, by its protocol and the window's parity, one or both others. */
static inline void cell_prefetch(const struct moat_cell *cell)
{
	__builtin_prefetch(cell, 1);
	__builtin_prefetch((const uint8_t *)cell + 64, 1);
	__builtin_prefetch((const uint8_t *)cell + 128, 1);
}

void moat_cells_prefetch(const struct moat_cells *cells, const struct moat_cells_hash *hash)
{
	cell_prefetch(&cells->to[hash->dst & cells->mask]);
	cell_prefetch(&cells->from[hash->src & cells->mask]);
}

void moat_cells_count_hashed(struct moat_cells *cells, const struct moat_headers *headers,
			     const struct moat_cells_hash *hash, uint32_t window, bool dropped)
{
	struct moat_cell *to, *from;

	to = table_find(cells->to_head, cells->to, cells->mask, &headers->dst, hash->dst, window);
	table_count(cells->to_head, to, headers, window, dropped, hash->src);
	from = table_find(cells->from_head, cells->from, cells->mask, &headers->src, hash->src,
			  window);
	table_count(cells->from_head, from, headers, window, dropped,
		    pair_hash(hash->dst, headers->dport));
}

void moat_cells_count(struct moat_cells *cells, const struct moat_headers *headers, uint32_t window,
		      bool dropped)
{
	struct moat_cells_hash hash;

	moat_cells_hash(cells, headers, &hash);
	moat_cells_count_hashed(cells, headers, &hash, window, dropped);
}
