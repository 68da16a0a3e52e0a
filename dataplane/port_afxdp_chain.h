/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames of several buffers (XDP_USE_SG, since Linux 6.6). A worker sees one packet: its first bytes in one
 * piece and its whole length. Which buffers it has is kept at the begin of its first buffer, in the headroom
 * that XDP leaves in front of a frame, so that it is known wherever the packet goes.
 */
#ifndef MOAT_DATAPLANE_PORT_AFXDP_CHAIN_H
#define MOAT_DATAPLANE_PORT_AFXDP_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port.h"

#define MOAT_AFXDP_BUFFER 4096u /* bytes; a power of two */
#define MOAT_AFXDP_HEADROOM 256u
#define MOAT_AFXDP_PARTS 15u
/* More than all headers that are looked into; where a driver puts fewer of them into the first buffer, as those
 * that split headers from data do, they are collected. */
#define MOAT_AFXDP_HEAD 512u

struct moat_afxdp_part {
	uint64_t address; /* in the UMEM */
	uint32_t length;
};

/* Set in the cookie of a packet of several buffers; the rest is the first one's address. */
#define MOAT_AFXDP_CHAINED (1ULL << 63)

static inline bool moat_afxdp_is_chained(const struct moat_packet *packet)
{
	return packet->cookie & MOAT_AFXDP_CHAINED;
}

/* Makes a packet of 2 to MOAT_AFXDP_PARTS parts, none of them empty. `head` is used where the first holds too
 * little, and belongs to the packet then. */
void moat_afxdp_chain_make(uint8_t *area, const struct moat_afxdp_part *parts, unsigned int count,
			   uint8_t head[MOAT_AFXDP_HEAD], struct moat_packet *ret_packet);

/* The parts of a chained packet. Returns how many. */
unsigned int moat_afxdp_chain_parts(const uint8_t *area, const struct moat_packet *packet,
				    struct moat_afxdp_part ret_parts[MOAT_AFXDP_PARTS]);

#endif
