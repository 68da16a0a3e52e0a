/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Public captures through a worker into the engine, from a cold start: attacks name the right host, and
 * ordinary traffic names nobody. With file names as arguments it prints what is found in those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/worker.h"
#include "detect/engine.h"
#include "tests/harness/unit.h"

/* Longer silences are cut short: nothing is learned from them. */
#define GAP_WINDOWS_MAX 1024

struct replay {
	struct moat_finding first; /* the first that opened */
	struct moat_finding last;  /* the latest event of that finding */
	int opened;
	bool prints;
};

static void note(void *userdata, const struct moat_finding *finding)
{
	struct replay *replay = userdata;

	if (finding->state == MOAT_FINDING_OPEN) {
		if (replay->opened++ == 0)
			replay->first = *finding;
		if (replay->prints)
			printf("  %s (score %.1f)\n", finding->sentence, finding->score);
	}
	if (finding->id == replay->first.id)
		replay->last = *finding;
}

static void feed_samples(struct moat_worker *worker, struct moat_detect *detect)
{
	struct moat_sample sample;

	while (moat_ring_pop(moat_worker_samples(worker), &sample))
		moat_detect_sample(detect, &sample);
}

static void close_windows(struct moat_worker *worker, struct moat_detect *detect, uint64_t from,
			  uint64_t to)
{
	const struct moat_cells *cells = moat_worker_cells(worker);
	const uint64_t length_ns = MOAT_NS_PER_MS << MOAT_WINDOW_SHIFT_MS;
	struct moat_cell_source source = { cells->to, cells->from, cells->mask + 1, true };

	if (to - from > GAP_WINDOWS_MAX) {
		moat_detect_tick(detect, &source, 1, (uint32_t)from, from * length_ns, length_ns);
		from = to - GAP_WINDOWS_MAX;
	}
	for (; from < to; from++)
		moat_detect_tick(detect, &source, 1, (uint32_t)from, from * length_ns, length_ns);
}

static int replay_file(const char *path, struct replay *replay)
{
	struct moat_detect_config config = moat_detect_config_default();
	struct moat_port_pcap_options port_options = { .paths = &path, .path_count = 1 };
	struct moat_worker_options options = { .cpu = -1, .cells = 4096, .sample_pass = 16 };
	struct moat_worker *worker = NULL;
	struct moat_detect *detect = NULL;
	struct moat_error error;
	uint64_t window = 0, now;

	if (moat_port_pcap_open(&port_options, &options.port, &error) < 0)
		return -1;
	config.mode = MOAT_MODE_MIRROR;
	config.hosts = 16384;
	if (moat_worker_new(&options, &worker, &error) < 0 ||
	    moat_detect_new(&config, note, replay, &detect) < 0)
		abort();
	while (moat_worker_step(worker) >= 0) {
		now = moat_worker_now_ns(worker) / MOAT_NS_PER_MS >> MOAT_WINDOW_SHIFT_MS;
		feed_samples(worker, detect);
		if (window && now != window)
			close_windows(worker, detect, window, now);
		window = now;
	}
	close_windows(worker, detect, window, window + 1);
	moat_worker_free(worker);
	moat_detect_free(detect);
	return 0;
}

static void expect_attack(const char *name, enum moat_finding_kind kind, const char *subject)
{
	const char *path = moat_test_capture(name);
	struct replay replay = { 0 };
	struct moat_addr addr;
	char text[MOAT_ADDR_TEXT_LEN];

	CU_ASSERT_PTR_NOT_NULL(path);
	if (!path)
		return;
	CU_ASSERT_EQUAL(replay_file(path, &replay), 0);
	CU_ASSERT_EQUAL(moat_addr_parse(subject, &addr), 0);
	CU_ASSERT_EQUAL(replay.opened, 1);
	if (replay.opened == 0)
		return;
	CU_ASSERT_EQUAL(replay.first.kind, kind);
	CU_ASSERT_STRING_EQUAL(moat_addr_format(&replay.first.subject, text), subject);
	CU_ASSERT(moat_addr_equal(&replay.first.subject, &addr));
	CU_ASSERT(replay.last.proposal_count > 0);
	CU_ASSERT(replay.last.proposals[0].coverage > 0.9);
}

static void test_denial6(void)
{
	expect_attack("ddos-suricata/denial6-5.pcap", MOAT_FINDING_ICMP_FLOOD, "2001:db8:1::1");
}

static void test_syn_flood(void)
{
	expect_attack("ddos-cicddos2019/CIC-DDoS-2019-SynFlood.pcap", MOAT_FINDING_SYN_FLOOD,
		      "192.168.50.4");
}

static void test_scan(void)
{
	expect_attack("scan/ndpi_synscan.pcap", MOAT_FINDING_SCAN, "172.16.0.8");
}

static void test_benign(void)
{
	static const char *const names[] = {
		"benign-ndpi/1kxun.pcap",      "benign-ndpi/netflix.pcap",
		"benign-ndpi/instagram.pcap",  "benign-ndpi/gnutella.pcap",
		"benign-ndpi/bittorrent.pcap", "benign-misc/surfshark.pcap",
		"benign-ndpi/netbios.pcap",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *path = moat_test_capture(names[i]);
		struct replay replay = { .prints = true };

		CU_ASSERT_PTR_NOT_NULL(path);
		if (!path)
			continue;
		CU_ASSERT_EQUAL(replay_file(path, &replay), 0);
		CU_ASSERT_EQUAL(replay.opened, 0);
	}
}

static const struct moat_test tests[] = {
	{ "an IPv6 flood behind extension headers", test_denial6 },
	{ "a SYN flood from one source over all ports", test_syn_flood },
	{ "a SYN scan", test_scan },
	{ "ordinary traffic", test_benign },
	{ NULL, NULL },
};

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct replay replay = { .prints = true };

		printf("%s\n", argv[i]);
		if (replay_file(argv[i], &replay) < 0)
			printf("  not a capture\n");
	}
	if (argc > 1)
		return 0;
	if (!moat_test_capture("ddos-suricata/denial6-5.pcap"))
		moat_test_skip("no public captures (MOAT_SHARED or ../shared)");
	return moat_test_main("detect-replay", tests);
}
