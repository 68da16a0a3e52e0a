/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keeps whoever changes rules from cutting off himself or the prefixes that manage the box: a look at the
 * set that a change would make, before it is in force.
 */
#ifndef MOAT_CTL_GUARD_H
#define MOAT_CTL_GUARD_H

#include <jansson.h>

#include "dataplane/base/error.h"
#include "dataplane/ruleset.h"

/* The connection that a client says it came by, "ssh" of a request's params: the text of SSH_CONNECTION,
 * "CLIENT PORT SERVER PORT". False if there is none, or it can't be read. It is only ever used to protect. */
bool moat_guard_session(const json_t *params, struct moat_session *ret_session);

/* -EPERM with the sentence if `after` stops packets of the session (NULL: there is none) or of a management
 * prefix of its stages that `before` doesn't; else 0. */
int moat_guard_check(const struct moat_ruleset *before, const struct moat_ruleset *after,
		     const struct moat_session *session, struct moat_error *error);

#endif
