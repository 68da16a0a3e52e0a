/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The SYN challenge in the gate: the answer byte by byte, what validates a source and what never does. */
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "dataplane/base/addr.h"
#include "dataplane/challenge.h"
#include "dataplane/parse.h"
#include "dataplane/stage_set.h"
#include "tests/harness/unit.h"
#include "tests/progrun/frame.h"
#include "tests/progrun/gate_fixture.h"

static struct gate_fixture gate;

#define SERVER "203.0.113.80"
#define SERVER6 "2001:db8:80::1"

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Of 16-bit words by the book (RFC 1071); 0 over data with its checksum in place. */
static uint16_t checksum(const uint8_t *data, size_t length, uint32_t sum)
{
	for (size_t i = 0; i < length; i += 2)
		sum += get16(data + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void rules(const char *first, const char *second)
{
	moat_ruleset_free(gate.set);
	gate.set = NULL;
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&gate.set), 0);
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, first));
	CU_ASSERT_TRUE(!second || gate_fixture_rule(&gate, second));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
}

/* Caps that no test but that of caps reaches; new keys and seeds make all sources unknown. */
static void begin(void)
{
	struct moat_challenge_options options = moat_challenge_default();
	struct moat_challenge_state *state = moat_gate_challenge(gate.gate);

	options.prefix_pps = 60000;
	moat_gate_set_challenge(gate.gate, &options);
	state->seed[0] += 0x9e3779b97f4a7c15ULL;
	rules("challenge dst " SERVER "/32 dport 80", "challenge dst " SERVER6 " proto tcp");
}

static int run(const struct frame *in, struct frame *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->data,
		    .data_size_in = (uint32_t)in->length, .data_out = out->data,
		    .data_size_out = FRAME_MAX, .repeat = 1);

	if (bpf_prog_test_run_opts(gate.prog_fd, &opts) < 0)
		return -1;
	out->length = opts.data_size_out;
	return (int)opts.retval;
}

/* A TCP segment; the sequence number stands where the transport header begins plus 4. */
static void segment(struct frame *frame, const char *src, uint16_t sport, uint8_t flags,
		    uint32_t seq)
{
	bool is_v6 = strchr(src, ':') != NULL;

	frame_simple(frame, src, is_v6 ? SERVER6 : SERVER, 6, sport, 80, flags, 0);
	put32(frame->data + frame->ip_at + (is_v6 ? 40 : 20) + 4, seq);
}

static enum moat_reason judge(const char *src, uint16_t sport, uint8_t flags, uint32_t seq)
{
	struct frame frame;

	segment(&frame, src, sport, flags, seq);
	return gate_fixture_reason(&gate, frame.data, frame.length);
}

/* Sends a SYN that is answered; the cookie. */
static uint32_t ask(const char *src, uint16_t sport, uint32_t seq)
{
	size_t at = 14 + (strchr(src, ':') ? 40 : 20);
	struct frame frame, answer;

	segment(&frame, src, sport, MOAT_TCP_SYN, seq);
	CU_ASSERT_EQUAL_FATAL(run(&frame, &answer), XDP_TX);
	CU_ASSERT_FALSE(get32(answer.data + at + 8) - seq <= 0x10000);
	return get32(answer.data + at + 8);
}

/* What holds of every answer's TCP header at `tcp`. */
static void check_tcp(const uint8_t *tcp, uint16_t sport, uint32_t addresses)
{
	CU_ASSERT_EQUAL(get16(tcp), 80);
	CU_ASSERT_EQUAL(get16(tcp + 2), sport);
	CU_ASSERT_EQUAL(tcp[12], 0x50);
	CU_ASSERT_EQUAL(tcp[13], MOAT_TCP_SYN | MOAT_TCP_ACK);
	CU_ASSERT_EQUAL(get16(tcp + 18), 0);
	CU_ASSERT_EQUAL(checksum(tcp, 20, addresses + 6 + 20), 0);
}

/* IPv4 with options behind two tags, a SYN with options and data. */
static void test_answer_v4(void)
{
	struct frame frame, answer;
	const uint8_t *ip, *was;

	begin();
	frame_begin(&frame);
	frame_vlan(&frame, 0x88a8, 5);
	frame_vlan(&frame, 0x8100, 7);
	frame_ipv4(&frame, "192.0.2.1", SERVER, 0x4000, 8);
	frame_tcp(&frame, 4321, 80, MOAT_TCP_SYN | MOAT_TCP_ECE | MOAT_TCP_CWR);
	frame.data[frame.ip_at + 28 + 12] = 0xa0; /* 20 bytes of options */
	frame_payload(&frame, 20 + 300);
	put32(frame.data + frame.ip_at + 28 + 4, 0xfffffff0);
	frame_end(&frame);
	CU_ASSERT_EQUAL_FATAL(run(&frame, &answer), XDP_TX);
	CU_ASSERT_EQUAL(answer.length, 62); /* 22 + 40: what is behind the datagram is gone */
	CU_ASSERT_EQUAL(memcmp(answer.data, frame.data + 6, 6), 0);
	CU_ASSERT_EQUAL(memcmp(answer.data + 6, frame.data, 6), 0);
	CU_ASSERT_EQUAL(memcmp(answer.data + 12, frame.data + 12, 10), 0);
	ip = answer.data + 22;
	was = frame.data + 22;
	CU_ASSERT_EQUAL(ip[0], 0x45);
	CU_ASSERT_EQUAL(ip[1], 0);
	CU_ASSERT_EQUAL(get16(ip + 2), 40);
	CU_ASSERT_EQUAL(get16(ip + 6), 0x4000);
	CU_ASSERT_EQUAL(ip[8], 64);
	CU_ASSERT_EQUAL(ip[9], 6);
	CU_ASSERT_EQUAL(memcmp(ip + 12, was + 16, 4), 0);
	CU_ASSERT_EQUAL(memcmp(ip + 16, was + 12, 4), 0);
	CU_ASSERT_EQUAL(checksum(ip, 20, 0), 0);
	check_tcp(ip + 20, 4321, (uint16_t)~checksum(ip + 12, 8, 0));
}

static void test_answer_v6(void)
{
	struct frame frame, answer;
	const uint8_t *ip, *was;

	begin();
	frame_begin(&frame);
	frame_ipv6(&frame, "2001:db8:1::99", SERVER6);
	frame_extension(&frame, 60, 1);
	frame_tcp(&frame, 4321, 80, MOAT_TCP_SYN);
	frame_end(&frame);
	CU_ASSERT_EQUAL_FATAL(run(&frame, &answer), XDP_TX);
	CU_ASSERT_EQUAL(answer.length, 90); /* 16 bytes more, which no cut is for */
	CU_ASSERT_EQUAL(memcmp(answer.data, frame.data + 6, 6), 0);
	CU_ASSERT_EQUAL(memcmp(answer.data + 6, frame.data, 6), 0);
	ip = answer.data + 14;
	was = frame.data + 14;
	CU_ASSERT_EQUAL(get32(ip), 0x60000000);
	CU_ASSERT_EQUAL(get16(ip + 4), 20);
	CU_ASSERT_EQUAL(ip[6], 6);
	CU_ASSERT_EQUAL(ip[7], 64);
	CU_ASSERT_EQUAL(memcmp(ip + 8, was + 24, 16), 0);
	CU_ASSERT_EQUAL(memcmp(ip + 24, was + 8, 16), 0);
	check_tcp(ip + 40, 4321, (uint16_t)~checksum(ip + 8, 32, 0));
}

/* No answer is longer than what it answers, not even a SYN as short as can be. */
static void test_no_amplification(void)
{
	struct frame frame, answer;

	begin();
	segment(&frame, "192.0.2.1", 1, MOAT_TCP_SYN, 1);
	CU_ASSERT_EQUAL(frame.length, 54);
	CU_ASSERT_EQUAL(run(&frame, &answer), XDP_TX);
	CU_ASSERT_EQUAL(answer.length, 54);
	segment(&frame, "2001:db8::1", 1, MOAT_TCP_SYN, 1);
	CU_ASSERT_EQUAL(run(&frame, &answer), XDP_TX);
	CU_ASSERT_EQUAL(answer.length, 74);
}

static void test_validates(void)
{
	static const char *const sources[] = { "192.0.2.1", "2001:db8:1::99" };
	struct moat_challenge_stats before, after;

	begin();
	moat_gate_challenge_stats(gate.gate, &before);
	for (size_t i = 0; i < 2; i++) {
		uint32_t cookie = ask(sources[i], 1000, 77);

		CU_ASSERT_EQUAL(judge(sources[i], 1000, MOAT_TCP_SYN, 77), MOAT_REASON_TX_CHALLENGE);
		CU_ASSERT_EQUAL(judge(sources[i], 1001, MOAT_TCP_RST, cookie),
				MOAT_REASON_PASS_DEFAULT);
		CU_ASSERT_EQUAL(judge(sources[i], 1000, MOAT_TCP_RST, cookie + 1),
				MOAT_REASON_PASS_DEFAULT);
		CU_ASSERT_EQUAL(judge(sources[i], 1000, MOAT_TCP_ACK, cookie),
				MOAT_REASON_PASS_DEFAULT);
		CU_ASSERT_EQUAL(judge(sources[i], 1000, MOAT_TCP_RST, cookie),
				MOAT_REASON_DROP_COOKIE);
		CU_ASSERT_EQUAL(judge(sources[i], 1000, MOAT_TCP_SYN, 77), MOAT_REASON_PASS_DEFAULT);
		/* the source as such, and its neighbour not */
		CU_ASSERT_EQUAL(judge(sources[i], 2000, MOAT_TCP_SYN, 99), MOAT_REASON_PASS_DEFAULT);
	}
	CU_ASSERT_EQUAL(judge("192.0.2.2", 1000, MOAT_TCP_SYN, 77), MOAT_REASON_TX_CHALLENGE);
	moat_gate_challenge_stats(gate.gate, &after);
	CU_ASSERT_EQUAL(after.counters.sent - before.counters.sent, 5);
	CU_ASSERT_EQUAL(after.counters.known - before.counters.known, 4);
	CU_ASSERT_EQUAL(after.counters.validated - before.counters.validated, 2);
	CU_ASSERT_EQUAL(after.counters.wrong - before.counters.wrong, 4);
	CU_ASSERT_EQUAL(after.live - before.live, 2);
	CU_ASSERT_EQUAL(gate_fixture_counters(&gate).helper_errors, 0);
}

/* One rule's word isn't another's; but what a rule lets go on isn't asked again by the next. */
static void test_scope(void)
{
	uint32_t cookie;

	begin();
	cookie = ask("192.0.2.1", 1000, 77);
	CU_ASSERT_EQUAL(judge("192.0.2.1", 1000, MOAT_TCP_RST, cookie), MOAT_REASON_DROP_COOKIE);
	rules("pass dst 192.0.2.0/24", "challenge dst " SERVER);
	cookie = ask("192.0.2.1", 1000, 77);
	rules("challenge dst " SERVER " priority 1", "challenge dst 203.0.113.0/24 priority 2");
	cookie = ask("192.0.2.5", 1000, 77);
	CU_ASSERT_EQUAL(judge("192.0.2.5", 1000, MOAT_TCP_RST, cookie), MOAT_REASON_DROP_COOKIE);
	CU_ASSERT_EQUAL(judge("192.0.2.5", 1000, MOAT_TCP_SYN, 77), MOAT_REASON_PASS_DEFAULT);
	rules("count dst " SERVER " priority 1", "challenge dst " SERVER " priority 2");
	CU_ASSERT_EQUAL(judge("192.0.2.3", 1000, MOAT_TCP_SYN, 77), MOAT_REASON_TX_CHALLENGE);
	rules("challenge dst " SERVER " priority 1", "drop dst " SERVER " proto tcp priority 2");
	cookie = ask("192.0.2.4", 1000, 77);
	CU_ASSERT_EQUAL(judge("192.0.2.4", 1000, MOAT_TCP_RST, cookie), MOAT_REASON_DROP_COOKIE);
	CU_ASSERT_EQUAL(judge("192.0.2.4", 1000, MOAT_TCP_SYN, 77), MOAT_REASON_DROP_RULE);
	CU_ASSERT_EQUAL(judge("192.0.2.4", 1000, MOAT_TCP_ACK, 77), MOAT_REASON_DROP_RULE);
}

/* What has no part: other flags, other ports, fragments, UDP. */
static void test_no_part(void)
{
	static const uint8_t flags[] = { 0, 1, 3, 6, 7, 16, 17, 18, 24, 194 & ~2 };
	struct frame frame;

	begin();
	for (size_t i = 0; i < sizeof(flags); i++)
		CU_ASSERT_EQUAL(judge("192.0.2.9", 5, flags[i], 9), MOAT_REASON_PASS_DEFAULT);
	frame_simple(&frame, "192.0.2.9", SERVER, 6, 5, 81, MOAT_TCP_SYN, 0);
	CU_ASSERT_EQUAL(gate_fixture_reason(&gate, frame.data, frame.length),
			MOAT_REASON_PASS_DEFAULT);
	frame_simple(&frame, "192.0.2.9", SERVER, 17, 5, 80, 0, 0);
	CU_ASSERT_EQUAL(gate_fixture_reason(&gate, frame.data, frame.length),
			MOAT_REASON_PASS_DEFAULT);
	frame_begin(&frame);
	frame_ipv4(&frame, "192.0.2.9", SERVER, 0x2000, 0);
	frame_tcp(&frame, 5, 80, MOAT_TCP_SYN);
	frame_end(&frame);
	CU_ASSERT_EQUAL(gate_fixture_reason(&gate, frame.data, frame.length),
			MOAT_REASON_PASS_DEFAULT);
}

/* A million guesses at what every source would have to send: two of 2^32 are right. */
static void test_forged(void)
{
	struct moat_challenge_stats before, after;
	struct frame frame;

	begin();
	moat_gate_challenge_stats(gate.gate, &before);
	srandom(7);
	segment(&frame, "192.0.2.1", 1000, MOAT_TCP_RST, 0);
	for (int i = 0; i < 1000000; i++) {
		put32(frame.data + 14 + 12, 0x0a000000 | (uint32_t)random());
		put32(frame.data + 34 + 4, (uint32_t)random() << 1 ^ (uint32_t)random());
		if (gate_fixture_run(&gate, frame.data, frame.length, 1) != XDP_PASS)
			CU_FAIL("a forged RST was taken for a cookie");
	}
	moat_gate_challenge_stats(gate.gate, &after);
	CU_ASSERT_EQUAL(after.counters.wrong - before.counters.wrong, 1000000);
	CU_ASSERT_EQUAL(after.counters.validated, before.counters.validated);
	CU_ASSERT_EQUAL(after.live, before.live);
}

/* The slot before is good, the one before that isn't; keys change with nobody noticing. */
static void test_slots_and_keys(void)
{
	struct moat_challenge_state *state = moat_gate_challenge(gate.gate);
	struct moat_headers h = {};
	struct frame frame;
	uint32_t cookie, slot;

	begin();
	segment(&frame, "192.0.2.1", 1000, MOAT_TCP_SYN, 77);
	CU_ASSERT_EQUAL(moat_headers_parse(frame.data, (uint32_t)frame.length,
					   (uint32_t)frame.length, &h),
			MOAT_PARSE_OK);
	cookie = ask("192.0.2.1", 1000, 77);
	/* which slot it is, from the cookie: the clock is the kernel's */
	for (slot = state->keys[1].first_slot; slot < state->keys[1].first_slot + 100; slot++) {
		if (moat_challenge_cookie(state, &h, slot) == cookie)
			break;
	}
	CU_ASSERT_NOT_EQUAL(slot, state->keys[1].first_slot + 100);
	CU_ASSERT_EQUAL(judge("192.0.2.1", 1000, MOAT_TCP_RST,
			      moat_challenge_cookie(state, &h, slot - 2)),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("192.0.2.1", 1000, MOAT_TCP_RST,
			      moat_challenge_cookie(state, &h, slot + 2)),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(moat_gate_challenge_rotate(gate.gate), 1);
	CU_ASSERT_EQUAL(moat_gate_challenge_rotate(gate.gate), 0);
	CU_ASSERT_EQUAL(judge("192.0.2.1", 1000, MOAT_TCP_RST, cookie), MOAT_REASON_DROP_COOKIE);
	/* as if half of the slot's cookies had been given before */
	state->keys[0].first_slot = state->keys[1].first_slot - 1;
	state->seed[0]++;
	cookie = ask("192.0.2.2", 1000, 77);
	CU_ASSERT_EQUAL(judge("192.0.2.2", 1000, MOAT_TCP_RST, cookie), MOAT_REASON_DROP_COOKIE);
}

static void test_caps(void)
{
	struct moat_challenge_options options = moat_challenge_default();
	struct moat_challenge_stats before, after;
	unsigned int sent = 0, capped = 0;
	char source[20];

	begin();
	options.prefix_pps = 40;
	moat_gate_set_challenge(gate.gate, &options);
	moat_gate_challenge_stats(gate.gate, &before);
	for (int i = 0; i < 200; i++) {
		enum moat_reason reason;

		snprintf(source, sizeof(source), "198.51.100.%d", i);
		reason = judge(source, 5, MOAT_TCP_SYN, 5);
		sent += reason == MOAT_REASON_TX_CHALLENGE;
		capped += reason == MOAT_REASON_DROP_CHALLENGE;
	}
	moat_gate_challenge_stats(gate.gate, &after);
	CU_ASSERT_EQUAL(sent + capped, 200);
	CU_ASSERT_EQUAL(after.counters.sent - before.counters.sent, sent);
	CU_ASSERT_EQUAL(after.counters.capped_prefix - before.counters.capped_prefix, capped);
	/* one CPU has its part of the cap a tick, and the test may see three ticks */
	CU_ASSERT_TRUE(sent > 0 && sent <= 3 * 41);
	/* another prefix has its own, and all together have the box's */
	CU_ASSERT_EQUAL(judge("198.51.101.1", 5, MOAT_TCP_SYN, 5), MOAT_REASON_TX_CHALLENGE);
	options.prefix_pps = 60000;
	options.box_pps = 100;
	moat_gate_set_challenge(gate.gate, &options);
	sent = 0;
	for (int i = 0; i < 2000; i++) {
		snprintf(source, sizeof(source), "10.%d.%d.1", i / 250, i % 250);
		sent += judge(source, 5, MOAT_TCP_SYN, 5) == MOAT_REASON_TX_CHALLENGE;
	}
	moat_gate_challenge_stats(gate.gate, &after);
	CU_ASSERT_TRUE(sent > 0 && sent < 300);
	CU_ASSERT_EQUAL(after.counters.capped_box - before.counters.capped_box, 2000 - sent);
}

/* ---- the stage ----------------------------------------------------------------------------------- */

static void protect(enum moat_challenge challenge, uint64_t above)
{
	struct moat_protection protection = { .challenge = challenge,
					      .challenge_above = { above, 4 } };
	struct moat_stage_set *stages = NULL;

	CU_ASSERT_EQUAL(moat_prefix_parse("203.0.113.0/24", &protection.prefix), 0);
	CU_ASSERT_EQUAL_FATAL(moat_stage_set_new(&stages), 0);
	CU_ASSERT_EQUAL(moat_stage_set_protect(stages, &protection), 0);
	moat_ruleset_free(gate.set);
	gate.set = NULL;
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&gate.set), 0);
	moat_ruleset_set_stages(gate.set, stages);
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	moat_stage_set_unref(stages);
}

/* A protection asks each SYN, or those beyond a rate; its prefix is the scope. */
static void test_stage(void)
{
	unsigned int passed = 0;
	uint32_t cookie;

	begin();
	gate_fixture_set_stages(&gate, MOAT_STAGES_DEFAULT | MOAT_STAGE_CHALLENGE, false);
	protect(MOAT_CHALLENGE_ALWAYS, 0);
	cookie = ask("192.0.2.1", 1000, 77);
	CU_ASSERT_EQUAL(judge("192.0.2.1", 1000, MOAT_TCP_RST, cookie + 1),
			MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("192.0.2.1", 1000, MOAT_TCP_RST, cookie), MOAT_REASON_DROP_COOKIE);
	CU_ASSERT_EQUAL(judge("192.0.2.1", 1000, MOAT_TCP_SYN, 77), MOAT_REASON_PASS_DEFAULT);
	CU_ASSERT_EQUAL(judge("2001:db8::7", 1000, MOAT_TCP_SYN, 77), MOAT_REASON_PASS_DEFAULT);
	/* a rule that found the source validated spares it the stage */
	CU_ASSERT_TRUE(gate_fixture_rule(&gate, "challenge dst " SERVER));
	CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&gate));
	cookie = ask("192.0.2.2", 1000, 77);
	CU_ASSERT_EQUAL(judge("192.0.2.2", 1000, MOAT_TCP_RST, cookie), MOAT_REASON_DROP_COOKIE);
	CU_ASSERT_EQUAL(judge("192.0.2.2", 1000, MOAT_TCP_SYN, 77), MOAT_REASON_PASS_DEFAULT);
	protect(MOAT_CHALLENGE_ABOVE, 1);
	for (int i = 0; i < 50; i++)
		passed += judge("192.0.2.3", (uint16_t)i, MOAT_TCP_SYN, 77) ==
			  MOAT_REASON_PASS_DEFAULT;
	CU_ASSERT_TRUE(passed > 0 && passed <= 8);
	CU_ASSERT_EQUAL(judge("192.0.2.3", 9, MOAT_TCP_SYN, 77), MOAT_REASON_TX_CHALLENGE);
	protect(MOAT_CHALLENGE_OFF, 0);
	CU_ASSERT_EQUAL(judge("192.0.2.3", 9, MOAT_TCP_SYN, 77), MOAT_REASON_PASS_DEFAULT);
	gate_fixture_set_stages(&gate, MOAT_STAGES_DEFAULT, false);
	protect(MOAT_CHALLENGE_ALWAYS, 0);
	CU_ASSERT_EQUAL(judge("192.0.2.3", 9, MOAT_TCP_SYN, 77), MOAT_REASON_PASS_DEFAULT);
}

/* The other form: the ACK that brings the number back is answered with a RST that its sender takes. */
static void test_form_reset(void)
{
	struct moat_challenge_options options = moat_challenge_default();
	struct frame frame, answer;
	uint32_t cookie;

	begin();
	options.form = MOAT_CHALLENGE_RESET;
	moat_gate_set_challenge(gate.gate, &options);
	gate_fixture_set_stages(&gate, MOAT_STAGES_DEFAULT, false); /* loads the program anew */
	segment(&frame, "192.0.2.1", 1000, MOAT_TCP_SYN, 77);
	CU_ASSERT_EQUAL_FATAL(run(&frame, &answer), XDP_TX);
	CU_ASSERT_EQUAL(get32(answer.data + 34 + 8), 78);
	CU_ASSERT_EQUAL(get16(answer.data + 34 + 14), 0); /* window */
	cookie = get32(answer.data + 34 + 4);
	segment(&frame, "192.0.2.1", 1000, MOAT_TCP_ACK, 78);
	put32(frame.data + 34 + 8, cookie + 2);
	CU_ASSERT_EQUAL(run(&frame, &answer), XDP_PASS);
	put32(frame.data + 34 + 8, cookie + 1);
	CU_ASSERT_EQUAL_FATAL(run(&frame, &answer), XDP_TX);
	CU_ASSERT_EQUAL(answer.data[34 + 13], MOAT_TCP_RST);
	CU_ASSERT_EQUAL(get32(answer.data + 34 + 4), cookie + 1);
	CU_ASSERT_EQUAL(checksum(answer.data + 34, 20,
				 (uint16_t)~checksum(answer.data + 26, 8, 0) + 6 + 20),
			0);
	CU_ASSERT_EQUAL(run(&frame, &answer), XDP_PASS); /* a conversation's, from now on */
	CU_ASSERT_EQUAL(judge("192.0.2.1", 1001, MOAT_TCP_SYN, 5), MOAT_REASON_PASS_DEFAULT);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "answer of IPv4", test_answer_v4 },
		{ "answer of IPv6", test_answer_v6 },
		{ "no amplification", test_no_amplification },
		{ "a cookie validates", test_validates },
		{ "scope", test_scope },
		{ "no part", test_no_part },
		{ "forged", test_forged },
		{ "slots and keys", test_slots_and_keys },
		{ "caps", test_caps },
		{ "stage", test_stage },
		{ "form reset", test_form_reset },
		{ NULL, NULL },
	};
	int r;

	gate_fixture_open(&gate, &(struct moat_gate_options){ .cells = 1024, .nodes = 1024 });
	r = moat_test_main("gate challenge", tests);
	gate_fixture_close(&gate);
	return r;
}
