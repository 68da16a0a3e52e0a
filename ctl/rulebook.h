/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that is asked of the gate, by whom, and how it changes: the configuration's lists and files,
 * the operator's rules, the responder's. Changes are collected in a draft, which is put in force as a
 * whole or not at all; what doesn't come from the configuration is kept in the state directory.
 */
#ifndef MOAT_CTL_RULEBOOK_H
#define MOAT_CTL_RULEBOOK_H

#include <stddef.h>
#include <stdint.h>

#include "ctl/config.h"
#include "dataplane/base/error.h"
#include "dataplane/ruleset.h"

#define MOAT_OWNER_CONFIG "config"
#define MOAT_OWNER_OPERATOR "operator"
#define MOAT_OWNER_BAN "ban" /* an operator's, by moat ban */

enum moat_rule_change_kind {
	MOAT_RULE_ADDED,
	MOAT_RULE_RENEWED,
	MOAT_RULE_REMOVED,
	MOAT_RULE_EXPIRED,
};

struct moat_rule_change {
	enum moat_rule_change_kind kind;
	struct moat_rule rule; /* as it was put in force, or stood before its removal */
	char why[48];          /* empty: nothing to add */
};

struct moat_rulebook;

/* Puts a set in force in gate and workers; a failure leaves the one before. */
typedef int (*moat_rulebook_commit_fn)(void *userdata, const struct moat_ruleset *set,
				       struct moat_error *error);

/* Reads `state_path` (copied) if it is there. 0; -ENOMEM; or what restoring it failed with. */
int moat_rulebook_new(const char *state_path, struct moat_rulebook **ret_rulebook,
		      struct moat_error *error);
void moat_rulebook_free(struct moat_rulebook *rulebook);

/* Drafts a set from a configuration and what operator and responder have asked for; a draft that was
 * begun is dropped first. Lists and files are read here: on failure nothing has changed. */
int moat_rulebook_configure(struct moat_rulebook *rulebook, const struct moat_config *config,
			    struct moat_error *error);

/* Changes to the draft, which begins with the first of them. As their namesakes of dataplane/ruleset.h;
 * -ENOMEM if no draft could be begun. */
int moat_rulebook_add(struct moat_rulebook *rulebook, const struct moat_rule *rule,
		      uint32_t *ret_id);
int moat_rulebook_del(struct moat_rulebook *rulebook, uint32_t id, const char *why);
int moat_rulebook_renew(struct moat_rulebook *rulebook, uint32_t id, uint64_t expires_ns);
int moat_rulebook_list_add(struct moat_rulebook *rulebook, enum moat_list list,
			   const struct moat_prefix *prefix);
/* -EPERM: the prefix stands in the configuration, which has to be changed instead. */
int moat_rulebook_list_del(struct moat_rulebook *rulebook, enum moat_list list,
			   const struct moat_prefix *prefix);
/* Puts one change of a list in force at once in the live set, by `patch`, where that is possible without a
 * rebuild, else by `commit` (struct moat_rulebook_ops). Not while there is a draft: -EBUSY. */
struct moat_rulebook_ops {
	moat_rulebook_commit_fn commit;
	/* 0, or a positive number: it takes a commit */
	int (*patch)(void *userdata, const struct moat_ruleset *set, enum moat_list list,
		     const struct moat_prefix *prefix);
	void *userdata;
};
/* As moat_rulebook_list_add and _del, and moat_rulebook_apply. */
int moat_rulebook_list_add_now(struct moat_rulebook *rulebook, enum moat_list list,
			       const struct moat_prefix *prefix, const struct moat_rulebook_ops *ops,
			       int *ret_save_error, struct moat_error *error);
int moat_rulebook_list_del_now(struct moat_rulebook *rulebook, enum moat_list list,
			       const struct moat_prefix *prefix, const struct moat_rulebook_ops *ops,
			       int *ret_save_error, struct moat_error *error);

/* All that a file says, as the operator's. */
int moat_rulebook_load(struct moat_rulebook *rulebook, const char *path, uint64_t now_ns,
		       struct moat_ruleset_load_report *ret_report, struct moat_error *error);
/* Drafts the removal of what has expired. Returns how many rules. */
size_t moat_rulebook_expire(struct moat_rulebook *rulebook, uint64_t now_ns);

/* Puts the draft in force by `commit` and saves it. 0, also without a draft; a failure drops the draft.
 * A state file that can't be written is no failure: *ret_save_error (may be NULL) is set and the rules
 * stand. The changes stay readable until the next draft begins. */
int moat_rulebook_apply(struct moat_rulebook *rulebook, moat_rulebook_commit_fn commit,
			void *userdata, int *ret_save_error, struct moat_error *error);
void moat_rulebook_drop(struct moat_rulebook *rulebook);
/* True if there is a draft to apply. */
bool moat_rulebook_is_changed(const struct moat_rulebook *rulebook);

/* What the last apply changed, rule by rule. */
const struct moat_rule_change *moat_rulebook_changes(const struct moat_rulebook *rulebook,
						     size_t *ret_count);

/* Saves what operator and responder have asked for, also without a change. */
int moat_rulebook_save_before(const struct moat_rulebook *rulebook, const char *path,
			      struct moat_error *error);
/* Drafts what was saved so, with the configuration and the responder's rules as they are now. On failure nothing has
 * changed. */
int moat_rulebook_roll_back(struct moat_rulebook *rulebook, const char *path,
			    const struct moat_config *config, struct moat_error *error);
/* Drafts a connection that nothing may cut, or that there is none. 0 or -ENOMEM. */
int moat_rulebook_add_session(struct moat_rulebook *rulebook, const struct moat_session *session);
int moat_rulebook_clear_sessions(struct moat_rulebook *rulebook);

/* The set in force. Never NULL. */
const struct moat_ruleset *moat_rulebook_live(const struct moat_rulebook *rulebook);
/* The draft, or the set in force if there is none. */
const struct moat_ruleset *moat_rulebook_newest(const struct moat_rulebook *rulebook);

#endif
