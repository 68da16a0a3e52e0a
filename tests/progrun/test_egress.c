/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter of a container's packets over crafted frames: what it counts them as, what it cuts, and that
 * in = sum of outs.
 */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "dataplane/base/addr.h"
#include "dataplane/egress.h"
#include "tests/harness/unit.h"
#include "tests/progrun/gate_fixture.h"

#define PASSED (-1) /* TC_ACT_UNSPEC: on to the next filter */
#define DROPPED 2

static struct gate_fixture fixture;
static struct moat_egress *egress;
static uint8_t frame[2000];

/* Ethernet and IPv4 to 198.51.100.7 with a transport header; returns the frame's length. */
static size_t make_v4(uint8_t proto, uint8_t tcp_flags, size_t payload)
{
	size_t transport = proto == 6 ? 20 : 8, total = 20 + transport + payload;

	memset(frame, 0, sizeof(frame));
	frame[12] = 0x08;
	frame[14] = 0x45;
	frame[16] = (uint8_t)(total >> 8);
	frame[17] = (uint8_t)total;
	frame[22] = 64;
	frame[23] = proto;
	memcpy(&frame[30], (const uint8_t[]){ 198, 51, 100, 7 }, 4);
	frame[34 + 12] = proto == 6 ? 5 << 4 : 0;
	frame[34 + 13] = tcp_flags;
	return 14 + total;
}

static size_t make_v6(uint8_t proto)
{
	memset(frame, 0, sizeof(frame));
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	frame[19] = 20;
	frame[20] = proto;
	frame[21] = 64;
	frame[38] = 0x20;
	frame[39] = 0x01;
	frame[40] = 0x0d;
	frame[41] = 0xb8;
	return 14 + 40 + 20;
}

/* `segments` packets of `size` bytes of payload each; 0: no GSO. */
static int run(size_t length, uint32_t segments, uint32_t size)
{
	struct __sk_buff context = { .gso_segs = segments, .gso_size = size };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)length,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = 1);

	if (bpf_prog_test_run_opts(moat_egress_prog_fd(egress, "lo"), &opts) < 0)
		return -100;
	return (int)opts.retval;
}

static struct moat_egress_counters count(void)
{
	struct moat_egress_info info = {};
	uint64_t packets = 0, bytes = 0;

	CU_ASSERT(moat_egress_info(egress, moat_egress_find(egress, "lo"), &info));
	for (int i = 0; i < MOAT_EGRESS_REASONS; i++) {
		packets += info.counters.reasons[i].packets;
		bytes += info.counters.reasons[i].bytes;
	}
	CU_ASSERT_EQUAL(packets, info.counters.in.packets);
	CU_ASSERT_EQUAL(bytes, info.counters.in.bytes);
	return info.counters;
}

static void test_kinds(void)
{
	struct moat_egress_counters before = count(), after;

	CU_ASSERT_EQUAL(run(make_v4(6, 0x02, 0), 0, 0), PASSED); /* SYN */
	CU_ASSERT_EQUAL(run(make_v4(6, 0x12, 0), 0, 0), PASSED); /* SYN-ACK */
	CU_ASSERT_EQUAL(run(make_v4(17, 0, 100), 0, 0), PASSED);
	CU_ASSERT_EQUAL(run(make_v4(1, 0, 56), 0, 0), PASSED);
	CU_ASSERT_EQUAL(run(make_v6(58), 0, 0), PASSED);
	CU_ASSERT_EQUAL(run(make_v6(6), 0, 0), PASSED);
	memset(frame, 0, 60);
	CU_ASSERT_EQUAL(run(60, 0, 0), PASSED); /* no IP */
	after = count();
	CU_ASSERT_EQUAL(after.in.packets - before.in.packets, 7);
	CU_ASSERT_EQUAL(after.frames - before.frames, 7);
	CU_ASSERT_EQUAL(after.syn - before.syn, 1);
	CU_ASSERT_EQUAL(after.udp - before.udp, 1);
	CU_ASSERT_EQUAL(after.icmp - before.icmp, 2);
	CU_ASSERT_EQUAL(after.unread - before.unread, 1);
}

/* A later fragment of UDP has no header to tell ports by, and is no SYN whatever its bytes are. */
static void test_fragment(void)
{
	struct moat_egress_counters before = count(), after;
	size_t length = make_v4(6, 0x02, 0);

	frame[20] = 0;
	frame[21] = 185;
	CU_ASSERT_EQUAL(run(length, 0, 0), PASSED);
	after = count();
	CU_ASSERT_EQUAL(after.syn, before.syn);
	CU_ASSERT_EQUAL(after.in.packets - before.in.packets, 1);
}

static void test_gso(void)
{
	struct moat_egress_counters before = count(), after;
	size_t length = make_v4(6, 0x10, 1600);

	CU_ASSERT_EQUAL(run(length, 4, 400), PASSED);
	after = count();
	CU_ASSERT_EQUAL(after.in.packets - before.in.packets, 4);
	CU_ASSERT_EQUAL(after.in.bytes - before.in.bytes, 54 + 1600 + 3 * 54);
	CU_ASSERT_EQUAL(after.frames - before.frames, 1);
	/* the number isn't told: it follows from the size */
	before = after;
	CU_ASSERT_EQUAL(run(length, 0, 500), PASSED);
	CU_ASSERT_EQUAL(count().in.packets - before.in.packets, 4);
}

static struct moat_prefix prefix_of(const char *text)
{
	struct moat_prefix prefix = {};

	CU_ASSERT_EQUAL(moat_prefix_parse(text, &prefix), 0);
	return prefix;
}

static int cut_to(const char *text)
{
	struct moat_prefix prefix = prefix_of(text);

	return moat_egress_cut_to(egress, "lo", &prefix);
}

static void test_cuts(void)
{
	struct moat_egress_counters before = count(), after;
	bool xdp = true;

	CU_ASSERT_EQUAL(cut_to("198.51.100.0/24"), 0);
	CU_ASSERT_EQUAL(run(make_v4(17, 0, 10), 0, 0), DROPPED);
	CU_ASSERT_EQUAL(run(make_v6(17), 0, 0), PASSED);
	CU_ASSERT_EQUAL(cut_to("2001:db8::/32"), 0);
	CU_ASSERT_EQUAL(run(make_v6(17), 0, 0), DROPPED);
	CU_ASSERT_EQUAL(moat_egress_lift(egress, "lo"), 0);
	CU_ASSERT_EQUAL(run(make_v4(17, 0, 10), 0, 0), PASSED);
	CU_ASSERT_EQUAL(moat_egress_lift(egress, "lo"), -ENOENT);
	CU_ASSERT_EQUAL(moat_egress_cut(egress, "lo", &xdp), 0);
	CU_ASSERT(!xdp); /* the loopback has no driver mode */
	memset(frame, 0, 60);
	CU_ASSERT_EQUAL(run(60, 0, 0), DROPPED); /* ARP and all */
	CU_ASSERT_EQUAL(cut_to("198.51.100.0/24"), -EALREADY);
	CU_ASSERT_EQUAL(moat_egress_lift(egress, "lo"), 0);
	after = count();
	CU_ASSERT_EQUAL(after.reasons[MOAT_EGRESS_DROP_DESTINATION].packets -
				before.reasons[MOAT_EGRESS_DROP_DESTINATION].packets,
			2);
	CU_ASSERT_EQUAL(after.reasons[MOAT_EGRESS_DROP_CUT].packets -
				before.reasons[MOAT_EGRESS_DROP_CUT].packets,
			1);
}

/* A bucket is 1/16 of a second deep, and what a frame takes beyond its end is paid before the next passes. */
static void test_limit(void)
{
	struct moat_egress_counters before = count(), after;
	size_t length = make_v4(17, 0, 1600);
	uint64_t passed;

	CU_ASSERT_EQUAL(moat_egress_set_limit(egress, "lo", 1600, 0, true), 0);
	for (int i = 0; i < 500; i++)
		run(length, 8, 200);
	after = count();
	passed = after.reasons[MOAT_EGRESS_PASS].packets - before.reasons[MOAT_EGRESS_PASS].packets;
	/* 100 at once, and what half a second would bring on a slow machine */
	CU_ASSERT(passed >= 100 && passed <= 900);
	CU_ASSERT_EQUAL(passed % 8, 0);
	CU_ASSERT_EQUAL(after.reasons[MOAT_EGRESS_DROP_PACKETS].packets -
				before.reasons[MOAT_EGRESS_DROP_PACKETS].packets,
			4000 - passed);
	CU_ASSERT_EQUAL(moat_egress_set_limit(egress, "lo", 0, 1600000, true), 0);
	before = count();
	for (int i = 0; i < 1000; i++)
		run(length, 0, 0);
	after = count();
	passed = after.reasons[MOAT_EGRESS_PASS].bytes - before.reasons[MOAT_EGRESS_PASS].bytes;
	CU_ASSERT(passed >= 100000 && passed <= 900000);
	CU_ASSERT_EQUAL(moat_egress_set_limit(egress, "lo", 0, MOAT_EGRESS_RATE_MAX + 1, true),
			-ERANGE);
	CU_ASSERT_EQUAL(moat_egress_set_limit(egress, "lo", 5, 5, false), 0);
	CU_ASSERT_EQUAL(moat_egress_set_limit(egress, "lo", 0, 0, true), 0);
	CU_ASSERT_EQUAL(run(length, 8, 200), PASSED);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "kinds", test_kinds }, { "fragment", test_fragment }, { "gso", test_gso },
		{ "cuts", test_cuts },   { "limit", test_limit },       { NULL, NULL },
	};
	const struct moat_gate_options options = { .cells = 1024, .nodes = 1024 };
	struct moat_error error = { .text = "" };
	int r;

	gate_fixture_open(&fixture, &options);
	r = moat_egress_open(fixture.gate, &egress, &error);
	if (r == 0)
		r = moat_egress_attach(egress, "lo", &error);
	if (r < 0)
		fprintf(stderr, "%s\n", error.text);
	r = r < 0 ? 1 : moat_test_main("egress", tests);
	moat_egress_close(egress);
	gate_fixture_close(&fixture);
	return r;
}
