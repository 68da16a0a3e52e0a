/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ways out over crafted frames: what isn't the gate's to route stays as it came and is counted by its cause;
 * a wire without a peer; and nothing of it in a program whose port leaves it to the kernel. Routing itself
 * needs routes: tests/netns/forward.py.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "tests/harness/unit.h"
#include "tests/progrun/gate_fixture.h"

static struct gate_fixture fixture;
static uint8_t frame[74];

/* The loopback's Ethernet address is all zero, so frames without one are the port's own. */
static void make_v4(uint8_t ttl)
{
	memset(frame, 0, sizeof(frame));
	frame[12] = 0x08;
	frame[14] = 0x45;
	frame[17] = 60;
	frame[22] = ttl;
	frame[23] = 17;
	memcpy(&frame[26], (const uint8_t[]){ 192, 0, 2, 1, 198, 51, 100, 7 }, 8);
	frame[39] = 40;
}

static void make_v6(uint8_t hops)
{
	memset(frame, 0, sizeof(frame));
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	frame[19] = 20;
	frame[20] = 17;
	frame[21] = hops;
	memcpy(&frame[22], (const uint8_t[]){ 0x20, 0x01, 0x0d, 0xb8 }, 4);
	memcpy(&frame[38], (const uint8_t[]){ 0x20, 0x01, 0x0d, 0xb8, 1 }, 5);
	frame[59] = 20;
}

static bool set_way(enum moat_forward_mode mode, bool closed)
{
	struct moat_gate_port_options options = { .name = "lo", .generic = true };
	struct moat_error error = { .text = "" };

	options.way.mode = mode;
	options.way.closed = closed;
	snprintf(options.way.peer, sizeof(options.way.peer), "nosuch0");
	if (moat_gate_attach(fixture.gate, &options, &fixture.port, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return false;
	}
	fixture.prog_fd = moat_gate_prog_fd(fixture.gate, fixture.port.index);
	return true;
}

static struct moat_forward_counters forwards(void)
{
	struct moat_forward_counters counters = {};

	CU_ASSERT_EQUAL(moat_gate_forwards(fixture.gate, fixture.port.index, &counters), 0);
	return counters;
}

/* Runs the frame: the action, with the cause by which one more was counted in *ret_cause. The frame must have
 * stayed as it was. */
static int run(enum moat_forward *ret_cause)
{
	struct moat_forward_counters before = forwards(), after;
	uint8_t out[sizeof(frame)];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .data_out = out, .data_size_out = sizeof(out), .repeat = 1);

	if (bpf_prog_test_run_opts(fixture.prog_fd, &opts) < 0)
		return -1;
	after = forwards();
	*ret_cause = MOAT_FORWARD_COUNT;
	for (int i = 0; i < MOAT_FORWARD_COUNT; i++) {
		if (after.packets[i] == before.packets[i] + 1)
			*ret_cause = (enum moat_forward)i;
	}
	CU_ASSERT_EQUAL(memcmp(out, frame, sizeof(frame)), 0);
	return (int)opts.retval;
}

static void check(enum moat_forward expected)
{
	enum moat_forward cause;

	CU_ASSERT_EQUAL(run(&cause), XDP_PASS);
	if (cause != expected)
		fprintf(stderr, "expected %s, got %s\n", moat_forward_name(expected),
			moat_forward_name(cause));
	CU_ASSERT_EQUAL(cause, expected);
}

static void test_fib(void)
{
	CU_ASSERT_FATAL(set_way(MOAT_FORWARD_FIB, false));
	make_v4(1);
	check(MOAT_FORWARD_TTL);
	make_v6(1);
	check(MOAT_FORWARD_TTL);
	make_v4(64);
	frame[14] = 0x46;
	check(MOAT_FORWARD_OPTIONS);
	make_v6(64);
	frame[20] = 0;
	frame[54] = 59; /* hop-by-hop, and nothing behind */
	check(MOAT_FORWARD_OPTIONS);
	make_v6(64);
	frame[22] = 0xfe;
	frame[23] = 0x80;
	check(MOAT_FORWARD_LOCAL);
	make_v4(64);
	frame[0] = 2;
	check(MOAT_FORWARD_NOT_OURS);
	make_v4(64);
	frame[12] = 0x81;
	frame[13] = 0;
	check(MOAT_FORWARD_TAGGED);
	make_v4(64);
	frame[13] = 6; /* ARP */
	check(MOAT_FORWARD_NOT_IP);
	make_v4(64);
	frame[14] = 0x44; /* a header that can't be */
	check(MOAT_FORWARD_NOT_IP);
}

/* A namespace without routes, whose loopback doesn't forward: one or the other is the cause. */
static void test_no_route(void)
{
	enum moat_forward cause;

	CU_ASSERT_FATAL(set_way(MOAT_FORWARD_FIB, false));
	make_v4(64);
	CU_ASSERT_EQUAL(run(&cause), XDP_PASS);
	CU_ASSERT(cause == MOAT_FORWARD_OFF || cause == MOAT_FORWARD_LOCAL);
	make_v6(64);
	CU_ASSERT_EQUAL(run(&cause), XDP_PASS);
	CU_ASSERT(cause == MOAT_FORWARD_OFF || cause == MOAT_FORWARD_LOCAL);
}

static void test_wire(void)
{
	enum moat_forward cause;

	CU_ASSERT_FATAL(set_way(MOAT_FORWARD_WIRE, false));
	make_v4(64);
	check(MOAT_FORWARD_NO_TARGET);
	CU_ASSERT_FATAL(set_way(MOAT_FORWARD_WIRE, true));
	CU_ASSERT_EQUAL(run(&cause), XDP_DROP);
	CU_ASSERT_EQUAL(cause, MOAT_FORWARD_NO_TARGET);
}

/* What is dropped goes no way at all. */
static void test_dropped(void)
{
	enum moat_forward cause;

	CU_ASSERT_FATAL(set_way(MOAT_FORWARD_FIB, false));
	CU_ASSERT(gate_fixture_rule(&fixture, "drop proto udp"));
	CU_ASSERT(gate_fixture_commit(&fixture));
	make_v4(64);
	CU_ASSERT_EQUAL(run(&cause), XDP_DROP);
	CU_ASSERT_EQUAL(cause, MOAT_FORWARD_COUNT);
}

static uint32_t instructions(void)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	CU_ASSERT_EQUAL(bpf_obj_get_info_by_fd(fixture.prog_fd, &info, &length), 0);
	return info.xlated_prog_len / 8;
}

static void test_no_residue(void)
{
	struct moat_forward_counters counters;
	uint32_t kernel, fib;

	CU_ASSERT_FATAL(set_way(MOAT_FORWARD_FIB, false));
	fib = instructions();
	CU_ASSERT_FATAL(set_way(MOAT_FORWARD_KERNEL, false));
	kernel = instructions();
	printf("instructions: %u, with routing %u\n", kernel, fib);
	CU_ASSERT(kernel + 100 < fib);
	CU_ASSERT_EQUAL(moat_gate_forwards(fixture.gate, fixture.port.index, &counters), -ENOENT);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "fib", test_fib },
		{ "no route", test_no_route },
		{ "wire", test_wire },
		{ "dropped", test_dropped },
		{ "no residue", test_no_residue },
		{ NULL, NULL },
	};
	const struct moat_gate_options options = { .cells = 1024, .nodes = 1024 };
	int r;

	gate_fixture_open(&fixture, &options);
	r = moat_test_main("gate-forward", tests);
	gate_fixture_close(&fixture);
	return r;
}
