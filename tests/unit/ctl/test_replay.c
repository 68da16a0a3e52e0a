/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Captures through detection: a flood that is written here is found, twice the same; what is no capture is
 * refused before anything is reported. */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/replay.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "tests/harness/unit.h"

#define START_S 1700000000
#define FRAME 142

static char dir[64], path[128];

/* Ethernet, IPv4, UDP from 192.0.2.`host` to 198.51.100.7:9. */
static void make_frame(uint8_t frame[FRAME], uint8_t host)
{
	static const uint8_t head[] = { 2,    0, 0,   0,   0,   1, 2,    0, 0,  0,  0, 2,   8,   0,
					0x45, 0, 0,   128, 0,   0, 0,    0, 64, 17, 0, 0,   192, 0,
					2,    0, 198, 51,  100, 7, 0x10, 0, 0,  9,  0, 108, 0,   0 };

	memset(frame, 0, FRAME);
	memcpy(frame, head, sizeof(head));
	frame[29] = host;
}

/* 2 s with 20 packets a second, then 2 s with 40,000 a second from one host. */
static void write_flood(void)
{
	pcap_t *type = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *dumper = pcap_dump_open(type, path);
	struct pcap_pkthdr header = { .caplen = FRAME, .len = FRAME };
	uint8_t frame[FRAME];

	CU_ASSERT_PTR_NOT_NULL_FATAL(dumper);
	for (uint64_t us = 0; us < 4000000; us += us < 2000000 ? 50000 : 25) {
		header.ts.tv_sec = (time_t)(START_S + us / 1000000);
		header.ts.tv_usec = (suseconds_t)(us % 1000000);
		make_frame(frame, us < 2000000 ? (uint8_t)(1 + us / 50000 % 5) : 66);
		pcap_dump((u_char *)dumper, &header, frame);
	}
	pcap_dump_close(dumper);
	pcap_close(type);
}

struct seen {
	unsigned int count;
	struct moat_finding first;
};

static void on_finding(void *userdata, const struct moat_finding *finding)
{
	struct seen *seen = userdata;

	if (seen->count++ == 0)
		seen->first = *finding;
}

static int replay(struct seen *seen, struct moat_replay_report *report, struct moat_error *error)
{
	const char *paths[] = { path };
	struct moat_replay_options options = {
		.paths = paths,
		.path_count = 1,
		.detect = moat_detect_config_default(),
		.sample_pass = 16,
		.on_finding = on_finding,
		.userdata = seen,
	};

	memset(seen, 0, sizeof(*seen));
	return moat_replay_run(&options, report, error);
}

static void test_flood(void)
{
	struct moat_replay_report report = { 0 };
	struct moat_error error = { .text = "" };
	struct seen seen, again;
	char subject[MOAT_ADDR_TEXT_LEN];

	write_flood();
	CU_ASSERT_EQUAL_FATAL(replay(&seen, &report, &error), 0);
	CU_ASSERT_EQUAL(report.counters.in.packets, 40 + 80000);
	CU_ASSERT_EQUAL(report.first_ns / 1000000000, START_S);
	CU_ASSERT_TRUE_FATAL(seen.count > 0);
	CU_ASSERT_EQUAL(seen.first.kind, MOAT_FINDING_UDP_FLOOD);
	CU_ASSERT_STRING_EQUAL(moat_addr_format(&seen.first.subject, subject), "198.51.100.7");
	/* in capture time, within a second of its begin */
	CU_ASSERT_TRUE(seen.first.detected_ns > (START_S + 2) * 1000000000ULL);
	CU_ASSERT_TRUE(seen.first.detected_ns < (START_S + 3) * 1000000000ULL);
	CU_ASSERT_EQUAL(replay(&again, &report, &error), 0);
	CU_ASSERT_EQUAL(again.count, seen.count);
	CU_ASSERT_STRING_EQUAL(again.first.sentence, seen.first.sentence);
	unlink(path);
}

/* Refused with the file's name, and nothing reported. */
static void check_refused(const char *content, size_t length)
{
	struct moat_replay_report report = { .first_ns = 1 };
	struct moat_error error = { .text = "" };
	FILE *file = fopen(path, "we");
	struct seen seen;

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fwrite(content, 1, length, file);
	fclose(file);
	CU_ASSERT_TRUE(replay(&seen, &report, &error) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, path));
	CU_ASSERT_EQUAL(seen.count, 0);
	CU_ASSERT_EQUAL(report.first_ns, 1);
	unlink(path);
}

static void test_no_capture(void)
{
	struct moat_replay_report report;
	struct moat_error error = { .text = "" };
	struct seen seen;

	CU_ASSERT_EQUAL(replay(&seen, &report, &error), -ENOENT);
	check_refused("", 0);
	check_refused("this is no capture, but long enough for one", 43);
	check_refused("\xd4\xc3\xb2\xa1\x02\0\x04\0", 8);
}

/* A file that ends in the midst of a packet is read up to there, and says so. */
static void test_broken_off(void)
{
	struct moat_replay_report report;
	struct moat_error error = { .text = "" };
	struct seen seen;

	write_flood();
	CU_ASSERT_EQUAL(truncate(path, 24 + 30 * (16 + FRAME) + 50), 0);
	CU_ASSERT_EQUAL_FATAL(replay(&seen, &report, &error), 0);
	CU_ASSERT_EQUAL(report.counters.in.packets, 30);
	CU_ASSERT_EQUAL(report.counters.port.rx_invalid, 1);
	unlink(path);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "flood", test_flood },
		{ "no capture", test_no_capture },
		{ "broken off", test_broken_off },
		{ NULL, NULL },
	};
	int r;

	snprintf(dir, sizeof(dir), "/tmp/moat-replay-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/x.pcap", dir);
	r = moat_test_main("replay", tests);
	rmdir(dir);
	return r;
}
