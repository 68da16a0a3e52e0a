/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The host table: differences of cells since the last reading, summed by address over all writers.
 *
 * A cell's counters only grow while a host owns it, and its epoch grows when it changes hands, so one
 * "shadow" a cell (where its counters stood) is all that differences need. The shadow also remembers the
 * host's place in the table: the address is looked up once a takeover, not once a window.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "detect/features.h"

#define SLOT_NONE UINT32_MAX
#define HOSTS_MAX (1u << 22)
#define SOURCES_MAX 256
#define RETIRE_NS (60 * MOAT_NS_PER_S)
#define RETIRE_CROWDED_NS (5 * MOAT_NS_PER_S) /* when the table is 7/8 full */
#define READ_BLOCK 32                         /* cells whose memory is fetched together */
#define FETCH_AHEAD 6                         /* hosts whose memory is on its way */
#define RETIRE_SLICES 64                      /* a window looks at one in so many places */

/* What tells at a glance whether a cell changed since the last reading: every packet makes the sum of the
 * kinds greater. Apart from the shadows, so that a walk over many idle cells touches little. */
struct glance {
	uint64_t sum;
	uint32_t epoch;
};

/* Where a changed cell's counters stood. */
struct shadow {
	uint32_t slot; /* the owner's place, SLOT_NONE: not looked up */
	uint32_t fragments;
	uint64_t marks;
	uint64_t kinds[MOAT_CELL_KINDS];
};

struct table {
	const struct moat_cell *cells;
	struct glance *glances;
	struct shadow *shadows;
	uint32_t count;
};

struct source {
	struct table to, from;
	bool skip; /* its first reading only notes where the counters stand */
};

/* One side of a short window in 72 bytes: there are 18 of them a host. */
struct tally {
	uint32_t counts[MOAT_TRAFFIC_COUNTS]; /* saturating */
	float distinct;
};

enum side {
	SIDE_TO = 0,
	SIDE_FROM = 1,
	SIDES,
};

enum state {
	STATE_FREE = 0,
	STATE_QUIET, /* no packet in the last second: its tallies are all zero */
	STATE_ACTIVE,
};

struct host {
	struct moat_addr addr;
	uint64_t active_ns; /* end of its last window with packets */
	uint32_t state;
	bool pinned;
	bool is_new;
	struct tally current[SIDES];
	uint64_t distinct[SIDES][MOAT_DISTINCT_WORDS];
	struct moat_host_window second;
};

struct moat_hosts {
	uint32_t capacity;
	uint32_t high; /* places ever used: what walks need to visit */
	struct host *hosts;
	struct tally (*past)[MOAT_SECOND_WINDOWS][SIDES]; /* by host */
	uint32_t *freed;                                  /* stack of retired places */
	uint32_t freed_count;

	uint32_t *index; /* open addressing: place + 1, 0 is empty */
	uint32_t index_mask;
	uint64_t seed;

	struct source sources[SOURCES_MAX];
	uint64_t tick;
	uint64_t lengths[MOAT_SECOND_WINDOWS];
	double distinct_of[MOAT_DISTINCT_BITS + 1]; /* by bits set */
	struct moat_hosts_counters counters;
};

/* ---- life cycle -------------------------------------------------------------------------------- */

static void distinct_fill(double table[MOAT_DISTINCT_BITS + 1])
{
	for (int set = 0; set < MOAT_DISTINCT_BITS; set++)
		table[set] = -MOAT_DISTINCT_BITS * log(1.0 - (double)set / MOAT_DISTINCT_BITS);
	/* saturated: as with one bit clear, moat/cell.h says why */
	table[MOAT_DISTINCT_BITS] = table[MOAT_DISTINCT_BITS - 1];
}

static void table_close(struct table *table)
{
	free(table->glances);
	free(table->shadows);
	*table = (struct table){ 0 };
}

static void hosts_free_cleanup(struct moat_hosts **hosts)
{
	moat_hosts_free(*hosts);
}

int moat_hosts_new(uint32_t capacity, uint64_t seed, struct moat_hosts **ret_hosts)
{
	moat_cleanup(hosts_free_cleanup) struct moat_hosts *hosts = NULL;
	uint32_t slots = 16;

	if (capacity == 0 || capacity > HOSTS_MAX)
		return -EINVAL;
	while (slots < 2 * capacity)
		slots *= 2;
	hosts = calloc(1, sizeof(*hosts));
	if (!hosts)
		return -ENOMEM;
	hosts->capacity = capacity;
	hosts->seed = seed;
	hosts->index_mask = slots - 1;
	/* calloc of large areas is backed by memory only where hosts live */
	hosts->hosts = calloc(capacity, sizeof(*hosts->hosts));
	hosts->past = calloc(capacity, sizeof(*hosts->past));
	hosts->freed = calloc(capacity, sizeof(*hosts->freed));
	hosts->index = calloc(slots, sizeof(*hosts->index));
	if (!hosts->hosts || !hosts->past || !hosts->freed || !hosts->index)
		return -ENOMEM;
	distinct_fill(hosts->distinct_of);
	*ret_hosts = moat_take_ptr(hosts);
	return 0;
}

void moat_hosts_free(struct moat_hosts *hosts)
{
	if (!hosts)
		return;
	for (int i = 0; i < SOURCES_MAX; i++) {
		table_close(&hosts->sources[i].to);
		table_close(&hosts->sources[i].from);
	}
	free(hosts->hosts);
	free(hosts->past);
	free(hosts->freed);
	free(hosts->index);
	free(hosts);
}

/* ---- addresses to places ----------------------------------------------------------------------- */

static uint32_t home_of(const struct moat_hosts *hosts, const struct moat_addr *addr)
{
	return (uint32_t)moat_addr_hash(addr, hosts->seed) & hosts->index_mask;
}

/* The index entry that holds the address, or the empty one where it belongs. */
static uint32_t index_probe(const struct moat_hosts *hosts, const struct moat_addr *addr)
{
	uint32_t i = home_of(hosts, addr);

	while (hosts->index[i] != 0 &&
	       !moat_addr_equal(&hosts->hosts[hosts->index[i] - 1].addr, addr))
		i = (i + 1) & hosts->index_mask;
	return i;
}

/* Linear probing without tombstones: entries behind the gap move up if that shortens their way. */
static void index_remove(struct moat_hosts *hosts, const struct moat_addr *addr)
{
	uint32_t gap = index_probe(hosts, addr);
	uint32_t i = gap;

	hosts->index[gap] = 0;
	for (;;) {
		uint32_t home;

		i = (i + 1) & hosts->index_mask;
		if (hosts->index[i] == 0)
			return;
		home = home_of(hosts, &hosts->hosts[hosts->index[i] - 1].addr);
		if (((i - home) & hosts->index_mask) < ((i - gap) & hosts->index_mask))
			continue;
		hosts->index[gap] = hosts->index[i];
		hosts->index[i] = 0;
		gap = i;
	}
}

int64_t moat_hosts_find(const struct moat_hosts *hosts, const struct moat_addr *addr)
{
	return (int64_t)hosts->index[index_probe(hosts, addr)] - 1;
}

/* The host's place, a new one if it has none; SLOT_NONE if the table is full. An eighth is for who is sent
 * to: senders can be forged in any number, and would hide every victim that is new. */
static uint32_t host_place(struct moat_hosts *hosts, const struct moat_addr *addr, enum side side)
{
	uint32_t room = side == SIDE_FROM ? hosts->capacity - hosts->capacity / 8 : hosts->capacity;
	uint32_t entry = index_probe(hosts, addr), slot;
	struct host *host;

	if (hosts->index[entry] != 0)
		return hosts->index[entry] - 1;
	if (hosts->counters.hosts >= room)
		return SLOT_NONE;
	if (hosts->freed_count > 0)
		slot = hosts->freed[--hosts->freed_count];
	else if (hosts->high < hosts->capacity)
		slot = hosts->high++;
	else
		return SLOT_NONE;

	host = &hosts->hosts[slot];
	memset(host, 0, sizeof(*host));
	host->addr = *addr;
	host->second.addr = *addr;
	host->state = STATE_ACTIVE;
	host->is_new = true;
	hosts->index[entry] = slot + 1;
	hosts->counters.hosts++;
	return slot;
}

static void host_retire(struct moat_hosts *hosts, uint32_t slot)
{
	index_remove(hosts, &hosts->hosts[slot].addr);
	hosts->hosts[slot].state = STATE_FREE;
	memset(&hosts->hosts[slot].addr, 0, sizeof(hosts->hosts[slot].addr));
	hosts->freed[hosts->freed_count++] = slot;
	hosts->counters.hosts--;
	hosts->counters.retired++;
}

static void retire_idle(struct moat_hosts *hosts, uint64_t now_ns)
{
	uint64_t timeout = hosts->counters.hosts > hosts->capacity / 8 * 7 ? RETIRE_CROWDED_NS
									   : RETIRE_NS;

	for (uint32_t slot = hosts->tick % RETIRE_SLICES; slot < hosts->high; slot += RETIRE_SLICES) {
		const struct host *host = &hosts->hosts[slot];

		if (host->state == STATE_QUIET && !host->pinned &&
		    now_ns - host->active_ns >= timeout)
			host_retire(hosts, slot);
	}
}

void moat_hosts_pin(struct moat_hosts *hosts, uint32_t host, bool pinned)
{
	if (host < hosts->high)
		hosts->hosts[host].pinned = pinned;
}

/* ---- reading cells ----------------------------------------------------------------------------- */

static uint32_t saturate(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/* What the cell gained since its last reading. */
static void gain_of(const struct moat_cell *cell, const struct shadow *shadow,
		    struct moat_traffic *ret_gain)
{
	uint64_t packets[MOAT_CELL_KINDS], bytes[MOAT_CELL_KINDS],
		marks = cell->marks - shadow->marks;

	*ret_gain = (struct moat_traffic){
		.dropped = (uint32_t)marks,
		.small = marks >> MOAT_CELL_SMALL_SHIFT,
		.fragments = cell->fragments - shadow->fragments,
	};
	for (int kind = 0; kind < MOAT_CELL_KINDS; kind++) {
		uint64_t difference = cell->kinds[kind] - shadow->kinds[kind];

		packets[kind] = moat_cell_packets(difference);
		bytes[kind] = moat_cell_bytes(difference);
		ret_gain->packets += packets[kind];
		ret_gain->bytes += bytes[kind];
	}
	ret_gain->tcp_ack = packets[MOAT_CELL_TCP_ACK];
	ret_gain->tcp_syn = packets[MOAT_CELL_TCP_SYN];
	ret_gain->tcp_synack = packets[MOAT_CELL_TCP_SYNACK];
	ret_gain->tcp_rst = packets[MOAT_CELL_TCP_RST];
	ret_gain->tcp_fin = packets[MOAT_CELL_TCP_FIN];
	ret_gain->tcp_other = packets[MOAT_CELL_TCP_OTHER];
	ret_gain->udp_reflect = packets[MOAT_CELL_UDP_REFLECT];
	ret_gain->udp = packets[MOAT_CELL_UDP] + ret_gain->udp_reflect;
	ret_gain->udp_bytes = bytes[MOAT_CELL_UDP] + bytes[MOAT_CELL_UDP_REFLECT];
	ret_gain->icmp = packets[MOAT_CELL_ICMP];
	ret_gain->icmp_bytes = bytes[MOAT_CELL_ICMP];
	ret_gain->other = packets[MOAT_CELL_OTHER];
}

/* Adds a gain to the host's current window. */
static void tally_add(struct tally *tally, const struct moat_traffic *gain)
{
	for (int i = 0; i < MOAT_TRAFFIC_COUNTS; i++)
		tally->counts[i] = saturate((uint64_t)tally->counts[i] + gain->counts[i]);
}

static void remember(struct glance *glance, struct shadow *shadow, const struct moat_cell *cell)
{
	glance->sum = moat_cell_sum(cell);
	shadow->fragments = cell->fragments;
	shadow->marks = cell->marks;
	memcpy(shadow->kinds, cell->kinds, sizeof(shadow->kinds));
}

static bool is_changed(const struct moat_cell *cell, const struct glance *glance)
{
	return __atomic_load_n(&cell->epoch, __ATOMIC_RELAXED) != glance->epoch ||
	       moat_cell_sum(cell) != glance->sum;
}

/* A copy of a cell that wasn't taken over meanwhile; false if it was. Single counters may already be a
 * packet further than others: they belong to the next window then. */
static bool cell_copy(const struct moat_cell *cell, uint32_t epoch, struct moat_cell *ret_copy)
{
	if (epoch & 1)
		return false;
	memcpy(ret_copy, cell, sizeof(*ret_copy));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&cell->epoch, __ATOMIC_RELAXED) == epoch;
}

static uint32_t cell_owner(struct moat_hosts *hosts, const struct moat_cell *cell,
			   struct shadow *shadow, enum side side)
{
	if (shadow->slot == SLOT_NONE ||
	    !moat_addr_equal(&hosts->hosts[shadow->slot].addr, &cell->addr)) {
		shadow->slot = host_place(hosts, &cell->addr, side);
		if (shadow->slot == SLOT_NONE)
			hosts->counters.refused++;
	}
	return shadow->slot;
}

/* Reads one changed cell. */
static void cell_read(struct moat_hosts *hosts, const struct table *table, uint32_t i,
		      enum side side, uint32_t window, bool skip)
{
	const struct moat_cell *cell = &table->cells[i];
	struct glance *glance = &table->glances[i];
	struct shadow *shadow = &table->shadows[i];
	uint32_t epoch = __atomic_load_n(&cell->epoch, __ATOMIC_ACQUIRE), slot, half = window & 1;
	struct moat_traffic gain;
	struct moat_cell copy;
	struct host *host;

	if (!cell_copy(cell, epoch, &copy)) {
		hosts->counters.torn++;
		return;
	}
	if (epoch != glance->epoch) {
		/* a takeover clears the counters: the new owner's began at zero */
		memset(shadow, 0, sizeof(*shadow));
		shadow->slot = SLOT_NONE;
		*glance = (struct glance){ .epoch = epoch };
	}
	if (skip) {
		remember(glance, shadow, &copy);
		return;
	}
	if (shadow->slot == SLOT_NONE &&
	    moat_cell_packets(moat_cell_sum(&copy)) < MOAT_HOST_MIN_PACKETS)
		return; /* not yet worth a place; what it has waits to be counted */
	slot = cell_owner(hosts, &copy, shadow, side);
	if (slot != SLOT_NONE) {
		host = &hosts->hosts[slot];
		host->state = STATE_ACTIVE;
		gain_of(&copy, shadow, &gain);
		tally_add(&host->current[side], &gain);
		if (copy.windows[half] == window)
			for (int w = 0; w < MOAT_DISTINCT_WORDS; w++)
				host->distinct[side][w] |= copy.distinct[half][w];
	}
	remember(glance, shadow, &copy);
}

static int table_open(struct table *table, const struct moat_cell *cells, uint32_t count)
{
	table_close(table);
	if (!cells)
		return 0;
	table->shadows = calloc(count, sizeof(*table->shadows));
	table->glances = calloc(count, sizeof(*table->glances));
	if (!table->shadows || !table->glances) {
		table_close(table);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++)
		table->shadows[i].slot = SLOT_NONE;
	table->cells = cells;
	table->count = count;
	return 0;
}

/* Memory is what a reading costs: a block's changed cells, their shadows and then their hosts are all on
 * their way before the first is read. */
static void table_read(struct moat_hosts *hosts, struct table *table, enum side side,
		       uint32_t window, bool skip)
{
	uint32_t changed[READ_BLOCK];

	for (uint32_t block = 0; table->cells && block < table->count; block += READ_BLOCK) {
		uint32_t end = block + READ_BLOCK < table->count ? block + READ_BLOCK : table->count;
		uint32_t count = 0;

		for (uint32_t i = block; i < end; i++) {
			if (i + READ_BLOCK < table->count) { /* of the next block */
				__builtin_prefetch(&table->cells[i + READ_BLOCK]);
				__builtin_prefetch((const char *)&table->cells[i + READ_BLOCK] + 64);
			}
			if (!is_changed(&table->cells[i], &table->glances[i]))
				continue;
			__builtin_prefetch((const char *)&table->cells[i] + 128);
			__builtin_prefetch(&table->shadows[i], 1);
			__builtin_prefetch((const char *)&table->shadows[i] + 64, 1);
			changed[count++] = i;
		}
		for (uint32_t i = 0; i < count; i++) {
			uint32_t slot = table->shadows[changed[i]].slot;

			if (slot == SLOT_NONE)
				continue;
			__builtin_prefetch(&hosts->hosts[slot], 1);
			__builtin_prefetch(&hosts->hosts[slot].current[side], 1);
			__builtin_prefetch(&hosts->hosts[slot].distinct[side], 1);
		}
		for (uint32_t i = 0; i < count; i++)
			cell_read(hosts, table, changed[i], side, window, skip);
	}
}

static int source_read(struct moat_hosts *hosts, struct source *own,
		       const struct moat_cell_source *source, uint32_t window)
{
	int r;

	if (own->to.cells != source->to || own->from.cells != source->from ||
	    (source->to ? own->to.count : own->from.count) != source->count) {
		r = table_open(&own->to, source->to, source->count);
		if (r < 0)
			return r;
		r = table_open(&own->from, source->from, source->count);
		if (r < 0)
			return r;
		own->skip = !source->fresh;
	}
	table_read(hosts, &own->to, SIDE_TO, window, own->skip);
	table_read(hosts, &own->from, SIDE_FROM, window, own->skip);
	own->skip = false;
	return 0;
}

/* ---- closing the window ------------------------------------------------------------------------ */

/* Sixteen counts at a time are what compilers make vectors of. */
#define COUNTS_EVEN (MOAT_TRAFFIC_COUNTS & ~15)

static inline void count_close(uint64_t *window, uint64_t *second, const uint32_t *current,
			       const uint32_t *past, int count)
{
	for (int i = 0; i < count; i++)
		window[i] = current[i];
	for (int i = 0; i < count; i++)
		second[i] += (uint64_t)current[i] - past[i];
}

/* Makes the current tally a window's side and slides the second by it. */
static void side_close(const struct moat_hosts *hosts, struct host *host, struct tally *past,
		       enum side side, struct moat_traffic *ret_traffic)
{
	struct tally *current = &host->current[side];
	struct moat_traffic *second = side == SIDE_TO ? &host->second.to : &host->second.from;
	int bits = 0;

	/* most hosts are quiet in most windows, on one side at least */
	if (current->counts[0] == 0 && past->counts[0] == 0) {
		memset(ret_traffic, 0, sizeof(*ret_traffic));
		return;
	}
	for (int i = 0; i < MOAT_DISTINCT_WORDS; i++)
		bits += host->distinct[side][i] ? __builtin_popcountll(host->distinct[side][i]) : 0;
	current->distinct = (float)hosts->distinct_of[bits];
	count_close(ret_traffic->counts, second->counts, current->counts, past->counts, COUNTS_EVEN);
	count_close(ret_traffic->counts + COUNTS_EVEN, second->counts + COUNTS_EVEN,
		    current->counts + COUNTS_EVEN, past->counts + COUNTS_EVEN,
		    MOAT_TRAFFIC_COUNTS - COUNTS_EVEN);
	ret_traffic->distinct = (double)current->distinct;
	second->distinct += (double)current->distinct - (double)past->distinct;
	if (second->packets == 0)
		second->distinct = 0; /* no drift from rounding */
	*past = *current;
	memset(current, 0, sizeof(*current));
	memset(host->distinct[side], 0, sizeof(host->distinct[side]));
}

static void host_close(struct moat_hosts *hosts, uint32_t slot, struct moat_host_window *window,
		       const struct moat_host_window *span, moat_host_window_fn handler,
		       void *userdata)
{
	struct host *host = &hosts->hosts[slot];
	struct tally *past = hosts->past[slot][hosts->tick % MOAT_SECOND_WINDOWS];
	bool is_new = host->is_new;

	side_close(hosts, host, &past[SIDE_TO], SIDE_TO, &window->to);
	side_close(hosts, host, &past[SIDE_FROM], SIDE_FROM, &window->from);
	window->addr = host->addr;
	host->second.start_ns = span->start_ns;
	host->second.length_ns = span->length_ns;
	host->is_new = false;
	if (window->to.packets + window->from.packets > 0)
		host->active_ns = window->start_ns + window->length_ns;
	if (host->second.to.packets + host->second.from.packets == 0)
		host->state = STATE_QUIET;
	handler(userdata, slot, is_new, window, &host->second);
}

/* A host's tallies of a second ago lie apart from those of its neighbours: no hardware guesses where. */
static void fetch_ahead(const struct moat_hosts *hosts, uint32_t slot)
{
	const char *past;

	if (slot >= hosts->high)
		return;
	past = (const char *)hosts->past[slot][hosts->tick % MOAT_SECOND_WINDOWS];
	for (size_t at = 0; at < SIDES * sizeof(struct tally); at += 64)
		__builtin_prefetch(past + at, 1);
	for (size_t at = 0; at < sizeof(struct host); at += 64)
		__builtin_prefetch((const char *)&hosts->hosts[slot] + at, 1);
}

int moat_hosts_read(struct moat_hosts *hosts, const struct moat_cell_source *sources,
		    size_t source_count, uint32_t window, uint64_t start_ns, uint64_t length_ns,
		    moat_host_window_fn handler, void *userdata)
{
	struct moat_host_window closed = { .start_ns = start_ns, .length_ns = length_ns };
	struct moat_host_window span = { 0 };
	int r = 0;

	if (length_ns > MOAT_CELL_SPAN_NS) {
		/* the cells may have gained more than their words can tell: go on from where they stand */
		hosts->counters.late++;
		for (int i = 0; i < SOURCES_MAX; i++)
			hosts->sources[i].skip = true;
	}
	for (size_t i = 0; i < source_count && r == 0; i++)
		r = i < SOURCES_MAX ? source_read(hosts, &hosts->sources[i], &sources[i], window)
				    : -ENOMEM;

	hosts->lengths[hosts->tick % MOAT_SECOND_WINDOWS] = length_ns;
	for (int i = 0; i < MOAT_SECOND_WINDOWS; i++)
		span.length_ns += hosts->lengths[i];
	span.start_ns = start_ns + length_ns - span.length_ns;
	for (uint32_t slot = 0; slot < hosts->high; slot++) {
		fetch_ahead(hosts, slot + FETCH_AHEAD);
		if (hosts->hosts[slot].state == STATE_ACTIVE)
			host_close(hosts, slot, &closed, &span, handler, userdata);
	}
	retire_idle(hosts, start_ns + length_ns);
	hosts->tick++;
	return r;
}

void moat_hosts_counters(const struct moat_hosts *hosts, struct moat_hosts_counters *ret_counters)
{
	*ret_counters = hosts->counters;
}
