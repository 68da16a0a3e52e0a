/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two rule sets: `live` is what the gate has; `own` is the part of it that the configuration didn't ask
 * for, and which is saved. A draft is a copy of both.
 */
#include "ctl/rulebook.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"

struct pair {
	struct moat_ruleset *live;
	struct moat_ruleset *own;
};

struct moat_rulebook {
	char *state_path;
	struct pair now;
	struct pair draft; /* NULLs: none */
	bool touched;      /* the draft differs from what is in force */
	struct moat_rule_change *changes;
	size_t change_count, change_room;
};

static void pair_clear(struct pair *pair)
{
	moat_ruleset_free(pair->live);
	moat_ruleset_free(pair->own);
	*pair = (struct pair){ 0 };
}

int moat_rulebook_new(const char *state_path, struct moat_rulebook **ret_rulebook,
		      struct moat_error *error)
{
	struct moat_rulebook *rulebook = calloc(1, sizeof(*rulebook));
	int r = rulebook ? 0 : -ENOMEM;

	if (r == 0 && !(rulebook->state_path = strdup(state_path)))
		r = -ENOMEM;
	if (r == 0)
		r = moat_ruleset_new(&rulebook->now.live);
	if (r == 0)
		r = moat_ruleset_new(&rulebook->now.own);
	if (r < 0) {
		moat_rulebook_free(rulebook);
		return moat_error_set(error, r, "rules: out of memory");
	}
	r = moat_ruleset_restore(rulebook->now.own, state_path, error);
	if (r < 0 && r != -ENOENT) {
		moat_rulebook_free(rulebook);
		return r;
	}
	*ret_rulebook = rulebook;
	return 0;
}

void moat_rulebook_free(struct moat_rulebook *rulebook)
{
	if (!rulebook)
		return;
	pair_clear(&rulebook->draft);
	pair_clear(&rulebook->now);
	free(rulebook->changes);
	free(rulebook->state_path);
	free(rulebook);
}

void moat_rulebook_drop(struct moat_rulebook *rulebook)
{
	pair_clear(&rulebook->draft);
	rulebook->touched = false;
	rulebook->change_count = 0;
}

bool moat_rulebook_is_changed(const struct moat_rulebook *rulebook)
{
	return rulebook->touched;
}

static int begin(struct moat_rulebook *rulebook)
{
	int r;

	if (rulebook->draft.live)
		return 0;
	r = moat_ruleset_copy(rulebook->now.live, &rulebook->draft.live);
	if (r == 0)
		r = moat_ruleset_copy(rulebook->now.own, &rulebook->draft.own);
	rulebook->change_count = 0;
	if (r < 0)
		moat_rulebook_drop(rulebook);
	return r;
}

/* Without memory for it a change goes unreported, but it is made. */
static void note(struct moat_rulebook *rulebook, enum moat_rule_change_kind kind,
		 const struct moat_rule *rule, const char *why)
{
	struct moat_rule_change *change;

	rulebook->touched = true;
	if (rulebook->change_count == rulebook->change_room) {
		size_t room = rulebook->change_room ? 2 * rulebook->change_room : 16;
		struct moat_rule_change *grown = reallocarray(rulebook->changes, room,
							      sizeof(*grown));

		if (!grown)
			return;
		rulebook->changes = grown;
		rulebook->change_room = room;
	}
	change = &rulebook->changes[rulebook->change_count++];
	*change = (struct moat_rule_change){ .kind = kind, .rule = *rule };
	snprintf(change->why, sizeof(change->why), "%s", why ? why : "");
}

static int add_prefixes(struct moat_ruleset *set, enum moat_list list,
			const struct moat_prefix *prefixes, size_t count, struct moat_error *error)
{
	for (size_t i = 0; i < count; i++) {
		int r = moat_ruleset_list_add(set, list, &prefixes[i]);

		if (r == MOAT_RULESET_FULL)
			return moat_error_set(error, -ENOSPC, "lists: more than %d prefixes",
					      MOAT_PREFIXES_MAX);
		if (r < 0)
			return moat_error_set(error, r, "lists: %s", strerror(-r));
	}
	return 0;
}

/* respond.allow: sources that the responder's rules let pass, though not the deny list. */
static int add_respond_allow(struct moat_ruleset *set, const struct moat_config *config,
			     struct moat_error *error)
{
	for (size_t i = 0; i < config->respond_allow.count; i++) {
		struct moat_rule rule = moat_rule_default();
		int r;

		rule.match.src = config->respond_allow.prefixes[i];
		rule.action = MOAT_ACTION_PASS;
		rule.priority = MOAT_RESPOND_ALLOW_PRIORITY;
		snprintf(rule.owner, sizeof(rule.owner), "%s", MOAT_OWNER_CONFIG);
		snprintf(rule.comment, sizeof(rule.comment), "respond.allow");
		r = moat_ruleset_add(set, &rule, NULL);
		if (r == MOAT_RULESET_FULL)
			return moat_error_set(error, -ENOSPC, "respond.allow: more than %d rules",
					      MOAT_RULES_MAX);
		if (r < 0)
			return moat_error_set(error, r, "respond.allow: %s", strerror(-r));
	}
	return 0;
}

static int add_files(struct moat_ruleset *set, const struct moat_config *config,
		     struct moat_error *error)
{
	struct moat_ruleset_load_report report;

	for (size_t i = 0; i < config->list_file_count; i++) {
		int r = moat_ruleset_load(set, config->list_files[i], MOAT_OWNER_CONFIG,
					  moat_clock_monotonic_ns(), &report, error);

		if (r == MOAT_RULESET_FULL)
			return moat_error_set(error, -ENOSPC,
					      "%s: more than %d rules or %d prefixes",
					      config->list_files[i], MOAT_RULES_MAX,
					      MOAT_PREFIXES_MAX);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Rules that stand keep their ids; what the configuration says now in the same words is left out. */
static int add_own(struct moat_ruleset *set, const struct moat_ruleset *own,
		   struct moat_error *error)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(own, &count);
	int r = 0;

	for (size_t i = 0; r >= 0 && r != MOAT_RULESET_FULL && i < count; i++)
		r = moat_ruleset_add(set, &rules[i], NULL);
	if (r == MOAT_RULESET_FULL)
		return moat_error_set(error, -ENOSPC, "more than %d rules with those that stand",
				      MOAT_RULES_MAX);
	if (r < 0)
		return moat_error_set(error, r, "rules: %s", strerror(-r));
	for (int list = MOAT_LIST_ALLOW; r >= 0 && list <= MOAT_LIST_DENY; list++) {
		const struct moat_prefix *prefixes;

		moat_ruleset_prefixes(set, (enum moat_list)list, &count);
		if (count == 0) {
			moat_ruleset_list_share(set, (enum moat_list)list, own);
			continue;
		}
		prefixes = moat_ruleset_prefixes(own, (enum moat_list)list, &count);
		r = add_prefixes(set, (enum moat_list)list, prefixes, count, error);
	}
	return r < 0 ? r : 0;
}

/* What the responder put up before this configuration: nothing is stopped while it only observes, and no
 * rule outlives its hold, which a clock that was set back would make of a saved one. */
static void bind_responder(struct moat_rulebook *rulebook, struct moat_ruleset *own,
			   const struct moat_respond_options *respond)
{
	uint64_t latest_ns = moat_clock_monotonic_ns() + respond->hold_ns;
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(own, &count);

	for (size_t i = count; i-- > 0; rules = moat_ruleset_rules(own, &count)) {
		struct moat_rule rule = rules[i];

		if (strcmp(rule.owner, MOAT_RESPOND_OWNER) != 0)
			continue;
		if (respond->mode == MOAT_RESPOND_OBSERVE && rule.action != MOAT_ACTION_COUNT) {
			moat_ruleset_del(own, rule.id);
			note(rulebook, MOAT_RULE_REMOVED, &rule, "respond.mode is observe");
		} else if (rule.expires_ns == 0 || rule.expires_ns > latest_ns) {
			moat_ruleset_renew(own, rule.id, latest_ns);
		}
	}
}

/* Who changed rules isn't cut off by a new configuration either. */
static void keep_sessions(struct moat_ruleset *set, const struct moat_ruleset *before)
{
	size_t count;
	const struct moat_session *sessions = moat_ruleset_sessions(before, &count);

	for (size_t i = 0; i < count; i++)
		moat_ruleset_add_session(set, &sessions[i]);
}

int moat_rulebook_configure(struct moat_rulebook *rulebook, const struct moat_config *config,
			    struct moat_error *error)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *live = NULL;
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *own = NULL;
	int r;

	moat_rulebook_drop(rulebook);
	r = moat_ruleset_new(&live);
	if (r == 0)
		r = moat_ruleset_copy(rulebook->now.own, &own);
	if (r < 0)
		return moat_error_set(error, r, "rules: out of memory");
	moat_ruleset_set_stages(live, config->stages);
	keep_sessions(live, rulebook->now.live);
	bind_responder(rulebook, own, &config->respond);
	/* The standing rules first, so that they keep their ids and slots. */
	r = add_own(live, own, error);
	if (r == 0)
		r = add_prefixes(live, MOAT_LIST_ALLOW, config->list_allow.prefixes,
				 config->list_allow.count, error);
	if (r == 0)
		r = add_prefixes(live, MOAT_LIST_DENY, config->list_deny.prefixes,
				 config->list_deny.count, error);
	if (r == 0)
		r = add_respond_allow(live, config, error);
	if (r == 0)
		r = add_files(live, config, error);
	if (r < 0) {
		rulebook->change_count = 0;
		return r;
	}
	rulebook->draft.live = moat_take_ptr(live);
	rulebook->draft.own = moat_take_ptr(own);
	rulebook->touched = true;
	return 0;
}

int moat_rulebook_add(struct moat_rulebook *rulebook, const struct moat_rule *rule, uint32_t *ret_id)
{
	const struct moat_rule *added;
	uint32_t id = 0;
	int r = begin(rulebook);

	if (r < 0)
		return r;
	r = moat_ruleset_add(rulebook->draft.live, rule, &id);
	if ((r == 0 || r == MOAT_RULESET_EXISTS) && ret_id)
		*ret_id = id;
	if (r != 0)
		return r;
	added = moat_ruleset_find(rulebook->draft.live, id);
	r = moat_ruleset_add(rulebook->draft.own, added, NULL);
	if (r != 0) {
		moat_ruleset_del(rulebook->draft.live, id);
		return r;
	}
	note(rulebook, MOAT_RULE_ADDED, added, NULL);
	return 0;
}

int moat_rulebook_del(struct moat_rulebook *rulebook, uint32_t id, const char *why)
{
	const struct moat_rule *rule;
	int r = begin(rulebook);

	if (r < 0)
		return r;
	rule = moat_ruleset_find(rulebook->draft.live, id);
	if (!rule)
		return -ENOENT;
	if (strcmp(rule->owner, MOAT_OWNER_CONFIG) == 0)
		return -EPERM;
	note(rulebook, MOAT_RULE_REMOVED, rule, why);
	moat_ruleset_del(rulebook->draft.own, id);
	return moat_ruleset_del(rulebook->draft.live, id);
}

int moat_rulebook_renew(struct moat_rulebook *rulebook, uint32_t id, uint64_t expires_ns)
{
	int r = begin(rulebook);

	if (r == 0)
		r = moat_ruleset_renew(rulebook->draft.live, id, expires_ns);
	if (r < 0)
		return r;
	moat_ruleset_renew(rulebook->draft.own, id, expires_ns);
	note(rulebook, MOAT_RULE_RENEWED, moat_ruleset_find(rulebook->draft.live, id), NULL);
	return 0;
}

int moat_rulebook_list_add(struct moat_rulebook *rulebook, enum moat_list list,
			   const struct moat_prefix *prefix)
{
	int r = begin(rulebook);

	if (r == 0)
		r = moat_ruleset_list_add(rulebook->draft.live, list, prefix);
	if (r == 0)
		r = moat_ruleset_list_add(rulebook->draft.own, list, prefix);
	rulebook->touched |= r == 0;
	return r;
}

int moat_rulebook_list_del(struct moat_rulebook *rulebook, enum moat_list list,
			   const struct moat_prefix *prefix)
{
	int r = begin(rulebook);

	if (r < 0)
		return r;
	r = moat_ruleset_list_del(rulebook->draft.own, list, prefix);
	rulebook->touched |= r == 0;
	if (r == 0)
		return moat_ruleset_list_del(rulebook->draft.live, list, prefix);
	if (moat_ruleset_list_del(rulebook->draft.live, list, prefix) == 0) {
		moat_ruleset_list_add(rulebook->draft.live, list, prefix);
		return -EPERM;
	}
	return -ENOENT;
}

/* ---- one prefix, at once ------------------------------------------------------------------------- */

/* Changes a list of both sets, which may share it: a copy of a million prefixes for one is too much. */
static int change_lists(struct moat_rulebook *rulebook, bool add, enum moat_list list,
			const struct moat_prefix *prefix)
{
	int (*change)(struct moat_ruleset *, enum moat_list,
		      const struct moat_prefix *) = add ? moat_ruleset_list_add
							: moat_ruleset_list_del;
	struct pair *now = &rulebook->now;
	bool shared = moat_ruleset_list_is_shared(now->live, now->own, list);
	int r;

	if (shared) {
		moat_ruleset_list_clear(now->own, list);
		r = change(now->live, list, prefix);
		moat_ruleset_list_share(now->own, list, now->live);
		return r;
	}
	r = change(now->own, list, prefix);
	if (r != 0)
		return r;
	r = change(now->live, list, prefix);
	if (r != 0)
		(add ? moat_ruleset_list_del : moat_ruleset_list_add)(now->own, list, prefix);
	return r;
}

static int change_now(struct moat_rulebook *rulebook, bool add, enum moat_list list,
		      const struct moat_prefix *prefix, const struct moat_rulebook_ops *ops,
		      int *ret_save_error, struct moat_error *error)
{
	int r;

	if (rulebook->draft.live)
		return -EBUSY;
	r = change_lists(rulebook, add, list, prefix);
	if (r != 0)
		return r;
	rulebook->change_count = 0;
	r = ops->patch(ops->userdata, rulebook->now.live, list, prefix);
	if (r != 0)
		r = ops->commit(ops->userdata, rulebook->now.live, error);
	if (r != 0) {
		/* what a patch began to do nothing of may be left */
		change_lists(rulebook, !add, list, prefix);
		ops->commit(ops->userdata, rulebook->now.live, NULL);
		return r < 0 ? r : -ENOSPC;
	}
	r = moat_ruleset_log(rulebook->state_path, add, list, prefix, error);
	if (r > 0)
		r = moat_ruleset_save(rulebook->now.own, rulebook->state_path, error);
	if (ret_save_error)
		*ret_save_error = r;
	return 0;
}

int moat_rulebook_list_add_now(struct moat_rulebook *rulebook, enum moat_list list,
			       const struct moat_prefix *prefix, const struct moat_rulebook_ops *ops,
			       int *ret_save_error, struct moat_error *error)
{
	if (moat_ruleset_list_has(rulebook->now.live, list, prefix))
		return MOAT_RULESET_EXISTS;
	return change_now(rulebook, true, list, prefix, ops, ret_save_error, error);
}

int moat_rulebook_list_del_now(struct moat_rulebook *rulebook, enum moat_list list,
			       const struct moat_prefix *prefix, const struct moat_rulebook_ops *ops,
			       int *ret_save_error, struct moat_error *error)
{
	if (!moat_ruleset_list_has(rulebook->now.live, list, prefix))
		return -ENOENT;
	if (!moat_ruleset_list_has(rulebook->now.own, list, prefix))
		return -EPERM;
	return change_now(rulebook, false, list, prefix, ops, ret_save_error, error);
}

/* ---- files --------------------------------------------------------------------------------------- */

/* Gives `own` what the file added to the draft: prefixes stand at the end of the lists, or make the list the
 * same as the live one. */
static int take_lists(struct moat_rulebook *rulebook, const size_t before[2])
{
	struct pair *draft = &rulebook->draft;
	int r = 0;

	for (int i = MOAT_LIST_ALLOW; i <= MOAT_LIST_DENY; i++) {
		enum moat_list list = (enum moat_list)i;
		size_t count, own_count;
		const struct moat_prefix *items = moat_ruleset_prefixes(draft->live, list, &count);

		moat_ruleset_prefixes(draft->own, list, &own_count);
		if (own_count == before[list]) {
			/* all that stood was own, so all that stands is */
			moat_ruleset_list_share(draft->own, list, draft->live);
			continue;
		}
		for (size_t at = before[list]; r == 0 && at < count; at++)
			r = moat_ruleset_list_add(draft->own, list, &items[at]);
	}
	return r > 0 ? -ENOSPC : r;
}

/* Gives `own` the rules that the file added, under the same ids. */
static int take_rules(struct moat_rulebook *rulebook)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(rulebook->draft.live, &count);

	for (size_t i = 0; i < count; i++) {
		int r;

		if (moat_ruleset_find(rulebook->now.live, rules[i].id) ||
		    moat_ruleset_find(rulebook->draft.own, rules[i].id))
			continue;
		r = moat_ruleset_add(rulebook->draft.own, &rules[i], NULL);
		if (r != 0)
			return r < 0 ? r : -ENOSPC;
		note(rulebook, MOAT_RULE_ADDED, &rules[i], "loaded");
	}
	return 0;
}

int moat_rulebook_load(struct moat_rulebook *rulebook, const char *path, uint64_t now_ns,
		       struct moat_ruleset_load_report *ret_report, struct moat_error *error)
{
	size_t before[2];
	int r = begin(rulebook);

	if (r < 0)
		return moat_error_set(error, r, "rules: out of memory");
	for (int list = MOAT_LIST_ALLOW; list <= MOAT_LIST_DENY; list++)
		moat_ruleset_prefixes(rulebook->draft.live, (enum moat_list)list, &before[list]);
	r = moat_ruleset_load(rulebook->draft.live, path, MOAT_OWNER_OPERATOR, now_ns, ret_report,
			      error);
	if (r == MOAT_RULESET_FULL)
		r = moat_error_set(error, -ENOSPC, "more than %d rules or %d prefixes",
				   MOAT_RULES_MAX, MOAT_PREFIXES_MAX);
	else if (r == 0 && (take_lists(rulebook, before) < 0 || take_rules(rulebook) < 0))
		r = moat_error_set(error, -ENOMEM, "rules: out of memory");
	if (r < 0) {
		moat_rulebook_drop(rulebook);
		return r;
	}
	rulebook->touched = true;
	return 0;
}

size_t moat_rulebook_expire(struct moat_rulebook *rulebook, uint64_t now_ns)
{
	size_t count, expired = 0;
	const struct moat_rule *rules = moat_ruleset_rules(moat_rulebook_newest(rulebook), &count);

	for (size_t i = 0; i < count; i++)
		expired += rules[i].expires_ns && rules[i].expires_ns <= now_ns;
	if (expired == 0 || begin(rulebook) < 0)
		return 0;
	rules = moat_ruleset_rules(rulebook->draft.live, &count);
	for (size_t i = 0; i < count; i++) {
		if (rules[i].expires_ns && rules[i].expires_ns <= now_ns)
			note(rulebook, MOAT_RULE_EXPIRED, &rules[i], NULL);
	}
	moat_ruleset_expire(rulebook->draft.live, now_ns);
	moat_ruleset_expire(rulebook->draft.own, now_ns);
	return expired;
}

int moat_rulebook_apply(struct moat_rulebook *rulebook, moat_rulebook_commit_fn commit,
			void *userdata, int *ret_save_error, struct moat_error *error)
{
	int r;

	if (!rulebook->touched) {
		moat_rulebook_drop(rulebook);
		return 0;
	}
	r = commit(userdata, rulebook->draft.live, error);
	if (r != 0) {
		moat_rulebook_drop(rulebook);
		return r < 0 ? r : -ENOSPC;
	}
	pair_clear(&rulebook->now);
	rulebook->now = rulebook->draft;
	rulebook->draft = (struct pair){ 0 };
	rulebook->touched = false;
	r = moat_ruleset_save(rulebook->now.own, rulebook->state_path, error);
	if (ret_save_error)
		*ret_save_error = r;
	return 0;
}

int moat_rulebook_save_before(const struct moat_rulebook *rulebook, const char *path,
			      struct moat_error *error)
{
	return moat_ruleset_save(rulebook->now.own, path, error);
}

int moat_rulebook_roll_back(struct moat_rulebook *rulebook, const char *path,
			    const struct moat_config *config, struct moat_error *error)
{
	struct moat_ruleset *own = rulebook->now.own, *before = NULL;
	int r = moat_ruleset_new(&before);

	if (r == 0)
		r = moat_ruleset_restore(before, path, error);
	/* an attack that began or ended meanwhile is nobody's change to confirm */
	if (r == 0 && moat_ruleset_take_owned(before, own, MOAT_RESPOND_OWNER) != 0)
		r = moat_error_set(error, -ENOSPC, "the responder's rules since then don't fit");
	if (r == 0) {
		rulebook->now.own = before;
		r = moat_rulebook_configure(rulebook, config, error);
		rulebook->now.own = own;
		if (r == 0)
			moat_ruleset_clear_sessions(rulebook->draft.live);
	}
	moat_ruleset_free(before);
	return r;
}

int moat_rulebook_add_session(struct moat_rulebook *rulebook, const struct moat_session *session)
{
	int r = begin(rulebook);

	if (r == 0) {
		moat_ruleset_add_session(rulebook->draft.live, session);
		rulebook->touched = true;
	}
	return r;
}

int moat_rulebook_clear_sessions(struct moat_rulebook *rulebook)
{
	int r = begin(rulebook);

	if (r == 0) {
		moat_ruleset_clear_sessions(rulebook->draft.live);
		rulebook->touched = true;
	}
	return r;
}

const struct moat_rule_change *moat_rulebook_changes(const struct moat_rulebook *rulebook,
						     size_t *ret_count)
{
	*ret_count = rulebook->change_count;
	return rulebook->changes;
}

const struct moat_ruleset *moat_rulebook_live(const struct moat_rulebook *rulebook)
{
	return rulebook->now.live;
}

const struct moat_ruleset *moat_rulebook_newest(const struct moat_rulebook *rulebook)
{
	return rulebook->draft.live ? rulebook->draft.live : rulebook->now.live;
}
