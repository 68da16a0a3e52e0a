/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What was learned outlives its engine, rubbish isn't believed, and nobody teaches it an attack. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/baseline_file.h"
#include "tests/unit/detect/scenario.h"

static void *saved;
static size_t saved_size;

static void test_restores(void)
{
	struct moat_detect_config config = lab_config();
	struct moat_detect_counters counters;

	begin_learned(false);
	CU_ASSERT_EQUAL(moat_detect_save(traffic.detect, &saved, &saved_size), 0);
	traffic_end(&traffic);

	traffic_begin(&traffic, &config);
	legit_for(0.5);
	moat_detect_counters(traffic.detect, &counters);
	CU_ASSERT_TRUE(counters.learning);
	CU_ASSERT_EQUAL(moat_detect_restore(traffic.detect, saved, saved_size), 0);
	legit_for(0.5);
	moat_detect_counters(traffic.detect, &counters);
	CU_ASSERT_FALSE(counters.learning);
	CU_ASSERT_TRUE(counters.baseline_rows > 100 && counters.baseline_clusters > 0);
	moat_detect_forget(traffic.detect);
	legit_for(0.5);
	moat_detect_counters(traffic.detect, &counters);
	CU_ASSERT_TRUE(counters.learning);
	CU_ASSERT_TRUE(counters.baseline_rows < 100);
	traffic_end(&traffic);
}

static void refuses(int expected, const void *bytes, size_t size)
{
	struct moat_detect_counters before, after;

	moat_detect_counters(traffic.detect, &before);
	CU_ASSERT_EQUAL(moat_detect_restore(traffic.detect, bytes, size), expected);
	moat_detect_counters(traffic.detect, &after);
	CU_ASSERT_EQUAL(before.baseline_rows, after.baseline_rows);
	CU_ASSERT_EQUAL(before.last_finding, after.last_finding);
}

static void test_refuses(void)
{
	struct moat_baseline_row row = { .owner = 1, .values = { NAN } };
	struct moat_baseline_image image = { .count = 1, .rows = &row };
	uint8_t *copy = malloc(saved_size), bytes[256];

	begin_learned(false);
	refuses(-EPROTO, "moat", 4);
	refuses(-EPROTO, saved, saved_size - 1);
	memcpy(copy, saved, saved_size);
	copy[saved_size / 2] ^= 1;
	refuses(-EBADMSG, copy, saved_size);
	memcpy(copy, saved, saved_size);
	copy[8]++; /* the version */
	refuses(-EPROTO, copy, saved_size);
	moat_baseline_image_write(&image, bytes);
	refuses(-ERANGE, bytes, moat_baseline_image_size(1));
	row.values[0] = 1e6F;
	moat_baseline_image_write(&image, bytes);
	refuses(-ERANGE, bytes, moat_baseline_image_size(1));
	traffic_end(&traffic);
	free(copy);
}

static void flood(double pps)
{
	for (uint32_t n = traffic_due(&traffic, 10, pps); n > 0; n--) {
		struct traffic_packet p = { traffic_random(&traffic),
					    traffic_server(7),
					    6,
					    MOAT_TCP_SYN,
					    (uint16_t)(1024 + n % 60000),
					    80,
					    40,
					    0 };

		traffic_packet(&traffic, &p);
	}
}

/* Ids go on where they were. */
static void test_ids(void)
{
	struct moat_detect_config config = lab_config();
	struct moat_detect_counters counters;

	begin_learned(false);
	for (uint32_t i = 0; i < SECONDS(2); i++) {
		traffic_legit(&traffic, 1);
		flood(50000);
		traffic_tick(&traffic);
	}
	free(saved);
	CU_ASSERT_EQUAL(moat_detect_save(traffic.detect, &saved, &saved_size), 0);
	moat_detect_counters(traffic.detect, &counters);
	CU_ASSERT_TRUE(counters.last_finding > 0);
	traffic_end(&traffic);
	traffic_begin(&traffic, &config);
	CU_ASSERT_EQUAL(moat_detect_restore(traffic.detect, saved, saved_size), 0);
	for (uint32_t i = 0; i < SECONDS(3); i++)
		flood(50000), traffic_tick(&traffic);
	CU_ASSERT_TRUE(traffic.event_count > 0);
	if (traffic.event_count)
		CU_ASSERT_EQUAL(traffic.events[0].finding.id, counters.last_finding + 1);
	traffic_end(&traffic);
	free(saved);
	saved = NULL;
}

/* A flood of lone SYNs that grows by 1 % a minute from next to nothing. Sped up sixtyfold (1 % a second, sixty
 * times faster than the attacker needs to be, against a memory that forgets by the second): it is found
 * before it is twice the guard, whatever it taught on its way. */
static void test_poisoning(void)
{
	double pps = 200, limit;

	begin_learned(false);
	limit = 2 * lab_config().guard_pps[MOAT_FINDING_SYN_FLOOD];
	while (pps < limit && traffic.event_count == 0) {
		for (uint32_t i = 0; i < MOAT_SECOND_WINDOWS; i++) {
			traffic_legit(&traffic, 1);
			flood(pps);
			traffic_tick(&traffic);
		}
		pps *= 1.01;
	}
	CU_ASSERT_TRUE(traffic.event_count > 0);
	CU_ASSERT_TRUE(pps < limit);
	CU_ASSERT_PTR_NOT_NULL(traffic_find(&traffic, MOAT_FINDING_SYN_FLOOD, MOAT_FINDING_OPEN));
	printf("found at %.0f SYNs a second\n", pps);
	traffic_end(&traffic);
}

static const struct moat_test tests[] = {
	{ "what was learned is restored", test_restores },
	{ "what can't be is refused", test_refuses },
	{ "ids go on", test_ids },
	{ "a flood that creeps up", test_poisoning },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-keeping", tests);
}
