/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frame to struct moat_headers, in the order that moat/packet.h lays down. Each step checks its bounds,
 * moves the cursor behind the header and says what comes next.
 */
#ifndef MOAT_LIB_PARSE_H
#define MOAT_LIB_PARSE_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "moat/packet.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_MASK 0x1fff

/* Of headers that a kernel's BTF may lack. */
struct moat_vlan_tag {
	__be16 tci;
	__be16 type; /* of what follows */
};

struct moat_sctp {
	__be16 source;
	__be16 dest;
	__be32 tag;
	__le32 checksum;
};

/*
 * Where parsing stands. Headers are read where they lie, in the frame's first buffer, whose end is `end`;
 * of a frame in more than one buffer whose headers aren't all in the first, they are copied (`scattered`,
 * a constant wherever these functions are inlined).
 */
struct moat_cursor {
	struct xdp_md *ctx;
	void *pos;
	void *end;
	__u32 offset; /* of pos in the frame */
	__u32 limit;  /* offset of the datagram's end: headers must lie before it */
	__u32 frame; /* length of the frame; of the first buffer while nothing says there is more */
	int scattered;
	int measured; /* `frame` is what it is to be */
	void *copy;   /* of the header that is being looked at, up to 40 bytes */
	int extended; /* there are extension headers, which only copies are searched for */
};

MOAT_INLINE void moat_cursor_init(struct moat_cursor *cursor, struct xdp_md *ctx)
{
	cursor->ctx = ctx;
	cursor->pos = (void *)(long)ctx->data;
	cursor->end = (void *)(long)ctx->data_end;
	cursor->offset = 0;
	cursor->limit = 0;
	cursor->frame = cursor->end - cursor->pos;
	cursor->scattered = 0;
	cursor->extended = 0;
	cursor->measured = 0;
	cursor->copy = (void *)0;
}

#define MOAT_CURSOR_COPY 40 /* the longest header, IPv6 */

/* For a frame whose headers may lie in any of its buffers. `copy`: MOAT_CURSOR_COPY bytes. */
MOAT_INLINE void moat_cursor_init_scattered(struct moat_cursor *cursor, struct xdp_md *ctx,
					    void *copy)
{
	moat_cursor_init(cursor, ctx);
	cursor->frame = bpf_xdp_get_buff_len(ctx);
	cursor->scattered = 1;
	cursor->measured = 1;
	cursor->copy = copy;
}

/* Asks for the length over all buffers: a helper call, so only where the first buffer is too short. */
MOAT_INLINE void moat_cursor_measure(struct moat_cursor *cursor)
{
	if (cursor->measured)
		return;
	cursor->frame = bpf_xdp_get_buff_len(cursor->ctx);
	cursor->measured = 1;
}

/* The next `size` bytes, in place or copied until the next call; none if they aren't all there. */
MOAT_INLINE const void *moat_cursor_peek(struct moat_cursor *cursor, __u32 size)
{
	if (!cursor->scattered)
		return cursor->pos + size > cursor->end ? (void *)0 : cursor->pos;
	if (bpf_xdp_load_bytes(cursor->ctx, cursor->offset, cursor->copy, size) < 0)
		return (void *)0;
	return cursor->copy;
}

/* Likewise, and all of them in the datagram: the frame may go on behind it. */
MOAT_INLINE const void *moat_cursor_peek_within(struct moat_cursor *cursor, __u32 size)
{
	if (cursor->offset + size > cursor->limit)
		return (void *)0;
	return moat_cursor_peek(cursor, size);
}

MOAT_INLINE void moat_cursor_skip(struct moat_cursor *cursor, __u32 bytes)
{
	cursor->pos += bytes;
	cursor->offset += bytes;
}

/* Sets the end of the datagram that begins at the cursor. 0 if the frame doesn't hold it. */
MOAT_INLINE int moat_cursor_bound(struct moat_cursor *cursor, __u32 datagram)
{
	cursor->limit = cursor->offset + datagram;
	if (cursor->limit > cursor->frame)
		moat_cursor_measure(cursor);
	return cursor->limit <= cursor->frame;
}

/* Ethernet and up to MOAT_VLAN_DEPTH tags; the cursor is then on the network header. */
MOAT_INLINE enum moat_parse moat_parse_ethernet(struct moat_cursor *cursor, struct moat_headers *h)
{
	const struct ethhdr *eth = moat_cursor_peek(cursor, sizeof(*eth));
	__u16 type;

	if (!eth)
		return MOAT_PARSE_TRUNCATED;
	type = eth->h_proto;
	moat_cursor_skip(cursor, sizeof(*eth));
#pragma unroll
	for (int depth = 0; depth < MOAT_VLAN_DEPTH; depth++) {
		const struct moat_vlan_tag *tag;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		tag = moat_cursor_peek(cursor, sizeof(*tag));
		if (!tag)
			return MOAT_PARSE_TRUNCATED;
		if (depth == 0)
			h->vlan = bpf_ntohs(tag->tci) & 0x0fff;
		type = tag->type;
		moat_cursor_skip(cursor, sizeof(*tag));
	}
	h->ether_type = bpf_ntohs(type);
	h->l3_offset = cursor->offset;
	if (type == bpf_htons(ETH_P_IP) || type == bpf_htons(ETH_P_IPV6))
		return MOAT_PARSE_OK;
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD))
		return MOAT_PARSE_DEPTH;
	return MOAT_PARSE_NOT_IP;
}

MOAT_INLINE enum moat_parse moat_parse_ipv4(struct moat_cursor *cursor, struct moat_headers *h)
{
	const struct iphdr *ip = moat_cursor_peek(cursor, sizeof(*ip));
	__u32 header, total;
	__u16 fragment;

	if (!ip)
		return MOAT_PARSE_TRUNCATED;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header ||
	    !moat_cursor_bound(cursor, total))
		return MOAT_PARSE_MALFORMED;
	h->family = MOAT_FAMILY_V4;
	h->l3_len = total;
	moat_addr_from_v4(&h->src, ip->saddr);
	moat_addr_from_v4(&h->dst, ip->daddr);
	h->ttl = ip->ttl;
	h->proto = ip->protocol;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & IP_OFFSET_MASK)
		h->fragment = MOAT_FRAGMENT_LATER;
	else if (fragment & IP_MORE_FRAGMENTS)
		h->fragment = MOAT_FRAGMENT_FIRST;
	moat_cursor_skip(cursor, header);
	h->l4_offset = cursor->offset;
	return MOAT_PARSE_OK;
}

/* RFC 8200, 4.1; of them 50 (ESP) ends the walk. */
MOAT_INLINE int moat_is_extension(__u8 proto)
{
	return proto == 0 || proto == 43 || proto == 44 || proto == 51 || proto == 60;
}

/* One extension header of type `proto`; the next header's type in *ret_next. */
MOAT_INLINE enum moat_parse moat_parse_extension(struct moat_cursor *cursor, struct moat_headers *h,
						 __u8 proto, __u8 *ret_next)
{
	const struct {
		__u8 next;
		__u8 len;
		__be16 offset; /* of fragment headers */
		__u32 rest;
	} *extension = moat_cursor_peek_within(cursor, sizeof(*extension));
	__u32 size = 8;
	__u16 fragment;

	if (!extension)
		return MOAT_PARSE_TRUNCATED;
	*ret_next = extension->next;
	if (proto == 44) {
		fragment = bpf_ntohs(extension->offset);
		if (fragment & 0xfff8)
			h->fragment = MOAT_FRAGMENT_LATER;
		else if (fragment & 1)
			h->fragment = MOAT_FRAGMENT_FIRST;
	} else if (proto == 51) {
		size = (extension->len + 2) * 4;
	} else {
		size = (extension->len + 1) * 8;
	}
	moat_cursor_skip(cursor, size);
	return cursor->offset > cursor->limit ? MOAT_PARSE_TRUNCATED : MOAT_PARSE_OK;
}

MOAT_INLINE enum moat_parse moat_parse_ipv6(struct moat_cursor *cursor, struct moat_headers *h)
{
	const struct ipv6hdr *ip = moat_cursor_peek(cursor, sizeof(*ip));
	enum moat_parse result;
	__u32 total;
	__u8 next;

	if (!ip)
		return MOAT_PARSE_TRUNCATED;
	total = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (ip->version != 6 || !moat_cursor_bound(cursor, total))
		return MOAT_PARSE_MALFORMED;
	h->family = MOAT_FAMILY_V6;
	h->l3_len = total > 0xffff ? 0xffff : total;
	__builtin_memcpy(&h->src, &ip->saddr, sizeof(h->src));
	__builtin_memcpy(&h->dst, &ip->daddr, sizeof(h->dst));
	h->ttl = ip->hop_limit;
	next = ip->nexthdr;
	moat_cursor_skip(cursor, sizeof(*ip));
	/* In place, every length of every header is a case of its own to the verifier: hundreds of thousands of
	 * instructions, for what hardly any packet has. */
	if (!cursor->scattered) {
		h->proto = next;
		h->l4_offset = cursor->offset;
		cursor->extended = moat_is_extension(next);
		return cursor->extended ? MOAT_PARSE_TRUNCATED : MOAT_PARSE_OK;
	}
	for (int depth = 0; depth < MOAT_EXT_DEPTH; depth++) {
		h->proto = next;
		h->l4_offset = cursor->offset;
		if (!moat_is_extension(next))
			return MOAT_PARSE_OK;
		result = moat_parse_extension(cursor, h, next, &next);
		if (result != MOAT_PARSE_OK)
			return result;
		if (h->fragment == MOAT_FRAGMENT_LATER)
			break;
	}
	h->proto = next;
	h->l4_offset = cursor->offset;
	if (h->fragment != MOAT_FRAGMENT_LATER && moat_is_extension(next))
		return MOAT_PARSE_DEPTH;
	return MOAT_PARSE_OK;
}

MOAT_INLINE enum moat_parse moat_parse_transport(struct moat_cursor *cursor, struct moat_headers *h)
{
	const union {
		struct tcphdr tcp;
		struct udphdr udp;
		struct moat_sctp sctp;
		__u8 bytes[4];
	} *header;
	__u32 size;

	switch (h->proto) {
	case 6:
		header = moat_cursor_peek_within(cursor, sizeof(header->tcp));
		if (!header)
			return MOAT_PARSE_TRUNCATED;
		h->tcp_flags = ((__u8 *)&header->tcp)[13];
		h->tcp_seq = bpf_ntohl(header->tcp.seq);
		size = (((__u8 *)&header->tcp)[12] >> 4) * 4;
		h->broken = size < 20 || cursor->offset + size > (__u32)h->l3_offset + h->l3_len;
		break;
	case 17:
		header = moat_cursor_peek_within(cursor, sizeof(header->udp));
		if (!header)
			return MOAT_PARSE_TRUNCATED;
		size = bpf_ntohs(header->udp.len);
		h->broken = size < 8 || (h->fragment == MOAT_FRAGMENT_NONE &&
					 cursor->offset + size > (__u32)h->l3_offset + h->l3_len);
		break;
	case 132:
		header = moat_cursor_peek_within(cursor, sizeof(header->sctp));
		if (!header)
			return MOAT_PARSE_TRUNCATED;
		break;
	case 1:
	case 58:
		header = moat_cursor_peek_within(cursor, sizeof(header->bytes));
		if (!header)
			return MOAT_PARSE_TRUNCATED;
		h->icmp_type = header->bytes[0];
		h->icmp_code = header->bytes[1];
		return MOAT_PARSE_OK;
	default:
		return MOAT_PARSE_OK;
	}
	/* TCP, UDP and SCTP begin alike; each case has shown that at least eight bytes are there */
	h->sport = bpf_ntohs(header->udp.source);
	h->dport = bpf_ntohs(header->udp.dest);
	h->has_ports = 1;
	return MOAT_PARSE_OK;
}

/* From the IP header, whose ether_type and l3_offset are set, to the transport's. */
MOAT_INLINE enum moat_parse moat_parse_network(struct moat_cursor *cursor, struct moat_headers *h)
{
	enum moat_parse result;

	if (h->ether_type == ETH_P_IP)
		result = moat_parse_ipv4(cursor, h);
	else
		result = moat_parse_ipv6(cursor, h);
	if (result == MOAT_PARSE_OK && h->fragment != MOAT_FRAGMENT_LATER)
		result = moat_parse_transport(cursor, h);
	return result;
}

/* Parses the whole frame. Sets all of *h, whose every byte the caller has zeroed. */
MOAT_INLINE enum moat_parse moat_parse_frame(struct moat_cursor *cursor, struct moat_headers *h)
{
	enum moat_parse result = moat_parse_ethernet(cursor, h);

	if (result == MOAT_PARSE_OK)
		result = moat_parse_network(cursor, h);
	if (result != MOAT_PARSE_OK)
		moat_cursor_measure(cursor);
	return result;
}

/*
 * Parses a frame with IPv6 extension headers, or with headers behind its first buffer: rare, so by copies, in a global function, which the
 * verifier looks at once, by itself. Sets all of *h. An enum moat_parse.
 */
__attribute__((noinline)) int moat_parse_scattered(struct xdp_md *ctx, struct moat_headers *h)
{
	__u64 copy[MOAT_CURSOR_COPY / 8];
	struct moat_cursor cursor;

	if (!h)
		return MOAT_PARSE_TRUNCATED; /* for the verifier */
	__builtin_memset(h, 0, sizeof(*h));
	moat_cursor_init_scattered(&cursor, ctx, copy);
	return moat_parse_frame(&cursor, h);
}

/* True if a frame that seems to be cut off has to be parsed by copies. */
MOAT_INLINE int moat_cursor_is_scattered(const struct moat_cursor *cursor)
{
	return cursor->extended || cursor->frame > cursor->ctx->data_end - cursor->ctx->data;
}

#endif
