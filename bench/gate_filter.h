/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* xdp-filter's own program (xdp-tools) as a yardstick: it knows single addresses, so its list holds the
 * sources of the typical mix that are listed. */
#ifndef MOAT_BENCH_GATE_FILTER_H
#define MOAT_BENCH_GATE_FILTER_H

struct bpf_object;

struct gate_filter {
	struct bpf_object *object;
	int prog_fd; /* -1: not to be had, and the reason was printed */
};

void gate_filter_init(struct gate_filter *filter, const char *object);
void gate_filter_deinit(struct gate_filter *filter);

#endif
