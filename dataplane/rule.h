/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The text form of rules, the same on the command line, in rule files and in listings:
 *
 *	[count-only] ACTION [src PREFIX] [dst PREFIX] [proto NAME|NUMBER] [sport PORTS] [dport PORTS]
 *	       [flags SET[/MASK]] [len RANGE] [vlan ID[/MASK]] [priority N] [for DURATION] [comment "TEXT"]
 *
 *	ACTION  drop | pass | count | challenge | limit RATE [and RATE] [burst N] [prefer-known] |
 *	        sample 1/N | redirect to PORT
 *	RATE    2000 | 2000/s (packets) | 100Mbit/s (bit, kbit, Mbit, Gbit; B, kB, MB, GB)
 *	PORTS   53 | 1000-2000
 *	RANGE   1400 | 400-1500 | 400-  (bytes of the IP datagram)
 *	SET     letters of FSRPAUEC (TCP flags) or "none"; without MASK: those set, and of SYN, ACK, FIN,
 *	        RST no other
 *	ID      1-4095 of the outer tag, or "none"; with MASK (decimal or 0x...): the bits to look at
 *
 * "count-only" counts what the action would do and does nothing: the next rule judges.
 *
 * The fields stand in any order, each once. A rule that can match nothing (ports of a protocol that has
 * none, prefixes of two families) is refused.
 *
 * Examples: limit 2000/s prefer-known dst 198.51.100.7 proto tcp dport 443 flags S for 10m
 *           count-only drop src 192.0.2.0/24 proto udp
 */
#ifndef MOAT_DATAPLANE_RULE_H
#define MOAT_DATAPLANE_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "moat/rule.h"

#define MOAT_RULE_TEXT_LEN 512
#define MOAT_RULE_PRIORITY_DEFAULT 1000

/* A rule that matches everything and drops: ranges full, prefixes any, default priority, no expiry. */
struct moat_rule moat_rule_default(void);

/* Reads one rule. `now_ns` (CLOCK_MONOTONIC) is what "for" counts from. id, slot and owner stay 0/empty.
 * 0 or -EINVAL with the offending word and its column in *error; *ret_rule untouched on failure. A rule
 * that matches everything with action drop is refused: it would cut off the operator. */
int moat_rule_parse(const char *text, uint64_t now_ns, struct moat_rule *ret_rule,
		    struct moat_error *error);

/* The text that moat_rule_parse reads back to the same rule (time left as "for"; whole seconds). Returns
 * ret_text. */
const char *moat_rule_format(const struct moat_rule *rule, uint64_t now_ns,
			     char ret_text[MOAT_RULE_TEXT_LEN]);

/* Only the match, for findings and explanations. */
const char *moat_match_format(const struct moat_match *match, char ret_text[MOAT_RULE_TEXT_LEN]);

/* True if the packet satisfies the match: the linear reference for one rule, used by listings and by
 * tests, never per packet. */
bool moat_match_test(const struct moat_match *match, const struct moat_headers *headers);

const char *moat_action_name(uint32_t action);
const char *moat_reason_name(uint32_t reason); /* "drop_rule": stable, used in JSON and metrics */

#endif
