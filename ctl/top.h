/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who gets and who sends most right now: the difference between two looks at the cells. */
#ifndef MOAT_CTL_TOP_H
#define MOAT_CTL_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/wire.h"
#include "dataplane/gate.h"

#define MOAT_TOP_HOSTS_MAX 100

/* A host's traffic in one direction, a second. */
struct moat_top_host {
	struct moat_addr addr;
	double pps, mbps, dropped, syn, udp, icmp;
};

struct moat_top;

/* Gate and workers outlive it. 0 or -ENOMEM. */
int moat_top_new(const struct moat_gate *gate, bool has_gateway, const struct moat_wire *wire,
		 struct moat_top **ret_top);
void moat_top_free(struct moat_top *top);

/* Looks again if the last look is 200 ms old or more. */
void moat_top_update(struct moat_top *top, uint64_t now_ns);

/* The hosts of the last two looks, most packets first; `to`: as destinations. Valid until the next
 * update. */
const struct moat_top_host *moat_top_hosts(const struct moat_top *top, bool to, size_t *ret_count);
/* Time between the two looks; 0 before the second, and after a pause of more than MOAT_CELL_SPAN_NS. */
uint64_t moat_top_interval_ns(const struct moat_top *top);

#endif
