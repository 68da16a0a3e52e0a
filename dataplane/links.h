/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The interfaces of this network namespace, kept up to date by the kernel's link events (rtnetlink(7),
 * RTMGRP_LINK): ports by pattern follow it. A table, not a stream: who reads late sees what there is now,
 * and events that the kernel had to drop are made good by asking for all of it again.
 */
#ifndef MOAT_DATAPLANE_LINKS_H
#define MOAT_DATAPLANE_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"

struct moat_link {
	char name[16];
	int ifindex;
	uint8_t mac[6]; /* zeros if it has no Ethernet address */
	uint32_t mtu;
	uint32_t flags; /* IFF_* */
	uint32_t seen;  /* by which asking: the table's own */
};

struct moat_links_counters {
	uint64_t appeared, vanished; /* interfaces, since the table was made */
	uint64_t overruns;           /* times that the kernel dropped events and was asked anew */
};

struct moat_links;

/* Opens the socket and asks for all interfaces. *ret_links is the caller's. 0 or a negative errno. */
int moat_links_new(struct moat_links **ret_links, struct moat_error *error);
/* NULL is allowed. */
void moat_links_free(struct moat_links *links);

/* Readable when there is news. */
int moat_links_fd(const struct moat_links *links);

/* Takes the news without waiting: 1 if the table has changed, 0 if not, or a negative errno, with which the
 * table stays as far as it came. */
int moat_links_update(struct moat_links *links);

/* The table, in no order; valid until the next update. */
const struct moat_link *moat_links_all(const struct moat_links *links, size_t *ret_count);
/* NULL: there is none of that name. */
const struct moat_link *moat_links_find(const struct moat_links *links, const char *name);

void moat_links_counters(const struct moat_links *links, struct moat_links_counters *ret_counters);

#endif
