/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The far end of the sidecar's link: takes messages and acknowledges them, in a thread, as cheaply as can
 * be, since moatd's own work isn't what is measured. */
#ifndef MOAT_BENCH_EVENTS_LINK_H
#define MOAT_BENCH_EVENTS_LINK_H

#include <stdbool.h>

#include "bench/events_run.h"

struct events_link;

/* `waits`: reads the messages and notes how long each event was under way. 0 or a negative errno. */
int events_link_start(bool waits, struct events_link **ret_link);

/* Of the socket that it listens on. */
const char *events_link_path(const struct events_link *link);

/* Ends the thread, removes the socket and puts what was measured into *result. NULL is allowed. */
void events_link_stop(struct events_link *link, struct events_result *result);

#endif
