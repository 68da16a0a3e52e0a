/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Workers on AF_XDP ports, for tests/netns/afxdp.py: afxdp mirror IF | afxdp wire IF IF. Says "ready", runs
 * until its stdin closes or a port is lost, then prints one JSON object a worker. A minimal XDP program
 * stands for the gate, so that a failure here is the port's.
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
#include <string.h>
#include <sys/resource.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/worker.h"

#define WORKERS_MAX 2

struct side {
	const char *interface;
	int ifindex;
	int map_fd;
	int prog_fd;
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

static int side_open(struct side *side, struct moat_port *peer, bool shares)
{
	const struct moat_port_afxdp_options options = {
		.interface = side->interface,
		.xsks_fd = side->map_fd,
		.frames = 1024,
		.shares = shares,
		.peer = peer,
	};
	struct moat_error error = { 0 };
	int r = moat_port_afxdp_open(&options, &side->port, &error);

	if (r < 0)
		fprintf(stderr, "%s\n", error.text);
	return r < 0;
}

static int side_start(struct side *side, struct moat_port *peer)
{
	const struct moat_worker_options options = {
		.port = side->port,
		.peer = peer,
		.cpu = -1,
		.hash_seed = 1,
		.sample_pass = 1,
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

static void side_print(const struct side *side)
{
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
	printf(", \"zerocopy\": %s, \"error\": %d}\n",
	       moat_port_afxdp_is_zerocopy(side->port) ? "true" : "false", done ? error : 0);
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

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct side sides[WORKERS_MAX] = { 0 };
	int count = argc - 2;

	if (argc < 3 || count > WORKERS_MAX || count != (strcmp(argv[1], "wire") == 0 ? 2 : 1)) {
		fprintf(stderr, "usage: afxdp mirror IF | afxdp wire IF IF\n");
		return 2;
	}
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	for (int i = 0; i < count; i++) {
		sides[i].interface = argv[2 + i];
		if (side_attach(&sides[i]) ||
		    side_open(&sides[i], i ? sides[0].port : NULL, count > 1))
			return 1;
	}
	for (int i = 0; i < count; i++) {
		if (side_start(&sides[i], count > 1 ? sides[1 - i].port : NULL))
			return 1;
	}
	puts("ready");
	fflush(stdout);
	run(sides, count);
	for (int i = 0; i < count; i++)
		moat_worker_stop(sides[i].worker);
	for (int i = 0; i < count; i++) {
		side_drain(&sides[i]);
		side_print(&sides[i]);
	}
	/* all threads have ended: a port may go while the other's worker still knows it */
	for (int i = 0; i < count; i++)
		moat_worker_free(sides[i].worker);
	return 0;
}
