/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The whole engine on legitimate steps that were never seen in training: nothing may be found. */
#include "tests/unit/detect/scenario.h"

static void test_calm(void)
{
	for (int answers = 0; answers < 2; answers++) {
		begin_learned(answers);
		legit_for(60);
		expect_nothing("calm");
	}
}

static void test_rush(void)
{
	for (int answers = 0; answers < 2; answers++) {
		begin_learned(answers);
		for (uint32_t i = 0; i < SECONDS(15); i++) {
			traffic_legit(&traffic, 10);
			traffic_tick(&traffic);
		}
		legit_for(5);
		for (uint32_t i = 0; i < SECONDS(15); i++) {
			traffic_legit(&traffic, 1);
			traffic_web(&traffic, 6000, 240);
			traffic_keepalive(&traffic, 50000, 240);
			traffic_tick(&traffic);
		}
		expect_nothing("ten times the clients");
	}
}

static void test_bulk(void)
{
	for (int answers = 0; answers < 2; answers++) {
		begin_learned(answers);
		for (uint32_t i = 0; i < SECONDS(15); i++) {
			traffic_legit(&traffic, 1);
			traffic_bulk(&traffic, 80000);
			traffic_tick(&traffic);
		}
		expect_nothing("a bulk flow");
	}
}

static void test_dns_burst(void)
{
	for (int answers = 0; answers < 2; answers++) {
		begin_learned(answers);
		for (uint32_t i = 0; i < SECONDS(15); i++) {
			traffic_legit(&traffic, 1);
			traffic_dns(&traffic, 3000, 250);
			traffic_tick(&traffic);
		}
		expect_nothing("a DNS burst");
	}
}

/* A crawler opens connections to many hosts, a resolver asks many servers: both are answered. */
static void test_busy_clients(void)
{
	begin_learned(true);
	for (uint32_t i = 0; i < SECONDS(10); i++) {
		struct traffic_packet p = { .dst = traffic_server(7) };

		for (int n = 0; n < 60; n++) {
			struct moat_addr crawler = traffic_client(230),
					 site = traffic_random(&traffic);

			p = (struct traffic_packet){
				crawler, site, 6, MOAT_TCP_SYN, (uint16_t)(20000 + n), 80, 60, 0
			};
			traffic_packet(&traffic, &p);
			p.flags = MOAT_TCP_ACK;
			for (int k = 0; k < 4; k++)
				traffic_packet(&traffic, &p);
			p = (struct traffic_packet){ site,         crawler, 6,
						     MOAT_TCP_ACK, 80,      (uint16_t)(20000 + n),
						     1500,         0 };
			traffic_packet(&traffic, &p);
			crawler = traffic_client(231);
			p = (struct traffic_packet){ crawler, site, 17, 0, (uint16_t)(20000 + n),
						     53,      70,   0 };
			traffic_packet(&traffic, &p);
			p = (struct traffic_packet){ site, crawler, 17,
						     0,    53,      (uint16_t)(20000 + n),
						     300,  0 };
			traffic_packet(&traffic, &p);
		}
		traffic_legit(&traffic, 1);
		traffic_tick(&traffic);
	}
	expect_nothing("busy clients");
}

/* Many clients that connect at the same moment, over a path with a delay: SYNs first, ACKs later. */
static void test_thundering_herd(void)
{
	begin_learned(false);
	for (int times = 0; times < 5; times++) {
		for (int n = 0; n < 3000; n++) {
			struct traffic_packet p = { traffic_client((uint16_t)(n % 250)),
						    traffic_server(7),
						    6,
						    MOAT_TCP_SYN,
						    (uint16_t)(20000 + n),
						    80,
						    60,
						    0 };

			traffic_packet(&traffic, &p);
		}
		traffic_tick(&traffic);
		for (int i = 0; i < 8; i++) {
			traffic_keepalive(&traffic, 30000, 250);
			traffic_tick(&traffic);
		}
	}
	CU_ASSERT_EQUAL(traffic.event_count, 0);
	if (traffic.event_count)
		traffic_print(&traffic);
	traffic_end(&traffic);
}

static const struct moat_test tests[] = {
	{ "calm", test_calm },
	{ "many clients at once", test_thundering_herd },
	{ "ten times the clients within a second", test_rush },
	{ "a new bulk flow", test_bulk },
	{ "a DNS burst", test_dns_burst },
	{ "a crawler and a resolver", test_busy_clients },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-engine-calm", tests);
}
