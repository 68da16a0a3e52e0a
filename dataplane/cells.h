/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A worker's window counters: the tables of moat/cell.h in user space. One writer; readers as of the
 * gate's mapped tables. */
#ifndef MOAT_DATAPLANE_CELLS_H
#define MOAT_DATAPLANE_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/prefetch.h"
#include "moat/cell.h"

/* The sets of cells and the words that say whose they are: as in the gate's tables. */
struct moat_cells {
	struct moat_cell_head *head;
	struct moat_cell *to;   /* by destination address */
	struct moat_cell *from; /* by source address */
	uint64_t *to_sets;      /* a word a set of MOAT_CELL_WAYS cells */
	uint64_t *from_sets;
	uint32_t mask;     /* cells a table - 1 */
	uint32_t set_mask; /* sets a table - 1 */
	uint64_t hash_seed;
};

/* `count` cells a table, rounded up to a power of two (16 to 2^22). 0, -EINVAL, -ENOMEM. */
int moat_cells_init(struct moat_cells *cells, uint32_t count, uint64_t hash_seed);
void moat_cells_deinit(struct moat_cells *cells);

/* Counts one IP packet under its destination and its source. `window` is now_ms >> 7. */
void moat_cells_count(struct moat_cells *cells, const struct moat_headers *headers, uint32_t window,
		      bool dropped);

/* The same in steps, so that a burst's memory can be on its way before it is needed: the hashes of a packet's
 * addresses, a prefetch of the words of their sets, a look at these and a prefetch of the cells that they
 * name, the counting. */
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

MOAT_INLINE void moat_cells_prefetch(const struct moat_cells *cells,
				     const struct moat_cells_hash *hash)
{
	moat_prefetch(&cells->to_sets[hash->dst & cells->set_mask]);
	moat_prefetch(&cells->from_sets[hash->src & cells->set_mask]);
}

/* Where the cells of a packet's hosts may be: places in the two tables. */
struct moat_cells_place {
	uint32_t to, from;
};
#define MOAT_CELLS_NO_PLACE UINT32_MAX

MOAT_INLINE uint32_t moat_cells_seek_in(const struct moat_cells *cells,
					const struct moat_cell *table, const uint64_t *sets,
					uint64_t hash)
{
	uint32_t set = (uint32_t)hash & cells->set_mask, place;
	uint64_t found = moat_cell_marks_find(sets[set], moat_cell_mark(hash));

	if (!found)
		return MOAT_CELLS_NO_PLACE;
	place = set * MOAT_CELL_WAYS + (uint32_t)moat_cell_way(found);
	moat_prefetch(&table[place]);
	moat_prefetch(table[place].distinct);
	return place;
}

MOAT_INLINE struct moat_cells_place moat_cells_seek(const struct moat_cells *cells,
						    const struct moat_cells_hash *hash)
{
	return (struct moat_cells_place){
		.to = moat_cells_seek_in(cells, cells->to, cells->to_sets, hash->dst),
		.from = moat_cells_seek_in(cells, cells->from, cells->from_sets, hash->src),
	};
}

/* `place` is of an earlier moat_cells_seek; cells may have changed hands since. */
void moat_cells_count_at(struct moat_cells *cells, const struct moat_headers *headers,
			 const struct moat_cells_hash *hash, struct moat_cells_place place,
			 uint32_t window, bool dropped);

/* Counts many packets of one kind at once: those of a flow that an exporter told of. l3_len is their mean length;
 * at most 2^27 packets and 2^35 bytes, more are cut. */
void moat_cells_add(struct moat_cells *cells, const struct moat_headers *headers, uint64_t packets,
		    uint64_t bytes, uint32_t window);

#endif
