/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See prefixes.h. The index is open addressing with linear probing, at most half full, so a probe is
 * one or two cache lines. */
#include "dataplane/prefixes.h"
#include "dataplane/base/addr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"

#define LEAST_CAPACITY 16

struct moat_prefixes_body {
	unsigned int references;
	size_t count;
	size_t capacity; /* a power of two */
	struct moat_prefix *items;
	uint32_t *index; /* 2 * capacity places: 0 is free, else position + 1 */
};

static void body_unref(struct moat_prefixes_body *body)
{
	if (!body || --body->references > 0)
		return;
	free(body->items);
	free(body->index);
	free(body);
}

static void body_unref_cleanup(struct moat_prefixes_body **body)
{
	body_unref(*body);
}

static size_t index_size(const struct moat_prefixes_body *body)
{
	return 2 * body->capacity;
}

static size_t home_of(const struct moat_prefixes_body *body, const struct moat_prefix *prefix)
{
	return moat_addr_hash(&prefix->addr, (uint64_t)prefix->len << 8 | prefix->family) &
	       (index_size(body) - 1);
}

/* The place of a prefix in the index, or the free one where it would go. */
static size_t place_of(const struct moat_prefixes_body *body, const struct moat_prefix *prefix)
{
	size_t place = home_of(body, prefix);

	while (body->index[place] && !moat_prefix_equal(&body->items[body->index[place] - 1], prefix))
		place = (place + 1) & (index_size(body) - 1);
	return place;
}

/* A body of its own with room for `capacity` prefixes and the contents of `from` (may be NULL). */
static struct moat_prefixes_body *body_new(const struct moat_prefixes_body *from, size_t capacity)
{
	moat_cleanup(body_unref_cleanup) struct moat_prefixes_body *body = NULL;

	body = calloc(1, sizeof(*body));
	if (!body)
		return NULL;
	body->references = 1;
	body->capacity = capacity;
	body->items = calloc(capacity, sizeof(*body->items));
	body->index = calloc(index_size(body), sizeof(*body->index));
	if (!body->items || !body->index)
		return NULL;
	if (from && from->count) {
		body->count = from->count;
		memcpy(body->items, from->items, from->count * sizeof(*body->items));
		if (from->capacity == capacity) {
			memcpy(body->index, from->index, index_size(body) * sizeof(*body->index));
		} else {
			for (size_t i = 0; i < body->count; i++)
				body->index[place_of(body, &body->items[i])] = (uint32_t)i + 1;
		}
	}
	return moat_take_ptr(body);
}

/* Makes the body the list's own, with room for `count` prefixes. */
static int reserve(struct moat_prefixes *list, size_t count)
{
	size_t capacity = list->body ? list->body->capacity : LEAST_CAPACITY;
	struct moat_prefixes_body *body;

	while (capacity < count)
		capacity *= 2;
	if (list->body && list->body->references == 1 && list->body->capacity == capacity)
		return 0;
	body = body_new(list->body, capacity);
	if (!body)
		return -ENOMEM;
	body_unref(list->body);
	list->body = body;
	return 0;
}

void moat_prefixes_deinit(struct moat_prefixes *list)
{
	body_unref(list->body);
	list->body = NULL;
}

void moat_prefixes_copy(const struct moat_prefixes *list, struct moat_prefixes *ret_copy)
{
	if (list->body)
		list->body->references++;
	ret_copy->body = list->body;
}

int moat_prefixes_add(struct moat_prefixes *list, const struct moat_prefix *prefix)
{
	struct moat_prefixes_body *body = list->body;
	size_t place;
	int r;

	/* look first: a duplicate neither grows nor unshares */
	if (body && body->index[place_of(body, prefix)])
		return MOAT_PREFIXES_EXISTS;
	r = reserve(list, (body ? body->count : 0) + 1);
	if (r < 0)
		return r;
	body = list->body;
	place = place_of(body, prefix);
	body->items[body->count++] = *prefix;
	body->index[place] = (uint32_t)body->count;
	return 0;
}

/* Empties a place; what follows it in its run moves up, so that no search stops short. */
static void index_clear(struct moat_prefixes_body *body, size_t place)
{
	size_t mask = index_size(body) - 1;
	size_t next = place;

	for (;;) {
		size_t home;

		next = (next + 1) & mask;
		if (!body->index[next])
			break;
		home = home_of(body, &body->items[body->index[next] - 1]);
		/* moves only if its home is not within (place, next] */
		if (((next - home) & mask) >= ((next - place) & mask)) {
			body->index[place] = body->index[next];
			place = next;
		}
	}
	body->index[place] = 0;
}

int moat_prefixes_del(struct moat_prefixes *list, const struct moat_prefix *prefix)
{
	struct moat_prefixes_body *body = list->body;
	size_t place, position;
	int r;

	if (!body || !body->index[place_of(body, prefix)])
		return -ENOENT;
	r = reserve(list, body->count);
	if (r < 0)
		return r;
	body = list->body;
	place = place_of(body, prefix);
	position = body->index[place] - 1;
	index_clear(body, place);
	body->count--;
	if (position < body->count) {
		body->index[place_of(body, &body->items[body->count])] = (uint32_t)position + 1;
		body->items[position] = body->items[body->count];
	}
	return 0;
}

bool moat_prefixes_has(const struct moat_prefixes *list, const struct moat_prefix *prefix)
{
	return list->body && list->body->index[place_of(list->body, prefix)];
}

bool moat_prefixes_is_shared(const struct moat_prefixes *a, const struct moat_prefixes *b)
{
	return a->body == b->body;
}

size_t moat_prefixes_count(const struct moat_prefixes *list)
{
	return list->body ? list->body->count : 0;
}

const struct moat_prefix *moat_prefixes_items(const struct moat_prefixes *list)
{
	return list->body ? list->body->items : NULL;
}
