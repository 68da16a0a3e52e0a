/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames from the wire: what the parser says lies within the frame and agrees with itself. */
#include "dataplane/parse.h"
#include "tests/fuzz/fuzz.h"

/* Where a whole frame's headers may be, by what the parser says of it. */
static void check_places(const struct moat_headers *headers, size_t size)
{
	size_t network = headers->family == MOAT_FAMILY_V4 ? 20 : 40;

	MOAT_FUZZ_ASSERT(headers->family == MOAT_FAMILY_V4 || headers->family == MOAT_FAMILY_V6);
	MOAT_FUZZ_ASSERT(headers->l3_offset >= 14 && headers->l3_offset + network <= size);
	MOAT_FUZZ_ASSERT(headers->l4_offset >= headers->l3_offset + network);
	MOAT_FUZZ_ASSERT(headers->l4_offset <= size || headers->fragment == MOAT_FRAGMENT_LATER);
	MOAT_FUZZ_ASSERT(headers->l3_len >= network);
	MOAT_FUZZ_ASSERT(moat_addr_is_v4(&headers->src) == moat_addr_is_v4(&headers->dst) ||
			 headers->family == MOAT_FAMILY_V6);
	if (headers->fragment == MOAT_FRAGMENT_LATER) {
		MOAT_FUZZ_ASSERT(!headers->has_ports && !headers->sport && !headers->dport);
		MOAT_FUZZ_ASSERT(!headers->tcp_flags && !headers->icmp_type);
	}
	if (headers->has_ports)
		MOAT_FUZZ_ASSERT((size_t)headers->l4_offset + 4 <= size);
	else
		MOAT_FUZZ_ASSERT(!headers->sport && !headers->dport);
}

static const struct moat_tunnels tunnels = { .kinds = MOAT_STAGE_TUNNELS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moat_headers headers, longer;
	char id[MOAT_COMMUNITY_ID_LEN];
	enum moat_parse parse;

	/* Nothing of what was there before may show. */
	memset(&headers, 0xa5, sizeof(headers));
	memset(&longer, 0x5a, sizeof(longer));
	parse = moat_headers_parse(data, size, size, &headers);
	MOAT_FUZZ_ASSERT(parse <= MOAT_PARSE_DEPTH);
	MOAT_FUZZ_ASSERT(headers.frame_len == (size > 65535 ? 65535 : size));
	if (parse == MOAT_PARSE_OK) {
		check_places(&headers, size);
		MOAT_FUZZ_ASSERT(moat_headers_community_id(&headers, id) == 0);
		MOAT_FUZZ_ASSERT(strncmp(id, "1:", 2) == 0 && strlen(id) < sizeof(id));
	}
	if (parse == MOAT_PARSE_NOT_IP)
		MOAT_FUZZ_ASSERT(headers.family == MOAT_FAMILY_ANY);

	/* What a tunnel holds lies within what the tunnel's packet said, and is read as any packet. */
	if (parse == MOAT_PARSE_OK) {
		struct moat_headers inner = headers;

		if (moat_headers_enter_tunnel(&tunnels, data, size, &inner)) {
			check_places(&inner, size);
			MOAT_FUZZ_ASSERT(inner.tunnel && inner.vlan == headers.vlan);
			MOAT_FUZZ_ASSERT(inner.l3_offset >= headers.l4_offset);
			MOAT_FUZZ_ASSERT((size_t)inner.l3_offset + inner.l3_len <=
					 (size_t)headers.l3_offset + headers.l3_len);
		} else {
			MOAT_FUZZ_ASSERT(memcmp(&inner, &headers, sizeof(inner)) == 0);
		}
	}

	/* A capture that cut the frame off changes how long it was, and whether it was whole. */
	if (moat_headers_parse(data, size, size + 100, &longer) == parse && parse == MOAT_PARSE_OK) {
		longer.frame_len = headers.frame_len;
		MOAT_FUZZ_ASSERT(memcmp(&headers, &longer, sizeof(headers)) == 0);
	}
	return 0;
}
