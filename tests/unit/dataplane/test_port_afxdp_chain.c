/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "dataplane/port_afxdp_chain.h"
#include "tests/harness/unit.h"

#define BUFFERS 16

static uint8_t area[BUFFERS * MOAT_AFXDP_BUFFER] __attribute__((aligned(4096)));
static uint8_t head[MOAT_AFXDP_HEAD];

/* A part of `length` bytes in each of the buffers from the last one back, counting on through all of them. */
static void lay(struct moat_afxdp_part *parts, unsigned int count, uint32_t length)
{
	uint32_t n = 0;

	memset(area, 0xee, sizeof(area));
	memset(head, 0xee, sizeof(head));
	for (unsigned int i = 0; i < count; i++) {
		parts[i] = (struct moat_afxdp_part){
			.address = (uint64_t)(BUFFERS - 1 - i) * MOAT_AFXDP_BUFFER +
				   MOAT_AFXDP_HEADROOM,
			.length = length,
		};
		for (uint32_t b = 0; b < length; b++, n++)
			area[parts[i].address + b] = (uint8_t)(n * 31 + n / 256);
	}
}

static bool counts_on(const uint8_t *data, uint32_t length)
{
	for (uint32_t n = 0; n < length; n++) {
		if (data[n] != (uint8_t)(n * 31 + n / 256))
			return false;
	}
	return true;
}

static void check_parts(const struct moat_packet *packet, const struct moat_afxdp_part *parts,
			unsigned int count)
{
	struct moat_afxdp_part back[MOAT_AFXDP_PARTS];

	CU_ASSERT_EQUAL_FATAL(moat_afxdp_chain_parts(area, packet, back), count);
	for (unsigned int i = 0; i < count; i++) {
		CU_ASSERT_EQUAL(back[i].address, parts[i].address);
		CU_ASSERT_EQUAL(back[i].length, parts[i].length);
	}
}

/* A jumbo frame: what is read is the first buffer where it lies. */
static void test_in_first(void)
{
	struct moat_afxdp_part parts[3];
	struct moat_packet packet;

	lay(parts, 3, 3000);
	moat_afxdp_chain_make(area, parts, 3, head, &packet);
	CU_ASSERT_TRUE(moat_afxdp_is_chained(&packet));
	CU_ASSERT_PTR_EQUAL(packet.data, area + parts[0].address);
	CU_ASSERT_EQUAL(packet.captured, 3000);
	CU_ASSERT_EQUAL(packet.length, 9000);
	CU_ASSERT_TRUE(counts_on(packet.data, packet.captured));
	check_parts(&packet, parts, 3);
}

/* Headers that the driver scattered are read in one piece; the frame that is sent is what came. */
static void test_scattered(void)
{
	struct moat_afxdp_part parts[MOAT_AFXDP_PARTS];
	struct moat_packet packet;

	for (uint32_t length = 1; length <= MOAT_AFXDP_HEAD; length += 7) {
		uint32_t total = length * MOAT_AFXDP_PARTS;

		lay(parts, MOAT_AFXDP_PARTS, length);
		moat_afxdp_chain_make(area, parts, MOAT_AFXDP_PARTS, head, &packet);
		CU_ASSERT_EQUAL(packet.length, total);
		CU_ASSERT_EQUAL(packet.captured, total < MOAT_AFXDP_HEAD ? total : MOAT_AFXDP_HEAD);
		CU_ASSERT_TRUE(counts_on(packet.data, packet.captured));
		check_parts(&packet, parts, MOAT_AFXDP_PARTS);
		/* nothing but the headroom of the first was written to */
		for (unsigned int i = 0; i < MOAT_AFXDP_PARTS; i++)
			CU_ASSERT_EQUAL(area[parts[i].address + length], 0xee);
	}
}

static void test_single(void)
{
	const struct moat_packet packet = { .cookie = 65535ULL * 2 * MOAT_AFXDP_BUFFER };

	CU_ASSERT_FALSE(moat_afxdp_is_chained(&packet));
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "a jumbo frame is read where it lies", test_in_first },
		{ "scattered headers are read in one piece", test_scattered },
		{ "a frame of one buffer is none of several", test_single },
		{ NULL, NULL },
	};

	return moat_test_main("port-afxdp-chain", tests);
}
