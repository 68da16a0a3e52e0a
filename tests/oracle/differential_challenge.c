/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See differential.h: SYNs that are challenged, and what their clients do next. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/oracle/differential.h"
#include "tests/oracle/replay/clock.h"

/* A SYN that was challenged, for the client's next step. */
void remember_syn(struct world *world, const uint8_t *frame, size_t length,
		  const struct answer *expected, uint32_t cookie)
{
	struct handshake *handshake = &world->handshakes[world->handshake_next++ % HANDSHAKES];

	memcpy(handshake->frame, frame, length);
	handshake->length = length;
	handshake->tcp = expected->headers.l4_offset;
	handshake->cookie = cookie;
}

/* A client's RST with the cookie, or nearly; or its SYN again. */
size_t answer_challenge(struct world *world, uint8_t frame[MOAT_GENERATE_FRAME_LEN])
{
	struct handshake
		*handshake = &world->handshakes[moat_generate_below(&world->generator, HANDSHAKES)];
	uint8_t *tcp = frame + handshake->tcp;
	uint32_t cookie = handshake->cookie;

	memcpy(frame, handshake->frame, handshake->length);
	if (handshake->length == 0 || moat_generate_below(&world->generator, 3) == 0)
		return handshake->length;
	if (moat_generate_below(&world->generator, 8) == 0)
		cookie ^= 1U << moat_generate_below(&world->generator, 32);
	for (int i = 0; i < 4; i++)
		tcp[4 + i] = (uint8_t)(cookie >> (24 - 8 * i));
	tcp[13] = moat_generate_below(&world->generator, 2) ? 0x04 : 0x14;
	return handshake->length;
}

/* RFC 1071: the sum of what a header covers is all ones. */
static bool sums_up(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* The gate's answer: a SYN-ACK with the cookie in its right places, back to where the SYN came from. */
bool is_answer(const struct world *world, const struct moat_headers *syn, uint32_t cookie)
{
	const uint8_t *frame = world->gate.answer, *ip, *tcp;
	struct moat_oracle_settings plain = { 0 };
	size_t length = world->gate.answer_length;
	struct moat_headers h;

	if (moat_oracle_parse(&plain, frame, length, length, &h) != MOAT_PARSE_OK)
		return false;
	ip = frame + h.l3_offset;
	tcp = frame + h.l4_offset;
	return h.proto == 6 && h.tcp_flags == 0x12 && h.ttl == 64 && h.vlan == syn->vlan &&
	       h.sport == syn->dport && h.dport == syn->sport &&
	       memcmp(&h.src, &syn->dst, 16) == 0 && memcmp(&h.dst, &syn->src, 16) == 0 &&
	       h.l3_len == (h.family == MOAT_FAMILY_V4 ? 40 : 60) &&
	       (uint32_t)(tcp[8] << 24 | tcp[9] << 16 | tcp[10] << 8 | tcp[11]) == cookie &&
	       (h.family == MOAT_FAMILY_V6 || sums_up(ip, 20, 0)) &&
	       sums_up(ip + (h.family == MOAT_FAMILY_V4 ? 12 : 8),
		       h.family == MOAT_FAMILY_V4 ? 28 : 52, 6 + 20);
}

/* Keys as inputs, the second one in force from this moment, soon or long ago. */
void choose_challenge(struct world *world)
{
	static const uint32_t caps[] = { 1, 8, 256, 65535 }, boxes[] = { 0, 7, 50, 3000 };
	struct oracle_challenge_settings *settings = world->challenges;
	struct moat_challenge_state *states[] = { moat_gate_challenge(world->gate.fixture.gate),
						  moat_policy_challenge(world->policy) };
	const uint64_t windows[] = { window_of(replay_clock_ticks(), replay_clock.ticks_per_s),
				     window_of(replay_clock.ms, 1000) };
	struct moat_challenge_options options = moat_challenge_default();

	options.prefix_pps = caps[moat_generate_below(&world->generator, 4)];
	options.box_pps = boxes[moat_generate_below(&world->generator, 4)];
	options.lifetime_s = 1 + moat_generate_below(&world->generator, 60);
	moat_gate_set_challenge(world->gate.fixture.gate, &options);
	moat_policy_set_challenge(world->policy, &options);
	settings[0].lifetime_s = options.lifetime_s;
	settings[0].prefix_pps = options.prefix_pps;
	settings[0].box_pps = options.box_pps;
	settings[0].seed = HASH_SEED;
	for (int i = 0; i < 32; i++)
		settings[0].keys[i / 16][i % 16] = (uint8_t)moat_generate_below(&world->generator,
										256);
	settings[1] = settings[0];
	for (int i = 0; i < 2; i++) {
		uint32_t slot = (uint32_t)(windows[i] / 64);

		settings[i].first_slots[0] = slot - 20;
		settings[i].first_slots[1] = slot - 10 + moat_generate_below(&world->generator, 13);
		memset(states[i]->seed, 0, sizeof(states[i]->seed));
		states[i]->seed[0] = HASH_SEED;
		for (int key = 0; key < 2; key++) {
			states[i]->keys[key].first_slot = settings[i].first_slots[key];
			memcpy(states[i]->keys[key].words, settings[i].keys[key], 16);
		}
	}
	memset(world->handshakes, 0, sizeof(world->handshakes));
}

static bool counters_agree(const char *who, const struct moat_challenge_counters *counters,
			   const struct moat_challenge_counters *expected)
{
	const uint64_t *numbers = (const uint64_t *)counters, *wanted = (const uint64_t *)expected;

	if (memcmp(counters, expected, sizeof(*counters)) == 0)
		return true;
	fprintf(stderr, "%s: challenge counters, oracle's behind them:", who);
	for (size_t i = 0; i < sizeof(*counters) / sizeof(*numbers); i++)
		fprintf(stderr, " %" PRIu64 "/%" PRIu64, numbers[i], wanted[i]);
	fputc('\n', stderr);
	return false;
}

/* The counters of all judges since the beginning. */
bool challenges_agree(const struct world *world)
{
	struct moat_challenge_stats stats[2];

	moat_gate_challenge_stats(world->gate.fixture.gate, &stats[0]);
	moat_policy_challenge_stats(world->policy, replay_clock.ms, &stats[1]);
	return counters_agree("gate", &stats[0].counters,
			      &world->for_gate.memory->challenges.counters) &&
	       counters_agree("policy", &stats[1].counters,
			      &world->for_policy.memory->challenges.counters);
}
