/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* In place of bpf/lib/machine.h: the gate's time and CPU as the test gives them. */
#ifndef MOAT_LIB_MACHINE_H
#define MOAT_LIB_MACHINE_H

#include <bpf/bpf_helpers.h>

#include "tests/oracle/replay/inputs.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct replay_inputs);
} replay_inputs SEC(".maps");

MOAT_INLINE __u64 moat_machine_ticks(void)
{
	__u32 key = 0;
	const struct replay_inputs *inputs = bpf_map_lookup_elem(&replay_inputs, &key);

	return inputs ? inputs->ticks : 0;
}

MOAT_INLINE __u32 moat_machine_cpu(void)
{
	__u32 key = 0;
	const struct replay_inputs *inputs = bpf_map_lookup_elem(&replay_inputs, &key);

	return inputs ? inputs->cpu : 0;
}

#endif
