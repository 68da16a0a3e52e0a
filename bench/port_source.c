/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench/port_source.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#define FLOWS 1024
#define SLICE 16384 /* frames a call: about 10 ms */
#define BATCH 64    /* frames that the kernel hands over together */

static void fill(struct gate_pool_v4 *pool)
{
	for (uint32_t i = 0; i < GATE_POOL; i++) {
		uint32_t flow = i * 2654435761u >> 16 & (FLOWS - 1);

		pool[i] = (struct gate_pool_v4){
			.src = htonl(0x0a000000 + flow / 4),
			.dst = htonl(0x0ac80000 + flow % 16),
			.sport = htons((uint16_t)(32768 + flow)),
			.dport = htons(443),
		};
	}
}

int bench_source_init(struct bench_source *source, const char *idle, int cpu,
		      struct moat_error *error)
{
	int r = gate_drive_init(&source->drive, error);

	if (r < 0)
		return r;
	source->cpu = cpu;
	fill(gate_drive_pool_v4(&source->drive));
	source->prog_fd = gate_drive_live_fd(&source->drive, GATE_DRIVER_V4, 0, false);
	/* a program that is attached somewhere needn't be made known to the kernel at each run */
	r = bpf_xdp_attach((int)if_nametoindex(idle), source->prog_fd, XDP_FLAGS_DRV_MODE, NULL);
	return r < 0 ? moat_error_set(error, r, "attaching to %s: %s", idle, strerror(-r)) : 0;
}

void bench_source_deinit(struct bench_source *source)
{
	gate_drive_deinit(&source->drive);
}

static void *source_main(void *userdata)
{
	struct bench_source *source = userdata;
	uint8_t frame[GATE_FRAME_V4] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = SLICE, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	cpu_set_t cpus;
	int r = 0;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)source->cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	while (r == 0 && !atomic_load(&source->stop)) {
		r = bpf_prog_test_run_opts(source->prog_fd, &opts);
		atomic_fetch_add(&source->sent, SLICE);
	}
	atomic_store(&source->error, r);
	return NULL;
}

int bench_source_start(struct bench_source *source, const char *interface)
{
	source->prog_fd = gate_drive_live_fd(&source->drive, GATE_DRIVER_V4,
					     if_nametoindex(interface), false);
	atomic_store(&source->stop, false);
	atomic_store(&source->sent, 0);
	return -pthread_create(&source->thread, NULL, source_main, source);
}

int bench_source_stop(struct bench_source *source)
{
	atomic_store(&source->stop, true);
	pthread_join(source->thread, NULL);
	return atomic_load(&source->error);
}
