/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which rules a card may have: see offload.h. */
#include "dataplane/offload.h"

#include "dataplane/base/addr.h"
#include "moat/stage.h"

#define PROTO_TCP 6
#define PROTO_UDP 17
#define PORT_ANY_MAX 65535

/* ANY holds all there is. */
static bool prefixes_meet(const struct moat_prefix *a, const struct moat_prefix *b)
{
	return a->family == MOAT_FAMILY_ANY || b->family == MOAT_FAMILY_ANY ||
	       moat_prefix_overlaps(a, b);
}

static bool meets_any(const struct moat_prefix *prefix, const struct moat_prefix *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (prefixes_meet(prefix, &list[i]))
			return true;
	}
	return false;
}

/* Whether some of these sources pass whatever the lists and rules say. */
static bool has_friends(const struct moat_ruleset *set, const struct moat_prefix *src)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(set);
	size_t allowed, session_count;
	const struct moat_prefix *allow = moat_ruleset_prefixes(set, MOAT_LIST_ALLOW, &allowed);
	const struct moat_session *sessions = moat_ruleset_sessions(set, &session_count);

	if (meets_any(src, allow, allowed))
		return true;
	for (size_t i = 0; stages && i < MOAT_MARKED_COUNT; i++) {
		if (i != MOAT_MARKED_MARTIAN &&
		    meets_any(src, stages->marked[i].prefixes, stages->marked[i].count))
			return true;
	}
	for (size_t i = 0; i < session_count; i++) {
		struct moat_prefix host = moat_prefix_host(&sessions[i].src);

		if (prefixes_meet(src, &host))
			return true;
	}
	return false;
}

static bool ranges_meet(uint16_t a_min, uint16_t a_max, uint16_t b_min, uint16_t b_max)
{
	return a_min <= b_max && b_min <= a_max;
}

/* True unless the two surely have no packet in common. */
static bool matches_meet(const struct moat_match *a, const struct moat_match *b)
{
	return prefixes_meet(&a->src, &b->src) && prefixes_meet(&a->dst, &b->dst) &&
	       (!a->proto || !b->proto || a->proto == b->proto) &&
	       ranges_meet(a->sport_min, a->sport_max, b->sport_min, b->sport_max) &&
	       ranges_meet(a->dport_min, a->dport_max, b->dport_min, b->dport_max);
}

static bool enforces_drop(const struct moat_rule *rule)
{
	return rule->action == MOAT_ACTION_DROP && !(rule->flags & MOAT_RULE_COUNT_ONLY);
}

static bool is_port_simple(uint16_t min, uint16_t max)
{
	return min == max || (min == 0 && max == PORT_ANY_MAX);
}

/* What every card's classifier can say. */
static bool is_simple(const struct moat_match *match)
{
	bool has_port = match->sport_max != PORT_ANY_MAX || match->dport_max != PORT_ANY_MAX ||
			match->sport_min || match->dport_min;

	return (match->src.family != MOAT_FAMILY_ANY || match->dst.family != MOAT_FAMILY_ANY) &&
	       (match->proto == 0 || match->proto == PROTO_TCP || match->proto == PROTO_UDP) &&
	       (match->proto || !has_port) && is_port_simple(match->sport_min, match->sport_max) &&
	       is_port_simple(match->dport_min, match->dport_max) && !match->tcp_mask &&
	       !match->vlan_mask && match->len_min == 0 && match->len_max == UINT16_MAX;
}

/* Nothing before it does anything else with its packets. */
static bool is_first(const struct moat_rule *rules, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (!enforces_drop(&rules[i]) && matches_meet(&rules[i].match, &rules[index].match))
			return false;
	}
	return true;
}

size_t moat_offload_choose(const struct moat_ruleset *set, uint32_t stages, bool tunnels,
			   struct moat_offload_rule ret_rules[MOAT_OFFLOAD_MAX])
{
	size_t denied, rule_count, count = 0;
	const struct moat_prefix *deny = moat_ruleset_prefixes(set, MOAT_LIST_DENY, &denied);
	const struct moat_rule *rules = moat_ruleset_rules(set, &rule_count);

	if (tunnels)
		return 0;
	/* rules first: they are few, and drop what is meant just now */
	for (size_t i = 0;
	     (stages & MOAT_STAGE_RULES) && i < rule_count && count < MOAT_OFFLOAD_MAX; i++) {
		if (enforces_drop(&rules[i]) && is_simple(&rules[i].match) && is_first(rules, i) &&
		    !has_friends(set, &rules[i].match.src))
			ret_rules[count++] = (struct moat_offload_rule){
				.match = rules[i].match,
				.rule_id = rules[i].id,
			};
	}
	for (size_t i = 0; (stages & MOAT_STAGE_DENY) && i < denied && count < MOAT_OFFLOAD_MAX;
	     i++) {
		if (!has_friends(set, &deny[i]))
			ret_rules[count++] = (struct moat_offload_rule){
				.match = { .src = deny[i],
					   .sport_max = PORT_ANY_MAX,
					   .dport_max = PORT_ANY_MAX,
					   .len_max = UINT16_MAX },
			};
	}
	return count;
}
