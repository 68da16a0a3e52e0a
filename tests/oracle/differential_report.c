/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See differential.h: a difference, told so that it can be understood and repeated. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/rule.h"
#include "tests/oracle/differential.h"
#include "tests/oracle/replay/clock.h"

static void print_answer(const struct world *world, const struct answer *answer)
{
	const struct moat_rule *rule = answer->rule_id
					       ? moat_ruleset_find(world->set, answer->rule_id)
					       : NULL;
	char text[MOAT_RULE_TEXT_LEN];
	const uint8_t *bytes = (const uint8_t *)&answer->headers;

	fprintf(stderr, "%-7s %s rule %u parse %u headers", answer->who,
		moat_reason_name(answer->reason), answer->rule_id, answer->parse);
	for (size_t i = 0; i < sizeof(answer->headers); i++)
		fprintf(stderr, "%s%02x", i % 16 ? "" : " ", bytes[i]);
	fputc('\n', stderr);
	if (rule)
		fprintf(stderr, "        %s\n", moat_rule_format(rule, 0, text));
}

/* What the stages were asked to do with sources and destinations. */
static void print_stages(const struct world *world)
{
	const struct moat_stage_set *stages = moat_ruleset_stages(world->set);
	char text[MOAT_PREFIX_TEXT_LEN];

	fprintf(stderr, "stages %05x%s\n", world->settings.stages, stages ? "" : ", nothing asked");
	for (size_t i = 0; stages && i < stages->source_count; i++) {
		const struct moat_source_limit *limit = &stages->sources[i];

		fprintf(stderr,
			"  source %s: %" PRIu64 "/s burst %" PRIu64 ", %" PRIu64
			" bytes/s burst %" PRIu64 ", by /%u and /%u\n",
			limit->prefix.family ? moat_prefix_format(&limit->prefix, text) : "any",
			limit->packets.per_s, limit->packets.burst, limit->bytes.per_s,
			limit->bytes.burst, limit->v4_len, limit->v6_len);
	}
	for (size_t i = 0; stages && i < stages->protection_count; i++) {
		const struct moat_protection *protection = &stages->protections[i];

		fprintf(stderr, "  protection %s%s:", moat_prefix_format(&protection->prefix, text),
			protection->each ? " each" : "");
		for (size_t kind = 0; kind < MOAT_KIND_COUNT; kind++)
			fprintf(stderr, " %" PRIu64 "/s burst %" PRIu64,
				protection->rates[kind].per_s, protection->rates[kind].burst);
		fputc('\n', stderr);
	}
}

bool explain(const struct world *world, const uint8_t *frame, size_t length,
	     const struct answer *answer, const struct answer *expected)
{
	fprintf(stderr, "packet %" PRIu64 " at %" PRIu64 " ms, %zu bytes:", world->packets,
		replay_clock.ms, length);
	for (size_t i = 0; i < length && i < 160; i++)
		fprintf(stderr, " %02x", frame[i]);
	fputc('\n', stderr);
	print_stages(world);
	print_answer(world, answer);
	print_answer(world, expected);
	return false;
}
