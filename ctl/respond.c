/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The responder's table: one entry a rule, or one without a rule for a finding that was dismissed. */
#include "ctl/respond.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"
#include "dataplane/ruleset.h"

/* A limit that moved less than this factor is the same limit: rates are estimates from samples. */
#define RATE_SLACK 1.5
/* When there is no room, an attack so many times larger takes the place of the smallest one: many little
 * attacks can't keep a large one's rules out. */
#define DISPLACE_FACTOR 4.0

struct entry {
	uint64_t finding;  /* 0: free */
	uint32_t rule;     /* id; 0: dismissed */
	bool foreign;      /* an operator's equal rule stands: not ours to renew or lift */
	bool wanted;       /* scratch of one update */
	double pps;        /* of the finding, by its latest state */
	uint64_t heard_ns; /* when that came */
	struct moat_match match;
	uint8_t action, flags;
	uint32_t rate_pps;
	uint64_t expires_ns;
};

struct moat_respond {
	struct moat_respond_options options;
	const struct moat_respond_ops *ops;
	void *userdata;
	struct moat_respond_counters counters;
	/* twice the rules: dismissed findings need entries too */
	struct entry entries[2 * MOAT_RESPOND_RULES_MAX];
};

int moat_respond_new(const struct moat_respond_options *options, const struct moat_respond_ops *ops,
		     void *userdata, struct moat_respond **ret_respond)
{
	struct moat_respond *respond = calloc(1, sizeof(*respond));

	if (!respond)
		return -ENOMEM;
	respond->options = *options;
	respond->ops = ops;
	respond->userdata = userdata;
	*ret_respond = respond;
	return 0;
}

void moat_respond_free(struct moat_respond *respond)
{
	free(respond);
}

void moat_respond_configure(struct moat_respond *respond, const struct moat_respond_options *options)
{
	respond->options = *options;
}

/* An open finding is told of every MOAT_FINDING_REPEAT_NS; its end may have been lost on the way. */
#define HEARD_NS (MOAT_FINDING_REPEAT_NS + 10000000000ULL)

static void clear(struct moat_respond *respond, struct entry *entry)
{
	if (entry->rule && !entry->foreign)
		respond->counters.standing--;
	memset(entry, 0, sizeof(*entry));
}

static struct entry *first_free(struct moat_respond *respond)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		if (!respond->entries[i].finding)
			return &respond->entries[i];
	}
	return NULL;
}

static bool is_allowed_source(const struct moat_respond *respond, const struct moat_prefix *source)
{
	/* "any" overlaps everything, and names nobody: the allow list is judged before it. */
	if (source->family == MOAT_FAMILY_ANY || source->len == 0)
		return false;
	for (size_t i = 0; i < respond->options.allow_count; i++) {
		if (moat_prefix_overlaps(&respond->options.allow[i], source))
			return true;
	}
	return false;
}

/* A limit on SYNs, whoever sends them, shares the victim's rate between flood and clients: a challenge
 * tells them apart by whether the source is there. It looks at SYNs and their answers by itself. */
static void challenge_instead(struct moat_rule *rule)
{
	struct moat_rule any = moat_rule_default();

	any.match.dst = rule->match.dst;
	any.match.proto = rule->match.proto;
	any.match.dport_min = rule->match.dport_min;
	any.match.dport_max = rule->match.dport_max;
	rule->match = any.match;
	rule->action = MOAT_ACTION_CHALLENGE;
	rule->flags = 0;
	rule->rate_pps = 0;
}

static bool is_to_be_challenged(const struct moat_respond *respond,
				const struct moat_finding *finding,
				const struct moat_proposal *proposal)
{
	return respond->options.challenge && finding->kind == MOAT_FINDING_SYN_FLOOD &&
	       proposal->action == MOAT_ACTION_LIMIT && proposal->match.proto == 6 &&
	       proposal->match.src.family == MOAT_FAMILY_ANY;
}

static struct moat_rule rule_of(const struct moat_respond *respond,
				const struct moat_finding *finding,
				const struct moat_proposal *proposal, uint64_t now_ns)
{
	struct moat_rule rule = moat_rule_default();
	char subject[MOAT_ADDR_TEXT_LEN];

	rule.match = proposal->match;
	rule.priority = MOAT_RESPOND_PRIORITY;
	rule.expires_ns = now_ns + respond->options.hold_ns;
	rule.finding = (uint32_t)finding->id;
	if (respond->options.mode == MOAT_RESPOND_ENFORCE) {
		rule.action = proposal->action;
		rule.flags = proposal->flags;
		rule.rate_pps = proposal->action == MOAT_ACTION_LIMIT ? proposal->rate_pps : 0;
		if (is_to_be_challenged(respond, finding, proposal))
			challenge_instead(&rule);
	} else {
		rule.action = MOAT_ACTION_COUNT;
	}
	snprintf(rule.owner, sizeof(rule.owner), "%s", MOAT_RESPOND_OWNER);
	snprintf(rule.comment, sizeof(rule.comment), "finding %llu: %s %s %s",
		 (unsigned long long)finding->id, moat_finding_kind_title(finding->kind),
		 finding->subject_is_source ? "from" : "on",
		 moat_addr_format(&finding->subject, subject));
	return rule;
}

static bool is_same(const struct entry *entry, const struct moat_rule *rule)
{
	double low = entry->rate_pps, high = rule->rate_pps;

	if (memcmp(&entry->match, &rule->match, sizeof(rule->match)) != 0 ||
	    entry->action != rule->action || entry->flags != rule->flags)
		return false;
	if (low > high) {
		low = rule->rate_pps;
		high = entry->rate_pps;
	}
	return high <= low * RATE_SLACK;
}

static struct entry *find_same(struct moat_respond *respond, uint64_t finding,
			       const struct moat_rule *rule)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		struct entry *entry = &respond->entries[i];

		if (entry->finding == finding && entry->rule && is_same(entry, rule))
			return entry;
	}
	return NULL;
}

/* The rule stands: puts its end off, but not at every update, since each means a new table. */
static void renew(struct moat_respond *respond, struct entry *entry, uint64_t now_ns)
{
	entry->wanted = true;
	if (entry->foreign || entry->expires_ns > now_ns + respond->options.hold_ns / 2)
		return;
	entry->expires_ns = now_ns + respond->options.hold_ns;
	respond->ops->renew(respond->userdata, entry->rule, entry->expires_ns);
	respond->counters.renewed++;
}

/* Notes a rule that add() accepted, or found standing: ours from before a restart, or an operator's. */
static void note(struct moat_respond *respond, const struct moat_finding *finding,
		 const struct moat_rule *rule, uint32_t id, bool existed)
{
	struct entry *entry = first_free(respond);
	const struct moat_rule *standing = respond->ops->find(respond->userdata, id);

	if (!entry || !standing)
		return;
	*entry = (struct entry){
		.finding = finding->id,
		.rule = id,
		.pps = finding->pps,
		.heard_ns = rule->expires_ns - respond->options.hold_ns,
		.foreign = existed && strcmp(standing->owner, MOAT_RESPOND_OWNER) != 0,
		.wanted = true,
		.match = rule->match,
		.action = rule->action,
		.flags = rule->flags,
		.rate_pps = rule->rate_pps,
		.expires_ns = rule->expires_ns,
	};
	if (entry->foreign)
		return;
	respond->counters.standing++;
	if (existed)
		respond->ops->renew(respond->userdata, id, rule->expires_ns);
	else
		respond->counters.added++;
}

static void del_entry(struct moat_respond *respond, struct entry *entry, const char *why)
{
	if (!entry->foreign)
		respond->ops->del(respond->userdata, entry->rule, why);
	clear(respond, entry);
}

static struct entry *holder_of(struct moat_respond *respond, uint32_t id)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		if (respond->entries[i].rule == id)
			return &respond->entries[i];
	}
	return NULL;
}

/* A standing rule with the same match but another action or rate is in the new one's way. A drop from before
 * a restart is not: it was chosen when the victim's normal traffic was known, which now has to be learned
 * anew in the midst of the attack. */
static bool make_way(struct moat_respond *respond, const struct moat_rule *rule, uint32_t id)
{
	const struct moat_rule *standing = respond->ops->find(respond->userdata, id);
	struct entry *holder = holder_of(respond, id);

	if (!standing || strcmp(standing->owner, MOAT_RESPOND_OWNER) != 0)
		return false;
	if (standing->action == rule->action && standing->rate_pps == rule->rate_pps &&
	    standing->flags == rule->flags)
		return false;
	if (!holder && standing->action == MOAT_ACTION_DROP && rule->action == MOAT_ACTION_LIMIT)
		return false;
	if (holder)
		clear(respond, holder);
	respond->ops->del(respond->userdata, id, "replaced");
	respond->counters.replaced++;
	return true;
}

static void install(struct moat_respond *respond, const struct moat_finding *finding,
		    const struct moat_rule *rule)
{
	uint32_t id = 0;
	int r;

	if (is_allowed_source(respond, &rule->match.src)) {
		respond->counters.refused_allowed++;
		return;
	}
	r = respond->ops->add(respond->userdata, rule, &id);
	if (r == MOAT_RULESET_EXISTS && make_way(respond, rule, id))
		r = respond->ops->add(respond->userdata, rule, &id);
	if (r == 0 || r == MOAT_RULESET_EXISTS)
		note(respond, finding, rule, id, r == MOAT_RULESET_EXISTS);
	else if (r == MOAT_RULESET_FULL)
		respond->counters.refused_full++;
	else
		respond->counters.failed++;
}

/* Drops entries whose rule is gone; false if an operator dismissed the finding. */
static bool refresh(struct moat_respond *respond, const struct moat_finding *finding,
		    uint64_t now_ns)
{
	bool ours = true;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		struct entry *entry = &respond->entries[i];

		if (entry->finding != finding->id)
			continue;
		entry->wanted = false;
		entry->pps = finding->pps;
		entry->heard_ns = now_ns;
		if (!entry->rule)
			ours = false;
		else if (!respond->ops->find(respond->userdata, entry->rule))
			clear(respond, entry);
	}
	return ours;
}

/* Lifts what the finding has no use for any more (all of it if `everything`). */
static void lift(struct moat_respond *respond, uint64_t finding, bool everything)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		struct entry *entry = &respond->entries[i];

		if (entry->finding != finding || (!everything && entry->wanted))
			continue;
		if (!entry->rule) {
			if (everything)
				clear(respond, entry);
			continue;
		}
		if (!entry->foreign && everything)
			respond->counters.lifted++;
		else if (!entry->foreign)
			respond->counters.replaced++;
		del_entry(respond, entry, everything ? "finding closed" : "replaced");
	}
}

/* Forgets rules that are gone, whatever became of their findings: the end of one may have been lost. */
static void forget_gone(struct moat_respond *respond)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		struct entry *entry = &respond->entries[i];

		if (entry->rule && !respond->ops->find(respond->userdata, entry->rule))
			clear(respond, entry);
	}
}

/* True if there is room for one more rule, which the smallest other attack may have to make. */
static bool make_room(struct moat_respond *respond, const struct moat_finding *finding)
{
	struct entry *smallest = NULL;

	if (respond->counters.standing < respond->options.max_rules)
		return true;
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		struct entry *entry = &respond->entries[i];

		if (!entry->rule || entry->foreign || entry->finding == finding->id)
			continue;
		if (!smallest || entry->pps < smallest->pps)
			smallest = entry;
	}
	if (!smallest || finding->pps < DISPLACE_FACTOR * smallest->pps || finding->pps <= 0)
		return false;
	respond->counters.displaced++;
	del_entry(respond, smallest, "room for a larger attack");
	return true;
}

/* A finding without a proposal (yet) keeps what stands for it. */
static void renew_all(struct moat_respond *respond, uint64_t finding, uint64_t now_ns)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		if (respond->entries[i].finding == finding && respond->entries[i].rule)
			renew(respond, &respond->entries[i], now_ns);
	}
}

void moat_respond_finding(struct moat_respond *respond, const struct moat_finding *finding,
			  uint64_t now_ns)
{
	struct moat_rule fresh[MOAT_PROPOSALS_MAX];
	size_t fresh_count = 0;
	double covered = 0;

	if (finding->state == MOAT_FINDING_CLOSED) {
		refresh(respond, finding, now_ns);
		lift(respond, finding->id, true);
		return;
	}
	if (!refresh(respond, finding, now_ns))
		return;
	if (finding->proposal_count == 0) {
		renew_all(respond, finding->id, now_ns);
		return;
	}
	for (uint32_t i = 0; i < finding->proposal_count && covered < MOAT_RESPOND_COVERAGE; i++) {
		struct moat_rule rule = rule_of(respond, finding, &finding->proposals[i], now_ns);
		struct entry *standing = find_same(respond, finding->id, &rule);

		covered += finding->proposals[i].coverage;
		if (standing)
			renew(respond, standing, now_ns);
		else
			fresh[fresh_count++] = rule;
	}
	/* New rules go in first, so that no packet slips between; both reach the gate in one commit. Only
	 * when there is no room are the old ones taken out before. */
	if (respond->counters.standing + fresh_count > respond->options.max_rules) {
		forget_gone(respond);
		lift(respond, finding->id, false);
	}
	for (size_t i = 0; i < fresh_count; i++) {
		if (make_room(respond, finding))
			install(respond, finding, &fresh[i]);
		else
			respond->counters.refused_full++;
	}
	lift(respond, finding->id, false);
}

void moat_respond_tick(struct moat_respond *respond, uint64_t now_ns)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		struct entry *entry = &respond->entries[i];

		if (entry->rule && now_ns - entry->heard_ns <= HEARD_NS &&
		    respond->ops->find(respond->userdata, entry->rule))
			renew(respond, entry, now_ns);
	}
}

void moat_respond_dismiss(struct moat_respond *respond, uint32_t id)
{
	struct entry *entry;
	uint64_t finding = 0;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries); i++) {
		if (id && respond->entries[i].rule == id) {
			finding = respond->entries[i].finding;
			clear(respond, &respond->entries[i]);
			break;
		}
	}
	entry = first_free(respond);
	if (finding && entry)
		entry->finding = finding;
}

size_t moat_respond_rules_of(const struct moat_respond *respond, uint64_t finding,
			     uint32_t *ret_ids, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(respond->entries) && count < max; i++) {
		if (respond->entries[i].finding == finding && respond->entries[i].rule)
			ret_ids[count++] = respond->entries[i].rule;
	}
	return count;
}

void moat_respond_counters(const struct moat_respond *respond,
			   struct moat_respond_counters *ret_counters)
{
	*ret_counters = respond->counters;
}
