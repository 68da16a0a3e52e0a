/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which container a cgroup belongs to. The kernel names a cgroup by number (moat/cgroup.h); its path carries
 * the id that the runtime gave (systemd's and cgroupfs' forms of docker, containerd, CRI-O, podman), or
 * somebody is asked who knows it.
 */
#ifndef MOAT_CTL_SIDECAR_CONTAINER_H
#define MOAT_CTL_SIDECAR_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "moat/event.h"

#define MOAT_CONTAINER_ID_LEN 129
#define MOAT_CONTAINER_PATH_LEN 512
#define MOAT_CONTAINER_DEPTH MOAT_CGROUP_ABOVE

struct moat_container {
	uint64_t cgroup_id;
	char path[MOAT_CONTAINER_PATH_LEN]; /* below the mount, "/system.slice/…"; empty: not known (gone, or
					     * longer than this) */
	char id[MOAT_CONTAINER_ID_LEN]; /* 64 hexadecimal digits, or what runc and crun were given; empty: no
					 * container */
	char runtime[12]; /* "docker", "containerd", "crio", "podman", "runc", "crun"; empty: not told */
	char pod[37]; /* Kubernetes pod's UID; empty: none */
	/* numbers of the cgroups above, without the root, the outermost first; what is deeper is left out */
	uint64_t ancestors[MOAT_CONTAINER_DEPTH];
	uint32_t ancestor_count;
};

/* Finds id, runtime and pod in a cgroup's path; cgroups below the container's belong to it. False: none,
 * and the three are empty. */
bool moat_container_parse(const char *path, struct moat_container *ret_container);

struct moat_containers;

/* Finds the mounts of cgroup2 and of version 1's pids and memory hierarchies. 0; -ENOENT: there is none, and
 * every path stays unknown; -ENOMEM. */
int moat_containers_new(struct moat_containers **ret_containers);
void moat_containers_free(struct moat_containers *containers);

/* Asked about paths without a long id: sets id and runtime and returns true if it is a container's. Again
 * for 2 s, since runtimes make the cgroup first. */
typedef bool (*moat_containers_fn)(void *userdata, const char *path,
				   struct moat_container *container);
void moat_containers_ask(struct moat_containers *containers, moat_containers_fn identify,
			 void *userdata);

/* A cgroup was made; it is known from now on, even once it is gone. */
void moat_containers_made(struct moat_containers *containers, const struct moat_event_cgroup *made);

/* The cgroups of process `pid` (a container's, told by its runtime) are container `id`'s. */
void moat_containers_learn(struct moat_containers *containers, uint32_t pid, const char *id);

/* The container of a cgroup, looked up once and remembered (up to 4,096 of them). Never NULL; valid until
 * the next call. Needs CAP_DAC_READ_SEARCH. */
const struct moat_container *moat_containers_find(struct moat_containers *containers,
						  uint64_t cgroup_id);

#endif
