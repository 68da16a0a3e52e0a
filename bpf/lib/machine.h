/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet program asks the machine: the time and the CPU it runs on. Included by this name alone and
 * found by the search path, so that an object can be built in which both are given from outside
 * (tests/oracle/replay), from the same sources.
 */
#ifndef MOAT_LIB_MACHINE_H
#define MOAT_LIB_MACHINE_H

#include <bpf/bpf_helpers.h>

/* The judge's clock: jiffies. */
MOAT_INLINE __u64 moat_machine_ticks(void)
{
	return bpf_jiffies64();
}

MOAT_INLINE __u32 moat_machine_cpu(void)
{
	return bpf_get_smp_processor_id();
}

#endif
