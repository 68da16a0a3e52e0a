/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The known filter: a filter from before a restart stays until learning has ended; and moat top's
 * differences between two looks at a worker's cells. */
#include <stdlib.h>
#include <string.h>

#include "ctl/known.h"
#include "ctl/top.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"

#define SEED 42

static struct moat_addr addr_of(const char *text)
{
	struct moat_addr addr = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_addr_parse(text, &addr), 0);
	return addr;
}

static void ignore(void *userdata, const struct moat_finding *finding)
{
}

/* One tick of the engine's clock over empty tables. */
static void tick(struct moat_detect *detect, uint64_t start_ns)
{
	moat_detect_tick(detect, NULL, 0, (uint32_t)(start_ns >> 27), start_ns, 1ULL << 27);
}

static void test_adopted(void)
{
	struct moat_known *filter = calloc(1, sizeof(*filter));
	struct moat_known *filters[] = { NULL, filter };
	struct moat_addr before = addr_of("192.0.2.1");
	struct moat_detect_config config = moat_detect_config_default();
	struct moat_known_builder builder = { 0 };
	struct moat_detect *detect = NULL;

	config.learn_ns = MOAT_NS_PER_S;
	moat_known_add(filter, &before, SEED);
	CU_ASSERT_EQUAL_FATAL(moat_detect_new(&config, ignore, NULL, &detect), 0);
	CU_ASSERT_EQUAL_FATAL(moat_known_builder_init(&builder, SEED, filter), 0);
	CU_ASSERT_TRUE(builder.adopted);
	tick(detect, MOAT_NS_PER_S);
	moat_known_builder_update(&builder, detect, filters, 2);
	CU_ASSERT_TRUE(moat_known_test(filter, &before, SEED));
	for (uint64_t i = 1; i < 40; i++)
		tick(detect, MOAT_NS_PER_S + (i << 27));
	moat_known_builder_update(&builder, detect, filters, 2);
	CU_ASSERT_FALSE(moat_known_test(filter, &before, SEED));
	CU_ASSERT_EQUAL(builder.sources, 0);
	moat_known_builder_deinit(&builder);
	moat_detect_free(detect);
	free(filter);
}

static void test_fresh(void)
{
	struct moat_known_builder builder = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_known_builder_init(&builder, SEED, NULL), 0);
	CU_ASSERT_FALSE(builder.adopted);
	moat_known_builder_deinit(&builder);
}

static void count(struct moat_worker *worker, const char *dst, unsigned int packets)
{
	struct moat_headers headers = { .family = MOAT_FAMILY_V4, .proto = 17, .l3_len = 125 };

	headers.src = addr_of("192.0.2.1");
	headers.dst = addr_of(dst);
	for (unsigned int i = 0; i < packets; i++)
		moat_cells_count((struct moat_cells *)moat_worker_cells(worker), &headers, 1, false);
}

static void test_top(void)
{
	struct moat_port_dummy_options dummy = { .frame_count = 0 };
	struct moat_worker_options options = { .cpu = -1, .cells = 1024 };
	struct moat_wire wire = { .worker_count = 1 };
	struct moat_worker *worker = NULL;
	const struct moat_top_host *hosts;
	struct moat_addr busiest = addr_of("198.51.100.2");
	struct moat_top *top = NULL;
	size_t hosts_count;

	CU_ASSERT_EQUAL_FATAL(moat_port_dummy_open(&dummy, &options.port, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(moat_worker_new(&options, &worker, NULL), 0);
	wire.workers = &worker;
	CU_ASSERT_EQUAL_FATAL(moat_top_new(NULL, false, &wire, &top), 0);
	count(worker, "198.51.100.1", 7);
	moat_top_update(top, MOAT_NS_PER_S);
	moat_top_hosts(top, true, &hosts_count);
	CU_ASSERT_EQUAL(hosts_count, 0);
	count(worker, "198.51.100.1", 10);
	count(worker, "198.51.100.2", 2000);
	/* too early to look again */
	moat_top_update(top, MOAT_NS_PER_S + 1);
	CU_ASSERT_EQUAL(moat_top_interval_ns(top), 0);
	moat_top_update(top, 3 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(moat_top_interval_ns(top), 2 * MOAT_NS_PER_S);
	hosts = moat_top_hosts(top, true, &hosts_count);
	CU_ASSERT_EQUAL_FATAL(hosts_count, 2);
	CU_ASSERT_TRUE(moat_addr_equal(&hosts[0].addr, &busiest));
	CU_ASSERT_EQUAL(hosts[0].pps, 1000);
	CU_ASSERT_EQUAL(hosts[0].udp, 1000);
	CU_ASSERT_DOUBLE_EQUAL(hosts[0].mbps, 1, 1e-9);
	CU_ASSERT_EQUAL(hosts[1].pps, 5);
	hosts = moat_top_hosts(top, false, &hosts_count);
	CU_ASSERT_EQUAL_FATAL(hosts_count, 1);
	CU_ASSERT_EQUAL(hosts[0].pps, 1005);
	moat_top_free(top);
	moat_worker_free(worker);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "adopted", test_adopted },
		{ "fresh", test_fresh },
		{ "top", test_top },
		{ NULL, NULL },
	};

	return moat_test_main("known", tests);
}
