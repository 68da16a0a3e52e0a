/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "dataplane/port_afxdp_chain.h"

#include <string.h>

/* At the begin of a frame's first buffer. */
struct chain {
	uint32_t count;
	uint32_t reserved;
	struct moat_afxdp_part parts[MOAT_AFXDP_PARTS];
};
_Static_assert(sizeof(struct chain) <= MOAT_AFXDP_HEADROOM, "in front of the frame");

static uint64_t buffer_of(uint64_t address)
{
	return address & ~(uint64_t)(MOAT_AFXDP_BUFFER - 1);
}

/* Returns the bytes collected. */
static uint32_t collect(const uint8_t *area, const struct moat_afxdp_part *parts,
			unsigned int count, uint8_t head[MOAT_AFXDP_HEAD])
{
	uint32_t have = 0;

	for (unsigned int i = 0; i < count && have < MOAT_AFXDP_HEAD; i++) {
		uint32_t room = MOAT_AFXDP_HEAD - have;
		uint32_t take = parts[i].length < room ? parts[i].length : room;

		memcpy(head + have, area + parts[i].address, take);
		have += take;
	}
	return have;
}

void moat_afxdp_chain_make(uint8_t *area, const struct moat_afxdp_part *parts, unsigned int count,
			   uint8_t head[MOAT_AFXDP_HEAD], struct moat_packet *ret_packet)
{
	struct chain *chain = (struct chain *)(area + buffer_of(parts[0].address));
	uint32_t length = 0;

	chain->count = count;
	for (unsigned int i = 0; i < count; i++) {
		chain->parts[i] = parts[i];
		length += parts[i].length;
	}
	*ret_packet = (struct moat_packet){
		.data = area + parts[0].address,
		.captured = parts[0].length,
		.length = length,
		.cookie = parts[0].address | MOAT_AFXDP_CHAINED,
	};
	if (parts[0].length >= MOAT_AFXDP_HEAD)
		return;
	ret_packet->data = head;
	ret_packet->captured = collect(area, parts, count, head);
}

unsigned int moat_afxdp_chain_parts(const uint8_t *area, const struct moat_packet *packet,
				    struct moat_afxdp_part ret_parts[MOAT_AFXDP_PARTS])
{
	const struct chain *chain = (const struct chain *)(area + buffer_of(packet->cookie &
									    ~MOAT_AFXDP_CHAINED));

	memcpy(ret_parts, chain->parts, chain->count * sizeof(*ret_parts));
	return chain->count;
}
