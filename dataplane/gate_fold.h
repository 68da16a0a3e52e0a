/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Load-time constants as numbers. A BPF program reads its `const volatile` settings from memory; the verifier
 * knows what they are and takes out what they rule out, but leaves the reads and tests themselves.
 */
#ifndef MOAT_DATAPLANE_GATE_FOLD_H
#define MOAT_DATAPLANE_GATE_FOLD_H

#include <stddef.h>
#include <stdint.h>

#include <linux/bpf.h>

/* Memory that no longer changes, and by which value pointer to a map (its descriptor) programs reach it. */
struct moat_fold_constants {
	int map_fd;
	const uint8_t *memory;
	size_t size;
};

/*
 * Puts the values of constants where they are read, and what follows from them within a block; what is then
 * of no use becomes `goto +0`, which the kernel leaves out. The number of instructions stays, as do
 * all jumps: what is dead is for the verifier to say, which refuses code that nothing leads to. 0, or
 * -ENOMEM with nothing changed.
 */
int moat_gate_fold(struct bpf_insn *insns, size_t count,
		   const struct moat_fold_constants *constants);

#endif
