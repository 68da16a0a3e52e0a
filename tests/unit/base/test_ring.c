/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/base/ring.c: order, loss accounting, two threads. */
#include "dataplane/base/ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "tests/harness/unit.h"

#define ELEMENTS 1000000ULL

static void test_bounds(void)
{
	struct moat_ring ring = { 0 };
	uint32_t value = 0;

	CU_ASSERT_EQUAL(moat_ring_init(&ring, 0, 4), -EINVAL);
	CU_ASSERT_EQUAL(moat_ring_init(&ring, 1, 0), -EINVAL);
	CU_ASSERT_EQUAL(moat_ring_init(&ring, (1u << 24) + 1, 1), -EINVAL);
	moat_ring_deinit(&ring);
	CU_ASSERT_EQUAL_FATAL(moat_ring_init(&ring, 3, sizeof(value)), 0);
	CU_ASSERT_FALSE(moat_ring_pop(&ring, &value));
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_TRUE(moat_ring_push(&ring, &i));
	CU_ASSERT_FALSE(moat_ring_push(&ring, &value));
	CU_ASSERT_EQUAL(moat_ring_lost(&ring), 1);
	for (uint32_t i = 0; i < 4; i++) {
		CU_ASSERT_TRUE(moat_ring_pop(&ring, &value));
		CU_ASSERT_EQUAL(value, i);
	}
	CU_ASSERT_FALSE(moat_ring_pop(&ring, &value));
	moat_ring_deinit(&ring);
}

static void *produce(void *arg)
{
	struct moat_ring *ring = arg;

	for (uint64_t i = 1; i <= ELEMENTS; i++)
		moat_ring_push(ring, &i);
	return NULL;
}

/* sent = received + lost, and what arrives is in order. */
static void test_threads(void)
{
	uint64_t value, last = 0, received = 0;
	struct moat_ring ring = { 0 };
	pthread_t producer;
	bool ordered = true;

	CU_ASSERT_EQUAL_FATAL(moat_ring_init(&ring, 256, sizeof(value)), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&producer, NULL, produce, &ring), 0);
	while (received + moat_ring_lost(&ring) < ELEMENTS) {
		if (!moat_ring_pop(&ring, &value)) {
			sched_yield();
			continue;
		}
		ordered = ordered && value > last;
		last = value;
		received++;
	}
	pthread_join(producer, NULL);
	CU_ASSERT_TRUE(ordered);
	CU_ASSERT_EQUAL(received + moat_ring_lost(&ring), ELEMENTS);
	CU_ASSERT_FALSE(moat_ring_pop(&ring, &value));
	moat_ring_deinit(&ring);
}

int main(void)
{
	static const struct moat_test tests[] = { { "bounds", test_bounds },
						  { "threads", test_threads },
						  { NULL, NULL } };

	return moat_test_main("ring", tests);
}
