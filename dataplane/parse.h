/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frame to headers, for workers: Ethernet, up to two VLAN tags, IPv4, IPv6 with extension headers, TCP,
 * UDP, SCTP ports, ICMP, and the same of what tunnels hold. The gate has a parser of its own (bpf/lib);
 * both fill struct moat_headers. */
#ifndef MOAT_DATAPLANE_PARSE_H
#define MOAT_DATAPLANE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moat/packet.h"
#include "moat/stage.h"

/* Parses the `captured` bytes at `frame`, of a frame that had `length` bytes on the wire (>= captured).
 * Sets all of *ret_headers (zero where unknown) whatever the result. Reads only within `captured`. */
enum moat_parse moat_headers_parse(const void *frame, size_t captured, size_t length,
				   struct moat_headers *ret_headers);

/* Which tunnels are looked into. */
struct moat_tunnels {
	uint32_t kinds;       /* of MOAT_STAGE_TUNNELS; 0: none */
	uint16_t vxlan_port;  /* UDP; 0: MOAT_VXLAN_PORT */
	uint16_t geneve_port; /* UDP; 0: MOAT_GENEVE_PORT */
};

/* Behind a parse with result MOAT_PARSE_OK, of the same frame: replaces *headers by those of the inner
 * packet, as enum moat_tunnel has it. Returns whether it did. */
bool moat_headers_enter_tunnel(const struct moat_tunnels *tunnels, const void *frame,
			       size_t captured, struct moat_headers *headers);

/* For parse_tunnel.c: parses what begins at `offset`, of type ETH_P_TEB an Ethernet frame, else what the
 * EtherType says; what it lies in ends at `length`, of which `captured` bytes are there. */
enum moat_parse moat_headers_parse_inner(const void *frame, size_t captured, size_t length,
					 size_t offset, uint16_t ether_type,
					 struct moat_headers *ret_headers);

#define MOAT_COMMUNITY_ID_LEN 32

/* Community ID v1 of a packet's flow (corelight/community-id-spec, seed 0): "1:" + base64 of SHA-1.
 * 0, or -ENODATA if the packet is no IP packet. */
int moat_headers_community_id(const struct moat_headers *headers,
			      char ret_text[MOAT_COMMUNITY_ID_LEN]);

#endif
