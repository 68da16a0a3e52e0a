/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules that a network card drops packets by before a CPU sees them. One interface, two ways: rte_flow of a DPDK
 * device, and an XDP program in a card's own processor. Software keeps every rule: what a card doesn't take,
 * or doesn't match (tagged frames, say), is judged there as ever, and no packet is seen by both.
 *
 * A card's rule comes before everything that software asks first, so only what nothing else has a say in is chosen:
 * dropping by prefixes, protocol (TCP, UDP) and single ports, of sources that nobody allows or marks, and
 * behind no rule that does something else with the same packets. Window counters don't see what a card drops.
 */
#ifndef MOAT_DATAPLANE_OFFLOAD_H
#define MOAT_DATAPLANE_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/base/error.h"
#include "dataplane/ruleset.h"
#include "moat/packet.h"
#include "moat/rule.h"

#define MOAT_OFFLOAD_MAX 1024 /* rules of a port; further ones stay in software */

struct moat_offload_rule {
	struct moat_match match;
	uint32_t rule_id; /* 0: a prefix of the deny list, match.src */
	bool taken;       /* the card drops what matches */
	bool counts;      /* and says how many: */
	struct moat_counter hits;
};

/* Fills ret_rules with what a card may do of a set; returns how many. `stages`: of the port (enum moat_stage). Where
 * tunnels are looked into nothing is chosen: cards see the outer headers only. */
size_t moat_offload_choose(const struct moat_ruleset *set, uint32_t stages, bool tunnels,
			   struct moat_offload_rule ret_rules[MOAT_OFFLOAD_MAX]);

/*
 * Makes a card's rules these, and no others: those that it has already stay as they are. Sets `taken` and, on the
 * way, hits. Returns how many it took; *error is then the reason of the first refusal, in the driver's words (empty:
 * none). Never fails: a card that takes nothing, or isn't there, takes 0. One thread, which opens and closes ports.
 */
size_t moat_offload_flow_apply(const char *devargs, struct moat_offload_rule *rules, size_t count,
			       struct moat_error *error);
size_t moat_offload_xdp_apply(const char *interface, struct moat_offload_rule *rules, size_t count,
			      struct moat_error *error);

/* Asks for the hits of rules that are taken. */
void moat_offload_flow_hits(const char *devargs, struct moat_offload_rule *rules, size_t count);

/* For tests: the program of a card, loaded in software. A descriptor or a negative errno. */
int moat_offload_xdp_load(const struct moat_offload_rule *rules, size_t count);

#endif
