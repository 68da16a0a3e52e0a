/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The longest flow has both IPv6 prefixes, both port ranges, a length range and eight flags: 380 bytes. */
#include "ctl/upstream_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"

static void append(char text[MOAT_UPSTREAM_TEXT_LEN], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void append(char text[MOAT_UPSTREAM_TEXT_LEN], const char *format, ...)
{
	size_t length = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + length, MOAT_UPSTREAM_TEXT_LEN - length, format, args);
	va_end(args);
}

/* With its length always: ExaBGP asks for it. */
static void append_prefix(char text[MOAT_UPSTREAM_TEXT_LEN], const struct moat_prefix *prefix)
{
	char addr[MOAT_ADDR_TEXT_LEN];

	append(text, "%s/%u", moat_addr_format(&prefix->addr, addr), prefix->len);
}

static void append_range(char text[MOAT_UPSTREAM_TEXT_LEN], const char *what, uint16_t min,
			 uint16_t max)
{
	if (min == 0 && max == UINT16_MAX)
		return;
	if (min == max)
		append(text, "%s =%u; ", what, min);
	else
		append(text, "%s >=%u&<=%u; ", what, min, max);
}

/* Each flag by itself: one that must be set, or with "!" one that must not. */
static void append_flags(char text[MOAT_UPSTREAM_TEXT_LEN], const struct moat_match *match)
{
	static const char *const names[] = { "fin", "syn",    "rst", "push",
					     "ack", "urgent", "ece", "cwr" };
	const char *between = "tcp-flags [ ";

	if (!match->tcp_mask)
		return;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(names); i++) {
		if (!(match->tcp_mask >> i & 1))
			continue;
		append(text, "%s%s%s", between, match->tcp_flags >> i & 1 ? "" : "!", names[i]);
		between = "&";
	}
	append(text, " ]; ");
}

void moat_upstream_blackhole_text(const struct moat_prefix *victim, const struct moat_addr *next_hop,
				  uint32_t community, char ret_text[MOAT_UPSTREAM_TEXT_LEN])
{
	char addr[MOAT_ADDR_TEXT_LEN];

	snprintf(ret_text, MOAT_UPSTREAM_TEXT_LEN, "route ");
	append_prefix(ret_text, victim);
	append(ret_text, " next-hop %s community [%u:%u]", moat_addr_format(next_hop, addr),
	       community >> 16, community & 0xffff);
}

bool moat_upstream_flow_text(const struct moat_match *match, char ret_text[MOAT_UPSTREAM_TEXT_LEN])
{
	bool is_v4 = match->dst.family == MOAT_FAMILY_V4;

	if (match->src.family != MOAT_FAMILY_ANY && match->src.family != match->dst.family)
		return false;
	snprintf(ret_text, MOAT_UPSTREAM_TEXT_LEN, "flow route { match { ");
	if (match->src.family != MOAT_FAMILY_ANY) {
		append(ret_text, "source ");
		append_prefix(ret_text, &match->src);
		append(ret_text, "; ");
	}
	append(ret_text, "destination ");
	append_prefix(ret_text, &match->dst);
	append(ret_text, "; ");
	if (match->proto)
		append(ret_text, "%s =%u; ", is_v4 ? "protocol" : "next-header", match->proto);
	append_range(ret_text, "source-port", match->sport_min, match->sport_max);
	append_range(ret_text, "destination-port", match->dport_min, match->dport_max);
	append_range(ret_text, "packet-length", match->len_min, match->len_max);
	append_flags(ret_text, match);
	append(ret_text, "} then { discard; } }");
	return true;
}
