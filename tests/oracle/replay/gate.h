/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate of the differential test: its own program, from its own sources, with time and CPU as given
 * (bpf/lib/machine.h), fed by BPF_PROG_TEST_RUN.
 */
#ifndef MOAT_TESTS_REPLAY_GATE_H
#define MOAT_TESTS_REPLAY_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/progrun/gate_fixture.h"

#define REPLAY_CPUS \
	2 /* that packets may seem to come on; as many as the machine has at least, or 1 */

struct replay_gate {
	uint32_t linear; /* bytes of the next frames in their first buffer; 0: all */
	struct gate_fixture fixture;
	struct replay_inputs *inputs;        /* mapped */
	struct moat_gate_counters *counters; /* of each CPU, mapped */
	size_t counters_stride;
	uint32_t cpus;
	struct moat_sample sample; /* of the last packet */
	int samples;               /* of it */
	uint8_t answer[2048];      /* the frame as it came back */
	uint32_t answer_length;
};

/* Opens it at the replay clock's time. Skips the program (77) where BPF can't be used. */
void replay_gate_open(struct replay_gate *gate, const struct moat_gate_options *options);
void replay_gate_close(struct replay_gate *gate);

/* Loads the port's program again, with these stages (MOAT_STAGE_NONE among them). */
void replay_gate_reload(struct replay_gate *gate, uint32_t stages, bool fail_closed);

/* One frame on `cpu` at the replay clock's time. Returns the XDP action, or -1. */
int replay_gate_run(struct replay_gate *gate, uint32_t cpu, const void *frame, size_t length);

/* The counters that one CPU has now. */
const struct moat_gate_counters *replay_gate_counters(const struct replay_gate *gate, uint32_t cpu);

#endif
