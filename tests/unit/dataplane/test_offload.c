/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/offload.c: only what nothing else has a say in goes into a card; offload_xdp.c: its program drops that. */
#include "dataplane/offload.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/rule.h"
#include "moat/stage.h"
#include "tests/harness/frame.h"
#include "tests/harness/unit.h"

#define STAGES (MOAT_STAGE_RULES | MOAT_STAGE_DENY)

static struct moat_offload_rule chosen[MOAT_OFFLOAD_MAX];

static struct moat_ruleset *set_of(const char *const *rules)
{
	struct moat_ruleset *set = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	for (; *rules; rules++) {
		struct moat_rule rule;

		CU_ASSERT_EQUAL_FATAL(moat_rule_parse(*rules, 0, &rule, NULL), 0);
		CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), 0);
	}
	return set;
}

static void list(struct moat_ruleset *set, enum moat_list which, const char *text)
{
	struct moat_prefix prefix;

	CU_ASSERT_EQUAL_FATAL(moat_prefix_parse(text, &prefix), 0);
	CU_ASSERT_EQUAL(moat_ruleset_list_add(set, which, &prefix), 0);
}

static size_t choose(const char *const *rules)
{
	struct moat_ruleset *set = set_of(rules);
	size_t count = moat_offload_choose(set, STAGES, false, chosen);

	moat_ruleset_free(set);
	return count;
}

#define CHOOSE(...) choose((const char *const[]){ __VA_ARGS__, NULL })

static void test_rules(void)
{
	CU_ASSERT_EQUAL(CHOOSE("drop src 192.0.2.0/24"), 1);
	CU_ASSERT_EQUAL(CHOOSE("drop dst 2001:db8::1 proto udp dport 53"), 1);
	/* what cards can't say, or is no dropping */
	CU_ASSERT_EQUAL(CHOOSE("drop proto udp"), 0);
	CU_ASSERT_EQUAL(CHOOSE("drop src 192.0.2.0/24 proto icmp"), 0);
	CU_ASSERT_EQUAL(CHOOSE("drop dst 192.0.2.1 proto tcp flags S"), 0);
	CU_ASSERT_EQUAL(CHOOSE("drop dst 192.0.2.1 proto tcp dport 1-9"), 0);
	CU_ASSERT_EQUAL(CHOOSE("drop dst 192.0.2.1 len 40"), 0);
	CU_ASSERT_EQUAL(CHOOSE("limit 5/s dst 192.0.2.1"), 0);
	CU_ASSERT_EQUAL(CHOOSE("count src 192.0.2.1"), 0);
	/* what comes before it has its say first */
	CU_ASSERT_EQUAL(CHOOSE("pass dst 192.0.2.1 priority 1", "drop dst 192.0.2.0/24 priority 2"),
			0);
	CU_ASSERT_EQUAL(CHOOSE("drop dst 192.0.2.0/24 priority 1", "pass dst 192.0.2.1 priority 2"),
			1);
	CU_ASSERT_EQUAL(CHOOSE("count proto tcp priority 1", "drop dst 192.0.2.1 priority 2"), 0);
	CU_ASSERT_EQUAL(CHOOSE("pass dst 192.0.2.1 proto tcp dport 80 priority 1",
			       "drop dst 192.0.2.1 proto tcp dport 81 priority 2"),
			1);
	CU_ASSERT_EQUAL(CHOOSE("drop src 192.0.2.1 priority 1", "drop dst 192.0.2.1 priority 2"), 2);
}

static void test_lists(void)
{
	struct moat_ruleset *set = set_of(
		(const char *const[]){ "drop src 192.0.2.0/24", "drop dst 198.51.100.1", NULL });

	list(set, MOAT_LIST_DENY, "203.0.113.0/24");
	CU_ASSERT_EQUAL(moat_offload_choose(set, STAGES, false, chosen), 3);
	CU_ASSERT_EQUAL(chosen[2].rule_id, 0);
	CU_ASSERT_EQUAL(moat_offload_choose(set, MOAT_STAGE_DENY, false, chosen), 1);
	CU_ASSERT_EQUAL(moat_offload_choose(set, STAGES, true, chosen), 0);
	/* one allowed host within is enough, also for a rule of any source */
	list(set, MOAT_LIST_ALLOW, "192.0.2.7");
	CU_ASSERT_EQUAL(moat_offload_choose(set, STAGES, false, chosen), 1);
	list(set, MOAT_LIST_ALLOW, "203.0.0.0/16");
	CU_ASSERT_EQUAL(moat_offload_choose(set, STAGES, false, chosen), 0);
	moat_ruleset_free(set);
}

static int verdict(int fd, const char *src, const char *dst, unsigned int proto)
{
	struct frame frame;

	frame_ethernet(&frame, 0x0800);
	frame_ipv4(&frame, src, dst, (uint8_t)proto, 0, 8 + 20);
	frame_udp(&frame, 1000, 53, 20);

	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data,
		    .data_size_in = (uint32_t)frame.length, .repeat = 1);

	CU_ASSERT_EQUAL(bpf_prog_test_run_opts(fd, &options), 0);
	return (int)options.retval;
}

static void test_program(void)
{
	moat_auto_close int fd = -1;
	size_t count = CHOOSE("drop src 192.0.2.0/25", "drop dst 198.51.100.1 proto udp",
			      "drop src 192.0.2.200 dst 198.51.100.9");

	CU_ASSERT_EQUAL_FATAL(count, 3);
	if (geteuid() != 0) {
		printf("SKIP: loading programs needs root\n");
		return;
	}
	fd = moat_offload_xdp_load(chosen, count);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(verdict(fd, "192.0.2.1", "10.0.0.1", 17), XDP_DROP);
	CU_ASSERT_EQUAL(verdict(fd, "192.0.2.127", "10.0.0.1", 6), XDP_DROP);
	CU_ASSERT_EQUAL(verdict(fd, "192.0.2.128", "10.0.0.1", 6), XDP_PASS);
	CU_ASSERT_EQUAL(verdict(fd, "192.0.2.1", "10.0.0.1", 1), XDP_PASS);
	CU_ASSERT_EQUAL(verdict(fd, "10.0.0.2", "198.51.100.1", 17), XDP_DROP);
	CU_ASSERT_EQUAL(verdict(fd, "10.0.0.2", "198.51.100.1", 6), XDP_PASS);
	CU_ASSERT_EQUAL(verdict(fd, "192.0.2.200", "198.51.100.9", 6), XDP_DROP);
	CU_ASSERT_EQUAL(verdict(fd, "192.0.2.200", "198.51.100.8", 6), XDP_PASS);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "rules", test_rules },
		{ "lists", test_lists },
		{ "program", test_program },
		{ NULL, NULL },
	};

	return moat_test_main("offload", tests);
}
