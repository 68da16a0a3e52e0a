/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The workers' frame parser, by the order that moat/packet.h sets. The gate's (bpf/lib) is written apart
 * and must agree on every frame.
 */
#include "dataplane/parse.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Headers as on the wire. Packed: a frame's headers lie as they come, on any alignment. */
struct ipv4_header {
	struct iphdr ip;
} __attribute__((packed));

struct ipv6_header {
	struct ipv6hdr ip;
} __attribute__((packed));

struct vlan_tag {
	__be16 tci;
	__be16 ether_type;
} __attribute__((packed));

struct ext_header {
	uint8_t next;
	uint8_t length; /* in 8 bytes without the first 8; AH in 4 bytes without the first 8 */
};

struct fragment_header {
	uint8_t next;
	uint8_t reserved;
	__be16 offset; /* 13 bits of offset, 2 reserved, 1 more-fragments */
	__be32 id;
} __attribute__((packed));

struct port_pair {
	__be16 source;
	__be16 destination;
	__be16 length; /* of UDP, header and payload */
} __attribute__((packed));

#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_OFFSET_MASK 0x1fff
#define IP6_OFFSET_MASK 0xfff8
#define IP6_MORE_FRAGMENTS 0x0001

/* Lengths of the transport headers' fixed parts: without them a packet is truncated. */
#define TCP_HEADER_LEN 20
#define UDP_HEADER_LEN 8
#define SCTP_HEADER_LEN 12
#define ICMP_HEADER_LEN 4 /* type, code, checksum: what all types share */

/* Where the transport header stands behind Ethernet and an IPv4 header without options. */
#define USUAL_L4 (ETH_HLEN + sizeof(struct ipv4_header))

/* A frame being read. `end` bounds every access; it shrinks to the datagram's end once that is known, so
 * that Ethernet padding is never taken for a header. */
struct cursor {
	const uint8_t *frame;
	size_t offset;
	size_t end;
};

/* The next `length` bytes, or NULL if they aren't all there. The cursor moves on. */
static inline const void *cursor_take(struct cursor *cursor, size_t length)
{
	const uint8_t *at = cursor->frame + cursor->offset;

	if (cursor->end - cursor->offset < length)
		return NULL;
	cursor->offset += length;
	return at;
}

static inline uint16_t min_u16(size_t value)
{
	return value < UINT16_MAX ? (uint16_t)value : UINT16_MAX;
}

/* What struct moat_headers calls broken: a length below its least, or behind the datagram's end. */
static bool is_broken(const struct moat_headers *h, uint32_t said, uint32_t least, bool whole)
{
	return said < least || (whole && h->l4_offset + said > (uint32_t)h->l3_offset + h->l3_len);
}

static enum moat_parse parse_tcp(struct cursor *cursor, struct moat_headers *h)
{
	const uint8_t *tcp = cursor_take(cursor, TCP_HEADER_LEN);

	if (!tcp)
		return MOAT_PARSE_TRUNCATED;
	h->sport = (uint16_t)(tcp[0] << 8 | tcp[1]);
	h->dport = (uint16_t)(tcp[2] << 8 | tcp[3]);
	h->has_ports = 1;
	h->tcp_flags = tcp[13];
	h->tcp_seq = (uint32_t)tcp[4] << 24 | (uint32_t)tcp[5] << 16 | (uint32_t)tcp[6] << 8 |
		     tcp[7];
	h->broken = is_broken(h, (tcp[12] >> 4) * 4U, TCP_HEADER_LEN, true);
	return MOAT_PARSE_OK;
}

static enum moat_parse parse_ports(struct cursor *cursor, size_t header_len, struct moat_headers *h)
{
	const struct port_pair *ports = cursor_take(cursor, header_len);

	if (!ports)
		return MOAT_PARSE_TRUNCATED;
	h->sport = ntohs(ports->source);
	h->dport = ntohs(ports->destination);
	h->has_ports = 1;
	if (h->proto == IPPROTO_UDP)
		h->broken = is_broken(h, ntohs(ports->length), UDP_HEADER_LEN,
				      h->fragment == MOAT_FRAGMENT_NONE);
	return MOAT_PARSE_OK;
}

static enum moat_parse parse_icmp(struct cursor *cursor, struct moat_headers *h)
{
	const uint8_t *icmp = cursor_take(cursor, ICMP_HEADER_LEN);

	if (!icmp)
		return MOAT_PARSE_TRUNCATED;
	h->icmp_type = icmp[0];
	h->icmp_code = icmp[1];
	return MOAT_PARSE_OK;
}

static enum moat_parse parse_transport(struct cursor *cursor, struct moat_headers *h)
{
	if (h->fragment == MOAT_FRAGMENT_LATER)
		return MOAT_PARSE_OK;
	switch (h->proto) {
	case IPPROTO_TCP:
		return parse_tcp(cursor, h);
	case IPPROTO_UDP:
		return parse_ports(cursor, UDP_HEADER_LEN, h);
	case IPPROTO_SCTP:
		return parse_ports(cursor, SCTP_HEADER_LEN, h);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return parse_icmp(cursor, h);
	default:
		return MOAT_PARSE_OK;
	}
}

/* Ends reading at the datagram's end; false if that lies behind the frame's. */
static bool cursor_limit(struct cursor *cursor, size_t l3_offset, size_t l3_len, size_t length)
{
	if (l3_offset + l3_len > length)
		return false;
	if (l3_offset + l3_len < cursor->end)
		cursor->end = l3_offset + l3_len;
	return true;
}

static enum moat_parse parse_ipv4(struct cursor *cursor, size_t length, struct moat_headers *h)
{
	size_t start = cursor->offset;
	const struct ipv4_header *at = cursor_take(cursor, sizeof(*at));
	size_t header_len, total_len;
	uint16_t fragment;

	if (!at)
		return MOAT_PARSE_TRUNCATED;
	header_len = (size_t)at->ip.ihl * 4;
	total_len = ntohs(at->ip.tot_len);
	if (at->ip.version != 4 || header_len < sizeof(*at) || total_len < header_len ||
	    !cursor_limit(cursor, start, total_len, length))
		return MOAT_PARSE_MALFORMED;
	h->family = MOAT_FAMILY_V4;
	moat_addr_from_v4(&h->src, at->ip.saddr);
	moat_addr_from_v4(&h->dst, at->ip.daddr);
	h->l3_len = (uint16_t)total_len;
	h->ttl = at->ip.ttl;
	h->proto = at->ip.protocol;
	fragment = ntohs(at->ip.frag_off);
	if (fragment & IP4_OFFSET_MASK)
		h->fragment = MOAT_FRAGMENT_LATER;
	else if (fragment & IP4_MORE_FRAGMENTS)
		h->fragment = MOAT_FRAGMENT_FIRST;
	/* options can be missing only where a capture was cut short */
	if (!cursor_take(cursor, header_len - sizeof(*at)))
		return MOAT_PARSE_TRUNCATED;
	h->l4_offset = min_u16(cursor->offset);
	return parse_transport(cursor, h);
}

/* One whole extension header; sets the protocol of what follows. */
static enum moat_parse parse_extension(struct cursor *cursor, struct moat_headers *h)
{
	const struct fragment_header *fragment;
	const struct ext_header *ext;
	size_t rest;

	if (h->proto == IPPROTO_FRAGMENT) {
		uint16_t offset;

		fragment = cursor_take(cursor, sizeof(*fragment));
		if (!fragment)
			return MOAT_PARSE_TRUNCATED;
		offset = ntohs(fragment->offset);
		/* offset 0 without more to come is an atomic fragment: a whole packet (RFC 6946) */
		if (offset & IP6_OFFSET_MASK)
			h->fragment = MOAT_FRAGMENT_LATER;
		else if (offset & IP6_MORE_FRAGMENTS)
			h->fragment = MOAT_FRAGMENT_FIRST;
		h->proto = fragment->next;
		return MOAT_PARSE_OK;
	}
	ext = cursor_take(cursor, 8);
	if (!ext)
		return MOAT_PARSE_TRUNCATED;
	rest = h->proto == IPPROTO_AH ? (size_t)ext->length * 4 : (size_t)ext->length * 8;
	if (!cursor_take(cursor, rest))
		return MOAT_PARSE_TRUNCATED;
	h->proto = ext->next;
	return MOAT_PARSE_OK;
}

static inline bool is_extension(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH:
		return true;
	default:
		return false;
	}
}

static enum moat_parse parse_extensions(struct cursor *cursor, struct moat_headers *h)
{
	for (unsigned int depth = 0;; depth++) {
		enum moat_parse result;

		h->l4_offset = min_u16(cursor->offset);
		/* behind a later fragment's header there is nothing to walk */
		if (!is_extension(h->proto) || h->fragment == MOAT_FRAGMENT_LATER)
			return parse_transport(cursor, h);
		if (depth == MOAT_EXT_DEPTH)
			return MOAT_PARSE_DEPTH;
		result = parse_extension(cursor, h);
		if (result != MOAT_PARSE_OK)
			return result;
	}
}

static enum moat_parse parse_ipv6(struct cursor *cursor, size_t length, struct moat_headers *h)
{
	size_t start = cursor->offset;
	const struct ipv6_header *at = cursor_take(cursor, sizeof(*at));
	size_t l3_len;

	if (!at)
		return MOAT_PARSE_TRUNCATED;
	l3_len = (size_t)ntohs(at->ip.payload_len) + sizeof(*at);
	if (at->ip.version != 6 || !cursor_limit(cursor, start, l3_len, length))
		return MOAT_PARSE_MALFORMED;
	h->family = MOAT_FAMILY_V6;
	memcpy(&h->src, &at->ip.saddr, sizeof(h->src));
	memcpy(&h->dst, &at->ip.daddr, sizeof(h->dst));
	h->l3_len = min_u16(l3_len);
	h->ttl = at->ip.hop_limit;
	h->proto = at->ip.nexthdr;
	return parse_extensions(cursor, h);
}

static inline bool is_vlan(uint16_t ether_type)
{
	return ether_type == ETH_P_8021Q || ether_type == ETH_P_8021AD;
}

/* By its type, what the cursor is on. */
static enum moat_parse parse_network(struct cursor *cursor, uint16_t type, size_t length,
				     struct moat_headers *h)
{
	h->ether_type = type;
	h->l3_offset = (uint16_t)cursor->offset;
	switch (type) {
	case ETH_P_IP:
		return parse_ipv4(cursor, length, h);
	case ETH_P_IPV6:
		return parse_ipv6(cursor, length, h);
	default:
		return is_vlan(type) ? MOAT_PARSE_DEPTH : MOAT_PARSE_NOT_IP;
	}
}

static enum moat_parse parse_ethernet(struct cursor *cursor, size_t length, struct moat_headers *h)
{
	const struct ethhdr *eth = cursor_take(cursor, sizeof(*eth));
	uint16_t type;

	if (!eth)
		return MOAT_PARSE_TRUNCATED;
	type = ntohs(eth->h_proto);
	for (unsigned int depth = 0; is_vlan(type) && depth < MOAT_VLAN_DEPTH; depth++) {
		const struct vlan_tag *tag = cursor_take(cursor, sizeof(*tag));

		if (!tag)
			return MOAT_PARSE_TRUNCATED;
		if (depth == 0)
			h->vlan = ntohs(tag->tci) & 0x0fff;
		type = ntohs(tag->ether_type);
	}
	return parse_network(cursor, type, length, h);
}

/* What most frames are, taken apart in one go: untagged IPv4 without options, no fragment, TCP or UDP, the
 * transport header there. False, and nothing set, if it isn't such a frame: it goes the long way, which fills
 * the headers of such a frame just so. */
static inline bool parse_usual(const uint8_t *restrict frame, size_t captured, size_t length,
			       struct moat_headers *restrict h)
{
	const struct ipv4_header *at = (const void *)(frame + ETH_HLEN);
	const uint8_t *l4 = frame + USUAL_L4;
	uint32_t header_len, end, said;
	bool tcp;

	if (captured < USUAL_L4 + UDP_HEADER_LEN)
		return false;
	tcp = at->ip.protocol == IPPROTO_TCP;
	header_len = tcp ? TCP_HEADER_LEN : UDP_HEADER_LEN;
	end = ETH_HLEN + (uint32_t)ntohs(at->ip.tot_len);
	if (memcmp(frame + 12, "\x08\x00\x45", 3) != 0 || (!tcp && at->ip.protocol != IPPROTO_UDP) ||
	    (at->ip.frag_off & htons(IP4_MORE_FRAGMENTS | IP4_OFFSET_MASK)) || end > length ||
	    USUAL_L4 + header_len > end || USUAL_L4 + header_len > captured)
		return false;
	said = tcp ? (l4[12] >> 4) * 4U : (uint32_t)(l4[4] << 8 | l4[5]);
	*h = (struct moat_headers){
		.src.quads[1] = MOAT_V4_MAPPED_QUAD((uint64_t)at->ip.saddr),
		.dst.quads[1] = MOAT_V4_MAPPED_QUAD((uint64_t)at->ip.daddr),
		.frame_len = min_u16(length),
		.l3_len = (uint16_t)(end - ETH_HLEN),
		.l3_offset = ETH_HLEN,
		.l4_offset = USUAL_L4,
		.sport = (uint16_t)(l4[0] << 8 | l4[1]),
		.dport = (uint16_t)(l4[2] << 8 | l4[3]),
		.ether_type = ETH_P_IP,
		.family = MOAT_FAMILY_V4,
		.proto = at->ip.protocol,
		.tcp_flags = tcp ? l4[13] : 0,
		.tcp_seq = tcp ? (uint32_t)l4[4] << 24 | (uint32_t)l4[5] << 16 |
					   (uint32_t)l4[6] << 8 | l4[7]
			       : 0,
		.ttl = at->ip.ttl,
		.has_ports = 1,
		.broken = said < header_len || USUAL_L4 + said > end,
	};
	return true;
}

enum moat_parse moat_headers_parse(const void *frame, size_t captured, size_t length,
				   struct moat_headers *ret_headers)
{
	struct cursor cursor = { .frame = frame, .end = captured };

	if (parse_usual(frame, captured, length, ret_headers))
		return MOAT_PARSE_OK;
	memset(ret_headers, 0, sizeof(*ret_headers));
	ret_headers->frame_len = min_u16(length);
	return parse_ethernet(&cursor, length, ret_headers);
}

enum moat_parse moat_headers_parse_inner(const void *frame, size_t captured, size_t length,
					 size_t offset, uint16_t ether_type,
					 struct moat_headers *ret_headers)
{
	struct cursor cursor = { .frame = frame, .offset = offset, .end = captured };

	memset(ret_headers, 0, sizeof(*ret_headers));
	if (offset > captured)
		return MOAT_PARSE_TRUNCATED;
	if (ether_type == ETH_P_TEB)
		return parse_ethernet(&cursor, length, ret_headers);
	return parse_network(&cursor, ether_type, length, ret_headers);
}
