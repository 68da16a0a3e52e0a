/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See generate.h: what the stages besides lists and rules are asked to do. */
#include <stdlib.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/stage_set.h"
#include "tests/oracle/generate_plan.h"

static uint32_t below(struct moat_generator *generator, uint64_t bound)
{
	return moat_generate_below(generator, bound);
}

static struct moat_rate_ask make_rate(struct moat_generator *generator, uint64_t unit)
{
	static const uint32_t rates[] = { 0, 1, 7, 50, 495, 3000 };
	struct moat_rate_ask ask = { .per_s = unit *
					      rates[below(generator, MOAT_ARRAY_SIZE(rates))] };

	if (ask.per_s && below(generator, 2))
		ask.burst = unit * (1 + below(generator, 20));
	return ask;
}

static void add_protections(struct moat_generator *generator, struct moat_stage_set *stages)
{
	for (uint32_t count = below(generator, 6); count > 0; count--) {
		struct moat_protection protection = {
			.prefix = moat_generate_prefix(generator),
			.each = below(generator, 3) == 0,
			.challenge = (enum moat_challenge)below(generator, 3),
		};

		for (size_t kind = 0; kind < MOAT_KIND_COUNT; kind++)
			protection.rates[kind] = make_rate(generator, 1);
		protection.challenge_above = make_rate(generator, 1);
		if (protection.challenge_above.per_s == 0)
			protection.challenge_above.per_s = 7;
		moat_stage_set_protect(stages, &protection);
	}
}

static void add_sources(struct moat_generator *generator, struct moat_stage_set *stages)
{
	for (uint32_t count = below(generator, 6); count > 0; count--) {
		struct moat_source_limit limit = {
			.packets = make_rate(generator, 1),
			.bytes = make_rate(generator, 300),
			.v4_len = (uint8_t)(1 + below(generator, 32)),
			.v6_len = (uint8_t)(1 + below(generator, 128)),
		};

		if (below(generator, 5))
			limit.prefix = moat_generate_prefix(generator);
		moat_stage_set_limit_source(stages, &limit);
	}
}

static void add_marks(struct moat_generator *generator, struct moat_stage_set *stages)
{
	for (uint32_t count = below(generator, 5); count > 0; count--) {
		struct moat_prefix prefix = moat_generate_prefix(generator);
		enum moat_marked marked = (enum moat_marked)below(generator, MOAT_MARKED_COUNT);

		/* short ones would decide everything */
		if (prefix.len > 8 || marked == MOAT_MARKED_NEIGHBOUR)
			moat_stage_set_mark(stages, marked, &prefix);
	}
	if (below(generator, 4) == 0 && moat_stage_set_mark_rfc6890(stages) < 0)
		abort();
}

static void add_bounds(struct moat_generator *generator, struct moat_stage_set *stages)
{
	static const uint16_t ports[] = { 0, 1, 53, 80, 443, 1023, 1024, 32768, 65535 };

	stages->drop_fragments = below(generator, 3) == 0;
	if (below(generator, 3) == 0)
		moat_stage_set_bound_reflectors(stages);
	for (uint32_t count = below(generator, 4); count > 0; count--)
		stages->reflect_len[ports[below(generator, MOAT_ARRAY_SIZE(ports))]] = (uint16_t)
			below(generator, 700);
}

static void add_session(struct moat_generator *generator, struct moat_ruleset *set)
{
	struct moat_prefix src = moat_generate_prefix(generator);
	struct moat_prefix dst = moat_generate_prefix(generator);
	struct moat_session session = { .src = src.addr,
					.dst = dst.addr,
					.sport = (uint16_t)(1 + below(generator, 65535)),
					.dport = 22,
					.used = 1 };

	if (src.family == dst.family)
		moat_ruleset_add_session(set, &session);
}

void moat_generate_stages(struct moat_generator *generator, struct moat_ruleset *set)
{
	moat_cleanup(moat_stage_set_unref_cleanup) struct moat_stage_set *stages = NULL;

	if (below(generator, 5) == 0) {
		moat_ruleset_set_stages(set, NULL);
		return;
	}
	if (moat_stage_set_new(&stages) < 0)
		abort();
	add_protections(generator, stages);
	add_sources(generator, stages);
	add_marks(generator, stages);
	add_bounds(generator, stages);
	moat_ruleset_set_stages(set, stages);
	if (below(generator, 2))
		add_session(generator, set);
}
