/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What AF_XDP ports are measured against: libxdp's own loops, as in the kernel's examples. They receive into one
 * socket and give the frame back, or send it on by another that shares the memory, and don't even look at
 * it. */
#ifndef MOAT_BENCH_PORT_BARE_H
#define MOAT_BENCH_PORT_BARE_H

#include <stdint.h>

#include "dataplane/base/error.h"

struct bench_bare;

/* Queue 0 of `in`, which gets an XDP program that hands everything over; frames leave by queue 0 of `out`, or
 * NULL: nowhere. 0 or a negative errno with its sentence. */
int bench_bare_open(const char *in, const char *out, struct bench_bare **ret_bare,
		    struct moat_error *error);
void bench_bare_close(struct bench_bare *bare);

/* The loop, on one CPU. 0 or a negative errno. */
int bench_bare_start(struct bench_bare *bare, int cpu);
void bench_bare_stop(struct bench_bare *bare);
/* Frames received so far. Any thread. */
uint64_t bench_bare_received(const struct bench_bare *bare);

#endif
