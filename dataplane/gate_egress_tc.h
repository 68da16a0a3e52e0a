/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Our filter on a clsact qdisc: for dataplane/gate_egress.c alone. */
#ifndef MOAT_DATAPLANE_GATE_EGRESS_TC_H
#define MOAT_DATAPLANE_GATE_EGRESS_TC_H

#include <stdbool.h>
#include <stdint.h>

/* What our filters are known by among others of the same priority: "moat". */
#define MOAT_EGRESS_HANDLE 0x6d6f6174u
/* Priorities that are tried in order: the first may belong to a filter of another kind. */
#define MOAT_EGRESS_PRIORITIES 8

/* Puts a program on what comes in from an interface, in place of ours if it is there already. *ret_made: the
 * qdisc was made. 0 or a negative errno. */
int moat_egress_tc_attach(int ifindex, int prog_fd, uint32_t *ret_priority, bool *ret_made);
/* Takes ours off, wherever it is; with `qdisc` also the qdisc, if it has no other filter. */
void moat_egress_tc_detach(int ifindex, bool qdisc);

#endif
