/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a rule set holds: for ruleset*.c alone. */
#ifndef MOAT_DATAPLANE_RULESET_BODY_H
#define MOAT_DATAPLANE_RULESET_BODY_H

#include "dataplane/prefixes.h"
#include "dataplane/ruleset.h"

struct moat_ruleset {
	struct moat_prefixes lists[2]; /* by enum moat_list */
	size_t count;
	struct moat_rule rules[MOAT_RULES_MAX]; /* by position */
	/* The slots of no rule, MOAT_RULES_MAX - count of them, the longest free first: what still
	 * arrives for a deleted rule isn't counted for the next one. */
	uint16_t free_slots[MOAT_RULES_MAX];
	uint32_t next_id;
	struct moat_stage_set *stages; /* shared with copies; NULL: none */
	struct moat_session sessions[MOAT_SESSIONS_MAX];
	size_t session_count;
};

/* As moat_ruleset_add, into `slot` if that is free. */
int moat_ruleset_put(struct moat_ruleset *set, const struct moat_rule *rule, uint32_t slot,
		     uint32_t *ret_id);

/* Does what was noted to the set saved at `path` (moat_ruleset_log). 0, also without notes. */
int moat_ruleset_log_replay(struct moat_ruleset *set, const char *path, struct moat_error *error);
/* Forgets it: the set was saved anew. */
void moat_ruleset_log_remove(const char *path);

/* Gives the contents of `from` to `set`; `from` may only be freed then. */
void moat_ruleset_replace(struct moat_ruleset *set, struct moat_ruleset *from);

#endif
