/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "detect/ledger.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

#define WAYS 8
#define CAPACITY_MAX (1u << 22)
#define DISTINCT_BITS 256

struct head {
	struct moat_ledger_key key;
	uint64_t touched_ns;
	bool used;
};

struct moat_ledger {
	size_t size; /* of an entry, rounded up to 16 */
	uint64_t seed;
	uint32_t mask; /* buckets - 1 */
	uint32_t count;
	uint64_t displaced;
	struct head *heads;
	uint8_t *entries;
};

static void ledger_free_cleanup(struct moat_ledger **ledger)
{
	moat_ledger_free(*ledger);
}

int moat_ledger_new(uint32_t capacity, size_t size, uint64_t seed, struct moat_ledger **ret_ledger)
{
	moat_cleanup(ledger_free_cleanup) struct moat_ledger *ledger = NULL;
	uint32_t buckets = 1;

	if (capacity == 0 || capacity > CAPACITY_MAX || size == 0)
		return -EINVAL;
	/* half as many again: buckets don't fill evenly */
	while ((uint64_t)buckets * WAYS < (uint64_t)capacity * 3 / 2)
		buckets *= 2;
	ledger = calloc(1, sizeof(*ledger));
	if (!ledger)
		return -ENOMEM;
	ledger->size = (size + 15) & ~(size_t)15;
	ledger->seed = seed;
	ledger->mask = buckets - 1;
	ledger->heads = calloc((size_t)buckets * WAYS, sizeof(*ledger->heads));
	ledger->entries = calloc((size_t)buckets * WAYS, ledger->size);
	if (!ledger->heads || !ledger->entries)
		return -ENOMEM;
	*ret_ledger = moat_take_ptr(ledger);
	return 0;
}

void moat_ledger_free(struct moat_ledger *ledger)
{
	if (!ledger)
		return;
	free(ledger->heads);
	free(ledger->entries);
	free(ledger);
}

uint64_t moat_mix(uint64_t value)
{
	value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdULL;
	value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return value ^ (value >> 33);
}

static size_t bucket_of(const struct moat_ledger *ledger, const struct moat_ledger_key *key)
{
	uint64_t hash = moat_addr_hash(&key->a, ledger->seed) +
			moat_mix(moat_addr_hash(&key->b, ledger->seed) + key->c);

	return (size_t)(moat_mix(hash) & ledger->mask) * WAYS;
}

static bool key_equal(const struct moat_ledger_key *a, const struct moat_ledger_key *b)
{
	return a->c == b->c && moat_addr_equal(&a->a, &b->a) && moat_addr_equal(&a->b, &b->b);
}

static void *entry_at(const struct moat_ledger *ledger, size_t place)
{
	return ledger->entries + place * ledger->size;
}

void *moat_ledger_find(const struct moat_ledger *ledger, const struct moat_ledger_key *key)
{
	size_t first = bucket_of(ledger, key);

	for (size_t i = first; i < first + WAYS; i++)
		if (ledger->heads[i].used && key_equal(&ledger->heads[i].key, key))
			return entry_at(ledger, i);
	return NULL;
}

void *moat_ledger_take(struct moat_ledger *ledger, const struct moat_ledger_key *key,
		       uint64_t now_ns, bool *ret_is_new)
{
	size_t first = bucket_of(ledger, key), place = first;

	*ret_is_new = false;
	for (size_t i = first; i < first + WAYS; i++) {
		struct head *head = &ledger->heads[i];

		if (head->used && key_equal(&head->key, key)) {
			if (now_ns > head->touched_ns)
				head->touched_ns = now_ns;
			return entry_at(ledger, i);
		}
		if (!ledger->heads[place].used)
			continue;
		if (!head->used || head->touched_ns < ledger->heads[place].touched_ns)
			place = i;
	}
	if (ledger->heads[place].used)
		ledger->displaced++;
	else
		ledger->count++;
	ledger->heads[place] = (struct head){ .key = *key, .touched_ns = now_ns, .used = true };
	memset(entry_at(ledger, place), 0, ledger->size);
	*ret_is_new = true;
	return entry_at(ledger, place);
}

void moat_ledger_each(const struct moat_ledger *ledger, moat_ledger_fn handler, void *userdata)
{
	for (size_t i = 0; i < ((size_t)ledger->mask + 1) * WAYS; i++)
		if (ledger->heads[i].used)
			handler(userdata, &ledger->heads[i].key, entry_at(ledger, i),
				ledger->heads[i].touched_ns);
}

void moat_ledger_clear(struct moat_ledger *ledger)
{
	for (size_t i = 0; i < ((size_t)ledger->mask + 1) * WAYS; i++)
		ledger->heads[i].used = false;
	ledger->count = 0;
}

uint32_t moat_ledger_count(const struct moat_ledger *ledger)
{
	return ledger->count;
}

uint64_t moat_ledger_displaced(const struct moat_ledger *ledger)
{
	return ledger->displaced;
}

bool moat_distinct_add(struct moat_distinct *distinct, uint64_t hash)
{
	uint64_t bit = 1ULL << (hash & 63), *word = &distinct->bits[hash >> 6 & 3];
	bool is_new = (*word & bit) == 0;

	*word |= bit;
	return is_new;
}

double moat_distinct_count(const struct moat_distinct *distinct)
{
	int set = 0;

	for (int i = 0; i < 4; i++)
		set += __builtin_popcountll(distinct->bits[i]);
	if (set == DISTINCT_BITS)
		set--;
	return -DISTINCT_BITS * log(1.0 - (double)set / DISTINCT_BITS);
}
