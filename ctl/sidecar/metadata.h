/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Looks for what is known of containers where the runtimes keep it: dockerd, containerd's tasks,
 * containers/storage (podman, CRI-O), runc, crun. What isn't there yet is looked for again, up to 2 s; what
 * an OCI hook tells comes first.
 */
#ifndef MOAT_CTL_SIDECAR_METADATA_H
#define MOAT_CTL_SIDECAR_METADATA_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "ctl/sidecar/container.h"

#define MOAT_METADATA_PENDING \
	256 /* containers looked for at a time; beyond, none is known of them */

struct moat_metadata;

/* What a container is, or that nothing was found: `facts` NULL. Borrowed. */
typedef void (*moat_metadata_fn)(void *userdata, const char *id, json_t *facts);

struct moat_metadata_counters {
	uint64_t found, unknown; /* containers */
	uint64_t late;           /* of those found: not at the first look */
	uint64_t refused;        /* files that were too long, no JSON, or led astray */
	uint64_t crowded;        /* MOAT_METADATA_PENDING were looked for */
};

/* `root` stands before every path, "" for the host's own; kept by the caller. 0 or -ENOMEM. */
int moat_metadata_new(const char *root, moat_metadata_fn handler, void *userdata,
		      struct moat_metadata **ret_metadata);
void moat_metadata_free(struct moat_metadata *metadata);

/* A container was seen: looks for it at once, and calls the handler, unless it was looked for before. */
void moat_metadata_see(struct moat_metadata *metadata, const struct moat_container *container,
		       uint64_t now_ns);

/* Looks again for what wasn't there. */
void moat_metadata_advance(struct moat_metadata *metadata, uint64_t now_ns);

/* Takes an OCI state (runtime-spec, runtime.md "State") as a hook got it, and reads its bundle. *ret_id and
 * *ret_pid (0: none) name the container; the handler is called. 0 or -EBADMSG. */
int moat_metadata_hook(struct moat_metadata *metadata, const char *state, size_t length,
		       char ret_id[MOAT_CONTAINER_ID_LEN], uint32_t *ret_pid);

/* The container of a cgroup whose path carries no long id: a runc or crun container whose state names just
 * this cgroup. True with id and runtime set. */
bool moat_metadata_identify(struct moat_metadata *metadata, const char *path,
			    struct moat_container *container);

void moat_metadata_counters(const struct moat_metadata *metadata,
			    struct moat_metadata_counters *ret_counters);

#endif
