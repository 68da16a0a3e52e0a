/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells people of attacks: a report (one JSON object) goes to a script's standard input, to a web hook, or
 * to both, by a thread of its own. Nobody waits for either: reports wait in a bounded queue, and one that
 * finds it full is counted as lost. accepted = sent + failed + waiting, for each receiver by itself.
 */
#ifndef MOAT_CTL_NOTIFY_H
#define MOAT_CTL_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/error.h"

/* Reports that may wait. */
#define MOAT_NOTIFY_QUEUE 256
/* A web hook that doesn't answer is asked so often, 1, 2, ... seconds apart. */
#define MOAT_NOTIFY_TRIES 3
/* What is read of a token file. */
#define MOAT_NOTIFY_TOKEN_MAX 4096

struct moat_notify_options {
	char *script;     /* absolute path of a program, run as moatd's user; NULL: none */
	char *webhook;    /* http: or https: URL; NULL: none */
	char *token_file; /* its first line goes along as "Authorization: Bearer ..."; NULL: none */
	uint64_t timeout_ns; /* for the script, and for each try of the web hook */
};

struct moat_notify_counters {
	uint64_t lost; /* the queue was full */
	uint64_t script_sent, script_failed;
	uint64_t webhook_sent, webhook_failed;
};

struct moat_notify;

/* Starts the thread. Copies what it needs. 0 or a negative errno with the reason. */
int moat_notify_new(const struct moat_notify_options *options, struct moat_notify **ret_notify,
		    struct moat_error *error);

/* Ends the delivery under way, forgets what waits. NULL is allowed. */
void moat_notify_free(struct moat_notify *notify);

/* Takes a copy of a report, one line of JSON without its newline; `words` are what a script gets as
 * arguments (state, kind, subject). One thread at a time. False: lost, counted. */
bool moat_notify_send(struct moat_notify *notify, const char *report, const char *const words[3]);

void moat_notify_counters(const struct moat_notify *notify,
			  struct moat_notify_counters *ret_counters);

/* 0 if the script may be run by root: a regular file that can be executed, owned by root or this user, and
 * changed by nobody else, neither it nor its directory; else -EPERM with the reason. */
int moat_notify_check_script(const char *path, struct moat_error *error);

#endif
