/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What moatd needs to be allowed, and giving up the rest. */
#ifndef MOAT_CTL_PRIVILEGE_H
#define MOAT_CTL_PRIVILEGE_H

#include <stdbool.h>

#include "dataplane/base/error.h"

/* -EPERM with the names of the capabilities that are missing; `needs_sockets`: for AF_XDP too. */
int moat_privilege_check(bool needs_sockets, struct moat_error *error);

/* AF_XDP memory is charged to RLIMIT_MEMLOCK: lifts it. A failure shows when the memory is asked for. */
void moat_privilege_raise_limits(void);

/* Keeps what the gate and reloads need (with `asks_for_programs` CAP_SYS_ADMIN too, where it is there: libxdp and
 * net_af_xdp ask for programs by their ids, other DPDK drivers where memory lies) and drops all other capabilities, from the bounding set as well.
 * Capabilities are a thread's own: to be called before the first is made. */
int moat_privilege_drop(bool asks_for_programs, struct moat_error *error);

/* Likewise what moat-sidecar needs: probes, and reading of any process' and cgroup's names. */
int moat_privilege_drop_host(struct moat_error *error);

#endif
