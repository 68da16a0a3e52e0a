/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frame to headers, for workers: Ethernet, up to two VLAN tags, IPv4, IPv6 with extension headers, TCP,
 * UDP, SCTP ports, ICMP. The gate has a parser of its own (bpf/lib); both fill struct moat_headers. */
#ifndef MOAT_DATAPLANE_PARSE_H
#define MOAT_DATAPLANE_PARSE_H

#include <stddef.h>

#include "moat/packet.h"

/* Parses the `captured` bytes at `frame`, of a frame that had `length` bytes on the wire (>= captured).
 * Sets all of *ret_headers (zero where unknown) whatever the result. Reads only within `captured`. */
enum moat_parse moat_headers_parse(const void *frame, size_t captured, size_t length,
				   struct moat_headers *ret_headers);

#define MOAT_COMMUNITY_ID_LEN 32

/* Community ID v1 of a packet's flow (corelight/community-id-spec, seed 0): "1:" + base64 of SHA-1.
 * 0, or -ENODATA if the packet is no IP packet. */
int moat_headers_community_id(const struct moat_headers *headers,
			      char ret_text[MOAT_COMMUNITY_ID_LEN]);

#endif
