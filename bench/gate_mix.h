/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the gate's benches give it: long lists, as many rules as there can be, and mixes of packets that go
 * with them. All of it comes of fixed seeds.
 *
 *   hot      one packet again and again
 *   typical  65,536 sources in 4,096 /24s (/48s), a few of them listed, to 1,024 destinations that each
 *            have rules, at 16 services
 *   hostile  sources and destinations at random, each in a /24 (/48) that holds a listed prefix or a rule,
 *            so that nothing is in a cache and tries are gone down to their ends
 */
#ifndef MOAT_BENCH_GATE_MIX_H
#define MOAT_BENCH_GATE_MIX_H

#include "bench/gate_drive.h"
#include "dataplane/base/error.h"
#include "dataplane/ruleset.h"
#include "dataplane/stage_set.h"

enum gate_mix {
	GATE_MIX_HOT = 0,
	GATE_MIX_TYPICAL,
	GATE_MIX_HOSTILE,
};

enum gate_traffic {
	GATE_TRAFFIC_CLEAN = 0, /* passes */
	GATE_TRAFFIC_LISTED,    /* from sources on the deny list */
	GATE_TRAFFIC_MIXED,     /* clean with one in 50 listed, as `typical` has them */
	GATE_TRAFFIC_SYN,       /* clean, as SYNs */
	GATE_TRAFFIC_RST,       /* clean, as RSTs */
	GATE_TRAFFIC_RULED,     /* to TCP port 9, which a rule of the destination drops */
};

enum gate_rules {
	GATE_RULES_REAL = 0, /* each names a destination and ports */
	GATE_RULES_WORST, /* none names an address, all overlap: every word of vectors is looked at */
};

/* 1,000,000 IPv4 and 249,000 IPv6 prefixes and 4,096 rules. */
int gate_mix_fill(struct moat_ruleset *set, enum gate_rules rules, struct moat_error *error);

/* Puts work for every stage beside the rules into a set, none of which touches clean TCP: martians, bounds of
 * reflectors, fragments dropped, 10,000,000 packets a second from each source, and as many SYNs, datagrams and
 * pings to each of the IPv4 destinations, of which SYNs beyond are to be challenged. */
int gate_mix_fill_stages(struct moat_stage_set *stages);

/* The first `count` of the listed IPv4 /24s alone, up to 475,000, and packets from those that are `count`
 * sources. */
int gate_mix_fill_part(struct moat_ruleset *set, uint32_t count);
void gate_mix_pool_part(struct gate_pool_v4 *pool, uint32_t count);

/* What rules are like, in words for people. */
const char *gate_mix_describe(enum gate_rules rules);

/* Nodes that the tries of such a set take. */
#define GATE_MIX_NODES (1u << 18)

/* Fills pools of GATE_POOL packets; `hot` only needs the first. Returns how many of them are listed. */
uint32_t gate_mix_pool_v4(struct gate_pool_v4 *pool, enum gate_mix mix, enum gate_traffic traffic);
uint32_t gate_mix_pool_v6(struct gate_pool_v6 *pool, enum gate_mix mix, enum gate_traffic traffic);

/* TCP frames that differ in nothing but what pools hold. */
void gate_mix_template_v4(uint8_t frame[static GATE_FRAME_V4]);
void gate_mix_template_v6(uint8_t frame[static GATE_FRAME_V6]);
void gate_mix_template_vxlan(uint8_t frame[static GATE_FRAME_VXLAN]);

#endif
