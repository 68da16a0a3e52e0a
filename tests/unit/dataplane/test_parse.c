/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/parse.c and community_id.c: each rule of moat/packet.h, and no read behind the frame. */
#include "dataplane/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "tests/harness/frame.h"
#include "tests/harness/unit.h"

#define TCP 6
#define UDP 17

/* Parses a copy that ends where its memory ends, for the sanitizer to watch. */
static enum moat_parse parse(const struct frame *frame, size_t captured,
			     struct moat_headers *ret_headers)
{
	moat_auto_free uint8_t *copy = malloc(captured ? captured : 1);

	memcpy(copy, frame->data, captured);
	return moat_headers_parse(copy, captured, frame->length, ret_headers);
}

static enum moat_parse parse_all(const struct frame *frame, struct moat_headers *ret_headers)
{
	return parse(frame, frame->length, ret_headers);
}

static void test_tcp4(void)
{
	struct moat_headers h, cut;
	char text[MOAT_ADDR_TEXT_LEN];
	struct frame frame;

	frame_ethernet(&frame, 0x0800);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.7", TCP, 0x4000, 20 + 5);
	frame_tcp(&frame, 40000, 443, MOAT_TCP_SYN | MOAT_TCP_ECE);
	frame_zeros(&frame, 5);
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_OK);
	CU_ASSERT_STRING_EQUAL(moat_addr_format(&h.src, text), "192.0.2.1");
	CU_ASSERT_STRING_EQUAL(moat_addr_format(&h.dst, text), "198.51.100.7");
	CU_ASSERT_EQUAL(h.frame_len, 59);
	CU_ASSERT_EQUAL(h.l3_len, 45);
	CU_ASSERT_EQUAL(h.l3_offset, 14);
	CU_ASSERT_EQUAL(h.l4_offset, 34);
	CU_ASSERT_TRUE(h.has_ports && h.sport == 40000 && h.dport == 443);
	CU_ASSERT_EQUAL(h.tcp_flags, MOAT_TCP_SYN | MOAT_TCP_ECE);
	CU_ASSERT_EQUAL(h.ttl, 64);
	CU_ASSERT_EQUAL(h.fragment, MOAT_FRAGMENT_NONE);
	CU_ASSERT_EQUAL(h.family, MOAT_FAMILY_V4);

	/* cut anywhere before the transport header's end it is truncated; addresses are there from 34 on */
	for (size_t captured = 0; captured < 54; captured++) {
		CU_ASSERT_EQUAL(parse(&frame, captured, &cut), MOAT_PARSE_TRUNCATED);
		CU_ASSERT_EQUAL(cut.family, captured < 34 ? MOAT_FAMILY_ANY : MOAT_FAMILY_V4);
		CU_ASSERT_FALSE(cut.has_ports);
	}
	for (size_t captured = 54; captured <= frame.length; captured++) {
		CU_ASSERT_EQUAL(parse(&frame, captured, &cut), MOAT_PARSE_OK);
		CU_ASSERT_EQUAL(memcmp(&cut, &h, sizeof(h)), 0);
	}
}

static void test_padding(void)
{
	struct moat_headers h;
	struct frame frame;

	/* a datagram too short for its TCP header, in a frame long enough to hold one */
	frame_ethernet(&frame, 0x0800);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.7", TCP, 0, 8);
	frame_tcp(&frame, 1, 2, MOAT_TCP_SYN);
	frame_zeros(&frame, 20);
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_TRUNCATED);
	CU_ASSERT_FALSE(h.has_ports);
	CU_ASSERT_EQUAL(h.l3_len, 28);
	/* as UDP the eight bytes suffice */
	frame.data[23] = UDP;
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_OK);
	CU_ASSERT_EQUAL(h.dport, 2);
}

static void test_malformed4(void)
{
	struct moat_headers h;
	struct frame frame;

	frame_ethernet(&frame, 0x0800);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.7", UDP, 0, 8);
	frame_udp(&frame, 1, 2, 0);
	frame.data[14] = 0x55; /* version */
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_MALFORMED);
	CU_ASSERT_EQUAL(h.family, MOAT_FAMILY_ANY);
	frame.data[14] = 0x44; /* header below 20 bytes */
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_MALFORMED);
	frame.data[14] = 0x48; /* header longer than the datagram */
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_MALFORMED);
	frame.data[14] = 0x45;
	frame.data[17] = 29; /* datagram longer than the frame */
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_MALFORMED);
	frame.data[17] = 28;
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_OK);
	frame.data[14] = 0x47; /* eight bytes of options, no transport left */
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_TRUNCATED);
	CU_ASSERT_EQUAL(h.l4_offset, 42);
}

static void test_fragments4(void)
{
	struct moat_headers h;
	struct frame frame;

	frame_ethernet(&frame, 0x0800);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.7", UDP, 0x2000, 16);
	frame_udp(&frame, 7, 53, 8);
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_OK);
	CU_ASSERT_EQUAL(h.fragment, MOAT_FRAGMENT_FIRST);
	CU_ASSERT_EQUAL(h.dport, 53);
	frame.data[21] = 2; /* offset 16, more to come */
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_OK);
	CU_ASSERT_EQUAL(h.fragment, MOAT_FRAGMENT_LATER);
	CU_ASSERT_EQUAL(h.proto, UDP);
	CU_ASSERT_TRUE(!h.has_ports && h.sport == 0 && h.dport == 0);
}

static void test_tags(void)
{
	struct moat_headers h;
	struct frame frame;

	frame_ethernet(&frame, 0x88a8);
	frame_tag(&frame, 100, 0x8100);
	frame_tag(&frame, 200, 0x0800);
	frame_ipv4(&frame, "192.0.2.1", "198.51.100.7", 1, 0, 4);
	frame_u16(&frame, 0x0301);
	frame_u16(&frame, 0);
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_OK);
	CU_ASSERT_EQUAL(h.vlan, 100);
	CU_ASSERT_EQUAL(h.ether_type, 0x0800);
	CU_ASSERT_EQUAL(h.l3_offset, 22);
	CU_ASSERT_TRUE(h.icmp_type == 3 && h.icmp_code == 1 && !h.has_ports);
	CU_ASSERT_EQUAL(parse(&frame, 17, &h), MOAT_PARSE_TRUNCATED);

	frame_ethernet(&frame, 0x8100);
	frame_tag(&frame, 1, 0x8100);
	frame_tag(&frame, 2, 0x8100);
	frame_tag(&frame, 3, 0x0800);
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_DEPTH);
	CU_ASSERT_EQUAL(h.vlan, 1);

	frame_ethernet(&frame, 0x0806);
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_NOT_IP);
	CU_ASSERT_EQUAL(h.ether_type, 0x0806);
}

static void test_ipv6(void)
{
	struct moat_headers h, cut;
	char text[MOAT_ADDR_TEXT_LEN];
	struct frame frame;

	frame_ethernet(&frame, 0x86dd);
	frame_ipv6(&frame, "2001:db8::1", "2001:db8::2", 0, 8 + 16 + 12 + 20);
	frame_u16(&frame, 60 << 8); /* hop-by-hop, 8 bytes */
	frame_zeros(&frame, 6);
	frame_u16(&frame, 51 << 8 | 1); /* destination options, 16 bytes */
	frame_zeros(&frame, 14);
	frame_u16(&frame, TCP << 8 | 1); /* AH, 12 bytes */
	frame_zeros(&frame, 10);
	frame_tcp(&frame, 1000, 22, MOAT_TCP_ACK);
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_OK);
	CU_ASSERT_EQUAL(h.proto, TCP);
	CU_ASSERT_EQUAL(h.dport, 22);
	CU_ASSERT_EQUAL(h.l4_offset, 54 + 8 + 16 + 12);
	CU_ASSERT_EQUAL(h.l3_len, 40 + 56);
	CU_ASSERT_EQUAL(h.ttl, 63);
	CU_ASSERT_STRING_EQUAL(moat_addr_format(&h.dst, text), "2001:db8::2");
	for (size_t captured = 0; captured < frame.length; captured++)
		CU_ASSERT_EQUAL(parse(&frame, captured, &cut), MOAT_PARSE_TRUNCATED);
	frame.data[18] = 1; /* payload longer than the frame */
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_MALFORMED);
	frame.data[18] = 0;
	frame.data[55] = 255; /* an extension header that leaves the datagram */
	CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_TRUNCATED);
	CU_ASSERT_EQUAL(h.proto, 0);
}

static void test_ipv6_depth(void)
{
	struct moat_headers h;
	struct frame frame;

	for (unsigned int headers = 5; headers <= 7; headers++) {
		frame_ethernet(&frame, 0x86dd);
		frame_ipv6(&frame, "2001:db8::1", "2001:db8::2", 60, headers * 8 + 8);
		for (unsigned int i = 1; i <= headers; i++) {
			frame_u16(&frame, (i == headers ? UDP : 60) << 8);
			frame_zeros(&frame, 6);
		}
		frame_udp(&frame, 1, 2, 0);
		CU_ASSERT_EQUAL(parse_all(&frame, &h),
				headers <= MOAT_EXT_DEPTH ? MOAT_PARSE_OK : MOAT_PARSE_DEPTH);
	}
}

static void test_fragments6(void)
{
	static const struct {
		unsigned int offset;
		enum moat_fragment fragment;
		unsigned int dport;
	} cases[] = {
		{ 0, MOAT_FRAGMENT_NONE, 53 }, /* atomic */
		{ 1, MOAT_FRAGMENT_FIRST, 53 },
		{ 8, MOAT_FRAGMENT_LATER, 0 },
		{ 9, MOAT_FRAGMENT_LATER, 0 },
	};
	struct moat_headers h;
	struct frame frame;

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		frame_ethernet(&frame, 0x86dd);
		frame_ipv6(&frame, "2001:db8::1", "2001:db8::2", 44, 16);
		frame_u16(&frame, UDP << 8);
		frame_u16(&frame, cases[i].offset);
		frame_zeros(&frame, 4);
		frame_udp(&frame, 9, 53, 0);
		CU_ASSERT_EQUAL(parse_all(&frame, &h), MOAT_PARSE_OK);
		CU_ASSERT_EQUAL(h.fragment, cases[i].fragment);
		CU_ASSERT_EQUAL(h.dport, cases[i].dport);
		CU_ASSERT_EQUAL(h.proto, UDP);
	}
}

/* Ids of the specification's own baseline, both ways round. */
static void expect_id(const char *src, const char *dst, uint8_t proto, uint16_t first,
		      uint16_t second, const char *id)
{
	struct moat_headers h = { .proto = proto };
	char text[MOAT_COMMUNITY_ID_LEN] = "";

	moat_addr_parse(src, &h.src);
	moat_addr_parse(dst, &h.dst);
	h.family = moat_addr_is_v4(&h.src) ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6;
	if (proto == 1 || proto == 58) {
		h.icmp_type = (uint8_t)first;
		h.icmp_code = (uint8_t)second;
	} else if (first || second) {
		h.has_ports = 1;
		h.sport = first;
		h.dport = second;
	}
	CU_ASSERT_EQUAL(moat_headers_community_id(&h, text), 0);
	CU_ASSERT_STRING_EQUAL(text, id);
}

static void test_community_id(void)
{
	struct moat_headers none = { 0 };
	char text[MOAT_COMMUNITY_ID_LEN];

	expect_id("128.232.110.120", "66.35.250.204", TCP, 34855, 80,
		  "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
	expect_id("66.35.250.204", "128.232.110.120", TCP, 80, 34855,
		  "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
	expect_id("192.168.1.52", "8.8.8.8", UDP, 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
	expect_id("192.168.0.89", "192.168.0.1", 1, 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
	expect_id("192.168.0.1", "192.168.0.89", 1, 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
	expect_id("192.168.170.8", "192.168.170.56", 132, 7, 80, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=");
	expect_id("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 58, 135, 0,
		  "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=");
	CU_ASSERT_EQUAL(moat_headers_community_id(&none, text), -ENODATA);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "tcp4", test_tcp4 },
		{ "padding", test_padding },
		{ "malformed4", test_malformed4 },
		{ "fragments4", test_fragments4 },
		{ "tags", test_tags },
		{ "ipv6", test_ipv6 },
		{ "ipv6_depth", test_ipv6_depth },
		{ "fragments6", test_fragments6 },
		{ "community_id", test_community_id },
		{ NULL, NULL },
	};

	return moat_test_main("parse", tests);
}
