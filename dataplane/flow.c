/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The flow table off its fast path (flow_table.h): life, room for new flows, ageing. */
#include "dataplane/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dataplane/base/clock.h"
#include "dataplane/flow_table.h"

#define SLOTS MOAT_FLOW_SLOTS
/* Flows in a bucket from which on a new one looks for more room elsewhere. */
#define CROWDED 6
/* Buckets that are fetched before the sweep comes to them. */
#define SWEEP_AHEAD 8
#define CAPACITY_MIN 1024u
#define CAPACITY_MAX (1u << 24)

static void *map_zeroed(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	/* reached at random: a huge page saves a TLB miss each; refusal costs nothing */
	madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

int moat_flow_table_new(uint32_t capacity, uint64_t hash_seed, moat_flow_end_fn end, void *userdata,
			struct moat_flow_table **ret_table)
{
	struct moat_flow_table *table;
	uint32_t size = CAPACITY_MIN;

	if (capacity > CAPACITY_MAX)
		return -EINVAL;
	while (size < capacity)
		size <<= 1;
	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->mask = size / SLOTS - 1;
	table->hash_seed = hash_seed;
	table->end = end;
	table->userdata = userdata;
	table->groups = map_zeroed((size_t)size / SLOTS * sizeof(*table->groups));
	if (!table->groups) {
		moat_flow_table_free(table);
		return -ENOMEM;
	}
	*ret_table = table;
	return 0;
}

void moat_flow_table_free(struct moat_flow_table *table)
{
	if (!table)
		return;
	if (table->groups)
		munmap(table->groups, ((size_t)table->mask + 1) * sizeof(*table->groups));
	if (table->talks)
		munmap(table->talks, ((size_t)table->mask + 1) * SLOTS * sizeof(*table->talks));
	free(table);
}

int moat_flow_table_keep_talks(struct moat_flow_table *table)
{
	if (!table->talks)
		table->talks = map_zeroed(((size_t)table->mask + 1) * SLOTS * sizeof(*table->talks));
	return table->talks ? 0 : -ENOMEM;
}

/* ---- slots -------------------------------------------------------------------------------- */

static uint16_t tag_get(const struct moat_flow_bucket *bucket, unsigned int slot)
{
	return (uint16_t)(bucket->tags[slot / 4] >> slot % 4 * 16);
}

static void tag_set(struct moat_flow_bucket *bucket, unsigned int slot, uint16_t tag)
{
	uint64_t *word = &bucket->tags[slot / 4];
	unsigned int shift = slot % 4 * 16;

	*word = (*word & ~(0xffffULL << shift)) | (uint64_t)tag << shift;
}

/* The table's 32 bits of a time as nanoseconds: it lies up to 49 days before the last packet. */
static uint64_t time_ns(const struct moat_flow_table *table, uint32_t time_ms)
{
	return (table->now_ms - (uint32_t)((uint32_t)table->now_ms - time_ms)) * MOAT_NS_PER_MS;
}

void moat_flow_describe(const struct moat_flow_table *table, const struct moat_flow_place *place,
			struct moat_flow *ret_flow)
{
	const struct moat_flow_entry *entry = moat_flow_entry_at(table, place->bucket, place->slot);
	const struct moat_flow_bucket *bucket = &table->groups[place->bucket].bucket;
	uint8_t kind = bucket->kinds[place->slot];

	*ret_flow = (struct moat_flow){
		.client = entry->client,
		.server = entry->server,
		.client_port = (uint16_t)entry->ports,
		.server_port = (uint16_t)(entry->ports >> 16),
		.proto = entry->proto,
		.state = kind == MOAT_FLOW_KIND_OTHER_ESTABLISHED ? MOAT_FLOW_ESTABLISHED : kind,
		.tcp_flags = { entry->tcp_flags[0], entry->tcp_flags[1] },
		.first_ns = time_ns(table,
				    (uint32_t)(entry->bytes[0] >> 48 | entry->bytes[1] >> 48 << 16)),
		.last_ns = time_ns(table, bucket->seen_ms[place->slot]),
		.bytes = { entry->bytes[0] & MOAT_FLOW_BYTES_MASK,
			   entry->bytes[1] & MOAT_FLOW_BYTES_MASK },
		.packets = { entry->packets[0], entry->packets[1] },
		.first_flags = entry->first_flags,
	};
	if (table->talks) {
		const struct moat_flow_talk
			*talk = &table->talks[(size_t)place->bucket * SLOTS + place->slot];

		ret_flow->payload[0] = talk->payload[0];
		ret_flow->payload[1] = talk->payload[1];
	}
}

static void slot_clear(struct moat_flow_table *table, const struct moat_flow_place *place)
{
	struct moat_flow_bucket *bucket = &table->groups[place->bucket].bucket;
	struct moat_flow flow;

	if (table->end) {
		moat_flow_describe(table, place, &flow);
		table->end(table->userdata, &flow);
	}
	if (bucket->is_away & 1u << place->slot)
		table->groups[moat_flow_second(table, place->bucket, tag_get(bucket, place->slot))]
			.bucket.away--;
	bucket->is_away &= (uint8_t)~(1u << place->slot);
	bucket->settled &= (uint16_t)~(0x101u << place->slot);
	tag_set(bucket, place->slot, 0);
	table->counters.live--;
}

/* ---- lookup ------------------------------------------------------------------------------- */

static bool bucket_find(const struct moat_flow_table *table, uint32_t index, uint16_t tag,
			const struct moat_headers *h, struct moat_flow_place *ret_place,
			int *ret_direction)
{
	for (uint64_t set = moat_flow_match(&table->groups[index].bucket, tag); set; set &= set - 1) {
		unsigned int slot = moat_flow_slot(set);
		int direction = moat_flow_direction(moat_flow_entry_at(table, index, slot), h);

		if (direction >= 0) {
			*ret_place = (struct moat_flow_place){ index, slot };
			*ret_direction = direction;
			return true;
		}
	}
	return false;
}

static bool table_find(const struct moat_flow_table *table, const struct moat_headers *h,
		       uint64_t hash, struct moat_flow_place *ret_place, int *ret_direction)
{
	uint32_t first = (uint32_t)hash & table->mask;
	uint16_t tag = moat_flow_tag(hash);

	return bucket_find(table, first, tag, h, ret_place, ret_direction) ||
	       (table->groups[first].bucket.away &&
		bucket_find(table, moat_flow_second(table, first, tag), tag, h, ret_place,
			    ret_direction));
}

static uint64_t hash_of(const struct moat_flow_table *table, const struct moat_headers *headers)
{
	return moat_flow_hash(headers, moat_addr_hash(&headers->src, table->hash_seed),
			      moat_addr_hash(&headers->dst, table->hash_seed));
}

bool moat_flow_table_talk(struct moat_flow_table *table, const struct moat_headers *headers,
			  uint32_t payload, uint64_t now_ns, moat_flow_tell_fn tell, void *userdata,
			  struct moat_flow_turn *ret_turn)
{
	struct moat_flow_place place;
	int direction;

	if (!table->talks || payload == 0 ||
	    !table_find(table, headers, hash_of(table, headers), &place, &direction))
		return false;
	moat_flow_talk(table, &place, (unsigned int)direction, headers, payload, now_ns, tell,
		       userdata, ret_turn);
	return true;
}

bool moat_flow_table_find(const struct moat_flow_table *table, const struct moat_headers *headers,
			  struct moat_flow *ret_flow)
{
	struct moat_flow_place place;
	int direction;

	if (!table_find(table, headers, hash_of(table, headers), &place, &direction))
		return false;
	moat_flow_describe(table, &place, ret_flow);
	return true;
}

/* ---- places for new flows ----------------------------------------------------------------- */

/* A free slot of the two buckets: at home while there is plenty of room, else in the emptier one (the
 * power of two choices, Mitzenmacher, TPDS 2001), so that the table fills evenly. False if there is none. */
static bool place_free(const struct moat_flow_table *table, uint32_t first, uint32_t second,
		       struct moat_flow_place *ret_place)
{
	uint64_t at_home = moat_flow_match(&table->groups[first].bucket, 0), away;

	if (__builtin_popcountll(at_home) < SLOTS - CROWDED) {
		away = moat_flow_match(&table->groups[second].bucket, 0);
		if (__builtin_popcountll(away) > __builtin_popcountll(at_home)) {
			*ret_place = (struct moat_flow_place){ second, moat_flow_slot(away) };
			return true;
		}
	}
	if (!at_home)
		return false;
	*ret_place = (struct moat_flow_place){ first, moat_flow_slot(at_home) };
	return true;
}

/* Makes a slot free: at home if one may be taken there, else in the other bucket. False if established
 * flows hold all of both. */
static bool place_victim(struct moat_flow_table *table, uint32_t first, uint32_t second,
			 uint32_t now_ms, struct moat_flow_place *ret_place)
{
	struct moat_flow_place victim = { first,
					  moat_flow_victim(&table->groups[first].bucket, now_ms) };
	const struct moat_flow_bucket *bucket;

	if (victim.slot == MOAT_FLOW_NO_SLOT)
		victim = (struct moat_flow_place){
			second, moat_flow_victim(&table->groups[second].bucket, now_ms)
		};
	if (victim.slot == MOAT_FLOW_NO_SLOT)
		return false;
	bucket = &table->groups[victim.bucket].bucket;
	if (bucket->kinds[victim.slot] == MOAT_FLOW_CLOSED ||
	    moat_flow_is_idle(bucket->kinds[victim.slot], bucket->seen_ms[victim.slot], now_ms))
		table->counters.expired++;
	else
		table->counters.replaced++;
	slot_clear(table, &victim);
	*ret_place = victim;
	return true;
}

static bool table_create(struct moat_flow_table *table, const struct moat_headers *h, uint64_t hash,
			 uint32_t now_ms, struct moat_flow_place *ret_place)
{
	uint32_t first = (uint32_t)hash & table->mask;
	uint16_t tag = moat_flow_tag(hash);
	uint32_t second = moat_flow_second(table, first, tag);
	struct moat_flow_bucket *bucket;
	struct moat_flow_place place;

	if (!place_free(table, first, second, &place) &&
	    !place_victim(table, first, second, now_ms, &place)) {
		table->counters.refused++;
		return false;
	}
	bucket = &table->groups[place.bucket].bucket;
	tag_set(bucket, place.slot, tag);
	bucket->kinds[place.slot] = MOAT_FLOW_NEW;
	if (place.bucket != first) {
		bucket->is_away |= (uint8_t)(1u << place.slot);
		table->groups[first].bucket.away++;
	}
	*moat_flow_entry_at(table, place.bucket, place.slot) = (struct moat_flow_entry){
		.client = h->src,
		.server = h->dst,
		.ports = (uint32_t)h->dport << 16 | h->sport,
		.proto = h->proto,
		.first_flags = h->tcp_flags,
		.bytes = { (uint64_t)now_ms << 48, (uint64_t)now_ms >> 16 << 48 },
	};
	if (table->talks)
		table->talks[(size_t)place.bucket * SLOTS + place.slot] = (struct moat_flow_talk){
			.spoke_ms = 0
		};
	table->counters.created++;
	table->counters.live++;
	*ret_place = place;
	return true;
}

/* ---- packets ------------------------------------------------------------------------------ */

int moat_flow_add_slow(struct moat_flow_table *table, const struct moat_headers *h, uint64_t hash,
		       uint64_t now_ms, struct moat_flow_place *ret_place)
{
	struct moat_flow_bucket *bucket;
	int direction = 0;
	bool found;

	table->now_ms = now_ms;
	found = table_find(table, h, hash, ret_place, &direction);
	if (found) {
		bucket = &table->groups[ret_place->bucket].bucket;
		if (moat_flow_is_over(bucket->kinds[ret_place->slot],
				      bucket->seen_ms[ret_place->slot], (uint32_t)now_ms, h)) {
			table->counters.expired++;
			slot_clear(table, ret_place);
			found = false;
			direction = 0;
		}
	}
	if (!found && !table_create(table, h, hash, (uint32_t)now_ms, ret_place))
		return -1;
	moat_flow_update(&table->groups[ret_place->bucket].bucket, ret_place->slot,
			 moat_flow_entry_at(table, ret_place->bucket, ret_place->slot), h,
			 (unsigned int)direction, (uint32_t)now_ms);
	return direction;
}

bool moat_flow_table_add(struct moat_flow_table *table, const struct moat_headers *headers,
			 uint64_t now_ns)
{
	struct moat_flow_place place;

	if (headers->family == MOAT_FAMILY_ANY || headers->fragment == MOAT_FRAGMENT_LATER)
		return false;
	return moat_flow_add_slow(table, headers, hash_of(table, headers), now_ns / MOAT_NS_PER_MS,
				  &place) >= 0;
}

/* ---- ageing ------------------------------------------------------------------------------- */

static void bucket_age(struct moat_flow_table *table, uint32_t index, uint32_t now_ms)
{
	struct moat_flow_bucket *bucket = &table->groups[index].bucket;

	if ((bucket->tags[0] | bucket->tags[1]) == 0)
		return;
	if (bucket->epoch != table->epoch && bucket->settled)
		bucket->settled = 0;
	for (unsigned int i = 0; i < SLOTS; i++) {
		if (moat_flow_is_idle(bucket->kinds[i], bucket->seen_ms[i], now_ms) &&
		    tag_get(bucket, i) != 0) {
			table->counters.expired++;
			slot_clear(table, &(struct moat_flow_place){ index, i });
		}
	}
}

/* One round of the table takes a second of traffic time, whatever the rate of bursts: as many buckets as
 * the time since the last call asks for, but never more than an eighth of the table in one call. */
void moat_flow_table_age(struct moat_flow_table *table, uint64_t now_ns)
{
	uint64_t buckets = (uint64_t)table->mask + 1;
	uint64_t elapsed = now_ns > table->sweep_ns ? now_ns - table->sweep_ns : 0;
	uint64_t due = elapsed < MOAT_NS_PER_S ? elapsed * buckets / MOAT_NS_PER_S : buckets;

	if (due == 0)
		return;
	table->sweep_ns += due * MOAT_NS_PER_S / buckets;
	if (due > buckets / 8) {
		due = buckets / 8;
		table->sweep_ns = now_ns;
	}
	if (table->counters.live == 0)
		return;
	table->now_ms = now_ns / MOAT_NS_PER_MS;
	for (; due > 0; due--) {
		bucket_age(table, table->sweep, (uint32_t)table->now_ms);
		table->sweep = (table->sweep + 1) & table->mask;
		moat_prefetch(&table->groups[(table->sweep + SWEEP_AHEAD) & table->mask].bucket);
	}
}

void moat_flow_table_flush(struct moat_flow_table *table)
{
	for (uint32_t index = 0; index <= table->mask; index++) {
		for (unsigned int i = 0; i < SLOTS; i++) {
			if (tag_get(&table->groups[index].bucket, i)) {
				table->counters.expired++;
				slot_clear(table, &(struct moat_flow_place){ index, i });
			}
		}
	}
}

void moat_flow_table_counters(const struct moat_flow_table *table,
			      struct moat_flow_counters *ret_counters)
{
	*ret_counters = table->counters;
}
