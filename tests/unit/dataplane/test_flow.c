/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/flow.c and flow_state.c: both directions one flow, states, ageing, and who gives way. */
#include "dataplane/flow.h"

#include <errno.h>
#include <string.h>

#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"

#define TCP 6
#define UDP 17
#define START (1000 * MOAT_NS_PER_S)

static struct moat_headers packet(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport,
				  uint8_t proto, uint8_t flags)
{
	struct moat_headers h = { .family = MOAT_FAMILY_V4,
				  .proto = proto,
				  .l3_len = 100,
				  .sport = sport,
				  .dport = dport,
				  .has_ports = 1,
				  .tcp_flags = flags };

	moat_addr_from_v4(&h.src, __builtin_bswap32(src));
	moat_addr_from_v4(&h.dst, __builtin_bswap32(dst));
	return h;
}

struct ended {
	uint64_t count;
	struct moat_flow last;
};

static void on_end(void *userdata, const struct moat_flow *flow)
{
	struct ended *ended = userdata;

	ended->count++;
	ended->last = *flow;
}

static bool add(struct moat_flow_table *table, struct moat_headers h, uint64_t now_ns)
{
	return moat_flow_table_add(table, &h, now_ns);
}

static struct moat_flow find(const struct moat_flow_table *table, struct moat_headers h)
{
	struct moat_flow flow = { .state = 0xff };

	moat_flow_table_find(table, &h, &flow);
	return flow;
}

static uint64_t live(const struct moat_flow_table *table)
{
	struct moat_flow_counters c;

	moat_flow_table_counters(table, &c);
	return c.live;
}

/* created = expired + replaced + live, and every flow that left was reported. */
static struct moat_flow_counters expect_balance(const struct moat_flow_table *table,
						const struct ended *ended)
{
	struct moat_flow_counters c;

	moat_flow_table_counters(table, &c);
	CU_ASSERT_EQUAL(c.created, c.expired + c.replaced + c.live);
	CU_ASSERT_EQUAL(ended->count, c.expired + c.replaced);
	return c;
}

static void age_all(struct moat_flow_table *table, uint64_t from_ns, uint64_t to_ns)
{
	for (uint64_t now = from_ns; now <= to_ns; now += 50 * MOAT_NS_PER_MS)
		moat_flow_table_age(table, now);
}

static void test_bidirectional(void)
{
	struct ended ended = { 0 };
	struct moat_flow_table *table;
	struct moat_flow flow;
	struct moat_headers later = packet(1, 0, 2, 0, UDP, 0);

	CU_ASSERT_EQUAL(moat_flow_table_new((1u << 24) + 1, 1, NULL, NULL, &table), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(moat_flow_table_new(0, 1, on_end, &ended, &table), 0);
	CU_ASSERT_TRUE(add(table, packet(1, 1000, 2, 53, UDP, 0), START));
	CU_ASSERT_EQUAL(find(table, packet(1, 1000, 2, 53, UDP, 0)).state, MOAT_FLOW_NEW);
	CU_ASSERT_TRUE(add(table, packet(2, 53, 1, 1000, UDP, 0), START + 5 * MOAT_NS_PER_MS));
	CU_ASSERT_EQUAL(live(table), 1);
	flow = find(table, packet(2, 53, 1, 1000, UDP, 0));
	CU_ASSERT_EQUAL(flow.state, MOAT_FLOW_ESTABLISHED);
	CU_ASSERT_TRUE(flow.packets[0] == 1 && flow.packets[1] == 1 && flow.bytes[1] == 100);
	CU_ASSERT_TRUE(flow.first_ns == START && flow.last_ns == START + 5 * MOAT_NS_PER_MS);
	CU_ASSERT_TRUE(flow.client_port == 1000 && flow.server_port == 53);
	/* the same numbers, crossed or of another protocol, are other flows */
	add(table, packet(1, 53, 2, 1000, UDP, 0), START);
	add(table, packet(1, 1000, 2, 53, TCP, 0), START);
	CU_ASSERT_EQUAL(live(table), 3);
	later.fragment = MOAT_FRAGMENT_LATER;
	CU_ASSERT_FALSE(moat_flow_table_add(table, &later, START));
	CU_ASSERT_EQUAL(expect_balance(table, &ended).live, 3);
	moat_flow_table_flush(table);
	CU_ASSERT_EQUAL(expect_balance(table, &ended).live, 0);
	moat_flow_table_free(table);
}

struct step {
	int direction;
	uint8_t flags;
	uint8_t state;
};

static void run_steps(const struct step *steps, size_t count)
{
	struct moat_flow_table *table;

	CU_ASSERT_EQUAL_FATAL(moat_flow_table_new(0, 1, NULL, NULL, &table), 0);
	for (size_t i = 0; i < count; i++) {
		struct moat_headers h = steps[i].direction
						? packet(2, 80, 1, 1000, TCP, steps[i].flags)
						: packet(1, 1000, 2, 80, TCP, steps[i].flags);

		CU_ASSERT_TRUE(moat_flow_table_add(table, &h, START + i));
		CU_ASSERT_EQUAL(find(table, h).state, steps[i].state);
	}
	moat_flow_table_free(table);
}

static void test_tcp_states(void)
{
	static const struct step whole[] = {
		{ 0, MOAT_TCP_SYN, MOAT_FLOW_NEW },
		{ 0, MOAT_TCP_SYN, MOAT_FLOW_NEW },
		{ 1, MOAT_TCP_SYN | MOAT_TCP_ACK, MOAT_FLOW_HANDSHAKE },
		{ 0, MOAT_TCP_ACK, MOAT_FLOW_ESTABLISHED },
		{ 1, MOAT_TCP_ACK | MOAT_TCP_PSH, MOAT_FLOW_ESTABLISHED },
		{ 0, MOAT_TCP_FIN | MOAT_TCP_ACK, MOAT_FLOW_CLOSING },
		{ 1, MOAT_TCP_ACK, MOAT_FLOW_CLOSING },
		{ 1, MOAT_TCP_FIN | MOAT_TCP_ACK, MOAT_FLOW_CLOSED },
		{ 0, MOAT_TCP_ACK, MOAT_FLOW_CLOSED },
		{ 0, MOAT_TCP_SYN, MOAT_FLOW_NEW }, /* the same ports again */
	};
	static const struct step refused[] = {
		{ 0, MOAT_TCP_SYN, MOAT_FLOW_NEW },
		{ 1, MOAT_TCP_RST | MOAT_TCP_ACK, MOAT_FLOW_CLOSED },
	};
	static const struct step midstream[] = {
		{ 0, MOAT_TCP_ACK, MOAT_FLOW_NEW },
		{ 0, MOAT_TCP_ACK, MOAT_FLOW_NEW },
		{ 1, MOAT_TCP_ACK, MOAT_FLOW_ESTABLISHED },
	};
	/* a SYN without answer stays new, whatever else the sender tries */
	static const struct step forged[] = {
		{ 0, MOAT_TCP_SYN, MOAT_FLOW_NEW },
		{ 0, MOAT_TCP_ACK, MOAT_FLOW_NEW },
		{ 0, MOAT_TCP_ACK | MOAT_TCP_PSH, MOAT_FLOW_NEW },
	};

	run_steps(whole, sizeof(whole) / sizeof(whole[0]));
	run_steps(refused, sizeof(refused) / sizeof(refused[0]));
	run_steps(midstream, sizeof(midstream) / sizeof(midstream[0]));
	run_steps(forged, sizeof(forged) / sizeof(forged[0]));
}

static void test_ageing(void)
{
	struct ended ended = { 0 };
	struct moat_flow_table *table;

	CU_ASSERT_EQUAL_FATAL(moat_flow_table_new(0, 1, on_end, &ended, &table), 0);
	add(table, packet(1, 1, 2, 2, UDP, 0), START); /* new: 10 s */
	add(table, packet(3, 1, 4, 2, UDP, 0), START); /* established: 60 s */
	add(table, packet(4, 2, 3, 1, UDP, 0), START);
	add(table, packet(5, 1, 6, 2, TCP, MOAT_TCP_ACK), START); /* established TCP: 1 h */
	add(table, packet(6, 2, 5, 1, TCP, MOAT_TCP_ACK), START);
	age_all(table, START, START + 10 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(ended.count, 0);
	age_all(table, START + 10 * MOAT_NS_PER_S, START + 13 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(ended.count, 1);
	CU_ASSERT_EQUAL(ended.last.state, MOAT_FLOW_NEW);
	age_all(table, START + 13 * MOAT_NS_PER_S, START + 60 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(ended.count, 1);
	age_all(table, START + 60 * MOAT_NS_PER_S, START + 63 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(ended.count, 2);
	age_all(table, START + 3600 * MOAT_NS_PER_S, START + 3603 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(ended.count, 3);
	CU_ASSERT_EQUAL(expect_balance(table, &ended).live, 0);
	moat_flow_table_free(table);
}

/* A flow that should have ended isn't continued by a packet that comes before the sweep does. */
static void test_late_packet(void)
{
	struct ended ended = { 0 };
	struct moat_flow_table *table;
	struct moat_flow flow;

	CU_ASSERT_EQUAL_FATAL(moat_flow_table_new(0, 1, on_end, &ended, &table), 0);
	add(table, packet(1, 1, 2, 2, UDP, 0), START);
	add(table, packet(2, 2, 1, 1, UDP, 0), START + 100 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(ended.count, 1);
	flow = find(table, packet(2, 2, 1, 1, UDP, 0));
	CU_ASSERT_TRUE(flow.packets[0] == 1 && flow.packets[1] == 0 && flow.client_port == 2);
	expect_balance(table, &ended);
	moat_flow_table_free(table);
}

/* A flood of new flows through a table that is half full of established ones takes none of them. */
static void test_flood(void)
{
	struct ended ended = { 0 };
	struct moat_flow_table *table;
	struct moat_flow_counters c;
	uint32_t kept = 0;

	CU_ASSERT_EQUAL_FATAL(moat_flow_table_new(4096, 1, on_end, &ended, &table), 0);
	for (uint32_t i = 0; i < 2048; i++) {
		add(table, packet(10000 + i, 1, 2, 80, TCP, MOAT_TCP_ACK), START);
		add(table, packet(2, 80, 10000 + i, 1, TCP, MOAT_TCP_ACK), START);
	}
	moat_flow_table_counters(table, &c);
	CU_ASSERT_EQUAL(c.live, 2048);
	for (uint32_t i = 0; i < 200000; i++)
		add(table, packet(1000000 + i, (uint16_t)i, 2, 80, TCP, MOAT_TCP_SYN), START + i);
	for (uint32_t i = 0; i < 2048; i++) {
		struct moat_flow flow = find(table, packet(10000 + i, 1, 2, 80, TCP, 0));

		kept += flow.state == MOAT_FLOW_ESTABLISHED && flow.packets[0] == 1;
	}
	CU_ASSERT_EQUAL(kept, 2048);
	c = expect_balance(table, &ended);
	CU_ASSERT_TRUE(c.replaced > 190000);
	CU_ASSERT_TRUE(c.live > 4096 * 9 / 10 && c.live <= 4096);
	moat_flow_table_free(table);
}

/* With nothing but established flows in it, the table refuses, and says so. */
static void test_refuse(void)
{
	struct ended ended = { 0 };
	struct moat_flow_table *table;
	struct moat_flow_counters c;
	uint32_t refused = 0;

	CU_ASSERT_EQUAL_FATAL(moat_flow_table_new(1024, 1, on_end, &ended, &table), 0);
	for (uint32_t i = 0; i < 4000; i++) {
		if (!add(table, packet(i, 1, 2, 53, UDP, 0), START))
			refused++;
		else
			add(table, packet(2, 53, i, 1, UDP, 0), START);
	}
	c = expect_balance(table, &ended);
	CU_ASSERT_TRUE(c.refused == refused && refused > 0);
	CU_ASSERT_EQUAL(c.live, 1024);
	CU_ASSERT_EQUAL(c.replaced, 0);
	/* room again once they are idle; the counts of flows away from home survived all of it */
	age_all(table, START + 61 * MOAT_NS_PER_S, START + 64 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(expect_balance(table, &ended).live, 0);
	CU_ASSERT_TRUE(add(table, packet(1, 1, 2, 53, UDP, 0), START + 65 * MOAT_NS_PER_S));
	moat_flow_table_free(table);
}

/* Times are kept in 32 bits of milliseconds, told apart over 49 days. */
static void test_times(void)
{
	const uint64_t late = 0x1fffffff0ULL * MOAT_NS_PER_MS;
	struct ended ended = { 0 };
	struct moat_flow_table *table;

	CU_ASSERT_EQUAL_FATAL(moat_flow_table_new(0, 1, on_end, &ended, &table), 0);
	add(table, packet(1, 1, 2, 2, UDP, 0), late);
	add(table, packet(2, 2, 1, 1, UDP, 0), late + 5 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(live(table), 1);
	age_all(table, late + 65 * MOAT_NS_PER_S, late + 68 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(ended.count, 1);
	CU_ASSERT_TRUE(ended.last.first_ns == late && ended.last.last_ns == late + 5 * MOAT_NS_PER_S);
	moat_flow_table_free(table);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "bidirectional", test_bidirectional },
		{ "tcp_states", test_tcp_states },
		{ "ageing", test_ageing },
		{ "late_packet", test_late_packet },
		{ "times", test_times },
		{ "flood", test_flood },
		{ "refuse", test_refuse },
		{ NULL, NULL },
	};

	return moat_test_main("flow", tests);
}
