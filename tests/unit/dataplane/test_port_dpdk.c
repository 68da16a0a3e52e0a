/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/port_dpdk*.c on drivers that need no device: what comes out of a capture goes into another,
 * without what a rule drops; both directions of a flow meet on one queue; what can't be opened says why. */
#include "dataplane/port.h"

#include <errno.h>
#include <ftw.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"
#include "dataplane/worker.h"
#include "tests/harness/frame.h"
#include "tests/harness/unit.h"

#define FLOWS 40

static char directory[] = "/tmp/moat-port-dpdk-XXXXXX";

static const char *path_of(const char *name)
{
	static char paths[4][96];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

/* One UDP datagram of flow `i`, there or back. */
static struct frame datagram(unsigned int i, bool back)
{
	const char *client = "192.0.2.1", *server = "198.51.100.7";
	struct frame frame;

	frame_ethernet(&frame, 0x0800);
	frame_ipv4(&frame, back ? server : client, back ? client : server, 17, 0, 8 + 20);
	frame_udp(&frame, back ? 53 : (uint16_t)(1000 + i), back ? (uint16_t)(1000 + i) : 53, 20);
	return frame;
}

static void write_capture(const char *name, bool back)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *out = pcap_dump_open(pcap, path_of(name));

	for (unsigned int i = 0; i < FLOWS; i++) {
		struct frame frame = datagram(i, back);
		struct moat_packet packet = frame_packet(&frame, 0);
		struct pcap_pkthdr header = { .caplen = packet.captured, .len = packet.length };

		pcap_dump((u_char *)out, &header, packet.data);
	}
	pcap_dump_close(out);
	pcap_close(pcap);
}

static unsigned int count_capture(const char *name)
{
	char text[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_open_offline(path_of(name), text);
	struct pcap_pkthdr *header;
	const u_char *data;
	unsigned int count = 0;

	while (pcap && pcap_next_ex(pcap, &header, &data) == 1)
		count++;
	if (pcap)
		pcap_close(pcap);
	return count;
}

static struct moat_port *open_queue(const char *device, uint32_t queue, uint32_t queues)
{
	const struct moat_port_dpdk_options options = {
		.device = device, .queue = queue, .queues = queues, .frames = 2048
	};
	struct moat_error error = { .text = "" };
	struct moat_port *port = NULL;
	int r = moat_port_dpdk_open(&options, &port, &error);

	if (r < 0)
		fprintf(stderr, "%s\n", error.text);
	CU_ASSERT_EQUAL_FATAL(r, 0);
	return port;
}

static void test_wire(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	moat_cleanup(moat_port_close_cleanup) struct moat_port *peer = NULL;
	struct moat_rule rule = moat_rule_default();
	struct moat_policy *policy = NULL;
	struct moat_worker_options options = { .cpu = -1, .hash_seed = 1 };
	struct moat_worker *worker = NULL;
	struct moat_worker_counters c;
	char device[256];

	CU_ASSERT_EQUAL_FATAL(moat_policy_new(1, 1, &policy), 0);
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL(moat_rule_parse("drop proto udp sport 1003", 0, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_policy_commit(policy, set, NULL), 0);
	snprintf(device, sizeof(device), "net_pcap0,rx_pcap=%s,tx_pcap=%s", path_of("there"),
		 path_of("unused"));
	options.port = open_queue(device, 0, 1);
	snprintf(device, sizeof(device), "net_pcap1,rx_pcap=%s,tx_pcap=%s", path_of("back"),
		 path_of("out"));
	peer = open_queue(device, 0, 1);
	options.peer = peer;
	options.judge = moat_policy_judge(policy, 0);
	CU_ASSERT_EQUAL_FATAL(moat_worker_new(&options, &worker, NULL), 0);
	CU_ASSERT_TRUE(moat_port_link(peer));
	CU_ASSERT_TRUE(moat_port_reply(peer, (const uint8_t *)"0123456789abcdef", 16));
	for (int i = 0; i < 10; i++)
		CU_ASSERT(moat_worker_step(worker) >= 0);
	moat_worker_counters(worker, &c);
	CU_ASSERT_EQUAL(c.in.packets, FLOWS);
	CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_DROP_RULE].packets, 1);
	CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_PASS_DEFAULT].packets, FLOWS - 1);
	CU_ASSERT_EQUAL(peer->counters.sent.packets, FLOWS - 1);
	moat_worker_free(worker);
	moat_port_close(peer);
	peer = NULL;
	CU_ASSERT_EQUAL(count_capture("out"), FLOWS - 1 + 1);
	moat_policy_free(policy);
}

/* A driver without a hash: one queue has all that goes there, the other all that comes back. */
static void test_spread(void)
{
	struct moat_port *ports[2];
	struct moat_packet burst[MOAT_BURST];
	uint8_t seen[2][FLOWS] = { { 0 } };
	unsigned int total = 0;
	char device[256];

	snprintf(device, sizeof(device), "net_pcap2,rx_pcap=%s,rx_pcap=%s,tx_pcap=%s,tx_pcap=%s",
		 path_of("there"), path_of("back"), path_of("unused"), path_of("unused2"));
	for (uint32_t q = 0; q < 2; q++)
		ports[q] = open_queue(device, q, 2);
	CU_ASSERT_TRUE(moat_port_dpdk_spreads(ports[0]));
	for (int turn = 0; turn < 20; turn++) {
		for (unsigned int q = 0; q < 2; q++) {
			int count = moat_port_rx(ports[q], burst, MOAT_BURST);

			for (int i = 0; i < count; i++) {
				const uint8_t *udp = burst[i].data + 34;
				unsigned int a = (unsigned int)udp[0] << 8 | udp[1];
				unsigned int b = (unsigned int)udp[2] << 8 | udp[3];

				seen[q][(a == 53 ? b : a) - 1000]++;
			}
			if (count > 0)
				moat_port_release(ports[q], burst, (unsigned int)count);
		}
	}
	for (unsigned int i = 0; i < FLOWS; i++) {
		CU_ASSERT_TRUE((seen[0][i] == 2 && seen[1][i] == 0) ||
			       (seen[0][i] == 0 && seen[1][i] == 2));
		total += seen[0][i];
	}
	CU_ASSERT_TRUE(total > 0 && total < 2 * FLOWS);
	/* of the `there` file what is the other's, and the other way round */
	CU_ASSERT_EQUAL(ports[0]->counters.redistributed + ports[1]->counters.redistributed, FLOWS);
	CU_ASSERT_EQUAL(ports[0]->counters.rx_ring_full + ports[1]->counters.rx_ring_full, 0);
	moat_port_close(ports[0]);
	moat_port_close(ports[1]);
}

static void test_again(void)
{
	/* what was closed can be opened again, with other queues */
	for (uint32_t queues = 1; queues <= 2; queues++) {
		struct moat_port *port = open_queue("net_null0,size=64", 0, 1);
		struct moat_packet burst[MOAT_BURST];

		CU_ASSERT_EQUAL(moat_port_rx(port, burst, MOAT_BURST), MOAT_BURST);
		CU_ASSERT_EQUAL(burst[0].length, 64);
		moat_port_release(port, burst, MOAT_BURST);
		moat_port_close(port);
	}
}

static void check_refused(const struct moat_port_dpdk_options *options, int errno_wanted)
{
	struct moat_error error = { .text = "" };
	struct moat_port *port = NULL;

	CU_ASSERT_EQUAL(moat_port_dpdk_open(options, &port, &error), -errno_wanted);
	CU_ASSERT_PTR_NULL(port);
	CU_ASSERT_TRUE(strstr(error.text, options->device) != NULL);
}

static void test_refused(void)
{
	struct moat_port *port = open_queue("net_null1", 0, 1);

	check_refused(&(struct moat_port_dpdk_options){ .device = "net_null1", .queues = 1 }, EBUSY);
	check_refused(&(struct moat_port_dpdk_options){ .device = "net_null1", .queues = 2 }, EBUSY);
	check_refused(&(struct moat_port_dpdk_options){ .device = "net_null2", .queues = 65 },
		      EINVAL);
	check_refused(
		&(struct moat_port_dpdk_options){ .device = "net_null2", .queues = 1, .queue = 1 },
		EINVAL);
	check_refused(&(struct moat_port_dpdk_options){ .device = "net_null2",
							.queues = 1,
							.frames = 100 },
		      EINVAL);
	check_refused(&(struct moat_port_dpdk_options){ .device = "net_pcap9,rx_pcap=/nowhere",
							.queues = 1 },
		      ENODEV);
	check_refused(&(struct moat_port_dpdk_options){ .device = "net_af_xdp0,iface=moat-none",
							.queues = 1 },
		      ENODEV);
	moat_port_close(port);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
	return remove(path);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "wire", test_wire },   { "spread", test_spread },
		{ "again", test_again }, { "refused", test_refused },
		{ NULL, NULL },
	};
	const struct moat_dpdk_options options = { .arguments = NULL };
	struct moat_error error = { .text = "" };
	int r = moat_dpdk_init(&options, &error);

	if (r == -ENOTSUP) {
		printf("SKIP: %s\n", error.text);
		return 77;
	}
	if (r < 0 || !mkdtemp(directory)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	write_capture("there", false);
	write_capture("back", true);
	r = moat_test_main("port-dpdk", tests);
	moat_dpdk_deinit();
	return nftw(directory, remove_one, 4, FTW_DEPTH | FTW_PHYS) != 0 || r != 0;
}
