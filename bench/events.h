/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both sides of bench events agree on. */
#ifndef MOAT_BENCH_EVENTS_H
#define MOAT_BENCH_EVENTS_H

#define EVENTS_PRODUCERS 2
#define EVENTS_PATH_LEN 128
#define EVENTS_BARE_MAX 1024 /* bytes of a bare record */

#endif
