/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a worker tells detection of its flows: that they speak, what they begin with, and how they end.
 * Rings that are full lose and count; nothing here waits.
 */
#include <netinet/in.h>
#include <string.h>

#include "dataplane/flow_table.h"
#include "dataplane/worker_priv.h"

/* Payloads of a direction from the first on; of protocols that come to the point late, more. */
#define CONTENTS_ANY 3
#define CONTENTS_LATE 40

/* Bytes behind the transport header by the IP header, and where they begin in the frame. */
static uint32_t payload_of(const struct moat_packet *packet, const struct moat_headers *h,
			   uint32_t *ret_offset)
{
	uint32_t before = (uint32_t)h->l4_offset - h->l3_offset, header;

	if (h->l4_offset < h->l3_offset || h->broken)
		return 0;
	if (h->proto == IPPROTO_UDP)
		header = 8;
	else if (h->proto == IPPROTO_TCP && packet->captured > h->l4_offset + 12U)
		header = (uint32_t)(packet->data[h->l4_offset + 12] >> 4) * 4;
	else
		return 0;
	*ret_offset = h->l4_offset + header;
	return h->l3_len > before + header ? h->l3_len - before - header : 0;
}

/* Where the point comes after a handshake or with every message: SMB and RPC, mail, FTP, HTTP. */
static unsigned int contents_wanted(uint16_t server_port)
{
	switch (server_port) {
	case 53:
	case 67:
		return UINT8_MAX + 1;
	case 21:
	case 25:
	case 80:
	case 110:
	case 135:
	case 139:
	case 143:
	case 445:
	case 587:
	case 8000:
	case 8080:
		return CONTENTS_LATE;
	default:
		return CONTENTS_ANY;
	}
}

static void push_content(struct moat_worker *worker, const struct moat_packet *packet,
			 const struct moat_headers *h, const struct moat_flow_turn *turn,
			 uint32_t offset, uint32_t length)
{
	struct moat_content content = {
		.client = turn->direction ? h->dst : h->src,
		.server = turn->direction ? h->src : h->dst,
		.time_ns = packet->time_ns,
		.client_port = turn->client_port,
		.server_port = turn->server_port,
		.length = (uint16_t)length,
		.proto = h->proto,
		.direction = turn->direction,
		.index = turn->before,
	};
	uint32_t captured = packet->captured > offset ? packet->captured - offset : 0;

	/* what is behind the datagram is padding */
	if (captured > length)
		captured = length;
	if (captured > MOAT_CONTENT_BYTES)
		captured = MOAT_CONTENT_BYTES;
	content.captured = (uint16_t)captured;
	memcpy(content.data, packet->data + offset, captured);
	moat_ring_push(&worker->contents, &content);
}

static void push_record(void *userdata, const struct moat_flow_record *record)
{
	struct moat_worker *worker = userdata;

	moat_ring_push(&worker->flow_ring, record);
}

void moat_worker_tell(struct moat_worker *worker, const struct moat_packet *packet,
		      const struct moat_work *work)
{
	const struct moat_headers *h = &work->headers;
	uint32_t offset = 0, length = payload_of(packet, h, &offset);
	struct moat_flow_turn turn;

	if (length == 0)
		return;
	moat_flow_talk(worker->flows, &work->place, (unsigned int)work->direction, h, length,
		       packet->time_ns, push_record, worker, &turn);
	if (worker->contents.slots && turn.before < contents_wanted(turn.server_port))
		push_content(worker, packet, h, &turn, offset, length);
}

void moat_worker_tell_end(struct moat_worker *worker, const struct moat_flow *flow)
{
	struct moat_flow_record record;

	moat_flow_record_of(flow, MOAT_RECORD_END, 0, &record);
	moat_ring_push(&worker->flow_ring, &record);
}
