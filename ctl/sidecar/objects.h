/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The BPF objects of bpf/host, loaded side by side: one a family, sharing the maps of the channel (by name;
 * the first object's are given to the others). Objects rather than one linked from all: a family that a
 * kernel refuses, or that isn't wanted, is left out without touching the rest, and each is verified, listed
 * and tested by itself.
 *
 * Programs are switched singly. What the kernel's BTF has no hook for isn't tried; a program that the
 * verifier refuses is left out, with the kernel's words, and its object is loaded again without it. Nothing is
 * attached here.
 */
#ifndef MOAT_CTL_SIDECAR_OBJECTS_H
#define MOAT_CTL_SIDECAR_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include "dataplane/base/error.h"

#define MOAT_OBJECTS_MAX 16
#define MOAT_OBJECTS_REFUSED_MAX 32

/* A constant of the programs (`const volatile`), set wherever an object has it. */
struct moat_objects_constant {
	const char *name;
	uint64_t value; /* the lowest bytes of it, as many as the constant has (4 or 8) */
};

struct moat_objects_options {
	const struct moat_objects_constant *constants;
	uint32_t constant_count;
	uint32_t cpus;    /* entries of event_counters */
	uint32_t cgroups; /* of event_budgets */
};

/* What the kernel didn't take. */
struct moat_objects_refused {
	char name[64];    /* a program, or a family as a whole: "file" */
	char reason[128]; /* the kernel's last words on it */
};

struct moat_objects {
	struct bpf_object *objects[MOAT_OBJECTS_MAX]; /* NULL: left out */
	uint32_t count;
	struct moat_objects_refused refused[MOAT_OBJECTS_REFUSED_MAX];
	uint32_t refused_count; /* all of them; those beyond the bound aren't named */
};

/* Opens and loads. The first object (processes) has to load whole; of others what the kernel takes. 0; -EPERM
 * or -ENOTSUP with the reason, and nothing is loaded. */
int moat_objects_load(const struct moat_objects_options *options, struct moat_objects *ret_objects,
		      struct moat_error *error);
void moat_objects_unload(struct moat_objects *objects);

/* A program that is loaded; NULL: there is none. */
struct bpf_program *moat_objects_program(const struct moat_objects *objects, const char *name);

/* A map by its name, of the first object that has it; -1: none. */
int moat_objects_map(const struct moat_objects *objects, const char *name);

#endif
