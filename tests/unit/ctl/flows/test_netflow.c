/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* NetFlow v5, v9, IPFIX and sFlow messages, written here byte by byte. */
#include <errno.h>
#include <string.h>

#include "ctl/flows/netflow.h"
#include "ctl/flows/sflow.h"
#include "dataplane/base/addr.h"
#include "tests/harness/unit.h"

static struct moat_flow_half got[64];
static size_t count;

static void on_half(void *userdata, struct moat_flow_half *half)
{
	CU_ASSERT_FATAL(count < 64);
	got[count++] = *half;
}

/* A message being written. */
static uint8_t message[2048];
static size_t length;

static void put(uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;)
		message[length++] = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
}

static void set16(size_t at, size_t value)
{
	message[at] = (uint8_t)(value >> 8);
	message[at + 1] = (uint8_t)value;
}

static struct moat_addr addr_of(const char *text)
{
	struct moat_addr addr;

	CU_ASSERT_EQUAL(moat_addr_parse(text, &addr), 0);
	return addr;
}

static int read_from(struct moat_netflow *netflow, const char *exporter)
{
	struct moat_addr addr = addr_of(exporter);

	count = 0;
	return moat_netflow_read(netflow, &addr, message, length, on_half, NULL);
}

static bool is_addr(const struct moat_addr *addr, const char *text)
{
	struct moat_addr other = addr_of(text);

	return moat_addr_equal(addr, &other);
}

static void test_v5(void)
{
	struct moat_netflow *netflow = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_netflow_new(&netflow), 0);
	length = 0;
	put(5, 2);
	put(1, 2);
	put(0, 16);
	put(0, 2);
	put(0x4000 | 100, 2); /* mode and interval */
	put(0xc0000201, 4);
	put(0xc6336407, 4);
	put(0, 8);
	put(3, 4);
	put(180, 4);
	put(0xfffffff0, 4); /* the uptime wraps in its life */
	put(0x10, 4);
	put(1234, 2);
	put(80, 2);
	put(0, 1);
	put(0x12, 1);
	put(6, 1);
	put(0, 9);
	CU_ASSERT_EQUAL_FATAL(read_from(netflow, "10.0.0.1"), 0);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_TRUE(is_addr(&got[0].src, "192.0.2.1") && is_addr(&got[0].dst, "198.51.100.7"));
	CU_ASSERT_TRUE(got[0].packets == 3 && got[0].bytes == 180);
	CU_ASSERT_TRUE(got[0].sport == 1234 && got[0].dport == 80);
	CU_ASSERT_TRUE(got[0].proto == 6 && got[0].tcp_flags == 0x12);
	CU_ASSERT_EQUAL(got[0].duration_ns, 32000000);
	CU_ASSERT_EQUAL(got[0].sampling, 100);
	length--;
	CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.1"), -EBADMSG);
	moat_netflow_free(netflow);
}

static void begin_v9(uint32_t domain)
{
	length = 0;
	put(9, 2);
	put(1, 2);
	put(0, 12);
	put(domain, 4);
}

static size_t begin_set(uint16_t id)
{
	put(id, 2);
	put(0, 2);
	return length - 4;
}

static void end_set(size_t at)
{
	set16(at + 2, length - at);
}

static void put_v9_template(void)
{
	static const uint16_t fields[][2] = { { 8, 4 },  { 12, 4 }, { 7, 2 }, { 11, 2 },
					      { 4, 1 },  { 6, 1 },  { 2, 4 }, { 1, 4 },
					      { 22, 4 }, { 21, 4 }, { 99, 3 } };
	size_t set = begin_set(0);

	put(300, 2);
	put(11, 2);
	for (size_t i = 0; i < 11; i++) {
		put(fields[i][0], 2);
		put(fields[i][1], 2);
	}
	end_set(set);
}

static void put_v9_record(void)
{
	size_t set = begin_set(300);

	put(0xc0000201, 4);
	put(0xc6336407, 4);
	put(1234, 2);
	put(80, 2);
	put(6, 1);
	put(2, 1);
	put(7, 4);
	put(280, 4);
	put(1000, 4);
	put(3000, 4);
	put(0xabcdef, 3);
	put(0, 2); /* padding */
	end_set(set);
}

static void test_v9(void)
{
	struct moat_netflow_counters counters;
	struct moat_netflow *netflow = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_netflow_new(&netflow), 0);
	begin_v9(1);
	put_v9_record();
	CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.1"), 0);
	CU_ASSERT_EQUAL(count, 0);
	moat_netflow_counters(netflow, &counters);
	CU_ASSERT_EQUAL(counters.missing, 1);
	begin_v9(1);
	put_v9_template();
	put_v9_record();
	CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.1"), 0);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_TRUE(is_addr(&got[0].src, "192.0.2.1") && got[0].packets == 7 &&
		       got[0].bytes == 280 && got[0].dport == 80 && got[0].tcp_flags == 2);
	CU_ASSERT_EQUAL(got[0].duration_ns, 2000000000);
	/* a template is its exporter's, and its domain's */
	begin_v9(1);
	put_v9_record();
	CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.2"), 0);
	CU_ASSERT_EQUAL(count, 0);
	begin_v9(2);
	put_v9_record();
	CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.1"), 0);
	CU_ASSERT_EQUAL(count, 0);
	moat_netflow_free(netflow);
}

/* Sampling is told in options, by the exporter, once in a while. */
static void test_sampling(void)
{
	struct moat_netflow *netflow = NULL;
	size_t set;

	CU_ASSERT_EQUAL_FATAL(moat_netflow_new(&netflow), 0);
	begin_v9(1);
	put_v9_template();
	set = begin_set(1);
	put(301, 2);
	put(4, 2); /* bytes of scopes */
	put(4, 2); /* and of options */
	put(1, 2);
	put(4, 2);
	put(34, 2);
	put(4, 2);
	end_set(set);
	set = begin_set(301);
	put(0, 4);
	put(512, 4);
	end_set(set);
	put_v9_record();
	CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.1"), 0);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(got[0].sampling, 512);
	moat_netflow_free(netflow);
}

static void test_ipfix(void)
{
	struct moat_netflow *netflow = NULL;
	size_t set;

	CU_ASSERT_EQUAL_FATAL(moat_netflow_new(&netflow), 0);
	length = 0;
	put(10, 2);
	put(0, 2);
	put(0, 8);
	put(7, 4);
	set = begin_set(2);
	put(256, 2);
	put(6, 2);
	put(27, 2), put(16, 2);
	put(28, 2), put(16, 2);
	put(0x8000 | 3, 2), put(65535, 2), put(29305, 4); /* an enterprise's, of any length */
	put(2, 2), put(2, 2);                             /* of reduced length */
	put(152, 2), put(8, 2);
	put(153, 2), put(8, 2);
	end_set(set);
	set = begin_set(256);
	for (int i = 0; i < 2; i++) {
		put(0x20010db8, 4), put(0, 8), put(1, 4);
		put(0x20010db8, 4), put(0, 8), put(2, 4);
		if (i == 0)
			put(3, 1), put(0xaabbcc, 3);
		else
			put(255, 1), put(1, 2), put(0xdd, 1);
		put(9, 2);
		put(1700000000000, 8);
		put(1700000000250, 8);
	}
	end_set(set);
	set16(2, length);
	CU_ASSERT_EQUAL(read_from(netflow, "2001:db8::99"), 0);
	CU_ASSERT_EQUAL_FATAL(count, 2);
	for (size_t i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(is_addr(&got[i].src, "2001:db8::1"));
		CU_ASSERT_TRUE(is_addr(&got[i].dst, "2001:db8::2"));
		CU_ASSERT_EQUAL(got[i].packets, 9);
		CU_ASSERT_EQUAL(got[i].duration_ns, 250000000);
	}
	set16(2, length + 1);
	CU_ASSERT_EQUAL(read_from(netflow, "2001:db8::99"), -EBADMSG);
	moat_netflow_free(netflow);
}

/* More templates than there is room for: the ones unused for longest go, and nothing else. */
static void test_bounds(void)
{
	struct moat_netflow_counters counters;
	struct moat_netflow *netflow = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_netflow_new(&netflow), 0);
	for (uint32_t domain = 0; domain < MOAT_NETFLOW_TEMPLATES + 10; domain++) {
		begin_v9(domain);
		put_v9_template();
		CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.1"), 0);
	}
	moat_netflow_counters(netflow, &counters);
	CU_ASSERT_EQUAL(counters.displaced, 10);
	begin_v9(3);
	put_v9_record();
	CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.1"), 0);
	CU_ASSERT_EQUAL(count, 0);
	begin_v9(MOAT_NETFLOW_TEMPLATES);
	put_v9_record();
	CU_ASSERT_EQUAL(read_from(netflow, "10.0.0.1"), 0);
	CU_ASSERT_EQUAL(count, 1);
	moat_netflow_free(netflow);
}

/* Every message cut at every byte, and with every byte broken, is read without harm. */
static void test_broken(void)
{
	struct moat_netflow *netflow = NULL;
	struct moat_addr exporter = addr_of("10.0.0.1");

	CU_ASSERT_EQUAL_FATAL(moat_netflow_new(&netflow), 0);
	begin_v9(1);
	put_v9_template();
	put_v9_record();
	for (size_t cut = 0; cut < length; cut++) {
		count = 0;
		moat_netflow_read(netflow, &exporter, message, cut, on_half, NULL);
		message[cut] ^= 0xff;
		count = 0;
		moat_netflow_read(netflow, &exporter, message, length, on_half, NULL);
		message[cut] ^= 0xff;
	}
	moat_netflow_free(netflow);
}

static void test_sflow(void)
{
	uint64_t skipped = 0;

	length = 0;
	put(5, 4), put(1, 4), put(0xc0000263, 4), put(0, 4), put(1, 4), put(1, 4), put(2, 4);
	put(2, 4), put(4, 4), put(0, 4); /* counters */
	put(1, 4), put(32 + 8 + 32, 4);  /* a flow sample with one record */
	put(1, 4), put(1, 4), put(1000, 4), put(0, 4), put(0, 4), put(1, 4), put(2, 4), put(1, 4);
	put(3, 4), put(32, 4);
	put(60, 4), put(17, 4), put(0xc0000201, 4), put(0xc6336407, 4);
	put(53, 4), put(4444, 4), put(0, 4), put(0, 4);
	count = 0;
	CU_ASSERT_EQUAL(moat_sflow_read(message, length, on_half, NULL, &skipped), 0);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(skipped, 1);
	CU_ASSERT_TRUE(is_addr(&got[0].src, "192.0.2.1") && got[0].sport == 53 &&
		       got[0].dport == 4444 && got[0].proto == 17);
	CU_ASSERT_TRUE(got[0].packets == 1 && got[0].bytes == 60 && got[0].sampling == 1000);
	for (size_t cut = 0; cut < length; cut++) {
		count = 0;
		CU_ASSERT_EQUAL(moat_sflow_read(message, cut, on_half, NULL, &skipped), -EBADMSG);
	}
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "v5", test_v5 },
		{ "v9", test_v9 },
		{ "sampling", test_sampling },
		{ "ipfix", test_ipfix },
		{ "bounds", test_bounds },
		{ "broken", test_broken },
		{ "sflow", test_sflow },
		{ NULL, NULL },
	};

	return moat_test_main("netflow", tests);
}
