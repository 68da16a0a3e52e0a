/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The method protect: what the stages besides lists and rules do, and what came of it. */
#include <errno.h>

#include "ctl/appliance_priv.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"

#define DESTINATIONS 10 /* shown */

static const struct {
	uint32_t stage;
	const char *name; /* as in the configuration */
} names[] = {
	{ MOAT_STAGE_BROKEN, "broken" },       { MOAT_STAGE_FLAGS, "flags" },
	{ MOAT_STAGE_LAND, "land" },           { MOAT_STAGE_MARTIAN, "martians" },
	{ MOAT_STAGE_ALLOW, "allow" },         { MOAT_STAGE_DENY, "deny" },
	{ MOAT_STAGE_RULES, "rules" },         { MOAT_STAGE_AMPLIFICATION, "amplification" },
	{ MOAT_STAGE_FRAGMENTS, "fragments" }, { MOAT_STAGE_SOURCES, "sources" },
	{ MOAT_STAGE_CHALLENGE, "challenge" }, { MOAT_STAGE_PROFILES, "protect" },
	{ MOAT_STAGE_SAMPLE, "sample" },
};

json_t *moat_stages_json(uint32_t stages)
{
	json_t *list = json_array();

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(names); i++) {
		if (stages & names[i].stage)
			json_array_append_new(list, json_string(names[i].name));
	}
	return list;
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *prefix_json(const struct moat_prefix *prefix)
{
	char text[MOAT_PREFIX_TEXT_LEN];

	return json_string(moat_prefix_format(prefix, text));
}

static json_t *rate_json(const struct moat_rate_ask *rate)
{
	return json_pack("{s:o,s:o}", "per_s", number(rate->per_s), "burst", number(rate->burst));
}

/* Without a workers' policy the gate's alone. */
static struct moat_profile_hits hits_of(const struct moat_appliance *appliance, uint32_t profile)
{
	struct moat_profile_hits hits = moat_gate_profile_hits(appliance->gate, profile);
	struct moat_profile_hits workers = { 0 };

	if (appliance->wire.policy)
		workers = moat_policy_profile_hits(appliance->wire.policy, profile);
	hits.matched += workers.matched;
	hits.dropped += workers.dropped;
	return hits;
}

static json_t *protection_json(const struct moat_appliance *appliance,
			       const struct moat_stage_set *set, size_t index)
{
	static const char *const kinds[MOAT_KIND_COUNT] = { "syn", "udp", "icmp", "other" };
	static const char *const challenges[] = { "off", "on", "above" };
	const struct moat_protection *protection = &set->protections[index];
	struct moat_profile_hits hits = hits_of(appliance, (uint32_t)index + 1);
	json_t *json = json_pack("{s:o,s:b,s:s,s:o,s:o}", "prefix",
				 prefix_json(&protection->prefix), "each", protection->each,
				 "challenge", challenges[protection->challenge], "matched",
				 number(hits.matched), "dropped", number(hits.dropped));

	for (size_t kind = 0; kind < MOAT_KIND_COUNT; kind++) {
		if (protection->rates[kind].per_s)
			json_object_set_new(json, kinds[kind], rate_json(&protection->rates[kind]));
	}
	if (protection->challenge == MOAT_CHALLENGE_ABOVE)
		json_object_set_new(json, "above", rate_json(&protection->challenge_above));
	return json;
}

static json_t *source_json(const struct moat_source_limit *limit)
{
	json_t *json = json_pack("{s:o,s:i,s:i}", "prefix", prefix_json(&limit->prefix), "v4",
				 limit->v4_len, "v6", limit->v6_len);

	if (limit->packets.per_s)
		json_object_set_new(json, "packets", rate_json(&limit->packets));
	if (limit->bytes.per_s)
		json_object_set_new(json, "bytes", rate_json(&limit->bytes));
	return json;
}

static json_t *marked_json(const struct moat_marked_prefixes *marked)
{
	json_t *list = json_array();

	for (size_t i = 0; i < marked->count; i++)
		json_array_append_new(list, prefix_json(&marked->prefixes[i]));
	return list;
}

static json_t *bounds_json(const struct moat_stage_set *set)
{
	json_t *list = json_array();

	for (int port = 0; port < 65536; port++) {
		if (set->reflect_len[port])
			json_array_append_new(list, json_pack("{s:i,s:i}", "port", port, "length",
							      set->reflect_len[port]));
	}
	return list;
}

/* The longest protected prefix that holds an address, NULL if none does. */
static const struct moat_prefix *protector(const struct moat_stage_set *set,
					   const struct moat_addr *addr)
{
	const struct moat_prefix *longest = NULL;

	for (size_t i = 0; i < set->protection_count; i++) {
		const struct moat_prefix *prefix = &set->protections[i].prefix;

		if (moat_prefix_contains(prefix, addr) && (!longest || prefix->len > longest->len))
			longest = prefix;
	}
	return longest;
}

/* Of the hosts that get most right now, those that a prefix protects. */
static json_t *destinations_json(const struct moat_appliance *appliance,
				 const struct moat_stage_set *set)
{
	json_t *list = json_array();
	size_t count;
	const struct moat_top_host *hosts = moat_top_hosts(appliance->top, true, &count);

	for (size_t i = 0; i < count && json_array_size(list) < DESTINATIONS; i++) {
		const struct moat_prefix *prefix = protector(set, &hosts[i].addr);
		json_t *host = prefix ? moat_top_host_json(&hosts[i]) : NULL;

		if (!host)
			continue;
		json_object_set_new(host, "prefix", prefix_json(prefix));
		json_array_append_new(list, host);
	}
	return list;
}

int moat_appliance_protect(struct moat_appliance *appliance, struct moat_control_call *call,
			   json_t **ret_result, struct moat_error *error)
{
	const struct moat_stage_set *set = moat_ruleset_stages(
		moat_rulebook_live(appliance->rulebook));
	json_t *protections = json_array(), *sources = json_array();

	for (size_t i = 0; set && i < set->protection_count; i++)
		json_array_append_new(protections, protection_json(appliance, set, i));
	for (size_t i = 0; set && i < set->source_count; i++)
		json_array_append_new(sources, source_json(&set->sources[i]));
	*ret_result = json_pack("{s:o,s:o}", "protections", protections, "sources", sources);
	if (!*ret_result)
		return -ENOMEM;
	if (!set)
		return 0;
	moat_top_update(appliance->top, moat_clock_monotonic_ns());
	json_object_set_new(
		*ret_result, "interval_s",
		json_real((double)moat_top_interval_ns(appliance->top) / (double)MOAT_NS_PER_S));
	json_object_set_new(*ret_result, "destinations", destinations_json(appliance, set));
	json_object_set_new(*ret_result, "amplification", bounds_json(set));
	json_object_set_new(*ret_result, "fragments",
			    json_string(set->drop_fragments ? "drop" : "pass"));
	json_object_set_new(*ret_result, "neighbours",
			    marked_json(&set->marked[MOAT_MARKED_NEIGHBOUR]));
	json_object_set_new(*ret_result, "management",
			    marked_json(&set->marked[MOAT_MARKED_MANAGEMENT]));
	json_object_set_new(*ret_result, "martians", marked_json(&set->marked[MOAT_MARKED_MARTIAN]));
	return 0;
}
