/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames written header by header, for tests of user space. Checksums are 0: nothing here verifies any. */
#ifndef MOAT_TESTS_FRAME_H
#define MOAT_TESTS_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/port.h"

#define FRAME_MAX 2048

struct frame {
	size_t length;
	uint8_t data[FRAME_MAX];
};

static inline void frame_u8(struct frame *frame, unsigned int value)
{
	if (frame->length < FRAME_MAX)
		frame->data[frame->length++] = (uint8_t)value;
}

static inline void frame_u16(struct frame *frame, unsigned int value)
{
	frame_u8(frame, value >> 8);
	frame_u8(frame, value);
}

static inline void frame_zeros(struct frame *frame, size_t count)
{
	while (count-- > 0)
		frame_u8(frame, 0);
}

/* Begins a frame. */
static inline void frame_ethernet(struct frame *frame, unsigned int ether_type)
{
	frame->length = 0;
	frame_u16(frame, 0x0200);
	frame_zeros(frame, 3);
	frame_u8(frame, 2);
	frame_u16(frame, 0x0200);
	frame_zeros(frame, 3);
	frame_u8(frame, 1);
	frame_u16(frame, ether_type);
}

/* After an EtherType that announces it. */
static inline void frame_tag(struct frame *frame, unsigned int vlan, unsigned int ether_type)
{
	frame_u16(frame, 0xe000 | vlan);
	frame_u16(frame, ether_type);
}

static inline void frame_address(struct frame *frame, const char *text, size_t bytes)
{
	struct moat_addr addr = { 0 };

	moat_addr_parse(text, &addr);
	for (size_t i = 16 - bytes; i < 16; i++)
		frame_u8(frame, addr.bytes[i]);
}

/* `fragment` is the flags and offset field. */
static inline void frame_ipv4(struct frame *frame, const char *src, const char *dst,
			      unsigned int proto, unsigned int fragment, size_t payload)
{
	frame_u16(frame, 0x4500);
	frame_u16(frame, (unsigned int)(20 + payload));
	frame_u16(frame, 7);
	frame_u16(frame, fragment);
	frame_u8(frame, 64);
	frame_u8(frame, proto);
	frame_u16(frame, 0);
	frame_address(frame, src, 4);
	frame_address(frame, dst, 4);
}

static inline void frame_ipv6(struct frame *frame, const char *src, const char *dst,
			      unsigned int next, size_t payload)
{
	frame_u16(frame, 0x6000);
	frame_u16(frame, 0);
	frame_u16(frame, (unsigned int)payload);
	frame_u8(frame, next);
	frame_u8(frame, 63);
	frame_address(frame, src, 16);
	frame_address(frame, dst, 16);
}

static inline void frame_tcp(struct frame *frame, unsigned int sport, unsigned int dport,
			     unsigned int flags)
{
	frame_u16(frame, sport);
	frame_u16(frame, dport);
	frame_zeros(frame, 8);
	frame_u16(frame, 0x5000 | flags);
	frame_zeros(frame, 6);
}

static inline void frame_udp(struct frame *frame, unsigned int sport, unsigned int dport,
			     size_t payload)
{
	frame_u16(frame, sport);
	frame_u16(frame, dport);
	frame_u16(frame, (unsigned int)(8 + payload));
	frame_u16(frame, 0);
	frame_zeros(frame, payload);
}

static inline struct moat_packet frame_packet(struct frame *frame, uint64_t time_ns)
{
	return (struct moat_packet){ .data = frame->data,
				     .captured = (uint32_t)frame->length,
				     .length = (uint32_t)frame->length,
				     .time_ns = time_ns };
}

#endif
