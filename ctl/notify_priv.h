/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The two receivers of reports. Nobody but notify*.c includes this. */
#ifndef MOAT_CTL_NOTIFY_PRIV_H
#define MOAT_CTL_NOTIFY_PRIV_H

#include <stdatomic.h>
#include <stddef.h>

#include "ctl/notify.h"

struct moat_notify_report {
	const char *words[3];
	size_t length; /* of json, with its newline */
	char json[];   /* and the words behind it */
};

/* Runs the program with the report's words as arguments and its JSON as standard input. 0 if it ended with
 * status 0; -ETIME: it was killed when its time was up or *stop was set; -ECHILD: another end; or why it
 * didn't start. What went wrong is logged. */
int moat_notify_run(const char *path, const struct moat_notify_report *report, uint64_t timeout_ns,
		    const atomic_bool *stop);

struct moat_notify_web;

int moat_notify_web_new(const struct moat_notify_options *options, struct moat_notify_web **ret_web,
			struct moat_error *error);
void moat_notify_web_free(struct moat_notify_web *web);

/* 0 if the server answered with a status of 200 to 299, after at most MOAT_NOTIFY_TRIES; else a negative
 * errno, and what went wrong is logged, without what may be secret in the URL. */
int moat_notify_web_post(struct moat_notify_web *web, const char *json, const atomic_bool *stop);

#endif
