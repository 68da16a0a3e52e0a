/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flow files of others: what their lines mean, and what is refused. */
#include "ctl/flow_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/addr.h"
#include "tests/harness/unit.h"

static struct moat_flow_reader reader;
static struct moat_flow_item item;

static int line(const char *text)
{
	char copy[1024];

	snprintf(copy, sizeof(copy), "%s", text);
	return moat_flow_reader_line(&reader, copy, &item);
}

static void begin(const char *header)
{
	memset(&reader, 0, sizeof(reader));
	CU_ASSERT_EQUAL(line(header), MOAT_LINE_NOTHING);
}

static bool is_addr(const struct moat_addr *addr, const char *text)
{
	char written[MOAT_ADDR_TEXT_LEN];

	return strcmp(moat_addr_format(addr, written), text) == 0;
}

#define ZEEK                                                                                       \
	"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\t" \
	"orig_bytes\tresp_bytes\tconn_state\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes"

static void test_zeek(void)
{
	begin(ZEEK);
	CU_ASSERT_EQUAL(line("1700000000.5\tC\t192.0.2.1\t40000\t2001:db8::2\t22\ttcp\tssh\t1.25\t900\t"
			     "1500\tSF\t10\t1300\t9\t1900"),
			MOAT_LINE_FLOW);
	CU_ASSERT_TRUE(is_addr(&item.flow.client, "192.0.2.1"));
	CU_ASSERT_TRUE(is_addr(&item.flow.server, "2001:db8::2"));
	CU_ASSERT_TRUE(item.flow.server_port == 22 && item.flow.proto == 6);
	CU_ASSERT_EQUAL(item.flow.first_ns, 1700000000500000000ULL);
	CU_ASSERT_EQUAL(item.flow.last_ns, 1700000001750000000ULL);
	CU_ASSERT_TRUE(item.flow.packets[1] == 9 && item.flow.bytes[0] == 1300);
	CU_ASSERT_EQUAL(item.flow.payload[1], 1500);
	CU_ASSERT_EQUAL(item.flow.outcome, MOAT_OUTCOME_CONVERSED);
	line("1\tC\t192.0.2.1\t1\t192.0.2.2\t23\ttcp\t-\t-\t-\t-\tS0\t1\t60\t0\t0");
	CU_ASSERT_EQUAL(item.flow.outcome, MOAT_OUTCOME_UNANSWERED);
	line("1\tC\t192.0.2.1\t1\t192.0.2.2\t23\ttcp\t-\t-\t-\t-\tREJ\t1\t60\t1\t40");
	CU_ASSERT_EQUAL(item.flow.outcome, MOAT_OUTCOME_REJECTED);
	/* a SYN-ACK nobody asked for: backscatter */
	line("1\tC\t192.0.2.1\t1\t192.0.2.2\t23\ttcp\t-\t-\t-\t-\tRSTRH\t1\t60\t1\t40");
	CU_ASSERT_EQUAL(item.flow.outcome, MOAT_OUTCOME_UNKNOWN);
	CU_ASSERT_EQUAL(line("1\tC\tnobody\t1\t192.0.2.2\t23\ttcp\t-\t-\t-\t-\tS0\t1\t60\t0\t0"),
			-EINVAL);
	CU_ASSERT_EQUAL(line("1\tC\t192.0.2.1\t70000\t192.0.2.2\t23\ttcp"), -EINVAL);
	CU_ASSERT_EQUAL(line("1\tC"), -EINVAL);
}

static void test_json(void)
{
	memset(&reader, 0, sizeof(reader));
	CU_ASSERT_EQUAL(line("{\"ts\":22.5,\"id.orig_h\":\"fe80::1\",\"id.orig_p\":61099,"
			     "\"id.resp_h\":\"ff02::1:3\",\"id.resp_p\":5355,\"proto\":\"udp\","
			     "\"conn_state\":\"S0\",\"orig_pkts\":2,\"orig_ip_bytes\":146}"),
			MOAT_LINE_FLOW);
	CU_ASSERT_TRUE(item.flow.server_port == 5355 && item.flow.packets[0] == 2);
	CU_ASSERT_EQUAL(item.flow.outcome, MOAT_OUTCOME_UNANSWERED);
	CU_ASSERT_EQUAL(line("{\"ts\":"), -EINVAL);
	CU_ASSERT_EQUAL(line("[1]"), -EINVAL);
}

static void test_binetflow(void)
{
	begin("StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,"
	      "SrcBytes,Label");
	CU_ASSERT_EQUAL(
		line("2019/04/04 16:23:00.250000,0.5,tcp,192.0.2.69,48009,   ->,198.51.100.2,0x50,"
		     "SPA_SRPA,0,164,26,5723,1621,attack"),
		MOAT_LINE_FLOW);
	CU_ASSERT_EQUAL(item.flow.first_ns, 1554394980250000000ULL);
	CU_ASSERT_TRUE(item.flow.server_port == 80 && item.flow.bytes[1] == 5723 - 1621);
	CU_ASSERT_EQUAL(item.flow.packets[0] + item.flow.packets[1], 26);
	CU_ASSERT_EQUAL(item.flow.outcome, MOAT_OUTCOME_CONVERSED);
	CU_ASSERT_STRING_EQUAL(item.label, "attack");
	line("2019/04/04 16:23:00,0,tcp,192.0.2.69,1,->,198.51.100.2,80,S_RA,0,0,2,100,60,");
	CU_ASSERT_EQUAL(item.flow.outcome, MOAT_OUTCOME_REJECTED);
	line("2019/04/04 16:23:00,0,tcp,192.0.2.69,1,->,198.51.100.2,80,S_,0,0,2,100,100,");
	CU_ASSERT_EQUAL(item.flow.outcome, MOAT_OUTCOME_UNANSWERED);
	/* what isn't IP is passed over */
	CU_ASSERT_EQUAL(
		line("2019/04/04 16:23:00,0,arp,00:11:22:33:44:55,,who,1.2.3.4,,CON,,,2,84,42,"),
		MOAT_LINE_NOTHING);
}

static void test_packets(void)
{
	begin("tcp_stream_name,timestamp,ip_len,payload_len,UAPRSF_tcp_flags");
	CU_ASSERT_EQUAL(line("192.0.2.6:53128-198.51.100.1:8000,1768689674.5,137,85,011000"),
			MOAT_LINE_PACKET);
	CU_ASSERT_TRUE(item.packet.headers.sport == 53128 && item.packet.headers.dport == 8000);
	CU_ASSERT_EQUAL(item.packet.headers.tcp_flags, MOAT_TCP_ACK | MOAT_TCP_PSH);
	CU_ASSERT_TRUE(item.packet.payload == 85 && item.packet.headers.l3_len == 137);
	CU_ASSERT_EQUAL(line("192.0.2.6:1-198.51.100.1:8000,1,40,85,011000"), -EINVAL);
	CU_ASSERT_EQUAL(line("192.0.2.6-198.51.100.1,1,137,85,011000"), -EINVAL);
	CU_ASSERT_EQUAL(line("192.0.2.6:1-198.51.100.1:8000,1,137,85,01100"), -EINVAL);
}

/* Packets become flows, and a file is in the order of what was known when. */
static void test_file(void)
{
	char path[] = "/tmp/moat-flows-XXXXXX";
	struct moat_flow_file file = { 0 };
	struct moat_error error;
	int fd = mkstemp(path);
	FILE *stream = fdopen(fd, "w");

	fputs(ZEEK "\n", stream);
	fputs("50\tC\t192.0.2.1\t1\t192.0.2.2\t80\ttcp\t-\t100\t1\t1\tSF\t1\t60\t1\t40\n", stream);
	fputs("60\tC\t192.0.2.1\t2\t192.0.2.2\t80\ttcp\t-\t1\t1\t1\tSF\t1\t60\t1\t40\nrubbish\n",
	      stream);
	fclose(stream);
	CU_ASSERT_TRUE(moat_flow_file_is(path));
	CU_ASSERT_EQUAL(moat_flow_file_load(&file, path, &error), 0);
	moat_flow_file_sort(&file);
	CU_ASSERT_EQUAL(file.count, 2);
	CU_ASSERT_EQUAL(file.malformed, 1);
	CU_ASSERT_EQUAL(file.entries[0].record.client_port, 2);
	moat_flow_file_deinit(&file);

	stream = fopen(path, "w");
	fputs("tcp_stream_name,timestamp,ip_len,payload_len,UAPRSF_tcp_flags\n", stream);
	fputs("192.0.2.6:5-198.51.100.1:80,100,60,0,000010\n198.51.100.1:80-192.0.2.6:5,100.1,60,0,010010\n",
	      stream);
	fputs("192.0.2.6:5-198.51.100.1:80,100.2,137,85,011000\n", stream);
	/* after a silence somebody speaks: that is told of before the flow ends */
	fputs("198.51.100.1:80-192.0.2.6:5,110.2,137,85,011000\n", stream);
	fclose(stream);
	CU_ASSERT_EQUAL(moat_flow_file_load(&file, path, &error), 0);
	moat_flow_file_sort(&file);
	CU_ASSERT_EQUAL(file.count, 2);
	if (file.count == 2) {
		CU_ASSERT_EQUAL(file.entries[0].record.event, MOAT_RECORD_SPEAKS);
		CU_ASSERT_EQUAL(file.entries[0].record.direction, 1);
		CU_ASSERT_EQUAL(file.entries[1].record.outcome, MOAT_OUTCOME_CONVERSED);
		CU_ASSERT_EQUAL(file.entries[1].record.payload[0], 85);
	}
	moat_flow_file_deinit(&file);
	stream = fopen(path, "w");
	fputs("no flows\n", stream);
	fclose(stream);
	CU_ASSERT_FALSE(moat_flow_file_is(path));
	CU_ASSERT_EQUAL(moat_flow_file_load(&file, path, &error), -EINVAL);
	moat_flow_file_deinit(&file);
	unlink(path);
	CU_ASSERT_EQUAL(moat_flow_file_load(&file, path, &error), -ENOENT);
}

static const struct moat_test tests[] = {
	{ "Zeek's conn.log", test_zeek },       { "Zeek's JSON", test_json },
	{ "Argus' binetflow", test_binetflow }, { "packets as CSV", test_packets },
	{ "a file as a whole", test_file },     { NULL, NULL },
};

int main(void)
{
	return moat_test_main("flow-reader", tests);
}
