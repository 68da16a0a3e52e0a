/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The oracle: says what a packet's reason and rule must be, by scanning lists and comparing fields. It
 * shares no parser, no tables and no compiler with the product, only the values of the ABI, so that the
 * gate and the workers can both be held against it. Slow on purpose.
 */
#ifndef MOAT_TESTS_ORACLE_H
#define MOAT_TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/ruleset.h"
#include "moat/packet.h"
#include "moat/stage.h"
#include "tests/oracle/oracle_challenge.h"
#include "tests/oracle/oracle_limit.h"

/* How the judge under test tells time: `ticks` at `ns` of the clock that rules expire by. */
struct moat_oracle_clock {
	uint64_t ns;
	uint64_t ticks;
	uint32_t ticks_per_s;
};

/* What the judge under test was loaded with. */
struct moat_oracle_settings {
	uint32_t stages; /* enum moat_stage */
	uint16_t vxlan_port, geneve_port;
	uint32_t judges; /* that limits are made for */
	uint64_t hash_seed;
	bool fail_closed;
	const struct oracle_challenge_settings *challenge; /* NULL: rules don't challenge */
	const char *port; /* the one that rules can redirect to; NULL: none */
};

/* What a limit rule may still let through. */
struct moat_oracle_bucket {
	uint32_t id;
	struct oracle_tokens packets, bytes;
};

#define MOAT_ORACLE_KNOWN_MAX 64

/* The two buckets of a hashed key (moat/stage.h), a row each. */
struct oracle_row {
	struct oracle_tokens packets, bytes;
};

/* A protection, by its number. */
struct oracle_profile {
	struct oracle_tokens rates[MOAT_KIND_COUNT];
	struct oracle_tokens challenge; /* SYNs that aren't challenged yet */
	/* what each judge has and counted belongs to the protection of this prefix */
	struct moat_prefix owners[ORACLE_JUDGES_MAX];
	uint64_t matched[ORACLE_JUDGES_MAX], dropped[ORACLE_JUDGES_MAX];
};

/* What outlives a rule set. */
struct oracle_memory {
	struct oracle_tokens control; /* ICMP errors for path MTU discovery */
	struct oracle_profile profiles[MOAT_PROFILES_MAX];
	struct oracle_challenges challenges;
	struct oracle_row *rows[2];
	uint32_t row_buckets; /* a row */
};

/* With so many buckets a row. NULL: no memory. */
struct oracle_memory *oracle_memory_new(uint32_t row_buckets);
void oracle_memory_free(struct oracle_memory *memory);

struct moat_oracle {
	struct oracle_memory *memory;   /* not owned */
	const struct moat_ruleset *set; /* not owned, unchanged while in use; NULL: no policy */
	struct moat_oracle_settings settings;
	struct moat_oracle_clock clock;
	uint32_t judge;  /* the one that judges now, 0 to judges - 1 */
	bool asked;      /* the packet that is judged, by a challenge */
	uint32_t cookie; /* of the last packet with reason TX_CHALLENGE */
	struct moat_oracle_bucket buckets[MOAT_RULES_MAX];
	size_t bucket_count;
	struct moat_addr known[MOAT_ORACLE_KNOWN_MAX]; /* the sources put into the known filter */
	size_t known_count;
	/* what it counted: of each rule, by position, but the samples; and matches of expired rules */
	struct moat_rule_count counts[MOAT_RULES_MAX];
	uint64_t expired;
};

/* The parse of a frame; *ret_headers is all set, whatever the result. */
enum moat_parse moat_oracle_parse(const struct moat_oracle_settings *settings, const uint8_t *frame,
				  size_t captured, size_t length, struct moat_headers *ret_headers);

/* The reason of a packet at `now_ticks`, and the deciding rule's id or 0. Buckets belong to the box: the
 * packets of all judges must come here in the order in which they were judged. */
enum moat_reason moat_oracle_judge(struct moat_oracle *oracle, const struct moat_headers *headers,
				   enum moat_parse parse, uint64_t now_ticks, uint32_t *ret_rule_id);

/* Both at once. */
enum moat_reason moat_oracle_judge_frame(struct moat_oracle *oracle, const uint8_t *frame,
					 size_t captured, size_t length, uint64_t now_ticks,
					 uint32_t *ret_rule_id);

#endif
