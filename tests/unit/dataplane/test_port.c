/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/port*.c and capture.c: files merged by time, link types, broken files, the port in memory. */
#include "dataplane/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/parse.h"
#include "tests/harness/frame.h"
#include "tests/harness/unit.h"

#define LINK_NULL 0
#define LINK_ETHERNET 1
#define LINK_RAW 101
#define LINK_WIFI 105
#define LINK_LOOP 108
#define LINK_SLL 113
#define LINK_SLL2 276
#define MAGIC_MICRO 0xa1b2c3d4u
#define MAGIC_NANO 0xa1b23c4du

static char directory[] = "/tmp/moat-test-port-XXXXXX";
static char paths[4][64];

static void put_u32(FILE *file, uint32_t value)
{
	fwrite(&value, sizeof(value), 1, file);
}

/* Opens paths[index] with a capture's header in it. */
static FILE *capture_new(int index, uint32_t magic, uint32_t link)
{
	FILE *file;

	snprintf(paths[index], sizeof(paths[index]), "%s/%d.pcap", directory, index);
	file = fopen(paths[index], "wb");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	put_u32(file, magic);
	put_u32(file, 4 << 16 | 2); /* version 2.4 */
	put_u32(file, 0);
	put_u32(file, 0);
	put_u32(file, 65535);
	put_u32(file, link);
	return file;
}

static void capture_add(FILE *file, uint32_t seconds, uint32_t fraction, const void *bytes,
			uint32_t captured, uint32_t length)
{
	put_u32(file, seconds);
	put_u32(file, fraction);
	put_u32(file, captured);
	put_u32(file, length);
	fwrite(bytes, captured, 1, file);
}

static struct moat_port *port_open(size_t count, bool realtime)
{
	const char *const files[] = { paths[0], paths[1], paths[2], paths[3] };
	const struct moat_port_pcap_options options = { files, count, realtime };
	struct moat_error error = { 0 };
	struct moat_port *port = NULL;

	CU_ASSERT_EQUAL(moat_port_pcap_open(&options, &port, &error), 0);
	CU_ASSERT_STRING_EQUAL(error.text, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(port);
	return port;
}

static void udp_frame(struct frame *frame, unsigned int mark)
{
	frame_ethernet(frame, 0x0800);
	frame_ipv4(frame, "192.0.2.1", "198.51.100.7", 17, 0, 8 + 10);
	frame_udp(frame, 1000, mark, 10);
}

static unsigned int mark_of(const struct moat_packet *packet)
{
	struct moat_headers h;

	CU_ASSERT_EQUAL(moat_headers_parse(packet->data, packet->captured, packet->length, &h),
			MOAT_PARSE_OK);
	CU_ASSERT_EQUAL(h.l3_len, 38);
	return h.dport;
}

static void test_merge(void)
{
	static const uint64_t times[] = { 10 * MOAT_NS_PER_S + 5, 11 * MOAT_NS_PER_S,
					  11 * MOAT_NS_PER_S, 12 * MOAT_NS_PER_S + 7000 };
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct moat_packet burst[MOAT_BURST];
	struct frame frame;
	FILE *first = capture_new(0, MAGIC_NANO, LINK_ETHERNET);
	FILE *second = capture_new(1, MAGIC_MICRO, LINK_ETHERNET);

	udp_frame(&frame, 0);
	capture_add(first, 10, 5, frame.data, (uint32_t)frame.length, (uint32_t)frame.length);
	udp_frame(&frame, 1);
	capture_add(first, 11, 0, frame.data, (uint32_t)frame.length, 900);
	udp_frame(&frame, 2);
	capture_add(second, 11, 0, frame.data, (uint32_t)frame.length, (uint32_t)frame.length);
	udp_frame(&frame, 3);
	capture_add(second, 12, 7, frame.data, (uint32_t)frame.length, 1); /* a writer's fault */
	fclose(first);
	fclose(second);
	port = port_open(2, false);
	CU_ASSERT_EQUAL_FATAL(moat_port_rx(port, burst, MOAT_BURST), 4);
	for (unsigned int i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(mark_of(&burst[i]), i);
		CU_ASSERT_EQUAL(burst[i].time_ns, times[i]);
	}
	CU_ASSERT_EQUAL(burst[1].length, 900);
	CU_ASSERT_EQUAL(burst[3].length, frame.length);
	moat_port_release(port, burst, 4);
	CU_ASSERT_EQUAL(moat_port_pcap_progress(port), 1);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), -ENODATA);
	CU_ASSERT_EQUAL(port->counters.received.packets, 4);
	CU_ASSERT_EQUAL(port->counters.received.bytes, 3 * frame.length + 900);
}

/* The same datagram behind every link's header is the same packet. */
static void test_links(void)
{
	static const uint8_t sll[16] = { [5] = 6, [14] = 8 };
	static const uint8_t sll2[20] = { [0] = 8 };
	static const uint8_t null_little[4] = { 2 }, loop_big[4] = { [3] = 2 };
	static const struct {
		uint32_t link;
		const uint8_t *header;
		size_t length;
	} links[] = {
		{ LINK_RAW, NULL, 0 },
		{ LINK_NULL, null_little, 4 },
		{ LINK_LOOP, loop_big, 4 },
		{ LINK_SLL, sll, sizeof(sll) },
		{ LINK_SLL2, sll2, sizeof(sll2) },
	};
	struct moat_packet burst[MOAT_BURST];
	struct frame frame;

	udp_frame(&frame, 7);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(links); i++) {
		moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
		uint8_t bytes[128] = { 0 };
		uint32_t length = (uint32_t)(links[i].length + frame.length - 14);
		FILE *file = capture_new(0, MAGIC_MICRO, links[i].link);

		if (links[i].header)
			memcpy(bytes, links[i].header, links[i].length);
		memcpy(bytes + links[i].length, frame.data + 14, frame.length - 14);
		capture_add(file, 1, 1, bytes, length, length);
		capture_add(file, 1, 2, bytes, 1, length); /* too short for anything */
		fclose(file);
		port = port_open(1, false);
		CU_ASSERT_EQUAL_FATAL(moat_port_rx(port, burst, MOAT_BURST), 2);
		CU_ASSERT_EQUAL(burst[0].length, frame.length);
		CU_ASSERT_EQUAL(mark_of(&burst[0]), 7);
		CU_ASSERT_TRUE(burst[1].captured >= 14 && burst[1].captured <= burst[1].length);
	}
}

static void expect_refused(const char *path, int code, const char *why)
{
	const char *const files[] = { path };
	const struct moat_port_pcap_options options = { files, 1, false };
	struct moat_error error = { 0 };
	struct moat_port *port = NULL;

	CU_ASSERT_EQUAL(moat_port_pcap_open(&options, &port, &error), code);
	CU_ASSERT_PTR_NULL(port);
	/* one sentence that begins with the file */
	CU_ASSERT_EQUAL(strncmp(error.text, path, strlen(path)), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, why));
	CU_ASSERT_PTR_NULL(strchr(error.text, '\n'));
}

static void test_refusals(void)
{
	const struct moat_port_pcap_options none = { NULL, 0, false };
	struct moat_error error = { 0 };
	struct moat_port *port = NULL;
	struct frame frame;
	FILE *file;

	CU_ASSERT_EQUAL(moat_port_pcap_open(&none, &port, &error), -EINVAL);
	expect_refused("/nonexistent/x.pcap", -ENOENT, "No such file");
	expect_refused(directory, -EINVAL, "directory");
	fclose(capture_new(0, MAGIC_MICRO, LINK_ETHERNET));
	CU_ASSERT_EQUAL(truncate(paths[0], 0), 0);
	expect_refused(paths[0], -EINVAL, "empty");
	fclose(capture_new(0, MAGIC_MICRO, LINK_ETHERNET));
	CU_ASSERT_EQUAL(truncate(paths[0], 10), 0);
	expect_refused(paths[0], -EINVAL, "truncated");
	fclose(capture_new(0, 0x20544547, LINK_ETHERNET));
	expect_refused(paths[0], -EINVAL, "not a capture");
	fclose(capture_new(0, MAGIC_MICRO, LINK_WIFI));
	expect_refused(paths[0], -EINVAL, "IEEE802_11");
	/* a first packet that says it is larger than any can be */
	file = capture_new(0, MAGIC_MICRO, LINK_ETHERNET);
	udp_frame(&frame, 0);
	put_u32(file, 1);
	put_u32(file, 1);
	put_u32(file, 0x7fffffff);
	put_u32(file, 0x7fffffff);
	fwrite(frame.data, frame.length, 1, file);
	fclose(file);
	expect_refused(paths[0], -EINVAL, "packet");
}

/* What is whole is read; the rest is counted. A capture without packets is none the worse. */
static void test_broken(void)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL, *empty = NULL;
	struct moat_packet burst[MOAT_BURST];
	struct moat_port_counters counters;
	struct stat status;
	struct frame frame;
	FILE *file = capture_new(0, MAGIC_MICRO, LINK_ETHERNET);

	udp_frame(&frame, 9);
	capture_add(file, 1, 1, frame.data, (uint32_t)frame.length, (uint32_t)frame.length);
	capture_add(file, 1, 2, frame.data, (uint32_t)frame.length, (uint32_t)frame.length);
	fclose(file);
	CU_ASSERT_EQUAL(stat(paths[0], &status), 0);
	CU_ASSERT_EQUAL(truncate(paths[0], status.st_size - 1), 0);
	port = port_open(1, false);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), 1);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), -ENODATA);
	counters = port->counters;
	port->ops->refresh(port, &counters);
	CU_ASSERT_EQUAL(counters.rx_invalid, 1);

	fclose(capture_new(0, MAGIC_MICRO, LINK_ETHERNET));
	empty = port_open(1, false);
	CU_ASSERT_EQUAL(moat_port_rx(empty, burst, MOAT_BURST), -ENODATA);
}

static void test_realtime(void)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct moat_packet burst[MOAT_BURST];
	struct frame frame;
	uint64_t start;
	FILE *file = capture_new(0, MAGIC_MICRO, LINK_ETHERNET);

	udp_frame(&frame, 1);
	capture_add(file, 50, 0, frame.data, (uint32_t)frame.length, (uint32_t)frame.length);
	capture_add(file, 50, 60000, frame.data, (uint32_t)frame.length, (uint32_t)frame.length);
	fclose(file);
	port = port_open(1, true);
	start = moat_clock_monotonic_ns();
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), 1);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), 0);
	CU_ASSERT_FALSE(moat_port_wait(port, 1));
	while (!moat_port_wait(port, 1000))
		;
	CU_ASSERT_TRUE(moat_clock_monotonic_ns() - start >= 60 * MOAT_NS_PER_MS);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), 1);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), -ENODATA);
}

static void test_dummy(void)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct moat_packet frames[3], burst[MOAT_BURST];
	const struct moat_port_dummy_options options = { frames, 3, 2, 2 };
	struct frame bytes[3];
	struct moat_error error;
	const uint8_t *data;
	size_t length;

	for (unsigned int i = 0; i < 3; i++) {
		udp_frame(&bytes[i], i);
		frames[i] = frame_packet(&bytes[i], 0);
	}
	CU_ASSERT_EQUAL_FATAL(moat_port_dummy_open(&options, &port, &error), 0);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, 2), 2);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, 2), 1);
	CU_ASSERT_EQUAL(mark_of(&burst[0]), 2);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), 3);
	CU_ASSERT_EQUAL(moat_port_rx(port, burst + 3, 1), -ENODATA);
	CU_ASSERT_EQUAL(moat_port_dummy_sent(port, 0, &data, &length), -ENOENT);
	CU_ASSERT_EQUAL(moat_port_tx(port, port, burst, 3), 3);
	CU_ASSERT_EQUAL(moat_port_dummy_sent(port, 0, &data, &length), 0);
	CU_ASSERT_TRUE(length == bytes[1].length && memcmp(data, bytes[1].data, length) == 0);
	CU_ASSERT_EQUAL(moat_port_dummy_sent(port, 2, &data, &length), -ENOENT);
	CU_ASSERT_TRUE(port->counters.received.packets == 6 && port->counters.sent.packets == 3);
}

/* Without privilege or libxdp other errors come first; a wrong name is always one. */
static void test_afxdp_errors(void)
{
	const struct moat_port_afxdp_options options = { .interface = "moat-no-such",
							 .xsks_fd = -1 };
	struct moat_error error = { 0 };
	struct moat_port *port = NULL;

	CU_ASSERT_TRUE(moat_port_afxdp_open(&options, &port, &error) < 0);
	CU_ASSERT_PTR_NULL(port);
	CU_ASSERT_EQUAL(strncmp(error.text, "moat-no-such: ", 14), 0);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "merge", test_merge },
		{ "links", test_links },
		{ "refusals", test_refusals },
		{ "broken", test_broken },
		{ "realtime", test_realtime },
		{ "dummy", test_dummy },
		{ "afxdp_errors", test_afxdp_errors },
		{ NULL, NULL },
	};
	int r;

	if (!mkdtemp(directory))
		return 1;
	r = moat_test_main("port", tests);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(paths); i++) {
		if (paths[i][0])
			unlink(paths[i]);
	}
	rmdir(directory);
	return r;
}
