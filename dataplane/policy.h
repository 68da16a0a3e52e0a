/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The judge of workers: the same tables, order and limits as the XDP gate, so that a packet gets the
 * same verdict on either path. One policy serves all workers; each worker has a moat_judge.
 *
 * Replacing: moat_policy_commit builds the half that is not in force, flips, and waits for every judge
 * that is between a packet and its moat_judge_quiesce, so that a packet sees the old set or the new one.
 */
#ifndef MOAT_DATAPLANE_POLICY_H
#define MOAT_DATAPLANE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/challenge.h"
#include "dataplane/ruleset.h"
#include "dataplane/tables.h"
#include "moat/rule.h"

struct moat_policy;
struct moat_judge;

/* A policy for up to `judges` workers (1 to 1,024). Until the first commit packets pass as
 * MOAT_REASON_PASS_NO_TABLE. `hash_seed` is of the known filter: with the gate's own seed one filter can
 * be copied to the other. 0, -EINVAL, -ENOMEM. */
int moat_policy_new(uint32_t judges, uint64_t hash_seed, struct moat_policy **ret_policy);
void moat_policy_free(struct moat_policy *policy);

/* Puts a rule set in force. 0; MOAT_TABLES_NO_NODES or -ENOMEM leave the old one in force. Waits up to
 * one burst of every judge in use. One thread at a time. */
int moat_policy_commit(struct moat_policy *policy, const struct moat_ruleset *set,
		       struct moat_error *error);

/* As moat_gate_patch. */
int moat_policy_patch(struct moat_policy *policy, const struct moat_ruleset *set,
		      enum moat_list list, const struct moat_prefix *prefix);

/* The SYN challenge, as of moat_gate_set_challenge: settings (the form too is in force with the next
 * packet), keys (at `now_ms` of the judges' clock; call it where nobody else does) and numbers. */
void moat_policy_set_challenge(struct moat_policy *policy,
			       const struct moat_challenge_options *options);
int moat_policy_challenge_rotate(struct moat_policy *policy, uint64_t now_ms);
void moat_policy_challenge_stats(const struct moat_policy *policy, uint64_t now_ms,
				 struct moat_challenge_stats *ret_stats);
/* For tests: keys and settings. */
struct moat_challenge_state *moat_policy_challenge(struct moat_policy *policy);

/* The filter of known sources, for the owner to write. Readers tolerate changes in place. */
struct moat_known *moat_policy_known(struct moat_policy *policy);

/* What the rule in a slot has counted, over all judges, since it has the slot: a rule that takes over the
 * slot of a deleted one starts from 0. */
struct moat_rule_count moat_policy_rule_count(const struct moat_policy *policy, uint32_t slot);

/* What the protection with a number (its place in the stage set in force, from 1) did, over all judges,
 * since it has the number. */
struct moat_profile_hits moat_policy_profile_hits(const struct moat_policy *policy, uint32_t number);

/* Judge `index` (0 to judges - 1), to be used by one thread at a time; owned by the policy. */
struct moat_judge *moat_policy_judge(struct moat_policy *policy, uint32_t index);

/* The stages of a judge (enum moat_stage, as in a port's program; at first MOAT_STAGES_DEFAULT), and whether
 * packets are dropped while there is no policy. Stages may change while the judge works: with its next packet. */
void moat_judge_set_stages(struct moat_judge *judge, uint32_t stages, bool fail_closed);

/* Where the judge's worker can send a packet that a rule redirects: out of the port that it came from, and out
 * of that one's peer (NULL: none). Rules that redirect elsewhere find MOAT_REASON_PASS_NO_TARGET, as all do
 * without this. Names as in rules; before the first commit. 0, or -ENOSPC beyond MOAT_POLICY_TARGETS names. */
#define MOAT_POLICY_TARGETS 64
int moat_judge_set_targets(struct moat_judge *judge, const char *port, const char *peer);

/* Of a packet that was judged MOAT_REASON_REDIRECT_RULE, until the next is: it goes out of the port that it
 * came from, not out of the peer. */
bool moat_judge_sends_back(const struct moat_judge *judge);

/* Asks for the memory that judging a packet begins with, of which there is too much for any cache. */
void moat_judge_prefetch(const struct moat_judge *judge, const struct moat_headers *headers);

/* Says that the thread is done with the packets judged so far: call once a burst, after its last packet.
 * From here to the next packet a commit doesn't wait for this judge, so an idle worker has nothing more
 * to do, and one thread can judge, quiesce and commit in turn. */
void moat_judge_quiesce(struct moat_judge *judge);

/* The verdict on one parsed packet at `now_ms`, milliseconds of the clock that rules' expires_ns
 * are in (a replay's rules and judges both go by the capture's time); the same for all judges. Returns its reason; *ret_rule_id is the deciding rule's id or 0. No allocation, no lock. */
enum moat_reason moat_judge_packet(struct moat_judge *judge, const struct moat_headers *headers,
				   enum moat_parse parse, uint64_t now_ms, uint32_t *ret_rule_id);

/*
 * Flows that the policy has nothing to say of: their ordinary packets need no judging until something changes.
 * Ordinary are whole packets of TCP with ACK and at most PSH, and of UDP, with headers that don't contradict
 * themselves.
 *
 * moat_judge_epoch is another one with each change of what verdicts depend on, MOAT_JUDGE_NO_EPOCH in the
 * middle of one. Who reads it, then judges a packet of a flow, then is told that the judge is indifferent may
 * pass that flow's ordinary packets of the same direction with MOAT_REASON_PASS_DEFAULT, as long as the epoch
 * is still that: each would be judged so, no rule would count it, and no rate.
 */
#define MOAT_JUDGE_NO_EPOCH UINT64_MAX
uint64_t moat_judge_epoch(const struct moat_judge *judge);

static inline bool moat_judge_is_ordinary(const struct moat_headers *h)
{
	if (h->broken | h->fragment | !h->has_ports)
		return false;
	return h->proto == 6 ? (h->tcp_flags & ~MOAT_TCP_PSH) == MOAT_TCP_ACK : h->proto == 17;
}

/* Of an ordinary packet that was just judged MOAT_REASON_PASS_DEFAULT, before moat_judge_quiesce. */
bool moat_judge_is_indifferent(struct moat_judge *judge, const struct moat_headers *headers);

/* Of a packet that was judged MOAT_REASON_TX_CHALLENGE, until the next is: what moat_challenge_answer
 * wants. */
uint32_t moat_judge_cookie(const struct moat_judge *judge);
/* The form of challenges: where it is MOAT_CHALLENGE_RESET, moat_challenge_read_ack has to see the packets
 * before the judge does. */
uint32_t moat_judge_challenge_form(const struct moat_judge *judge);

/* The interval of the rule that sampled the packet judged last; 0 if none did. */
uint32_t moat_judge_sampled(const struct moat_judge *judge);

#endif
