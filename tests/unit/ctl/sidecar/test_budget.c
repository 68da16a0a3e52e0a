/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What budgets held back is told once, by type, and silent cgroups give up their entries. */
#include <bpf/bpf.h>
#include <string.h>
#include <unistd.h>

#include "ctl/sidecar/budget.h"
#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"

#define NOW (1000 * MOAT_NS_PER_S)

static int map_fd;

struct seen {
	uint64_t counts[MOAT_EVENT_TYPES];
	uint64_t cgroup_id;
	int events;
};

static void take(void *userdata, const struct moat_event *event)
{
	const struct moat_event_suppressed *told = (const struct moat_event_suppressed *)event;
	struct seen *seen = userdata;

	CU_ASSERT_EQUAL(event->type, MOAT_EVENT_SUPPRESSED);
	CU_ASSERT_EQUAL(event->size, sizeof(*told));
	seen->cgroup_id = event->task.cgroup_id;
	seen->counts[told->of_type] += told->count;
	seen->events++;
}

static void put(uint64_t cgroup_id, uint64_t time_ns, uint64_t forks, uint64_t exits)
{
	struct moat_event_budget budget = {
		.window = time_ns >> MOAT_BUDGET_WINDOW_SHIFT,
		.total = forks + exits,
	};

	budget.suppressed[MOAT_EVENT_FORK] = forks;
	budget.suppressed[MOAT_EVENT_EXIT] = exits;
	CU_ASSERT_EQUAL(bpf_map_update_elem(map_fd, &cgroup_id, &budget, BPF_ANY), 0);
}

static void test_tell(void)
{
	struct moat_budgets_counters counters;
	struct moat_budgets *budgets = NULL;
	struct seen seen = { .events = 0 };
	uint64_t key;

	CU_ASSERT_EQUAL_FATAL(moat_budgets_new(map_fd, take, &seen, &budgets), 0);
	put(7, NOW, 0, 0);
	put(8, NOW, 10, 3);
	moat_budgets_poll(budgets, NOW);
	CU_ASSERT_EQUAL(seen.events, 2);
	CU_ASSERT_EQUAL(seen.cgroup_id, 8);
	moat_budgets_poll(budgets, NOW); /* nothing new */
	CU_ASSERT_EQUAL(seen.events, 2);
	put(8, NOW, 15, 3);
	moat_budgets_poll(budgets, NOW);
	CU_ASSERT_EQUAL(seen.events, 3);
	CU_ASSERT_EQUAL(seen.counts[MOAT_EVENT_FORK], 15);
	CU_ASSERT_EQUAL(seen.counts[MOAT_EVENT_EXIT], 3);
	moat_budgets_counters(budgets, &counters);
	CU_ASSERT_EQUAL(counters.suppressed, 18);
	CU_ASSERT_EQUAL(counters.cgroups, 3); /* with the shared one */
	/* a minute later only the shared one is left, and a new life of the number starts from 0 */
	put(8, NOW, 20, 3);
	moat_budgets_poll(budgets, NOW + 61 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(seen.counts[MOAT_EVENT_FORK], 20);
	moat_budgets_poll(budgets, NOW + 61 * MOAT_NS_PER_S);
	moat_budgets_counters(budgets, &counters);
	CU_ASSERT_EQUAL(counters.cgroups, 1);
	CU_ASSERT_EQUAL(bpf_map_get_next_key(map_fd, NULL, &key), 0);
	CU_ASSERT_EQUAL(key, 0);
	put(8, NOW + 61 * MOAT_NS_PER_S, 2, 0);
	moat_budgets_poll(budgets, NOW + 61 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(seen.counts[MOAT_EVENT_FORK], 22);
	moat_budgets_free(budgets);
	moat_budgets_free(NULL);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "tell", test_tell },
		{ NULL, NULL },
	};
	int failed;

	map_fd = bpf_map_create(BPF_MAP_TYPE_HASH, "test_budgets", sizeof(uint64_t),
				sizeof(struct moat_event_budget), 16, NULL);
	if (map_fd < 0)
		moat_test_skip("no BPF map: %s", strerror(-map_fd));
	failed = moat_test_main("sidecar budget", tests);
	close(map_fd);
	return failed;
}
