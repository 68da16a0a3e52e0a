/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is usual of a host, runs of windows, and sources that hold conversations. */
#include <stdlib.h>
#include <string.h>

#include "detect/known.h"
#include "detect/track.h"
#include "tests/harness/unit.h"

static struct moat_host_window second_of(uint64_t syn)
{
	struct moat_host_window second = { .length_ns = 1000000000 };

	second.to.packets = syn;
	second.to.tcp_syn = syn;
	return second;
}

static void take(struct moat_usual *usual, uint64_t syn, int seconds)
{
	struct moat_host_window second = second_of(syn);

	for (int i = 0; i < seconds; i++)
		moat_usual_take(usual, &second);
}

static void test_usual(void)
{
	struct moat_usual usual = { 0 };

	take(&usual, 100, 30);
	CU_ASSERT_EQUAL(usual.seconds, 30);
	CU_ASSERT_DOUBLE_EQUAL(usual.mean[MOAT_USUAL_SYN], 100, 1);
	CU_ASSERT_DOUBLE_EQUAL(usual.peak[MOAT_USUAL_SYN], 100, 1);
	take(&usual, 300, 1);
	CU_ASSERT_DOUBLE_EQUAL(usual.peak[MOAT_USUAL_SYN], 300, 1);
	/* a peak is forgotten slowly */
	take(&usual, 100, 60);
	CU_ASSERT(usual.peak[MOAT_USUAL_SYN] > 250 && usual.peak[MOAT_USUAL_SYN] < 300);
	/* settled: what comes at once is learned at 5 % a second at most */
	take(&usual, 100000, 1);
	CU_ASSERT(usual.peak[MOAT_USUAL_SYN] < 320);
	take(&usual, 100000, 10);
	CU_ASSERT(usual.peak[MOAT_USUAL_SYN] < 520);
	CU_ASSERT_EQUAL(usual.peak[MOAT_USUAL_UDP], 0);
}

static void test_runs(void)
{
	struct moat_track track;

	memset(&track, 0, sizeof(track));
	CU_ASSERT_EQUAL(moat_track_run(&track, MOAT_FINDING_SCAN, 1, 100), 1);
	CU_ASSERT_EQUAL(moat_track_run(&track, MOAT_FINDING_SCAN, 2, 200), 2);
	CU_ASSERT_EQUAL(moat_track_run(&track, MOAT_FINDING_UDP_FLOOD, 2, 200), 1);
	CU_ASSERT_EQUAL(track.run_first_ns[MOAT_FINDING_SCAN], 100);
	/* a gap begins a new run */
	CU_ASSERT_EQUAL(moat_track_run(&track, MOAT_FINDING_SCAN, 4, 400), 1);
	CU_ASSERT_EQUAL(track.run_first_ns[MOAT_FINDING_SCAN], 400);
}

static void test_converse(void)
{
	struct moat_host_window tcp = { .length_ns = 1000000000 }, syns = tcp, udp = tcp;
	struct moat_track track;

	memset(&track, 0, sizeof(track));
	syns.from.tcp_syn = 50;
	syns.from.tcp_ack = 3;
	for (int i = 0; i < 10; i++)
		CU_ASSERT_FALSE(moat_track_converse(&track, &syns));
	tcp.from.tcp_syn = 1;
	tcp.from.tcp_ack = 5;
	udp.from.udp = 1;
	CU_ASSERT_FALSE(moat_track_converse(&track, &tcp));
	CU_ASSERT_FALSE(moat_track_converse(&track, &udp));
	CU_ASSERT_TRUE(moat_track_converse(&track, &tcp));
}

struct found {
	int count;
	struct moat_addr wanted;
	int hits;
};

static void count(void *userdata, const struct moat_addr *addr)
{
	struct found *found = userdata;

	found->count++;
	found->hits += moat_addr_equal(addr, &found->wanted);
}

static void test_known(void)
{
	struct moat_known_sources *known = NULL;
	struct found found = { 0 };
	struct moat_addr addr;

	CU_ASSERT_EQUAL_FATAL(moat_known_sources_new(1, &known), 0);
	moat_known_sources_each(known, count, &found);
	CU_ASSERT_EQUAL(found.count, 0);
	moat_addr_from_v4(&addr, 77);
	moat_known_sources_add(known, &addr);
	moat_known_sources_add(known, &addr);
	found.wanted = addr;
	moat_known_sources_each(known, count, &found);
	CU_ASSERT_EQUAL(found.count, 1);
	CU_ASSERT_EQUAL(found.hits, 1);
	/* full: bounded, and who is still active stays */
	for (uint32_t i = 0; i < 4 * MOAT_KNOWN_SOURCES_MAX; i++) {
		struct moat_addr other;

		moat_addr_from_v4(&other, 1000 + i);
		moat_known_sources_add(known, &other);
		if (i % 1000 == 0)
			moat_known_sources_add(known, &addr);
	}
	found = (struct found){ .wanted = addr };
	moat_known_sources_each(known, count, &found);
	CU_ASSERT_EQUAL(found.count, MOAT_KNOWN_SOURCES_MAX);
	CU_ASSERT_EQUAL(found.hits, 1);
	moat_known_sources_free(known);
	moat_known_sources_free(NULL);
}

static const struct moat_test tests[] = {
	{ "usual rates", test_usual },
	{ "runs of windows", test_runs },
	{ "conversations", test_converse },
	{ "known sources", test_known },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-track", tests);
}
