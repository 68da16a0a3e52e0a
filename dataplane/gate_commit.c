/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rule sets into force: the half that no packet reads is rebuilt in mapped memory, then one word says
 * that it is the one to read. Also the hits of rules, which outlive rebuilds and restarts.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "dataplane/base/clock.h"
#include "dataplane/gate_internal.h"

static uint32_t active_half(const struct moat_gate *gate)
{
	return __atomic_load_n(&moat_gate_ctl(gate)->force.active, __ATOMIC_ACQUIRE);
}

/* Puts a half in force, or what was changed in it: leaves that cells hold are of the generation before. */
static void put_in_force(struct moat_gate *gate, uint32_t half)
{
	union moat_gate_force force = moat_gate_ctl(gate)->force;

	force.active = half;
	force.generation = force.generation + 1 ? force.generation + 1 : 1;
	__atomic_store_n(&moat_gate_ctl(gate)->force.word, force.word, __ATOMIC_SEQ_CST);
}

bool moat_gate_has_policy(const struct moat_gate *gate)
{
	return active_half(gate) < 2;
}

/* The name of the port that an adopted rule redirects to. */
static void keep_target(struct moat_gate *gate, const struct moat_rule_entry *entry)
{
	const struct moat_gate_port_record *record;

	if (entry->action != MOAT_ACTION_REDIRECT || entry->value >= MOAT_PORTS_MAX)
		return;
	record = moat_gate_maps_element(&gate->maps, GATE_MAP_PORTS, entry->value);
	memcpy(gate->slot_targets[entry->slot], record->name, sizeof(record->name));
}

void moat_gate_tables_init(struct moat_gate *gate)
{
	const struct gate_maps *maps = &gate->maps;
	uint32_t active = active_half(gate);

	for (uint32_t i = 0; i < 2; i++) {
		gate->halves[i] = (struct moat_tables){
			.src4_root = moat_gate_maps_element(maps, GATE_MAP_SRC4_ROOT, i),
			.dst4_root = moat_gate_maps_element(maps, GATE_MAP_DST4_ROOT, i),
			.src6_root = moat_gate_maps_element(maps, GATE_MAP_SRC6_ROOT, i),
			.dst6_root = moat_gate_maps_element(maps, GATE_MAP_DST6_ROOT, i),
			.nodes = moat_gate_maps_nodes(maps, i),
			.rules = moat_gate_maps_element(maps, GATE_MAP_RULE_TABLES, i),
			.stages = moat_gate_maps_element(maps, GATE_MAP_STAGE_TABLES, i),
			.node_capacity = maps->nodes,
			.dirty = maps->adopted,
		};
	}
	if (active > 1)
		return;
	/* whose slots they are, so that hits go on where they stood */
	for (uint32_t i = 0; i < gate->halves[active].rules->rule_count && i < MOAT_RULES_MAX; i++) {
		const struct moat_rule_entry *entry = &gate->halves[active].rules->entries[i];

		if (entry->slot >= MOAT_RULES_MAX)
			continue;
		gate->slot_ids[entry->slot] = entry->id;
		keep_target(gate, entry);
	}
}

static struct moat_rule_count *counts_of(const struct moat_gate *gate, uint32_t cpu)
{
	return moat_gate_maps_element(&gate->maps, GATE_MAP_HITS, cpu);
}

/* All that a slot ever counted. */
static struct moat_rule_count sum_counts(const struct moat_gate *gate, uint32_t slot)
{
	struct moat_rule_count sum = {};

	for (uint32_t cpu = 0; cpu < gate->maps.cpus; cpu++) {
		const volatile struct moat_rule_count *count = &counts_of(gate, cpu)[slot];

		sum.packets += count->packets;
		sum.acted += count->acted;
		sum.bytes += count->bytes;
	}
	return sum;
}

/* What the slots' former rules had, written by commit: the element behind those of the CPUs. */
static struct moat_rule_count *bases_of(const struct moat_gate *gate)
{
	return counts_of(gate, gate->maps.cpus);
}

struct moat_rule_count moat_gate_rule_count(const struct moat_gate *gate, uint32_t slot)
{
	struct moat_rule_count sum = {};
	const volatile struct moat_rule_count *base;

	if (slot >= MOAT_RULES_MAX)
		return sum;
	base = &bases_of(gate)[slot];
	sum = sum_counts(gate, slot);
	sum.packets -= base->packets;
	sum.acted -= base->acted;
	sum.bytes -= base->bytes;
	return sum;
}

/* A slot that another rule takes begins at 0 and with a full bucket: the gate's own counts are never written from here. */
static void note_slots(struct moat_gate *gate, const struct moat_ruleset *set)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(set, &count);

	for (size_t i = 0; i < count; i++) {
		uint32_t slot = rules[i].slot;
		struct moat_limit *limit;

		if (slot >= MOAT_RULES_MAX)
			continue;
		memcpy(gate->slot_targets[slot], rules[i].target, sizeof(rules[i].target));
		if (gate->slot_ids[slot] == rules[i].id)
			continue;
		gate->slot_ids[slot] = rules[i].id;
		limit = moat_gate_maps_element(&gate->maps, GATE_MAP_LIMITS, slot);
		__atomic_store_n(&limit->packets, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&limit->bytes, 0, __ATOMIC_RELAXED);
		bases_of(gate)[slot] = sum_counts(gate, slot);
	}
}

/* Gives the redirecting rules of a half the indices of the ports that they name. */
static void find_targets(struct moat_gate *gate, struct moat_tables *half)
{
	for (uint32_t i = 0; i < half->rules->rule_count; i++) {
		struct moat_rule_entry *entry = &half->rules->entries[i];

		if (entry->action == MOAT_ACTION_REDIRECT)
			__atomic_store_n(&entry->value,
					 moat_gate_port_named(gate, gate->slot_targets[entry->slot]),
					 __ATOMIC_RELAXED);
	}
}

void moat_gate_targets_update(struct moat_gate *gate)
{
	int fd = gate->maps.map[GATE_MAP_TARGETS].fd;

	for (uint32_t i = 0; i < MOAT_PORTS_MAX; i++) {
		uint32_t ifindex = (uint32_t)gate->ports[i].info.ifindex;

		/* refused for an interface that is going: then nothing is sent there */
		if (!gate->ports[i].used || bpf_map_update_elem(fd, &i, &ifindex, BPF_ANY) < 0)
			bpf_map_delete_elem(fd, &i);
	}
	if (active_half(gate) < 2)
		find_targets(gate, &gate->halves[active_half(gate)]);
}

struct moat_profile_hits moat_gate_profile_hits(const struct moat_gate *gate, uint32_t number)
{
	struct moat_profile_hits hits = { 0 };
	uint32_t active = active_half(gate);

	for (uint32_t cpu = 0; active < 2 && number < MOAT_PROFILES_MAX && cpu < gate->maps.cpus;
	     cpu++) {
		const struct moat_profile_share *shares = moat_gate_maps_element(
			&gate->maps, GATE_MAP_PROFILE_SHARES, cpu);

		moat_tables_add_profile_hits(&gate->halves[active], number, &shares[number], &hits);
	}
	return hits;
}

/* Returns once no packet can be reading the half that was in force: programs run in RCU read-side
 * sections, and membarrier waits for all of them (kernel/sched/membarrier.c: synchronize_rcu). */
static void wait_grace_period(const struct moat_gate *gate)
{
	uint64_t window_ns = (MOAT_NS_PER_S << gate->clock.window_shift) / gate->clock.ticks_per_s;
	struct timespec pause = { .tv_nsec = (long)window_ns * 2 };

	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
		return;
	/* refused with nohz_full: two windows are ages for a packet */
	while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
		;
}

int moat_gate_patch(struct moat_gate *gate, const struct moat_ruleset *set, enum moat_list list,
		    const struct moat_prefix *prefix)
{
	uint32_t active = active_half(gate);
	int r;

	if (active > 1)
		return MOAT_TABLES_REBUILD;
	r = moat_tables_patch(&gate->halves[active], set, list, prefix);
	put_in_force(gate, active);
	return r;
}

/* Builds the idle half; where it lacks nodes, with more of them. */
static int build(struct moat_gate *gate, uint32_t idle, const struct moat_ruleset *set,
		 const struct moat_tables_clock *clock, struct moat_error *error)
{
	uint32_t needed = 0;
	int r = moat_tables_build(&gate->halves[idle], set, clock, error);

	if (r != MOAT_TABLES_NO_NODES || !gate->grows)
		return r;
	r = moat_tables_count_nodes(set, &needed);
	if (r < 0)
		return moat_error_set(error, r, "no memory to count the nodes");
	r = moat_gate_nodes_for(needed);
	if (r < 0)
		return moat_error_set(error, -ENOSPC, "the prefixes need %u trie nodes", needed);
	r = moat_gate_grow(gate, (uint32_t)r, error);
	return r < 0 ? r : moat_tables_build(&gate->halves[idle], set, clock, error);
}

int moat_gate_commit(struct moat_gate *gate, const struct moat_ruleset *set,
		     struct moat_error *error)
{
	uint32_t idle = active_half(gate) == 0 ? 1 : 0;
	struct gate_time now;
	int r = moat_gate_clock_read(&gate->clock, &now);

	if (r < 0)
		return moat_error_set(error, r, "reading the gate's clock: %s", strerror(-r));
	r = build(gate, idle, set,
		  &(struct moat_tables_clock){
			  .now_ns = now.monotonic_ns,
			  .now_ticks = now.jiffies,
			  .ticks_per_s = gate->clock.ticks_per_s,
			  .judges = gate->maps.cpus,
		  },
		  error);
	if (r != 0)
		return r;
	note_slots(gate, set);
	find_targets(gate, &gate->halves[idle]);
	moat_tables_reset_profiles(&gate->halves[!idle], &gate->halves[idle],
				   moat_gate_maps_element(&gate->maps, GATE_MAP_PROFILE_LIMITS, 0));
	moat_gate_ctl(gate)->stages[idle] = gate->halves[idle].work |
					    (gate->halves[idle].rules->rule_count ? MOAT_STAGE_RULES
										  : 0);
	put_in_force(gate, idle);
	wait_grace_period(gate);
	return 0;
}
