/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the gate of the differential test takes from the test instead of the machine. */
#ifndef MOAT_TESTS_REPLAY_INPUTS_H
#define MOAT_TESTS_REPLAY_INPUTS_H

struct replay_inputs {
	__u64 ticks; /* of the gate's clock */
	__u32 cpu;   /* whose counters and shares it uses */
	__u32 reserved;
};

#endif
