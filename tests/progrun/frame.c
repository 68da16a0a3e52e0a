/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/progrun/frame.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *grow(struct frame *frame, size_t bytes)
{
	uint8_t *at = frame->data + frame->length;

	if (frame->length + bytes > FRAME_MAX)
		abort();
	memset(at, 0, bytes);
	frame->length += bytes;
	return at;
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

void frame_begin(struct frame *frame)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };

	memset(frame, 0, sizeof(*frame));
	memcpy(grow(frame, 14), macs, sizeof(macs));
	frame->type_at = 12;
}

void frame_vlan(struct frame *frame, uint16_t tpid, uint16_t id)
{
	uint8_t *tag = grow(frame, 4);

	put16(frame->data + frame->type_at, tpid);
	put16(tag, 0xe000 | id); /* priority 7: not part of the id */
	frame->type_at = frame->length - 2;
}

void frame_type(struct frame *frame, uint16_t ether_type)
{
	put16(frame->data + frame->type_at, ether_type);
}

void frame_ipv4(struct frame *frame, const char *src, const char *dst, uint16_t flags_offset,
		size_t option_bytes)
{
	uint8_t *ip;

	frame_type(frame, 0x0800);
	frame->ip_at = frame->length;
	frame->family = 4;
	ip = grow(frame, 20 + option_bytes);
	ip[0] = (uint8_t)(0x40 | (20 + option_bytes) / 4);
	put16(ip + 6, flags_offset);
	ip[8] = 64;
	if (inet_pton(AF_INET, src, ip + 12) != 1 || inet_pton(AF_INET, dst, ip + 16) != 1)
		abort();
	memset(ip + 20, 1, option_bytes); /* no-operation */
	frame->next_at = frame->ip_at + 9;
}

void frame_ipv6(struct frame *frame, const char *src, const char *dst)
{
	uint8_t *ip;

	frame_type(frame, 0x86dd);
	frame->ip_at = frame->length;
	frame->family = 6;
	ip = grow(frame, 40);
	ip[0] = 0x60;
	ip[7] = 64;
	if (inet_pton(AF_INET6, src, ip + 8) != 1 || inet_pton(AF_INET6, dst, ip + 24) != 1)
		abort();
	frame->next_at = frame->ip_at + 6;
}

void frame_proto(struct frame *frame, uint8_t proto)
{
	frame->data[frame->next_at] = proto;
}

void frame_extension(struct frame *frame, uint8_t type, unsigned int units)
{
	uint8_t *extension;

	frame_proto(frame, type);
	frame->next_at = frame->length;
	if (type == 44) {
		put16(grow(frame, 8) + 2, (uint16_t)units);
		return;
	}
	extension = grow(frame, type == 51 ? (units + 2) * 4 : (units + 1) * 8);
	extension[1] = (uint8_t)units;
}

void frame_tcp(struct frame *frame, uint16_t sport, uint16_t dport, uint8_t flags)
{
	uint8_t *tcp = grow(frame, 20);

	frame_proto(frame, 6);
	put16(tcp, sport);
	put16(tcp + 2, dport);
	tcp[12] = 0x50;
	tcp[13] = flags;
}

void frame_udp(struct frame *frame, uint16_t sport, uint16_t dport)
{
	uint8_t *udp = grow(frame, 8);

	frame->udp_at = frame->length - 8;
	frame_proto(frame, 17);
	put16(udp, sport);
	put16(udp + 2, dport);
}

void frame_sctp(struct frame *frame, uint16_t sport, uint16_t dport)
{
	uint8_t *sctp = grow(frame, 12);

	frame_proto(frame, 132);
	put16(sctp, sport);
	put16(sctp + 2, dport);
}

void frame_icmp(struct frame *frame, uint8_t type, uint8_t code)
{
	uint8_t *icmp = grow(frame, 8);

	frame_proto(frame, frame->family == 4 ? 1 : 58);
	icmp[0] = type;
	icmp[1] = code;
}

void frame_payload(struct frame *frame, size_t bytes)
{
	memset(grow(frame, bytes), 'x', bytes);
}

void frame_end(struct frame *frame)
{
	size_t bytes = frame->length - frame->ip_at;

	if (frame->family == 4)
		put16(frame->data + frame->ip_at + 2, (uint16_t)bytes);
	else
		put16(frame->data + frame->ip_at + 4, (uint16_t)(bytes - 40));
	if (frame->udp_at)
		put16(frame->data + frame->udp_at + 4, (uint16_t)(frame->length - frame->udp_at));
}

void frame_pad(struct frame *frame, size_t length)
{
	size_t bytes = length > frame->length ? length - frame->length : 0;

	memset(grow(frame, bytes), 0xff, bytes);
}

void frame_simple(struct frame *frame, const char *src, const char *dst, uint8_t proto,
		  uint16_t sport, uint16_t dport, uint8_t tcp_flags, size_t payload)
{
	frame_begin(frame);
	if (strchr(src, ':'))
		frame_ipv6(frame, src, dst);
	else
		frame_ipv4(frame, src, dst, 0, 0);
	if (proto == 6)
		frame_tcp(frame, sport, dport, tcp_flags);
	else if (proto == 17)
		frame_udp(frame, sport, dport);
	else
		frame_proto(frame, proto);
	frame_payload(frame, payload);
	frame_end(frame);
}
