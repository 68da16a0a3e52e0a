/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's parser, seen through samples of every packet: each kind of header, tags, extension headers,
 * fragments, padding, and each frame cut off at every byte.
 */
#include <string.h>

#include "dataplane/base/addr.h"
#include "tests/harness/unit.h"
#include "tests/progrun/frame.h"
#include "tests/progrun/gate_fixture.h"

static struct gate_fixture gate;
static struct moat_sample last;

static void keep_sample(void *userdata, const struct moat_sample *sample)
{
	last = *sample;
}

/* Runs the frame; its sample is in `last`. */
static const struct moat_headers *parse_bytes(const uint8_t *data, size_t length)
{
	memset(&last, 0xa5, sizeof(last));
	CU_ASSERT_NOT_EQUAL(gate_fixture_reason(&gate, data, length), MOAT_REASON_COUNT);
	CU_ASSERT_EQUAL(moat_gate_poll(gate.gate, 2, keep_sample, NULL), 1);
	return &last.headers;
}

static const struct moat_headers *parse(const struct frame *frame)
{
	return parse_bytes(frame->data, frame->length);
}

static bool is_addr(const struct moat_addr *addr, const char *text)
{
	struct moat_addr expected;

	return moat_addr_parse(text, &expected) == 0 && moat_addr_equal(addr, &expected);
}

static void test_tcp_v4(void)
{
	struct frame frame;
	const struct moat_headers *h;

	frame_simple(&frame, "192.0.2.1", "198.51.100.2", 6, 1234, 443, MOAT_TCP_SYN | MOAT_TCP_ECE,
		     5);
	frame_pad(&frame, 64);
	h = parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_OK);
	CU_ASSERT_EQUAL(last.reason, MOAT_REASON_PASS_NO_TABLE);
	CU_ASSERT_EQUAL(last.port, gate.port.index);
	CU_ASSERT_EQUAL(last.interval, 1);
	CU_ASSERT_TRUE(is_addr(&h->src, "192.0.2.1"));
	CU_ASSERT_TRUE(is_addr(&h->dst, "198.51.100.2"));
	CU_ASSERT_EQUAL(h->frame_len, 64);
	CU_ASSERT_EQUAL(h->l3_len, 45);
	CU_ASSERT_EQUAL(h->l3_offset, 14);
	CU_ASSERT_EQUAL(h->l4_offset, 34);
	CU_ASSERT_EQUAL(h->ether_type, 0x0800);
	CU_ASSERT_EQUAL(h->vlan, 0);
	CU_ASSERT_EQUAL(h->family, MOAT_FAMILY_V4);
	CU_ASSERT_EQUAL(h->proto, 6);
	CU_ASSERT_EQUAL(h->sport, 1234);
	CU_ASSERT_EQUAL(h->dport, 443);
	CU_ASSERT_EQUAL(h->has_ports, 1);
	CU_ASSERT_EQUAL(h->tcp_flags, MOAT_TCP_SYN | MOAT_TCP_ECE);
	CU_ASSERT_EQUAL(h->ttl, 64);
	CU_ASSERT_EQUAL(last.cap_len, 64);
	CU_ASSERT_EQUAL(memcmp(last.data, frame.data, 64), 0);
}

static void test_other_transports(void)
{
	struct frame frame;
	const struct moat_headers *h;

	frame_begin(&frame);
	frame_ipv4(&frame, "1.2.3.4", "5.6.7.8", 0, 40);
	frame_udp(&frame, 53, 5353);
	frame_end(&frame);
	h = parse(&frame);
	CU_ASSERT(h->proto == 17 && h->sport == 53 && h->dport == 5353 && h->l4_offset == 74);

	frame_begin(&frame);
	frame_ipv4(&frame, "1.2.3.4", "5.6.7.8", 0, 0);
	frame_sctp(&frame, 7, 8);
	frame_end(&frame);
	h = parse(&frame);
	CU_ASSERT(h->proto == 132 && h->sport == 7 && h->dport == 8 && h->has_ports);

	frame_begin(&frame);
	frame_ipv4(&frame, "1.2.3.4", "5.6.7.8", 0, 0);
	frame_icmp(&frame, 3, 4);
	frame_end(&frame);
	h = parse(&frame);
	CU_ASSERT(h->proto == 1 && h->icmp_type == 3 && h->icmp_code == 4 && !h->has_ports);

	frame_begin(&frame);
	frame_ipv4(&frame, "1.2.3.4", "5.6.7.8", 0, 0);
	frame_proto(&frame, 47);
	frame_payload(&frame, 30);
	frame_end(&frame);
	h = parse(&frame);
	CU_ASSERT(last.parse == MOAT_PARSE_OK && h->proto == 47 && h->sport == 0 && !h->has_ports);
}

static void test_tags(void)
{
	struct frame frame;
	const struct moat_headers *h;

	frame_begin(&frame);
	frame_vlan(&frame, 0x88a8, 100);
	frame_vlan(&frame, 0x8100, 4095);
	frame_ipv6(&frame, "2001:db8::1", "2001:db8::2");
	frame_icmp(&frame, 135, 0);
	frame_end(&frame);
	h = parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_OK);
	CU_ASSERT(h->vlan == 100 && h->l3_offset == 22 && h->ether_type == 0x86dd);
	CU_ASSERT(h->proto == 58 && h->icmp_type == 135);

	frame_begin(&frame);
	for (int i = 0; i < 3; i++)
		frame_vlan(&frame, 0x8100, 7);
	frame_ipv4(&frame, "1.2.3.4", "5.6.7.8", 0, 0);
	frame_udp(&frame, 1, 2);
	frame_end(&frame);
	h = parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_DEPTH);
	CU_ASSERT_EQUAL(last.reason, MOAT_REASON_PASS_NO_TABLE);
	CU_ASSERT(h->vlan == 7 && h->family == MOAT_FAMILY_ANY);

	frame_begin(&frame);
	frame_vlan(&frame, 0x8100, 7);
	frame_type(&frame, 0x0806);
	frame_payload(&frame, 28);
	h = parse(&frame);
	CU_ASSERT(last.parse == MOAT_PARSE_NOT_IP && h->ether_type == 0x0806 && h->frame_len == 46);
}

static void test_extensions(void)
{
	static const uint8_t types[] = { 0, 60, 43, 51, 60, 43 };
	struct frame frame;
	const struct moat_headers *h;

	for (unsigned int count = 0; count <= 7; count++) {
		frame_begin(&frame);
		frame_ipv6(&frame, "2001:db8::1", "2001:db8::2");
		for (unsigned int i = 0; i < count; i++)
			frame_extension(&frame, types[i % sizeof(types)], i % 3 + 1);
		frame_tcp(&frame, 1000, 2000, MOAT_TCP_ACK);
		frame_end(&frame);
		h = parse(&frame);
		if (count > MOAT_EXT_DEPTH) {
			CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_DEPTH);
			continue;
		}
		CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_OK);
		CU_ASSERT(h->proto == 6 && h->sport == 1000 && h->tcp_flags == MOAT_TCP_ACK);
		CU_ASSERT_EQUAL(h->l4_offset, frame.length - 20);
	}
	/* ESP ends the walk */
	frame_begin(&frame);
	frame_ipv6(&frame, "2001:db8::1", "2001:db8::2");
	frame_extension(&frame, 50, 2);
	frame_tcp(&frame, 1000, 2000, MOAT_TCP_ACK);
	frame_end(&frame);
	frame.data[frame.ip_at + 6] = 50;
	h = parse(&frame);
	CU_ASSERT(last.parse == MOAT_PARSE_OK && h->proto == 50 && h->l4_offset == 54);
}

static void test_fragments(void)
{
	static const struct {
		uint16_t v4, v6;
		enum moat_fragment fragment;
	} cases[] = {
		{ 0x0000, 0x0000, MOAT_FRAGMENT_NONE },
		{ 0x4000, 0x0000, MOAT_FRAGMENT_NONE }, /* don't fragment; atomic */
		{ 0x2000, 0x0001, MOAT_FRAGMENT_FIRST },
		{ 0x2001, 0x0009, MOAT_FRAGMENT_LATER },
		{ 0x1fff, 0xfff8, MOAT_FRAGMENT_LATER },
	};
	struct frame frame;
	const struct moat_headers *h;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool later = cases[i].fragment == MOAT_FRAGMENT_LATER;

		for (int family = 4; family <= 6; family += 2) {
			frame_begin(&frame);
			if (family == 4) {
				frame_ipv4(&frame, "1.2.3.4", "5.6.7.8", cases[i].v4, 0);
			} else {
				frame_ipv6(&frame, "2001:db8::1", "2001:db8::2");
				frame_extension(&frame, 44, cases[i].v6);
			}
			frame_udp(&frame, 53, 99);
			frame_end(&frame);
			h = parse(&frame);
			CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_OK);
			CU_ASSERT_EQUAL(h->fragment, cases[i].fragment);
			CU_ASSERT_EQUAL(h->proto, 17);
			CU_ASSERT_EQUAL(h->has_ports, !later);
			CU_ASSERT_EQUAL(h->sport, later ? 0 : 53);
		}
	}
}

static void test_malformed(void)
{
	struct frame good, frame;

	frame_simple(&good, "1.2.3.4", "5.6.7.8", 6, 1, 2, MOAT_TCP_ACK, 20);
	frame = good;
	frame.data[14] = 0x55; /* version */
	parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_MALFORMED);
	CU_ASSERT_EQUAL(last.reason, MOAT_REASON_PASS_NO_TABLE);
	frame = good;
	frame.data[14] = 0x44; /* header of 16 bytes */
	parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_MALFORMED);
	frame = good;
	frame.data[17]++; /* a byte more than the frame has */
	parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_MALFORMED);
	frame = good;
	frame.data[17] = 19; /* less than its header */
	parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_MALFORMED);
	/* the header of TCP ends behind the datagram, and what follows is padding */
	frame = good;
	frame.data[17] = 39;
	parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_TRUNCATED);
	CU_ASSERT(last.headers.family == MOAT_FAMILY_V4 && last.headers.tcp_flags == 0);
	frame_simple(&frame, "2001:db8::1", "2001:db8::2", 17, 1, 2, 0, 20);
	frame.data[19] = 7; /* payload length */
	parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_TRUNCATED);
}

/* Cut anywhere: never OK before the datagram is whole, and nothing behind the cut is told. */
static void cut_everywhere(const struct frame *frame)
{
	for (size_t length = 14; length < frame->length; length++) {
		const struct moat_headers *h = parse_bytes(frame->data, length);

		CU_ASSERT_NOT_EQUAL(last.parse, MOAT_PARSE_OK);
		CU_ASSERT_EQUAL(h->frame_len, length);
		CU_ASSERT_EQUAL(last.cap_len,
				length < MOAT_SAMPLE_BYTES ? length : MOAT_SAMPLE_BYTES);
		if (length < frame->ip_at + (frame->family == 4 ? 20 : 40))
			CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_TRUNCATED);
		CU_ASSERT(h->has_ports == 0 && h->tcp_flags == 0 && h->family == MOAT_FAMILY_ANY);
	}
	parse(frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_OK);
}

static void test_truncated(void)
{
	struct frame frame;

	frame_begin(&frame);
	frame_vlan(&frame, 0x88a8, 1);
	frame_vlan(&frame, 0x8100, 2);
	frame_ipv4(&frame, "1.2.3.4", "5.6.7.8", 0, 24);
	frame_tcp(&frame, 1, 2, MOAT_TCP_ACK);
	frame_end(&frame);
	cut_everywhere(&frame);

	frame_begin(&frame);
	frame_ipv6(&frame, "2001:db8::1", "2001:db8::2");
	frame_extension(&frame, 0, 1);
	frame_extension(&frame, 44, 1);
	frame_extension(&frame, 51, 4);
	frame_extension(&frame, 60, 0);
	frame_udp(&frame, 1, 2);
	frame_end(&frame);
	cut_everywhere(&frame);
}

/* The same, but the IP header says the datagram ends where the frame does. */
static void test_truncated_within(void)
{
	struct frame frame, cut;

	frame_begin(&frame);
	frame_ipv6(&frame, "2001:db8::1", "2001:db8::2");
	frame_extension(&frame, 60, 1);
	frame_extension(&frame, 51, 1);
	frame_tcp(&frame, 1, 2, MOAT_TCP_ACK);
	for (size_t length = 54; length < frame.length; length++) {
		cut = frame;
		cut.length = length;
		frame_end(&cut);
		parse(&cut);
		CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_TRUNCATED);
		CU_ASSERT(last.headers.family == MOAT_FAMILY_V6 && !last.headers.has_ports);
	}
}

/* A fragment header that begins in the datagram and ends in its padding: nothing of it was there. */
static void test_padding(void)
{
	struct frame frame;
	const struct moat_headers *h;

	frame_begin(&frame);
	frame_ipv6(&frame, "2001:db8::1", "2001:db8::2");
	frame_extension(&frame, 44, 1);
	frame.length -= 8;
	frame_end(&frame);
	frame_pad(&frame, 64);
	h = parse(&frame);
	CU_ASSERT_EQUAL(last.parse, MOAT_PARSE_TRUNCATED);
	CU_ASSERT_EQUAL(h->family, MOAT_FAMILY_V6);
	CU_ASSERT_EQUAL(h->proto, 44);
	CU_ASSERT_EQUAL(h->fragment, MOAT_FRAGMENT_NONE);
}

static const struct moat_test tests[] = {
	{ "TCP, IPv4", test_tcp_v4 },
	{ "other transports", test_other_transports },
	{ "tags", test_tags },
	{ "extension headers", test_extensions },
	{ "fragments", test_fragments },
	{ "malformed", test_malformed },
	{ "truncated at every byte", test_truncated },
	{ "truncated within the datagram", test_truncated_within },
	{ "headers in the padding", test_padding },
	{ NULL, NULL },
};

int main(void)
{
	int r;

	gate_fixture_open(&gate,
			  &(struct moat_gate_options){
				  .cells = 1024, .nodes = 64, .sample_pass = 1, .sample_drop = 1 });
	r = moat_test_main("gate-parse", tests);
	gate_fixture_close(&gate);
	return r;
}
