/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See ring.h. */
#include "dataplane/base/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MAX (1u << 24)
#define ELEMENT_MAX 65536

int moat_ring_init(struct moat_ring *ring, size_t capacity, size_t element_size)
{
	uint64_t slots = 1;
	uint8_t *memory;

	if (capacity < 1 || capacity > CAPACITY_MAX || element_size < 1 ||
	    element_size > ELEMENT_MAX)
		return -EINVAL;
	while (slots < capacity)
		slots <<= 1;
	memory = calloc(slots, element_size);
	if (!memory)
		return -ENOMEM;
	*ring = (struct moat_ring){ .slots = memory,
				    .element_size = element_size,
				    .mask = slots - 1 };
	return 0;
}

void moat_ring_deinit(struct moat_ring *ring)
{
	free(ring->slots);
	ring->slots = NULL;
}

bool moat_ring_push(struct moat_ring *ring, const void *element)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	/* the consumer's line is read only when the ring looks full by the last look at it */
	if (head - ring->tail_seen > ring->mask) {
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (head - ring->tail_seen > ring->mask) {
			/* single writer: no read-modify-write needed */
			atomic_store_explicit(
				&ring->lost,
				atomic_load_explicit(&ring->lost, memory_order_relaxed) + 1,
				memory_order_relaxed);
			return false;
		}
	}
	memcpy(ring->slots + (head & ring->mask) * ring->element_size, element, ring->element_size);
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}

bool moat_ring_pop(struct moat_ring *ring, void *ret_element)
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
		return false;
	memcpy(ret_element, ring->slots + (tail & ring->mask) * ring->element_size,
	       ring->element_size);
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}

uint64_t moat_ring_lost(const struct moat_ring *ring)
{
	return atomic_load_explicit(&ring->lost, memory_order_relaxed);
}
