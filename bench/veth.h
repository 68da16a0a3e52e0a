/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pairs of veths for benches that send live frames, in a network namespace of the bench's own. */
#ifndef MOAT_BENCH_VETH_H
#define MOAT_BENCH_VETH_H

#include <stdint.h>

#include "dataplane/base/error.h"

/* Makes a pair, both ends up. 0 or a negative errno with its sentence. */
int bench_veth_make(const char *in, const char *out, struct moat_error *error);

/* Frames that the interface has received so far, XDP's included, modulo 2^32; 0 if there is none of the
 * name. Of this thread's network namespace. */
uint32_t bench_veth_received(const char *name);

#endif
