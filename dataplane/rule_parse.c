/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rule text in. A rule is a list of words: the action, then fields in any order. A table names the
 * fields; what a combination of fields can't mean is refused at the end, with the reason.
 */
#include "dataplane/rule.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule_names.h"

/* ---- words ------------------------------------------------------------------------------------ */

/* Bytes of the UTF-8 sequence at `text`, 0 if it is none (RFC 3629: shortest form, no surrogates). */
static size_t utf8_length(const char *text)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t least;
	} forms[] = { { 0x80, 0x00, 0 },
		      { 0xe0, 0xc0, 0x80 },
		      { 0xf0, 0xe0, 0x800 },
		      { 0xf8, 0xf0, 0x10000 } };
	uint8_t lead = (uint8_t)text[0];

	for (size_t extra = 0; extra < MOAT_ARRAY_SIZE(forms); extra++) {
		uint32_t code = lead & (uint8_t)~forms[extra].mask;

		if ((lead & forms[extra].mask) != forms[extra].lead)
			continue;
		for (size_t i = 1; i <= extra; i++) {
			if (((uint8_t)text[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | ((uint8_t)text[i] & 0x3f);
		}
		if (code < forms[extra].least || code > 0x10ffff ||
		    (code >= 0xd800 && code < 0xe000))
			return 0;
		return extra + 1;
	}
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool moat_text_is_clean(const char *text)
{
	while (*text) {
		size_t bytes = utf8_length(text);

		if (bytes == 0 || (uint8_t)*text < 0x20 || *text == 0x7f)
			return false;
		text += bytes;
	}
	return true;
}

int moat_words_next(struct moat_words *words, char ret_word[MOAT_WORD_LEN], size_t *ret_column)
{
	const char *at = words->at;
	size_t length = 0;
	bool quoted;

	while (is_blank(*at))
		at++;
	*ret_column = (size_t)(at - words->begin) + 1;
	ret_word[0] = '\0';
	if (!*at)
		return 0;
	quoted = *at == '"';
	for (at += quoted; *at && (quoted ? *at != '"' : !is_blank(*at));) {
		size_t bytes;

		if (quoted && at[0] == '\\' && (at[1] == '"' || at[1] == '\\'))
			at++;
		bytes = utf8_length(at);
		if (bytes == 0 || (uint8_t)*at < 0x20 || *at == 0x7f ||
		    length + bytes >= MOAT_WORD_LEN) {
			ret_word[length] = '\0';
			return -EINVAL;
		}
		memcpy(ret_word + length, at, bytes);
		length += bytes;
		at += bytes;
	}
	ret_word[length] = '\0';
	if (quoted && *at++ != '"')
		return -EINVAL;
	words->at = at;
	return 1;
}

int moat_number_parse(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9' || digit > max || number > (max - digit) / 10)
			return -EINVAL;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return 0;
}

/* Decimal, or hexadecimal behind "0x". */
static int parse_hex(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;
	char *end;

	if (strncmp(text, "0x", 2) != 0)
		return moat_number_parse(text, max, ret_number);
	if (!isxdigit((unsigned char)text[2]) || strlen(text) > 2 + 8)
		return -EINVAL;
	number = strtoull(text + 2, &end, 16);
	if (*end || number > max)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

bool moat_target_is_valid(const char *name)
{
	return *name && strlen(name) < sizeof(((struct moat_rule *)0)->target) &&
	       strcspn(name, "/: \t\"\\") == strlen(name) && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 && moat_text_is_clean(name);
}

/* ---- fields ----------------------------------------------------------------------------------- */

struct parser {
	struct moat_words words;
	struct moat_rule rule;
	uint64_t now_ns;
	uint32_t seen; /* a bit a field */
	char word[MOAT_WORD_LEN];
	size_t column;
	struct moat_error *error;
};

static int refuse(struct parser *parser, const char *why)
{
	return moat_error_set(parser->error, -EINVAL, "column %zu: '%s': %s", parser->column,
			      parser->word, why);
}

/* 1, 0 at the end, or a refusal. */
static int next_word(struct parser *parser)
{
	int r = moat_words_next(&parser->words, parser->word, &parser->column);

	return r < 0 ? refuse(parser,
			      "an open quote, a word of more than 127 bytes, or no UTF-8 text")
		     : r;
}

static int parse_prefix(struct parser *parser, struct moat_prefix *ret_prefix)
{
	switch (moat_prefix_parse(parser->word, ret_prefix)) {
	case 0:
		return 0;
	case -EDOM:
		return refuse(parser, "bits are set behind the prefix length");
	default:
		return refuse(parser, "no address or prefix");
	}
}

/* "N" or "N-M"; with `open` also "N-". */
static int parse_range(struct parser *parser, bool open, uint16_t *ret_min, uint16_t *ret_max)
{
	char *dash = strchr(parser->word, '-');
	uint64_t min, max = UINT16_MAX;
	char first[MOAT_WORD_LEN];

	snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - parser->word) : MOAT_WORD_LEN,
		 parser->word);
	if (moat_number_parse(first, UINT16_MAX, &min) < 0)
		return refuse(parser, "no number or range within 0-65535");
	if (!dash)
		max = min;
	else if (!(open && dash[1] == '\0') && moat_number_parse(dash + 1, UINT16_MAX, &max) < 0)
		return refuse(parser, "no number or range within 0-65535");
	if (min > max)
		return refuse(parser, "the range ends before it begins");
	*ret_min = (uint16_t)min;
	*ret_max = (uint16_t)max;
	return 0;
}

static int parse_src(struct parser *parser)
{
	return parse_prefix(parser, &parser->rule.match.src);
}

static int parse_dst(struct parser *parser)
{
	return parse_prefix(parser, &parser->rule.match.dst);
}

static int parse_sport(struct parser *parser)
{
	return parse_range(parser, false, &parser->rule.match.sport_min,
			   &parser->rule.match.sport_max);
}

static int parse_dport(struct parser *parser)
{
	return parse_range(parser, false, &parser->rule.match.dport_min,
			   &parser->rule.match.dport_max);
}

static int parse_len(struct parser *parser)
{
	return parse_range(parser, true, &parser->rule.match.len_min, &parser->rule.match.len_max);
}

static int parse_proto(struct parser *parser)
{
	uint64_t number;

	for (const struct moat_proto_name *known = moat_proto_names; known->name; known++) {
		if (strcmp(parser->word, known->name) == 0) {
			parser->rule.match.proto = known->number;
			return 0;
		}
	}
	if (moat_number_parse(parser->word, UINT8_MAX, &number) < 0 || number == 0)
		return refuse(parser, "no protocol name or number within 1-255");
	parser->rule.match.proto = (uint8_t)number;
	return 0;
}

/* Letters up to `end`, or "none". */
static int flags_of(const char *text, const char *end, uint8_t *ret_flags)
{
	uint8_t flags = 0;

	if (text == end)
		return -EINVAL;
	if (end - text == 4 && memcmp(text, "none", 4) == 0) {
		*ret_flags = 0;
		return 0;
	}
	for (; text < end; text++) {
		const char *letter = strchr(moat_flag_letters, *text);

		if (!letter)
			return -EINVAL;
		flags |= (uint8_t)(1U << (letter - moat_flag_letters));
	}
	*ret_flags = flags;
	return 0;
}

static int parse_flags(struct parser *parser)
{
	struct moat_match *match = &parser->rule.match;
	const char *end = strchrnul(parser->word, '/');
	uint8_t flags, mask;

	if (flags_of(parser->word, end, &flags) < 0)
		return refuse(parser, "flags are letters of FSRPAUEC or 'none'");
	mask = flags | MOAT_FLAGS_MASK_DEFAULT;
	if (*end && (flags_of(end + 1, end + strlen(end), &mask) < 0 || mask == 0))
		return refuse(parser, "the mask is letters of FSRPAUEC");
	if (flags & ~mask)
		return refuse(parser, "flags outside of the mask never match");
	match->tcp_flags = flags;
	match->tcp_mask = mask;
	return 0;
}

static int parse_priority(struct parser *parser)
{
	uint64_t number;

	if (moat_number_parse(parser->word, UINT16_MAX, &number) < 0)
		return refuse(parser, "no priority within 0-65535");
	parser->rule.priority = (uint32_t)number;
	return 0;
}

static int parse_for(struct parser *parser)
{
	uint64_t duration;

	if (moat_clock_parse_duration(parser->word, &duration) < 0 || duration == 0)
		return refuse(parser, "no duration like 90s, 10m, 1.5h or 7d");
	parser->rule.expires_ns = parser->now_ns + duration;
	return 0;
}

static int parse_comment(struct parser *parser)
{
	if (strlen(parser->word) >= MOAT_RULE_COMMENT_LEN)
		return refuse(parser, "a comment has up to 95 bytes");
	memset(parser->rule.comment, 0, sizeof(parser->rule.comment));
	memcpy(parser->rule.comment, parser->word, strlen(parser->word));
	return 0;
}

static int parse_vlan(struct parser *parser)
{
	struct moat_match *match = &parser->rule.match;
	char *slash = strchr(parser->word, '/');
	uint64_t id = 0, mask = MOAT_VLAN_ID_MASK;

	if (slash) {
		*slash++ = '\0';
		if (parse_hex(slash, MOAT_VLAN_ID_MASK, &mask) < 0 || mask == 0)
			return refuse(parser, "the mask is a number within 1-4095");
	}
	if (strcmp(parser->word, "none") != 0 &&
	    moat_number_parse(parser->word, MOAT_VLAN_ID_MASK, &id) < 0)
		return refuse(parser, "no VLAN id within 0-4095 or 'none'");
	if (id & ~mask)
		return refuse(parser, "bits outside of the mask never match");
	match->vlan = (uint16_t)id;
	match->vlan_mask = (uint16_t)mask;
	return 0;
}

static int parse_burst(struct parser *parser)
{
	uint64_t number;

	if (parser->rule.action != MOAT_ACTION_LIMIT)
		return refuse(parser, "only a limit has a burst");
	if (moat_number_parse(parser->word, MOAT_RULE_BURST_MAX, &number) < 0 || number == 0)
		return refuse(parser, "no burst within 1-1048576 packets");
	parser->rule.burst = (uint32_t)number;
	return 0;
}

static const struct field {
	const char *name;
	int (*parse)(struct parser *parser); /* reads parser->word */
} fields[] = {
	{ "src", parse_src },         { "dst", parse_dst },           { "proto", parse_proto },
	{ "sport", parse_sport },     { "dport", parse_dport },       { "flags", parse_flags },
	{ "len", parse_len },         { "priority", parse_priority }, { "for", parse_for },
	{ "comment", parse_comment }, { "vlan", parse_vlan },         { "burst", parse_burst },
};

static int parse_field(struct parser *parser)
{
	size_t i = 0;
	int r;

	while (i < MOAT_ARRAY_SIZE(fields) && strcmp(parser->word, fields[i].name) != 0)
		i++;
	if (i == MOAT_ARRAY_SIZE(fields))
		return refuse(parser,
			      "no field of a rule (src dst proto sport dport flags len vlan burst "
			      "priority for comment)");
	if (parser->seen & (1U << i))
		return refuse(parser, "given twice");
	parser->seen |= 1U << i;
	r = next_word(parser);
	if (r < 0)
		return r;
	if (r == 0)
		return moat_error_set(parser->error, -EINVAL, "column %zu: '%s' lacks its value",
				      parser->column, fields[i].name);
	return fields[i].parse(parser);
}

/* ---- actions ---------------------------------------------------------------------------------- */

/* The next word, which has to be there. */
static int need_word(struct parser *parser, const char *what)
{
	int r = next_word(parser);

	if (r == 0)
		return moat_error_set(parser->error, -EINVAL, "column %zu: %s is missing",
				      parser->column, what);
	return r < 0 ? r : 0;
}

/* Takes `word` if it is the next one. */
static bool take_word(struct parser *parser, const char *word)
{
	struct moat_words ahead = parser->words;
	char text[MOAT_WORD_LEN];
	size_t column;

	if (moat_words_next(&ahead, text, &column) != 1 || strcmp(text, word) != 0)
		return false;
	parser->words = ahead;
	return true;
}

/* "100Mbit/s" and the like: 0 with the length of the number, -ENOENT if the word has no such unit. */
static int find_rate_unit(const char *word, size_t *ret_digits, uint64_t *ret_bits)
{
	size_t digits = strspn(word, "0123456789");

	for (const struct moat_rate_unit *unit = moat_rate_units; unit->name; unit++) {
		if (strcmp(word + digits, unit->name) == 0) {
			*ret_digits = digits;
			*ret_bits = unit->bits;
			return 0;
		}
	}
	return -ENOENT;
}

static int parse_rate(struct parser *parser)
{
	struct moat_rule *rule = &parser->rule;
	uint64_t rate, unit_bits;
	size_t length;
	int r = need_word(parser, "a rate");

	if (r < 0)
		return r;
	if (find_rate_unit(parser->word, &length, &unit_bits) == 0) {
		char number[MOAT_WORD_LEN];

		snprintf(number, sizeof(number), "%.*s", (int)length, parser->word);
		if (rule->rate_bps)
			return refuse(parser, "a second rate in bytes");
		if (moat_number_parse(number, MOAT_RATE_BYTES_MAX * 8 / unit_bits, &rate) < 0 ||
		    rate == 0 || rate * unit_bits % 8)
			return refuse(parser, "no rate of whole bytes up to 1000Gbit/s");
		rule->rate_bps = rate * unit_bits / 8;
		return 0;
	}
	length = strlen(parser->word);
	if (length > 2 && strcmp(parser->word + length - 2, "/s") == 0)
		parser->word[length - 2] = '\0';
	if (rule->rate_pps)
		return refuse(parser, "a second rate in packets");
	if (moat_number_parse(parser->word, UINT32_MAX, &rate) < 0 || rate == 0)
		return refuse(parser,
			      "no rate within 1-4294967295 packets a second, nor one like 100Mbit/s");
	rule->rate_pps = (uint32_t)rate;
	return 0;
}

static int parse_limit(struct parser *parser)
{
	int r = parse_rate(parser);

	if (r == 0 && take_word(parser, "and"))
		r = parse_rate(parser);
	return r;
}

static int parse_sample(struct parser *parser)
{
	uint64_t interval;
	int r = need_word(parser, "1/N");

	if (r < 0)
		return r;
	if (strncmp(parser->word, "1/", 2) != 0 ||
	    moat_number_parse(parser->word + 2, MOAT_RULE_INTERVAL_MAX, &interval) < 0 ||
	    interval == 0)
		return refuse(parser, "a sample is 1/N, with N within 1-2147483648");
	parser->rule.interval = (uint32_t)interval;
	return 0;
}

static int parse_redirect(struct parser *parser)
{
	int r;

	if (!take_word(parser, "to"))
		return moat_error_set(parser->error, -EINVAL,
				      "column %zu: 'redirect' takes \"to\" and a port's name",
				      parser->column);
	r = need_word(parser, "a port's name");
	if (r < 0)
		return r;
	if (!moat_target_is_valid(parser->word))
		return refuse(parser, "no interface name of up to 15 bytes");
	memcpy(parser->rule.target, parser->word, strlen(parser->word) + 1);
	return 0;
}

static int parse_action(struct parser *parser)
{
	uint8_t action = MOAT_ACTION_DROP;
	int r = need_word(parser, "an action");

	if (r < 0)
		return r;
	if (strcmp(parser->word, "count-only") == 0) {
		parser->rule.flags |= MOAT_RULE_COUNT_ONLY;
		r = need_word(parser, "an action");
		if (r < 0)
			return r;
	}
	while (action < MOAT_ACTION_COUNT_OF && strcmp(parser->word, moat_action_name(action)) != 0)
		action++;
	if (action == MOAT_ACTION_COUNT_OF)
		return refuse(parser, "no action (drop, pass, limit RATE, count, challenge, sample "
				      "1/N, redirect to PORT)");
	parser->rule.action = action;
	switch (action) {
	case MOAT_ACTION_LIMIT:
		return parse_limit(parser);
	case MOAT_ACTION_SAMPLE:
		return parse_sample(parser);
	case MOAT_ACTION_REDIRECT:
		return parse_redirect(parser);
	default:
		return 0;
	}
}

/* ---- what can't be meant ---------------------------------------------------------------------- */

static bool match_is_everything(const struct moat_match *match)
{
	return match->src.len == 0 && match->dst.len == 0 && match->proto == 0 &&
	       match->sport_min == 0 && match->sport_max == UINT16_MAX && match->dport_min == 0 &&
	       match->dport_max == UINT16_MAX && match->len_min == 0 &&
	       match->len_max == UINT16_MAX && match->tcp_mask == 0 && match->vlan_mask == 0;
}

int moat_rule_check(const struct moat_rule *rule, struct moat_error *error)
{
	const struct moat_match *match = &rule->match;
	bool ports = match->sport_min > 0 || match->sport_max < UINT16_MAX ||
		     match->dport_min > 0 || match->dport_max < UINT16_MAX;

	if (match->src.family && match->dst.family && match->src.family != match->dst.family)
		return moat_error_set(error, -EINVAL,
				      "src and dst are of two families: no packet is");
	if (ports && match->proto && match->proto != 6 && match->proto != 17 && match->proto != 132)
		return moat_error_set(error, -EINVAL, "only tcp, udp and sctp have ports");
	if (match->tcp_mask && match->proto && match->proto != 6)
		return moat_error_set(error, -EINVAL, "only tcp has flags");
	if (rule->action == MOAT_ACTION_COUNT && (rule->flags & MOAT_RULE_COUNT_ONLY))
		return moat_error_set(error, -EINVAL, "count only counts: leave out count-only");
	if (rule->action == MOAT_ACTION_CHALLENGE &&
	    (match->tcp_mask || match->len_min > 0 || match->len_max < UINT16_MAX ||
	     (match->proto && match->proto != 6)))
		return moat_error_set(error, -EINVAL,
				      "a challenge looks at SYNs and at what answers it, by itself: "
				      "no flags, no len, no protocol but tcp");
	if ((rule->action == MOAT_ACTION_DROP || rule->action == MOAT_ACTION_REDIRECT) &&
	    !(rule->flags & MOAT_RULE_COUNT_ONLY) && match_is_everything(match))
		return moat_error_set(error, -EINVAL,
				      "a rule that %ss everything would cut you off: name a prefix, a "
				      "protocol, ports, flags, a length or a VLAN",
				      moat_action_name(rule->action));
	return 0;
}

int moat_rule_parse(const char *text, uint64_t now_ns, struct moat_rule *ret_rule,
		    struct moat_error *error)
{
	struct parser parser = {
		.words = { .begin = text, .at = text },
		.rule = moat_rule_default(),
		.now_ns = now_ns,
		.error = error,
	};
	int r;

	r = parse_action(&parser);
	if (r < 0)
		return r;
	while ((r = next_word(&parser)) > 0) {
		if (strcmp(parser.word, "prefer-known") == 0) {
			if (parser.rule.action != MOAT_ACTION_LIMIT)
				return refuse(&parser, "only a limit prefers known sources");
			parser.rule.flags |= MOAT_RULE_PREFER_KNOWN;
			continue;
		}
		r = parse_field(&parser);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	r = moat_rule_check(&parser.rule, error);
	if (r < 0)
		return r;
	*ret_rule = parser.rule;
	return 0;
}
