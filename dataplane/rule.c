/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rules as values: defaults, names, text out, and the match of one rule by the book. Text comes in by
 * rule_parse.c. */
#include "dataplane/rule.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule_names.h"

const struct moat_proto_name moat_proto_names[] = {
	{ "icmp", 1 },    { "igmp", 2 },      { "ipip", 4 },   { "tcp", 6 },    { "udp", 17 },
	{ "ipv6", 41 },   { "gre", 47 },      { "esp", 50 },   { "ah", 51 },    { "icmp6", 58 },
	{ "ospf", 89 },   { "pim", 103 },     { "vrrp", 112 }, { "l2tp", 115 }, { "sctp", 132 },
	{ "icmpv6", 58 }, { "udplite", 136 }, { NULL, 0 },
};

const struct moat_rate_unit moat_rate_units[] = {
	{ "Gbit/s", 1000000000 }, { "Mbit/s", 1000000 },  { "kbit/s", 1000 },
	{ "bit/s", 1 },           { "GB/s", 8000000000 }, { "MB/s", 8000000 },
	{ "kB/s", 8000 },         { "B/s", 8 },           { NULL, 0 },
};

/* Index is the bit. */
const char moat_flag_letters[] = "FSRPAUEC";

static const char *const action_names[] = {
	[MOAT_ACTION_DROP] = "drop",           [MOAT_ACTION_PASS] = "pass",
	[MOAT_ACTION_LIMIT] = "limit",         [MOAT_ACTION_COUNT] = "count",
	[MOAT_ACTION_CHALLENGE] = "challenge", [MOAT_ACTION_SAMPLE] = "sample",
	[MOAT_ACTION_REDIRECT] = "redirect",
};

static const char *const reason_names[] = {
	[MOAT_REASON_PASS_DEFAULT] = "pass_default",
	[MOAT_REASON_PASS_ALLOWED] = "pass_allowed",
	[MOAT_REASON_PASS_RULE] = "pass_rule",
	[MOAT_REASON_PASS_KNOWN] = "pass_known",
	[MOAT_REASON_PASS_LIMIT] = "pass_limit",
	[MOAT_REASON_PASS_NOT_IP] = "pass_not_ip",
	[MOAT_REASON_PASS_TRUNCATED] = "pass_truncated",
	[MOAT_REASON_PASS_MALFORMED] = "pass_malformed",
	[MOAT_REASON_PASS_DEPTH] = "pass_depth",
	[MOAT_REASON_PASS_NO_TABLE] = "pass_no_table",
	[MOAT_REASON_PASS_CONTROL] = "pass_control",
	[MOAT_REASON_PASS_MANAGEMENT] = "pass_management",
	[MOAT_REASON_PASS_NO_TARGET] = "pass_no_target",
	[MOAT_REASON_DROP_DENIED] = "drop_denied",
	[MOAT_REASON_DROP_RULE] = "drop_rule",
	[MOAT_REASON_DROP_LIMIT] = "drop_limit",
	[MOAT_REASON_DROP_BROKEN] = "drop_broken",
	[MOAT_REASON_DROP_FLAGS] = "drop_flags",
	[MOAT_REASON_DROP_LAND] = "drop_land",
	[MOAT_REASON_DROP_MARTIAN] = "drop_martian",
	[MOAT_REASON_DROP_AMPLIFICATION] = "drop_amplification",
	[MOAT_REASON_DROP_FRAGMENT] = "drop_fragment",
	[MOAT_REASON_DROP_SOURCE] = "drop_source",
	[MOAT_REASON_DROP_PROFILE] = "drop_profile",
	[MOAT_REASON_DROP_CHALLENGE] = "drop_challenge",
	[MOAT_REASON_DROP_COOKIE] = "drop_cookie",
	[MOAT_REASON_DROP_NO_POLICY] = "drop_no_policy",
	[MOAT_REASON_DROP_NO_XSK] = "drop_no_xsk",
	[MOAT_REASON_DROP_NO_PEER] = "drop_no_peer",
	[MOAT_REASON_REDIRECT_XSK] = "redirect_xsk",
	[MOAT_REASON_REDIRECT_RULE] = "redirect_rule",
	[MOAT_REASON_REDIRECT_BYPASS] = "redirect_bypass",
	[MOAT_REASON_TX_CHALLENGE] = "tx_challenge",
	[MOAT_REASON_PASS_NO_XSK] = "pass_no_xsk",
	[MOAT_REASON_CONSUMED] = "consumed",
};
_Static_assert(MOAT_ARRAY_SIZE(reason_names) == MOAT_REASON_COUNT, "each reason has a name");

const char *moat_action_name(uint32_t action)
{
	return action < MOAT_ARRAY_SIZE(action_names) ? action_names[action] : "unknown";
}

const char *moat_reason_name(uint32_t reason)
{
	return reason < MOAT_ARRAY_SIZE(reason_names) ? reason_names[reason] : "unknown";
}

struct moat_rule moat_rule_default(void)
{
	return (struct moat_rule){
		.match = {
			.sport_max = UINT16_MAX,
			.dport_max = UINT16_MAX,
			.len_max = UINT16_MAX,
		},
		.priority = MOAT_RULE_PRIORITY_DEFAULT,
		.action = MOAT_ACTION_DROP,
	};
}

static bool range_is_any(uint16_t min, uint16_t max)
{
	return min == 0 && max == UINT16_MAX;
}

static bool range_test(uint16_t min, uint16_t max, bool present, uint16_t value)
{
	return range_is_any(min, max) || (present && value >= min && value <= max);
}

bool moat_match_test(const struct moat_match *match, const struct moat_headers *headers)
{
	/* a later fragment has neither ports nor flags, a TCP header always has both */
	bool has_flags = headers->proto == 6 && headers->has_ports;

	return moat_prefix_contains(&match->src, &headers->src) &&
	       moat_prefix_contains(&match->dst, &headers->dst) &&
	       (match->proto == 0 || match->proto == headers->proto) &&
	       range_test(match->sport_min, match->sport_max, headers->has_ports, headers->sport) &&
	       range_test(match->dport_min, match->dport_max, headers->has_ports, headers->dport) &&
	       range_test(match->len_min, match->len_max, true, headers->l3_len) &&
	       (match->vlan_mask == 0 || (headers->vlan & match->vlan_mask) == match->vlan) &&
	       (match->tcp_mask == 0 ||
		(has_flags && (headers->tcp_flags & match->tcp_mask) == match->tcp_flags));
}

/* ---- text out -------------------------------------------------------------------------------- */

struct writer {
	char *text; /* MOAT_RULE_TEXT_LEN bytes, always terminated */
	size_t length;
};

/* Adds a word, after a blank unless it is the first. The longest rule fits, see the unit test. */
__attribute__((format(printf, 2, 3))) static void add_word(struct writer *writer,
							   const char *format, ...)
{
	size_t room = MOAT_RULE_TEXT_LEN - writer->length;
	va_list args;
	int length;

	if (writer->length > 0 && room > 1) {
		writer->text[writer->length++] = ' ';
		writer->text[writer->length] = '\0';
		room--;
	}
	va_start(args, format);
	length = vsnprintf(writer->text + writer->length, room, format, args);
	va_end(args);
	if (length > 0)
		writer->length += (size_t)length < room ? (size_t)length : room - 1;
}

static void add_prefix(struct writer *writer, const char *name, const struct moat_prefix *prefix)
{
	char text[MOAT_PREFIX_TEXT_LEN];

	if (prefix->family != MOAT_FAMILY_ANY)
		add_word(writer, "%s %s", name, moat_prefix_format(prefix, text));
}

static void add_range(struct writer *writer, const char *name, uint16_t min, uint16_t max)
{
	if (range_is_any(min, max))
		return;
	if (min == max)
		add_word(writer, "%s %u", name, min);
	else
		add_word(writer, "%s %u-%u", name, min, max);
}

static void add_proto(struct writer *writer, uint8_t proto)
{
	const struct moat_proto_name *known = moat_proto_names;

	if (proto == 0)
		return;
	while (known->name && known->number != proto)
		known++;
	if (known->name)
		add_word(writer, "proto %s", known->name);
	else
		add_word(writer, "proto %u", proto);
}

static const char *flags_text(uint8_t flags, char ret_text[9])
{
	size_t length = 0;

	if (flags == 0)
		return "none";
	for (unsigned int bit = 0; bit < 8; bit++) {
		if (flags & (1U << bit))
			ret_text[length++] = moat_flag_letters[bit];
	}
	ret_text[length] = '\0';
	return ret_text;
}

static void add_flags(struct writer *writer, uint8_t flags, uint8_t mask)
{
	char set[9], masked[9];

	if (mask == 0)
		return;
	if (mask == (flags | MOAT_FLAGS_MASK_DEFAULT))
		add_word(writer, "flags %s", flags_text(flags, set));
	else
		add_word(writer, "flags %s/%s", flags_text(flags, set), flags_text(mask, masked));
}

static void add_match(struct writer *writer, const struct moat_match *match)
{
	add_prefix(writer, "src", &match->src);
	add_prefix(writer, "dst", &match->dst);
	add_proto(writer, match->proto);
	add_range(writer, "sport", match->sport_min, match->sport_max);
	add_range(writer, "dport", match->dport_min, match->dport_max);
	add_flags(writer, match->tcp_flags, match->tcp_mask);
	if (match->vlan_mask == MOAT_VLAN_ID_MASK && match->vlan == 0)
		add_word(writer, "vlan none");
	else if (match->vlan_mask == MOAT_VLAN_ID_MASK)
		add_word(writer, "vlan %u", match->vlan);
	else if (match->vlan_mask)
		add_word(writer, "vlan %u/0x%x", match->vlan, match->vlan_mask);
	if (match->len_min > 0 && match->len_max == UINT16_MAX)
		add_word(writer, "len %u-", match->len_min);
	else
		add_range(writer, "len", match->len_min, match->len_max);
}

void moat_text_quote(const char *text, size_t size, char *ret_text)
{
	size_t length = 0;

	ret_text[length++] = '"';
	for (size_t i = 0; i < size && text[i]; i++) {
		if (text[i] == '"' || text[i] == '\\')
			ret_text[length++] = '\\';
		ret_text[length++] = text[i];
	}
	ret_text[length++] = '"';
	ret_text[length] = '\0';
}

const char *moat_match_format(const struct moat_match *match, char ret_text[MOAT_RULE_TEXT_LEN])
{
	struct writer writer = { .text = ret_text };

	ret_text[0] = '\0';
	add_match(&writer, match);
	if (writer.length == 0)
		add_word(&writer, "any");
	return ret_text;
}

/* In the largest unit of bits that says it exactly. */
static void add_rate(struct writer *writer, const struct moat_rule *rule)
{
	const struct moat_rate_unit *unit = moat_rate_units;
	uint64_t bits = rule->rate_bps * 8;

	if (rule->rate_pps)
		add_word(writer, "%u/s", rule->rate_pps);
	if (rule->rate_pps && rule->rate_bps)
		add_word(writer, "and");
	while (bits % unit->bits)
		unit++;
	if (rule->rate_bps)
		add_word(writer, "%llu%s", (unsigned long long)(bits / unit->bits), unit->name);
	if (rule->burst)
		add_word(writer, "burst %u", rule->burst);
	if (rule->flags & MOAT_RULE_PREFER_KNOWN)
		add_word(writer, "prefer-known");
}

static void add_action(struct writer *writer, const struct moat_rule *rule)
{
	if (rule->flags & MOAT_RULE_COUNT_ONLY)
		add_word(writer, "count-only");
	add_word(writer, "%s", moat_action_name(rule->action));
	if (rule->action == MOAT_ACTION_LIMIT)
		add_rate(writer, rule);
	else if (rule->action == MOAT_ACTION_SAMPLE)
		add_word(writer, "1/%u", rule->interval);
	else if (rule->action == MOAT_ACTION_REDIRECT)
		add_word(writer, "to %.*s", (int)sizeof(rule->target), rule->target);
}

const char *moat_rule_format(const struct moat_rule *rule, uint64_t now_ns,
			     char ret_text[MOAT_RULE_TEXT_LEN])
{
	char comment[MOAT_QUOTED_LEN(MOAT_RULE_COMMENT_LEN)];
	struct writer writer = { .text = ret_text };

	ret_text[0] = '\0';
	add_action(&writer, rule);
	add_match(&writer, &rule->match);
	if (rule->priority != MOAT_RULE_PRIORITY_DEFAULT)
		add_word(&writer, "priority %u", rule->priority);
	if (rule->expires_ns) {
		uint64_t left = rule->expires_ns > now_ns ? rule->expires_ns - now_ns : 0;
		uint64_t seconds = (left + MOAT_NS_PER_S - 1) / MOAT_NS_PER_S;

		/* rounded up, so that "for 10m" is listed as 600s and not as 599s */
		add_word(&writer, "for %llus", (unsigned long long)(seconds ? seconds : 1));
	}
	if (rule->comment[0]) {
		moat_text_quote(rule->comment, sizeof(rule->comment), comment);
		add_word(&writer, "comment %s", comment);
	}
	return ret_text;
}
