/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Into tunnels (moat/packet.h, enum moat_tunnel): behind the parser of the frame, which has found the
 * outer headers, for those few packets that may be one. The inner packet is parsed as any other.
 */
#ifndef MOAT_LIB_TUNNEL_H
#define MOAT_LIB_TUNNEL_H

#include "lib/parse.h"
#include "moat/stage.h"

#define ETH_P_TEB 0x6558 /* an Ethernet frame */

/* RFC 2784, 2890: which of four bytes each are there; version and source routing must be 0. */
#define GRE_CHECKSUM 0x8000
#define GRE_ROUTING 0x4000
#define GRE_KEY 0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_VERSION 0x0007

/* Headers of parsed packets lie within this of the frame's begin: IPv6 with its extension headers at their
 * longest, and Geneve's options. For the verifier, which knows no better of a number from memory. */
#define MOAT_TUNNEL_REACH 0x3fff

/* What begins GRE, VXLAN and Geneve. */
struct moat_tunnel_header {
	__be16 flags; /* VXLAN: the VNI is valid; Geneve: version 2 bits, length of options 6, flags 8 */
	__be16 type; /* of what follows; VXLAN: reserved */
	__u32 rest;  /* of VXLAN and Geneve */
};

/* Which tunnel a parsed packet is, of the kinds that `stages` holds. The common path: a comparison or
 * two, none where no kind is asked for. */
MOAT_INLINE enum moat_tunnel moat_tunnel_find(const struct moat_headers *h, __u32 stages,
					      __u16 vxlan, __u16 geneve)
{
	enum moat_tunnel tunnel = MOAT_TUNNEL_NONE;

	if (!(stages & MOAT_STAGE_TUNNELS) || h->proto == 6)
		return MOAT_TUNNEL_NONE;
	if (h->proto == 17) {
		if ((stages & MOAT_STAGE_VXLAN) && h->dport == vxlan)
			tunnel = MOAT_TUNNEL_VXLAN;
		else if ((stages & MOAT_STAGE_GENEVE) && h->dport == geneve)
			tunnel = MOAT_TUNNEL_GENEVE;
	} else if (h->proto == 47) {
		if (stages & MOAT_STAGE_GRE)
			tunnel = MOAT_TUNNEL_GRE;
	} else if (h->proto == 4 || h->proto == 41) {
		if (stages & MOAT_STAGE_IP_TUNNEL)
			tunnel = MOAT_TUNNEL_IP;
	}
	if (h->fragment != MOAT_FRAGMENT_NONE || h->broken)
		return MOAT_TUNNEL_NONE;
	return tunnel;
}

/* Moves the cursor behind the tunnel's header and returns the EtherType of what follows, 0 if that can't be
 * told. */
MOAT_INLINE __u32 moat_tunnel_open(struct moat_cursor *cursor, __u8 proto, __u32 tunnel)
{
	const struct moat_tunnel_header *header;
	__u16 flags;

	if (tunnel == MOAT_TUNNEL_IP)
		return proto == 4 ? ETH_P_IP : ETH_P_IPV6;
	if (tunnel == MOAT_TUNNEL_GRE) {
		header = moat_cursor_peek_within(cursor, 4);
		if (!header)
			return 0;
		flags = bpf_ntohs(header->flags);
		if (flags & (GRE_ROUTING | GRE_VERSION))
			return 0;
		moat_cursor_skip(cursor, 4 + !!(flags & GRE_CHECKSUM) * 4 + !!(flags & GRE_KEY) * 4 +
						 !!(flags & GRE_SEQUENCE) * 4);
		return bpf_ntohs(header->type);
	}
	/* both behind UDP */
	moat_cursor_skip(cursor, 8);
	header = moat_cursor_peek_within(cursor, sizeof(*header));
	if (!header)
		return 0;
	flags = bpf_ntohs(header->flags);
	if (tunnel == MOAT_TUNNEL_VXLAN) {
		moat_cursor_skip(cursor, sizeof(*header));
		return flags & 0x0800 ? ETH_P_TEB : 0;
	}
	moat_cursor_skip(cursor, sizeof(*header) + (flags >> 8 & 0x3f) * 4);
	return flags & 0xc000 ? 0 : bpf_ntohs(header->type);
}

/* Replaces the outer headers by those of the inner packet, with the cursor at the begin of the frame. 1, or
 * 0 with *h as it was. */
MOAT_INLINE int moat_tunnel_parse(struct moat_cursor *cursor, struct moat_headers *h, __u32 tunnel)
{
	struct moat_headers inner = {};
	__u32 offset = h->l4_offset, type;

	if (offset > MOAT_TUNNEL_REACH)
		return 0;
	moat_cursor_skip(cursor, offset);
	cursor->limit = cursor->frame = (__u32)h->l3_offset + h->l3_len;
	cursor->measured = 1;
	type = moat_tunnel_open(cursor, h->proto, tunnel);
	if (type == ETH_P_TEB) {
		if (moat_parse_ethernet(cursor, &inner) != MOAT_PARSE_OK)
			return 0;
	} else if (type == ETH_P_IP || type == ETH_P_IPV6) {
		inner.ether_type = type;
		inner.l3_offset = cursor->offset;
	} else {
		return 0;
	}
	if (moat_parse_network(cursor, &inner) != MOAT_PARSE_OK)
		return 0;
	inner.frame_len = h->frame_len;
	inner.vlan = h->vlan;
	inner.tunnel = tunnel;
	*h = inner;
	return 1;
}

/*
 * Replaces the headers of a packet that moat_tunnel_find names by the inner packet's. 1 if that is whole
 * and readable, else 0 with *h as it was; -1, likewise, if the packet has to be copied, because it goes on
 * behind the frame's first buffer or has extension headers. Global functions: off the common path, and verified once.
 */
__attribute__((noinline)) int moat_tunnel_enter(struct xdp_md *ctx, struct moat_headers *h,
						__u32 tunnel)
{
	struct moat_cursor cursor;
	__u32 first;

	if (!h)
		return 0; /* for the verifier */
	moat_cursor_init(&cursor, ctx);
	first = cursor.frame;
	if (moat_tunnel_parse(&cursor, h, tunnel))
		return 1;
	return cursor.extended || first < (__u32)h->l3_offset + h->l3_len ? -1 : 0;
}

/* The second attempt at what moat_tunnel_enter couldn't tell. */
__attribute__((noinline)) int moat_tunnel_enter_scattered(struct xdp_md *ctx,
							  struct moat_headers *h, __u32 tunnel)
{
	__u64 copy[MOAT_CURSOR_COPY / 8];
	struct moat_cursor cursor;

	if (!h)
		return 0; /* for the verifier */
	moat_cursor_init_scattered(&cursor, ctx, copy);
	return moat_tunnel_parse(&cursor, h, tunnel);
}

#endif
