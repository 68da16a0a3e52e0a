/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See generate.h: numbers and rule sets. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"
#include "tests/oracle/generate_plan.h"

uint64_t moat_generator_seed(uint64_t otherwise)
{
	const char *text = getenv("MOAT_TEST_SEED");

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

void moat_generator_init(struct moat_generator *generator, uint64_t seed)
{
	generator->state = seed;
}

/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): any seed will do. */
static uint64_t next(struct moat_generator *generator)
{
	uint64_t z = generator->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint32_t moat_generate_below(struct moat_generator *generator, uint64_t bound)
{
	return (uint32_t)((unsigned __int128)next(generator) * bound >> 64);
}

struct moat_prefix moat_generate_prefix(struct moat_generator *generator)
{
	static const uint8_t lengths4[] = { 0, 1, 8, 15, 16, 17, 23, 24, 25, 31, 32, 32, 32 };
	static const uint8_t lengths6[] = { 0,  1,  15, 16, 17, 24,  25,  32, 48,
					    63, 64, 65, 96, 97, 127, 128, 128 };
	static const char *const bases[] = { "10.0.0.0", "10.0.1.255",        "192.0.2.128",
					     "0.0.0.0",  "255.255.255.255",   "2001:db8::",
					     "::",       "2001:db8:0:ffff::", "2001:db8:8000::1",
					     "fe80::1" };
	struct moat_prefix prefix = { 0 };
	unsigned int first;

	moat_addr_parse(bases[moat_generate_below(generator, MOAT_ARRAY_SIZE(bases))], &prefix.addr);
	if (moat_addr_is_v4(&prefix.addr)) {
		prefix.family = MOAT_FAMILY_V4;
		prefix.len = lengths4[moat_generate_below(generator, sizeof(lengths4))];
	} else {
		prefix.family = MOAT_FAMILY_V6;
		prefix.len = lengths6[moat_generate_below(generator, sizeof(lengths6))];
	}
	/* a few bits that differ */
	for (int i = 0; i < 3; i++) {
		unsigned int bit = prefix.family == MOAT_FAMILY_V4
					   ? 96 + moat_generate_below(generator, 32)
					   : moat_generate_below(generator, 128);

		if (moat_generate_below(generator, 3) == 0)
			prefix.addr.bytes[bit / 8] ^= (uint8_t)(0x80 >> (bit % 8));
	}
	first = prefix.len + (prefix.family == MOAT_FAMILY_V4 ? 96 : 0);
	for (unsigned int bit = first; bit < 128; bit++)
		prefix.addr.bytes[bit / 8] &= (uint8_t)~(0x80 >> (bit % 8));
	return prefix;
}

static void range(struct moat_generator *generator, uint16_t *ret_min, uint16_t *ret_max)
{
	static const uint16_t values[] = { 0, 1, 53, 80, 443, 1023, 1024, 32768, 65534, 65535 };
	uint16_t a = values[moat_generate_below(generator, MOAT_ARRAY_SIZE(values))];
	uint16_t b = values[moat_generate_below(generator, MOAT_ARRAY_SIZE(values))];

	switch (moat_generate_below(generator, 6)) {
	case 0:
		*ret_min = a < b ? a : b;
		*ret_max = a < b ? b : a;
		break;
	case 1:
		*ret_min = *ret_max = a;
		break;
	case 2:
		*ret_min = (uint16_t)moat_generate_below(generator, 65536);
		*ret_max = (uint16_t)(*ret_min + moat_generate_below(generator, 65536U - *ret_min));
		break;
	default:
		break; /* any */
	}
}

static void length_range(struct moat_generator *generator, struct moat_match *match)
{
	if (moat_generate_below(generator, 4) != 0)
		return;
	match->len_min = (uint16_t)moat_generate_below(generator, 1000);
	match->len_max = moat_generate_below(generator, 2)
				 ? UINT16_MAX
				 : (uint16_t)(match->len_min + moat_generate_below(generator, 400));
}

static struct moat_match match(struct moat_generator *generator)
{
	static const uint8_t protos[] = { 6, 6, 6, 17, 17, 1, 58, 132, 47, 50, 0, 0, 0 };
	struct moat_match match = moat_rule_default().match;

	if (moat_generate_below(generator, 3))
		match.src = moat_generate_prefix(generator);
	if (moat_generate_below(generator, 2))
		match.dst = moat_generate_prefix(generator);
	match.proto = protos[moat_generate_below(generator, sizeof(protos))];
	range(generator, &match.sport_min, &match.sport_max);
	range(generator, &match.dport_min, &match.dport_max);
	length_range(generator, &match);
	if (moat_generate_below(generator, 3) == 0) {
		match.tcp_mask = (uint8_t)next(generator);
		match.tcp_flags = (uint8_t)next(generator) & match.tcp_mask;
	}
	if (moat_generate_below(generator, 5) == 0) {
		static const uint16_t masks[] = { 0xfff, 0xfff, 0xff0, 0x001, 0x800, 0x0a5 };

		match.vlan_mask = masks[moat_generate_below(generator, MOAT_ARRAY_SIZE(masks))];
		match.vlan = (uint16_t)moat_generate_below(generator, 4) & match.vlan_mask;
	}
	return match;
}

/* Packets, bytes or both; the burst given or not. */
static void make_limit(struct moat_generator *generator, struct moat_rule *rule)
{
	static const uint32_t rates[] = { 1, 7, 50, 495, 3000, 100000 };
	unsigned int which = 1 + moat_generate_below(generator, 3);

	if (which & 1)
		rule->rate_pps = rates[moat_generate_below(generator, MOAT_ARRAY_SIZE(rates))];
	if (which & 2)
		rule->rate_bps = 300ULL *
				 rates[moat_generate_below(generator, MOAT_ARRAY_SIZE(rates))];
	if (moat_generate_below(generator, 2))
		rule->burst = 1 + moat_generate_below(generator, 40);
	rule->flags = (uint8_t)moat_generate_below(generator, MOAT_RULE_PREFER_KNOWN + 1);
}

static struct moat_rule rule(struct moat_generator *generator, uint64_t now_ns)
{
	struct moat_rule rule = moat_rule_default();

	rule.match = match(generator);
	rule.action = (uint8_t)moat_generate_below(generator, MOAT_ACTION_COUNT_OF);
	if (rule.action == MOAT_ACTION_CHALLENGE)
		rule.match.proto = 6;
	rule.priority = moat_generate_below(generator, 4);
	if (rule.action == MOAT_ACTION_LIMIT)
		make_limit(generator, &rule);
	if (rule.action == MOAT_ACTION_SAMPLE)
		rule.interval = 1 + moat_generate_below(generator, 5);
	if (rule.action == MOAT_ACTION_REDIRECT)
		snprintf(rule.target, sizeof(rule.target), "%s",
			 moat_generate_below(generator, 2) ? "nowhere" : "lo");
	if (rule.action != MOAT_ACTION_COUNT && moat_generate_below(generator, 6) == 0)
		rule.flags |= MOAT_RULE_COUNT_ONLY;
	if (moat_generate_below(generator, 4) == 0)
		rule.expires_ns = now_ns + moat_generate_below(generator, 2000000000);
	return rule;
}

/* One of many that match most packets and rarely decide: what the bound on tries is for. */
static struct moat_rule dense_rule(struct moat_generator *generator, uint64_t now_ns)
{
	struct moat_rule rule = moat_rule_default();

	rule.match.len_min = (uint16_t)(1 + moat_generate_below(generator, 60));
	rule.match.len_max = (uint16_t)(60000 + moat_generate_below(generator, 5000));
	rule.priority = moat_generate_below(generator, 100);
	if (!moat_generate_below(generator, 30))
		rule.action = MOAT_ACTION_PASS;
	else if (!moat_generate_below(generator, 3))
		rule.expires_ns = now_ns + 1;
	else
		rule.action = MOAT_ACTION_COUNT;
	return rule;
}

void moat_generate_ruleset(struct moat_generator *generator, struct moat_ruleset *set, size_t rules,
			   size_t prefixes, uint64_t now_ns)
{
	bool dense = moat_generate_below(generator, 8) == 0;

	/* what the set refuses (a match that can't be, a duplicate) is drawn again, within bounds */
	for (size_t tries = 0, count = 0; count < rules && tries < 4 * rules; tries++) {
		struct moat_rule added = dense ? dense_rule(generator, now_ns)
					       : rule(generator, now_ns);

		count += moat_ruleset_add(set, &added, NULL) == 0;
	}
	for (size_t i = 0; i < prefixes; i++) {
		struct moat_prefix added = moat_generate_prefix(generator);

		/* short ones decide everything before any rule is asked */
		if (added.len > 8 || moat_generate_below(generator, 20) == 0)
			moat_ruleset_list_add(set, (enum moat_list)moat_generate_below(generator, 2),
					      &added);
	}
}
