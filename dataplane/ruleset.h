/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All that is asked of the gate and the workers: allow and deny prefixes and rules, as the operator
 * sees them. Changing a set changes no packet's verdict; moat_tables_build and the gate's or policy's
 * commit do. One thread at a time.
 */
#ifndef MOAT_DATAPLANE_RULESET_H
#define MOAT_DATAPLANE_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/stage_set.h"
#include "moat/rule.h"

#define MOAT_PREFIXES_MAX 1250000 /* allow and deny, both families */

struct moat_ruleset;

/* 0 or -ENOMEM. */
int moat_ruleset_new(struct moat_ruleset **ret_set);
/* A deep copy: change it, build from it, and keep it only if that worked. 0 or -ENOMEM. */
int moat_ruleset_copy(const struct moat_ruleset *set, struct moat_ruleset **ret_set);
void moat_ruleset_free(struct moat_ruleset *set);
void moat_ruleset_free_cleanup(struct moat_ruleset **set);

enum moat_ruleset_result {
	MOAT_RULESET_FULL = 1,   /* MOAT_RULES_MAX rules or MOAT_PREFIXES_MAX prefixes */
	MOAT_RULESET_EXISTS = 2, /* the same prefix in the same list, or a rule with equal match */
};

/* Adds a rule: gives it an id (unless rule->id is set and free) and a free slot, the one that has been free
 * longest. Owner and comment come with the rule. 0 and *ret_id (may be NULL); FULL; EXISTS with *ret_id of
 * the rule that stands, unchanged; -EINVAL for what
 * moat_rule_parse would refuse; -ENOMEM. Rules that count, sample, challenge or are count-only go on with the
 * next one, so that one of each may have the match of a rule that decides. */
int moat_ruleset_add(struct moat_ruleset *set, const struct moat_rule *rule, uint32_t *ret_id);

/* 0 or -ENOENT. */
int moat_ruleset_del(struct moat_ruleset *set, uint32_t id);

/* Sets a new expiry. 0 or -ENOENT. */
int moat_ruleset_renew(struct moat_ruleset *set, uint32_t id, uint64_t expires_ns);

/* Removes what has expired at now_ns (CLOCK_MONOTONIC). Returns how many. */
size_t moat_ruleset_expire(struct moat_ruleset *set, uint64_t now_ns);

enum moat_list {
	MOAT_LIST_ALLOW,
	MOAT_LIST_DENY
};

/* 0, FULL, EXISTS or -ENOMEM. Family ANY is refused with -EINVAL: it names no prefix; so are bits set
 * behind the length. */
int moat_ruleset_list_add(struct moat_ruleset *set, enum moat_list list,
			  const struct moat_prefix *prefix);
/* 0, -ENOENT or -ENOMEM. */
int moat_ruleset_list_del(struct moat_ruleset *set, enum moat_list list,
			  const struct moat_prefix *prefix);

/* Duplicate lines that a report names. */
#define MOAT_DUPLICATES_NAMED 8

struct moat_ruleset_load_report {
	size_t lines;                                  /* read */
	size_t rules;                                  /* added */
	size_t allowed;                                /* allow prefixes added */
	size_t denied;                                 /* deny prefixes added */
	size_t duplicates;                             /* lines that say what stands already */
	size_t duplicate_lines[MOAT_DUPLICATES_NAMED]; /* numbers of the first of them */
	size_t errors;
};

/* Adds what a file says, one entry a line: a bare prefix (denied: the form of public blocklists),
 * "allow PREFIX", "deny PREFIX", or a rule as in dataplane/rule.h. '#' and ';' begin comments. `owner`
 * is set on its rules. All or nothing: on a bad line the set is unchanged, the error names up to five
 * lines as "FILE:LINE: why". A bare prefix of length 0 is a bad line: "deny 0.0.0.0/0" says it. 0, FULL,
 * -EINVAL, -ENOMEM, or what opening it failed with. *ret_report (may be NULL) is set whenever the file
 * could be read, also with errors; reading ends after 1,000 of them. A pipe or a device is -EINVAL. */
int moat_ruleset_load(struct moat_ruleset *set, const char *path, const char *owner, uint64_t now_ns,
		      struct moat_ruleset_load_report *ret_report, struct moat_error *error);

void moat_ruleset_list_clear(struct moat_ruleset *set, enum moat_list list);

/* Gives `set` the list of `from`, whose contents they share until one of them changes. */
void moat_ruleset_list_share(struct moat_ruleset *set, enum moat_list list,
			     const struct moat_ruleset *from);
bool moat_ruleset_list_is_shared(const struct moat_ruleset *a, const struct moat_ruleset *b,
				 enum moat_list list);

/* Writes the set to `path` atomically (temporary file, fsync, rename; mode 0600) in the form that
 * moat_ruleset_restore reads: with ids, owners, comments and expiry as wall-clock time. */
int moat_ruleset_save(const struct moat_ruleset *set, const char *path, struct moat_error *error);

/* Notes that one prefix came into a list of the set saved at `path`, or left it (`path`.log, synced to disk): what
 * a million prefixes are too many to be written again for. 0; MOAT_RULESET_FULL: 10,000 are noted, save the
 * set instead; or a negative errno. */
int moat_ruleset_log(const char *path, bool added, enum moat_list list,
		     const struct moat_prefix *prefix, struct moat_error *error);

/* Replaces an empty set by what was saved and noted since; what has expired meanwhile is left out. -ENOENT if there is
 * no such file. */
int moat_ruleset_restore(struct moat_ruleset *set, const char *path, struct moat_error *error);

/* Replaces the rules of an owner by those that another set has of him, under their ids where those are free. 0,
 * FULL or -ENOMEM, after which some may be missing. */
int moat_ruleset_take_owned(struct moat_ruleset *set, const struct moat_ruleset *from,
			    const char *owner);

/* Rules by position (priority, then id). Valid until the next change. */
const struct moat_rule *moat_ruleset_rules(const struct moat_ruleset *set, size_t *ret_count);
const struct moat_rule *moat_ruleset_find(const struct moat_ruleset *set, uint32_t id);
bool moat_ruleset_list_has(const struct moat_ruleset *set, enum moat_list list,
			   const struct moat_prefix *prefix);
const struct moat_prefix *moat_ruleset_prefixes(const struct moat_ruleset *set, enum moat_list list,
						size_t *ret_count);

/* What the other stages do. The set takes a reference of its own; NULL: nothing. */
void moat_ruleset_set_stages(struct moat_ruleset *set, struct moat_stage_set *stages);
void moat_ruleset_share_stages(struct moat_ruleset *set, const struct moat_ruleset *from);
const struct moat_stage_set *moat_ruleset_stages(const struct moat_ruleset *set); /* may be NULL */

/* A connection that nothing may cut. The oldest of MOAT_SESSIONS_MAX makes room. 0; EXISTS, which makes it
 * the youngest. */
int moat_ruleset_add_session(struct moat_ruleset *set, const struct moat_session *session);
void moat_ruleset_clear_sessions(struct moat_ruleset *set);
const struct moat_session *moat_ruleset_sessions(const struct moat_ruleset *set, size_t *ret_count);

#endif
