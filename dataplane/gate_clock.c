/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The gate's clock: jiffies, read through a program of our own, and their rate, found by watching. */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "clock.skel.h"

#include "dataplane/base/clock.h"
#include "dataplane/gate_internal.h"

/* Long enough for four ticks of the slowest kernel, HZ=100. */
#define WATCH_NS (40 * MOAT_NS_PER_MS)

int moat_gate_clock_read(const struct gate_clock *clock, struct gate_time *ret_time)
{
	struct gate_time time = {};
	/* the kernel writes the context of programs of this type back to where it came from */
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &time, .ctx_size_in = sizeof(time));
	int r = bpf_prog_test_run_opts(bpf_program__fd(clock->skeleton->progs.read_clock), &opts);

	if (r < 0)
		return r;
	*ret_time = time;
	return 0;
}

/* Waits for the counter to step, busily: the step's moment is what counts. */
static int watch_step(const struct gate_clock *clock, struct gate_time *ret_time)
{
	struct gate_time first, time;
	int r = moat_gate_clock_read(clock, &first);

	if (r < 0)
		return r;
	do {
		r = moat_gate_clock_read(clock, &time);
		if (r < 0)
			return r;
		if (time.monotonic_ns - first.monotonic_ns > MOAT_NS_PER_S)
			return -ETIME; /* no tick in a second: not a clock */
	} while (time.jiffies == first.jiffies);
	*ret_time = time;
	return 0;
}

/* The kernel's choices of CONFIG_HZ; what is near one of them is it. */
static uint32_t snap_rate(double measured)
{
	static const uint32_t choices[] = { 100, 250, 300, 1000 };

	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		if (measured > choices[i] * 0.92 && measured < choices[i] * 1.08)
			return choices[i];
	}
	return measured < 1 ? 1 : (uint32_t)(measured + 0.5);
}

static int find_rate(struct gate_clock *clock)
{
	struct gate_time begin, end;
	int r = watch_step(clock, &begin);

	if (r < 0)
		return r;
	do {
		r = watch_step(clock, &end);
		if (r < 0)
			return r;
	} while (end.monotonic_ns - begin.monotonic_ns < WATCH_NS);
	clock->ticks_per_s = snap_rate((double)(end.jiffies - begin.jiffies) * MOAT_NS_PER_S /
				       (double)(end.monotonic_ns - begin.monotonic_ns));
	clock->window_shift = moat_tables_window_shift(clock->ticks_per_s);
	return 0;
}

int moat_gate_clock_open(struct gate_clock *clock, struct moat_error *error)
{
	int r;

	clock->skeleton = clock__open_and_load();
	if (!clock->skeleton) {
		r = -errno;
		if (r == -EPERM)
			return moat_error_set(error, r,
					      "loading BPF programs is not permitted: it needs "
					      "CAP_BPF and CAP_NET_ADMIN (run as root)");
		return moat_error_set(error, -ENOTSUP,
				      "the kernel refuses BPF programs of type syscall (%s): "
				      "5.18 or later with BPF is needed",
				      strerror(-r));
	}
	r = find_rate(clock);
	if (r < 0)
		return moat_error_set(error, r, "the kernel's tick rate can't be found: %s",
				      strerror(-r));
	return 0;
}

void moat_gate_clock_close(struct gate_clock *clock)
{
	clock__destroy(clock->skeleton);
	clock->skeleton = NULL;
}
