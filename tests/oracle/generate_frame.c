/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See generate.h: frames. A rule or a listed prefix of the set is picked; the frame's fields are drawn
 * from in and around what it matches. */
#include <stdbool.h>
#include <string.h>

#include "dataplane/rule.h"
#include "tests/oracle/generate.h"

typedef unsigned __int128 u128;

#define DATAGRAM_MOST 1400

/* What a frame is to say, before it is bytes. */
struct plan {
	struct moat_match aim;
	bool v4;
	uint8_t src[16], dst[16]; /* v4: the first four bytes */
	uint8_t proto;
	uint16_t sport, dport;
	uint8_t tcp_flags;
	size_t length;         /* of the datagram */
	unsigned int fragment; /* enum moat_fragment */
};

struct writer {
	uint8_t *bytes;
	size_t at;
};

static bool one_in(struct moat_generator *generator, uint32_t count)
{
	return moat_generate_below(generator, count) == 0;
}

static void put8(struct writer *writer, unsigned int value)
{
	writer->bytes[writer->at++] = (uint8_t)value;
}

static void put16(struct writer *writer, unsigned int value)
{
	put8(writer, value >> 8);
	put8(writer, value);
}

static void put_random(struct moat_generator *generator, struct writer *writer, size_t count)
{
	while (count-- > 0)
		put8(writer, moat_generate_below(generator, 256));
}

/* ---- the plan --------------------------------------------------------------------------------- */

static struct moat_match pick_aim(struct moat_generator *generator, const struct moat_ruleset *set)
{
	struct moat_match aim = moat_rule_default().match;
	size_t rule_count, prefix_count;
	const struct moat_rule *rules = moat_ruleset_rules(set, &rule_count);
	const struct moat_prefix *prefixes = moat_ruleset_prefixes(
		set, one_in(generator, 2) ? MOAT_LIST_ALLOW : MOAT_LIST_DENY, &prefix_count);

	if (prefix_count && one_in(generator, 6))
		aim.src = prefixes[moat_generate_below(generator, prefix_count)];
	else if (rule_count && !one_in(generator, 10))
		aim = rules[moat_generate_below(generator, rule_count)].match;
	return aim;
}

/* An address at an edge of the prefix, just outside, inside, or anywhere. */
static void pick_addr(struct moat_generator *generator, const struct moat_prefix *prefix, bool v4,
		      uint8_t ret_bytes[16])
{
	unsigned int bits = v4 ? 32 : 128;
	u128 first = 0, mask, address = 0;

	for (int i = 0; i < 4; i++)
		address = address << 32 | moat_generate_below(generator, 1ULL << 32);
	if (prefix->family == (v4 ? MOAT_FAMILY_V4 : MOAT_FAMILY_V6)) {
		for (unsigned int i = 0; i < bits / 8; i++)
			first = first << 8 | prefix->addr.bytes[(v4 ? 12 : 0) + i];
		mask = prefix->len == 0      ? ~(u128)0
		       : prefix->len == bits ? 0
					     : ((u128)1 << (bits - prefix->len)) - 1;
		switch (moat_generate_below(generator, 8)) {
		case 0:
			address = first - 1;
			break;
		case 1:
			address = first + mask + 1;
			break;
		case 2:
			address = first + mask;
			break;
		case 3:
			break;
		case 4:
			address = first;
			break;
		default:
			address = first + (address & mask);
			break;
		}
	} else if (!v4 && one_in(generator, 20)) {
		/* an IPv4 host in IPv6's clothes */
		address = (u128)0xffff << 32 | (uint32_t)address;
	}
	for (unsigned int i = bits / 8; i-- > 0; address >>= 8)
		ret_bytes[i] = (uint8_t)address;
}

static uint16_t pick_in_range(struct moat_generator *generator, uint16_t min, uint16_t max)
{
	switch (moat_generate_below(generator, 8)) {
	case 0:
		return (uint16_t)(min - 1);
	case 1:
		return (uint16_t)(max + 1);
	case 2:
		return min;
	case 3:
		return max;
	case 4:
		return (uint16_t)moat_generate_below(generator, 65536);
	default:
		return (uint16_t)(min + moat_generate_below(generator, max - min + 1U));
	}
}

static uint8_t pick_proto(struct moat_generator *generator, const struct moat_match *aim)
{
	static const uint8_t protos[] = { 6, 17, 6, 17, 1, 58, 132, 47, 50, 59, 200 };

	if (aim->proto && !one_in(generator, 10))
		return aim->proto;
	if (aim->tcp_mask && !one_in(generator, 4))
		return 6;
	return protos[moat_generate_below(generator, sizeof(protos))];
}

static uint8_t pick_flags(struct moat_generator *generator, const struct moat_match *aim)
{
	uint8_t flags = (uint8_t)moat_generate_below(generator, 256);

	if (one_in(generator, 6))
		return flags;
	flags = (uint8_t)(aim->tcp_flags | (flags & ~aim->tcp_mask));
	if (one_in(generator, 4))
		flags ^= (uint8_t)(1U << moat_generate_below(generator, 8));
	return flags;
}

static struct plan make_plan(struct moat_generator *generator, const struct moat_ruleset *set)
{
	struct plan plan = { .aim = pick_aim(generator, set) };
	const struct moat_match *aim = &plan.aim;
	uint8_t family = aim->src.family ? aim->src.family : aim->dst.family;

	plan.v4 = family ? family == MOAT_FAMILY_V4 : one_in(generator, 2);
	pick_addr(generator, &aim->src, plan.v4, plan.src);
	pick_addr(generator, &aim->dst, plan.v4, plan.dst);
	plan.proto = pick_proto(generator, aim);
	plan.sport = pick_in_range(generator, aim->sport_min, aim->sport_max);
	plan.dport = pick_in_range(generator, aim->dport_min, aim->dport_max);
	plan.tcp_flags = pick_flags(generator, aim);
	plan.length = pick_in_range(generator, aim->len_min, aim->len_max);
	if (plan.length > DATAGRAM_MOST)
		plan.length = 40 + moat_generate_below(generator, DATAGRAM_MOST - 40);
	if (one_in(generator, 8))
		plan.fragment = MOAT_FRAGMENT_FIRST + moat_generate_below(generator, 2);
	return plan;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static void put_transport(struct moat_generator *generator, struct writer *writer,
			  const struct plan *plan)
{
	if (plan->fragment == MOAT_FRAGMENT_LATER) {
		put_random(generator, writer, 24);
		return;
	}
	put16(writer, plan->sport);
	put16(writer, plan->dport);
	put_random(generator, writer, 9);
	put8(writer, plan->tcp_flags);
	put_random(generator, writer, 10);
}

static void put_ipv4(struct moat_generator *generator, struct writer *writer,
		     const struct plan *plan)
{
	unsigned int words = one_in(generator, 10) ? 5 + moat_generate_below(generator, 11) : 5;
	unsigned int offset = 0;

	if (plan->fragment == MOAT_FRAGMENT_LATER)
		offset = 1 + moat_generate_below(generator, 0x1fff);
	put8(writer, 0x40 | words);
	put8(writer, 0);
	put16(writer, (unsigned int)plan->length);
	put16(writer, 0);
	put16(writer, offset | (plan->fragment == MOAT_FRAGMENT_FIRST ? 0x2000 : 0) |
			      (one_in(generator, 3) ? 0x4000 : 0));
	put8(writer, 64);
	put8(writer, plan->proto);
	put16(writer, 0);
	memcpy(writer->bytes + writer->at, plan->src, 4);
	memcpy(writer->bytes + writer->at + 4, plan->dst, 4);
	writer->at += 8;
	put_random(generator, writer, words * 4 - 20);
	put_transport(generator, writer, plan);
}

/* One extension header of `kind` before `next`. */
static void put_extension(struct moat_generator *generator, struct writer *writer,
			  const struct plan *plan, unsigned int kind, unsigned int next, bool last)
{
	unsigned int more = moat_generate_below(generator, 3);

	put8(writer, next);
	if (kind == 44) {
		/* the fragment that is planned, or an atomic one */
		put8(writer, 0);
		put16(writer, !last ? 0
			      : plan->fragment == MOAT_FRAGMENT_LATER
				      ? (1 + moat_generate_below(generator, 0x1fff)) << 3 |
						moat_generate_below(generator, 2)
				      : plan->fragment == MOAT_FRAGMENT_FIRST);
		put_random(generator, writer, 4);
		return;
	}
	put8(writer, more);
	put_random(generator, writer, kind == 51 ? more * 4 + 6 : more * 8 + 6);
}

static void put_ipv6(struct moat_generator *generator, struct writer *writer,
		     const struct plan *plan)
{
	static const uint8_t kinds[] = { 0, 43, 60, 51, 44, 60 };
	unsigned int count = one_in(generator, 4) ? moat_generate_below(generator, 8) : 0;
	unsigned int chain[9];

	for (unsigned int i = 0; i < count; i++)
		chain[i] = kinds[moat_generate_below(generator, sizeof(kinds))];
	if (plan->fragment)
		chain[count++] = 44;
	chain[count] = plan->proto;
	put8(writer, 0x60);
	put_random(generator, writer, 3);
	put16(writer, plan->length > 40 ? (unsigned int)plan->length - 40 : 0);
	put8(writer, chain[0]);
	put8(writer, 64);
	memcpy(writer->bytes + writer->at, plan->src, 16);
	memcpy(writer->bytes + writer->at + 16, plan->dst, 16);
	writer->at += 32;
	for (unsigned int i = 0; i < count; i++)
		put_extension(generator, writer, plan, chain[i], chain[i + 1],
			      plan->fragment && i == count - 1);
	put_transport(generator, writer, plan);
}

static void put_ethernet(struct moat_generator *generator, struct writer *writer,
			 const struct plan *plan)
{
	unsigned int tags = one_in(generator, 6) ? moat_generate_below(generator, 4) : 0;

	put_random(generator, writer, 12);
	for (; tags > 0; tags--) {
		put16(writer, one_in(generator, 2) ? 0x8100 : 0x88a8);
		put16(writer, moat_generate_below(generator, 65536));
	}
	put16(writer, one_in(generator, 60) ? moat_generate_below(generator, 65536)
		      : plan->v4            ? 0x0800
					    : 0x86dd);
}

/* One frame in eight is cut short or has a bent byte in its headers. */
static size_t damage(struct moat_generator *generator, uint8_t *frame, size_t length)
{
	size_t headers = length < 80 ? length : 80;

	switch (moat_generate_below(generator, 16)) {
	case 0:
		return MOAT_GENERATE_FRAME_LEAST +
		       moat_generate_below(generator, length - MOAT_GENERATE_FRAME_LEAST + 1);
	case 1:
		frame[12 + moat_generate_below(generator, headers - 12)] ^=
			(uint8_t)(1U << moat_generate_below(generator, 8));
		return length;
	default:
		return length;
	}
}

size_t moat_generate_frame(struct moat_generator *generator, const struct moat_ruleset *set,
			   uint8_t ret_frame[MOAT_GENERATE_FRAME_LEN])
{
	struct plan plan = make_plan(generator, set);
	uint8_t bytes[MOAT_GENERATE_FRAME_LEN + 512];
	struct writer writer = { .bytes = bytes };
	size_t ip, end;

	put_ethernet(generator, &writer, &plan);
	ip = writer.at;
	if (plan.v4)
		put_ipv4(generator, &writer, &plan);
	else
		put_ipv6(generator, &writer, &plan);
	/* most datagrams hold their headers; the others test what happens if not */
	if (ip + plan.length < writer.at && !one_in(generator, 10)) {
		plan.length = writer.at - ip;
		bytes[ip + (plan.v4 ? 2 : 4)] = (uint8_t)((plan.length - (plan.v4 ? 0 : 40)) >> 8);
		bytes[ip + (plan.v4 ? 3 : 5)] = (uint8_t)(plan.length - (plan.v4 ? 0 : 40));
	}
	end = ip + plan.length;
	/* padding up to Ethernet's least length, or the headers that the datagram doesn't hold */
	if (end < 60)
		end = 60;
	while (writer.at < end)
		put8(&writer, 0xa5);
	end = damage(generator, bytes, end);
	memcpy(ret_frame, bytes, end);
	return end;
}
