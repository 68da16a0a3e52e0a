/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ctl/flows/pour.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_NS (1000000ULL << MOAT_WINDOW_SHIFT_MS)
#define TCP 6
#define UDP 17

struct stream {
	struct moat_headers headers;
	uint64_t packets, bytes; /* still to be counted */
	uint32_t windows;        /* in so many windows */
};

struct moat_pour {
	struct moat_cells *cells;
	uint64_t lumps;
	size_t count;
	struct stream streams[MOAT_POUR_FLOWS]; /* the first `count` */
};

int moat_pour_new(struct moat_cells *cells, struct moat_pour **ret_pour)
{
	struct moat_pour *pour = calloc(1, sizeof(*pour));

	if (!pour)
		return -ENOMEM;
	pour->cells = cells;
	*ret_pour = pour;
	return 0;
}

void moat_pour_free(struct moat_pour *pour)
{
	free(pour);
}

/* Flags of all packets of a flow: those of a conversation are mostly ACKs. */
static uint8_t flags_of(const struct moat_flow_half *half)
{
	const uint8_t all = MOAT_TCP_SYN | MOAT_TCP_ACK | MOAT_TCP_RST | MOAT_TCP_FIN;
	uint8_t flags = half->tcp_flags & all;

	/* many packets with few flags are many of a kind; a SYN among ACKs is one */
	if ((flags & MOAT_TCP_ACK) && half->packets > 1 && flags != (MOAT_TCP_SYN | MOAT_TCP_ACK) &&
	    flags != (MOAT_TCP_RST | MOAT_TCP_ACK))
		return MOAT_TCP_ACK;
	/* exporters that don't tell flags: anything but a flood of nulls */
	return flags ? flags : MOAT_TCP_ACK;
}

static void headers_of(const struct moat_flow_half *half, struct moat_headers *ret_headers)
{
	uint64_t length = half->packets ? half->bytes / half->packets : 0;

	memset(ret_headers, 0, sizeof(*ret_headers));
	ret_headers->src = half->src;
	ret_headers->dst = half->dst;
	ret_headers->family = moat_addr_is_v4(&half->src) ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6;
	ret_headers->proto = half->proto;
	ret_headers->sport = half->sport;
	ret_headers->dport = half->dport;
	ret_headers->has_ports = half->proto == TCP || half->proto == UDP;
	ret_headers->tcp_flags = half->proto == TCP ? flags_of(half) : 0;
	ret_headers->l3_len = length > UINT16_MAX ? UINT16_MAX : (uint16_t)length;
}

void moat_pour_add(struct moat_pour *pour, const struct moat_flow_half *half, uint32_t window)
{
	uint64_t windows = half->duration_ns / WINDOW_NS + 1;
	struct stream stream = { .packets = half->packets * half->sampling,
				 .bytes = half->bytes * half->sampling };

	headers_of(half, &stream.headers);
	/* a sample or a short flow stands for the second around it */
	if (windows < MOAT_POUR_WINDOWS_MIN && (half->sampling > 1 || half->packets > 1))
		windows = MOAT_POUR_WINDOWS_MIN;
	if (windows > MOAT_POUR_WINDOWS_MAX)
		windows = MOAT_POUR_WINDOWS_MAX;
	if (windows > stream.packets)
		windows = stream.packets;
	stream.windows = (uint32_t)windows;
	if (windows == 0)
		return;
	if (pour->count == MOAT_POUR_FLOWS) {
		pour->lumps++;
		moat_cells_add(pour->cells, &stream.headers, stream.packets, stream.bytes, window);
		return;
	}
	pour->streams[pour->count++] = stream;
}

void moat_pour_window(struct moat_pour *pour, uint32_t window)
{
	for (size_t i = 0; i < pour->count;) {
		struct stream *stream = &pour->streams[i];
		uint64_t packets = stream->packets / stream->windows,
			 bytes = stream->bytes / stream->windows;

		moat_cells_add(pour->cells, &stream->headers, packets, bytes, window);
		stream->packets -= packets;
		stream->bytes -= bytes;
		if (--stream->windows == 0)
			*stream = pour->streams[--pour->count];
		else
			i++;
	}
}

size_t moat_pour_waiting(const struct moat_pour *pour)
{
	return pour->count;
}

uint64_t moat_pour_lumps(const struct moat_pour *pour)
{
	return pour->lumps;
}
