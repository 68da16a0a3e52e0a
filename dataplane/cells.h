/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A worker's window counters: the tables of moat/cell.h in user space. One writer; readers as of the
 * gate's mapped tables. */
#ifndef MOAT_DATAPLANE_CELLS_H
#define MOAT_DATAPLANE_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/cell.h"

struct moat_cells {
	struct moat_cell_head *head;
	struct moat_cell *to;   /* by destination address */
	struct moat_cell *from; /* by source address */
	uint32_t mask;          /* cells a table - 1 */
	uint64_t hash_seed;
};

/* `count` cells a table, rounded up to a power of two (16 to 2^22). 0, -EINVAL, -ENOMEM. */
int moat_cells_init(struct moat_cells *cells, uint32_t count, uint64_t hash_seed);
void moat_cells_deinit(struct moat_cells *cells);

/* Counts one IP packet under its destination and its source. `window` is now_ms >> 7. */
void moat_cells_count(struct moat_cells *cells, const struct moat_headers *headers, uint32_t window,
		      bool dropped);

/* The same in steps, so that a burst's memory can be on its way before it is needed: the hashes of a
 * packet's addresses, a prefetch of the cells they lead to, the counting. */
struct moat_cells_hash {
	uint64_t src;
	uint64_t dst;
};
static inline void moat_cells_hash(const struct moat_cells *cells,
				   const struct moat_headers *headers,
				   struct moat_cells_hash *ret_hash)
{
	ret_hash->src = moat_addr_hash(&headers->src, cells->hash_seed);
	ret_hash->dst = moat_addr_hash(&headers->dst, cells->hash_seed);
}

/* The two cells that a host may have. */
MOAT_INLINE struct moat_cell *moat_cells_first(const struct moat_cells *cells,
					       struct moat_cell *table, uint64_t hash)
{
	return &table[hash & cells->mask];
}

MOAT_INLINE struct moat_cell *moat_cells_second(const struct moat_cells *cells,
						struct moat_cell *table, uint64_t hash)
{
	return &table[(hash >> 32) & cells->mask];
}

/* First the line by which a cell is known; then, when that has come, the one with the bitmaps or, if the
 * cell is another host's, the other cell that the host may have. */
MOAT_INLINE void moat_cells_prefetch(const struct moat_cells *cells,
				     const struct moat_cells_hash *hash)
{
	__builtin_prefetch(moat_cells_first(cells, cells->to, hash->dst), 1);
	__builtin_prefetch(moat_cells_first(cells, cells->from, hash->src), 1);
}

MOAT_INLINE void moat_cells_prefetch_rest_of(const struct moat_cells *cells, struct moat_cell *table,
					     const struct moat_addr *addr, uint64_t hash)
{
	const struct moat_cell *cell = moat_cells_first(cells, table, hash);

	if (!moat_addr_equal(&cell->addr, addr)) {
		cell = moat_cells_second(cells, table, hash);
		__builtin_prefetch(cell, 1);
	}
	__builtin_prefetch((const uint8_t *)cell + offsetof(struct moat_cell, distinct), 1);
}

MOAT_INLINE void moat_cells_prefetch_rest(const struct moat_cells *cells,
					  const struct moat_headers *headers,
					  const struct moat_cells_hash *hash)
{
	moat_cells_prefetch_rest_of(cells, cells->to, &headers->dst, hash->dst);
	moat_cells_prefetch_rest_of(cells, cells->from, &headers->src, hash->src);
}

void moat_cells_count_hashed(struct moat_cells *cells, const struct moat_headers *headers,
			     const struct moat_cells_hash *hash, uint32_t window, bool dropped);

/* Counts many packets of one kind at once: those of a flow that an exporter told of. l3_len is their mean length;
 * at most 2^27 packets and 2^35 bytes, more are cut. */
void moat_cells_add(struct moat_cells *cells, const struct moat_headers *headers, uint64_t packets,
		    uint64_t bytes, uint32_t window);

#endif
