/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Workers on AF_XDP ports, for tests/netns/afxdp.py: afxdp FRAMES PIN IF (a mirror) or afxdp FRAMES PIN
 * IF IF (a wire). Says "ready", runs until its stdin closes or a port is lost, then prints one JSON object
 * a worker. PIN is where the gate pins itself; with "-" a minimal XDP program stands for it, so that a
 * failure is the port's. One rule is in force: UDP to port 9999 is dropped.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/gate.h"
#include "dataplane/netdev.h"
#include "dataplane/rule.h"
#include "dataplane/worker.h"

#define SIDES_MAX 2

struct side {
	const char *interface;
	int ifindex;
	int map_fd;
	int prog_fd;
	struct moat_gate_port_info gate_info;
	struct moat_pulse pulse;
	struct moat_port *port;
	struct moat_worker *worker;
	uint64_t samples;
	uint64_t digest; /* of the samples' bytes, whatever their order */
};

static int fail(const char *what, int r)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	return 1;
}

/* return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS) */
static int load_program(int map_fd)
{
	const struct bpf_insn instructions[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 16 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW,
		  .dst_reg = 1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map_fd },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	_Static_assert(offsetof(struct xdp_md, rx_queue_index) == 16, "ABI");
	return bpf_prog_load(BPF_PROG_TYPE_XDP, "test_xsk", "GPL", instructions,
			     MOAT_ARRAY_SIZE(instructions), NULL);
}

static int gate_attach(const char *pin, struct side *sides, int count, struct moat_gate **ret_gate)
{
	const struct moat_gate_options options = { .pin_path = pin };
	struct moat_error error = { .text = "" };
	int r = moat_gate_open(&options, ret_gate, &error);

	for (int i = 0; r == 0 && i < count; i++) {
		const struct moat_gate_port_options port = {
			.name = sides[i].interface,
			.role = count > 1 ? MOAT_ROLE_WIRE : MOAT_ROLE_MIRROR,
		};

		r = moat_gate_attach(*ret_gate, &port, &sides[i].gate_info, &error);
		if (r == 0)
			sides[i].map_fd = moat_gate_xsks_fd(*ret_gate, sides[i].gate_info.index);
		if (r == 0)
			r = moat_gate_pulse(*ret_gate, sides[i].gate_info.index, 0, &sides[i].pulse);
	}
	if (r != 0)
		fprintf(stderr, "%s\n", error.text);
	return r != 0;
}

static int policy_new(uint32_t judges, struct moat_policy **ret_policy)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	struct moat_error error = { .text = "" };
	struct moat_rule rule = moat_rule_default();
	int r = moat_policy_new(judges, 1, ret_policy);

	if (r == 0)
		r = moat_ruleset_new(&set);
	if (r == 0)
		r = moat_rule_parse("drop proto udp dport 9999", 0, &rule, &error);
	if (r == 0)
		r = moat_ruleset_add(set, &rule, NULL);
	if (r == 0)
		r = moat_policy_commit(*ret_policy, set, &error);
	if (r != 0)
		fprintf(stderr, "policy: %s\n", error.text);
	return r != 0;
}

static int side_attach(struct side *side)
{
	int r;

	side->ifindex = (int)if_nametoindex(side->interface);
	side->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "test_xsks", 4, 4, 4, NULL);
	if (side->map_fd < 0)
		return fail("map", side->map_fd);
	side->prog_fd = load_program(side->map_fd);
	if (side->prog_fd < 0)
		return fail("program", side->prog_fd);
	r = bpf_xdp_attach(side->ifindex, side->prog_fd, XDP_FLAGS_DRV_MODE, NULL);
	return r < 0 ? fail("attach", r) : 0;
}

/* Whether the interface carries frames of several buffers. */
static bool is_jumbo(const char *interface)
{
	struct moat_netdev netdev;

	return moat_netdev_look(interface, &netdev) == 0 && netdev.mtu > MOAT_GATE_SOCKET_FRAME_MAX;
}

static int side_open(struct side *side, uint32_t frames, struct moat_port *peer, bool alone)
{
	const struct moat_port_afxdp_options options = {
		.interface = side->interface,
		.xsks_fd = side->map_fd,
		.frames = frames,
		.alone = alone,
		.peer = peer,
		.multi_buffer = is_jumbo(side->interface),
	};
	struct moat_error error = { 0 };
	int r = moat_port_afxdp_open(&options, &side->port, &error);

	if (r < 0)
		fprintf(stderr, "%s\n", error.text);
	return r < 0;
}

static int side_start(struct side *side, struct moat_port *peer, struct moat_judge *judge)
{
	const struct moat_worker_options options = {
		.port = side->port,
		.peer = peer,
		.judge = judge,
		.cpu = -1,
		.hash_seed = 1,
		.sample_pass = 1,
		.pulse = side->pulse,
	};
	struct moat_error error = { 0 };

	if (moat_worker_new(&options, &side->worker, &error) < 0 ||
	    moat_worker_start(side->worker, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	return 0;
}

/* A sum of FNV-1a hashes, which the script computes from what it sent. */
static void side_drain(struct side *side)
{
	struct moat_sample sample;

	while (moat_ring_pop(moat_worker_samples(side->worker), &sample)) {
		uint64_t hash = 0xcbf29ce484222325ULL;

		for (unsigned int i = 0; i < sample.cap_len; i++)
			hash = (hash ^ sample.data[i]) * 0x100000001b3ULL;
		side->digest += hash;
		side->samples++;
	}
}

static void print_count(const char *name, uint64_t count)
{
	printf(", \"%s\": %" PRIu64, name, count);
}

/* What the gate says of a side: its own books, and what it handed over. */
static void gate_print(const struct moat_gate *gate, const struct side *side)
{
	struct moat_gate_counters c;
	uint64_t reasons = 0;

	if (!gate || moat_gate_counters(gate, side->gate_info.index, &c) < 0)
		return;
	for (unsigned int i = 0; i < MOAT_REASON_COUNT; i++)
		reasons += c.reasons[i].packets;
	print_count("gate_in", c.in.packets);
	print_count("gate_reasons", reasons);
	print_count("gate_redirected", c.reasons[MOAT_REASON_REDIRECT_XSK].packets);
}

static void side_print(const struct side *side, const struct moat_gate *gate)
{
	struct moat_port_afxdp_info info;
	struct moat_worker_counters c;
	uint64_t reasons = 0;
	int error = 0;
	bool done = moat_worker_is_done(side->worker, &error);

	moat_worker_counters(side->worker, &c);
	for (unsigned int i = 0; i < MOAT_REASON_COUNT; i++)
		reasons += c.reasons[i].packets;
	printf("{\"interface\": \"%s\"", side->interface);
	print_count("in", c.in.packets);
	print_count("reasons", reasons);
	print_count("consumed", c.reasons[MOAT_REASON_CONSUMED].packets);
	print_count("dropped", c.reasons[MOAT_REASON_DROP_RULE].packets);
	print_count("no_peer", c.reasons[MOAT_REASON_DROP_NO_PEER].packets);
	print_count("received", c.port.received.packets);
	print_count("sent", c.port.sent.packets);
	print_count("tx_ring_full", c.port.tx_ring_full);
	print_count("rx_ring_full", c.port.rx_ring_full);
	print_count("rx_no_buffer", c.port.rx_no_buffer);
	print_count("rx_invalid", c.port.rx_invalid);
	print_count("samples", side->samples);
	print_count("samples_lost", c.samples_lost);
	print_count("digest", side->digest);
	gate_print(gate, side);
	moat_port_afxdp_info(side->port, &info);
	print_count("multi_buffer", info.multi_buffer);
	printf(", \"zerocopy\": %s, \"error\": %d}\n", info.zerocopy ? "true" : "false",
	       done ? error : 0);
}

/* Until stdin closes or all workers are done. */
static void run(struct side *sides, int count)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int running = count;

	while (running > 0 && poll(&input, 1, 5) == 0) {
		running = 0;
		for (int i = 0; i < count; i++) {
			int error;

			side_drain(&sides[i]);
			running += !moat_worker_is_done(sides[i].worker, &error);
		}
	}
}

/* Attaches, opens and starts all sides. */
static int start(struct side *sides, int count, uint32_t frames, const char *pin,
		 struct moat_gate **ret_gate, struct moat_policy **ret_policy)
{
	if (policy_new((uint32_t)count, ret_policy))
		return 1;
	if (pin && gate_attach(pin, sides, count, ret_gate))
		return 1;
	for (int i = 0; i < count; i++) {
		if (!pin && side_attach(&sides[i]))
			return 1;
		if (side_open(&sides[i], frames, i ? sides[0].port : NULL, count == 1))
			return 1;
	}
	for (int i = 0; i < count; i++) {
		if (side_start(&sides[i], count > 1 ? sides[1 - i].port : NULL,
			       moat_policy_judge(*ret_policy, (uint32_t)i)))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct side sides[SIDES_MAX] = { 0 };
	struct moat_policy *policy = NULL;
	struct moat_gate *gate = NULL;
	const char *pin;
	int count = argc - 3;

	if (count < 1 || count > SIDES_MAX) {
		fprintf(stderr, "usage: afxdp FRAMES PIN|- IF [IF]\n");
		return 2;
	}
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	pin = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
	for (int i = 0; i < count; i++)
		sides[i].interface = argv[3 + i];
	if (start(sides, count, (uint32_t)strtoul(argv[1], NULL, 10), pin, &gate, &policy))
		return 1;
	puts("ready");
	fflush(stdout);
	run(sides, count);
	for (int i = 0; i < count; i++)
		moat_worker_stop(sides[i].worker);
	for (int i = 0; i < count; i++) {
		side_drain(&sides[i]);
		side_print(&sides[i], gate);
	}
	/* all threads have ended: a port may go while the other's worker still knows it */
	for (int i = 0; i < count; i++)
		moat_worker_free(sides[i].worker);
	moat_policy_free(policy);
	moat_gate_close(gate);
	return pin && moat_gate_detach(pin, NULL) < 0;
}
