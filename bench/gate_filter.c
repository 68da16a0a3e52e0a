/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench/gate_filter.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench/gate_mix.h"
#include "dataplane/base/cleanup.h"

#define OBJECT "/usr/lib/%s-linux-gnu/bpf/%s.o"
/* In a value's lower bits; a counter stands above. */
#define MATCHES_SOURCE 1

static int load(struct gate_filter *filter, const char *object)
{
	struct bpf_program *program;
	struct bpf_map *map;
	struct utsname host;
	char path[160];
	int r;

	if (uname(&host) < 0)
		return -errno;
	snprintf(path, sizeof(path), OBJECT, host.machine, object);
	filter->object = bpf_object__open_file(path, NULL);
	if (!filter->object)
		return -errno;
	bpf_object__for_each_map(map, filter->object)
		bpf_map__set_pin_path(map, NULL); /* or it would share them with the host's */
	bpf_object__for_each_program(program, filter->object)
		bpf_program__set_type(program, BPF_PROG_TYPE_XDP);
	r = bpf_object__load(filter->object);
	program = bpf_object__next_program(filter->object, NULL);
	if (r == 0 && !program)
		r = -ENOENT;
	if (r == 0)
		filter->prog_fd = bpf_program__fd(program);
	return r;
}

/* Every source of the typical mix's listed packets. */
static int fill(struct gate_filter *filter)
{
	int cpus = libbpf_num_possible_cpus(), r = 0;
	int fd = bpf_object__find_map_fd_by_name(filter->object, "filter_ipv4");
	moat_auto_free struct gate_pool_v4 *pool = malloc(GATE_POOL * sizeof(*pool));
	moat_auto_free uint64_t *values = cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;

	if (!pool || !values)
		return -ENOMEM;
	if (fd < 0)
		return fd;
	for (int i = 0; i < cpus; i++)
		values[i] = MATCHES_SOURCE;
	gate_mix_pool_v4(pool, GATE_MIX_TYPICAL, GATE_TRAFFIC_LISTED);
	for (uint32_t i = 0; r == 0 && i < GATE_POOL; i++)
		r = bpf_map_update_elem(fd, &pool[i].src, values, BPF_ANY);
	return r;
}

void gate_filter_init(struct gate_filter *filter, const char *object)
{
	int r;

	filter->prog_fd = -1;
	r = load(filter, object);
	if (r == 0)
		r = fill(filter);
	if (r == 0)
		return;
	filter->prog_fd = -1;
	fprintf(stderr, "gate: skipped %s: %s (package xdp-tools)\n", object, strerror(-r));
}

void gate_filter_deinit(struct gate_filter *filter)
{
	bpf_object__close(filter->object);
	filter->object = NULL;
}
