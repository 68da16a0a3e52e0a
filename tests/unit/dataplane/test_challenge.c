/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The SYN challenge without a gate: the keyed hash, cookies through time and keys, the table of validated
 * sources, and the workers' way, from verdict to answer. */
#include "dataplane/challenge.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/parse.h"
#include "dataplane/policy.h"
#include "dataplane/rule.h"
#include "dataplane/worker.h"
#include "tests/harness/frame.h"
#include "tests/harness/unit.h"

#define SLOT_MS \
	(1ULL << (MOAT_WINDOW_SHIFT_MS + MOAT_CHALLENGE_TICK_SHIFT + MOAT_CHALLENGE_SLOT_SHIFT))
#define TICK_MS (1ULL << (MOAT_WINDOW_SHIFT_MS + MOAT_CHALLENGE_TICK_SHIFT))
#define NOW_MS (1000 * SLOT_MS)

/* ---- SipHash ------------------------------------------------------------------------------------- */

static uint64_t load64(const uint8_t *at)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | at[i];
	return value;
}

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void rounds(uint64_t v[4], int count)
{
	while (count-- > 0) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

/* SipHash-c-d of bytes, as the paper has it. */
static uint64_t siphash(int c, int d, const uint8_t key[16], const uint8_t *data, size_t length)
{
	uint64_t k0 = load64(key), k1 = load64(key + 8);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
			  k1 ^ 0x7465646279746573 };

	for (size_t at = 0; at <= length; at += 8) {
		uint8_t block[8] = { 0 };
		uint64_t word;

		memcpy(block, data + at, length - at < 8 ? length - at : 8);
		if (length - at < 8)
			block[7] = (uint8_t)length;
		word = load64(block);
		v[3] ^= word;
		rounds(v, c);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	rounds(v, d);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t ours(const uint8_t key[16], const uint8_t *data, uint32_t words)
{
	const __u64 keys[2] = { load64(key), load64(key + 8) };
	struct moat_siphash s;

	moat_siphash_begin(&s, keys);
	for (uint32_t i = 0; i < words; i++)
		moat_siphash_word(&s, load64(data + 8UL * i));
	return moat_siphash_end(&s, words);
}

static void test_siphash(void)
{
	uint8_t key[16], data[64];

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	memcpy(key, data, sizeof(key));
	/* the paper's vector (appendix A), so that this test's own is one */
	CU_ASSERT_EQUAL(siphash(2, 4, key, data, 15), 0xa129ca6149be45e5);
	/* SipHash-1-3 of 0, 1, 2, ... as other implementations have it */
	CU_ASSERT_EQUAL(ours(key, data, 0), 0xabac0158050fc4dc);
	CU_ASSERT_EQUAL(ours(key, data, 1), 0x369095118d299a8e);
	CU_ASSERT_EQUAL(ours(key, data, 2), 0xcc4fdd1a7d908b66);
	CU_ASSERT_EQUAL(ours(key, data, 5), 0xc1d2363299e41531);
	for (int i = 0; i < 1000; i++) {
		uint32_t words = (uint32_t)i % 9;

		for (unsigned int byte = 0; byte < sizeof(data); byte++)
			data[byte] = (uint8_t)random();
		for (unsigned int byte = 0; byte < sizeof(key); byte++)
			key[byte] = (uint8_t)random();
		CU_ASSERT_EQUAL(ours(key, data, words), siphash(1, 3, key, data, 8UL * words));
	}
}

/* A cookie is the hash of the bytes that moat/challenge.h says. */
static void test_cookie(void)
{
	struct moat_challenge_state state;
	struct moat_headers h = { .family = MOAT_FAMILY_V6, .sport = 0x1234, .dport = 80 };
	uint8_t key[16], message[40] = { 0 };

	CU_ASSERT_EQUAL_FATAL(moat_challenge_init(&state, 100), 0);
	memcpy(key, state.keys[1].words, sizeof(key));
	for (unsigned int i = 0; i < 16; i++) {
		h.src.bytes[i] = message[i] = (uint8_t)(random() & 0xff);
		h.dst.bytes[i] = message[16 + i] = (uint8_t)(random() & 0xff);
	}
	memcpy(message + 32, &(uint16_t){ 0x1234 }, 2);
	memcpy(message + 34, &(uint16_t){ 80 }, 2);
	memcpy(message + 36, &(uint32_t){ 100 }, 4);
	CU_ASSERT_EQUAL(moat_challenge_cookie(&state, &h, 100),
			(uint32_t)siphash(1, 3, key, message, 40));
	h.family = MOAT_FAMILY_V4;
	moat_addr_from_v4(&h.src, 0x04030201);
	moat_addr_from_v4(&h.dst, 0x08070605);
	for (unsigned int i = 0; i < 8; i++)
		message[i] = (uint8_t)(i + 1);
	memmove(message + 8, message + 32, 8);
	CU_ASSERT_EQUAL(moat_challenge_cookie(&state, &h, 100),
			(uint32_t)siphash(1, 3, key, message, 16));
}

/* Whatever sequence number the client chose, it refuses what it is given, and what it is given is good. */
static void test_outside_window(void)
{
	struct moat_challenge_state state;
	struct moat_headers h = { .family = MOAT_FAMILY_V4, .sport = 1, .dport = 80 };
	uint32_t now, before;

	CU_ASSERT_EQUAL_FATAL(moat_challenge_init(&state, 100), 0);
	now = moat_challenge_cookie(&state, &h, 100);
	before = moat_challenge_cookie(&state, &h, 99);
	for (uint32_t behind = 0; behind < 0x20000; behind++) {
		uint32_t cookie;

		h.tcp_seq = now - behind;
		cookie = moat_challenge_make(&state, &h, 100, MOAT_CHALLENGE_WRONG_ACK);
		if (cookie != (behind > 0x10000 ? now : before))
			CU_FAIL("the wrong one of two cookies");
		h.tcp_seq = cookie;
		if (behind % 4096 == 0)
			CU_ASSERT_TRUE(moat_challenge_is_cookie(&state, &h, 100,
								MOAT_CHALLENGE_WRONG_ACK));
	}
}

/* Each cookie is good in its slot and the next, and never again, while keys change as fast as they may. */
static void test_keys_through_time(void)
{
	struct moat_challenge_state state;
	struct moat_headers h = { .family = MOAT_FAMILY_V4, .sport = 1, .dport = 80 };
	unsigned int changes = 0;

	CU_ASSERT_EQUAL_FATAL(moat_challenge_init(&state, 1000), 0);
	for (uint32_t slot = 1000; slot < 1200; slot++) {
		uint32_t cookie = moat_challenge_cookie(&state, &h, slot);
		int r = moat_challenge_rotate(&state, slot);

		CU_ASSERT_TRUE_FATAL(r >= 0);
		changes += (unsigned int)r;
		CU_ASSERT_EQUAL(moat_challenge_rotate(&state, slot), 0);
		h.tcp_seq = cookie;
		CU_ASSERT_TRUE(moat_challenge_is_cookie(&state, &h, slot, 0));
		CU_ASSERT_TRUE(moat_challenge_is_cookie(&state, &h, slot + 1, 0));
		CU_ASSERT_FALSE(moat_challenge_is_cookie(&state, &h, slot + 2, 0));
		CU_ASSERT_FALSE(moat_challenge_is_cookie(&state, &h, slot - 1, 0));
	}
	CU_ASSERT_EQUAL(changes, 50);
}

/* ---- the table ----------------------------------------------------------------------------------- */

#define HASH(n) ((uint64_t)(n) << 24)

static void test_table(void)
{
	struct moat_validated set = { 0 };

	for (uint32_t i = 1; i <= MOAT_VALIDATED_WAYS; i++)
		CU_ASSERT_EQUAL(moat_validated_add(&set, HASH(i), 100, 50 + i),
				MOAT_VALIDATED_ADDED);
	for (uint32_t i = 1; i <= MOAT_VALIDATED_WAYS; i++) {
		CU_ASSERT_TRUE(moat_validated_test(&set, HASH(i), 149 + i));
		CU_ASSERT_FALSE(moat_validated_test(&set, HASH(i), 150 + i));
	}
	CU_ASSERT_FALSE(moat_validated_test(&set, HASH(9), 100));
	/* renewed in its place; then full: the one that ends first goes, which is now the second */
	CU_ASSERT_EQUAL(moat_validated_add(&set, HASH(1), 110, 90), MOAT_VALIDATED_RENEWED);
	CU_ASSERT_EQUAL(moat_validated_add(&set, HASH(9), 110, 90), MOAT_VALIDATED_EVICTED);
	CU_ASSERT_FALSE(moat_validated_test(&set, HASH(2), 110));
	CU_ASSERT_TRUE(moat_validated_test(&set, HASH(1), 110));
	CU_ASSERT_TRUE(moat_validated_test(&set, HASH(9), 110));
	/* what has ended makes room for nothing lost, and comes back as new */
	CU_ASSERT_EQUAL(moat_validated_add(&set, HASH(10), 153, 90), MOAT_VALIDATED_ADDED);
	CU_ASSERT_FALSE(moat_validated_test(&set, HASH(3), 153));
	CU_ASSERT_EQUAL(moat_validated_add(&set, HASH(4), 160, 90), MOAT_VALIDATED_ADDED);
}

/* The 24 bits of an end go round every half year; nothing is live for longer than it was given. */
static void test_table_wraps(void)
{
	for (uint32_t tick = 0xfffff0; tick < 0x1000010; tick++) {
		struct moat_validated set = { 0 };

		moat_validated_add(&set, HASH(7), tick, 20);
		CU_ASSERT_TRUE(moat_validated_test(&set, HASH(7), tick));
		CU_ASSERT_TRUE(moat_validated_test(&set, HASH(7), tick + 19));
		CU_ASSERT_FALSE(moat_validated_test(&set, HASH(7), tick + 20));
		CU_ASSERT_FALSE(moat_validated_test(&set, HASH(7), tick + 0x700000));
	}
}

/* ---- judges -------------------------------------------------------------------------------------- */

static struct moat_policy *policy;

static void policy_new(const char *text)
{
	struct moat_challenge_options options = moat_challenge_default();
	struct moat_ruleset *set = NULL;
	struct moat_rule rule;

	options.prefix_pps = 60000;
	CU_ASSERT_EQUAL_FATAL(moat_policy_new(1, 1, &policy), 0);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_rule_parse(text, 0, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_policy_commit(policy, set, NULL), 0);
	moat_ruleset_free(set);
	moat_policy_set_challenge(policy, &options);
}

static enum moat_reason judge(uint8_t flags, uint32_t seq, uint64_t now_ms)
{
	struct moat_headers h = {
		.family = MOAT_FAMILY_V4,
		.proto = 6,
		.has_ports = 1,
		.sport = 1000,
		.dport = 80,
		.tcp_flags = flags,
		.tcp_seq = seq,
		.l3_len = 40,
		.frame_len = 60,
	};
	uint32_t rule;

	moat_addr_from_v4(&h.src, 0x010200c0);
	moat_addr_from_v4(&h.dst, 0x507100cb);
	return moat_judge_packet(moat_policy_judge(policy, 0), &h, MOAT_PARSE_OK, now_ms, &rule);
}

/* What has ended is cleared before its end could be taken for one to come. */
static void test_sweep(void)
{
	struct moat_validated sets[2] = { 0 };
	uint64_t window = 1000ULL << MOAT_CHALLENGE_TICK_SHIFT;

	moat_validated_add(&sets[0], HASH(1), 900, 100);
	moat_validated_add(&sets[0], HASH(2), 900, 101);
	moat_validated_add(&sets[1], HASH(3), 900, 50);
	/* left alone, an entry seems to be ahead after half the range */
	CU_ASSERT_TRUE(moat_validated_test(&sets[1], HASH(3), 950 + MOAT_VALIDATED_LIFETIME_MAX + 2));
	CU_ASSERT_EQUAL(moat_challenge_sweep(sets, 2, window), 2);
	CU_ASSERT_TRUE(moat_validated_test(&sets[0], HASH(2), 1000));
	CU_ASSERT_FALSE(
		moat_validated_test(&sets[1], HASH(3), 950 + MOAT_VALIDATED_LIFETIME_MAX + 2));
	CU_ASSERT_EQUAL(moat_challenge_sweep(sets, 2, window), 0);
}

static void test_life(void)
{
	struct moat_challenge_stats stats;
	uint32_t cookie;

	policy_new("challenge dport 80");
	CU_ASSERT_EQUAL(judge(MOAT_TCP_SYN, 5, NOW_MS), MOAT_REASON_TX_CHALLENGE);
	cookie = moat_judge_cookie(moat_policy_judge(policy, 0));
	CU_ASSERT_EQUAL(judge(MOAT_TCP_RST, cookie, NOW_MS + 2 * SLOT_MS), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge(MOAT_TCP_RST, cookie, NOW_MS + SLOT_MS), MOAT_REASON_DROP_COOKIE);
	CU_ASSERT_EQUAL(judge(MOAT_TCP_SYN, 5, NOW_MS + SLOT_MS), MOAT_REASON_PASS_DEFAULT);
	moat_policy_challenge_stats(policy, NOW_MS + SLOT_MS, &stats);
	CU_ASSERT_EQUAL(stats.live, 1);
	CU_ASSERT_EQUAL(stats.capacity, 524288);
	CU_ASSERT_EQUAL(stats.counters.wrong, 1);
	/* to the second, rounded up to a tick */
	CU_ASSERT_EQUAL(judge(MOAT_TCP_SYN, 5, NOW_MS + SLOT_MS + 600000), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge(MOAT_TCP_SYN, 5, NOW_MS + SLOT_MS + 600000 + 2 * TICK_MS),
			MOAT_REASON_TX_CHALLENGE);
	moat_policy_free(policy);
}

static void test_forged(void)
{
	struct moat_challenge_stats stats;

	policy_new("challenge dport 80");
	for (int i = 0; i < 1000000; i++) {
		if (judge(MOAT_TCP_RST, (uint32_t)random() << 1 ^ (uint32_t)random(), NOW_MS) !=
		    MOAT_REASON_PASS_DEFAULT)
			CU_FAIL("a forged RST was taken for a cookie");
	}
	moat_policy_challenge_stats(policy, NOW_MS, &stats);
	CU_ASSERT_EQUAL(stats.counters.wrong, 1000000);
	CU_ASSERT_EQUAL(stats.live, 0);
	moat_policy_free(policy);
}

/* A right SYN-ACK whose number comes back plus one; ACKs of a conversation go on. */
static void test_form_reset(void)
{
	struct moat_challenge_options options = moat_challenge_default();
	uint32_t cookie;

	policy_new("challenge dport 80");
	options.form = MOAT_CHALLENGE_RESET;
	moat_policy_set_challenge(policy, &options);
	CU_ASSERT_EQUAL(judge(MOAT_TCP_SYN, 5, NOW_MS), MOAT_REASON_TX_CHALLENGE);
	cookie = moat_judge_cookie(moat_policy_judge(policy, 0));
	CU_ASSERT_EQUAL(judge(MOAT_TCP_RST, cookie, NOW_MS), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge(MOAT_TCP_ACK, cookie, NOW_MS), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge(MOAT_TCP_ACK, cookie + 1, NOW_MS), MOAT_REASON_TX_CHALLENGE);
	CU_ASSERT_EQUAL(judge(MOAT_TCP_ACK, cookie + 1, NOW_MS), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge(MOAT_TCP_SYN, 9, NOW_MS), MOAT_REASON_PASS_DEFAULT);
	moat_policy_free(policy);
}

/* ---- workers ------------------------------------------------------------------------------------- */

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void set32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Ones' complement sum (RFC 1071); 0 over what holds its own checksum. */
static uint16_t checksum(const uint8_t *data, size_t length, uint32_t sum)
{
	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void make_tcp(struct frame *frame, unsigned int flags, uint32_t seq)
{
	frame_ethernet(frame, 0x8100);
	frame_tag(frame, 9, 0x0800);
	frame_ipv4(frame, "192.0.2.1", "203.0.113.80", 6, 0, 20 + 100);
	frame_tcp(frame, 1000, 80, flags);
	set32(frame->data + 18 + 20 + 4, seq);
	frame_zeros(frame, 100);
}

/* One frame through a worker of a wire; how many went on. */
static uint64_t pass(const struct frame *frame, struct frame *ret_answer)
{
	struct moat_packet packet = frame_packet((struct frame *)frame, 0);
	const struct moat_port_dummy_options in = { &packet, 1, 1, 1 }, out = { .keep = 1 };
	struct moat_worker_options options = { .cpu = -1, .hash_seed = 1 };
	moat_cleanup(moat_port_close_cleanup) struct moat_port *peer = NULL;
	struct moat_worker *worker = NULL;
	struct moat_error error;
	const uint8_t *data;
	uint64_t sent;

	CU_ASSERT_EQUAL_FATAL(moat_port_dummy_open(&in, &options.port, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(moat_port_dummy_open(&out, &peer, NULL), 0);
	options.peer = peer;
	options.judge = moat_policy_judge(policy, 0);
	CU_ASSERT_EQUAL_FATAL(moat_worker_new(&options, &worker, &error), 0);
	CU_ASSERT_EQUAL(moat_worker_step(worker), 1);
	ret_answer->length = 0;
	if (moat_port_dummy_sent(options.port, 0, &data, &ret_answer->length) == 0)
		memcpy(ret_answer->data, data, ret_answer->length);
	sent = peer->counters.sent.packets;
	moat_worker_free(worker);
	return sent;
}

static void test_worker(void)
{
	struct frame frame, answer;
	const uint8_t *ip = answer.data + 18;

	policy_new("challenge dport 80");
	make_tcp(&frame, MOAT_TCP_SYN, 0x11223344);
	CU_ASSERT_EQUAL(pass(&frame, &answer), 0);
	CU_ASSERT_EQUAL_FATAL(answer.length, 60);
	CU_ASSERT_EQUAL(memcmp(answer.data, frame.data + 6, 6), 0);
	CU_ASSERT_EQUAL(memcmp(answer.data + 6, frame.data, 6), 0);
	CU_ASSERT_EQUAL(memcmp(answer.data + 12, frame.data + 12, 6), 0);
	CU_ASSERT_EQUAL(checksum(ip, 20, 0), 0);
	CU_ASSERT_EQUAL(memcmp(ip + 12, frame.data + 18 + 16, 4), 0);
	CU_ASSERT_EQUAL(memcmp(ip + 16, frame.data + 18 + 12, 4), 0);
	CU_ASSERT_EQUAL(checksum(ip + 20, 20, (uint16_t)~checksum(ip + 12, 8, 0) + 6 + 20), 0);
	CU_ASSERT_EQUAL(ip[33], MOAT_TCP_SYN | MOAT_TCP_ACK);
	make_tcp(&frame, MOAT_TCP_RST, get32(ip + 28));
	CU_ASSERT_EQUAL(pass(&frame, &answer), 0);
	CU_ASSERT_EQUAL(answer.length, 0);
	make_tcp(&frame, MOAT_TCP_SYN, 0x11223344);
	CU_ASSERT_EQUAL(pass(&frame, &answer), 1);
	CU_ASSERT_EQUAL(answer.length, 0);
	moat_policy_free(policy);
}

static void test_worker_form_reset(void)
{
	struct moat_challenge_options options = moat_challenge_default();
	const uint8_t *tcp;
	struct frame frame, answer;

	policy_new("challenge dport 80");
	options.form = MOAT_CHALLENGE_RESET;
	moat_policy_set_challenge(policy, &options);
	make_tcp(&frame, MOAT_TCP_SYN, 0x11223344);
	CU_ASSERT_EQUAL(pass(&frame, &answer), 0);
	CU_ASSERT_EQUAL_FATAL(answer.length, 60);
	tcp = answer.data + 38;
	CU_ASSERT_EQUAL(get32(tcp + 8), 0x11223345);
	make_tcp(&frame, MOAT_TCP_ACK, 0x11223345);
	set32(frame.data + 38 + 8, get32(tcp + 4) + 1);
	CU_ASSERT_EQUAL(pass(&frame, &answer), 0);
	CU_ASSERT_EQUAL_FATAL(answer.length, 60);
	CU_ASSERT_EQUAL(tcp[13], MOAT_TCP_RST);
	/* what the client takes for the next byte it is to receive */
	CU_ASSERT_EQUAL(get32(tcp + 4), get32(frame.data + 38 + 8));
	make_tcp(&frame, MOAT_TCP_SYN, 0x11223399);
	CU_ASSERT_EQUAL(pass(&frame, &answer), 1);
	moat_policy_free(policy);
}

/* A frame that is shorter than its headers say is not answered. */
static void test_answer_bounds(void)
{
	struct moat_headers h = { .family = MOAT_FAMILY_V6, .l3_offset = 14 };
	uint8_t frame[124] = { 0 };

	CU_ASSERT_EQUAL(moat_challenge_answer(frame, 73, &h, MOAT_CHALLENGE_WRONG_ACK, 1), 0);
	CU_ASSERT_EQUAL(moat_challenge_answer(frame, 74, &h, MOAT_CHALLENGE_WRONG_ACK, 1), 74);
	h.family = MOAT_FAMILY_V4;
	CU_ASSERT_EQUAL(moat_challenge_answer(frame, 53, &h, MOAT_CHALLENGE_WRONG_ACK, 1), 0);
	CU_ASSERT_EQUAL(moat_challenge_answer(frame, 54, &h, MOAT_CHALLENGE_WRONG_ACK, 1), 54);
	/* cut where that saves 64 bytes */
	CU_ASSERT_EQUAL(moat_challenge_answer(frame, 123, &h, MOAT_CHALLENGE_WRONG_ACK, 1), 123);
	CU_ASSERT_EQUAL(moat_challenge_answer(frame, 124, &h, MOAT_CHALLENGE_WRONG_ACK, 1), 60);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "SipHash-1-3", test_siphash },
		{ "a cookie's bytes", test_cookie },
		{ "outside the window", test_outside_window },
		{ "keys through time", test_keys_through_time },
		{ "validated sources", test_table },
		{ "ends go round", test_table_wraps },
		{ "sweep", test_sweep },
		{ "life of a validation", test_life },
		{ "forged", test_forged },
		{ "form reset", test_form_reset },
		{ "worker", test_worker },
		{ "worker in form reset", test_worker_form_reset },
		{ "answers within the frame", test_answer_bounds },
		{ NULL, NULL },
	};

	return moat_test_main("challenge", tests);
}
