/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many records a cgroup may send: so many in each window of 134 ms, in each lane apart. What is beyond
 * is counted by type, not sent, and told by moat-sidecar. So a fork bomb in one container leaves the rings
 * to the others.
 */
#ifndef MOAT_LIB_BUDGET_H
#define MOAT_LIB_BUDGET_H

#include <bpf/bpf_helpers.h>

#include "moat/event.h"

/* Set before loading: records a window, by lane; 0: as many as they like. */
const volatile __u32 budget_process = 0;
const volatile __u32 budget_other = 0;
const volatile __u32 budget_exempt = 0; /* tgid of moat-sidecar: its canaries have to be seen */

/* By cgroup id. Beyond so many cgroups, those that come later share the entry of 0, which user space makes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct moat_event_budget);
} event_budgets SEC(".maps");

/* What an entry begins as; too large for the stack. */
static const struct moat_event_budget fresh_budget = {};

static __always_inline struct moat_event_budget *
moat_budget_find(__u64 cgroup_id, struct moat_event_counters *counters)
{
	struct moat_event_budget *budget = bpf_map_lookup_elem(&event_budgets, &cgroup_id);

	if (budget)
		return budget;
	if (bpf_map_update_elem(&event_budgets, &cgroup_id, &fresh_budget, BPF_NOEXIST) < 0)
		__sync_fetch_and_add(&counters->failed_updates, 1);
	budget = bpf_map_lookup_elem(&event_budgets, &cgroup_id);
	if (budget)
		return budget;
	cgroup_id = 0;
	return bpf_map_lookup_elem(&event_budgets, &cgroup_id);
}

/* Whether the record may go; if not, it has been counted. Two CPUs that begin a window at once may let a
 * few more go than there should. */
static __always_inline int moat_budget_admits(const struct moat_event *head, __u32 type, int lane,
					      struct moat_event_counters *counters)
{
	__u32 most = lane ? budget_other : budget_process;
	__u64 window = head->time_ns >> MOAT_BUDGET_WINDOW_SHIFT;
	struct moat_event_budget *budget;

	/* what was there before is told once, whosever it is */
	if (!most || type == MOAT_EVENT_EXISTING || head->task.self.tgid == budget_exempt)
		return 1;
	budget = moat_budget_find(head->task.cgroup_id, counters);
	if (!budget)
		return 1;
	if (window > budget->window) {
		budget->window = window;
		budget->used[0] = 0;
		budget->used[1] = 0;
	}
	if (budget->used[lane] < most) {
		__sync_fetch_and_add(&budget->used[lane], 1);
		return 1;
	}
	if (type < MOAT_EVENT_TYPES)
		__sync_fetch_and_add(&budget->suppressed[type], 1);
	__sync_fetch_and_add(&budget->total, 1);
	__sync_fetch_and_add(&counters->suppressed, 1);
	return 0;
}

#endif
