/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the generator's files share. */
#ifndef MOAT_TESTS_GENERATE_PLAN_H
#define MOAT_TESTS_GENERATE_PLAN_H

#include <stdbool.h>

#include "tests/oracle/generate.h"

/* What a datagram is to say, before it is bytes. */
struct moat_plan {
	bool v4;
	uint8_t src[16], dst[16]; /* v4: the first four bytes */
	uint16_t vlan;            /* 0: none, most of the time */
	uint8_t proto;
	uint16_t sport, dport;
	uint8_t tcp_flags;
	uint8_t icmp_type, icmp_code;
	uint8_t ttl;
	size_t length; /* of the datagram; less than its headers: mostly as long as they are */
	unsigned int fragment; /* enum moat_fragment */
};

/* Few addresses, so that prefixes overlap, and lengths on both sides of each stride of the tries. */
struct moat_prefix moat_generate_prefix(struct moat_generator *generator);

/* One aimed at the set. */
struct moat_plan moat_generate_plan(struct moat_generator *generator,
				    const struct moat_ruleset *set);

#endif
