/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/oracle/replay/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "dataplane/gate_internal.h"
#include "tests/oracle/replay/clock.h"
#include "tests/oracle/replay/inputs.h"

__attribute__((noreturn)) static void give_up(const char *what)
{
	perror(what);
	exit(1);
}

/* The map of that name of a program. */
static int map_of(int prog_fd, const char *name)
{
	uint32_t ids[64];
	struct bpf_prog_info program = { .map_ids = (uintptr_t)ids, .nr_map_ids = 64 };
	uint32_t length = sizeof(program);

	if (bpf_obj_get_info_by_fd(prog_fd, &program, &length) < 0)
		give_up("asking for the program's maps");
	for (uint32_t i = 0; i < program.nr_map_ids; i++) {
		struct bpf_map_info map = {};
		int fd = bpf_map_get_fd_by_id(ids[i]);

		length = sizeof(map);
		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &map, &length) == 0 &&
		    strcmp(map.name, name) == 0)
			return fd;
		close(fd);
	}
	give_up(name);
}

static void *map_memory(int prog_fd, const char *name, size_t size, int protection)
{
	int fd = map_of(prog_fd, name);
	void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		give_up(name);
	close(fd);
	return memory;
}

static void map_inputs(struct replay_gate *gate)
{
	if (gate->inputs)
		munmap(gate->inputs, (size_t)sysconf(_SC_PAGESIZE));
	gate->inputs = map_memory(gate->fixture.prog_fd, "replay_inputs",
				  (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE);
}

void replay_gate_open(struct replay_gate *gate, const struct moat_gate_options *options)
{
	memset(gate, 0, sizeof(*gate));
	gate_fixture_open(&gate->fixture, options);
	map_inputs(gate);
	gate->cpus = moat_gate_cpus(gate->fixture.gate);
	if (gate->cpus > REPLAY_CPUS)
		gate->cpus = REPLAY_CPUS;
	gate->counters_stride = moat_gate_map_stride(sizeof(struct moat_gate_counters));
	gate->counters = map_memory(gate->fixture.prog_fd, "port_counters",
				    moat_gate_map_length(sizeof(struct moat_gate_counters),
							 moat_gate_cpus(gate->fixture.gate)),
				    PROT_READ);
}

void replay_gate_reload(struct replay_gate *gate, uint32_t stages, bool fail_closed)
{
	const struct moat_gate_port_options options = {
		.name = "lo", .generic = true, .stages = stages, .fail_closed = fail_closed
	};
	struct moat_error error = {};

	if (moat_gate_attach(gate->fixture.gate, &options, &gate->fixture.port, &error) < 0) {
		fprintf(stderr, "loading the gate again: %s\n", error.text);
		exit(1);
	}
	gate->fixture.prog_fd = moat_gate_prog_fd(gate->fixture.gate, gate->fixture.port.index);
	map_inputs(gate);
}

void replay_gate_close(struct replay_gate *gate)
{
	munmap(gate->inputs, (size_t)sysconf(_SC_PAGESIZE));
	munmap(gate->counters, moat_gate_map_length(sizeof(struct moat_gate_counters),
						    moat_gate_cpus(gate->fixture.gate)));
	gate_fixture_close(&gate->fixture);
}

static void keep_sample(void *userdata, const struct moat_sample *sample)
{
	struct replay_gate *gate = userdata;

	gate->sample = *sample;
}

int replay_gate_run(struct replay_gate *gate, uint32_t cpu, const void *frame, size_t length)
{
	struct xdp_md context = { .data_end = 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)length,
		    .data_out = gate->answer, .data_size_out = sizeof(gate->answer), .repeat = 1);

	if (gate->linear && gate->linear < length) {
		context.data_end = gate->linear;
		opts.ctx_in = &context;
		opts.ctx_size_in = sizeof(context);
	}
	gate->inputs->ticks = replay_clock_ticks();
	gate->inputs->cpu = cpu;
	if (bpf_prog_test_run_opts(gate->fixture.prog_fd, &opts) < 0)
		return -1;
	gate->answer_length = opts.data_size_out;
	gate->samples = moat_gate_poll(gate->fixture.gate, 64, keep_sample, gate);
	return (int)opts.retval;
}

const struct moat_gate_counters *replay_gate_counters(const struct replay_gate *gate, uint32_t cpu)
{
	return (const void *)((const char *)gate->counters + cpu * gate->counters_stride);
}
