/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stages' part of one half: profiles of destinations and sources by number, what their prefixes make
 * of leaves, and bounds. Number 0 is the default of each; the others go by the order of the stage set.
 */
#include <arpa/inet.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/rate.h"
#include "dataplane/tables_build.h"

static struct moat_rate rate_of_packets(const struct moat_rate_ask *ask,
					const struct moat_tables_clock *clock)
{
	return moat_rate_of_packets(ask->per_s, ask->burst, clock->ticks_per_s, clock->judges);
}

/* ---- destinations ----------------------------------------------------------------------------- */

/* FNV-1a (Fowler, Noll, Vo) of the prefix, folded; 0 is nobody. */
static uint16_t owner_of(const struct moat_prefix *prefix)
{
	const uint8_t *bytes = (const uint8_t *)prefix;
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < sizeof(*prefix); i++)
		hash = (hash ^ bytes[i]) * 16777619U;
	hash = (hash ^ hash >> 16) & 0xffff;
	return hash ? (uint16_t)hash : 1;
}

static struct moat_profile profile_of(const struct moat_protection *protection,
				      const struct moat_tables_clock *clock)
{
	struct moat_profile profile = {
		.challenge_rate = rate_of_packets(&protection->challenge_above, clock),
		.challenge = (uint8_t)protection->challenge,
		.each = protection->each,
		.owner = owner_of(&protection->prefix),
	};

	for (size_t kind = 0; kind < MOAT_KIND_COUNT; kind++)
		profile.rates[kind] = rate_of_packets(&protection->rates[kind], clock);
	return profile;
}

static void fill_profiles(struct moat_tables *half, const struct moat_stage_set *set,
			  const struct moat_tables_clock *clock)
{
	struct moat_stage_tables *tables = half->stages;

	memset(&tables->profiles[0], 0, sizeof(tables->profiles[0]));
	for (size_t i = 0; i < set->protection_count; i++) {
		tables->profiles[i + 1] = profile_of(&set->protections[i], clock);
		if (set->protections[i].challenge != MOAT_CHALLENGE_OFF)
			half->work |= MOAT_STAGE_CHALLENGE;
		for (size_t kind = 0; kind < MOAT_KIND_COUNT; kind++) {
			if (set->protections[i].rates[kind].per_s)
				half->work |= MOAT_STAGE_PROFILES;
		}
	}
	tables->profile_count = (uint32_t)set->protection_count + 1;
}

size_t moat_stage_dst_items(const struct moat_ruleset *set, struct moat_lpm_item *ret_items)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(set);

	for (size_t i = 0; stages && i < stages->protection_count; i++)
		ret_items[i] = (struct moat_lpm_item){
			&stages->protections[i].prefix,
			((uint32_t)i + 1) << MOAT_LPM_PROFILE_SHIFT,
		};
	return stages ? stages->protection_count : 0;
}

void moat_tables_add_profile_hits(const struct moat_tables *half, uint32_t number,
				  const struct moat_profile_share *share,
				  struct moat_profile_hits *hits)
{
	if (number >= half->stages->profile_count ||
	    __atomic_load_n(&share->owner, __ATOMIC_RELAXED) != half->stages->profiles[number].owner)
		return;
	hits->matched += __atomic_load_n(&share->matched, __ATOMIC_RELAXED);
	hits->dropped += __atomic_load_n(&share->dropped, __ATOMIC_RELAXED);
}

void moat_tables_reset_profiles(const struct moat_tables *old_half,
				const struct moat_tables *new_half,
				struct moat_profile_limit *limits)
{
	const struct moat_profile *old = old_half->stages->profiles;
	const struct moat_profile *new = new_half->stages->profiles;

	for (uint32_t i = 1; i < new_half->stages->profile_count; i++) {
		if (old[i].owner == new[i].owner)
			continue;
		for (size_t kind = 0; kind < MOAT_KIND_COUNT; kind++)
			__atomic_store_n(&limits[i].rates[kind], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&limits[i].challenge, 0, __ATOMIC_RELAXED);
	}
}

/* ---- sources ---------------------------------------------------------------------------------- */

static struct moat_source_profile source_profile_of(const struct moat_source_limit *limit,
						    const struct moat_tables_clock *clock)
{
	struct moat_source_profile profile = {
		.packets = rate_of_packets(&limit->packets, clock),
		.bytes = moat_rate_of_bytes(limit->bytes.per_s, limit->bytes.burst,
					    clock->ticks_per_s, clock->judges),
		.v4_mask = MOAT_V4_MAPPED_QUAD(htonl(~0U << (32 - limit->v4_len))),
		.v4_len = limit->v4_len,
		.v6_len = limit->v6_len,
	};

	memset(profile.v6_mask.bytes, 0xff, limit->v6_len / 8);
	if (limit->v6_len % 8)
		profile.v6_mask.bytes[limit->v6_len / 8] = (uint8_t)(0xff00 >> limit->v6_len % 8);
	return profile;
}

static bool is_default(const struct moat_source_limit *limit)
{
	return limit->prefix.family == MOAT_FAMILY_ANY;
}

static void fill_sources(struct moat_tables *half, const struct moat_stage_set *set,
			 const struct moat_tables_clock *clock)
{
	const struct moat_source_limit none = { .v4_len = 32, .v6_len = 64 };
	struct moat_stage_tables *tables = half->stages;

	tables->sources[0] = source_profile_of(&none, clock);
	for (size_t i = 0; i < set->source_count; i++) {
		const struct moat_source_limit *limit = &set->sources[i];

		tables->sources[is_default(limit) ? 0 : i + 1] = source_profile_of(limit, clock);
		if (limit->packets.per_s || limit->bytes.per_s)
			half->work |= MOAT_STAGE_SOURCES;
	}
	tables->source_count = (uint32_t)set->source_count + 1;
}

static void fill_sessions(struct moat_stage_tables *tables, const struct moat_ruleset *set)
{
	size_t count;
	const struct moat_session *sessions = moat_ruleset_sessions(set, &count);

	memset(tables->sessions, 0, sizeof(tables->sessions));
	memcpy(tables->sessions, sessions, count * sizeof(*sessions));
	tables->session_count = (uint32_t)count;
}

size_t moat_stage_items_most(const struct moat_ruleset *set)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(set);
	size_t most = MOAT_SESSIONS_MAX + MOAT_PROFILES_MAX;

	if (!stages)
		return most;
	most += stages->source_count;
	for (size_t i = 0; i < MOAT_MARKED_COUNT; i++)
		most += stages->marked[i].count;
	return most;
}

size_t moat_stage_src_items(const struct moat_ruleset *set, struct moat_lpm_item *ret_items,
			    struct moat_prefix ret_hosts[MOAT_SESSIONS_MAX])
{
	static const uint32_t flags[MOAT_MARKED_COUNT] = {
		[MOAT_MARKED_NEIGHBOUR] = MOAT_LPM_NEIGHBOUR,
		[MOAT_MARKED_MANAGEMENT] = MOAT_LPM_MANAGEMENT,
		[MOAT_MARKED_MARTIAN] = MOAT_LPM_MARTIAN,
	};
	const struct moat_stage_set *stages = moat_ruleset_stages(set);
	size_t count = 0, session_count;
	const struct moat_session *sessions = moat_ruleset_sessions(set, &session_count);

	for (size_t i = 0; i < session_count; i++) {
		ret_hosts[i] = moat_prefix_host(&sessions[i].src);
		ret_items[count++] = (struct moat_lpm_item){ &ret_hosts[i], MOAT_LPM_SESSION };
	}
	if (!stages)
		return count;
	for (size_t i = 0; i < stages->source_count; i++) {
		if (!is_default(&stages->sources[i]))
			ret_items[count++] = (struct moat_lpm_item){
				&stages->sources[i].prefix,
				((uint32_t)i + 1) << MOAT_LPM_PROFILE_SHIFT,
			};
	}
	for (size_t list = 0; list < MOAT_MARKED_COUNT; list++) {
		for (size_t i = 0; i < stages->marked[list].count; i++)
			ret_items[count++] = (struct moat_lpm_item){
				&stages->marked[list].prefixes[i],
				flags[list],
			};
	}
	return count;
}

/* ---- all -------------------------------------------------------------------------------------- */

void moat_stage_tables_fill(struct moat_tables *half, const struct moat_ruleset *set,
			    const struct moat_tables_clock *clock)
{
	static const struct moat_stage_set nothing = { 0 };
	const struct moat_stage_set *stages = moat_ruleset_stages(set);

	if (!stages)
		stages = &nothing;
	half->work = 0;
	fill_profiles(half, stages, clock);
	fill_sources(half, stages, clock);
	fill_sessions(half->stages, set);
	half->stages->drop_fragments = stages->drop_fragments;
	if (stages->drop_fragments)
		half->work |= MOAT_STAGE_FRAGMENTS;
	memcpy(half->stages->reflect_len, stages->reflect_len, sizeof(stages->reflect_len));
	for (size_t port = 0; port < 65536; port++) {
		if (stages->reflect_len[port]) {
			half->work |= MOAT_STAGE_AMPLIFICATION;
			break;
		}
	}
}
