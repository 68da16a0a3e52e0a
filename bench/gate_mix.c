/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The address plan. IPv4 is dealt by /24: a permutation of all of them spreads each kind over the whole
 * space, as public blocklists are. IPv6 has 16,384 networks of /32 with four /40s each, in these four /48s
 * each.
 */
#include "bench/gate_mix.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "bench/frames.h"
#include "dataplane/base/addr.h"
#include "dataplane/rule.h"

/* /24s by kind, in the order in which they are dealt. */
#define HOLED 131072u /* hold four listed /32s, hosts 200 to 203 */
#define LISTED 475712u
#define RULED 1024u /* hold a destination with rules: host 10, or the first /64 of a /48 */
#define CLEAN 4096u
#define LISTED_OF_CLEAN 82u /* of 4,096 /24s: 2 % */
#define HOSTS_EACH 16u
#define DESTINATIONS 1024u
#define SERVICES 16u
#define DEALT (HOLED + LISTED + RULED + CLEAN)

#define NETS_V6 16384u    /* /32s */
#define LISTED_V6 240000u /* /48s */
#define HOLED_V6 9000u    /* /64s, in /48s of their own */
#define RULES_EACH 2u     /* for each destination, of either family */

static uint32_t dealt[DEALT]; /* /24s, in host byte order */
static bool taken[1u << 20];  /* /20s of clean sources: nobody else's */

static bool is_plain(uint32_t net)
{
	uint32_t top = net >> 16;

	return top >= 11 && top < 224 && top != 127 && top != 172 && top != 192 && top != 198 &&
	       top != 203;
}

/* Deals the /24s by a permutation of 24-bit numbers. Clients' are next to each other by 16, as those of one
 * provider: 256 blocks of a /20 each. */
static void deal(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; count < CLEAN; i++) {
		uint32_t net = (i * 0x9e3779b1u + 0x1234567u) & 0xfffff0;

		if (!is_plain(net) || taken[net >> 4])
			continue;
		taken[net >> 4] = true;
		for (uint32_t j = 0; j < 16; j++)
			dealt[DEALT - CLEAN + count++] = (net + j) << 8;
	}
	count = 0;
	for (uint32_t i = 0; count < DEALT - CLEAN; i++) {
		uint32_t net = (i * 0x9e3779b1u + 0x5bd1e9u) & 0xffffff;

		if (is_plain(net) && !taken[net >> 4])
			dealt[count++] = net << 8;
	}
}

static const uint32_t *holed(void)
{
	if (!dealt[0])
		deal();
	return dealt;
}

static const uint32_t *listed(void)
{
	return holed() + HOLED;
}

static const uint32_t *ruled(void)
{
	return listed() + LISTED;
}

static const uint32_t *clean(void)
{
	return ruled() + RULED;
}

/* ---- IPv6: a /48 by number, in 16,384 x 4 x 4; destinations and clean sources have nets of their own - */

static void net_v6(uint16_t root, uint32_t number, uint8_t ret_addr[static 16])
{
	uint32_t net = number & (NETS_V6 - 1), half = number / NETS_V6;
	uint32_t spread = net * 0x9e35u;

	memset(ret_addr, 0, 16);
	ret_addr[0] = (uint8_t)(root >> 8);
	ret_addr[1] = (uint8_t)(net >> 8); /* 64 roots of 16 bits */
	ret_addr[2] = (uint8_t)net;
	ret_addr[3] = (uint8_t)(spread >> 4);
	ret_addr[4] = (uint8_t)(spread + (half & 3) * 61);
	ret_addr[5] = (uint8_t)((half >> 2 & 3) * 67);
}

#define ROOT_LISTED 0x2400
#define ROOT_RULED 0x2600
#define ROOT_CLEAN 0x2800

/* ---- the set ------------------------------------------------------------------------------------ */

static int add_v4(struct moat_ruleset *set, uint32_t addr, uint8_t length)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4, .len = length };

	moat_addr_from_v4(&prefix.addr, htonl(addr));
	return moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix);
}

static int add_v6(struct moat_ruleset *set, uint32_t number, uint8_t length)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V6, .len = length };

	net_v6(ROOT_LISTED, number, prefix.addr.bytes);
	if (length > 48)
		prefix.addr.bytes[7] = 1;
	return moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix);
}

static int add_lists(struct moat_ruleset *set)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < HOLED; i++)
		for (uint32_t host = 200; r >= 0 && host < 204; host++)
			r = add_v4(set, holed()[i] + host, 32);
	for (uint32_t i = 0; r >= 0 && i < LISTED; i++)
		r = add_v4(set, listed()[i], 24);
	for (uint32_t i = 0; r >= 0 && i < LISTED_V6; i++)
		r = add_v6(set, i, 48);
	for (uint32_t i = LISTED_V6; r >= 0 && i < LISTED_V6 + HOLED_V6; i++)
		r = add_v6(set, i, 64);
	return r;
}

static int add_rule(struct moat_ruleset *set, const char *text, struct moat_error *error)
{
	struct moat_rule rule;
	int r = moat_rule_parse(text, 0, &rule, error);

	return r < 0 ? r : moat_ruleset_add(set, &rule, NULL);
}

static void destination(char *ret_text, size_t size, uint32_t number, bool is_v6)
{
	struct moat_addr addr;
	char text[MOAT_ADDR_TEXT_LEN];

	if (is_v6) {
		net_v6(ROOT_RULED, number, addr.bytes);
	} else {
		moat_addr_from_v4(&addr, htonl(ruled()[number] + 10));
	}
	snprintf(ret_text, size, "%s/%d", moat_addr_format(&addr, text), is_v6 ? 64 : 32);
}

/* Rule `i` of all but the last. */
static void rule_text(char *ret_text, size_t size, enum gate_rules rules, uint32_t i)
{
	uint32_t number = i / RULES_EACH % DESTINATIONS;
	char dst[MOAT_ADDR_TEXT_LEN + 4];

	if (rules == GATE_RULES_WORST) {
		snprintf(ret_text, size, "drop proto udp sport %u-65535 dport 0-%u len 1-%u", i * 7,
			 65000 - i * 7, 1000 + i * 5);
		return;
	}
	destination(dst, sizeof(dst), number, i / RULES_EACH >= DESTINATIONS);
	if (i % RULES_EACH == 0)
		snprintf(ret_text, size, "drop dst %s proto udp dport %u-%u", dst,
			 1000 + number * 16, 1015 + number * 16);
	else
		snprintf(ret_text, size, "drop dst %s proto tcp dport 9", dst);
}

int gate_mix_fill(struct moat_ruleset *set, enum gate_rules rules, struct moat_error *error)
{
	int r = add_lists(set);
	char text[160];

	for (uint32_t i = 0; r >= 0 && i < MOAT_RULES_MAX; i++) {
		rule_text(text, sizeof(text), rules, i);
		r = add_rule(set, text, error);
	}
	return r < 0 ? r : 0;
}

int gate_mix_fill_stages(struct moat_stage_set *stages)
{
	const struct moat_rate_ask much = { .per_s = 10000000 };
	const struct moat_source_limit source = { .packets = much, .v4_len = 32, .v6_len = 64 };
	const struct moat_prefix loopback = {
		.addr = { .words = { 0, 0, MOAT_V4_MAPPED, htonl(0x7f000000) } },
		.family = MOAT_FAMILY_V4,
		.len = 8,
	};
	/* clients are all over the space: 100.64.0.0/10 and others are theirs here */
	int r = moat_stage_set_mark(stages, MOAT_MARKED_MARTIAN, &loopback);

	moat_stage_set_bound_reflectors(stages);
	stages->drop_fragments = true;
	if (r == 0)
		r = moat_stage_set_limit_source(stages, &source);
	for (uint32_t i = 0; r == 0 && i < DESTINATIONS; i++) {
		struct moat_protection protection = {
			.prefix = { .family = MOAT_FAMILY_V4, .len = 24 },
			.rates = { much, much, much, much },
			.challenge = MOAT_CHALLENGE_ABOVE,
			.challenge_above = much,
		};

		moat_addr_from_v4(&protection.prefix.addr, htonl(ruled()[i]));
		r = moat_stage_set_protect(stages, &protection);
	}
	return r;
}

int gate_mix_fill_part(struct moat_ruleset *set, uint32_t count)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < count; i++)
		r = add_v4(set, listed()[i], 24);
	return r < 0 ? r : 0;
}

const char *gate_mix_describe(enum gate_rules rules)
{
	return rules == GATE_RULES_REAL
		       ? "4,096 rules: 2 for each of 1,024 IPv4 and 1,024 IPv6 destinations (2,048 "
			 "classes), TCP and UDP, 1,025 port ranges; none names a source; no wildcard for "
			 "the destination; 2 overlap"
		       : "4,096 rules: none names an address, all of UDP, with 4,096 ranges each of source port, "
			 "destination port and length; nearly all overlap";
}

/* ---- pools -------------------------------------------------------------------------------------- */

static const uint16_t services[SERVICES] = { 80,   443,  22,   25,   53,   110,  143,  993,
					     3306, 5432, 6379, 8080, 8443, 8883, 9000, 9090 };

/* The number of a /24 or /48 and the host within for packet `i`. A listed one in 50 of a mixed pool. */
struct draw {
	uint64_t random;
	bool is_listed;
};

static struct draw draw_of(uint32_t i, enum gate_traffic traffic, uint64_t seed)
{
	struct draw draw = { .random = bench_mix(i + seed) };

	draw.is_listed = traffic == GATE_TRAFFIC_LISTED ||
			 (traffic == GATE_TRAFFIC_MIXED &&
			  (draw.random >> 48) % CLEAN < LISTED_OF_CLEAN);
	return draw;
}

static uint16_t service_of(uint64_t random, enum gate_traffic traffic)
{
	return traffic == GATE_TRAFFIC_RULED ? 9 : services[random % SERVICES];
}

static uint32_t source_v4(const struct draw *draw, enum gate_mix mix)
{
	uint32_t low = (uint32_t)draw->random;

	if (mix == GATE_MIX_HOSTILE && draw->is_listed)
		/* as many from /24s as from /32s, by prefixes */
		return low & 1 ? listed()[(low >> 8) % LISTED] + (low >> 28)
			       : holed()[(low >> 8) % HOLED] + 200 + (low >> 30);
	if (mix == GATE_MIX_HOSTILE)
		return holed()[(low >> 8) % HOLED] + (low & 127);
	if (draw->is_listed)
		return listed()[(low >> 8) % LISTED_OF_CLEAN] + 1 + low % HOSTS_EACH;
	return clean()[(low >> 8) % CLEAN] + 1 + low % HOSTS_EACH;
}

uint32_t gate_mix_pool_v4(struct gate_pool_v4 *pool, enum gate_mix mix, enum gate_traffic traffic)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < GATE_POOL; i++) {
		struct draw draw = draw_of(i, traffic, 1);
		uint64_t to = bench_mix(i + 0x100000000ULL);
		uint32_t host = mix == GATE_MIX_HOSTILE ? (uint32_t)(to >> 32) & 255 : 10;

		pool[i] = (struct gate_pool_v4){
			.src = htonl(source_v4(&draw, mix)),
			.dst = htonl(ruled()[to % DESTINATIONS] + host),
			.sport = htons((uint16_t)(32768 + (to >> 48) % 28000)),
			.dport = htons(service_of(to >> 40, traffic)),
		};
		count += draw.is_listed;
	}
	return count;
}

void gate_mix_pool_part(struct gate_pool_v4 *pool, uint32_t count)
{
	for (uint32_t i = 0; i < GATE_POOL; i++)
		pool[i] = (struct gate_pool_v4){
			.src = htonl(listed()[bench_mix(i) % count] + 1),
			.dst = htonl(ruled()[0] + 10),
			.sport = htons(32768),
			.dport = htons(services[0]),
		};
}

static void source_v6(const struct draw *draw, enum gate_mix mix, uint8_t ret_addr[static 16])
{
	uint32_t low = (uint32_t)draw->random;

	if (draw->is_listed)
		net_v6(ROOT_LISTED,
		       (low >> 8) % (mix == GATE_MIX_HOSTILE ? LISTED_V6 : LISTED_OF_CLEAN),
		       ret_addr);
	else if (mix == GATE_MIX_HOSTILE)
		net_v6(ROOT_LISTED, LISTED_V6 + (low >> 8) % HOLED_V6, ret_addr);
	else
		net_v6(ROOT_CLEAN, (low >> 8) % CLEAN, ret_addr);
	ret_addr[15] = (uint8_t)(1 + (mix == GATE_MIX_HOSTILE ? low & 127 : low % HOSTS_EACH));
}

uint32_t gate_mix_pool_v6(struct gate_pool_v6 *pool, enum gate_mix mix, enum gate_traffic traffic)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < GATE_POOL; i++) {
		struct draw draw = draw_of(i, traffic, 2);
		uint64_t to = bench_mix(i + 0x200000000ULL);

		pool[i].sport = htons((uint16_t)(32768 + (to >> 48) % 28000));
		pool[i].dport = htons(service_of(to >> 40, traffic));
		source_v6(&draw, mix, pool[i].src);
		net_v6(ROOT_RULED, to % DESTINATIONS, pool[i].dst);
		/* of the /48's /64s the first has rules */
		pool[i].dst[7] = mix == GATE_MIX_HOSTILE ? (uint8_t)(to >> 32) & 1 : 0;
		pool[i].dst[15] = mix == GATE_MIX_HOSTILE ? (uint8_t)(1 + (to >> 33) % 250) : 10;
		count += draw.is_listed;
	}
	return count;
}

/* ---- frames ------------------------------------------------------------------------------------- */

/* Ethernet, then TCP with an ACK at `at`. */
static void put_frame(uint8_t *frame, size_t size, uint16_t ether_type, size_t at)
{
	static const uint8_t addresses[] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };

	memset(frame, 0, size);
	memcpy(frame, addresses, sizeof(addresses));
	frame[12] = (uint8_t)(ether_type >> 8);
	frame[13] = (uint8_t)ether_type;
	frame[at + 12] = 5 << 4;
	frame[at + 13] = 0x10;
}

void gate_mix_template_v4(uint8_t frame[static GATE_FRAME_V4])
{
	put_frame(frame, GATE_FRAME_V4, 0x0800, 34);
	frame[14] = 0x45;
	frame[17] = 46; /* total length: 6 bytes of payload */
	frame[22] = 64;
	frame[23] = 6;
}

void gate_mix_template_vxlan(uint8_t frame[static GATE_FRAME_VXLAN])
{
	/* UDP to VXLAN's port; flag I and network 1 */
	static const uint8_t udp_vxlan[] = { 0xc0, 0, 0x12, 0xb5, 0, 80, 0, 0,
					     8,    0, 0,    0,    0, 0,  1, 0 };

	gate_mix_template_v4(frame);
	memset(frame + 34, 0, GATE_FRAME_VXLAN - 34);
	frame[17] = GATE_FRAME_VXLAN - 14;
	frame[23] = 17;
	frame[26] = frame[30] = 10;
	frame[29] = 1;
	frame[33] = 2;
	memcpy(frame + 34, udp_vxlan, sizeof(udp_vxlan));
	gate_mix_template_v4(frame + GATE_VXLAN_HEAD);
}

void gate_mix_template_v6(uint8_t frame[static GATE_FRAME_V6])
{
	put_frame(frame, GATE_FRAME_V6, 0x86dd, 54);
	frame[14] = 0x60;
	frame[19] = 26; /* payload length: 6 bytes behind TCP */
	frame[20] = 6;
	frame[21] = 64;
}
