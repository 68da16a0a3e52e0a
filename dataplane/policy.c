/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * See policy.h. The policy owns two halves of tables; judges read the one in force. Who is reading is
 * told by quiescent states (McKenney, "User-level implementations of read-copy update", TPDS 2012): a
 * judge enters with its first packet after moat_judge_quiesce and leaves with the next call of it.
 */
#include "dataplane/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/prefetch.h"
#include "dataplane/policy_priv.h"
#include "dataplane/rate.h"

#define JUDGES_MAX 1024
#define TICKS_PER_S 1000
/* Address space, of which only touched pages become memory: a node for each of a million /24s. */
#define NODES_MOST (1u << 20)
#define NODES_LEAST (1u << 15)
#define GRACE_POLL_NS 20000

/* ---- memory ----------------------------------------------------------------------------------- */

#define SRC4_BYTES (sizeof(uint32_t) << MOAT_LPM_SRC4_BITS)
#define ROOT_BYTES (sizeof(uint32_t) << MOAT_LPM_ROOT_BITS)

#define VALIDATED_BYTES (MOAT_CHALLENGE_SETS_DEFAULT * sizeof(struct moat_validated))

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void unmap(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

static size_t node_bytes(uint32_t count)
{
	return (size_t)count * MOAT_LPM_NODE_SIZE * sizeof(uint32_t);
}

static void half_deinit(struct moat_tables *half)
{
	unmap(half->src4_root, SRC4_BYTES);
	unmap(half->dst4_root, ROOT_BYTES);
	unmap(half->src6_root, ROOT_BYTES);
	unmap(half->dst6_root, ROOT_BYTES);
	unmap(half->nodes, node_bytes(half->node_capacity));
	unmap(half->rules, sizeof(*half->rules));
	unmap(half->stages, sizeof(*half->stages));
}

static int half_init(struct moat_tables *half)
{
	half->src4_root = map(SRC4_BYTES);
	/* reached at random by every packet: a huge page saves a TLB miss; refusal costs nothing */
	if (half->src4_root)
		madvise(half->src4_root, SRC4_BYTES, MADV_HUGEPAGE);
	half->dst4_root = map(ROOT_BYTES);
	half->src6_root = map(ROOT_BYTES);
	half->dst6_root = map(ROOT_BYTES);
	half->rules = map(sizeof(*half->rules));
	half->stages = map(sizeof(*half->stages));
	/* strict overcommit counts what isn't touched as well: then fewer have to do */
	half->node_capacity = 2 * NODES_MOST;
	while (!half->nodes && half->node_capacity > NODES_LEAST) {
		half->node_capacity /= 2;
		half->nodes = map(node_bytes(half->node_capacity));
	}
	return half->src4_root && half->dst4_root && half->src6_root && half->dst6_root &&
			       half->rules && half->stages && half->nodes
		       ? 0
		       : -ENOMEM;
}

static int rows_init(struct moat_policy *policy)
{
	for (size_t row = 0; row < MOAT_ROWS; row++) {
		policy->rows[row] = map(MOAT_POLICY_ROW * sizeof(struct moat_row_bucket));
		if (!policy->rows[row])
			return -ENOMEM;
		for (uint32_t i = 0; i < policy->judge_count; i++) {
			policy->judges[i].rows[row] = map(MOAT_POLICY_ROW *
							  sizeof(struct moat_row_share));
			if (!policy->judges[i].rows[row])
				return -ENOMEM;
		}
	}
	return 0;
}

void moat_policy_free(struct moat_policy *policy)
{
	if (!policy)
		return;
	half_deinit(&policy->halves[0]);
	half_deinit(&policy->halves[1]);
	unmap(policy->validated, VALIDATED_BYTES);
	for (size_t row = 0; row < MOAT_ROWS; row++) {
		unmap(policy->rows[row], MOAT_POLICY_ROW * sizeof(struct moat_row_bucket));
		for (uint32_t i = 0; policy->judges && i < policy->judge_count; i++)
			unmap(policy->judges[i].rows[row],
			      MOAT_POLICY_ROW * sizeof(struct moat_row_share));
	}
	free(policy->known);
	free(policy->judges);
	free(policy);
}

static void policy_free_cleanup(struct moat_policy **policy)
{
	moat_policy_free(*policy);
}

static void *zeroed_lines(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);

	return memory ? memset(memory, 0, size) : NULL;
}

int moat_policy_new(uint32_t judges, uint64_t hash_seed, struct moat_policy **ret_policy)
{
	const struct moat_challenge_options challenge = moat_challenge_default();
	moat_cleanup(policy_free_cleanup) struct moat_policy *policy = NULL;

	int r;

	if (judges == 0 || judges > JUDGES_MAX)
		return -EINVAL;
	policy = zeroed_lines(sizeof(*policy));
	if (!policy)
		return -ENOMEM;
	policy->active = MOAT_GATE_NO_POLICY;
	policy->generation = 1;
	policy->judge_count = judges;
	policy->hash_seed = hash_seed;
	policy->known = zeroed_lines(sizeof(*policy->known));
	policy->judges = zeroed_lines(judges * sizeof(*policy->judges));
	policy->validated = map(VALIDATED_BYTES);
	if (!policy->known || !policy->judges || !policy->validated)
		return -ENOMEM;
	/* slots begin at 0, with a clock that may be a capture's */
	r = moat_challenge_init(&policy->challenge, 0);
	if (r < 0)
		return r;
	moat_policy_set_challenge(policy, &challenge);
	for (uint32_t i = 0; i < judges; i++) {
		policy->judges[i].policy = policy;
		policy->judges[i].random = (hash_seed + i) | 1; /* never 0 */
		policy->judges[i].stages = MOAT_STAGES_DEFAULT;
		policy->judges[i].port = policy->judges[i].peer = MOAT_TARGET_NONE;
	}
	if (rows_init(policy) < 0)
		return -ENOMEM;
	policy->control_rate = moat_rate_of_packets(MOAT_CONTROL_PTB_PPS, 0, TICKS_PER_S, judges);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(policy->halves); i++) {
		r = half_init(&policy->halves[i]);
		if (r < 0)
			return r;
	}
	*ret_policy = moat_take_ptr(policy);
	return 0;
}

struct moat_known *moat_policy_known(struct moat_policy *policy)
{
	return policy->known;
}

struct moat_judge *moat_policy_judge(struct moat_policy *policy, uint32_t index)
{
	return &policy->judges[index];
}

/* ---- commit ----------------------------------------------------------------------------------- */

static uint64_t load(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

static struct moat_rule_count slot_sum(const struct moat_policy *policy, uint32_t slot)
{
	struct moat_rule_count sum = { 0 };

	for (uint32_t i = 0; i < policy->judge_count; i++) {
		const struct moat_slot_count *count = &policy->judges[i].counts[slot];

		sum.packets += load(&count->packets);
		sum.acted += load(&count->acted);
		sum.bytes += load(&count->bytes);
	}
	return sum;
}

struct moat_rule_count moat_policy_rule_count(const struct moat_policy *policy, uint32_t slot)
{
	struct moat_rule_count sum = { 0 };

	if (slot >= MOAT_RULES_MAX)
		return sum;
	sum = slot_sum(policy, slot);
	sum.packets -= load(&policy->slot_bases[slot].packets);
	sum.acted -= load(&policy->slot_bases[slot].acted);
	sum.bytes -= load(&policy->slot_bases[slot].bytes);
	return sum;
}

static void store_base(struct moat_slot_count *base, const struct moat_rule_count *sum)
{
	atomic_store_explicit(&base->packets, sum->packets, memory_order_relaxed);
	atomic_store_explicit(&base->acted, sum->acted, memory_order_relaxed);
	atomic_store_explicit(&base->bytes, sum->bytes, memory_order_relaxed);
}

struct moat_profile_hits moat_policy_profile_hits(const struct moat_policy *policy, uint32_t number)
{
	struct moat_profile_hits hits = { 0 };
	uint32_t active = policy->active;

	for (uint32_t i = 0; active < 2 && number < MOAT_PROFILES_MAX && i < policy->judge_count;
	     i++)
		moat_tables_add_profile_hits(&policy->halves[active], number,
					     &policy->judges[i].profiles[number], &hits);
	return hits;
}

/* Rules that are new in their slot start from 0, and with a full bucket. */
static void rebase_slots(struct moat_policy *policy, const struct moat_ruleset *set)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(set, &count);

	for (size_t i = 0; i < count; i++) {
		uint32_t slot = rules[i].slot;
		struct moat_rule_count sum;

		if (policy->slot_ids[slot] == rules[i].id)
			continue;
		policy->slot_ids[slot] = rules[i].id;
		__atomic_store_n(&policy->limits[slot].packets, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&policy->limits[slot].bytes, 0, __ATOMIC_RELAXED);
		sum = slot_sum(policy, slot);
		store_base(&policy->slot_bases[slot], &sum);
	}
}

/* Waits until no judge reads what was in force before `generation`. */
static void wait_for_judges(struct moat_policy *policy, uint64_t generation)
{
	const struct timespec pause = { .tv_nsec = GRACE_POLL_NS };

	for (uint32_t i = 0; i < policy->judge_count; i++) {
		uint64_t entered;

		while ((entered = atomic_load(&policy->judges[i].entered)) != 0 &&
		       entered < generation)
			nanosleep(&pause, NULL);
	}
}

int moat_policy_patch(struct moat_policy *policy, const struct moat_ruleset *set,
		      enum moat_list list, const struct moat_prefix *prefix)
{
	int r;

	if (policy->active > 1)
		return MOAT_TABLES_REBUILD;
	moat_policy_begin_change(policy);
	r = moat_tables_patch(&policy->halves[policy->active], set, list, prefix);
	moat_policy_end_change(policy);
	return r;
}

int moat_policy_commit(struct moat_policy *policy, const struct moat_ruleset *set,
		       struct moat_error *error)
{
	uint32_t idle = policy->active == 0 ? 1 : 0;
	/* rules expire by the judges' clock, whose zero is that of the rules' expires_ns */
	const struct moat_tables_clock clock = {
		.ticks_per_s = TICKS_PER_S,
		.judges = policy->judge_count,
	};
	int r;

	r = moat_tables_build(&policy->halves[idle], set, &clock, error);
	if (r != 0)
		return r;
	moat_policy_find_targets(policy, &policy->halves[idle], set);
	rebase_slots(policy, set);
	moat_tables_reset_profiles(&policy->halves[!idle], &policy->halves[idle], policy->profiles);
	moat_policy_begin_change(policy);
	atomic_store(&policy->active, idle);
	moat_policy_end_change(policy);
	wait_for_judges(policy, atomic_fetch_add(&policy->generation, 1) + 1);
	return 0;
}

/* No need to be inside: the roots stay where they are, and nothing is read. */
void moat_judge_prefetch(const struct moat_judge *judge, const struct moat_headers *headers)
{
	const struct moat_policy *policy = judge->policy;
	uint32_t active = atomic_load_explicit(&policy->active, memory_order_relaxed);

	if (active != MOAT_GATE_NO_POLICY && moat_addr_is_v4(&headers->src))
		moat_prefetch(&policy->halves[active].src4_root[ntohl(headers->src.words[3]) >>
								(32 - MOAT_LPM_SRC4_BITS)]);
}

uint64_t moat_judge_epoch(const struct moat_judge *judge)
{
	return moat_judge_epoch_now(judge);
}
