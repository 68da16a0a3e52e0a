/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See guard.h: judges by the text of the rules, not by tables, which aren't built yet. */
#include "ctl/guard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"
#include "dataplane/rule_names.h"

#define TCP 6

/* An address and its port, the next two words. */
static bool take_end(struct moat_words *words, struct moat_addr *ret_addr, uint16_t *ret_port)
{
	char word[MOAT_WORD_LEN];
	uint64_t port;
	size_t column;

	if (moat_words_next(words, word, &column) != 1 || moat_addr_parse(word, ret_addr) < 0 ||
	    moat_words_next(words, word, &column) != 1 ||
	    moat_number_parse(word, UINT16_MAX, &port) < 0)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

bool moat_guard_session(const json_t *params, struct moat_session *ret_session)
{
	const char *text = json_string_value(json_object_get(params, "ssh"));
	struct moat_words words = { .begin = text, .at = text };
	struct moat_session session = { .used = 1 };

	if (!text || !take_end(&words, &session.src, &session.sport) ||
	    !take_end(&words, &session.dst, &session.dport))
		return false;
	*ret_session = session;
	return true;
}

/* The first prefix of a list that holds an address. */
static bool list_holds(const struct moat_ruleset *set, enum moat_list list,
		       const struct moat_addr *addr, struct moat_prefix *ret_prefix)
{
	bool v4 = moat_addr_is_v4(addr);
	struct moat_prefix prefix = {
		.addr = *addr,
		.family = v4 ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6,
	};

	for (int length = v4 ? 32 : 128; length >= 0; length--) {
		unsigned int bit = (v4 ? 96U : 0U) + (unsigned int)length;

		if (bit < 128)
			prefix.addr.bytes[bit / 8] &= (uint8_t)~(0x80 >> (bit % 8));
		prefix.len = (uint8_t)length;
		if (!moat_ruleset_list_has(set, list, &prefix))
			continue;
		*ret_prefix = prefix;
		return true;
	}
	return false;
}

static bool rule_stops(const struct moat_rule *rule)
{
	return !(rule->flags & MOAT_RULE_COUNT_ONLY) &&
	       (rule->action == MOAT_ACTION_DROP || rule->action == MOAT_ACTION_REDIRECT);
}

static bool rule_decides(const struct moat_rule *rule)
{
	return !(rule->flags & MOAT_RULE_COUNT_ONLY) &&
	       (rule_stops(rule) || rule->action == MOAT_ACTION_PASS ||
		rule->action == MOAT_ACTION_LIMIT);
}

/* What of a set stops a packet of TCP: "deny 192.0.2.0/24" or "rule 7 (drop ...)". False: nothing. */
static bool stops_packet(const struct moat_ruleset *set, const struct moat_headers *headers,
			 char ret_what[MOAT_RULE_TEXT_LEN + 32])
{
	char text[MOAT_RULE_TEXT_LEN];
	struct moat_prefix prefix;
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(set, &count);

	if (list_holds(set, MOAT_LIST_ALLOW, &headers->src, &prefix))
		return false;
	if (list_holds(set, MOAT_LIST_DENY, &headers->src, &prefix)) {
		snprintf(ret_what, MOAT_RULE_TEXT_LEN + 32, "\"deny %s\"",
			 moat_prefix_format(&prefix, text));
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		if (!rule_decides(&rules[i]) || !moat_match_test(&rules[i].match, headers))
			continue;
		if (rule_stops(&rules[i]))
			snprintf(ret_what, MOAT_RULE_TEXT_LEN + 32, "\"%s\"",
				 moat_rule_format(&rules[i], 0, text));
		return rule_stops(&rules[i]);
	}
	return false;
}

/* A data segment as both sides of a connection send them. */
static struct moat_headers segment_of(const struct moat_session *session)
{
	return (struct moat_headers){
		.src = session->src,
		.dst = session->dst,
		.sport = session->sport,
		.dport = session->dport,
		.family = moat_addr_is_v4(&session->src) ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6,
		.proto = TCP,
		.has_ports = 1,
		.tcp_flags = MOAT_TCP_ACK | MOAT_TCP_PSH,
		.l3_len = 128,
		.frame_len = 142,
	};
}

static bool overlap(const struct moat_prefix *a, const struct moat_prefix *b)
{
	const struct moat_prefix *wide = a->len <= b->len ? a : b;

	return a->family == b->family && moat_prefix_contains(wide, wide == a ? &b->addr : &a->addr);
}

/* What of a set names sources of a prefix to stop them. */
static bool stops_prefix(const struct moat_ruleset *set, const struct moat_prefix *prefix,
			 char ret_what[MOAT_RULE_TEXT_LEN + 32])
{
	char text[MOAT_RULE_TEXT_LEN];
	size_t count;
	const struct moat_prefix *denied = moat_ruleset_prefixes(set, MOAT_LIST_DENY, &count);
	const struct moat_rule *rules;

	for (size_t i = 0; i < count; i++) {
		if (!overlap(&denied[i], prefix))
			continue;
		snprintf(ret_what, MOAT_RULE_TEXT_LEN + 32, "\"deny %s\"",
			 moat_prefix_format(&denied[i], text));
		return true;
	}
	rules = moat_ruleset_rules(set, &count);
	for (size_t i = 0; i < count; i++) {
		if (!rule_stops(&rules[i]) || !overlap(&rules[i].match.src, prefix))
			continue;
		snprintf(ret_what, MOAT_RULE_TEXT_LEN + 32, "\"%s\"",
			 moat_rule_format(&rules[i], 0, text));
		return true;
	}
	return false;
}

int moat_guard_check(const struct moat_ruleset *before, const struct moat_ruleset *after,
		     const struct moat_session *session, struct moat_error *error)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(after);
	char what[MOAT_RULE_TEXT_LEN + 32], old[MOAT_RULE_TEXT_LEN + 32];
	char text[MOAT_PREFIX_TEXT_LEN];

	if (session) {
		struct moat_headers segment = segment_of(session);

		if (stops_packet(after, &segment, what) && !stops_packet(before, &segment, old))
			return moat_error_set(error, -EPERM,
					      "%s would cut off your own SSH session from %s: --force "
					      "does it all the same",
					      what, moat_addr_format(&session->src, text));
	}
	for (size_t i = 0; stages && i < stages->marked[MOAT_MARKED_MANAGEMENT].count; i++) {
		const struct moat_prefix *prefix = &stages->marked[MOAT_MARKED_MANAGEMENT].prefixes[i];

		if (stops_prefix(after, prefix, what) && !stops_prefix(before, prefix, old))
			return moat_error_set(error, -EPERM,
					      "%s names sources of the management prefix %s: --force "
					      "does it all the same",
					      what, moat_prefix_format(prefix, text));
	}
	return 0;
}
