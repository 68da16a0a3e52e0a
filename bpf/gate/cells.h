/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting in the window cells of this CPU. Most packets read the word of a set and either write the cell
 * that it names, or nothing; who has no cell and may get one is rare.
 */
#ifndef MOAT_GATE_CELLS_H
#define MOAT_GATE_CELLS_H

#include "gate/packet.h"
#include "lib/count.h"

/* The tables of a CPU. */
enum gate_table {
	GATE_TABLE_TO = 0,
	GATE_TABLE_FROM = 1,
};

/* The word of a set, and its cells. Offsets are sums of constants and of one masked hash, as the verifier
 * wants to see it. */
MOAT_INLINE __u64 *gate_cell_set(struct gate_cells *cpu_cells, __u32 table, __u64 hash)
{
	__u64 words = 2ULL * cells * sizeof(struct moat_cell);

	/* a product of two registers may be anything to verifiers before 6.10 */
	if (table == GATE_TABLE_FROM)
		words += (set_mask + 1ULL) * sizeof(__u64);
	asm volatile("" : "+r"(hash));
	return (void *)cpu_cells->cells + words + (hash & set_mask) * sizeof(__u64);
}

MOAT_INLINE struct moat_cell *gate_cell_at(struct gate_cells *cpu_cells, __u32 table, __u64 hash,
					   __u64 way)
{
	__u64 first = (hash & set_mask) * MOAT_CELL_WAYS;

	if (table == GATE_TABLE_FROM)
		first += cells;
	asm volatile("" : "+r"(first), "+r"(way));
	return &cpu_cells->cells[first + (way & (MOAT_CELL_WAYS - 1))];
}

#define GATE_CELL_NONE MOAT_CELL_WAYS

/* Looks for a cell that `addr` may have: the one that its mark names, else a free one or the first idle one,
 * and gives it to it. The way, or GATE_CELL_NONE. A global function with numbers for arguments, see
 * gate_judge_rest. `place`: the CPU, doubled, and the table. */
__attribute__((noinline)) int gate_cell_take(__u32 place, __u64 hash, __u64 upper, __u64 lower,
					     __u32 window)
{
	struct gate_cells *cpu_cells = moat_map_element(window_cells, place >> 1);
	struct moat_addr addr = { .quads = { upper, lower } };
	__u64 mark = moat_cell_mark(hash), marks, found, way = GATE_CELL_NONE;
	struct moat_cell_misses *misses;
	struct moat_cell *cell;
	__u64 *set;

	if (!cpu_cells)
		return GATE_CELL_NONE;
	misses = place & 1 ? &cpu_cells->head.from : &cpu_cells->head.to;
	set = gate_cell_set(cpu_cells, place & 1, hash);
	marks = *set;
	found = moat_cell_marks_find(marks, mark);
	if (!found)
		found = moat_cell_marks_find(marks, 0);
	if (found) {
		way = moat_cell_way(found);
		cell = gate_cell_at(cpu_cells, place & 1, hash, way);
		if (!moat_cell_is_idle(cell, window))
			return GATE_CELL_NONE;
	} else {
		for (__u64 i = 0; i < MOAT_CELL_WAYS && way == GATE_CELL_NONE; i++) {
			cell = gate_cell_at(cpu_cells, place & 1, hash, i);
			if (moat_cell_is_idle(cell, window))
				way = i;
		}
		if (way == GATE_CELL_NONE) {
			*set = moat_cell_set_note(marks, window);
			return GATE_CELL_NONE;
		}
		cell = gate_cell_at(cpu_cells, place & 1, hash, way);
	}
	if (cell->epoch) /* a free one forgets nothing */
		misses->takeovers++;
	moat_cell_take(cell, &addr);
	*set = moat_cell_set_give(marks, way, mark);
	return way;
}

/* The host's cell, if it has one or gets one. */
MOAT_INLINE struct moat_cell *gate_cell_of(struct gate_cells *cpu_cells, __u32 cpu, __u32 table,
					   __u64 hash, const struct moat_addr *addr, __u32 window)
{
	__u64 marks = *gate_cell_set(cpu_cells, table, hash);
	__u64 found = moat_cell_marks_find(marks, moat_cell_mark(hash));
	struct moat_cell *cell;
	__u64 way;

	if (found) {
		cell = gate_cell_at(cpu_cells, table, hash, moat_cell_way(found));
		if (moat_addr_equal(&cell->addr, addr))
			return cell;
	} else if (moat_cell_set_is_full(marks, window)) {
		return (void *)0;
	}
	way = gate_cell_take(cpu << 1 | table, hash, addr->quads[0], addr->quads[1], window);
	return way < MOAT_CELL_WAYS ? gate_cell_at(cpu_cells, table, hash, way) : (void *)0;
}

MOAT_INLINE void gate_cell_count(struct moat_cell *cell, struct moat_cell_misses *misses,
				 const struct moat_cell_gain *gain, __u64 distinct)
{
	if (cell)
		moat_cell_count(cell, gain, distinct);
	else
		misses->unaccounted++;
}

/* Every IP packet, judged or not, in the cells of both its ends. */
MOAT_INLINE void gate_count_cells(const struct moat_headers *h, __u32 cpu, __u32 window,
				  const volatile struct moat_gate_ctl *control, int drop,
				  __u32 *errors)
{
	struct gate_cells *own = moat_map_element(window_cells, cpu);
	__u64 src = control->hash_begun_v4, dst = src;
	struct moat_cell_gain gain;

	if (h->family == MOAT_FAMILY_ANY)
		return;
	if (!own) {
		++*errors;
		return;
	}
	if (h->family != MOAT_FAMILY_V4) {
		src = moat_addr_hash_begin(h->src.quads[0], control->hash_seed);
		dst = moat_addr_hash_begin(h->dst.quads[0], control->hash_seed);
	}
	src = moat_addr_hash_end(src, h->src.quads[1]);
	dst = moat_addr_hash_end(dst, h->dst.quads[1]);
	own->head.packets++;
	moat_cell_gain_of(&gain, h, window, drop);
	gate_cell_count(gate_cell_of(own, cpu, GATE_TABLE_TO, dst, &h->dst, window), &own->head.to,
			&gain, src >> 24);
	gate_cell_count(gate_cell_of(own, cpu, GATE_TABLE_FROM, src, &h->src, window),
			&own->head.from, &gain, moat_service_hash(dst, h->dport));
}

#endif
