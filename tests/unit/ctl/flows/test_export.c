/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What goes out is what our own reader reads; what waits goes out at the end. Another's reader: tests/netns/flows.py. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/flows/export.h"
#include "ctl/flows/netflow.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"

#define FLOWS 1000

static uint64_t packets, bytes;
static size_t halves;

static void on_half(void *userdata, struct moat_flow_half *half)
{
	halves++;
	packets += half->packets;
	bytes += half->bytes;
	CU_ASSERT_EQUAL(half->proto, 6);
	CU_ASSERT_EQUAL(half->duration_ns, 2 * MOAT_NS_PER_S);
}

/* A socket that hears, on loopback. */
static int begin(uint16_t *ret_port)
{
	const int size = 4 << 20;
	struct sockaddr_in here = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(here);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CU_ASSERT_FATAL(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&here, &length), 0);
	*ret_port = ntohs(here.sin_port);
	return fd;
}

static void hear(int fd)
{
	struct moat_netflow *netflow = NULL;
	struct moat_netflow_counters counters;
	struct moat_addr self;
	uint8_t message[2048];
	ssize_t length;

	packets = bytes = halves = 0;
	CU_ASSERT_EQUAL(moat_addr_parse("127.0.0.1", &self), 0);
	CU_ASSERT_EQUAL_FATAL(moat_netflow_new(&netflow), 0);
	while ((length = recv(fd, message, sizeof(message), 0)) > 0) {
		CU_ASSERT_TRUE(length <= 1200);
		CU_ASSERT_EQUAL(moat_netflow_read(netflow, &self, message, (size_t)length, on_half,
						  NULL),
				0);
	}
	moat_netflow_counters(netflow, &counters);
	CU_ASSERT_EQUAL(counters.missing, 0);
	moat_netflow_free(netflow);
}

static void test_all(void)
{
	struct moat_flow_record flow = { .proto = 6,
					 .client_port = 1234,
					 .server_port = 80,
					 .packets = { 3, 2 },
					 .bytes = { 300, 2000 },
					 .first_ns = moat_clock_monotonic_ns() };
	struct moat_export *exporter = NULL;
	uint16_t port;
	int fd = begin(&port);

	flow.last_ns = flow.first_ns + 2 * MOAT_NS_PER_S;
	CU_ASSERT_EQUAL_FATAL(moat_export_new("127.0.0.1", port, 7, &exporter, NULL), 0);
	for (int i = 0; i < FLOWS; i++) {
		/* both families in one message, and one direction alone */
		const char *client = i % 2 ? "192.0.2.1" : "2001:db8::1";

		CU_ASSERT_EQUAL(moat_addr_parse(client, &flow.client), 0);
		CU_ASSERT_EQUAL(moat_addr_parse(i % 2 ? "192.0.2.2" : "2001:db8::2", &flow.server),
				0);
		flow.packets[1] = i % 4 ? 2 : 0;
		flow.event = MOAT_RECORD_END;
		moat_export_flow(exporter, &flow);
		flow.event = MOAT_RECORD_SPEAKS; /* goes on: not told */
		moat_export_flow(exporter, &flow);
	}
	moat_export_free(exporter);
	hear(fd);
	CU_ASSERT_EQUAL(halves, FLOWS + FLOWS * 3 / 4);
	CU_ASSERT_EQUAL(packets, FLOWS * 3 + FLOWS * 3 / 4 * 2);
	CU_ASSERT_EQUAL(bytes, FLOWS * 300 + FLOWS * 3 / 4 * 2000);
	close(fd);
}

static void test_refused(void)
{
	struct moat_export *exporter = NULL;

	CU_ASSERT_TRUE(moat_export_new("nowhere", 4739, 0, &exporter, NULL) < 0);
	CU_ASSERT_PTR_NULL(exporter);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "all", test_all },
		{ "refused", test_refused },
		{ NULL, NULL },
	};

	return moat_test_main("export", tests);
}
