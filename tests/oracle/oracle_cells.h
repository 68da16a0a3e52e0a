/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The oracle's window counters: what one judge's two tables of moat/cell.h must hold. */
#ifndef MOAT_TESTS_ORACLE_CELLS_H
#define MOAT_TESTS_ORACLE_CELLS_H

#include <stdbool.h>
#include <stdint.h>

#include "moat/cell.h"

struct oracle_cell {
	uint8_t addr[16]; /* all zero: free */
	bool taken;       /* some host had it */
	uint32_t windows[2];
	uint32_t fragments, dropped, small;
	uint64_t packets[MOAT_CELL_KINDS], bytes[MOAT_CELL_KINDS];
	uint64_t bits[2][MOAT_DISTINCT_WORDS]; /* as they were seen last */
};

struct oracle_table {
	struct oracle_cell *cells;
	uint8_t *searched; /* by sets of four: the lowest byte of the window of the last vain search */
	uint64_t unaccounted, takeovers;
};

/* Tables of sets of four neighbours, told apart by 13 bits of the hash. */
struct oracle_cells {
	uint32_t count; /* a table */
	uint64_t seed, packets;
	struct oracle_table to, from;
};

void oracle_cells_init(struct oracle_cells *cells, uint32_t count, uint64_t seed);
void oracle_cells_deinit(struct oracle_cells *cells);

/* Counts one packet and compares what the judge's tables then hold of its hosts. NULL, or what differs. */
const char *oracle_cells_check(struct oracle_cells *cells, const struct moat_headers *headers,
			       uint32_t window, bool dropped, const struct moat_cell_head *head);

#endif
