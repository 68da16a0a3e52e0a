/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting in the window cells of this CPU. */
#ifndef MOAT_GATE_CELLS_H
#define MOAT_GATE_CELLS_H

#include "gate/packet.h"
#include "lib/count.h"

/* Every IP packet, judged or not, in the cells of both its ends. */
MOAT_INLINE void gate_count_cells(const struct moat_headers *h, __u32 cpu, __u32 window,
				  const volatile struct moat_gate_ctl *control, int drop,
				  __u32 *errors)
{
	struct gate_cells *table = moat_map_element(window_cells, cpu);
	__u64 src = control->hash_begun_v4, dst = src;
	struct moat_cell_gain gain;

	if (h->family == MOAT_FAMILY_ANY)
		return;
	if (!table) {
		++*errors;
		return;
	}
	if (h->family != MOAT_FAMILY_V4) {
		src = moat_addr_hash_begin(h->src.quads[0], control->hash_seed);
		dst = moat_addr_hash_begin(h->dst.quads[0], control->hash_seed);
	}
	src = moat_addr_hash_end(src, h->src.quads[1]);
	dst = moat_addr_hash_end(dst, h->dst.quads[1]);
	table->head.packets++;
	moat_cell_gain_of(&gain, h, window, drop);
	moat_count_cell(&table->head.to, &table->cells[dst & cell_pairs], &h->dst, &gain, src >> 24);
	moat_count_cell(&table->head.from, &table->cells[cells + (src & cell_pairs)], &h->src,
			&gain, moat_service_hash(dst, h->dport));
}

#endif
