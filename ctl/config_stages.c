/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the configuration says of the stages (moat/stage.h): protect, sources, amplification, fragments,
 * neighbours, management and martians say what they do, and thereby switch them on; stages, of all ports
 * or of one, says it outright.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/config_priv.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"

/* In the order of struct moat_raw_stages. */
static const uint32_t stage_bits[MOAT_RAW_STAGES] = {
	MOAT_STAGE_BROKEN,    MOAT_STAGE_FLAGS,   MOAT_STAGE_LAND,      MOAT_STAGE_MARTIAN,
	MOAT_STAGE_ALLOW,     MOAT_STAGE_DENY,    MOAT_STAGE_RULES,     MOAT_STAGE_AMPLIFICATION,
	MOAT_STAGE_FRAGMENTS, MOAT_STAGE_SOURCES, MOAT_STAGE_CHALLENGE, MOAT_STAGE_PROFILES,
	MOAT_STAGE_SAMPLE,
};

static int no_memory(const struct reader *reader)
{
	return moat_error_set(reader->error, -ENOMEM, "%s: out of memory", reader->path);
}

/* ---- rates ------------------------------------------------------------------------------------ */

/* What stands behind "limit" in a rule, and nothing else. */
static int take_limit(const struct reader *reader, const char *where, const char *raw,
		      struct moat_rule *ret_rule)
{
	const struct moat_rule plain = moat_rule_default();
	char text[MOAT_RULE_TEXT_LEN];
	struct moat_error error = { 0 };
	struct moat_rule rule;

	snprintf(text, sizeof(text), "limit %s", raw);
	if (moat_rule_parse(text, 0, &rule, &error) < 0 ||
	    memcmp(&rule.match, &plain.match, sizeof(plain.match)) != 0 || rule.flags ||
	    rule.priority != plain.priority || rule.expires_ns || rule.comment[0])
		return bad(reader, where,
			   "\"%s\" is no rate (say 2000/s, 100Mbit/s, or 2000/s burst 500)", raw);
	*ret_rule = rule;
	return 0;
}

/* Packets a second. */
static int take_rate(const struct reader *reader, const char *where, const char *raw,
		     struct moat_rate_ask *rate)
{
	struct moat_rule rule = { 0 };
	int r;

	if (!raw)
		return 0;
	r = take_limit(reader, where, raw, &rule);
	if (r < 0)
		return r;
	if (rule.rate_bps)
		return bad(reader, where, "\"%s\" is in bytes: this is a rate of packets", raw);
	*rate = (struct moat_rate_ask){ rule.rate_pps, rule.burst };
	return 0;
}

/* ---- protect ---------------------------------------------------------------------------------- */

static int take_challenge(const struct reader *reader, const char *where, const char *raw,
			  struct moat_protection *protection)
{
	if (!raw || strcmp(raw, "off") == 0)
		return 0;
	if (strcmp(raw, "on") == 0) {
		protection->challenge = MOAT_CHALLENGE_ALWAYS;
		return 0;
	}
	protection->challenge = MOAT_CHALLENGE_ABOVE;
	return take_rate(reader, where, raw, &protection->challenge_above);
}

static int take_protection(const struct reader *reader, unsigned int index,
			   const struct moat_raw_protect *raw, struct moat_stage_set *set)
{
	static const char *const kinds[MOAT_KIND_COUNT] = { "syn", "udp", "icmp", "other" };
	const char *const rates[MOAT_KIND_COUNT] = { raw->syn, raw->udp, raw->icmp, raw->other };
	struct moat_protection protection = { .each = raw->each && *raw->each };
	char where[WHERE_LEN];
	int r;

	snprintf(where, sizeof(where), "protect.%u.prefix", index);
	r = moat_config_take_prefix(reader, where, raw->prefix, &protection.prefix);
	for (size_t kind = 0; r == 0 && kind < MOAT_KIND_COUNT; kind++) {
		snprintf(where, sizeof(where), "protect.%u.%s", index, kinds[kind]);
		r = take_rate(reader, where, rates[kind], &protection.rates[kind]);
	}
	snprintf(where, sizeof(where), "protect.%u.challenge", index);
	if (r == 0)
		r = take_challenge(reader, where, raw->challenge, &protection);
	if (r < 0)
		return r;
	snprintf(where, sizeof(where), "protect.%u.prefix", index);
	r = moat_stage_set_protect(set, &protection);
	if (r == -EEXIST)
		return bad(reader, where, "%s is protected twice", raw->prefix);
	if (r == -ENOSPC)
		return bad(reader, where, "%d prefixes can be protected", MOAT_PROFILES_MAX - 1);
	return r < 0 ? no_memory(reader) : 0;
}

/* ---- sources ---------------------------------------------------------------------------------- */

static int take_length(const struct reader *reader, unsigned int index, const char *key,
		       const uint32_t *raw, uint8_t most, uint8_t *length)
{
	char where[WHERE_LEN];

	if (!raw)
		return 0;
	snprintf(where, sizeof(where), "sources.%u.%s", index, key);
	if (*raw < 1 || *raw > most)
		return bad(reader, where, "%u is no length of a prefix, 1 to %u", *raw, most);
	*length = (uint8_t)*raw;
	return 0;
}

static int take_source(const struct reader *reader, unsigned int index,
		       const struct moat_raw_source *raw, struct moat_stage_set *set)
{
	struct moat_source_limit limit = { .v4_len = 32, .v6_len = 64 };
	struct moat_rule rule = { 0 };
	char where[WHERE_LEN];
	int r = 0;

	snprintf(where, sizeof(where), "sources.%u.limit", index);
	if (strcmp(raw->limit, "none") != 0)
		r = take_limit(reader, where, raw->limit, &rule);
	if (r == 0)
		r = take_length(reader, index, "v4", raw->v4, 32, &limit.v4_len);
	if (r == 0)
		r = take_length(reader, index, "v6", raw->v6, 128, &limit.v6_len);
	limit.packets = (struct moat_rate_ask){ rule.rate_pps, rule.burst };
	limit.bytes = (struct moat_rate_ask){ rule.rate_bps, (uint64_t)rule.burst * 1500 };
	snprintf(where, sizeof(where), "sources.%u.prefix", index);
	if (r == 0 && strcmp(raw->prefix, "any") != 0)
		r = moat_config_take_prefix(reader, where, raw->prefix, &limit.prefix);
	if (r < 0)
		return r;
	r = moat_stage_set_limit_source(set, &limit);
	if (r == -EEXIST)
		return bad(reader, where, "%s is limited twice", raw->prefix);
	if (r == -ENOSPC)
		return bad(reader, where, "%d prefixes of sources can be limited",
			   MOAT_SOURCE_PROFILES_MAX - 1);
	return r < 0 ? no_memory(reader) : 0;
}

/* ---- words ------------------------------------------------------------------------------------ */

/* "default" or PORT:LENGTH. */
static int take_bound(const struct reader *reader, const char *where, const char *raw,
		      struct moat_stage_set *set)
{
	unsigned long port, length = 0;
	char *end;

	if (strcmp(raw, "default") == 0) {
		moat_stage_set_bound_reflectors(set);
		return 0;
	}
	port = strtoul(raw, &end, 10);
	if (isdigit((unsigned char)raw[0]) && end[0] == ':' && isdigit((unsigned char)end[1]))
		length = strtoul(end + 1, &end, 10);
	if (end == raw || *end || port > UINT16_MAX || length > UINT16_MAX)
		return bad(reader, where,
			   "\"%s\" is neither default nor PORT:BYTES (say \"53:1280\", 0: no bound)",
			   raw);
	set->reflect_len[port] = (uint16_t)length;
	return 0;
}

static int take_marked(const struct reader *reader, const char *key, char *const *raw,
		       unsigned int count, enum moat_marked marked, struct moat_stage_set *set)
{
	char where[WHERE_LEN];

	for (unsigned int i = 0; i < count; i++) {
		struct moat_prefix prefix;
		int r;

		if (marked == MOAT_MARKED_MARTIAN && strcmp(raw[i], "rfc6890") == 0) {
			if (moat_stage_set_mark_rfc6890(set) < 0)
				return no_memory(reader);
			continue;
		}
		snprintf(where, sizeof(where), "%s.%u", key, i);
		r = moat_config_take_prefix(reader, where, raw[i], &prefix);
		if (r < 0)
			return r;
		if (prefix.len == 0)
			return bad(reader, where, "\"%s\" is everybody", raw[i]);
		if (moat_stage_set_mark(set, marked, &prefix) < 0)
			return no_memory(reader);
	}
	return 0;
}

/* ---- which stages ----------------------------------------------------------------------------- */

/* Those that have something to do, and what is on where nothing is said. */
static uint32_t stages_of(const struct moat_stage_set *set, const struct moat_raw_config *raw)
{
	uint32_t stages = MOAT_STAGES_DEFAULT;

	for (size_t i = 0; i < set->protection_count; i++) {
		if (set->protections[i].challenge != MOAT_CHALLENGE_OFF)
			stages |= MOAT_STAGE_CHALLENGE;
	}
	if (set->protection_count)
		stages |= MOAT_STAGE_PROFILES;
	if (set->source_count)
		stages |= MOAT_STAGE_SOURCES;
	if (raw->amplification_count)
		stages |= MOAT_STAGE_AMPLIFICATION;
	if (set->drop_fragments)
		stages |= MOAT_STAGE_FRAGMENTS;
	if (set->marked[MOAT_MARKED_MARTIAN].count)
		stages |= MOAT_STAGE_MARTIAN;
	return stages;
}

static uint32_t switched(uint32_t stages, const struct moat_raw_stages *raw)
{
	for (size_t i = 0; raw && i < MOAT_RAW_STAGES; i++) {
		if (raw->switches[i] == MOAT_RAW_ON)
			stages |= stage_bits[i];
		else if (raw->switches[i] == MOAT_RAW_OFF)
			stages &= ~stage_bits[i];
	}
	return stages;
}

int moat_config_take_stages(const struct reader *reader, const struct moat_raw_config *raw,
			    struct moat_config *config)
{
	struct moat_stage_set *set = config->stages;
	char where[WHERE_LEN];
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < raw->protect_count; i++)
		r = take_protection(reader, i, &raw->protect[i], set);
	for (unsigned int i = 0; r == 0 && i < raw->sources_count; i++)
		r = take_source(reader, i, &raw->sources[i], set);
	for (unsigned int i = 0; r == 0 && i < raw->amplification_count; i++) {
		snprintf(where, sizeof(where), "amplification.%u", i);
		r = take_bound(reader, where, raw->amplification[i], set);
	}
	set->drop_fragments = raw->fragments == 2;
	if (r == 0)
		r = take_marked(reader, "neighbours", raw->neighbours, raw->neighbours_count,
				MOAT_MARKED_NEIGHBOUR, set);
	if (r == 0)
		r = take_marked(reader, "management", raw->management, raw->management_count,
				MOAT_MARKED_MANAGEMENT, set);
	if (r == 0)
		r = take_marked(reader, "martians", raw->martians, raw->martians_count,
				MOAT_MARKED_MARTIAN, set);
	if (r < 0)
		return r;
	for (size_t i = 0; i < config->port_count; i++)
		config->ports[i].stages = switched(switched(stages_of(set, raw), raw->stages),
						   raw->ports[i].stages) |
					  MOAT_STAGE_NONE;
	return 0;
}
