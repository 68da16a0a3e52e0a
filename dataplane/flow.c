/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: buckets of eight, each flow in one of two buckets.
 *
 * A bucket is one cache line with all that lookup, ageing and replacement decide by (tag, second of the
 * last packet, state); the flows themselves, two lines each, are touched only when found. A flow goes to
 * its first bucket, or if that is crowded to its second; the first then counts it as `away`, so that a
 * lookup reads the second line only when something may be there. The second bucket's index is the
 * first's xor a function of the tag, and so the other way round (as in cuckoo filters, Fan et al.,
 * CoNEXT'14), but nothing is ever moved.
 */
#include "dataplane/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dataplane/base/clock.h"
#include "dataplane/flow_state.h"

#define SLOTS 8
/* Flows in a bucket from which on a new one looks for more room elsewhere. */
#define CROWDED 6
#define COST_KEEP UINT32_MAX
#define CAPACITY_MIN 1024u
#define CAPACITY_MAX (1u << 24)

struct bucket {
	uint32_t tags[SLOTS]; /* 0: free */
	uint16_t seen[SLOTS]; /* second of the last packet, modulo 2^16 */
	uint8_t kinds[SLOTS]; /* what of the flow decides its idle limit and its rank in replacement */
	uint8_t is_away;      /* bit: this slot's flow belongs to the other bucket */
	uint8_t reserved;
	uint16_t away; /* flows of this bucket that are in their second one */
	uint32_t reserved2;
};
_Static_assert(sizeof(struct bucket) == 64, "one cache line");

struct moat_flow_table {
	struct bucket *buckets;
	struct moat_flow *flows; /* SLOTS a bucket */
	uint32_t mask;           /* buckets - 1 */
	uint64_t hash_seed;
	moat_flow_end_fn end;
	void *userdata;
	struct moat_flow_counters counters;
	uint32_t sweep; /* the next bucket to be aged */
	uint64_t sweep_ns;
};

static void *map_zeroed(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
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
	table->buckets = map_zeroed((size_t)size / SLOTS * sizeof(struct bucket));
	table->flows = map_zeroed((size_t)size * sizeof(struct moat_flow));
	if (!table->buckets || !table->flows) {
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
	if (table->buckets)
		munmap(table->buckets, ((size_t)table->mask + 1) * sizeof(struct bucket));
	if (table->flows)
		munmap(table->flows, ((size_t)table->mask + 1) * SLOTS * sizeof(struct moat_flow));
	free(table);
}

/* ---- places ------------------------------------------------------------------------------- */

static inline uint32_t hash_tag(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1; /* never 0 */
}

static inline uint32_t other_bucket(const struct moat_flow_table *table, uint32_t bucket,
				    uint32_t tag)
{
	/* | 1: never the same bucket */
	return (bucket ^ ((tag * 0x5bd1e995u) >> 8 | 1)) & table->mask;
}

static inline struct moat_flow *flow_at(const struct moat_flow_table *table, uint32_t bucket,
					unsigned int slot)
{
	return &table->flows[(size_t)bucket * SLOTS + slot];
}

/* Four tags at once, in what every 64-bit CPU has. */
typedef uint32_t tag_vector __attribute__((vector_size(16)));

/* Slots of a bucket with this tag, as bits. */
static inline unsigned int match_tags(const struct bucket *bucket, uint32_t tag)
{
	const tag_vector *tags = (const tag_vector *)bucket->tags;
	tag_vector wanted = { tag, tag, tag, tag };
	tag_vector low = (tag_vector)(tags[0] == wanted) & (tag_vector){ 1, 2, 4, 8 };
	tag_vector high = (tag_vector)(tags[1] == wanted) & (tag_vector){ 16, 32, 64, 128 };
	tag_vector bits = low | high;

	return bits[0] | bits[1] | bits[2] | bits[3];
}

static void slot_clear(struct moat_flow_table *table, uint32_t index, unsigned int slot)
{
	struct bucket *bucket = &table->buckets[index];

	if (bucket->is_away & 1u << slot)
		table->buckets[other_bucket(table, index, bucket->tags[slot])].away--;
	bucket->is_away &= (uint8_t)~(1u << slot);
	bucket->tags[slot] = 0;
	table->counters.live--;
	if (table->end)
		table->end(table->userdata, flow_at(table, index, slot));
}

/* ---- lookup ------------------------------------------------------------------------------- */

/* Symmetric: both directions of a conversation hash alike. The product keeps (a:1, b:2) and (a:2, b:1)
 * apart. */
uint64_t moat_flow_hash(const struct moat_headers *headers, uint64_t src_hash, uint64_t dst_hash)
{
	uint64_t a = (src_hash ^ headers->sport) * 0x9e3779b97f4a7c15ULL;
	uint64_t b = (dst_hash ^ headers->dport) * 0x9e3779b97f4a7c15ULL;
	uint64_t h = (a ^ a >> 32) + (b ^ b >> 32) + headers->proto;

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 29;
}

void moat_flow_table_prefetch(const struct moat_flow_table *table, uint64_t hash)
{
	__builtin_prefetch(&table->buckets[(uint32_t)hash & table->mask], 1);
}

void moat_flow_table_prefetch_flow(const struct moat_flow_table *table, uint64_t hash)
{
	uint32_t index = (uint32_t)hash & table->mask;
	unsigned int bits = match_tags(&table->buckets[index], hash_tag(hash));

	if (bits) {
		const struct moat_flow *flow = flow_at(table, index,
						       (unsigned int)__builtin_ctz(bits));

		__builtin_prefetch(flow, 1);
		__builtin_prefetch((const uint8_t *)flow + 64, 1);
	}
}

static inline bool flow_is(const struct moat_flow *flow, const struct moat_headers *h,
			   int *ret_direction)
{
	if (flow->proto != h->proto)
		return false;
	if (flow->client_port == h->sport && flow->server_port == h->dport &&
	    moat_addr_equal(&flow->client, &h->src) && moat_addr_equal(&flow->server, &h->dst)) {
		*ret_direction = 0;
		return true;
	}
	if (flow->client_port == h->dport && flow->server_port == h->sport &&
	    moat_addr_equal(&flow->client, &h->dst) && moat_addr_equal(&flow->server, &h->src)) {
		*ret_direction = 1;
		return true;
	}
	return false;
}

/* Where a flow is: a bucket and a slot in it. */
struct place {
	uint32_t bucket;
	unsigned int slot;
};

static bool bucket_find(const struct moat_flow_table *table, uint32_t index, uint32_t tag,
			const struct moat_headers *h, struct place *ret_place, int *ret_direction)
{
	unsigned int bits = match_tags(&table->buckets[index], tag);

	for (; bits; bits &= bits - 1) {
		unsigned int slot = (unsigned int)__builtin_ctz(bits);

		if (flow_is(flow_at(table, index, slot), h, ret_direction)) {
			*ret_place = (struct place){ index, slot };
			return true;
		}
	}
	return false;
}

/* ---- places for new flows ----------------------------------------------------------------- */

/* The cost of the flow in a bucket that is the least loss, and its slot: the lowest rank, of equals the
 * longest idle. COST_KEEP if all are established. */
static uint32_t bucket_victim(const struct bucket *bucket, uint16_t now_s, unsigned int *ret_slot)
{
	uint32_t best = COST_KEEP;

	for (unsigned int i = 0; i < SLOTS; i++) {
		uint32_t rank = moat_flow_kind_rank(bucket->kinds[i]);
		uint32_t cost = rank << 16 | (uint16_t)~(uint16_t)(now_s - bucket->seen[i]);

		if (rank < MOAT_FLOW_RANK_KEEP && cost < best) {
			best = cost;
			*ret_slot = i;
		}
	}
	return best;
}

static bool slot_is_expired(const struct bucket *bucket, unsigned int slot, uint16_t now_s)
{
	return (uint16_t)(now_s - bucket->seen[slot]) > moat_flow_kind_idle_s(bucket->kinds[slot]);
}

/* A free slot of the two buckets: at home while there is plenty of room, else in the emptier one (the
 * power of two choices, Mitzenmacher, TPDS 2001), so that the table fills evenly. False if there is none. */
static bool place_free(const struct moat_flow_table *table, uint32_t first, uint32_t second,
		       struct place *ret_place)
{
	unsigned int at_home = match_tags(&table->buckets[first], 0), away;

	if (__builtin_popcount(at_home) < SLOTS - CROWDED) {
		away = match_tags(&table->buckets[second], 0);
		if (__builtin_popcount(away) > __builtin_popcount(at_home)) {
			*ret_place = (struct place){ second, (unsigned int)__builtin_ctz(away) };
			return true;
		}
	}
	if (!at_home)
		return false;
	*ret_place = (struct place){ first, (unsigned int)__builtin_ctz(at_home) };
	return true;
}

/* The slot of the two buckets that is the least loss, made free. False if established flows hold all. */
static bool place_victim(struct moat_flow_table *table, uint32_t first, uint32_t second,
			 uint16_t now_s, struct place *ret_place)
{
	struct place victim = { first, 0 }, other = { second, 0 };
	uint32_t cost, other_cost;

	cost = bucket_victim(&table->buckets[first], now_s, &victim.slot);
	other_cost = bucket_victim(&table->buckets[second], now_s, &other.slot);
	if (other_cost < cost) {
		victim = other;
		cost = other_cost;
	}
	if (cost == COST_KEEP)
		return false;
	if (table->buckets[victim.bucket].kinds[victim.slot] == MOAT_FLOW_CLOSED ||
	    slot_is_expired(&table->buckets[victim.bucket], victim.slot, now_s))
		table->counters.expired++;
	else
		table->counters.replaced++;
	slot_clear(table, victim.bucket, victim.slot);
	*ret_place = victim;
	return true;
}

static bool table_create(struct moat_flow_table *table, const struct moat_headers *h, uint64_t hash,
			 uint64_t now_ns, struct place *ret_place)
{
	uint32_t first = (uint32_t)hash & table->mask;
	uint32_t tag = hash_tag(hash);
	uint32_t second = other_bucket(table, first, tag);
	uint16_t now_s = (uint16_t)(now_ns / MOAT_NS_PER_S);
	struct bucket *bucket;
	struct place place;

	if (!place_free(table, first, second, &place) &&
	    !place_victim(table, first, second, now_s, &place)) {
		table->counters.refused++;
		return false;
	}
	bucket = &table->buckets[place.bucket];
	bucket->tags[place.slot] = tag;
	if (place.bucket != first) {
		bucket->is_away |= (uint8_t)(1u << place.slot);
		table->buckets[first].away++;
	}
	*flow_at(table, place.bucket, place.slot) = (struct moat_flow){
		.client = h->src,
		.server = h->dst,
		.client_port = h->sport,
		.server_port = h->dport,
		.proto = h->proto,
		.first_ns = now_ns,
		.hash = tag,
	};
	table->counters.created++;
	table->counters.live++;
	*ret_place = place;
	return true;
}

/* ---- packets ------------------------------------------------------------------------------ */

/* True if the packet begins another flow with the same key: the sweep hasn't come by yet, or a new
 * connection reuses the ports. */
static bool is_over(const struct moat_flow_table *table, const struct place *place,
		    const struct moat_headers *h, uint16_t now_s)
{
	return slot_is_expired(&table->buckets[place->bucket], place->slot, now_s) ||
	       moat_flow_is_reopened(flow_at(table, place->bucket, place->slot), h);
}

struct moat_flow *moat_flow_table_add_hashed(struct moat_flow_table *table,
					     const struct moat_headers *h, uint64_t hash,
					     uint64_t now_ns)
{
	uint32_t first = (uint32_t)hash & table->mask;
	uint32_t tag = hash_tag(hash);
	struct moat_flow *flow;
	struct bucket *bucket;
	struct place place;
	int direction = 0;
	bool found;

	if (h->family == MOAT_FAMILY_ANY || h->fragment == MOAT_FRAGMENT_LATER)
		return NULL;
	found = bucket_find(table, first, tag, h, &place, &direction);
	if (!found && table->buckets[first].away)
		found = bucket_find(table, other_bucket(table, first, tag), tag, h, &place,
				    &direction);
	if (found && is_over(table, &place, h, (uint16_t)(now_ns / MOAT_NS_PER_S))) {
		table->counters.expired++;
		slot_clear(table, place.bucket, place.slot);
		found = false;
		direction = 0;
	}
	if (!found && !table_create(table, h, hash, now_ns, &place))
		return NULL;
	flow = flow_at(table, place.bucket, place.slot);
	moat_flow_update(flow, h, direction, now_ns);
	bucket = &table->buckets[place.bucket];
	bucket->seen[place.slot] = (uint16_t)(now_ns / MOAT_NS_PER_S);
	bucket->kinds[place.slot] = moat_flow_kind(flow);
	return flow;
}

struct moat_flow *moat_flow_table_add(struct moat_flow_table *table,
				      const struct moat_headers *headers, uint64_t now_ns)
{
	uint64_t src = moat_addr_hash(&headers->src, table->hash_seed);
	uint64_t dst = moat_addr_hash(&headers->dst, table->hash_seed);

	return moat_flow_table_add_hashed(table, headers, moat_flow_hash(headers, src, dst), now_ns);
}

/* ---- ageing ------------------------------------------------------------------------------- */

static void bucket_age(struct moat_flow_table *table, uint32_t index, uint16_t now_s)
{
	struct bucket *bucket = &table->buckets[index];

	for (unsigned int i = 0; i < SLOTS; i++) {
		if (bucket->tags[i] && slot_is_expired(bucket, i, now_s)) {
			table->counters.expired++;
			slot_clear(table, index, i);
		}
	}
}

/* One round of the table takes a second of traffic time, whatever the rate of bursts: as many buckets as
 * the time since the last call asks for, but never more than an eighth of the table in one call. */
void moat_flow_table_age(struct moat_flow_table *table, uint64_t now_ns)
{
	uint64_t buckets = (uint64_t)table->mask + 1;
	uint64_t elapsed = now_ns > table->sweep_ns ? now_ns - table->sweep_ns : 0;
	uint64_t due, most = buckets / 8;

	if (elapsed > MOAT_NS_PER_S)
		elapsed = MOAT_NS_PER_S;
	due = elapsed * buckets / MOAT_NS_PER_S;
	if (due == 0 || table->counters.live == 0)
		return;
	if (due > most)
		due = most;
	for (; due > 0; due--) {
		bucket_age(table, table->sweep, (uint16_t)(now_ns / MOAT_NS_PER_S));
		table->sweep = (table->sweep + 1) & table->mask;
	}
	table->sweep_ns = now_ns;
}

void moat_flow_table_flush(struct moat_flow_table *table)
{
	for (uint32_t index = 0; index <= table->mask; index++) {
		for (unsigned int i = 0; i < SLOTS; i++) {
			if (table->buckets[index].tags[i]) {
				table->counters.expired++;
				slot_clear(table, index, i);
			}
		}
	}
}

void moat_flow_table_counters(const struct moat_flow_table *table,
			      struct moat_flow_counters *ret_counters)
{
	*ret_counters = table->counters;
}
