/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/rate.c and moat/limit.h: a rate is that rate on the whole box, for 1 to 64 judges, however the
 * load falls on them. */
#include <stdio.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/rate.h"
#include "tests/harness/unit.h"

#define JUDGES_MAX 64

/* A limit and all that share it, at one moment. */
struct model {
	struct moat_rate packets, bytes;
	struct moat_limit limit;
	struct moat_limit_share shares[JUDGES_MAX];
	uint32_t judges;
	uint64_t random;
	uint64_t touched; /* takes that changed a shared word */
};

static struct model model_new(uint64_t pps, uint64_t bps, uint32_t hz, uint32_t judges)
{
	return (struct model){
		.packets = moat_rate_of_packets(pps, 0, hz, judges),
		.bytes = moat_rate_of_bytes(bps, 0, hz, judges),
		.judges = judges,
		.random = 88172645463325252ULL,
	};
}

static bool take(struct model *model, uint32_t judge, uint64_t now, uint32_t length)
{
	uint64_t packets = model->limit.packets, bytes = model->limit.bytes;
	bool passes = moat_limit_take(&model->limit, &model->shares[judge], 1, &model->packets,
				      &model->bytes, now, length);

	model->touched += model->limit.packets != packets || model->limit.bytes != bytes;
	return passes;
}

static uint64_t draw(struct model *model, uint64_t below)
{
	model->random ^= model->random << 13;
	model->random ^= model->random >> 7;
	model->random ^= model->random << 17;
	return model->random % below;
}

/* Who gets the next packet: everybody alike, or half of it one judge and the rest the others. */
static uint32_t next_judge(struct model *model, bool skewed)
{
	if (skewed && draw(model, 2))
		return 0;
	return (uint32_t)draw(model, model->judges);
}

/* Offers `per_tick` packets in each tick of a second; returns what passed, packets or bytes. */
static uint64_t offer_second(struct model *model, uint64_t *now, uint32_t hz, uint64_t per_tick,
			     uint32_t length, bool skewed)
{
	uint64_t passed = 0;

	for (uint32_t tick = 0; tick < hz; tick++, ++*now) {
		for (uint64_t i = 0; i < per_tick; i++)
			passed += take(model, next_judge(model, skewed), *now, length);
	}
	return passed * (model->bytes.cost ? length : 1);
}

static bool within(uint64_t value, uint64_t expected, double error)
{
	double ratio = (double)value / (double)expected;

	if (ratio >= 1 - error && ratio <= 1 + error)
		return true;
	fprintf(stderr, "%.4f of what it should be\n", ratio);
	return false;
}

/* Offered twice the rate: each second within 10 %, all of them within 3. */
static void test_box(void)
{
	static const uint32_t judges[] = { 1, 2, 8, 64 }, hz[] = { 100, 250, 1000 };
	static const uint64_t rates[] = { 2000, 50000, 400000 };

	for (size_t j = 0; j < MOAT_ARRAY_SIZE(judges); j++) {
		for (size_t r = 0; r < MOAT_ARRAY_SIZE(rates); r++) {
			uint32_t tick_rate = hz[(j + r) % MOAT_ARRAY_SIZE(hz)];
			struct model model = model_new(rates[r], 0, tick_rate, judges[j]);
			uint64_t now = 1000000, sum = 0;

			for (int second = 0; second < 3; second++) {
				uint64_t passed = offer_second(&model, &now, tick_rate,
							       2 * rates[r] / tick_rate, 100,
							       second % 2);

				CU_ASSERT(within(passed, rates[r], 0.1));
				sum += passed;
			}
			CU_ASSERT(within(sum, 3 * rates[r], 0.03));
			/* of 64 packets that are offered to a judge, no more than one asks the others */
			if (rates[r] == 400000)
				CU_ASSERT(model.touched * 64 <= 6 * rates[r]);
		}
	}
}

/* Bytes, by packets of any length; a large packet may take a debt, which is paid back. */
static void test_bytes(void)
{
	static const uint32_t judges[] = { 1, 8, 64 }, lengths[] = { 40, 1500, 65535 };
	static const uint64_t rates[] = { 2000000, 40000000 };

	for (size_t j = 0; j < MOAT_ARRAY_SIZE(judges); j++) {
		for (size_t k = 0; k < MOAT_ARRAY_SIZE(lengths); k++) {
			uint64_t rate = rates[j % 2], now = 5000, sum = 0;
			struct model model = model_new(0, rate, 1000, judges[j]);
			uint64_t per_tick = 2 * rate / 1000 / lengths[k] + 1;

			for (int second = 0; second < 4; second++)
				sum += offer_second(&model, &now, 1000, per_tick, lengths[k],
						    second % 2);
			/* a burst, and a datagram's debt */
			CU_ASSERT(within(sum, 4 * rate + rate / 32, 0.05));
		}
	}
}

/* What is offered below the rate passes whole, whoever judges it. */
static void test_below(void)
{
	for (uint32_t judges = 1; judges <= JUDGES_MAX; judges *= 4) {
		struct model model = model_new(100000, 0, 250, judges);
		uint64_t now = 77, sum = 0;

		for (int second = 0; second < 3; second++)
			sum += offer_second(&model, &now, 250, 95000 / 250, 100, second % 2);
		CU_ASSERT_EQUAL(sum, 3 * 95000);
	}
}

/* A judge that goes quiet keeps at most a lot, which the others do without. */
static void test_idle(void)
{
	struct model model = model_new(32000, 0, 1000, 64);
	uint64_t now = 1, held = 0;
	uint64_t passed = 0;

	for (uint32_t judge = 0; judge < 64; judge++)
		CU_ASSERT_TRUE(take(&model, judge, now, 100));
	for (uint32_t judge = 1; judge < 64; judge++)
		held += model.shares[judge].packets.credit;
	CU_ASSERT(held <= model.packets.burst / 4);
	for (uint64_t end = now + 1000; now < end; now++) {
		for (int i = 0; i < 64; i++)
			passed += take(&model, 0, now, 100);
	}
	CU_ASSERT(within(passed, 32000, 0.1));
}

/* A token at a time is what small limits give, to whoever comes first. */
static void test_small(void)
{
	struct model model = model_new(1, 0, 1000, 64);
	uint64_t passed = 0;

	for (uint64_t now = 0; now < 20000; now++)
		passed += take(&model, (uint32_t)draw(&model, 64), now, 1500);
	CU_ASSERT(passed >= 20 && passed <= 21);
}

/* Every rate that can be asked for, on every clock: a second of it takes a second, and nothing overflows. */
static void test_arithmetic(void)
{
	static const uint32_t hz[] = { 100, 250, 300, 1000 }, judges[] = { 1, 2, 64, 1024 };
	static const uint64_t rates[] = { 1,        2,         3,          7,
					  999,      1000,      48000,      1000000,
					  14880952, 123456789, 1000000000, 4294967295 };

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(rates) * MOAT_ARRAY_SIZE(hz); i++) {
		uint64_t rate = rates[i / MOAT_ARRAY_SIZE(hz)];
		uint32_t tick_rate = hz[i % MOAT_ARRAY_SIZE(hz)];
		struct moat_rate packets = moat_rate_of_packets(rate, 0, tick_rate, judges[i % 4]);
		struct moat_rate bytes = moat_rate_of_bytes(rate * 3, UINT64_MAX, tick_rate,
							    judges[i % 4]);

		CU_ASSERT(within(moat_rate_time(&packets, rate) >> MOAT_LIMIT_TICK_BITS, tick_rate,
				 rate == 1 ? 0 : 0.011));
		CU_ASSERT(packets.burst >= 1 && packets.lot <= 6 && bytes.lot <= 17);
		CU_ASSERT(moat_rate_time(&bytes, bytes.burst) <= (uint64_t)MOAT_LIMIT_FILL_MAX
									 << MOAT_LIMIT_TICK_BITS);
		CU_ASSERT(moat_rate_time(&bytes, 65535) < 1ULL << 55);
		/* the depth and all debts together are far from where times wrap */
		CU_ASSERT(2 * moat_rate_time(&bytes, bytes.burst) +
				  moat_rate_time(&bytes, 1ULL << bytes.debt) <
			  1ULL << 62);
	}
	CU_ASSERT_EQUAL(moat_rate_of_packets(0, 5, 1000, 2).cost, 0);
}

/* The fastest and the slowest there are, at work. */
static void test_extremes(void)
{
	struct model fast = model_new(0, 12500000000ULL, 100, 2);
	struct model slow = model_new(0, 1000, 1000, 2);
	uint64_t now = 1ULL << 40, sum = 0;

	for (uint64_t end = now + 20; now < end; now++) {
		for (int i = 0; i < 4000; i++)
			sum += take(&fast, i % 2, now, 65535) ? 65535 : 0;
	}
	/* 0.2 s of 100 Gbit/s, and the burst of 1/16 s */
	CU_ASSERT(within(sum, 12500000000ULL / 5 + 12500000000ULL / 16, 0.06));
	for (now = sum = 0; now < 100000; now++)
		sum += take(&slow, now % 2, now, 1500) ? 1500 : 0;
	CU_ASSERT(within(sum, 100000, 0.03));
}

/* A clock that begins again doesn't lock anybody out; one that is a little behind gets nothing twice. */
static void test_clocks(void)
{
	struct model model = model_new(1000, 0, 1000, 2);
	uint64_t now = 1ULL << 41, passed = 0;

	for (int i = 0; i < 200; i++)
		passed += take(&model, 0, now, 100);
	CU_ASSERT_EQUAL(passed, 62);
	CU_ASSERT_FALSE(take(&model, 1, now - 3, 100));
	/* the time that an empty bucket is remembered for wraps with the ticks' 32 bits */
	CU_ASSERT_TRUE(take(&model, 1, 5, 100));
	model = model_new(1000, 0, 1000, 2);
	CU_ASSERT_TRUE(take(&model, 0, (1ULL << 32) - 3, 100));
	model = model_new(1000, 0, 1000, 2);
	for (int i = 0; i < 200; i++)
		take(&model, 0, (1ULL << 32) - 1, 100);
	CU_ASSERT_FALSE(take(&model, 0, (1ULL << 32) - 1, 100));
	CU_ASSERT_TRUE(take(&model, 0, 1ULL << 32, 100));
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "box", test_box },
		{ "bytes", test_bytes },
		{ "below", test_below },
		{ "idle", test_idle },
		{ "small", test_small },
		{ "arithmetic", test_arithmetic },
		{ "extremes", test_extremes },
		{ "clocks", test_clocks },
		{ NULL, NULL },
	};

	return moat_test_main("rate", tests);
}
