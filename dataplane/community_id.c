/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Community ID v1, the flow identifier that Suricata, Zeek and others write too, so that their logs and
 * ours can be joined (github.com/corelight/community-id-spec). */
#include "dataplane/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* ICMP types that are the two directions of one exchange stand for ports; others are one-way, their
 * code takes the second place (the specification's table, after Zeek's). */
struct icmp_pair {
	uint8_t type;
	uint8_t counterpart;
};

static const struct icmp_pair icmp4_pairs[] = {
	{ 8, 0 },   { 0, 8 },   /* echo */
	{ 13, 14 }, { 14, 13 }, /* timestamp */
	{ 15, 16 }, { 16, 15 }, /* information */
	{ 10, 9 },  { 9, 10 },  /* router solicitation, advertisement */
	{ 17, 18 }, { 18, 17 }, /* address mask */
};

static const struct icmp_pair icmp6_pairs[] = {
	{ 128, 129 }, { 129, 128 }, /* echo */
	{ 133, 134 }, { 134, 133 }, /* router solicitation, advertisement */
	{ 135, 136 }, { 136, 135 }, /* neighbour solicitation, advertisement */
	{ 130, 131 }, { 131, 130 }, /* multicast listener query, report */
	{ 144, 145 }, { 145, 144 }, /* home agent address discovery */
	{ 139, 140 }, { 140, 139 }, /* node information */
};

/* What of a flow is hashed, in host byte order. */
struct endpoints {
	bool has_ports;
	bool one_way; /* never swapped */
	uint16_t source;
	uint16_t destination;
};

static struct endpoints icmp_endpoints(const struct moat_headers *headers,
				       const struct icmp_pair *pairs, size_t count)
{
	struct endpoints ends = { .has_ports = true, .source = headers->icmp_type };

	for (size_t i = 0; i < count; i++) {
		if (pairs[i].type == headers->icmp_type) {
			ends.destination = pairs[i].counterpart;
			return ends;
		}
	}
	ends.destination = headers->icmp_code;
	ends.one_way = true;
	return ends;
}

static struct endpoints headers_endpoints(const struct moat_headers *headers)
{
	struct endpoints ends = { 0 };

	if (headers->fragment == MOAT_FRAGMENT_LATER)
		return ends;
	if (headers->family == MOAT_FAMILY_V4 && headers->proto == IPPROTO_ICMP)
		return icmp_endpoints(headers, icmp4_pairs,
				      sizeof(icmp4_pairs) / sizeof(icmp4_pairs[0]));
	if (headers->family == MOAT_FAMILY_V6 && headers->proto == IPPROTO_ICMPV6)
		return icmp_endpoints(headers, icmp6_pairs,
				      sizeof(icmp6_pairs) / sizeof(icmp6_pairs[0]));
	ends.has_ports = headers->has_ports;
	ends.source = headers->sport;
	ends.destination = headers->dport;
	return ends;
}

/* The smaller (address, port) comes first, so that both directions have one id. */
static bool must_swap(const uint8_t *source, const uint8_t *destination, size_t length,
		      const struct endpoints *ends)
{
	int order = memcmp(source, destination, length);

	if (ends->one_way)
		return false;
	return order > 0 || (order == 0 && ends->source > ends->destination);
}

static void hash_u16(struct sha1_ctx *sha1, uint16_t value)
{
	uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	sha1_update(sha1, sizeof(bytes), bytes);
}

int moat_headers_community_id(const struct moat_headers *headers,
			      char ret_text[MOAT_COMMUNITY_ID_LEN])
{
	struct endpoints ends = headers_endpoints(headers);
	size_t length = headers->family == MOAT_FAMILY_V4 ? 4 : 16;
	const uint8_t *source = headers->src.bytes + 16 - length;
	const uint8_t *destination = headers->dst.bytes + 16 - length;
	const uint8_t proto_and_padding[2] = { headers->proto, 0 };
	uint8_t digest[SHA1_DIGEST_SIZE];
	struct sha1_ctx sha1;
	bool swap;

	if (headers->family == MOAT_FAMILY_ANY)
		return -ENODATA;
	swap = must_swap(source, destination, length, &ends);
	sha1_init(&sha1);
	hash_u16(&sha1, 0); /* the seed */
	sha1_update(&sha1, length, swap ? destination : source);
	sha1_update(&sha1, length, swap ? source : destination);
	sha1_update(&sha1, sizeof(proto_and_padding), proto_and_padding);
	if (ends.has_ports) {
		hash_u16(&sha1, swap ? ends.destination : ends.source);
		hash_u16(&sha1, swap ? ends.source : ends.destination);
	}
	sha1_digest(&sha1, sizeof(digest), digest);

	_Static_assert(2 + BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) < MOAT_COMMUNITY_ID_LEN,
		       "fits");
	memcpy(ret_text, "1:", 2);
	base64_encode_raw(ret_text + 2, sizeof(digest), digest);
	ret_text[2 + BASE64_ENCODE_RAW_LENGTH(sizeof(digest))] = '\0';
	return 0;
}
