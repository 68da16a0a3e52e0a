/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A bounded queue between one producing and one consuming thread, of elements of one size, copied in and
 * out. Wait-free on both sides; a full ring refuses and counts: packets never wait for detection.
 * Producer's and consumer's positions sit on cache lines of their own, by padding rather than by alignment,
 * so that a ring may stand in any allocated struct.
 */
#ifndef MOAT_BASE_RING_H
#define MOAT_BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moat_ring {
	/* constant after init */
	uint8_t *slots;
	size_t element_size;
	uint64_t mask;
	uint8_t pad[64];
	/* producer's */
	_Atomic uint64_t head;
	uint64_t tail_seen; /* producer's last look at tail */
	_Atomic uint64_t lost;
	uint8_t pad2[64];
	/* consumer's */
	_Atomic uint64_t tail;
	uint8_t pad3[56];
};

/* Room for `capacity` elements (rounded up to a power of two, 1 to 2^24) of `element_size` bytes (1 to
 * 65,536). 0, -EINVAL or -ENOMEM. A zeroed ring is a valid argument of deinit. */
int moat_ring_init(struct moat_ring *ring, size_t capacity, size_t element_size);
void moat_ring_deinit(struct moat_ring *ring);

/* Copies one element in. False if the ring is full: the element is dropped and counted. Producer only. */
bool moat_ring_push(struct moat_ring *ring, const void *element);

/* Copies the oldest element out. False if there is none. Consumer only. */
bool moat_ring_pop(struct moat_ring *ring, void *ret_element);

/* Elements refused since init. Any thread. */
uint64_t moat_ring_lost(const struct moat_ring *ring);

#endif
