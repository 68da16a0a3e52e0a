/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See ruleset.h; files are read and written by ruleset_load.c and ruleset_state.c. */
#include "dataplane/ruleset.h"
#include "dataplane/base/addr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/rule_names.h"
#include "dataplane/ruleset_body.h"

int moat_ruleset_new(struct moat_ruleset **ret_set)
{
	struct moat_ruleset *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->next_id = 1;
	for (uint16_t slot = 0; slot < MOAT_RULES_MAX; slot++)
		set->free_slots[slot] = slot;
	*ret_set = set;
	return 0;
}

int moat_ruleset_copy(const struct moat_ruleset *set, struct moat_ruleset **ret_set)
{
	struct moat_ruleset *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = *set;
	for (size_t list = 0; list < MOAT_ARRAY_SIZE(copy->lists); list++)
		moat_prefixes_copy(&set->lists[list], &copy->lists[list]);
	moat_stage_set_ref(copy->stages);
	*ret_set = copy;
	return 0;
}

void moat_ruleset_free(struct moat_ruleset *set)
{
	if (!set)
		return;
	for (size_t list = 0; list < MOAT_ARRAY_SIZE(set->lists); list++)
		moat_prefixes_deinit(&set->lists[list]);
	moat_stage_set_unref(set->stages);
	free(set);
}

void moat_ruleset_free_cleanup(struct moat_ruleset **set)
{
	moat_ruleset_free(*set);
}

void moat_ruleset_replace(struct moat_ruleset *set, struct moat_ruleset *from)
{
	for (size_t list = 0; list < MOAT_ARRAY_SIZE(set->lists); list++)
		moat_prefixes_deinit(&set->lists[list]);
	moat_stage_set_unref(set->stages);
	*set = *from;
	memset(from->lists, 0, sizeof(from->lists));
	from->stages = NULL;
}

/* ---- rules ------------------------------------------------------------------------------------ */

/* Bits behind the length are zero, and the address is of the family. */
static bool prefix_is_valid(const struct moat_prefix *prefix)
{
	unsigned int bits = prefix->len + (prefix->family == MOAT_FAMILY_V4 ? 96U : 0U);

	switch (prefix->family) {
	case MOAT_FAMILY_ANY:
		return prefix->len == 0;
	case MOAT_FAMILY_V4:
		if (!moat_addr_is_v4(&prefix->addr))
			return false;
		break;
	case MOAT_FAMILY_V6:
		/* an IPv4 host by another name: see moat_addr_parse */
		if (moat_addr_is_v4(&prefix->addr))
			return false;
		break;
	default:
		return false;
	}
	if (bits > 128)
		return false;
	for (unsigned int i = bits / 8; i < 16; i++) {
		unsigned int kept = i == bits / 8 ? bits % 8 : 0;

		if (prefix->addr.bytes[i] & (0xff >> kept))
			return false;
	}
	return true;
}

/* Each action has the fields that it names, and no others. */
static bool action_is_valid(const struct moat_rule *rule)
{
	bool limits = rule->action == MOAT_ACTION_LIMIT;
	uint8_t flags = MOAT_RULE_COUNT_ONLY | (limits ? MOAT_RULE_PREFER_KNOWN : 0);

	if (rule->action >= MOAT_ACTION_COUNT_OF || (rule->flags & ~flags) ||
	    !memchr(rule->target, '\0', sizeof(rule->target)))
		return false;
	if (limits ? (rule->rate_pps == 0 && rule->rate_bps == 0) ||
			     rule->rate_bps > MOAT_RATE_BYTES_MAX || rule->burst > MOAT_RULE_BURST_MAX
		   : rule->rate_pps || rule->rate_bps || rule->burst)
		return false;
	if (rule->action == MOAT_ACTION_SAMPLE
		    ? rule->interval == 0 || rule->interval > MOAT_RULE_INTERVAL_MAX
		    : rule->interval)
		return false;
	return rule->action == MOAT_ACTION_REDIRECT ? moat_target_is_valid(rule->target)
						    : !rule->target[0];
}

/* What is let in can be written and read back. */
static bool rule_is_valid(const struct moat_rule *rule)
{
	const struct moat_match *match = &rule->match;

	return prefix_is_valid(&match->src) && prefix_is_valid(&match->dst) &&
	       match->sport_min <= match->sport_max && match->dport_min <= match->dport_max &&
	       match->len_min <= match->len_max && !(match->tcp_flags & ~match->tcp_mask) &&
	       !(match->vlan & ~match->vlan_mask) && match->vlan_mask <= MOAT_VLAN_ID_MASK &&
	       rule->priority <= UINT16_MAX && action_is_valid(rule) &&
	       memchr(rule->owner, '\0', sizeof(rule->owner)) &&
	       memchr(rule->comment, '\0', sizeof(rule->comment)) &&
	       moat_text_is_clean(rule->owner) && moat_text_is_clean(rule->comment) &&
	       moat_rule_check(rule, NULL) == 0;
}

/* Rules that decide a packet are of one kind; what goes on with the next rule may stand beside them, once a
 * kind. */
static unsigned int kind_of(const struct moat_rule *rule)
{
	switch (rule->action) {
	case MOAT_ACTION_COUNT:
	case MOAT_ACTION_CHALLENGE:
	case MOAT_ACTION_SAMPLE:
		return 1U + rule->action + ((rule->flags & MOAT_RULE_COUNT_ONLY) ? 16 : 0);
	default:
		return (rule->flags & MOAT_RULE_COUNT_ONLY) ? 17U + rule->action : 0;
	}
}

static bool match_equal(const struct moat_match *a, const struct moat_match *b)
{
	return moat_prefix_equal(&a->src, &b->src) && moat_prefix_equal(&a->dst, &b->dst) &&
	       a->sport_min == b->sport_min && a->sport_max == b->sport_max &&
	       a->dport_min == b->dport_min && a->dport_max == b->dport_max &&
	       a->len_min == b->len_min && a->len_max == b->len_max && a->proto == b->proto &&
	       a->tcp_mask == b->tcp_mask && a->tcp_flags == b->tcp_flags && a->vlan == b->vlan &&
	       a->vlan_mask == b->vlan_mask;
}

/* Index of a rule, or the count. */
static size_t index_of(const struct moat_ruleset *set, uint32_t id)
{
	size_t i = 0;

	while (i < set->count && set->rules[i].id != id)
		i++;
	return i;
}

/* Takes `slot` out of the queue of free ones, or its first. */
static uint32_t slot_take(struct moat_ruleset *set, uint32_t slot)
{
	size_t free_count = MOAT_RULES_MAX - set->count;
	size_t at = 0;

	while (at < free_count && set->free_slots[at] != slot)
		at++;
	if (at == free_count)
		at = 0;
	slot = set->free_slots[at];
	memmove(&set->free_slots[at], &set->free_slots[at + 1],
		(free_count - at - 1) * sizeof(set->free_slots[0]));
	return slot;
}

int moat_ruleset_put(struct moat_ruleset *set, const struct moat_rule *rule, uint32_t slot,
		     uint32_t *ret_id)
{
	struct moat_rule added = *rule;
	size_t at = 0;

	if (!rule_is_valid(rule))
		return -EINVAL;
	for (size_t i = 0; i < set->count; i++) {
		const struct moat_rule *other = &set->rules[i];

		if (kind_of(other) != kind_of(rule) || !match_equal(&other->match, &rule->match))
			continue;
		if (ret_id)
			*ret_id = other->id;
		return MOAT_RULESET_EXISTS;
	}
	if (set->count == MOAT_RULES_MAX)
		return MOAT_RULESET_FULL;
	/* ids aren't used again while numbers last: a log that names one means one rule */
	if (added.id == 0 || index_of(set, added.id) < set->count) {
		while (set->next_id == 0 || index_of(set, set->next_id) < set->count)
			set->next_id++;
		added.id = set->next_id;
	}
	if (added.id >= set->next_id)
		set->next_id = added.id + 1;
	added.slot = slot_take(set, slot);
	while (at < set->count &&
	       (set->rules[at].priority < added.priority ||
		(set->rules[at].priority == added.priority && set->rules[at].id < added.id)))
		at++;
	memmove(&set->rules[at + 1], &set->rules[at], (set->count - at) * sizeof(set->rules[0]));
	set->rules[at] = added;
	set->count++;
	if (ret_id)
		*ret_id = added.id;
	return 0;
}

int moat_ruleset_add(struct moat_ruleset *set, const struct moat_rule *rule, uint32_t *ret_id)
{
	return moat_ruleset_put(set, rule, MOAT_RULES_MAX, ret_id);
}

static void remove_at(struct moat_ruleset *set, size_t at)
{
	set->free_slots[MOAT_RULES_MAX - set->count] = (uint16_t)set->rules[at].slot;
	set->count--;
	memmove(&set->rules[at], &set->rules[at + 1], (set->count - at) * sizeof(set->rules[0]));
}

int moat_ruleset_del(struct moat_ruleset *set, uint32_t id)
{
	size_t at = index_of(set, id);

	if (at == set->count)
		return -ENOENT;
	remove_at(set, at);
	return 0;
}

int moat_ruleset_renew(struct moat_ruleset *set, uint32_t id, uint64_t expires_ns)
{
	size_t at = index_of(set, id);

	if (at == set->count)
		return -ENOENT;
	set->rules[at].expires_ns = expires_ns;
	return 0;
}

size_t moat_ruleset_expire(struct moat_ruleset *set, uint64_t now_ns)
{
	size_t removed = 0;

	for (size_t i = set->count; i-- > 0;) {
		if (set->rules[i].expires_ns && set->rules[i].expires_ns <= now_ns) {
			remove_at(set, i);
			removed++;
		}
	}
	return removed;
}

const struct moat_rule *moat_ruleset_rules(const struct moat_ruleset *set, size_t *ret_count)
{
	*ret_count = set->count;
	return set->rules;
}

const struct moat_rule *moat_ruleset_find(const struct moat_ruleset *set, uint32_t id)
{
	size_t at = index_of(set, id);

	return at < set->count ? &set->rules[at] : NULL;
}

/* ---- lists ------------------------------------------------------------------------------------ */

int moat_ruleset_list_add(struct moat_ruleset *set, enum moat_list list,
			  const struct moat_prefix *prefix)
{
	size_t count = 0;
	int r;

	if (prefix->family == MOAT_FAMILY_ANY || !prefix_is_valid(prefix))
		return -EINVAL;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(set->lists); i++)
		count += moat_prefixes_count(&set->lists[i]);
	r = moat_prefixes_add(&set->lists[list], prefix);
	if (r == MOAT_PREFIXES_EXISTS)
		return MOAT_RULESET_EXISTS;
	if (r == 0 && count >= MOAT_PREFIXES_MAX) {
		moat_prefixes_del(&set->lists[list], prefix);
		return MOAT_RULESET_FULL;
	}
	return r;
}

int moat_ruleset_list_del(struct moat_ruleset *set, enum moat_list list,
			  const struct moat_prefix *prefix)
{
	return moat_prefixes_del(&set->lists[list], prefix);
}

void moat_ruleset_list_clear(struct moat_ruleset *set, enum moat_list list)
{
	moat_prefixes_deinit(&set->lists[list]);
}

void moat_ruleset_list_share(struct moat_ruleset *set, enum moat_list list,
			     const struct moat_ruleset *from)
{
	moat_prefixes_deinit(&set->lists[list]);
	moat_prefixes_copy(&from->lists[list], &set->lists[list]);
}

bool moat_ruleset_list_is_shared(const struct moat_ruleset *a, const struct moat_ruleset *b,
				 enum moat_list list)
{
	return moat_prefixes_is_shared(&a->lists[list], &b->lists[list]);
}

bool moat_ruleset_list_has(const struct moat_ruleset *set, enum moat_list list,
			   const struct moat_prefix *prefix)
{
	return moat_prefixes_has(&set->lists[list], prefix);
}

const struct moat_prefix *moat_ruleset_prefixes(const struct moat_ruleset *set, enum moat_list list,
						size_t *ret_count)
{
	*ret_count = moat_prefixes_count(&set->lists[list]);
	return moat_prefixes_items(&set->lists[list]);
}

/* ---- stages ----------------------------------------------------------------------------------- */

void moat_ruleset_set_stages(struct moat_ruleset *set, struct moat_stage_set *stages)
{
	struct moat_stage_set *old = set->stages;

	set->stages = moat_stage_set_ref(stages);
	moat_stage_set_unref(old);
}

void moat_ruleset_share_stages(struct moat_ruleset *set, const struct moat_ruleset *from)
{
	moat_ruleset_set_stages(set, from->stages);
}

const struct moat_stage_set *moat_ruleset_stages(const struct moat_ruleset *set)
{
	return set->stages;
}

int moat_ruleset_add_session(struct moat_ruleset *set, const struct moat_session *session)
{
	size_t at = 0;
	int r = MOAT_RULESET_EXISTS;

	while (at < set->session_count && memcmp(&set->sessions[at], session, sizeof(*session)) != 0)
		at++;
	if (at == set->session_count) {
		r = 0;
		if (set->session_count < MOAT_SESSIONS_MAX)
			set->session_count++;
		else
			at = 0;
	}
	memmove(&set->sessions[at], &set->sessions[at + 1],
		(set->session_count - at - 1) * sizeof(set->sessions[0]));
	set->sessions[set->session_count - 1] = *session;
	return r;
}

void moat_ruleset_clear_sessions(struct moat_ruleset *set)
{
	set->session_count = 0;
}

const struct moat_session *moat_ruleset_sessions(const struct moat_ruleset *set, size_t *ret_count)
{
	*ret_count = set->session_count;
	return set->sessions;
}
