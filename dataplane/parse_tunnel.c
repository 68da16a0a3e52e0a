/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The workers' way into tunnels, by the rules of enum moat_tunnel: finds where the inner packet begins and
 * has it parsed as any other. The gate's (bpf/lib/tunnel.h) is written apart and must agree.
 */
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "dataplane/parse.h"

#define UDP_HEADER_LEN 8
#define GRE_HEADER_LEN 4
#define VXLAN_HEADER_LEN 8
#define GENEVE_HEADER_LEN 8

/* Where the inner packet begins, and its type. */
struct inner {
	size_t offset;
	uint16_t type;
};

static uint16_t read_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* RFC 2784 and 2890; `at` has `left` bytes. */
static bool open_gre(const uint8_t *at, size_t left, struct inner *inner)
{
	if (left < GRE_HEADER_LEN)
		return false;
	/* source routing, and any version but 0 */
	if ((at[0] & 0x40) || (at[1] & 0x07))
		return false;
	inner->offset += GRE_HEADER_LEN;
	inner->type = read_u16(at + 2);
	for (uint8_t flag = 0x80; flag >= 0x10; flag >>= 1) {
		if (at[0] & flag)
			inner->offset += 4; /* checksum, key, sequence number */
	}
	return true;
}

/* RFC 7348, 5 */
static bool open_vxlan(const uint8_t *at, size_t left, struct inner *inner)
{
	if (left < UDP_HEADER_LEN + VXLAN_HEADER_LEN || !(at[UDP_HEADER_LEN] & 0x08))
		return false;
	inner->offset += UDP_HEADER_LEN + VXLAN_HEADER_LEN;
	inner->type = ETH_P_TEB;
	return true;
}

/* RFC 8926, 3.4 */
static bool open_geneve(const uint8_t *at, size_t left, struct inner *inner)
{
	if (left < UDP_HEADER_LEN + GENEVE_HEADER_LEN || (at[UDP_HEADER_LEN] >> 6) != 0)
		return false;
	inner->offset += UDP_HEADER_LEN + GENEVE_HEADER_LEN + (at[UDP_HEADER_LEN] & 0x3f) * 4U;
	inner->type = read_u16(at + UDP_HEADER_LEN + 2);
	return true;
}

static enum moat_tunnel open_udp(const struct moat_tunnels *tunnels, uint16_t dport,
				 const uint8_t *at, size_t left, struct inner *inner)
{
	uint16_t vxlan = tunnels->vxlan_port ? tunnels->vxlan_port : MOAT_VXLAN_PORT;
	uint16_t geneve = tunnels->geneve_port ? tunnels->geneve_port : MOAT_GENEVE_PORT;

	if ((tunnels->kinds & MOAT_STAGE_VXLAN) && dport == vxlan)
		return open_vxlan(at, left, inner) ? MOAT_TUNNEL_VXLAN : MOAT_TUNNEL_NONE;
	if ((tunnels->kinds & MOAT_STAGE_GENEVE) && dport == geneve)
		return open_geneve(at, left, inner) ? MOAT_TUNNEL_GENEVE : MOAT_TUNNEL_NONE;
	return MOAT_TUNNEL_NONE;
}

/* The kind of tunnel that the packet's payload of `left` bytes is; then *inner says where to go on. */
static enum moat_tunnel open_tunnel(const struct moat_tunnels *tunnels,
				    const struct moat_headers *outer, const uint8_t *at,
				    size_t left, struct inner *inner)
{
	switch (outer->proto) {
	case IPPROTO_GRE:
		if ((tunnels->kinds & MOAT_STAGE_GRE) && open_gre(at, left, inner))
			return MOAT_TUNNEL_GRE;
		return MOAT_TUNNEL_NONE;
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		inner->type = outer->proto == IPPROTO_IPIP ? ETH_P_IP : ETH_P_IPV6;
		return tunnels->kinds & MOAT_STAGE_IP_TUNNEL ? MOAT_TUNNEL_IP : MOAT_TUNNEL_NONE;
	case IPPROTO_UDP:
		return open_udp(tunnels, outer->dport, at, left, inner);
	default:
		return MOAT_TUNNEL_NONE;
	}
}

bool moat_headers_enter_tunnel(const struct moat_tunnels *tunnels, const void *frame,
			       size_t captured, struct moat_headers *headers)
{
	size_t end = (size_t)headers->l3_offset + headers->l3_len;
	size_t there = captured < end ? captured : end;
	struct inner inner = { .offset = headers->l4_offset };
	struct moat_headers found;
	enum moat_tunnel tunnel;

	if (headers->fragment != MOAT_FRAGMENT_NONE || headers->broken || inner.offset > there)
		return false;
	tunnel = open_tunnel(tunnels, headers, (const uint8_t *)frame + inner.offset,
			     there - inner.offset, &inner);
	if (tunnel == MOAT_TUNNEL_NONE ||
	    moat_headers_parse_inner(frame, there, end, inner.offset, inner.type, &found) !=
		    MOAT_PARSE_OK)
		return false;
	found.frame_len = headers->frame_len;
	found.vlan = headers->vlan;
	found.tunnel = (uint8_t)tunnel;
	*headers = found;
	return true;
}
