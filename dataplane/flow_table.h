/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table's inside, and the steps of adding a packet for callers that go through a burst stage by
 * stage: hash, moat_flow_prefetch, moat_flow_seek, moat_flow_confirm, then moat_flow_update or
 * moat_flow_add_slow. For flow.c, flow_talk.c and the path of a burst (worker_burst.c) alone.
 *
 * A bucket is one cache line with all that lookup, ageing and replacement decide by; a flow's own line is
 * touched only when a packet is added to it. A flow goes to its first bucket, or if that is crowded to its
 * second; the first then counts it as `away`, so that a lookup reads the second line only when something
 * may be there. The second bucket's index is the first's xor a function of the tag, and so the other way
 * round (as in cuckoo filters, Fan et al., CoNEXT'14), but nothing is ever moved.
 */
#ifndef MOAT_DATAPLANE_FLOW_TABLE_H
#define MOAT_DATAPLANE_FLOW_TABLE_H

#include <netinet/in.h>

#include "dataplane/base/prefetch.h"
#include "dataplane/flow.h"
#include "dataplane/flow_state.h"

#define MOAT_FLOW_SLOTS 8

struct moat_flow_bucket {
	uint64_t tags[2];                  /* 8 of 16 bits, 0: free */
	uint32_t seen_ms[MOAT_FLOW_SLOTS]; /* of the last packet, modulo 2^32 */
	uint8_t kinds[MOAT_FLOW_SLOTS];    /* see flow_state.h */
	uint16_t away;                     /* flows of this bucket that are in their second one */
	uint16_t settled;     /* bit: of this slot's flow, those from servers above; see
			       * moat_flow_settle */
	uint32_t is_away : 8; /* bit: this slot's flow belongs to the other bucket */
	uint32_t epoch : 24;  /* that `settled` is of */
};
_Static_assert(sizeof(struct moat_flow_bucket) == 64, "one cache line");

struct moat_flow_entry {
	struct moat_addr client;
	struct moat_addr server;
	uint32_t ports; /* client's in the lower half */
	uint8_t proto;
	uint8_t tcp_flags[2];
	uint8_t first_flags; /* TCP flags of the first packet */
	uint32_t packets[2];
	/* Bytes in the lower 48 bits, which a flow doesn't fill; the upper 16 are the millisecond of its
	 * first packet, lower and upper half. */
	uint64_t bytes[2];
};
_Static_assert(sizeof(struct moat_flow_entry) == 64, "one cache line");
_Static_assert(offsetof(struct moat_headers, dst) == sizeof(struct moat_addr), "src[0], src[1]");
#define MOAT_FLOW_BYTES_MASK ((1ULL << 48) - 1)

/* How much is said in a flow, for detection; only where that is asked for, in an array of its own. */
struct moat_flow_talk {
	uint64_t payload[2];
	uint32_t spoke_ms; /* last payload, modulo 2^32 */
	uint32_t told_ms;  /* when detection last heard of it */
	uint8_t payloads[2];
	uint8_t reserved[6];
};
_Static_assert(sizeof(struct moat_flow_talk) == 32, "two a cache line");

/* Where a flow is: a bucket and a slot in it. */
struct moat_flow_place {
	uint32_t bucket;
	unsigned int slot;
};

/* A bucket stands before its flows: both are mostly in one page, and a page that isn't in the TLB costs more
 * than a line that isn't in a cache. */
struct moat_flow_group {
	struct moat_flow_bucket bucket;
	struct moat_flow_entry entries[MOAT_FLOW_SLOTS];
};
_Static_assert(sizeof(struct moat_flow_group) == 576, "72 bytes a flow");

struct moat_flow_table {
	struct moat_flow_group *groups;
	struct moat_flow_talk *talks; /* MOAT_FLOW_SLOTS a group; NULL: not kept */
	uint32_t mask;                /* groups - 1 */
	uint64_t hash_seed;
	moat_flow_end_fn end;
	void *userdata;
	struct moat_flow_counters counters;
	uint32_t sweep; /* the next bucket to be aged */
	uint64_t sweep_ns;
	uint64_t now_ms; /* of the last packet or sweep */
	uint32_t epoch;  /* of the judge, as of the last step */
};

/* Symmetric: both directions of a conversation hash alike. The arguments are moat_addr_hash of both
 * addresses with the table's seed; the product keeps (a:1, b:2) and (a:2, b:1) apart. */
static inline uint64_t moat_flow_hash(const struct moat_headers *headers, uint64_t src_hash,
				      uint64_t dst_hash)
{
	uint64_t a = (src_hash ^ headers->sport) * 0x9e3779b97f4a7c15ULL;
	uint64_t b = (dst_hash ^ headers->dport) * 0x9e3779b97f4a7c15ULL;
	uint64_t h = (a ^ a >> 32) + (b ^ b >> 32) + headers->proto;

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 29;
}

static inline uint16_t moat_flow_tag(uint64_t hash)
{
	return (uint16_t)(hash >> 48 | 1); /* never 0 */
}

/* The slots of a bucket whose tag is `tag`, as a set for MOAT_FLOW_SLOT: a bit each, of which bit 16i is
 * slot i and bit 16i + 1 slot i + 4. Finds zeros among the differences (Warren, Hacker's Delight, 6-1). */
static inline uint64_t moat_flow_match(const struct moat_flow_bucket *bucket, uint16_t tag)
{
	const uint64_t low15 = 0x7fff7fff7fff7fffULL;
	uint64_t wanted = tag * 0x0001000100010001ULL;
	uint64_t a = bucket->tags[0] ^ wanted, b = bucket->tags[1] ^ wanted;

	a = ~(((a & low15) + low15) | a | low15);
	b = ~(((b & low15) + low15) | b | low15);
	return a >> 15 | b >> 14;
}

/* The first slot of a set that isn't empty. */
static inline unsigned int moat_flow_slot(uint64_t set)
{
	unsigned int bit = (unsigned int)__builtin_ctzll(set);

	return bit / 16 + 4 * (bit & 1);
}

static inline struct moat_flow_entry *moat_flow_entry_at(const struct moat_flow_table *table,
							 uint32_t bucket, unsigned int slot)
{
	return &table->groups[bucket].entries[slot];
}

static inline uint32_t moat_flow_second(const struct moat_flow_table *table, uint32_t bucket,
					uint16_t tag)
{
	/* | 1: never the same bucket */
	return (bucket ^ ((tag * 0x5bd1e995u) >> 8 | 1)) & table->mask;
}

/* First step: the bucket's line. (Always inlined: gcc takes a function of nothing but prefetches for one
 * without effect, and drops calls of it.) */
MOAT_INLINE void moat_flow_prefetch(const struct moat_flow_table *table, uint64_t hash)
{
	moat_prefetch(&table->groups[(uint32_t)hash & table->mask].bucket);
}

#define MOAT_FLOW_NO_SLOT 0xff

/* The slot of a bucket whose flow is the least loss: the lowest rank, of equals the longest idle.
 * MOAT_FLOW_NO_SLOT if all are established. No branches: nobody can predict which it will be. */
static inline uint8_t moat_flow_victim(const struct moat_flow_bucket *bucket, uint32_t now_ms)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int i = 0; i < MOAT_FLOW_SLOTS; i++) {
		uint64_t rank = moat_flow_rank[bucket->kinds[i]];
		/* up to 2^30 ms of 49 days: longer idle flows are gone */
		uint32_t left = ~(now_ms - bucket->seen_ms[i]);
		uint64_t cost = rank << 40 | (uint64_t)left << 3 | i;

		best = cost < best ? cost : best;
	}
	return best >> 40 < MOAT_FLOW_RANK_KEEP ? best & 7 : MOAT_FLOW_NO_SLOT;
}

/* Second step, when the bucket has come: the line of the flow, or of where a new one will go. Returns the
 * slot that the flow may be in, MOAT_FLOW_NO_SLOT if it isn't in its first bucket. */
MOAT_INLINE uint8_t moat_flow_seek(const struct moat_flow_table *table, uint64_t hash,
				   uint32_t now_ms)
{
	uint32_t index = (uint32_t)hash & table->mask;
	const struct moat_flow_bucket *bucket = &table->groups[index].bucket;
	uint64_t set = moat_flow_match(bucket, moat_flow_tag(hash));
	unsigned int slot;

	if (set) {
		slot = moat_flow_slot(set);
		moat_prefetch(moat_flow_entry_at(table, index, slot));
		if (table->talks)
			moat_prefetch(&table->talks[(size_t)index * MOAT_FLOW_SLOTS + slot]);
		return (uint8_t)slot;
	}
	moat_prefetch(&table->groups[moat_flow_second(table, index, moat_flow_tag(hash))].bucket);
	set = moat_flow_match(bucket, 0);
	slot = set ? moat_flow_slot(set) : moat_flow_victim(bucket, now_ms);
	/* in a bucket of established flows any line: the new one goes elsewhere */
	moat_prefetch(moat_flow_entry_at(table, index, slot % MOAT_FLOW_SLOTS));
	return MOAT_FLOW_NO_SLOT;
}

/* Of a packet that may be a flow's: 0 from its client, 1 from its server, -1 if it isn't. Which way a packet goes
 * can't be predicted: the ports say it, and pick what is compared. */
static inline int moat_flow_direction(const struct moat_flow_entry *entry,
				      const struct moat_headers *h)
{
	const struct moat_addr *ends = &h->src; /* and dst behind it */
	uint32_t ports = (uint32_t)h->dport << 16 | h->sport;
	unsigned int direction = entry->ports != ports;
	uint64_t differ;

	if (h->sport == h->dport)
		direction = !moat_addr_equal(&entry->client, &h->src);
	else if (direction) /* as a rotation, by 0 or 16 */
		ports = ports << 16 | ports >> 16;
	differ = (entry->client.quads[0] ^ ends[direction].quads[0]) |
		 (entry->client.quads[1] ^ ends[direction].quads[1]) |
		 (entry->server.quads[0] ^ ends[!direction].quads[0]) |
		 (entry->server.quads[1] ^ ends[!direction].quads[1]) |
		 (uint64_t)(entry->ports ^ ports) | (uint64_t)(entry->proto ^ h->proto);
	return differ ? -1 : (int)direction;
}

/* Adds a packet to the flow that it was found to be of. */
static inline void moat_flow_update(struct moat_flow_bucket *bucket, unsigned int slot,
				    struct moat_flow_entry *entry, const struct moat_headers *h,
				    unsigned int direction, uint32_t now_ms)
{
	bucket->seen_ms[slot] = now_ms;
	entry->packets[direction]++;
	entry->bytes[direction] += h->l3_len;
	if (h->proto == IPPROTO_TCP) {
		entry->tcp_flags[direction] |= h->tcp_flags;
		if (bucket->kinds[slot] != MOAT_FLOW_ESTABLISHED ||
		    (h->tcp_flags & (MOAT_TCP_SYN | MOAT_TCP_FIN | MOAT_TCP_RST)))
			bucket->kinds[slot] = moat_flow_tcp_kind(
				bucket->kinds[slot], entry->tcp_flags, h->tcp_flags, direction);
	} else if (direction == 1) {
		bucket->kinds[slot] = MOAT_FLOW_KIND_OTHER_ESTABLISHED;
	}
}

void moat_flow_describe(const struct moat_flow_table *table, const struct moat_flow_place *place,
			struct moat_flow *ret_flow);

/* Of a table that keeps talks: notes `payload` bytes (not 0) of a packet just added, whose flow and direction
 * are given, and calls `tell` if it ends a silence (or is one of a minute's). */
void moat_flow_talk(struct moat_flow_table *table, const struct moat_flow_place *place,
		    unsigned int direction, const struct moat_headers *headers, uint32_t payload,
		    uint64_t now_ns, moat_flow_tell_fn tell, void *userdata,
		    struct moat_flow_turn *ret_turn);

/* All else: flows in their second bucket, new ones, ones that are over. Where the flow is and who sent the
 * packet; -1 if there is no room. */
int moat_flow_add_slow(struct moat_flow_table *table, const struct moat_headers *headers,
		       uint64_t hash, uint64_t now_ms, struct moat_flow_place *ret_place);

/* Third step: whether the slot that moat_flow_seek found has the packet's flow, and that isn't over. 0 and 1 as
 * moat_flow_direction, -1: moat_flow_add_slow is to find it. `slot` isn't MOAT_FLOW_NO_SLOT. */
static inline int moat_flow_confirm(const struct moat_flow_table *table, uint64_t hash,
				    unsigned int slot, const struct moat_headers *headers,
				    uint32_t now_ms)
{
	uint32_t index = (uint32_t)hash & table->mask;
	const struct moat_flow_bucket *bucket = &table->groups[index].bucket;
	uint16_t tag = (uint16_t)(bucket->tags[slot / 4] >> slot % 4 * 16);
	int direction = moat_flow_direction(moat_flow_entry_at(table, index, slot), headers);

	/* the tag again: a packet before this one may have ended the flow */
	if (tag != moat_flow_tag(hash) ||
	    moat_flow_is_over(bucket->kinds[slot], bucket->seen_ms[slot], now_ms, headers))
		return -1;
	return direction;
}

/* ---- flows that the policy has nothing to say of (moat_judge_is_indifferent) ---- */

/* Never that of a bucket. */
#define MOAT_FLOW_NO_EPOCH (1u << 24)

static inline uint32_t moat_flow_epoch(uint64_t judge_epoch)
{
	return judge_epoch == UINT64_MAX ? MOAT_FLOW_NO_EPOCH
					 : (uint32_t)judge_epoch & (MOAT_FLOW_NO_EPOCH - 1);
}

static inline bool moat_flow_is_settled(const struct moat_flow_bucket *bucket, unsigned int slot,
					unsigned int direction, uint32_t epoch)
{
	return bucket->settled >> (slot + MOAT_FLOW_SLOTS * direction) & (bucket->epoch == epoch);
}

/* Notes that packets of a flow in this direction need no judging in this epoch (not MOAT_FLOW_NO_EPOCH). The
 * sweep forgets what isn't of table->epoch long before 24 bits come round. */
static inline void moat_flow_settle(struct moat_flow_table *table,
				    const struct moat_flow_place *place, unsigned int direction,
				    uint32_t epoch)
{
	struct moat_flow_bucket *bucket = &table->groups[place->bucket].bucket;

	if (place->slot >= MOAT_FLOW_SLOTS)
		return; /* the flow found no place */
	if (bucket->epoch != epoch) {
		bucket->epoch = epoch & (MOAT_FLOW_NO_EPOCH - 1);
		bucket->settled = 0;
	}
	bucket->settled |= (uint16_t)(1u << (place->slot + MOAT_FLOW_SLOTS * direction));
}

#endif
