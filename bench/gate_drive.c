/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

#include "bench/gate_drive_run.h"
#include "bench/gate_mix.h"
#include "dataplane/base/clock.h"
#include "moat/challenge.h"

#include "bench_drive.skel.h" /* uses the types of gate_drive.h */

int gate_drive_init(struct gate_drive *drive, struct moat_error *error)
{
	struct bench_drive *s = bench_drive__open_and_load();

	drive->skeleton = s;
	if (!s)
		return moat_error_set(error, -errno, "loading the bench's programs: %s",
				      strerror(errno));
	gate_mix_template_v4(s->bss->template_v4);
	gate_mix_template_v6(s->bss->template_v6);
	gate_mix_template_vxlan(s->bss->template_vxlan);
	drive->bare_fds[GATE_DRIVER_V4] = bpf_program__fd(s->progs.bare);
	drive->bare_fds[GATE_DRIVER_V6] = bpf_program__fd(s->progs.bare);
	drive->bare_fds[GATE_DRIVER_VXLAN] = bpf_program__fd(s->progs.bare);
	drive->bare_fds[GATE_DRIVER_PLAIN] = bpf_program__fd(s->progs.bare_plain);
	drive->miss_fds[0] = bpf_program__fd(s->progs.miss1);
	drive->miss_fds[1] = bpf_program__fd(s->progs.miss2);
	drive->miss_fds[2] = bpf_program__fd(s->progs.miss3);
	drive->miss_fds[3] = bpf_program__fd(s->progs.miss4);
	drive->cookie_fds[0] = bpf_program__fd(s->progs.cookie_kernel);
	drive->cookie_fds[1] = bpf_program__fd(s->progs.cookie_siphash);
	return 0;
}

void gate_drive_set_flags(struct gate_drive *drive, uint8_t flags)
{
	drive->skeleton->bss->template_v4[34 + 13] = flags;
	drive->skeleton->bss->template_v6[54 + 13] = flags;
	drive->skeleton->bss->template_vxlan[GATE_VXLAN_HEAD + 34 + 13] = flags;
}

void gate_drive_deinit(struct gate_drive *drive)
{
	bench_drive__destroy(drive->skeleton);
	drive->skeleton = NULL;
}

struct gate_pool_v4 *gate_drive_pool_v4(struct gate_drive *drive)
{
	return drive->skeleton->bss->pool_v4;
}

struct gate_pool_v6 *gate_drive_pool_v6(struct gate_drive *drive)
{
	return drive->skeleton->bss->pool_v6;
}

double gate_drive_run(struct gate_drive *drive, enum gate_driver driver, int prog_fd, bool hot)
{
	struct bench_drive *s = drive->skeleton;
	const struct bpf_program *drivers[] = { s->progs.drive_v4, s->progs.drive_v6,
						s->progs.drive_plain, s->progs.drive_vxlan };
	static const uint32_t sizes[] = { GATE_FRAME_V4, GATE_FRAME_V6, GATE_FRAME_V4,
					  GATE_FRAME_VXLAN };
	const struct bpf_map *target = driver == GATE_DRIVER_PLAIN ? s->maps.target_plain
								   : s->maps.target;
	uint8_t frame[GATE_FRAME_VXLAN] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .repeat = GATE_POOL,
		    .data_size_in = sizes[driver]);
	uint64_t begin, end;
	uint32_t key = 0;
	int r;

	if (bpf_map_update_elem(bpf_map__fd(target), &key, &prog_fd, BPF_ANY) < 0)
		return NAN;
	s->bss->pool_mask = hot ? 0 : GATE_POOL - 1;
	s->bss->pool_next = 0;
	begin = moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
	r = bpf_prog_test_run_opts(bpf_program__fd(drivers[driver]), &opts);
	end = moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
	return r < 0 ? NAN : (double)(end - begin) / GATE_POOL;
}

int gate_drive_live_fd(struct gate_drive *drive, enum gate_driver driver, unsigned int ifindex,
		       bool hot)
{
	struct bench_drive *s = drive->skeleton;

	s->bss->live_ifindex = ifindex;
	s->bss->pool_mask = hot ? 0 : GATE_POOL - 1;
	s->bss->pool_next = 0;
	return bpf_program__fd(driver == GATE_DRIVER_V6 ? s->progs.drive_live_v6
							: s->progs.drive_live_v4);
}
