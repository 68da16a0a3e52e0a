/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of many rings in one order of time, with every one accounted for. */
#include <string.h>

#include "ctl/sidecar/merge.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

#define MS 1000000ULL

struct seen {
	uint64_t times[4096];
	size_t count, late, disorder;
};

static void take(void *userdata, const struct moat_event *event, bool late)
{
	struct seen *seen = userdata;

	if (!late && seen->count && event->time_ns < seen->times[seen->count - 1])
		seen->disorder++;
	seen->late += late;
	seen->times[seen->count++ % MOAT_ARRAY_SIZE(seen->times)] = event->time_ns;
}

static struct moat_event event_at(uint16_t cpu, uint64_t sequence, uint64_t time_ns)
{
	return (struct moat_event){
		.size = sizeof(struct moat_event),
		.type = MOAT_EVENT_EXIT,
		.cpu = cpu,
		.sequence = sequence,
		.time_ns = time_ns,
	};
}

static void add(struct moat_merge *merge, uint16_t cpu, uint64_t sequence, uint64_t time_ns)
{
	struct moat_event event = event_at(cpu, sequence, time_ns);

	CU_ASSERT_EQUAL(moat_merge_add(merge, &event), 0);
}

static struct moat_merge *new_merge(struct seen *seen, size_t most)
{
	const struct moat_merge_options options = { .cpus = 4, .waiting_max = most };
	struct moat_merge *merge = NULL;

	memset(seen, 0, sizeof(*seen));
	CU_ASSERT_EQUAL_FATAL(moat_merge_new(&options, take, seen, &merge), 0);
	return merge;
}

static void test_order(void)
{
	struct seen seen;
	struct moat_merge *merge = new_merge(&seen, 0);
	struct moat_merge_counters counters;

	add(merge, 0, 1, 100 * MS);
	add(merge, 1, 1, 90 * MS);
	add(merge, 0, 2, 110 * MS);
	add(merge, 1, 2, 105 * MS);
	moat_merge_advance(merge, 140 * MS);
	CU_ASSERT_EQUAL(seen.count, 1); /* the watermark stands at 90 */
	moat_merge_advance(merge, 155 * MS);
	CU_ASSERT_EQUAL(seen.count, 3);
	CU_ASSERT_EQUAL(moat_merge_waiting(merge), 1);
	/* behind what was handed on: at once with the next look, and marked */
	add(merge, 2, 1, 95 * MS);
	moat_merge_advance(merge, 156 * MS);
	CU_ASSERT_EQUAL(seen.late, 1);
	moat_merge_advance(merge, UINT64_MAX);
	CU_ASSERT_EQUAL(seen.count, 5);
	CU_ASSERT_EQUAL(seen.disorder, 0);
	moat_merge_counters(merge, &counters);
	CU_ASSERT_EQUAL(counters.received, 5);
	CU_ASSERT_EQUAL(counters.handed, 5);
	CU_ASSERT_EQUAL(counters.late, 1);
	CU_ASSERT_EQUAL(counters.missing, 0);
	moat_merge_free(merge);
}

/* Numbers tell what never came; one that comes by the other lane after all isn't missing. */
static void test_missing(void)
{
	struct seen seen;
	struct moat_merge *merge = new_merge(&seen, 0);
	struct moat_merge_counters counters;

	add(merge, 0, 3, 1 * MS);
	moat_merge_counters(merge, &counters);
	CU_ASSERT_EQUAL(counters.missing, 2);
	add(merge, 0, 2, 1 * MS);
	add(merge, 1, 1, 1 * MS);
	add(merge, 0, 10, 2 * MS);
	moat_merge_counters(merge, &counters);
	CU_ASSERT_EQUAL(counters.missing, 1 + 6);
	moat_merge_free(merge); /* with some still waiting */
}

/* More than may wait: the oldest go early, none is lost. */
static void test_bound(void)
{
	struct seen seen;
	struct moat_merge *merge = new_merge(&seen, 10);
	struct moat_merge_counters counters;

	for (uint64_t i = 1; i <= 1000; i++)
		add(merge, 0, i, i * MS);
	moat_merge_counters(merge, &counters);
	CU_ASSERT_EQUAL(counters.early, 990);
	CU_ASSERT_EQUAL(moat_merge_waiting(merge), 10);
	moat_merge_advance(merge, UINT64_MAX);
	CU_ASSERT_EQUAL(seen.count, 1000);
	CU_ASSERT_EQUAL(seen.disorder, 0);
	moat_merge_free(merge);
}

/* xorshift64 (Marsaglia 2003) */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Any interleaving of CPUs within the watermark comes out in order. */
static void test_random(void)
{
	struct seen seen;
	struct moat_merge *merge = new_merge(&seen, 0);
	uint64_t times[4] = { 0 }, sequences[4] = { 0 }, now = 0, random = 1;

	for (int i = 0; i < 4000; i++) {
		unsigned int cpu = next_random(&random) >> 20 & 3;

		now += next_random(&random) % (2 * MS);
		/* a CPU's own order is kept, its ring read up to 40 ms late */
		times[cpu] = times[cpu] + 40 * MS > now ? times[cpu] + 1 : now - 40 * MS;
		add(merge, (uint16_t)cpu, ++sequences[cpu], times[cpu]);
		moat_merge_advance(merge, now);
	}
	moat_merge_advance(merge, UINT64_MAX);
	CU_ASSERT_EQUAL(seen.count, 4000);
	CU_ASSERT_EQUAL(seen.late, 0);
	CU_ASSERT_EQUAL(seen.disorder, 0);
	moat_merge_free(merge);
	moat_merge_free(NULL);
}

struct steps {
	uint16_t types[16];
	size_t count;
};

static void take_type(void *userdata, const struct moat_event *event, bool late)
{
	struct steps *steps = userdata;

	CU_ASSERT_FALSE(late);
	steps->types[steps->count++ % MOAT_ARRAY_SIZE(steps->types)] = event->type;
}

static void add_step(struct moat_merge *merge, uint16_t cpu, uint64_t sequence, uint64_t time_ns,
		     uint16_t type)
{
	struct moat_event event = event_at(cpu, sequence, time_ns);

	event.type = type;
	CU_ASSERT_EQUAL(moat_merge_add(merge, &event), 0);
}

/* A process forked on one CPU runs and ends on others, whose rings are read first, all within one tick of
 * the clock: told in the order in which it can only have been. */
static void test_life(void)
{
	const struct moat_merge_options options = { .cpus = 4 };
	static const uint16_t life[] = { MOAT_EVENT_FORK, MOAT_EVENT_EXEC, 32, MOAT_EVENT_EXIT };
	struct moat_merge *merge = NULL;
	struct steps steps = { .count = 0 };

	CU_ASSERT_EQUAL_FATAL(moat_merge_new(&options, take_type, &steps, &merge), 0);
	add_step(merge, 0, 1, 7 * MS, MOAT_EVENT_EXIT);
	add_step(merge, 1, 1, 7 * MS, 32);
	add_step(merge, 2, 1, 7 * MS, MOAT_EVENT_EXEC);
	add_step(merge, 3, 1, 7 * MS, MOAT_EVENT_FORK);
	moat_merge_advance(merge, UINT64_MAX);
	CU_ASSERT_EQUAL_FATAL(steps.count, 4);
	CU_ASSERT_EQUAL(memcmp(steps.types, life, sizeof(life)), 0);
	/* on one CPU the numbers decide, whatever the types: a pid that comes again */
	add_step(merge, 1, 3, 8 * MS, MOAT_EVENT_FORK);
	add_step(merge, 1, 2, 8 * MS, MOAT_EVENT_EXIT);
	add_step(merge, 1, 4, 9 * MS, MOAT_EVENT_EXEC);
	moat_merge_advance(merge, UINT64_MAX);
	CU_ASSERT_EQUAL_FATAL(steps.count, 7);
	CU_ASSERT_EQUAL(steps.types[4], MOAT_EVENT_EXIT);
	CU_ASSERT_EQUAL(steps.types[5], MOAT_EVENT_FORK);
	moat_merge_free(merge);
}

/* A CPU's lanes are read one after the other: what the second one holds is older than the first one's end,
 * and isn't late for that. Beyond the bound of bytes the oldest go early. */
static void test_lanes(void)
{
	struct moat_merge_options options = { .cpus = 1, .bytes_max = 1 << 20 };
	struct moat_merge_counters counters;
	struct moat_merge *merge = NULL;
	struct seen seen = { .count = 0 };

	CU_ASSERT_EQUAL_FATAL(moat_merge_new(&options, take, &seen, &merge), 0);
	for (uint64_t round = 0; round < 10; round++) {
		for (uint64_t i = 0; i < 200; i++)
			add(merge, 0, round * 400 + 2 * i + 1, (round * 400 + 2 * i) * MS / 100);
		for (uint64_t i = 0; i < 200; i++)
			add(merge, 0, round * 400 + 2 * i + 2, (round * 400 + 2 * i + 1) * MS / 100);
		moat_merge_advance(merge, (round * 400 + 400) * MS / 100);
	}
	moat_merge_advance(merge, UINT64_MAX);
	moat_merge_counters(merge, &counters);
	CU_ASSERT_EQUAL(counters.handed, 4000);
	CU_ASSERT_EQUAL(counters.late + counters.early + counters.missing, 0);
	CU_ASSERT_EQUAL(seen.disorder, 0);
	for (uint64_t i = 1; i <= (1 << 20) / sizeof(struct moat_event) + 10; i++)
		add(merge, 0, 4000 + i, (4000 + i) * MS);
	moat_merge_counters(merge, &counters);
	CU_ASSERT_EQUAL(counters.early, 10);
	moat_merge_free(merge);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "order", test_order }, { "missing", test_missing },
		{ "bound", test_bound }, { "random", test_random },
		{ "life", test_life },   { "lanes", test_lanes },
		{ NULL, NULL },
	};

	return moat_test_main("sidecar merge", tests);
}
