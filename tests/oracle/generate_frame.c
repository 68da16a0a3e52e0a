/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See generate.h: plans as bytes, some in a tunnel, some damaged. */
#include <string.h>

#include "tests/oracle/generate_plan.h"

struct writer {
	struct moat_generator *generator;
	const struct moat_oracle_settings *settings;
	const struct moat_ruleset *set;
	uint8_t *bytes;
	size_t at;
};

static uint32_t below(const struct writer *writer, uint64_t bound)
{
	return moat_generate_below(writer->generator, bound);
}

static bool one_in(const struct writer *writer, uint32_t count)
{
	return below(writer, count) == 0;
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

static void put_random(struct writer *writer, size_t count)
{
	while (count-- > 0)
		put8(writer, below(writer, 256));
}

/* `value`, or one in `count` times one more or less. */
static size_t nearly(const struct writer *writer, size_t value, uint32_t count)
{
	return one_in(writer, count) ? value - 1 + 2 * below(writer, 2) : value;
}

/* ---- transport -------------------------------------------------------------------------------- */

static void put_tcp(struct writer *writer, const struct moat_plan *plan)
{
	put16(writer, plan->sport);
	put16(writer, plan->dport);
	put_random(writer, 8);
	/* the header's length: as it is, at its edges, or anything */
	put8(writer, one_in(writer, 20) ? 16 * (4 + below(writer, 3)) : 0x50);
	if (one_in(writer, 40))
		writer->bytes[writer->at - 1] = (uint8_t)below(writer, 256);
	put8(writer, plan->tcp_flags);
	put_random(writer, 6);
}

static void put_transport(struct writer *writer, const struct moat_plan *plan)
{
	if (plan->fragment == MOAT_FRAGMENT_LATER) {
		put_random(writer, 24);
	} else if (plan->proto == 6) {
		put_tcp(writer, plan);
	} else if (plan->proto == 1 || plan->proto == 58) {
		put8(writer, plan->icmp_type);
		put8(writer, plan->icmp_code);
		put_random(writer, one_in(writer, 4) ? 2 : 6);
	} else {
		put16(writer, plan->sport);
		put16(writer, plan->dport);
		put_random(writer, plan->proto == 132 ? 8 : 4);
	}
}

/* Of UDP: the length of header and payload, where that is known. */
static void patch_udp(struct writer *writer, const struct moat_plan *plan, size_t transport,
		      size_t end)
{
	size_t length = end > transport ? end - transport : 0;

	if (plan->proto != 17 || plan->fragment == MOAT_FRAGMENT_LATER)
		return;
	if (one_in(writer, 30))
		length = 6 + below(writer, 4);
	else
		length = nearly(writer, length, 30);
	writer->bytes[transport + 4] = (uint8_t)(length >> 8);
	writer->bytes[transport + 5] = (uint8_t)length;
}

/* ---- network ---------------------------------------------------------------------------------- */

/* Of a later fragment, in 8 bytes: at an edge of the field or anywhere. */
static unsigned int fragment_offset(const struct writer *writer)
{
	static const uint16_t edges[] = { 1, 2, 0x0fff, 0x1000, 0x1fff };

	return one_in(writer, 2) ? edges[below(writer, sizeof(edges) / sizeof(edges[0]))]
				 : 1 + below(writer, 0x1fff);
}

static void put_ipv4(struct writer *writer, const struct moat_plan *plan)
{
	unsigned int words = one_in(writer, 10) ? 5 + below(writer, 11) : 5;
	unsigned int offset = 0;

	if (plan->fragment == MOAT_FRAGMENT_LATER)
		offset = fragment_offset(writer);
	put8(writer, 0x40 | words);
	put8(writer, 0);
	put16(writer, 0); /* the length, later */
	put16(writer, 0);
	put16(writer, offset | (plan->fragment == MOAT_FRAGMENT_FIRST ? 0x2000 : 0) |
			      (one_in(writer, 3) ? 0x4000 : 0));
	put8(writer, plan->ttl);
	put8(writer, plan->proto);
	put16(writer, 0);
	memcpy(writer->bytes + writer->at, plan->src, 4);
	memcpy(writer->bytes + writer->at + 4, plan->dst, 4);
	writer->at += 8;
	put_random(writer, words * 4 - 20);
}

/* One extension header of `kind` before `next`. */
static void put_extension(struct writer *writer, const struct moat_plan *plan, unsigned int kind,
			  unsigned int next, bool last)
{
	unsigned int more = below(writer, 3);

	put8(writer, next);
	if (kind == 44) {
		/* the fragment that is planned, or an atomic one */
		put8(writer, 0);
		put16(writer, !last ? 0
			      : plan->fragment == MOAT_FRAGMENT_LATER
				      ? fragment_offset(writer) << 3 | below(writer, 2)
				      : plan->fragment == MOAT_FRAGMENT_FIRST);
		put_random(writer, 4);
		return;
	}
	put8(writer, more);
	put_random(writer, kind == 51 ? more * 4 + 6 : more * 8 + 6);
}

static void put_ipv6(struct writer *writer, const struct moat_plan *plan)
{
	static const uint8_t kinds[] = { 0, 43, 60, 51, 44, 60 };
	unsigned int count = one_in(writer, 4) ? below(writer, 8) : 0;
	unsigned int chain[9];

	for (unsigned int i = 0; i < count; i++)
		chain[i] = kinds[below(writer, sizeof(kinds))];
	if (plan->fragment)
		chain[count++] = 44;
	chain[count] = plan->proto;
	put8(writer, 0x60);
	put_random(writer, 3);
	put16(writer, 0); /* the length, later */
	put8(writer, chain[0]);
	put8(writer, plan->ttl);
	memcpy(writer->bytes + writer->at, plan->src, 16);
	memcpy(writer->bytes + writer->at + 16, plan->dst, 16);
	writer->at += 32;
	for (unsigned int i = 0; i < count; i++)
		put_extension(writer, plan, chain[i], chain[i + 1],
			      plan->fragment && i == count - 1);
}

static void put_ip(struct writer *writer, const struct moat_plan *plan)
{
	if (plan->v4)
		put_ipv4(writer, plan);
	else
		put_ipv6(writer, plan);
}

/* The datagram that begins at `ip` has `length` bytes. */
static void patch_ip(struct writer *writer, const struct moat_plan *plan, size_t ip, size_t length)
{
	size_t said = plan->v4 ? length : length > 40 ? length - 40 : 0;

	writer->bytes[ip + (plan->v4 ? 2 : 4)] = (uint8_t)(said >> 8);
	writer->bytes[ip + (plan->v4 ? 3 : 5)] = (uint8_t)said;
}

static void put_datagram(struct writer *writer, const struct moat_plan *plan)
{
	size_t ip = writer->at, transport, length = plan->length;

	put_ip(writer, plan);
	transport = writer->at;
	put_transport(writer, plan);
	/* most datagrams hold their headers; the others test what happens if not */
	if (ip + length < writer->at && !one_in(writer, 10))
		length = nearly(writer, writer->at - ip, 8);
	patch_ip(writer, plan, ip, length);
	while (writer->at < ip + length)
		put8(writer, 0xa5);
	patch_udp(writer, plan, transport, ip + length);
}

static void put_ethernet(struct writer *writer, bool v4, uint16_t vlan)
{
	unsigned int tags = one_in(writer, 6) ? below(writer, 4) : 0;

	put_random(writer, 12);
	if (vlan) {
		put16(writer, one_in(writer, 2) ? 0x8100 : 0x88a8);
		put16(writer, vlan | below(writer, 16) << 12);
		tags = one_in(writer, 10) ? tags : 0;
	}
	for (; tags > 0; tags--) {
		put16(writer, one_in(writer, 2) ? 0x8100 : 0x88a8);
		put16(writer, below(writer, 65536));
	}
	put16(writer, one_in(writer, 60) ? below(writer, 65536) : v4 ? 0x0800 : 0x86dd);
}

/* ---- tunnels ---------------------------------------------------------------------------------- */

/* Makes the plan that of a tunnel's outer packet; often of the right port, sometimes a neighbour. */
static void plan_tunnel(const struct writer *writer, struct moat_plan *plan,
			enum moat_tunnel tunnel, bool inner_v4)
{
	plan->proto = tunnel == MOAT_TUNNEL_GRE  ? 47
		      : tunnel == MOAT_TUNNEL_IP ? (inner_v4 ? 4 : 41)
						 : 17;
	if (tunnel == MOAT_TUNNEL_VXLAN)
		plan->dport = (uint16_t)nearly(writer, writer->settings->vxlan_port, 20);
	else if (tunnel == MOAT_TUNNEL_GENEVE)
		plan->dport = (uint16_t)nearly(writer, writer->settings->geneve_port, 20);
	if (one_in(writer, 40))
		plan->proto = (uint8_t)nearly(writer, plan->proto, 1);
	if (!one_in(writer, 10))
		plan->fragment = MOAT_FRAGMENT_NONE;
}

/* A type for what follows; one in 30 times it isn't. */
static void put_type(struct writer *writer, bool ethernet, bool v4)
{
	unsigned int type = ethernet ? 0x6558 : v4 ? 0x0800 : 0x86dd;

	put16(writer, one_in(writer, 30) ? below(writer, 65536) : type);
}

static void put_gre(struct writer *writer, bool ethernet, bool v4)
{
	unsigned int flags = below(writer, 16) << 12; /* checksum, routing, key, sequence */

	if (!one_in(writer, 20))
		flags &= ~0x4000U;
	if (one_in(writer, 20))
		flags |= 1U << below(writer, 12);
	put16(writer, flags);
	put_type(writer, ethernet, v4);
	put_random(writer, 4 * (unsigned int)__builtin_popcount(flags & 0xb000));
}

static void put_geneve(struct writer *writer, bool ethernet, bool v4)
{
	unsigned int options = one_in(writer, 3) ? below(writer, 64) : 0;

	put8(writer, options | (one_in(writer, 20) ? below(writer, 4) << 6 : 0));
	put8(writer, one_in(writer, 4) ? below(writer, 256) : 0);
	put_type(writer, ethernet, v4);
	put_random(writer, 4 + options * 4);
}

/* A datagram that holds another one, or an Ethernet frame. */
static void put_tunnel(struct writer *writer, struct moat_plan *outer, enum moat_tunnel tunnel)
{
	struct moat_plan inner = moat_generate_plan(writer->generator, writer->set);
	bool ethernet = tunnel == MOAT_TUNNEL_VXLAN ||
			(tunnel != MOAT_TUNNEL_IP && one_in(writer, 2));
	size_t ip = writer->at, transport;

	if (inner.length > 700)
		inner.length = 20 + below(writer, 680);
	plan_tunnel(writer, outer, tunnel, inner.v4);
	put_ip(writer, outer);
	transport = writer->at;
	if (outer->proto == 17)
		put_transport(writer, outer);
	if (tunnel == MOAT_TUNNEL_GRE)
		put_gre(writer, ethernet, inner.v4);
	else if (tunnel == MOAT_TUNNEL_GENEVE)
		put_geneve(writer, ethernet, inner.v4);
	else if (tunnel == MOAT_TUNNEL_VXLAN) {
		put8(writer, one_in(writer, 20) ? below(writer, 256) : 8 | below(writer, 256));
		put_random(writer, 7);
	}
	if (ethernet)
		put_ethernet(writer, inner.v4, inner.vlan);
	put_datagram(writer, &inner);
	patch_ip(writer, outer, ip, nearly(writer, writer->at - ip, 12));
	if (outer->proto == 17)
		patch_udp(writer, outer, transport, writer->at);
}

/* ---- frames ----------------------------------------------------------------------------------- */

/* One frame in eight is cut short or has a bent byte in its headers. */
static size_t damage(const struct writer *writer, size_t length)
{
	size_t headers = length < 200 ? length : 200;

	switch (below(writer, 16)) {
	case 0:
		return MOAT_GENERATE_FRAME_LEAST +
		       below(writer, length - MOAT_GENERATE_FRAME_LEAST + 1);
	case 1:
		writer->bytes[12 + below(writer, headers - 12)] ^= (uint8_t)(1U << below(writer, 8));
		return length;
	default:
		return length;
	}
}

size_t moat_generate_frame(struct moat_generator *generator,
			   const struct moat_oracle_settings *settings,
			   const struct moat_ruleset *set,
			   uint8_t ret_frame[MOAT_GENERATE_FRAME_LEN])
{
	struct moat_plan plan = moat_generate_plan(generator, set);
	uint8_t bytes[2 * MOAT_GENERATE_FRAME_LEN];
	struct writer writer = { generator, settings, set, bytes, 0 };
	size_t end;

	put_ethernet(&writer, plan.v4, plan.vlan);
	if (one_in(&writer, 4))
		put_tunnel(&writer, &plan, MOAT_TUNNEL_GRE + below(&writer, 4));
	else
		put_datagram(&writer, &plan);
	/* padding up to Ethernet's least length */
	while (writer.at < 60)
		put8(&writer, 0xa5);
	end = damage(&writer, writer.at);
	if (end > MOAT_GENERATE_FRAME_LEN)
		end = MOAT_GENERATE_FRAME_LEN;
	memcpy(ret_frame, bytes, end);
	return end;
}
