/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See generate.h: what a frame is to say. A rule or a listed prefix of the set is picked; the fields are
 * drawn from in and around what it matches. */
#include <string.h>

#include "dataplane/rule.h"
#include "tests/oracle/generate_plan.h"

typedef unsigned __int128 u128;

#define DATAGRAM_MOST 1400

static bool one_in(struct moat_generator *generator, uint32_t count)
{
	return moat_generate_below(generator, count) == 0;
}

/* A prefix of the stages, as a source or a destination. */
static void aim_at_stages(struct moat_generator *generator, const struct moat_stage_set *stages,
			  struct moat_match *aim)
{
	uint32_t which = moat_generate_below(generator, 2 + MOAT_MARKED_COUNT);
	const struct moat_marked_prefixes *marked;

	if (which == 0 && stages->protection_count)
		aim->dst = stages->protections[moat_generate_below(generator, stages->protection_count)]
				   .prefix;
	else if (which == 1 && stages->source_count)
		aim->src = stages->sources[moat_generate_below(generator, stages->source_count)].prefix;
	if (which < 2)
		return;
	marked = &stages->marked[which - 2];
	if (marked->count)
		aim->src = marked->prefixes[moat_generate_below(generator, marked->count)];
}

static struct moat_match pick_aim(struct moat_generator *generator, const struct moat_ruleset *set)
{
	struct moat_match aim = moat_rule_default().match;
	size_t rule_count, prefix_count;
	const struct moat_rule *rules = moat_ruleset_rules(set, &rule_count);
	const struct moat_prefix *prefixes = moat_ruleset_prefixes(
		set, one_in(generator, 2) ? MOAT_LIST_ALLOW : MOAT_LIST_DENY, &prefix_count);

	if (moat_ruleset_stages(set) && one_in(generator, 3)) {
		if (rule_count && one_in(generator, 2))
			aim = rules[moat_generate_below(generator, rule_count)].match;
		aim_at_stages(generator, moat_ruleset_stages(set), &aim);
	} else if (prefix_count && one_in(generator, 6))
		aim.src = prefixes[moat_generate_below(generator, prefix_count)];
	else if (rule_count && !one_in(generator, 10))
		aim = rules[moat_generate_below(generator, rule_count)].match;
	return aim;
}

/* An address at an edge of the prefix, just outside, inside, or anywhere. */
static void pick_addr(struct moat_generator *generator, const struct moat_prefix *prefix, bool v4,
		      uint8_t ret_bytes[16])
{
	unsigned int bits = v4 ? 32 : 128;
	u128 first = 0, mask, address = 0;

	for (int i = 0; i < 4; i++)
		address = address << 32 | moat_generate_below(generator, 1ULL << 32);
	if (prefix->family == (v4 ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6)) {
		for (unsigned int i = 0; i < bits / 8; i++)
			first = first << 8 | prefix->addr.bytes[(v4 ? 12 : 0) + i];
		mask = prefix->len == 0      ? ~(u128)0
		       : prefix->len == bits ? 0
					     : ((u128)1 << (bits - prefix->len)) - 1;
		switch (moat_generate_below(generator, 8)) {
		case 0:
			address = first - 1;
			break;
		case 1:
			address = first + mask + 1;
			break;
		case 2:
			address = first + mask;
			break;
		case 3:
			break;
		case 4:
			address = first;
			break;
		default:
			address = first + (address & mask);
			break;
		}
	} else if (!v4 && one_in(generator, 20)) {
		/* an IPv4 host in IPv6's clothes */
		address = (u128)0xffff << 32 | (uint32_t)address;
	}
	for (unsigned int i = bits / 8; i-- > 0; address >>= 8)
		ret_bytes[i] = (uint8_t)address;
}

static uint16_t pick_in_range(struct moat_generator *generator, uint16_t min, uint16_t max)
{
	switch (moat_generate_below(generator, 8)) {
	case 0:
		return (uint16_t)(min - 1);
	case 1:
		return (uint16_t)(max + 1);
	case 2:
		return min;
	case 3:
		return max;
	case 4:
		return (uint16_t)moat_generate_below(generator, 65536);
	default:
		return (uint16_t)(min + moat_generate_below(generator, max - min + 1U));
	}
}

static uint8_t pick_proto(struct moat_generator *generator, const struct moat_match *aim)
{
	static const uint8_t protos[] = { 6, 17, 6, 17, 6, 17, 1, 58, 132, 47, 50, 59, 89, 112, 200 };

	if (aim->proto && !one_in(generator, 10))
		return aim->proto;
	if (aim->tcp_mask && !one_in(generator, 4))
		return 6;
	return protos[moat_generate_below(generator, sizeof(protos))];
}

/* What the control stage looks at, and its neighbours. */
static void plan_control(struct moat_generator *generator, struct moat_plan *plan)
{
	static const uint8_t types[] = { 0, 2, 3, 8, 128, 132, 133, 135, 137, 138 };
	static const uint16_t ports[] = { 179, 3784, 4784, 6784, 178, 3785 };
	static const uint8_t ttls[] = { 64, 254, 255, 255 };

	plan->ttl = ttls[moat_generate_below(generator, sizeof(ttls))];
	plan->icmp_type = types[moat_generate_below(generator, sizeof(types))];
	plan->icmp_code = (uint8_t)(one_in(generator, 2) ? 4 : moat_generate_below(generator, 6));
	if (one_in(generator, 12))
		plan->dport = ports[moat_generate_below(generator, sizeof(ports) / sizeof(ports[0]))];
	if (one_in(generator, 30))
		plan->sport = 179;
}

/* Ports whose answers are bounded, at their bounds. */
static void plan_reflection(struct moat_generator *generator, const struct moat_stage_set *stages,
			    struct moat_plan *plan)
{
	static const uint16_t ports[] = { 0,   1,   17,  19,   53,   69,   80,    111,   123,
					  161, 389, 443, 1023, 1024, 1900, 11211, 32768, 65535 };

	plan->proto = 17;
	plan->sport = ports[moat_generate_below(generator, sizeof(ports) / sizeof(ports[0]))];
	if (stages->reflect_len[plan->sport])
		plan->length = stages->reflect_len[plan->sport] +
			       moat_generate_below(generator, 3) - 1;
}

/* A packet of a session, or nearly. */
static void plan_session(struct moat_generator *generator, const struct moat_ruleset *set,
			 struct moat_plan *plan)
{
	size_t count;
	const struct moat_session *session = moat_ruleset_sessions(set, &count);

	if (count == 0)
		return;
	session += moat_generate_below(generator, count);
	plan->v4 = moat_addr_is_v4(&session->src);
	for (unsigned int i = 0; i < 16; i++) {
		plan->src[i] = session->src.bytes[plan->v4 ? (12 + i) % 16 : i];
		plan->dst[i] = session->dst.bytes[plan->v4 ? (12 + i) % 16 : i];
	}
	plan->proto = one_in(generator, 10) ? 17 : 6;
	plan->sport = (uint16_t)(session->sport + one_in(generator, 8));
	plan->dport = (uint16_t)(session->dport + one_in(generator, 8));
}

static uint8_t pick_flags(struct moat_generator *generator, const struct moat_match *aim)
{
	uint8_t flags = (uint8_t)moat_generate_below(generator, 256);

	static const uint8_t legal[] = { 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0xc2 };

	if (!aim->tcp_mask && !one_in(generator, 6))
		return legal[moat_generate_below(generator, sizeof(legal))];
	if (one_in(generator, 6))
		return flags;
	flags = (uint8_t)(aim->tcp_flags | (flags & ~aim->tcp_mask));
	if (one_in(generator, 4))
		flags ^= (uint8_t)(1U << moat_generate_below(generator, 8));
	return flags;
}

struct moat_plan moat_generate_plan(struct moat_generator *generator, const struct moat_ruleset *set)
{
	const struct moat_match picked = pick_aim(generator, set), *aim = &picked;
	struct moat_plan plan = { 0 };
	uint8_t family = aim->src.family ? aim->src.family : aim->dst.family;

	plan.v4 = family ? family == MOAT_FAMILY_V4 : one_in(generator, 2);
	pick_addr(generator, &aim->src, plan.v4, plan.src);
	pick_addr(generator, &aim->dst, plan.v4, plan.dst);
	if (aim->vlan_mask && !one_in(generator, 8))
		plan.vlan = (uint16_t)((aim->vlan & aim->vlan_mask) |
				       (moat_generate_below(generator, 4096) & ~aim->vlan_mask));
	if (aim->vlan_mask && one_in(generator, 8))
		plan.vlan ^= (uint16_t)(1U << moat_generate_below(generator, 12));
	plan.proto = pick_proto(generator, aim);
	plan.sport = pick_in_range(generator, aim->sport_min, aim->sport_max);
	plan.dport = pick_in_range(generator, aim->dport_min, aim->dport_max);
	plan.tcp_flags = pick_flags(generator, aim);
	plan.length = pick_in_range(generator, aim->len_min, aim->len_max);
	plan_control(generator, &plan);
	if (moat_ruleset_stages(set) && one_in(generator, 12))
		plan_reflection(generator, moat_ruleset_stages(set), &plan);
	if (one_in(generator, 25))
		plan_session(generator, set, &plan);
	if (one_in(generator, 40))
		memcpy(plan.dst, plan.src, sizeof(plan.dst));
	if (plan.length > DATAGRAM_MOST)
		plan.length = 40 + moat_generate_below(generator, DATAGRAM_MOST - 40);
	if (one_in(generator, 8))
		plan.fragment = MOAT_FRAGMENT_FIRST + moat_generate_below(generator, 2);
	return plan;
}
