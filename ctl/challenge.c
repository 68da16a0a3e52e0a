/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The SYN challenge of the appliance: settings to gate and workers, keys that change, and what to show. */
#include <errno.h>

#include "ctl/appliance_priv.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

/* A key is good for as long as it is guessed by nobody, 2^128 tries; changed all the same, for the case
 * that somebody could read it. */
#define KEY_NS (600 * MOAT_NS_PER_S)

void moat_appliance_challenge_configure(struct moat_appliance *appliance,
					const struct moat_config *config)
{
	moat_gate_set_challenge(appliance->gate, &config->challenge);
	if (appliance->wire.policy)
		moat_policy_set_challenge(appliance->wire.policy, &config->challenge);
}

void moat_appliance_challenge_tick(struct moat_appliance *appliance, uint64_t now_ns)
{
	int r;

	if (now_ns - appliance->keys_changed_ns < KEY_NS)
		return;
	r = moat_gate_challenge_rotate(appliance->gate);
	if (r >= 0 && appliance->wire.policy)
		r = moat_policy_challenge_rotate(appliance->wire.policy, now_ns / MOAT_NS_PER_MS);
	if (r < 0)
		moat_log(MOAT_LOG_WARNING,
			 "challenge: no random numbers for a new key: the old one stays");
	appliance->keys_changed_ns = now_ns;
}

/* Gate and workers, which have a table each. */
static struct moat_challenge_stats stats_of(const struct moat_appliance *appliance)
{
	struct moat_challenge_stats sum, workers = { 0 };
	const uint64_t *from = (const uint64_t *)&workers.counters;
	uint64_t *to = (uint64_t *)&sum.counters;

	moat_gate_challenge_stats(appliance->gate, &sum);
	if (!appliance->wire.policy)
		return sum;
	moat_policy_challenge_stats(appliance->wire.policy,
				    moat_clock_monotonic_ns() / MOAT_NS_PER_MS, &workers);
	for (size_t i = 0; i < sizeof(sum.counters) / sizeof(*to); i++)
		to[i] += from[i];
	sum.live += workers.live;
	sum.capacity += workers.capacity;
	return sum;
}

int moat_appliance_challenge(struct moat_appliance *appliance, struct moat_control_call *call,
			     json_t **ret_result, struct moat_error *error)
{
	const struct moat_challenge_options *options = &appliance->config->challenge;
	struct moat_challenge_stats stats = stats_of(appliance);
	const struct moat_challenge_counters *count = &stats.counters;

	*ret_result = json_pack(
		"{s:s,s:i,s:i,s:i,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "form",
		options->form == MOAT_CHALLENGE_RESET ? "reset" : "wrong-ack", "lifetime_s",
		(int)options->lifetime_s, "prefix_rate", (int)options->prefix_pps, "rate",
		(int)options->box_pps, "responder", appliance->config->respond.challenge, "sent",
		(json_int_t)count->sent, "capped_prefix", (json_int_t)count->capped_prefix,
		"capped_box", (json_int_t)count->capped_box, "known", (json_int_t)count->known,
		"validated", (json_int_t)count->validated, "renewed", (json_int_t)count->renewed,
		"wrong", (json_int_t)count->wrong, "evicted", (json_int_t)count->evicted, "live",
		(json_int_t)stats.live, "capacity", (json_int_t)stats.capacity);
	return *ret_result ? 0 : -ENOMEM;
}
