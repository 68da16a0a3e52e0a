/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See oracle.h: parsing, byte by byte after the RFCs and the order that moat/packet.h states. */
#include <stdbool.h>
#include <string.h>

#include "tests/oracle/oracle.h"

/* What may be read: `size` bytes were captured of a frame of `wire` bytes. */
struct view {
	const uint8_t *bytes;
	size_t size;
	size_t wire;
};

static unsigned int byte_at(const struct view *view, size_t at)
{
	return view->bytes[at];
}

static unsigned int word_at(const struct view *view, size_t at)
{
	return byte_at(view, at) * 256 + byte_at(view, at + 1);
}

/* A view that ends where the datagram does. */
static struct view cut(const struct view *view, size_t end)
{
	struct view shorter = *view;

	if (end < shorter.size)
		shorter.size = end;
	return shorter;
}

/* Lengths inside the transport header: TCP's own (RFC 9293, 3.1), UDP's with its payload (RFC 768). */
static bool contradicts(const struct view *view, size_t at, const struct moat_headers *h)
{
	size_t left = (size_t)h->l3_offset + h->l3_len - at, said;

	if (h->proto == 6) {
		said = byte_at(view, at + 12) / 16 * 4;
		return said < 20 || said > left;
	}
	if (h->proto != 17)
		return false;
	said = word_at(view, at + 4);
	return said < 8 || (h->fragment == MOAT_FRAGMENT_NONE && said > left);
}

static enum moat_parse transport(const struct view *view, size_t at, struct moat_headers *h)
{
	size_t needed = 0;

	h->l4_offset = (uint16_t)at;
	if (h->fragment == MOAT_FRAGMENT_LATER)
		return MOAT_PARSE_OK;
	if (h->proto == 6)
		needed = 20;
	else if (h->proto == 17)
		needed = 8;
	else if (h->proto == 132)
		needed = 12;
	else if (h->proto == 1 || h->proto == 58)
		needed = 4;
	if (at + needed > view->size)
		return MOAT_PARSE_TRUNCATED;
	if (needed >= 8) {
		h->has_ports = 1;
		h->sport = (uint16_t)word_at(view, at);
		h->dport = (uint16_t)word_at(view, at + 2);
	}
	if (h->proto == 6) {
		h->tcp_flags = (uint8_t)byte_at(view, at + 13);
		h->tcp_seq = word_at(view, at + 4) << 16 | word_at(view, at + 6);
	}
	h->broken = contradicts(view, at, h);
	if (needed == 4) {
		h->icmp_type = (uint8_t)byte_at(view, at);
		h->icmp_code = (uint8_t)byte_at(view, at + 1);
	}
	return MOAT_PARSE_OK;
}

/* RFC 791 */
static enum moat_parse internet4(const struct view *view, size_t at, struct moat_headers *h)
{
	unsigned int header, total, fragment;
	struct view datagram;

	if (at + 20 > view->size)
		return MOAT_PARSE_TRUNCATED;
	header = byte_at(view, at) % 16 * 4;
	total = word_at(view, at + 2);
	if (byte_at(view, at) / 16 != 4 || header < 20 || total < header || at + total > view->wire)
		return MOAT_PARSE_MALFORMED;
	h->family = MOAT_FAMILY_V4;
	h->l3_len = (uint16_t)total;
	h->ttl = (uint8_t)byte_at(view, at + 8);
	h->proto = (uint8_t)byte_at(view, at + 9);
	for (size_t i = 0; i < 4; i++) {
		h->src.bytes[12 + i] = view->bytes[at + 12 + i];
		h->dst.bytes[12 + i] = view->bytes[at + 16 + i];
	}
	h->src.bytes[10] = h->src.bytes[11] = h->dst.bytes[10] = h->dst.bytes[11] = 0xff;
	fragment = word_at(view, at + 6);
	if (fragment % 0x2000 != 0)
		h->fragment = MOAT_FRAGMENT_LATER;
	else if (fragment & 0x2000)
		h->fragment = MOAT_FRAGMENT_FIRST;
	datagram = cut(view, at + total);
	if (at + header > datagram.size)
		return MOAT_PARSE_TRUNCATED;
	return transport(&datagram, at + header, h);
}

/* What follows an IPv6 header or an extension header (RFC 8200, 4), `walked` of which are behind us. */
static enum moat_parse next_header(const struct view *view, size_t at, int walked,
				   struct moat_headers *h)
{
	unsigned int kind = h->proto;
	size_t size;

	if (kind != 0 && kind != 43 && kind != 44 && kind != 51 && kind != 60)
		return transport(view, at, h);
	if (walked == 6)
		return MOAT_PARSE_DEPTH;
	if (at + 8 > view->size)
		return MOAT_PARSE_TRUNCATED;
	size = kind == 44   ? 8
	       : kind == 51 ? (byte_at(view, at + 1) + 2) * 4UL
			    : (byte_at(view, at + 1) + 1) * 8UL;
	if (at + size > view->size)
		return MOAT_PARSE_TRUNCATED;
	h->proto = (uint8_t)byte_at(view, at);
	if (kind == 44) {
		unsigned int fragment = word_at(view, at + 2);

		if (fragment / 8 != 0) {
			h->fragment = MOAT_FRAGMENT_LATER;
			return transport(view, at + size, h);
		}
		if (fragment % 2 == 1)
			h->fragment = MOAT_FRAGMENT_FIRST;
	}
	return next_header(view, at + size, walked + 1, h);
}

/* RFC 8200 */
static enum moat_parse internet6(const struct view *view, size_t at, struct moat_headers *h)
{
	struct view datagram;
	size_t total;

	if (at + 40 > view->size)
		return MOAT_PARSE_TRUNCATED;
	total = word_at(view, at + 4) + 40;
	if (byte_at(view, at) / 16 != 6 || at + total > view->wire)
		return MOAT_PARSE_MALFORMED;
	h->family = MOAT_FAMILY_V6;
	h->l3_len = (uint16_t)(total > 65535 ? 65535 : total);
	h->proto = (uint8_t)byte_at(view, at + 6);
	h->ttl = (uint8_t)byte_at(view, at + 7);
	memcpy(h->src.bytes, view->bytes + at + 8, 16);
	memcpy(h->dst.bytes, view->bytes + at + 24, 16);
	datagram = cut(view, at + total);
	return next_header(&datagram, at + 40, 0, h);
}

/* What an EtherType says follows. */
static enum moat_parse network(const struct view *view, size_t at, unsigned int type,
			       struct moat_headers *h)
{
	h->ether_type = (uint16_t)type;
	if (type != 0x0800 && type != 0x86dd)
		return MOAT_PARSE_NOT_IP;
	h->l3_offset = (uint16_t)at;
	return type == 0x0800 ? internet4(view, at, h) : internet6(view, at, h);
}

/* IEEE 802.3 with tags of 802.1Q */
static enum moat_parse ethernet(const struct view *view, size_t at, struct moat_headers *h)
{
	if (at + 14 > view->size)
		return MOAT_PARSE_TRUNCATED;
	at += 12;
	for (int tags = 0;; tags++) {
		h->ether_type = (uint16_t)word_at(view, at);
		if (h->ether_type != 0x8100 && h->ether_type != 0x88a8)
			return network(view, at + 2, h->ether_type, h);
		if (tags == 2)
			return MOAT_PARSE_DEPTH;
		if (at + 6 > view->size)
			return MOAT_PARSE_TRUNCATED;
		if (tags == 0)
			h->vlan = word_at(view, at + 2) % 4096;
		at += 4;
	}
}

/* What GRE, VXLAN and Geneve headers say of what they hold: RFC 2784 and 2890, 7348, 8926. The type, with
 * *at moved to it, or 0. */
static unsigned int gre(const struct view *view, size_t *at)
{
	unsigned int flags, type;

	if (*at + 4 > view->size)
		return 0;
	flags = word_at(view, *at);
	type = word_at(view, *at + 2);
	if (flags % 8 != 0 || (flags & 0x4000))
		return 0;
	*at += 4;
	*at += flags & 0x8000 ? 4 : 0;
	*at += flags & 0x2000 ? 4 : 0;
	*at += flags & 0x1000 ? 4 : 0;
	return type;
}

static unsigned int vxlan(const struct view *view, size_t *at)
{
	*at += 8;
	if (*at + 8 > view->size || (byte_at(view, *at) & 8) == 0)
		return 0;
	*at += 8;
	return 0x6558;
}

static unsigned int geneve(const struct view *view, size_t *at)
{
	unsigned int first;

	*at += 8;
	if (*at + 8 > view->size)
		return 0;
	first = byte_at(view, *at);
	*at += 8;
	if (first >= 64)
		return 0;
	*at += first * 4UL;
	return word_at(view, *at - first * 4UL - 6);
}

static enum moat_tunnel kind_of(const struct moat_oracle_settings *settings,
				const struct moat_headers *h)
{
	uint32_t stages = settings->stages;

	if (h->fragment || h->broken)
		return MOAT_TUNNEL_NONE;
	if (h->proto == 47 && (stages & MOAT_STAGE_GRE))
		return MOAT_TUNNEL_GRE;
	if ((h->proto == 4 || h->proto == 41) && (stages & MOAT_STAGE_IP_TUNNEL))
		return MOAT_TUNNEL_IP;
	if (h->proto != 17)
		return MOAT_TUNNEL_NONE;
	if (h->dport == settings->vxlan_port && (stages & MOAT_STAGE_VXLAN))
		return MOAT_TUNNEL_VXLAN;
	if (h->dport == settings->geneve_port && (stages & MOAT_STAGE_GENEVE))
		return MOAT_TUNNEL_GENEVE;
	return MOAT_TUNNEL_NONE;
}

/* Puts the inner packet in the outer's place, if there is one. */
static void enter(const struct moat_oracle_settings *settings, const struct view *frame,
		  struct moat_headers *h)
{
	struct view datagram = cut(frame, (size_t)h->l3_offset + h->l3_len);
	enum moat_tunnel kind = kind_of(settings, h);
	struct moat_headers inner = { .frame_len = h->frame_len };
	size_t at = h->l4_offset;
	enum moat_parse result;
	unsigned int type = 0;

	datagram.wire = (size_t)h->l3_offset + h->l3_len;
	if (kind == MOAT_TUNNEL_IP)
		type = h->proto == 4 ? 0x0800 : 0x86dd;
	else if (kind == MOAT_TUNNEL_GRE)
		type = gre(&datagram, &at);
	else if (kind == MOAT_TUNNEL_VXLAN)
		type = vxlan(&datagram, &at);
	else if (kind == MOAT_TUNNEL_GENEVE)
		type = geneve(&datagram, &at);
	result = type == 0x6558 ? ethernet(&datagram, at, &inner)
				: network(&datagram, at, type, &inner);
	if (result != MOAT_PARSE_OK)
		return;
	inner.vlan = h->vlan;
	inner.tunnel = (uint8_t)kind;
	*h = inner;
}

enum moat_parse moat_oracle_parse(const struct moat_oracle_settings *settings, const uint8_t *frame,
				  size_t captured, size_t length, struct moat_headers *ret_headers)
{
	struct view view = { frame, captured, length };
	enum moat_parse result;

	memset(ret_headers, 0, sizeof(*ret_headers));
	ret_headers->frame_len = (uint16_t)(length > 65535 ? 65535 : length);
	result = ethernet(&view, 0, ret_headers);
	if (result == MOAT_PARSE_OK)
		enter(settings, &view, ret_headers);
	return result;
}
