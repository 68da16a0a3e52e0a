/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See oracle.h: judging. Each function states one sentence of moat/rule.h. */
#include "tests/oracle/oracle.h"

#include <stdbool.h>
#include <string.h>

#include "tests/oracle/oracle_priv.h"
#include "tests/oracle/oracle_stages.h"

typedef unsigned __int128 u128;

/* An address as one number, the first bit of the prefix on top. */
static u128 number_of(const struct moat_addr *addr)
{
	u128 number = 0;

	for (int i = 0; i < 16; i++)
		number = number << 8 | addr->bytes[i];
	return number;
}

static bool is_mapped(u128 address)
{
	return address >> 32 == 0xffff;
}

bool oracle_is_mapped(const struct moat_addr *addr)
{
	return is_mapped(number_of(addr));
}

bool oracle_prefix_matches(const struct moat_prefix *prefix, const struct moat_addr *addr)
{
	u128 address = number_of(addr), first = number_of(&prefix->addr), size;
	unsigned int host_bits;

	if (prefix->family == MOAT_FAMILY_ANY)
		return true;
	if (is_mapped(address) != (prefix->family == MOAT_FAMILY_V4))
		return false;
	host_bits = (prefix->family == MOAT_FAMILY_V4 ? 32 : 128) - prefix->len;
	if (host_bits == 128)
		return true;
	size = (u128)1 << host_bits;
	return address >= first && address - first < size;
}

static bool range_matches(uint32_t min, uint32_t max, bool present, uint32_t value)
{
	if (min == 0 && max == 65535)
		return true;
	return present && min <= value && value <= max;
}

static bool rule_matches(const struct moat_match *m, const struct moat_headers *h)
{
	bool later = h->fragment == MOAT_FRAGMENT_LATER;
	bool ports = !later && (h->proto == 6 || h->proto == 17 || h->proto == 132);

	if (!oracle_prefix_matches(&m->src, &h->src) || !oracle_prefix_matches(&m->dst, &h->dst))
		return false;
	if (m->proto != 0 && m->proto != h->proto)
		return false;
	if (!range_matches(m->sport_min, m->sport_max, ports, h->sport))
		return false;
	if (!range_matches(m->dport_min, m->dport_max, ports, h->dport))
		return false;
	if (!range_matches(m->len_min, m->len_max, true, h->l3_len))
		return false;
	for (unsigned int bit = 1; bit <= 0x800; bit <<= 1) {
		if ((m->vlan_mask & bit) && (h->vlan & bit) != (m->vlan & bit))
			return false;
	}
	if (m->tcp_mask == 0)
		return true;
	if (later || h->proto != 6)
		return false;
	for (unsigned int bit = 1; bit <= 0x80; bit <<= 1) {
		if ((m->tcp_mask & bit) && (h->tcp_flags & bit) != (m->tcp_flags & bit))
			return false;
	}
	return true;
}

static bool on_list(const struct moat_oracle *oracle, enum moat_list list,
		    const struct moat_addr *addr)
{
	size_t count;
	const struct moat_prefix *prefixes = moat_ruleset_prefixes(oracle->set, list, &count);

	for (size_t i = 0; i < count; i++) {
		if (oracle_prefix_matches(&prefixes[i], addr))
			return true;
	}
	return false;
}

static bool is_expired(const struct moat_oracle *oracle, const struct moat_rule *rule,
		       uint64_t now_ticks)
{
	u128 elapsed = (u128)(now_ticks - oracle->clock.ticks) * 1000000000;

	if (rule->expires_ns == 0)
		return false;
	if (rule->expires_ns <= oracle->clock.ns)
		return true;
	return elapsed >= (u128)(rule->expires_ns - oracle->clock.ns) * oracle->clock.ticks_per_s;
}

/* A token bucket for packets, one for bytes: each lets a packet through that finds a whole token. */
static bool bucket_takes(const struct moat_oracle *oracle, struct moat_oracle_bucket *bucket,
			 const struct moat_rule *rule, uint32_t length, uint64_t now_ticks)
{
	const struct oracle_rate packets = { rule->rate_pps, rule->burst, ORACLE_LOT_PACKETS };
	const struct oracle_rate bytes = { rule->rate_bps, (uint64_t)rule->burst * 1500,
					   ORACLE_LOT_BYTES };
	const struct oracle_clock clock = { oracle->clock.ticks_per_s, oracle->settings.judges };
	uint32_t judge = oracle->judge;

	if (packets.per_s &&
	    !oracle_tokens_fill(&bucket->packets, &clock, &packets, judge, 1, now_ticks))
		return false;
	if (bytes.per_s &&
	    !oracle_tokens_fill(&bucket->bytes, &clock, &bytes, judge, length, now_ticks))
		return false;
	oracle_tokens_spend(&bucket->packets, &clock, &packets, judge, packets.per_s ? 1 : 0);
	oracle_tokens_spend(&bucket->bytes, &clock, &bytes, judge, bytes.per_s ? length : 0);
	return true;
}

static bool within_rate(struct moat_oracle *oracle, const struct moat_rule *rule, uint32_t length,
			uint64_t now_ticks)
{
	struct moat_oracle_bucket *bucket = oracle->buckets;

	while (bucket < oracle->buckets + oracle->bucket_count && bucket->id != rule->id)
		bucket++;
	if (bucket == oracle->buckets + oracle->bucket_count) {
		/* full: it filled from the clock's origin on */
		*bucket = (struct moat_oracle_bucket){ .id = rule->id };
		oracle->bucket_count++;
	}
	return bucket_takes(oracle, bucket, rule, length, now_ticks);
}

static bool is_known(const struct moat_oracle *oracle, const struct moat_addr *addr)
{
	for (size_t i = 0; i < oracle->known_count; i++) {
		if (number_of(&oracle->known[i]) == number_of(addr))
			return true;
	}
	return false;
}

static bool comes_before(const struct moat_rule *a, const struct moat_rule *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->id < b->id;
}

/* The first rule behind `after` (NULL: of all) that the packet matches. Trusts no order. */
static const struct moat_rule *next_match(const struct moat_oracle *oracle,
					  const struct moat_headers *headers,
					  const struct moat_rule *after)
{
	const struct moat_rule *best = NULL;
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(oracle->set, &count);

	for (size_t i = 0; i < count; i++) {
		if (after && !comes_before(after, &rules[i]))
			continue;
		if (best && !comes_before(&rules[i], best))
			continue;
		if (rule_matches(&rules[i].match, headers))
			best = &rules[i];
	}
	return best;
}

enum moat_reason oracle_by_challenge(struct moat_oracle *oracle, const struct moat_headers *headers,
				     uint64_t now_ticks, uint32_t scope)
{
	struct oracle_challenge_moment moment = {
		.now_ticks = now_ticks,
		.window_ticks = 1,
		.clock = { oracle->clock.ticks_per_s, oracle->settings.judges },
		.judge = oracle->judge,
	};
	enum moat_challenge_outcome outcome;

	if (oracle->asked || !oracle->settings.challenge)
		return MOAT_REASON_PASS_DEFAULT;
	while (2 * moment.window_ticks * 1000 <= 128ULL * moment.clock.ticks_per_s)
		moment.window_ticks *= 2;
	moment.window = now_ticks / moment.window_ticks;
	outcome = oracle_challenge(&oracle->memory->challenges, oracle->settings.challenge, &moment,
				   headers, scope, &oracle->cookie);
	oracle->asked = outcome != MOAT_CHALLENGE_UNASKED;
	switch (outcome) {
	case MOAT_CHALLENGE_SEND:
		return MOAT_REASON_TX_CHALLENGE;
	case MOAT_CHALLENGE_CAPPED:
		return MOAT_REASON_DROP_CHALLENGE;
	case MOAT_CHALLENGE_ACCEPTED:
		return MOAT_REASON_DROP_COOKIE;
	default:
		return MOAT_REASON_PASS_DEFAULT;
	}
}

/* What a rule makes of a packet that it matches; MOAT_REASON_PASS_DEFAULT if it leaves it to the next. */
static enum moat_reason by_rule(struct moat_oracle *oracle, const struct moat_rule *rule,
				const struct moat_headers *headers, uint64_t now_ticks)
{
	switch (rule->action) {
	case MOAT_ACTION_DROP:
		return MOAT_REASON_DROP_RULE;
	case MOAT_ACTION_PASS:
		return MOAT_REASON_PASS_RULE;
	case MOAT_ACTION_REDIRECT:
		return oracle->settings.port && strcmp(oracle->settings.port, rule->target) == 0
			       ? MOAT_REASON_REDIRECT_RULE
			       : MOAT_REASON_PASS_NO_TARGET;
	case MOAT_ACTION_CHALLENGE:
		if (rule->flags & MOAT_RULE_COUNT_ONLY)
			/* as if it had been asked */
			return oracle_is_syn(headers) ? MOAT_REASON_TX_CHALLENGE
						      : MOAT_REASON_PASS_DEFAULT;
		return oracle_by_challenge(oracle, headers, now_ticks,
					   MOAT_CHALLENGE_SCOPE_RULE | rule->id);
	case MOAT_ACTION_LIMIT:
		if ((rule->flags & MOAT_RULE_PREFER_KNOWN) && is_known(oracle, &headers->src))
			return MOAT_REASON_PASS_KNOWN;
		return within_rate(oracle, rule, headers->l3_len, now_ticks)
			       ? MOAT_REASON_PASS_LIMIT
			       : MOAT_REASON_DROP_LIMIT;
	default:
		return MOAT_REASON_PASS_DEFAULT;
	}
}

static enum moat_reason by_rules(struct moat_oracle *oracle, const struct moat_headers *headers,
				 uint64_t now_ticks, uint32_t *ret_rule_id)
{
	const struct moat_rule *rule = NULL;
	size_t count;

	for (int looked_at = 0; looked_at < 32; looked_at++) {
		struct moat_rule_count *hits;
		enum moat_reason reason;

		rule = next_match(oracle, headers, rule);
		if (!rule)
			break;
		if (is_expired(oracle, rule, now_ticks)) {
			oracle->expired++;
			continue;
		}
		/* a limit that only counts spends its tokens all the same */
		reason = by_rule(oracle, rule, headers, now_ticks);
		hits = &oracle->counts[rule - moat_ruleset_rules(oracle->set, &count)];
		hits->packets++;
		hits->bytes += headers->frame_len;
		hits->acted += reason != MOAT_REASON_PASS_DEFAULT &&
			       moat_reason_verdict(reason) != MOAT_VERDICT_PASS;
		if (reason == MOAT_REASON_PASS_DEFAULT || (rule->flags & MOAT_RULE_COUNT_ONLY))
			continue;
		*ret_rule_id = rule->id;
		return reason;
	}
	return MOAT_REASON_PASS_DEFAULT;
}

enum moat_reason moat_oracle_judge(struct moat_oracle *oracle, const struct moat_headers *headers,
				   enum moat_parse parse, uint64_t now_ticks, uint32_t *ret_rule_id)
{
	static const enum moat_reason unjudged[] = {
		[MOAT_PARSE_NOT_IP] = MOAT_REASON_PASS_NOT_IP,
		[MOAT_PARSE_TRUNCATED] = MOAT_REASON_PASS_TRUNCATED,
		[MOAT_PARSE_MALFORMED] = MOAT_REASON_PASS_MALFORMED,
		[MOAT_PARSE_DEPTH] = MOAT_REASON_PASS_DEPTH,
	};

	uint32_t stages = oracle->settings.stages;
	enum moat_reason reason;

	*ret_rule_id = 0;
	oracle->asked = false;
	if (parse == MOAT_PARSE_NOT_IP)
		return unjudged[parse];
	if (parse == MOAT_PARSE_OK && oracle_is_control(oracle, headers, now_ticks))
		return MOAT_REASON_PASS_CONTROL;
	if (!oracle->set)
		return oracle->settings.fail_closed ? MOAT_REASON_DROP_NO_POLICY
						    : MOAT_REASON_PASS_NO_TABLE;
	if (parse != MOAT_PARSE_OK)
		return stages & MOAT_STAGE_BROKEN ? MOAT_REASON_DROP_BROKEN : unjudged[parse];
	reason = oracle_by_marks(oracle, headers);
	if (reason == MOAT_REASON_PASS_DEFAULT)
		reason = oracle_by_sanity(oracle, headers);
	if (reason != MOAT_REASON_PASS_DEFAULT)
		return reason;
	if ((stages & MOAT_STAGE_ALLOW) && on_list(oracle, MOAT_LIST_ALLOW, &headers->src))
		return MOAT_REASON_PASS_ALLOWED;
	if ((stages & MOAT_STAGE_DENY) && on_list(oracle, MOAT_LIST_DENY, &headers->src))
		return MOAT_REASON_DROP_DENIED;
	if (stages & MOAT_STAGE_RULES)
		reason = by_rules(oracle, headers, now_ticks, ret_rule_id);
	return reason != MOAT_REASON_PASS_DEFAULT ? reason
						  : oracle_by_stages(oracle, headers, now_ticks);
}

enum moat_reason moat_oracle_judge_frame(struct moat_oracle *oracle, const uint8_t *frame,
					 size_t captured, size_t length, uint64_t now_ticks,
					 uint32_t *ret_rule_id)
{
	struct moat_headers headers;
	enum moat_parse parse = moat_oracle_parse(&oracle->settings, frame, captured, length,
						  &headers);

	return moat_oracle_judge(oracle, &headers, parse, now_ticks, ret_rule_id);
}
