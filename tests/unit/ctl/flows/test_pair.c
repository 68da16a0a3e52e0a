/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Two directions to one flow, and flows to windows. */
#include <string.h>

#include "ctl/flows/pair.h"
#include "ctl/flows/pour.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "moat/packet.h"
#include "tests/harness/unit.h"

#define NOW (1000 * MOAT_NS_PER_S)

static struct moat_flow_record got;
static size_t count;

static void on_flow(void *userdata, const struct moat_flow_record *record)
{
	got = *record;
	count++;
}

static struct moat_flow_half half_of(const char *src, uint16_t sport, const char *dst,
				     uint16_t dport, uint8_t flags, uint64_t packets, uint64_t bytes)
{
	struct moat_flow_half half = { .proto = 6,
				       .sport = sport,
				       .dport = dport,
				       .tcp_flags = flags,
				       .packets = packets,
				       .bytes = bytes,
				       .sampling = 1,
				       .arrived_ns = NOW };

	CU_ASSERT_EQUAL(moat_addr_parse(src, &half.src), 0);
	CU_ASSERT_EQUAL(moat_addr_parse(dst, &half.dst), 0);
	return half;
}

static struct moat_pair *begin(void)
{
	struct moat_pair *pair = NULL;

	count = 0;
	CU_ASSERT_EQUAL_FATAL(moat_pair_new(on_flow, NULL, &pair), 0);
	return pair;
}

/* Gives both halves, in either order, and takes the flow. */
static void pair_both(const struct moat_flow_half *a, const struct moat_flow_half *b)
{
	struct moat_pair *pair = begin();

	moat_pair_add(pair, a);
	if (b)
		moat_pair_add(pair, b);
	moat_pair_advance(pair, NOW + MOAT_PAIR_HOLD_NS - 1);
	CU_ASSERT_EQUAL(count, 0);
	moat_pair_advance(pair, NOW + MOAT_PAIR_HOLD_NS);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_EQUAL(moat_pair_waiting(pair), 0);
	moat_pair_free(pair);
}

static bool is_client(const char *text)
{
	struct moat_addr addr;

	moat_addr_parse(text, &addr);
	return moat_addr_equal(&got.client, &addr);
}

static void test_outcomes(void)
{
	const uint8_t syn = MOAT_TCP_SYN, ack = MOAT_TCP_ACK, rst = MOAT_TCP_RST;
	struct moat_flow_half ask = half_of("192.0.2.1", 40000, "198.51.100.7", 80, syn, 1, 40),
			      refuse = half_of("198.51.100.7", 80, "192.0.2.1", 40000, rst | ack, 1,
					       40),
			      talk = half_of("192.0.2.1", 40000, "198.51.100.7", 80, syn | ack, 5,
					     900),
			      answer = half_of("198.51.100.7", 80, "192.0.2.1", 40000, syn | ack, 4,
					       5000);

	pair_both(&ask, NULL);
	CU_ASSERT_TRUE(is_client("192.0.2.1"));
	CU_ASSERT_EQUAL(got.outcome, MOAT_OUTCOME_UNANSWERED);
	pair_both(&refuse, &ask);
	CU_ASSERT_TRUE(is_client("192.0.2.1") && got.is_whole);
	CU_ASSERT_EQUAL(got.outcome, MOAT_OUTCOME_REJECTED);
	pair_both(&answer, &talk);
	CU_ASSERT_TRUE(is_client("192.0.2.1"));
	CU_ASSERT_EQUAL(got.outcome, MOAT_OUTCOME_CONVERSED);
	CU_ASSERT_TRUE(got.packets[0] == 5 && got.packets[1] == 4 && got.payload[1] == 5000 - 160);
	/* an answer to what nobody asked here: backscatter, no scan */
	pair_both(&refuse, NULL);
	CU_ASSERT_EQUAL(got.outcome, MOAT_OUTCOME_UNKNOWN);
	/* who looks at one packet in 100 can't say that there was no answer */
	ask.sampling = 100;
	pair_both(&ask, NULL);
	CU_ASSERT_EQUAL(got.outcome, MOAT_OUTCOME_UNKNOWN);
	CU_ASSERT_EQUAL(got.packets[0], 100);
}

static void test_room(void)
{
	struct moat_pair_counters counters;
	struct moat_pair *pair = begin();
	const size_t all = 2 * MOAT_PAIR_FLOWS;

	for (size_t i = 0; i < all; i++) {
		struct moat_flow_half half = half_of("192.0.2.1", (uint16_t)(i % 60000 + 1),
						     "198.51.100.7", 80, MOAT_TCP_SYN, 1, 40);

		half.src.bytes[14] = (uint8_t)(i / 60000);
		half.arrived_ns += i;
		moat_pair_add(pair, &half);
	}
	moat_pair_counters(pair, &counters);
	CU_ASSERT_EQUAL(counters.halves, all);
	CU_ASSERT_TRUE(counters.early >= all - MOAT_PAIR_FLOWS);
	CU_ASSERT_EQUAL(count, counters.early);
	moat_pair_advance(pair, UINT64_MAX);
	moat_pair_counters(pair, &counters);
	CU_ASSERT_EQUAL(counters.alone, all);
	CU_ASSERT_EQUAL(count, all);
	moat_pair_free(pair);
}

/* A minute told of at once is a minute's traffic, not a window's. */
static void test_pour(void)
{
	struct moat_flow_half half = half_of("192.0.2.1", 40000, "198.51.100.7", 80, MOAT_TCP_ACK,
					     6000, 600000);
	struct moat_cells cells;
	struct moat_pour *pour = NULL;
	uint64_t seen = 0, most = 0, sum = 0;

	CU_ASSERT_EQUAL_FATAL(moat_cells_init(&cells, 64, 1), 0);
	CU_ASSERT_EQUAL_FATAL(moat_pour_new(&cells, &pour), 0);
	half.duration_ns = 60 * MOAT_NS_PER_S;
	half.sampling = 10;
	moat_pour_add(pour, &half, 1000);
	for (uint32_t window = 1000; moat_pour_waiting(pour); window++) {
		uint64_t now = 0;

		moat_pour_window(pour, window);
		for (uint32_t i = 0; i <= cells.mask; i++)
			now += moat_cell_sum(&cells.to[i]);
		now = moat_cell_packets(now);
		most = now - seen > most ? now - seen : most;
		seen = now;
	}
	for (uint32_t i = 0; i <= cells.mask; i++)
		sum += moat_cell_sum(&cells.from[i]);
	CU_ASSERT_EQUAL(moat_cell_packets(sum), 60000);
	CU_ASSERT_EQUAL(moat_cell_bytes(sum), 6000000);
	CU_ASSERT_EQUAL(seen, 60000);
	/* 60,000 packets in 469 windows of 128 ms */
	CU_ASSERT_TRUE(most >= 127 && most <= 129);
	moat_pour_free(pour);
	moat_cells_deinit(&cells);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "outcomes", test_outcomes },
		{ "room", test_room },
		{ "pour", test_pour },
		{ NULL, NULL },
	};

	return moat_test_main("pair", tests);
}
