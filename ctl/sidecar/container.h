/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which container a cgroup belongs to. The kernel names a cgroup by number; its path on cgroup2 carries
 * the id that the runtime gave (systemd's and cgroupfs' forms of docker, containerd, CRI-O, podman).
 */
#ifndef MOAT_CTL_SIDECAR_CONTAINER_H
#define MOAT_CTL_SIDECAR_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#define MOAT_CONTAINER_ID_LEN 65
#define MOAT_CONTAINER_PATH_LEN 512

struct moat_container {
	uint64_t cgroup_id;
	char path[MOAT_CONTAINER_PATH_LEN]; /* below the mount, "/system.slice/…"; empty: not known (gone, or
					     * longer than this) */
	char id[MOAT_CONTAINER_ID_LEN]; /* 64 hexadecimal digits; empty: no container */
	char runtime[12]; /* "docker", "containerd", "crio", "podman"; empty: not told */
	char pod[37];     /* Kubernetes pod's UID; empty: none */
};

/* Finds id, runtime and pod in a cgroup's path; cgroups below the container's belong to it. False: none,
 * and the three are empty. */
bool moat_container_parse(const char *path, struct moat_container *ret_container);

struct moat_containers;

/* Finds the cgroup2 mount. 0; -ENOENT: there is none, and every path stays unknown; -ENOMEM. */
int moat_containers_new(struct moat_containers **ret_containers);
void moat_containers_free(struct moat_containers *containers);

/* The container of a cgroup, looked up once and remembered (up to 4,096 of them). Never NULL; valid until
 * the next call. Needs CAP_DAC_READ_SEARCH. */
const struct moat_container *moat_containers_find(struct moat_containers *containers,
						  uint64_t cgroup_id);

#endif
