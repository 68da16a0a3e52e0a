/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From findings to rules: what stands in the gate while a finding lasts. Pure decisions on a table of its
 * own; the rules themselves are changed through the caller's ops, which makes it testable without a gate.
 *
 * A finding's rules are those of its proposals, best first, until they cover the attack; each expires
 * unless the finding goes on. An operator's rules are judged before the responder's (priority), and no
 * rule may name a source that overlaps the allow list.
 */
#ifndef MOAT_CTL_RESPOND_H
#define MOAT_CTL_RESPOND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/finding.h"
#include "moat/rule.h"

#define MOAT_RESPOND_OWNER "respond"
/* Behind the operator's default of 1,000; the passes for respond.allow stand just before. */
#define MOAT_RESPOND_PRIORITY 2000
#define MOAT_RESPOND_ALLOW_PRIORITY 1999
#define MOAT_RESPOND_RULES_MAX 512
/* Proposals are taken until their shares of the attack's samples add up to this. */
#define MOAT_RESPOND_COVERAGE 0.99

enum moat_respond_mode {
	MOAT_RESPOND_OBSERVE = 0, /* rules count what they would have met, and pass it */
	MOAT_RESPOND_ENFORCE = 1,
};

struct moat_respond_options {
	enum moat_respond_mode mode;
	uint32_t max_rules;              /* 1 to MOAT_RESPOND_RULES_MAX at one time */
	uint64_t hold_ns;                /* how long a rule outlives the last sign of its finding */
	const struct moat_prefix *allow; /* borrowed; sources that no rule may name */
	size_t allow_count;
	bool challenge; /* a SYN flood that no header tells from clients is challenged, not limited */
};

/* How rules are changed. All are called from within moat_respond_finding. */
struct moat_respond_ops {
	/* As moat_ruleset_add: 0, MOAT_RULESET_EXISTS with *ret_id, MOAT_RULESET_FULL, negative errno. */
	int (*add)(void *userdata, const struct moat_rule *rule, uint32_t *ret_id);
	/* The rule of that id, NULL if it is gone (expired, deleted by an operator, not committed). */
	const struct moat_rule *(*find)(void *userdata, uint32_t id);
	void (*renew)(void *userdata, uint32_t id, uint64_t expires_ns);
	void (*del)(void *userdata, uint32_t id, const char *why);
};

struct moat_respond_counters {
	uint64_t added;
	uint64_t renewed;
	uint64_t replaced;
	uint64_t lifted;
	uint64_t refused_allowed; /* the rule would have named an allowed source */
	uint64_t refused_full;    /* max_rules stood, or the rule set was full */
	uint64_t displaced;       /* made room for the rule of a larger attack */
	uint64_t failed;          /* the rule set refused for another reason */
	uint32_t standing;
};

struct moat_respond;

/* 0 or -ENOMEM. `ops` is borrowed and outlives the responder. */
int moat_respond_new(const struct moat_respond_options *options, const struct moat_respond_ops *ops,
		     void *userdata, struct moat_respond **ret_respond);
void moat_respond_free(struct moat_respond *respond);

/* New options from the next finding on; standing rules follow with their findings' next update. */
void moat_respond_configure(struct moat_respond *respond,
			    const struct moat_respond_options *options);

/* Takes one state of a finding at `now_ns` (CLOCK_MONOTONIC). */
void moat_respond_finding(struct moat_respond *respond, const struct moat_finding *finding,
			  uint64_t now_ns);

/* Renews the rules of findings that go on, which nobody may have spoken of since: call once a second. A
 * finding not heard of for longer than MOAT_FINDING_REPEAT_NS (and some) goes on no more. */
void moat_respond_tick(struct moat_respond *respond, uint64_t now_ns);

/* An operator deleted rule `id`: its finding gets no rule any more until it has closed. */
void moat_respond_dismiss(struct moat_respond *respond, uint32_t id);

/* Ids of the rules that stand for a finding, at most `max`; returns how many. */
size_t moat_respond_rules_of(const struct moat_respond *respond, uint64_t finding,
			     uint32_t *ret_ids, size_t max);

void moat_respond_counters(const struct moat_respond *respond,
			   struct moat_respond_counters *ret_counters);

#endif
