/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names, sentences and drivers of findings. */
#include <string.h>

#include "dataplane/base/addr.h"
#include "detect/describe.h"
#include "detect/detector.h"
#include "tests/harness/unit.h"

static void test_names(void)
{
	CU_ASSERT_STRING_EQUAL(moat_finding_kind_name(MOAT_FINDING_SYN_FLOOD), "syn_flood");
	CU_ASSERT_STRING_EQUAL(moat_finding_kind_title(MOAT_FINDING_SYN_FLOOD), "SYN flood");
	CU_ASSERT_STRING_EQUAL(moat_finding_kind_attack(MOAT_FINDING_AMPLIFICATION), "T1498.002");
	CU_ASSERT_STRING_EQUAL(moat_finding_state_name(MOAT_FINDING_CLOSED), "closed");
	for (int i = 0; i < MOAT_FINDING_KINDS; i++) {
		CU_ASSERT(strlen(moat_finding_kind_name((enum moat_finding_kind)i)) > 0);
		CU_ASSERT(strlen(moat_finding_kind_title((enum moat_finding_kind)i)) > 0);
		CU_ASSERT_EQUAL(moat_finding_kind_attack((enum moat_finding_kind)i)[0], 'T');
	}
	CU_ASSERT_STRING_EQUAL(moat_finding_kind_name((enum moat_finding_kind)99), "unknown");
	CU_ASSERT_STRING_EQUAL(moat_finding_state_name((enum moat_finding_state)99), "unknown");
}

static void test_counts(void)
{
	char text[MOAT_COUNT_TEXT_LEN];

	CU_ASSERT_STRING_EQUAL(moat_count_format(0, text), "0");
	CU_ASSERT_STRING_EQUAL(moat_count_format(1.5, text), "1.5");
	CU_ASSERT_STRING_EQUAL(moat_count_format(999, text), "999");
	CU_ASSERT_STRING_EQUAL(moat_count_format(1000, text), "1,000");
	CU_ASSERT_STRING_EQUAL(moat_count_format(312000, text), "312,000");
	CU_ASSERT_STRING_EQUAL(moat_count_format(14880952.4, text), "14,880,952");
	CU_ASSERT_STRING_EQUAL(moat_count_format(-3, text), "0");
	CU_ASSERT(strlen(moat_count_format(1e300, text)) < MOAT_COUNT_TEXT_LEN);
}

static void test_sentences(void)
{
	struct moat_finding finding = { .kind = MOAT_FINDING_SYN_FLOOD, .pps = 312000, .mbps = 100 };

	CU_ASSERT_EQUAL(moat_addr_parse("198.51.100.7", &finding.subject), 0);
	moat_finding_describe(&finding, .98, 210);
	CU_ASSERT_STRING_EQUAL(finding.sentence, "SYN flood on 198.51.100.7: 312,000 packets/s, "
						 "100 Mbit/s, 98 % SYN (normal: up to 210/s)");
	moat_finding_describe(&finding, .98, -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(finding.sentence, "(no history yet)"));

	finding.kind = MOAT_FINDING_SCAN;
	finding.driver_count = 1;
	finding.drivers[0].seen = 1200;
	moat_finding_describe(&finding, 1, -1);
	CU_ASSERT_STRING_EQUAL(finding.sentence, "Scan by 198.51.100.7: 1,200 targets/s on several "
						 "hosts, next to no conversations");
	CU_ASSERT_EQUAL(moat_addr_parse("2001:db8::1", &finding.peer), 0);
	moat_finding_describe(&finding, 1, -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(finding.sentence, "targets/s on 2001:db8::1,"));
	/* the longest there can be still fits */
	CU_ASSERT_EQUAL(moat_addr_parse("2001:db8:1111:2222:3333:4444:5555:6666", &finding.subject),
			0);
	finding.kind = MOAT_FINDING_AMPLIFICATION;
	finding.pps = finding.mbps = 1e15;
	moat_finding_describe(&finding, 1, 1e15);
	CU_ASSERT(strlen(finding.sentence) < MOAT_SENTENCE_LEN - 1);
}

static void test_drivers(void)
{
	struct moat_suspicion suspicion = { 0 };

	moat_suspicion_drive(&suspicion, "a", 100, 200);
	moat_suspicion_drive(&suspicion, "b", 10, 5000);
	moat_suspicion_drive(&suspicion, "c", 10, 1);
	CU_ASSERT_EQUAL(suspicion.driver_count, 3);
	CU_ASSERT_STRING_EQUAL(suspicion.drivers[0].name, "b");
	CU_ASSERT_STRING_EQUAL(suspicion.drivers[1].name, "a");
	CU_ASSERT_STRING_EQUAL(suspicion.drivers[2].name, "c");
	CU_ASSERT(suspicion.drivers[0].deviation > 10);
	CU_ASSERT_DOUBLE_EQUAL(suspicion.drivers[2].deviation, 0, 0);
	for (int i = 0; i < 10; i++)
		moat_suspicion_drive(&suspicion, "d", 1, 1);
	CU_ASSERT_EQUAL(suspicion.driver_count, MOAT_DRIVERS_MAX);
}

static const struct moat_test tests[] = {
	{ "names", test_names },
	{ "counts", test_counts },
	{ "sentences", test_sentences },
	{ "drivers, strongest first", test_drivers },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-finding", tests);
}
