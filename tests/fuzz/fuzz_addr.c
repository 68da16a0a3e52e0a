/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Texts that operators type: what is accepted is written and read again as the same value. */
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "tests/fuzz/fuzz.h"

static void check_prefix(const char *text)
{
	struct moat_prefix prefix, again;
	char written[MOAT_PREFIX_TEXT_LEN];

	memset(&prefix, 0xa5, sizeof(prefix));
	again = prefix;
	if (moat_prefix_parse(text, &prefix) < 0) {
		MOAT_FUZZ_ASSERT(memcmp(&prefix, &again, sizeof(prefix)) == 0);
		return;
	}
	moat_prefix_format(&prefix, written);
	MOAT_FUZZ_ASSERT(moat_prefix_parse(written, &again) == 0);
	MOAT_FUZZ_ASSERT(memcmp(&prefix, &again, sizeof(prefix)) == 0);
	MOAT_FUZZ_ASSERT(moat_prefix_overlaps(&prefix, &again));
	MOAT_FUZZ_ASSERT(moat_prefix_contains(&prefix, &prefix.addr));
}

static void check_addr(const char *text)
{
	struct moat_addr addr, again;
	struct moat_prefix host;
	char written[MOAT_ADDR_TEXT_LEN];

	if (moat_addr_parse(text, &addr) < 0)
		return;
	moat_addr_format(&addr, written);
	MOAT_FUZZ_ASSERT(moat_addr_parse(written, &again) == 0);
	MOAT_FUZZ_ASSERT(memcmp(&addr, &again, sizeof(addr)) == 0);
	host = moat_prefix_host(&addr);
	MOAT_FUZZ_ASSERT(moat_prefix_contains(&host, &addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	moat_auto_free char *text = moat_fuzz_text(data, size);
	uint64_t ns;

	check_prefix(text);
	check_addr(text);
	if (moat_clock_parse_duration(text, &ns) == 0)
		MOAT_FUZZ_ASSERT(ns <= 100ULL * 366 * 86400 * MOAT_NS_PER_S);
	return 0;
}
