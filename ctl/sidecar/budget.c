/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See budget.h. The probes only ever count up; what was told of each cgroup is remembered here. */
#include "ctl/sidecar/budget.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define SILENT_NS (60 * MOAT_NS_PER_S)

/* A cgroup that had something held back. */
struct told {
	struct told *next;
	uint64_t cgroup_id, total;
	uint64_t suppressed[MOAT_EVENT_TYPES];
};

struct moat_budgets {
	int map_fd;
	moat_budgets_fn handler;
	void *userdata;
	struct told *told; /* few: noisy ones */
	struct moat_budgets_counters counters;
};

int moat_budgets_new(int map_fd, moat_budgets_fn handler, void *userdata,
		     struct moat_budgets **ret_budgets)
{
	struct moat_budgets *budgets = calloc(1, sizeof(*budgets));
	const struct moat_event_budget fresh = { .window = 0 };
	const uint64_t shared = 0;
	int r;

	if (!budgets)
		return -ENOMEM;
	r = bpf_map_update_elem(map_fd, &shared, &fresh, BPF_ANY);
	if (r < 0) {
		free(budgets);
		return r;
	}
	budgets->map_fd = map_fd;
	budgets->handler = handler;
	budgets->userdata = userdata;
	*ret_budgets = budgets;
	return 0;
}

void moat_budgets_free(struct moat_budgets *budgets)
{
	if (!budgets)
		return;
	while (budgets->told) {
		struct told *next = budgets->told->next;

		free(budgets->told);
		budgets->told = next;
	}
	free(budgets);
}

static struct told **told_find(struct moat_budgets *budgets, uint64_t cgroup_id)
{
	struct told **at = &budgets->told;

	while (*at && (*at)->cgroup_id != cgroup_id)
		at = &(*at)->next;
	return at;
}

static void tell(struct moat_budgets *budgets, uint64_t cgroup_id, uint32_t type, uint64_t count,
		 uint64_t now_ns)
{
	const struct moat_event_suppressed event = {
		.head = { .size = sizeof(event),
			  .type = MOAT_EVENT_SUPPRESSED,
			  .time_ns = now_ns,
			  .task = { .cgroup_id = cgroup_id } },
		.count = count,
		.of_type = type,
	};

	budgets->counters.suppressed += count;
	budgets->handler(budgets->userdata, &event.head);
}

/* Tells what is new of a cgroup. */
static void tell_all(struct moat_budgets *budgets, uint64_t cgroup_id,
		     const struct moat_event_budget *budget, uint64_t now_ns)
{
	struct told **at = told_find(budgets, cgroup_id), *told = *at;

	if (!told) {
		told = *at = calloc(1, sizeof(*told));
		if (!told) {
			budgets->counters.untold++;
			return;
		}
		told->cgroup_id = cgroup_id;
	}
	if (told->total == budget->total)
		return;
	told->total = budget->total;
	for (uint32_t type = 0; type < MOAT_EVENT_TYPES; type++) {
		if (budget->suppressed[type] > told->suppressed[type])
			tell(budgets, cgroup_id, type,
			     budget->suppressed[type] - told->suppressed[type], now_ns);
		told->suppressed[type] = budget->suppressed[type];
	}
}

/* Gives up the entry of a cgroup that sends nothing any more. */
static void forget(struct moat_budgets *budgets, uint64_t cgroup_id)
{
	struct told **at = told_find(budgets, cgroup_id), *told = *at;

	bpf_map_delete_elem(budgets->map_fd, &cgroup_id);
	if (told) {
		*at = told->next;
		free(told);
	}
}

void moat_budgets_poll(struct moat_budgets *budgets, uint64_t now_ns)
{
	struct moat_event_budget budget;
	uint64_t key, next, *from = NULL;
	bool more;

	budgets->counters.cgroups = 0;
	more = bpf_map_get_next_key(budgets->map_fd, from, &next) == 0;
	while (more) {
		key = next;
		/* the one behind it, before it may go */
		more = bpf_map_get_next_key(budgets->map_fd, &key, &next) == 0;
		if (bpf_map_lookup_elem(budgets->map_fd, &key, &budget) < 0)
			continue;
		budgets->counters.cgroups++;
		if (budget.total > 0)
			tell_all(budgets, key, &budget, now_ns);
		if (key != 0 && (budget.window << MOAT_BUDGET_WINDOW_SHIFT) + SILENT_NS < now_ns)
			forget(budgets, key);
	}
}

void moat_budgets_counters(const struct moat_budgets *budgets,
			   struct moat_budgets_counters *ret_counters)
{
	*ret_counters = budgets->counters;
}
