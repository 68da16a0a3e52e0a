/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See upstream.h. Texts: upstream_text.c. */
#include "ctl/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/upstream_text.h"
#include "dataplane/base/addr.h"

/* Findings whose routes were withdrawn by hand. */
#define DISMISSED_MAX 64

struct moat_upstream {
	struct moat_upstream_options options;
	struct moat_upstream_counters counters;
	size_t count;
	struct moat_upstream_route routes[MOAT_UPSTREAM_ROUTES_MAX]; /* the first `count` */
	uint64_t dismissed[DISMISSED_MAX];                           /* a ring */
	size_t dismissed_next;
};

int moat_upstream_new(const struct moat_upstream_options *options,
		      struct moat_upstream **ret_upstream)
{
	struct moat_upstream *upstream = calloc(1, sizeof(*upstream));

	if (!upstream)
		return -ENOMEM;
	upstream->options = *options;
	*ret_upstream = upstream;
	return 0;
}

void moat_upstream_free(struct moat_upstream *upstream)
{
	free(upstream);
}

static void withdraw_at(struct moat_upstream *upstream, size_t index)
{
	upstream->counters.withdrawn++;
	upstream->count--;
	memmove(&upstream->routes[index], &upstream->routes[index + 1],
		(upstream->count - index) * sizeof(upstream->routes[0]));
}

void moat_upstream_configure(struct moat_upstream *upstream,
			     const struct moat_upstream_options *options, bool is_same)
{
	while (!is_same && upstream->count)
		withdraw_at(upstream, upstream->count - 1);
	upstream->options = *options;
}

static struct moat_upstream_route *find(struct moat_upstream *upstream, const char *text)
{
	for (size_t i = 0; i < upstream->count; i++) {
		if (strcmp(upstream->routes[i].text, text) == 0)
			return &upstream->routes[i];
	}
	return NULL;
}

static void announce(struct moat_upstream *upstream, uint64_t finding, const char *text,
		     uint64_t now_ns)
{
	struct moat_upstream_route *route = find(upstream, text);

	if (!route) {
		if (upstream->count >= upstream->options.max_routes) {
			upstream->counters.refused_full++;
			return;
		}
		route = &upstream->routes[upstream->count++];
		*route = (struct moat_upstream_route){ .since_ns = now_ns };
		snprintf(route->text, sizeof(route->text), "%s", text);
		upstream->counters.announced++;
	}
	route->finding = finding;
	route->until_ns = now_ns + upstream->options.hold_ns;
}

static bool may_announce(const struct moat_upstream *upstream, const struct moat_prefix *victim)
{
	for (size_t i = 0; i < upstream->options.prefix_count; i++) {
		const struct moat_prefix *ours = &upstream->options.prefixes[i];

		if (ours->family == victim->family && ours->len <= victim->len &&
		    moat_prefix_overlaps(ours, victim))
			return true;
	}
	return false;
}

static bool is_too_large(const struct moat_upstream *upstream, const struct moat_finding *finding)
{
	return finding->mbps >= upstream->options.share * upstream->options.uplink_mbps;
}

static bool is_dismissed(const struct moat_upstream *upstream, uint64_t finding)
{
	for (size_t i = 0; i < DISMISSED_MAX; i++) {
		if (upstream->dismissed[i] == finding)
			return true;
	}
	return false;
}

static void black_hole(struct moat_upstream *upstream, const struct moat_finding *finding,
		       const struct moat_prefix *victim, uint64_t now_ns)
{
	const struct moat_addr *hop = victim->family == MOAT_FAMILY_V4
					      ? &upstream->options.next_hop4
					      : &upstream->options.next_hop6;
	char text[MOAT_UPSTREAM_TEXT_LEN];

	if ((hop->quads[0] | hop->quads[1]) == 0) {
		upstream->counters.refused_foreign++;
		return;
	}
	moat_upstream_blackhole_text(victim, hop, upstream->options.community, text);
	announce(upstream, finding->id, text, now_ns);
}

/* What the finding no longer asks for: its rules have become others. */
static void replace(struct moat_upstream *upstream, uint64_t finding, uint64_t now_ns)
{
	for (size_t i = upstream->count; i-- > 0;) {
		if (upstream->routes[i].finding == finding &&
		    upstream->routes[i].until_ns != now_ns + upstream->options.hold_ns)
			withdraw_at(upstream, i);
	}
}

static void flow_spec(struct moat_upstream *upstream, const struct moat_finding *finding,
		      const struct moat_prefix *victim, uint64_t now_ns)
{
	struct moat_match match = { .sport_max = UINT16_MAX,
				    .dport_max = UINT16_MAX,
				    .len_max = UINT16_MAX,
				    .dst = *victim };
	char text[MOAT_UPSTREAM_TEXT_LEN];

	/* rules come with the samples: all of the victim's traffic only if there are none in good time */
	if (finding->proposal_count == 0 &&
	    finding->last_ns - finding->detected_ns < MOAT_UPSTREAM_PATIENCE_NS)
		return;
	for (uint32_t i = 0; i < finding->proposal_count; i++) {
		match = finding->proposals[i].match;
		/* a rule may name no destination; a route always names the victim */
		match.dst = *victim;
		if (moat_upstream_flow_text(&match, text))
			announce(upstream, finding->id, text, now_ns);
	}
	if (finding->proposal_count == 0 && moat_upstream_flow_text(&match, text))
		announce(upstream, finding->id, text, now_ns);
	replace(upstream, finding->id, now_ns);
}

void moat_upstream_finding(struct moat_upstream *upstream, const struct moat_finding *finding,
			   uint64_t now_ns)
{
	struct moat_prefix victim = moat_prefix_host(&finding->subject);

	if (upstream->options.action == MOAT_UPSTREAM_OFF || finding->state == MOAT_FINDING_CLOSED ||
	    finding->subject_is_source || !moat_finding_is_flood(finding->kind) ||
	    !is_too_large(upstream, finding) || is_dismissed(upstream, finding->id))
		return;
	if (finding->kind == MOAT_FINDING_CARPET)
		victim.len = finding->prefix_len;
	if (!may_announce(upstream, &victim)) {
		upstream->counters.refused_foreign++;
		return;
	}
	if (upstream->options.action == MOAT_UPSTREAM_BLACKHOLE)
		black_hole(upstream, finding, &victim, now_ns);
	else
		flow_spec(upstream, finding, &victim, now_ns);
}

void moat_upstream_tick(struct moat_upstream *upstream, uint64_t now_ns)
{
	for (size_t i = upstream->count; i-- > 0;) {
		if (upstream->routes[i].until_ns <= now_ns)
			withdraw_at(upstream, i);
	}
}

size_t moat_upstream_withdraw(struct moat_upstream *upstream, uint64_t finding)
{
	size_t before = upstream->count;

	for (size_t i = upstream->count; i-- > 0;) {
		if (upstream->routes[i].finding == finding)
			withdraw_at(upstream, i);
	}
	if (upstream->count != before) {
		upstream->dismissed[upstream->dismissed_next] = finding;
		upstream->dismissed_next = (upstream->dismissed_next + 1) % DISMISSED_MAX;
	}
	return before - upstream->count;
}

const struct moat_upstream_route *moat_upstream_at(const struct moat_upstream *upstream,
						   size_t index)
{
	return index < upstream->count ? &upstream->routes[index] : NULL;
}

void moat_upstream_counters(const struct moat_upstream *upstream,
			    struct moat_upstream_counters *ret_counters)
{
	*ret_counters = upstream->counters;
}
