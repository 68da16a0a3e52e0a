/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a wire or mirror port has besides its sockets: its workers' signs of life, and the way to the other
 * port when they don't come (bpf/gate/steer.h). Made anew by each process: the program of the process
 * before keeps its own until ours is in its place. A port that is attached again in one process keeps the
 * memory of its pulses, which workers write all the while. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/gate_internal.h"

#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

void moat_gate_wire_init(struct gate_wire *wire)
{
	*wire = (struct gate_wire){ .pulses_fd = -1, .peer_fd = -1 };
}

void moat_gate_wire_deinit(struct gate_wire *wire)
{
	if (wire->pulses)
		munmap(wire->pulses, sizeof(*wire->pulses));
	if (wire->pulses_fd >= 0)
		close(wire->pulses_fd);
	if (wire->peer_fd >= 0)
		close(wire->peer_fd);
	moat_gate_wire_init(wire);
}

static int set_peer(const struct gate_wire *wire)
{
	const uint32_t key = 0;

	return bpf_map_update_elem(wire->peer_fd, &key, &wire->peer, 0);
}

int moat_gate_wire_inherit(struct gate_wire *wire, const struct gate_wire *old)
{
	if (!old->pulses)
		return 0;
	wire->pulses_fd = fcntl(old->pulses_fd, F_DUPFD_CLOEXEC, 0);
	return wire->pulses_fd < 0 ? -errno : 0;
}

void moat_gate_wire_hand_over(struct gate_wire *wire, struct gate_wire *old)
{
	struct moat_gate_pulses *pulses = old->pulses;

	if (!pulses || !wire->pulses)
		return;
	old->pulses = wire->pulses;
	wire->pulses = pulses;
}

int moat_gate_wire_open(struct gate_wire *wire)
{
	void *memory;

	if (wire->pulses_fd < 0)
		wire->pulses_fd = moat_gate_map_create("pulses", BPF_MAP_TYPE_ARRAY,
						       sizeof(*wire->pulses), 1);
	if (wire->pulses_fd < 0)
		return wire->pulses_fd;
	wire->peer_fd = moat_gate_map_create("wire_peer", BPF_MAP_TYPE_DEVMAP, sizeof(uint32_t), 1);
	if (wire->peer_fd < 0)
		return wire->peer_fd;
	memory = mmap(NULL, sizeof(*wire->pulses), PROT_READ | PROT_WRITE, MAP_SHARED,
		      wire->pulses_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	wire->pulses = memory;
	return wire->peer ? set_peer(wire) : 0;
}

static bool is_steered(const struct moat_gate *gate, uint32_t port)
{
	return port < MOAT_PORTS_MAX && gate->ports[port].used &&
	       gate->ports[port].info.role != MOAT_ROLE_GATEWAY;
}

int moat_gate_set_peer(struct moat_gate *gate, uint32_t port, const char *peer)
{
	uint32_t ifindex = if_nametoindex(peer);

	if (!is_steered(gate, port))
		return -ENOENT;
	if (ifindex == 0)
		return -ENODEV;
	gate->ports[port].wire.peer = ifindex;
	return set_peer(&gate->ports[port].wire);
}

/* return XDP_DROP, fit for a link that had the gate's program. */
static int load_stopgap(uint32_t attach_type)
{
	const struct bpf_insn instructions[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_DROP },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_XDP_HAS_FRAGS,
		    .expected_attach_type = attach_type);

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "moat_stopgap", "GPL", instructions,
			     MOAT_ARRAY_SIZE(instructions), &opts);
}

static int swap_twice(const struct gate_port *port, int stopgap)
{
	int r = bpf_link_update(port->link_fd, stopgap, NULL);

	return r < 0 ? r : bpf_link_update(port->link_fd, port->prog_fd, NULL);
}

/* The kernel takes an update by the same program for none, so there is another for some microseconds. */
int moat_gate_reassert(struct moat_gate *gate, uint32_t port)
{
	static const uint32_t attach_types[] = { BPF_XDP, 0 };
	int r = -ENOENT;

	if (port >= MOAT_PORTS_MAX || !gate->ports[port].used || gate->ports[port].link_fd < 0)
		return r;
	for (size_t i = 0; r < 0 && i < MOAT_ARRAY_SIZE(attach_types); i++) {
		moat_auto_close int stopgap = load_stopgap(attach_types[i]);

		r = stopgap < 0 ? stopgap : swap_twice(&gate->ports[port], stopgap);
	}
	return r;
}

int moat_gate_pulse(const struct moat_gate *gate, uint32_t port, uint32_t queue,
		    struct moat_pulse *ret_pulse)
{
	struct gate_time now;
	int r;

	if (!is_steered(gate, port) || queue >= MOAT_GATE_QUEUES_MAX)
		return -ENOENT;
	r = moat_gate_clock_read(&gate->clock, &now);
	if (r < 0)
		return r;
	*ret_pulse = (struct moat_pulse){
		.beat = &gate->ports[port].wire.pulses->queues[queue],
		.origin_ns = now.monotonic_ns,
		.origin_ticks = now.jiffies,
		.ticks_per_s = gate->clock.ticks_per_s,
	};
	return 0;
}
