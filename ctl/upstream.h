/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Floods that the uplink can't hold, handed to the routers before it: remotely triggered black holes (RFC
 * 5635, community of RFC 7999) or flow specifications (RFC 8955, 8956), announced through ExaBGP. Pure
 * decisions on a table; `moat upstream speak`, run by ExaBGP, asks what stands and says the difference.
 *
 * Only addresses within `prefixes` are ever announced. A route stands until `hold_ns` after the last sign of
 * its flood, since the flood can't be seen here any more once the routers drop it.
 */
#ifndef MOAT_CTL_UPSTREAM_H
#define MOAT_CTL_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/finding.h"

/* Upper bound of max_routes. */
#define MOAT_UPSTREAM_ROUTES_MAX 256
/* How long a flow specification waits for the rules of its finding; then it is the victim's whole traffic. */
#define MOAT_UPSTREAM_PATIENCE_NS 5000000000ULL
/* Of a route's text: "flow route { match { ... } then { discard; } }". */
#define MOAT_UPSTREAM_TEXT_LEN 448

enum moat_upstream_action {
	MOAT_UPSTREAM_OFF = 0,
	MOAT_UPSTREAM_BLACKHOLE = 1, /* all traffic to the victim */
	MOAT_UPSTREAM_FLOWSPEC = 2,  /* what the finding's rules match */
};

struct moat_upstream_options {
	enum moat_upstream_action action;
	double uplink_mbps; /* of IP datagrams */
	double share;       /* of the uplink that a flood has to take, (0, 1] */
	uint64_t hold_ns;
	uint32_t max_routes; /* 1 to MOAT_UPSTREAM_ROUTES_MAX */
	uint32_t community;  /* black holes: high half AS, low half value */
	struct moat_addr next_hop4,
		next_hop6;                  /* black holes; all zero: no such victim is announced */
	const struct moat_prefix *prefixes; /* borrowed; what may be announced */
	size_t prefix_count;
};

struct moat_upstream_counters {
	uint64_t announced;
	uint64_t withdrawn;
	uint64_t refused_full;
	uint64_t refused_foreign; /* the victim is in none of the prefixes, or has no next hop */
};

/* One route that stands. */
struct moat_upstream_route {
	char text[MOAT_UPSTREAM_TEXT_LEN]; /* in ExaBGP's words, behind "announce " or "withdraw " */
	uint64_t finding;                  /* 0: free */
	uint64_t since_ns, until_ns;       /* CLOCK_MONOTONIC */
};

struct moat_upstream;

/* 0 or -ENOMEM. */
int moat_upstream_new(const struct moat_upstream_options *options,
		      struct moat_upstream **ret_upstream);
void moat_upstream_free(struct moat_upstream *upstream);

/* New options. Unless they say the same, all routes are withdrawn: what stands may name what is no longer to
 * be announced; a flood that goes on comes again. */
void moat_upstream_configure(struct moat_upstream *upstream,
			     const struct moat_upstream_options *options, bool is_same);

/* Takes one state of a finding. */
void moat_upstream_finding(struct moat_upstream *upstream, const struct moat_finding *finding,
			   uint64_t now_ns);

/* Withdraws what has had its time: call once a second. */
void moat_upstream_tick(struct moat_upstream *upstream, uint64_t now_ns);

/* Withdraws the routes of a finding by hand; it gets none until it has closed. Returns how many. */
size_t moat_upstream_withdraw(struct moat_upstream *upstream, uint64_t finding);

/* The index-th that stands, NULL behind the last. Valid until the next change. */
const struct moat_upstream_route *moat_upstream_at(const struct moat_upstream *upstream,
						   size_t index);

void moat_upstream_counters(const struct moat_upstream *upstream,
			    struct moat_upstream_counters *ret_counters);

#endif
