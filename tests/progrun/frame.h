/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Crafted frames, header by header: begin, tags, one IP header, extension headers, one transport, payload,
 * end (which fills in the lengths). Checksums stay 0: no judge looks at them.
 */
#ifndef MOAT_TESTS_PROGRUN_FRAME_H
#define MOAT_TESTS_PROGRUN_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 2048

struct frame {
	uint8_t data[FRAME_MAX];
	size_t length;
	size_t type_at; /* where the EtherType stands that the next header fills in */
	size_t ip_at;   /* 0: none */
	size_t next_at; /* where the protocol stands that the next header fills in */
	size_t udp_at;  /* of the last UDP header; 0: none */
	int family;
};

void frame_begin(struct frame *frame);
/* `tpid` 0x8100 or 0x88a8, or anything else to see it refused. */
void frame_vlan(struct frame *frame, uint16_t tpid, uint16_t id);
void frame_type(struct frame *frame, uint16_t ether_type);
/* Addresses as text; `flags_offset` as in the header (0x2000: more fragments). */
void frame_ipv4(struct frame *frame, const char *src, const char *dst, uint16_t flags_offset,
		size_t option_bytes);
void frame_ipv6(struct frame *frame, const char *src, const char *dst);
/* Types 0, 43, 60: `units` of 8 bytes behind the first 8; 51: words; 44: units is offset << 3 | more. */
void frame_extension(struct frame *frame, uint8_t type, unsigned int units);
void frame_tcp(struct frame *frame, uint16_t sport, uint16_t dport, uint8_t flags);
void frame_udp(struct frame *frame, uint16_t sport, uint16_t dport);
void frame_sctp(struct frame *frame, uint16_t sport, uint16_t dport);
/* ICMP in IPv4, ICMPv6 in IPv6. */
void frame_icmp(struct frame *frame, uint8_t type, uint8_t code);
/* Names the transport and adds nothing. */
void frame_proto(struct frame *frame, uint8_t proto);
void frame_payload(struct frame *frame, size_t bytes);
/* Fills in the lengths of the IP and UDP headers. */
void frame_end(struct frame *frame);
/* Padding behind the datagram, of 0xff bytes: what must never be read. */
void frame_pad(struct frame *frame, size_t length);

/* The usual one: TCP or UDP without options, of either family by the form of `src`. */
void frame_simple(struct frame *frame, const char *src, const char *dst, uint8_t proto,
		  uint16_t sport, uint16_t dport, uint8_t tcp_flags, size_t payload);

#endif
