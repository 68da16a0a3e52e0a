/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "detect/evidence.h"
#include "tests/harness/unit.h"

#define MS 1000000ULL

static struct moat_evidence *evidence;
static struct moat_record records[MOAT_RECENT_RECORDS];

static struct moat_addr addr_of(uint32_t n)
{
	struct moat_addr addr;

	moat_addr_from_v4(&addr, __builtin_bswap32(0x0a000000u + n));
	return addr;
}

static void add(uint32_t src, uint32_t dst, uint8_t proto, uint8_t flags, uint64_t time_ns)
{
	struct moat_sample sample = { .time_ns = time_ns, .interval = 10 };

	sample.headers.src = addr_of(src);
	sample.headers.dst = addr_of(dst);
	sample.headers.family = MOAT_FAMILY_V4;
	sample.headers.proto = proto;
	sample.headers.tcp_flags = flags;
	sample.headers.l3_len = 60;
	moat_evidence_add(evidence, &sample);
}

static void begin(void)
{
	CU_ASSERT_EQUAL_FATAL(moat_evidence_new(1, &evidence), 0);
}

/* A header is normal when it has been in calm for a second, not before. */
static void test_settles(void)
{
	struct moat_addr dst = addr_of(1);
	const struct moat_normals *normals;

	begin();
	CU_ASSERT_PTR_NULL(moat_evidence_normal(evidence, &dst));
	add(2, 1, 6, MOAT_TCP_SYN, 1000 * MS);
	add(2, 1, 17, 0, 1100 * MS);
	normals = moat_evidence_normal(evidence, &dst);
	CU_ASSERT_PTR_NOT_NULL_FATAL(normals);
	CU_ASSERT_EQUAL(normals->counts[MOAT_CLASS_SYN], 0);
	add(2, 1, 1, 0, 2050 * MS);
	normals = moat_evidence_normal(evidence, &dst);
	CU_ASSERT_EQUAL(normals->counts[MOAT_CLASS_SYN], 1);
	CU_ASSERT_EQUAL(normals->counts[MOAT_CLASS_UDP], 0);
	CU_ASSERT_DOUBLE_EQUAL(normals->weights[MOAT_CLASS_SYN], 10, 0);
	moat_evidence_free(evidence);
}

/* Of a busy class a few are kept, and they stand for all. */
static void test_thins_out(void)
{
	struct moat_addr dst = addr_of(1);
	const struct moat_normals *normals;

	begin();
	for (uint64_t i = 0; i < 50000; i++)
		add(2, 1, 17, 0, 1000 * MS + i * MS / 10);
	add(2, 1, 17, 0, 8000 * MS);
	normals = moat_evidence_normal(evidence, &dst);
	CU_ASSERT_EQUAL(normals->counts[MOAT_CLASS_UDP], MOAT_NORMAL_RECORDS);
	CU_ASSERT_DOUBLE_EQUAL(normals->weights[MOAT_CLASS_UDP], 500000, 1000);
	moat_evidence_free(evidence);
}

/* What came under suspicion never becomes normal; what came before does. */
static void test_suspicion(void)
{
	struct moat_addr dst = addr_of(1);
	const struct moat_normals *normals;

	begin();
	for (uint64_t i = 0; i < 40; i++)
		add(2, 1, 17, 0, 1000 * MS + i * 50 * MS);
	for (uint64_t i = 0; i < 20; i++)
		add(3, 1, 17, 0, 3000 * MS + i * MS);
	moat_evidence_suspect(evidence, &dst, 3000 * MS, 4000 * MS);
	for (uint64_t i = 0; i < 500; i++)
		add(3, 1, 17, 0, 3100 * MS + i * MS);
	CU_ASSERT_EQUAL(moat_evidence_recent(evidence, &dst, MOAT_CLASS_UDP, 3000 * MS, records),
			MOAT_RECENT_RECORDS);
	CU_ASSERT_EQUAL(moat_evidence_recent(evidence, &dst, MOAT_CLASS_SYN, 0, records), 0);
	for (uint64_t i = 0; i < 60; i++)
		add(2, 1, 17, 0, 4000 * MS + i * 50 * MS);
	normals = moat_evidence_normal(evidence, &dst);
	CU_ASSERT(normals->counts[MOAT_CLASS_UDP] >= 40);
	for (uint32_t i = 0; i < normals->counts[MOAT_CLASS_UDP]; i++) {
		struct moat_addr attacker = addr_of(3);

		CU_ASSERT_FALSE(moat_addr_equal(&normals->records[MOAT_CLASS_UDP][i].src, &attacker));
	}
	moat_evidence_free(evidence);
}

/* Backscatter to a hundred thousand addresses doesn't push out a busy destination. */
static void test_bounded(void)
{
	struct moat_addr dst = addr_of(1);

	begin();
	for (uint64_t i = 0; i < 400; i++)
		add(2, 1, 17, 0, 1000 * MS + i * 10 * MS);
	for (uint32_t i = 0; i < 100000; i++)
		add(1, 1000 + i, 6, MOAT_TCP_RST, 6000 * MS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(moat_evidence_normal(evidence, &dst));
	CU_ASSERT(moat_evidence_normal(evidence, &dst)->counts[MOAT_CLASS_UDP] > 100);
	moat_evidence_free(evidence);
}

static void test_peer_and_pick(void)
{
	struct moat_addr src = addr_of(5), victim = addr_of(1), peer;
	struct moat_sample samples[4];
	uint32_t count;

	begin();
	for (uint64_t i = 0; i < 10; i++) {
		add(5, i == 4 ? 9 : 1, 6, MOAT_TCP_SYN, (1000 + i) * MS);
		add(6, 7, 17, 0, (1000 + i) * MS);
	}
	CU_ASSERT_EQUAL(moat_evidence_peer(evidence, &src, 0, &peer, &count), 10);
	CU_ASSERT(moat_addr_equal(&peer, &victim));
	CU_ASSERT_EQUAL(count, 9);
	CU_ASSERT_EQUAL(moat_evidence_peer(evidence, &src, 1008 * MS, &peer, &count), 2);
	CU_ASSERT_EQUAL(moat_evidence_pick(evidence, &victim, false, MOAT_CLASS_SYN, 0, samples, 4),
			4);
	CU_ASSERT_EQUAL(samples[0].time_ns, 1009 * MS);
	CU_ASSERT_EQUAL(moat_evidence_pick(evidence, &victim, false, MOAT_CLASS_UDP, 0, samples, 4),
			0);
	CU_ASSERT_EQUAL(
		moat_evidence_pick(evidence, &src, true, MOAT_CLASSES, 1009 * MS, samples, 4), 1);
	moat_evidence_free(evidence);
}

static void test_not_ip(void)
{
	struct moat_sample sample = { .time_ns = 5 };
	struct moat_addr none = { 0 };

	begin();
	moat_evidence_add(evidence, &sample);
	CU_ASSERT_PTR_NULL(moat_evidence_normal(evidence, &none));
	CU_ASSERT_EQUAL(moat_evidence_recent(evidence, &none, MOAT_CLASS_UDP, 0, records), 0);
	moat_evidence_free(evidence);
	moat_evidence_free(NULL);
}

/* Victims of the past, never sent to again, don't keep their places. */
static void test_past_victims(void)
{
	struct moat_addr dst = addr_of(9999);

	begin();
	for (uint32_t n = 1; n <= 4096; n++) {
		struct moat_addr victim = addr_of(n);

		add(2, n, 17, 0, 1000 * MS);
		moat_evidence_suspect(evidence, &victim, 1000 * MS, 4000 * MS);
	}
	add(2, 9999, 17, 0, 3000 * MS);
	CU_ASSERT_PTR_NULL(moat_evidence_normal(evidence, &dst));
	for (uint64_t i = 0; i < 10; i++)
		add(2, 9999, 17, 0, (5000 + i) * MS);
	CU_ASSERT_EQUAL(moat_evidence_recent(evidence, &dst, MOAT_CLASS_UDP, 0, records), 2);
	moat_evidence_free(evidence);
}

/* A victim gets a place at once, where others have been sampled often. */
static void test_new_victim(void)
{
	struct moat_addr dst = addr_of(9999);

	begin();
	for (uint32_t n = 1; n <= 4096; n++)
		add(2, n, 17, 0, 1000 * MS);
	for (uint32_t n = 1; n <= 4096; n++) {
		struct moat_addr other = addr_of(n);

		for (int i = 0; i < 100 && moat_evidence_normal(evidence, &other); i++)
			add(2, n, 17, 0, 1000 * MS);
	}
	add(2, 9999, 17, 0, 1001 * MS);
	CU_ASSERT_PTR_NULL(moat_evidence_normal(evidence, &dst));
	moat_evidence_suspect(evidence, &dst, 1000 * MS, 4000 * MS);
	for (uint64_t i = 0; i < 20; i++)
		add(2, 9999, 17, 0, (1002 + i) * MS);
	CU_ASSERT_EQUAL(moat_evidence_recent(evidence, &dst, MOAT_CLASS_UDP, 0, records), 20);
	moat_evidence_free(evidence);
}

static const struct moat_test tests[] = {
	{ "headers settle", test_settles },
	{ "a busy class is thinned out", test_thins_out },
	{ "what is suspected is not learned", test_suspicion },
	{ "bounded against backscatter", test_bounded },
	{ "past victims", test_past_victims },
	{ "a new victim", test_new_victim },
	{ "peers and whole samples", test_peer_and_pick },
	{ "what is not IP", test_not_ip },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-evidence", tests);
}
