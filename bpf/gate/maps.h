/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's maps and load-time constants. User space creates and sizes the shared maps
 * (dataplane/gate_maps.c) and has every port's object reuse them: value sizes and numbers of elements
 * here are those of the smallest gate, the constants say the real ones.
 *
 * Arrays only: the kernel inlines their lookup. "One element a CPU" are arrays, not per-CPU arrays,
 * since only arrays can be mapped by readers.
 */
#ifndef MOAT_GATE_MAPS_H
#define MOAT_GATE_MAPS_H

#include <bpf/bpf_helpers.h>

#include "moat/challenge.h"
#include "moat/gate.h"

/* Known to the verifier as numbers, so that masked indices are within bounds for it. */
const volatile __u32 port_index = 0;
const volatile __u32 window_shift = 0;
const volatile __u32 cells = MOAT_CELL_WAYS; /* a table: a power of two */
const volatile __u32 set_mask = 0;           /* sets of them a table - 1 */
const volatile __u32 node_count = 1;         /* of one element of trie_nodes */
const volatile __u32 node_chunks = 1;        /* elements of one half */
const volatile __u32 validated_mask = 0;     /* sets - 1 */
const volatile __u32 challenge_form = MOAT_CHALLENGE_WRONG_ACK;
const volatile __u32 cpu_mask = 0;      /* of the elements of port_counters, a power of two */
const volatile __u32 tunnel_stages = 0; /* which tunnels are looked into: enum moat_stage */
const volatile __u16 vxlan_port = MOAT_VXLAN_PORT;
const volatile __u16 geneve_port = MOAT_GENEVE_PORT;
/* enum moat_stage: what of the gate there is. The verifier takes out the code of the other stages. */
const volatile __u32 port_stages = MOAT_STAGES_DEFAULT;
const volatile __u32 fail_closed = 0;              /* without a policy packets are dropped */
const volatile __u32 row_mask = 0;                 /* buckets a row - 1 */
const volatile struct moat_rate control_rate = {}; /* MOAT_CONTROL_PTB_PPS for the gate's clock */

#define MOAT_ARRAY(name, value_type, elements)     \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(max_entries, elements);     \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__type(key, __u32);                \
		__type(value, value_type);         \
	} name SEC(".maps")

struct gate_leaf {
	__u32 leaf;
};

/* What the head and the cells of one CPU look like to the verifier before they are sized. */
struct gate_cells {
	struct moat_cell_head head;
	struct moat_cell cells[]; /* of destinations, then of sources; behind them their sets */
};

struct gate_hits {
	struct moat_rule_count slots[MOAT_RULES_MAX];
};

struct gate_shares {
	struct moat_limit_share slots[MOAT_RULES_MAX];
};

/* Likewise the sets of validated sources. */
struct gate_validated {
	struct moat_validated sets[1];
};

struct gate_src4_roots {
	__u32 halves[2][1 << MOAT_LPM_SRC4_BITS];
};

struct gate_roots {
	__u32 halves[2][1 << MOAT_LPM_ROOT_BITS];
};

struct gate_scratch {
	__u8 bytes[MOAT_GATE_SCRATCH];
};

struct gate_rule_tables {
	struct moat_rule_tables halves[2];
};

struct gate_profile_shares {
	struct moat_profile_share profiles[MOAT_PROFILES_MAX];
};

struct gate_stage_tables {
	struct moat_stage_tables halves[2];
};

struct gate_profile_limits {
	struct moat_profile_limit profiles[MOAT_PROFILES_MAX];
};

/* Direct tables: one value, reached by its address (moat_table) without any lookup. */
MOAT_ARRAY(ctl, struct moat_gate_ctl, 1);
MOAT_ARRAY(src4_root, struct gate_src4_roots, 1);
MOAT_ARRAY(dst4_root, struct gate_roots, 1);
MOAT_ARRAY(src6_root, struct gate_roots, 1);
MOAT_ARRAY(dst6_root, struct gate_roots, 1);
MOAT_ARRAY(rule_tables, struct gate_rule_tables, 1);
MOAT_ARRAY(stage_tables, struct gate_stage_tables, 1);
MOAT_ARRAY(profile_limits, struct gate_profile_limits, 1);
MOAT_ARRAY(port_counters, struct moat_gate_counters, 1); /* of this port: one a CPU, see cpu_mask */
MOAT_ARRAY(scratch, struct gate_scratch, 1);             /* one a CPU, likewise */
/* one element a half */
MOAT_ARRAY(trie_nodes, struct gate_leaf, 2);
/* one element a row, row_mask + 1 buckets */
MOAT_ARRAY(rows, struct moat_row_bucket, MOAT_ROWS);
/* one element a slot */
MOAT_ARRAY(limits, struct moat_limit, MOAT_RULES_MAX);
/* one element a CPU */
MOAT_ARRAY(window_cells, struct gate_cells, 1);
MOAT_ARRAY(hits, struct gate_hits, 1);
MOAT_ARRAY(shares, struct gate_shares, 1);
MOAT_ARRAY(row_shares, struct moat_row_share, 1); /* row by row, row_mask + 1 each */
MOAT_ARRAY(profile_shares, struct gate_profile_shares, 1);
MOAT_ARRAY(challenge_cpu, struct moat_challenge_cpu, 1);

MOAT_ARRAY(known, struct moat_known, 1);
MOAT_ARRAY(challenge, struct moat_challenge_state, 1);
MOAT_ARRAY(validated, struct gate_validated, 1);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, MOAT_SAMPLE_RING_BYTES);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MOAT_GATE_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

/* Where rules redirect to: the interfaces of the gate's ports, by port index. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

/* The memory of element `index`, whose real size user space set. */
#define moat_map_element(map, index)                \
	({                                          \
		__u32 _key = (index);               \
		bpf_map_lookup_elem(&(map), &_key); \
	})

/* The memory of a direct table. To the kernel this is the map's value, to whoever loads the program the
 * map itself: dataplane/gate_direct.c makes the one of the other. */
#define moat_table(map)                                          \
	({                                                       \
		void *_memory;                                   \
		asm("%0 = %1 ll" : "=r"(_memory) : "i"(&(map))); \
		_memory;                                         \
	})

/* The part of `stride` bytes for a half, which has to be seen to be 0 or 1. */
#define moat_table_half(map, half, stride)                        \
	({                                                        \
		__u64 _half = (half);                             \
		void *_part;                                      \
		asm volatile("" : "+r"(_half));                   \
		_part = moat_table(map) + (_half & 1) * (stride); \
		asm volatile("" : "+r"(_part));                   \
		_part;                                            \
	})

MOAT_INLINE const volatile struct moat_gate_ctl *gate_ctl(void)
{
	return moat_table(ctl);
}

/* What this port counts on this CPU. */
MOAT_INLINE struct moat_gate_counters *gate_counters(__u32 cpu)
{
	struct moat_gate_counters *counters = moat_table(port_counters);

	return &counters[cpu & cpu_mask];
}

MOAT_INLINE const struct moat_rule_tables *gate_rule_table(__u32 half)
{
	return moat_table_half(rule_tables, half, sizeof(struct moat_rule_tables));
}

MOAT_INLINE const struct moat_stage_tables *gate_stage_table(__u32 half)
{
	return moat_table_half(stage_tables, half, sizeof(struct moat_stage_tables));
}

#endif
