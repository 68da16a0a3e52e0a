/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's way into tunnels, and frames in more than one buffer: each kind of tunnel with each kind of
 * inner packet, cut off at every byte, and with its first buffer ending at every byte. Gate, workers and
 * oracle must find the same; what it is to be is told for the whole frames.
 */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/parse.h"
#include "tests/harness/frame.h"
#include "tests/harness/unit.h"
#include "tests/oracle/oracle.h"
#include "tests/progrun/gate_fixture.h"

static const struct moat_oracle_settings settings = {
	.stages = MOAT_STAGE_TUNNELS,
	.vxlan_port = 8472,
	.geneve_port = MOAT_GENEVE_PORT,
};
static const struct moat_tunnels tunnels = { .kinds = MOAT_STAGE_TUNNELS, .vxlan_port = 8472 };

static struct gate_fixture gate;
static struct moat_sample last;

static void keep_sample(void *userdata, const struct moat_sample *sample)
{
	last = *sample;
}

/* Does what the gate found, in `last`, equal what the others find? */
static bool others_agree(const uint8_t *data, size_t length)
{
	struct moat_headers worker, oracle;
	enum moat_parse parse = moat_headers_parse(data, length, length, &worker);

	if (parse == MOAT_PARSE_OK)
		moat_headers_enter_tunnel(&tunnels, data, length, &worker);
	if (parse != last.parse ||
	    moat_oracle_parse(&settings, data, length, length, &oracle) != parse)
		return false;
	if (last.headers.frame_len != length)
		return false;
	return parse != MOAT_PARSE_OK || (memcmp(&worker, &oracle, sizeof(worker)) == 0 &&
					  memcmp(&worker, &last.headers, sizeof(worker)) == 0);
}

/* Runs the frame with `linear` bytes in its first buffer. False if this kernel can't. */
static bool run(const uint8_t *data, size_t length, size_t linear)
{
	struct xdp_md context = { .data_end = (uint32_t)linear };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = (uint32_t)length,
		    .repeat = 1, .ctx_in = &context, .ctx_size_in = sizeof(context));

	if (linear == length)
		opts.ctx_in = NULL, opts.ctx_size_in = 0;
	memset(&last, 0xa5, sizeof(last));
	if (bpf_prog_test_run_opts(gate.prog_fd, &opts) < 0)
		return false;
	CU_ASSERT_EQUAL(moat_gate_poll(gate.gate, 2, keep_sample, NULL), 1);
	return true;
}

/* ---- frames ----------------------------------------------------------------------------------- */

enum outer {
	OUTER_GRE,
	OUTER_GRE_ALL, /* with checksum, key and sequence number */
	OUTER_GRE_ETHERNET,
	OUTER_IP,
	OUTER_VXLAN,
	OUTER_GENEVE,
	OUTER_GENEVE_OPTIONS, /* as long as they can be */
	OUTER_COUNT,
};

static void put_inner(struct frame *frame, bool v4)
{
	if (v4)
		frame_ipv4(frame, "192.0.2.1", "192.0.2.2", 6, 0, 20);
	else
		frame_ipv6(frame, "2001:db8::1", "2001:db8::2", 6, 20);
	frame_tcp(frame, 1000, 443, MOAT_TCP_SYN);
}

static size_t header_length(enum outer outer)
{
	static const size_t lengths[OUTER_COUNT] = {
		[OUTER_GRE] = 4,
		[OUTER_GRE_ALL] = 16,
		[OUTER_GRE_ETHERNET] = 4 + 14,
		[OUTER_VXLAN] = 16 + 14,
		[OUTER_GENEVE] = 16 + 14,
		[OUTER_GENEVE_OPTIONS] = 16 + 252,
	};

	return lengths[outer];
}

static bool is_udp(enum outer outer)
{
	return outer >= OUTER_VXLAN;
}

static void put_ethernet(struct frame *frame, unsigned int type)
{
	frame_zeros(frame, 12);
	frame_u16(frame, type);
}

static void put_tunnel(struct frame *frame, enum outer outer, unsigned int type, size_t payload)
{
	if (is_udp(outer)) {
		frame_udp(frame, 7, outer == OUTER_VXLAN ? 8472 : MOAT_GENEVE_PORT, 0);
		frame->data[frame->length - 4] = (uint8_t)(payload >> 8);
		frame->data[frame->length - 3] = (uint8_t)payload;
	}
	switch (outer) {
	case OUTER_GRE:
	case OUTER_GRE_ALL:
		frame_u16(frame, outer == OUTER_GRE ? 0 : 0xb000);
		frame_u16(frame, type);
		frame_zeros(frame, outer == OUTER_GRE ? 0 : 12);
		break;
	case OUTER_GRE_ETHERNET:
		frame_u16(frame, 0);
		frame_u16(frame, 0x6558);
		put_ethernet(frame, type);
		break;
	case OUTER_VXLAN:
		frame_u16(frame, 0x0800);
		frame_zeros(frame, 6);
		put_ethernet(frame, type);
		break;
	case OUTER_GENEVE:
		frame_u16(frame, 0);
		frame_u16(frame, 0x6558);
		frame_zeros(frame, 4);
		put_ethernet(frame, type);
		break;
	case OUTER_GENEVE_OPTIONS:
		frame_u16(frame, 0x3f00);
		frame_u16(frame, type);
		frame_zeros(frame, 256);
		break;
	default:
		break;
	}
}

/* A tagged frame with the tunnel; of both families, inside and outside. */
static void make_frame(struct frame *frame, enum outer outer, bool outer_v4, bool inner_v4)
{
	static const uint8_t protos[OUTER_COUNT] = { 47, 47, 47, 0, 17, 17, 17 };
	unsigned int proto = outer == OUTER_IP ? (inner_v4 ? 4 : 41) : protos[outer];
	size_t payload = header_length(outer) + (inner_v4 ? 40 : 60);

	frame_ethernet(frame, 0x8100);
	frame_tag(frame, 5, outer_v4 ? 0x0800 : 0x86dd);
	if (outer_v4)
		frame_ipv4(frame, "10.0.0.1", "10.0.0.2", proto, 0, payload);
	else
		frame_ipv6(frame, "fd00::1", "fd00::2", proto, payload);
	put_tunnel(frame, outer, inner_v4 ? 0x0800 : 0x86dd, payload);
	put_inner(frame, inner_v4);
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void check_inner(enum outer outer, bool inner_v4)
{
	static const enum moat_tunnel kinds[OUTER_COUNT] = {
		MOAT_TUNNEL_GRE,   MOAT_TUNNEL_GRE,    MOAT_TUNNEL_GRE,    MOAT_TUNNEL_IP,
		MOAT_TUNNEL_VXLAN, MOAT_TUNNEL_GENEVE, MOAT_TUNNEL_GENEVE,
	};
	const struct moat_headers *h = &last.headers;
	struct moat_addr src;

	moat_addr_parse(inner_v4 ? "192.0.2.1" : "2001:db8::1", &src);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_OK);
	CU_ASSERT_EQUAL(h->tunnel, kinds[outer]);
	CU_ASSERT_TRUE(moat_addr_equal(&h->src, &src));
	CU_ASSERT_EQUAL(h->family, inner_v4 ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6);
	CU_ASSERT_EQUAL(h->l3_len, inner_v4 ? 40 : 60);
	CU_ASSERT_EQUAL(h->l4_offset, h->frame_len - 20);
	CU_ASSERT(h->proto == 6 && h->dport == 443 && h->tcp_flags == MOAT_TCP_SYN);
	CU_ASSERT_EQUAL(h->vlan, 5);
}

static void test_every_kind(void)
{
	struct frame frame;

	for (unsigned int i = 0; i < OUTER_COUNT * 4; i++) {
		make_frame(&frame, i / 4, i & 1, i & 2);
		CU_ASSERT_TRUE_FATAL(run(frame.data, frame.length, frame.length));
		CU_ASSERT_TRUE(others_agree(frame.data, frame.length));
		check_inner(i / 4, i & 2);
	}
}

/* Cut by a short outer datagram: then the outer headers stand. */
static void test_cut(void)
{
	struct frame frame;

	for (unsigned int i = 0; i < OUTER_COUNT * 4; i++) {
		size_t first, at;

		make_frame(&frame, i / 4, i & 1, i & 2);
		first = i & 1 ? 38 : 58;
		at = i & 1 ? 20 : 22;
		for (size_t length = first; length < frame.length; length++) {
			size_t said = length - 18 - (i & 1 ? 0 : 40);

			frame.data[at] = (uint8_t)(said >> 8);
			frame.data[at + 1] = (uint8_t)said;
			if (is_udp(i / 4) && length >= first + 8)
				frame.data[first + 5] = (uint8_t)(length - first),
						   frame.data[first + 4] = (uint8_t)((length -
										      first) >>
										     8);
			CU_ASSERT_TRUE_FATAL(run(frame.data, length, length));
			CU_ASSERT_TRUE(others_agree(frame.data, length));
			CU_ASSERT_TRUE(last.parse != MOAT_PARSE_OK || !last.headers.tunnel);
		}
	}
}

/* What isn't looked into, by one change to a frame that is. */
static void test_outer_stands(void)
{
	static const struct {
		enum outer outer;
		size_t at;
		uint8_t value;
	} changes[] = {
		{ OUTER_GRE, 38, 0x40 },    { OUTER_GRE, 39, 0x01 },  { OUTER_GRE, 40, 0x88 },
		{ OUTER_VXLAN, 46, 0xf7 },  { OUTER_VXLAN, 41, 1 },   { OUTER_VXLAN, 43, 7 },
		{ OUTER_VXLAN, 43, 0xff },  { OUTER_VXLAN, 67, 6 },   { OUTER_VXLAN, 68, 0x65 },
		{ OUTER_GENEVE, 46, 0x40 }, { OUTER_GENEVE, 46, 63 }, { OUTER_GENEVE, 41, 1 },
		{ OUTER_IP, 38, 0x65 },     { OUTER_IP, 24, 0x20 },   { OUTER_IP, 25, 1 },
		{ OUTER_GRE, 24, 0x20 },    { OUTER_VXLAN, 25, 1 },   { OUTER_IP, 27, 94 },
		{ OUTER_IP, 41, 41 },
	};
	struct frame frame;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(changes); i++) {
		make_frame(&frame, changes[i].outer, true, true);
		frame.data[changes[i].at] = changes[i].value;
		CU_ASSERT_TRUE_FATAL(run(frame.data, frame.length, frame.length));
		CU_ASSERT_TRUE(others_agree(frame.data, frame.length));
		CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_OK);
		CU_ASSERT_EQUAL(last.headers.tunnel, MOAT_TUNNEL_NONE);
		CU_ASSERT_EQUAL(last.headers.src.bytes[12], 10);
	}
}

static void test_buffers(void)
{
	struct frame frame;

	make_frame(&frame, OUTER_GRE, true, true);
	if (!run(frame.data, frame.length, 40)) {
		printf("SKIP: this kernel's test run can't split a short frame into buffers: %s\n",
		       strerror(errno));
		return;
	}
	for (unsigned int i = 0; i < OUTER_COUNT * 4; i++) {
		make_frame(&frame, i / 4, i & 1, i & 2);
		for (size_t linear = 14; linear < frame.length; linear++) {
			CU_ASSERT_TRUE_FATAL(run(frame.data, frame.length, linear));
			CU_ASSERT_TRUE(others_agree(frame.data, frame.length));
			check_inner(i / 4, i & 2);
		}
	}
}

/* Extension headers that fill the first buffer, a page at most: what follows is in another one, on every
 * kernel. The last of `tail` bytes: TCP, or a tunnel. */
static void check_long(unsigned int proto, const uint8_t *tail, size_t tail_length)
{
	uint8_t data[6000] = { 0 };
	struct frame frame;
	size_t length;

	frame_ethernet(&frame, 0x86dd);
	frame_ipv6(&frame, "fd00::1", "fd00::2", 60, 2 * 2048 + tail_length);
	memcpy(data, frame.data, frame.length);
	length = frame.length;
	for (int i = 0; i < 2; i++) {
		data[length] = i == 0 ? 60 : (uint8_t)proto;
		data[length + 1] = 255;
		length += 2048;
	}
	memcpy(data + length, tail, tail_length);
	for (size_t cut = 0; cut <= tail_length; cut++) {
		size_t said = 2 * 2048 + cut;

		data[18] = (uint8_t)(said >> 8);
		data[19] = (uint8_t)said;
		CU_ASSERT_TRUE_FATAL(run(data, length + cut, length + cut));
		CU_ASSERT_TRUE(others_agree(data, length + cut));
		CU_ASSERT_EQUAL(last.headers.proto, cut < tail_length ? proto : 6);
	}
}

static void test_long(void)
{
	struct frame tail = { .length = 0 };

	frame_tcp(&tail, 1000, 443, MOAT_TCP_SYN);
	check_long(6, tail.data, tail.length);
	CU_ASSERT_EQUAL(last.headers.dport, 443);
	tail.length = 0;
	put_tunnel(&tail, OUTER_GRE_ALL, 0x0800, 0);
	put_inner(&tail, true);
	check_long(47, tail.data, tail.length);
	CU_ASSERT_EQUAL(last.headers.tunnel, MOAT_TUNNEL_GRE);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "every kind", test_every_kind },
		{ "cut at every byte", test_cut },
		{ "the outer headers stand", test_outer_stands },
		{ "buffers end at every byte", test_buffers },
		{ "headers longer than a buffer", test_long },
		{ NULL, NULL },
	};
	int r;

	gate_fixture_open(&gate, &(struct moat_gate_options){
					 .cells = 1024,
					 .nodes = 64,
					 .sample_pass = 1,
					 .sample_drop = 1,
					 .tunnels = tunnels,
				 });
	r = moat_test_main("gate-tunnel", tests);
	gate_fixture_close(&gate);
	return r;
}
