/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The cgroup that says where a task belongs, as a number of moat/cgroup.h. */
#ifndef MOAT_LIB_CGROUP_H
#define MOAT_LIB_CGROUP_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "moat/cgroup.h"

#define MOAT_CGROUP_TAGGED(number, hierarchy) \
	((number) | (__u64)(hierarchy) << MOAT_HIERARCHY_SHIFT)

/* The cgroup of a version 1 hierarchy, 0 where the controller is cgroup2's, or its root. */
static __always_inline __u64 moat_cgroup_of_controller(struct css_set *set, __u32 controller,
						       __u32 hierarchy)
{
	struct cgroup_subsys_state *state = NULL;
	struct cgroup_root *root, *unified = set->dfl_cgrp->root;
	struct cgroup *cgroup;

	bpf_core_read(&state, sizeof(state), &set->subsys[controller]);
	cgroup = BPF_CORE_READ(state, cgroup);
	root = BPF_CORE_READ(cgroup, root);
	if (!cgroup || root == unified || BPF_CORE_READ(cgroup, level) == 0)
		return 0;
	return MOAT_CGROUP_TAGGED(BPF_CORE_READ(cgroup, kn, id), hierarchy);
}

/* The pids hierarchy of version 1 comes first, since runtimes make a cgroup for each container there, in
 * cgroup2 not always; and the memory one last, which others divide for reasons of their own. */
static __always_inline __u64 moat_cgroup_of(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	__u64 found = 0;

	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id))
		found = moat_cgroup_of_controller(
			set, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id),
			MOAT_HIERARCHY_PIDS);
	if (!found && set->dfl_cgrp->level == 0 &&
	    bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		found = moat_cgroup_of_controller(
			set, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id),
			MOAT_HIERARCHY_MEMORY);
	return found ? found : set->dfl_cgrp->kn->id;
}

/* The number of a cgroup that is made; 0 if its hierarchy is none of ours. */
static __always_inline __u64 moat_cgroup_number(struct cgroup *cgroup)
{
	struct cgroup_root *root = cgroup->root;
	__u64 number = cgroup->kn->id, mask = root->subsys_mask;

	if (root->hierarchy_id == 0)
		return number;
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id) &&
	    mask >> bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id) & 1)
		return MOAT_CGROUP_TAGGED(number, MOAT_HIERARCHY_PIDS);
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id) &&
	    mask >> bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) & 1)
		return MOAT_CGROUP_TAGGED(number, MOAT_HIERARCHY_MEMORY);
	return 0;
}

#endif
