/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What can be observed, and by which means: for each type of record the programs that may make it, best
 * first, and what is lost by each. Which one is used is decided by trying (prove.h), never by its loading or
 * attaching: with `bpf` missing from the kernel's list of security modules its programs attach and never run.
 */
#ifndef MOAT_CTL_SIDECAR_FAMILIES_H
#define MOAT_CTL_SIDECAR_FAMILIES_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/sidecar/canary.h"
#include "moat/event.h"

#define MOAT_CANDIDATES_MAX 4

struct moat_candidate {
	enum moat_means means;
	const char *program; /* of an object of bpf/host */
	const char *more;    /* a second one that belongs to it; NULL: none */
	const char *lost;    /* what this one doesn't see; "": nothing known */
};

struct moat_observation {
	uint16_t type;
	bool is_default; /* on unless the configuration says otherwise */
	struct moat_candidate candidates[MOAT_CANDIDATES_MAX]; /* MOAT_MEANS_NONE ends them */
	moat_canary_fn canary; /* does once what is to be seen; NULL: always on, proved by starting */
};

/* Beside starts and ends of processes, which are always on. */
extern const struct moat_observation moat_observations[];
extern const uint32_t moat_observation_count;

/* "lsm", "fentry", "kprobe", "tracepoint", "syscall". */
const char *moat_means_name(enum moat_means means);

/* A set of types, a bit each. */
struct moat_event_set {
	uint64_t words[3];
	bool everything; /* opens and mappings of all files */
};

bool moat_event_set_has(const struct moat_event_set *set, uint16_t type);
void moat_event_set_add(struct moat_event_set *set, uint16_t type);

/* What is on by default. */
void moat_event_set_default(struct moat_event_set *ret_set);

/* Reads "file.open,net,-kernel.bpf,default,all": names, families, "default" and "all" add, '-' before one takes
 * away; "file.open:all" is without its filter. Starts and ends of processes are always in. 0; -EINVAL with
 * the word that isn't known in ret_word (of 64 bytes). */
int moat_event_set_parse(const char *text, struct moat_event_set *ret_set, char *ret_word);

#endif
