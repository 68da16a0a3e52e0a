/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For every cell its values at the last look; what was gained since is summed by address and sorted. */
#include "ctl/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/clock.h"

#define LOOK_NS (200 * MOAT_NS_PER_MS)

struct look {
	uint32_t epoch;
	uint64_t marks;
	uint64_t kinds[MOAT_CELL_KINDS];
};

struct table {
	const struct moat_cell *cells;
	uint32_t count;
	struct look *looks;
};

struct side {
	struct table *tables;
	size_t table_count;
	struct moat_top_host *gains; /* room for every cell of the side */
	size_t gain_count;
	struct moat_top_host hosts[MOAT_TOP_HOSTS_MAX];
	size_t host_count;
};

struct moat_top {
	struct side sides[2]; /* from, to */
	uint64_t look_ns, interval_ns;
};

static int side_add(struct side *side, const struct moat_cell *cells, uint32_t count)
{
	struct table *grown = reallocarray(side->tables, side->table_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	side->tables = grown;
	grown[side->table_count] = (struct table){ .cells = cells, .count = count };
	grown[side->table_count].looks = calloc(count, sizeof(struct look));
	if (!grown[side->table_count].looks)
		return -ENOMEM;
	side->table_count++;
	return 0;
}

static int side_finish(struct side *side)
{
	size_t cells = 1;

	for (size_t i = 0; i < side->table_count; i++)
		cells += side->tables[i].count;
	side->gains = calloc(cells, sizeof(*side->gains));
	return side->gains ? 0 : -ENOMEM;
}

int moat_top_new(const struct moat_gate *gate, bool has_gateway, const struct moat_wire *wire,
		 struct moat_top **ret_top)
{
	struct moat_top *top = calloc(1, sizeof(*top));
	int r = top ? 0 : -ENOMEM;

	for (uint32_t cpu = 0; r == 0 && has_gateway && cpu < moat_gate_cpus(gate); cpu++) {
		struct moat_gate_cells cells;

		moat_gate_cells(gate, cpu, &cells);
		r = side_add(&top->sides[0], cells.from, cells.count);
		if (r == 0)
			r = side_add(&top->sides[1], cells.to, cells.count);
	}
	for (size_t i = 0; r == 0 && i < wire->worker_count; i++) {
		const struct moat_cells *cells = moat_worker_cells(wire->workers[i]);

		r = side_add(&top->sides[0], cells->from, cells->mask + 1);
		if (r == 0)
			r = side_add(&top->sides[1], cells->to, cells->mask + 1);
	}
	for (int i = 0; r == 0 && i < 2; i++)
		r = side_finish(&top->sides[i]);
	if (r < 0) {
		moat_top_free(top);
		return r;
	}
	*ret_top = top;
	return 0;
}

void moat_top_free(struct moat_top *top)
{
	if (!top)
		return;
	for (int s = 0; s < 2; s++) {
		for (size_t i = 0; i < top->sides[s].table_count; i++)
			free(top->sides[s].tables[i].looks);
		free(top->sides[s].tables);
		free(top->sides[s].gains);
	}
	free(top);
}

/* What one cell gained; a cell that was taken over meanwhile began at 0. */
static void gain_of(struct side *side, const struct moat_cell *cell, struct look *before,
		    double seconds)
{
	uint32_t epoch = __atomic_load_n(&cell->epoch, __ATOMIC_ACQUIRE);
	uint64_t packets[MOAT_CELL_KINDS], all = 0, bytes = 0;
	struct moat_cell now;

	if (epoch & 1)
		return;
	now = *(const volatile struct moat_cell *)cell;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&cell->epoch, __ATOMIC_RELAXED) != epoch)
		return;
	if (before->epoch != epoch)
		*before = (struct look){ .epoch = epoch };
	for (int kind = 0; kind < MOAT_CELL_KINDS; kind++) {
		uint64_t difference = now.kinds[kind] - before->kinds[kind];

		packets[kind] = moat_cell_packets(difference);
		all += packets[kind];
		bytes += moat_cell_bytes(difference);
	}
	if (all > 0 && seconds > 0)
		side->gains[side->gain_count++] = (struct moat_top_host){
			.addr = now.addr,
			.pps = (double)all / seconds,
			.mbps = (double)bytes * 8e-6 / seconds,
			.dropped = (double)(uint32_t)(now.marks - before->marks) / seconds,
			.syn = (double)packets[MOAT_CELL_TCP_SYN] / seconds,
			.udp = (double)(packets[MOAT_CELL_UDP] + packets[MOAT_CELL_UDP_REFLECT]) /
			       seconds,
			.icmp = (double)packets[MOAT_CELL_ICMP] / seconds,
		};
	before->marks = now.marks;
	memcpy(before->kinds, now.kinds, sizeof(before->kinds));
}

static int by_addr(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct moat_addr)); /* addr is the first member */
}

static int by_packets(const void *left, const void *right)
{
	const struct moat_top_host *a = left, *b = right;

	return (a->pps < b->pps) - (a->pps > b->pps);
}

/* One host may have a cell on every CPU. */
static void merge(struct side *side)
{
	size_t kept = 0;

	qsort(side->gains, side->gain_count, sizeof(*side->gains), by_addr);
	for (size_t i = 0; i < side->gain_count; i++) {
		struct moat_top_host *into = kept ? &side->gains[kept - 1] : NULL;
		const struct moat_top_host *gain = &side->gains[i];

		if (!into || !moat_addr_equal(&into->addr, &gain->addr)) {
			side->gains[kept++] = *gain;
			continue;
		}
		into->pps += gain->pps;
		into->mbps += gain->mbps;
		into->dropped += gain->dropped;
		into->syn += gain->syn;
		into->udp += gain->udp;
		into->icmp += gain->icmp;
	}
	qsort(side->gains, kept, sizeof(*side->gains), by_packets);
	side->host_count = kept < MOAT_TOP_HOSTS_MAX ? kept : MOAT_TOP_HOSTS_MAX;
	memcpy(side->hosts, side->gains, side->host_count * sizeof(*side->hosts));
}

void moat_top_update(struct moat_top *top, uint64_t now_ns)
{
	uint64_t elapsed_ns = now_ns - top->look_ns;
	double seconds = top->look_ns ? (double)elapsed_ns / (double)MOAT_NS_PER_S : 0;

	if (top->look_ns && elapsed_ns < LOOK_NS)
		return;
	if (elapsed_ns > MOAT_CELL_SPAN_NS)
		seconds = 0; /* nobody can tell any more what was gained: as if it were the first */
	for (int s = 0; s < 2; s++) {
		struct side *side = &top->sides[s];

		side->gain_count = 0;
		for (size_t i = 0; i < side->table_count; i++) {
			struct table *table = &side->tables[i];

			for (uint32_t c = 0; c < table->count; c++)
				gain_of(side, &table->cells[c], &table->looks[c], seconds);
		}
		merge(side);
	}
	top->interval_ns = seconds > 0 ? elapsed_ns : 0;
	top->look_ns = now_ns;
}

const struct moat_top_host *moat_top_hosts(const struct moat_top *top, bool to, size_t *ret_count)
{
	*ret_count = top->sides[to].host_count;
	return top->sides[to].hosts;
}

uint64_t moat_top_interval_ns(const struct moat_top *top)
{
	return top->interval_ns;
}
