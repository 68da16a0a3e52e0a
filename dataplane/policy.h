/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The judge of workers: the same tables, order and limits as the XDP gate, so that a packet gets the
 * same verdict on either path. One policy serves all workers; each worker has a moat_judge.
 *
 * Replacing: moat_policy_commit builds the half that is not in force, flips, and waits until every judge
 * has passed moat_judge_quiesce, so that a packet sees the old set or the new one.
 */
#ifndef MOAT_DATAPLANE_POLICY_H
#define MOAT_DATAPLANE_POLICY_H

#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/ruleset.h"
#include "moat/rule.h"

struct moat_policy;
struct moat_judge;

/* A policy without rules for up to `judges` workers. 0, -EINVAL, -ENOMEM. */
int moat_policy_new(uint32_t judges, struct moat_policy **ret_policy);
void moat_policy_free(struct moat_policy *policy);

/* Puts a rule set in force. 0; MOAT_TABLES_NO_NODES or -ENOMEM leave the old one in force. Waits up to
 * one burst of every judge in use. One thread at a time. */
int moat_policy_commit(struct moat_policy *policy, const struct moat_ruleset *set,
		       struct moat_error *error);

/* The filter of known sources, for the owner to write. Readers tolerate changes in place. */
struct moat_known *moat_policy_known(struct moat_policy *policy);

/* Packets that a rule's slot matched, over all judges. */
uint64_t moat_policy_hits(const struct moat_policy *policy, uint32_t slot);

/* Judge `index` (0 to judges - 1), to be used by one thread at a time; owned by the policy. */
struct moat_judge *moat_policy_judge(struct moat_policy *policy, uint32_t index);

/* Says that the thread holds no packet's verdict half made: call once a burst, and while idle. */
void moat_judge_quiesce(struct moat_judge *judge);
/* Idle workers leave commits nothing to wait for until they judge again. */
void moat_judge_park(struct moat_judge *judge);

/* The verdict on one parsed packet at `now_ms` (any monotonic milliseconds, the same clock for all
 * judges). Returns its reason; *ret_rule_id is the deciding rule's id or 0. No allocation, no lock. */
enum moat_reason moat_judge_packet(struct moat_judge *judge, const struct moat_headers *headers,
				   enum moat_parse parse, uint64_t now_ms, uint32_t *ret_rule_id);

#endif
