/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See scenario.h. */
#include "tests/unit/detect/scenario.h"

#include <stdio.h>

struct traffic traffic;

struct moat_detect_config lab_config(void)
{
	struct moat_detect_config config = moat_detect_config_default();

	config.learn_ns = LEARN_S * 1000000000ULL;
	config.hosts = 4096;
	config.protected_count = 1;
	config.protected_prefixes[0].addr = traffic_server(0);
	config.protected_prefixes[0].family = MOAT_FAMILY_V4;
	config.protected_prefixes[0].len = 24;
	return config;
}

void legit_for(double seconds)
{
	for (uint32_t i = 0; i < SECONDS(seconds); i++) {
		traffic_legit(&traffic, 1);
		traffic_tick(&traffic);
	}
}

void begin_learned(bool sees_answers)
{
	struct moat_detect_config config = lab_config();

	traffic_begin(&traffic, &config);
	traffic.sees_answers = sees_answers;
	legit_for(LEARN_S + 5);
}

void expect_nothing(const char *what)
{
	if (traffic.event_count) {
		printf("false findings in %s\n", what);
		traffic_print(&traffic);
	}
	CU_ASSERT_EQUAL(traffic.event_count, 0);
	traffic_end(&traffic);
}
