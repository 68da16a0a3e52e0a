/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What rule sets cost: compiling them (each time a rule comes or goes), reading a blocklist, judging a
 * packet. CPU time of this thread, so that a busy machine doesn't show; the first commits also pay for
 * the pages they touch, which the maximum tells.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/common.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/policy.h"
#include "dataplane/rule.h"

#define PREFIXES 1000000
#define PACKETS 4096
#define ROUNDS 50

static uint64_t random_state = 1;
static int runs;
static int missed;

/* The same numbers in each run: xorshift64* (Vigna, 2016). */
static uint32_t random_u32(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)(random_state * 2685821657736338717ULL >> 32);
}

static double cpu_ns(void)
{
	return (double)moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void report(const char *case_name, const char *unit, double goal,
		   const struct moat_bench_series *series)
{
	const struct moat_bench_result result = {
		.bench = "policy",
		.case_name = case_name,
		.metric = "cpu_time",
		.unit = unit,
		.goal_kind = goal > 0 ? MOAT_BENCH_AT_MOST : MOAT_BENCH_NO_GOAL,
		.goal = goal,
	};

	missed |= moat_bench_report(&result, series) != 0;
}

static struct moat_ruleset *new_set(void)
{
	struct moat_ruleset *set = NULL;

	if (moat_ruleset_new(&set) < 0) {
		fputs("no memory\n", stderr);
		_exit(1);
	}
	return set;
}

/* ---- compiling -------------------------------------------------------------------------------- */

/* Like public blocklists: mostly /24 and shorter, hosts in few networks, some IPv6. */
static struct moat_prefix mixed_prefix(void)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4 };
	uint32_t kind = random_u32() % 100;
	uint32_t address = random_u32();

	if (kind < 5) {
		prefix.family = MOAT_FAMILY_V6;
		prefix.len = 40;
		prefix.addr.words[0] = htobe32(0x20010000 | (address & 0xffff));
		prefix.addr.words[1] = htobe32(address & 0xff000000);
		return prefix;
	}
	prefix.len = kind < 15 ? 32 : kind < 30 ? 20 : 24;
	if (prefix.len == 32)
		address = 0x0a000000 | (address & 0x000fffff);
	else
		address &= ~0U << (32 - prefix.len);
	moat_addr_from_v4(&prefix.addr, htobe32(address));
	return prefix;
}

static struct moat_prefix host_prefix(void)
{
	struct moat_prefix prefix = { .family = MOAT_FAMILY_V4, .len = 32 };

	moat_addr_from_v4(&prefix.addr, htobe32(random_u32()));
	return prefix;
}

static void fill(struct moat_ruleset *set, struct moat_prefix (*prefix_of)(void), size_t count)
{
	size_t added = 0;

	while (added < count) {
		struct moat_prefix prefix = prefix_of();

		added += moat_ruleset_list_add(set, MOAT_LIST_DENY, &prefix) == 0;
	}
}

static void add_rule(struct moat_ruleset *set, const char *text)
{
	struct moat_rule rule;

	missed |= moat_rule_parse(text, 0, &rule, NULL) != 0 ||
		  moat_ruleset_add(set, &rule, NULL) != 0;
}

/* The worst case for the compiler: no two rules share a prefix or an end of a range. */
static void add_different_rules(struct moat_ruleset *set, int count)
{
	for (int i = 0; i < count; i++) {
		char text[128];

		snprintf(text, sizeof(text),
			 "drop src 10.%d.%d.0/24 dst 192.0.%d.%d proto tcp sport %d-%d dport %d-%d "
			 "len %d-%d",
			 i / 256, i % 256, i / 256, i % 256, 2 * i, 60000 - 3 * i, 5 * i, 65000 - i,
			 i, 60000 - 2 * i);
		add_rule(set, text);
	}
}

static void bench_commit(struct moat_policy *policy, const struct moat_ruleset *set,
			 const char *case_name, double goal_ms)
{
	struct moat_bench_series series = { .count = 0 };
	struct moat_error error = { 0 };

	for (int i = 0; i < runs; i++) {
		double begin = cpu_ns();

		if (moat_policy_commit(policy, set, &error) != 0) {
			fprintf(stderr, "%s: %s\n", case_name, error.text);
			missed = 1;
			return;
		}
		moat_bench_series_add(&series, (cpu_ns() - begin) / 1e6);
		moat_bench_progress("policy", case_name, i + 1, runs);
	}
	report(case_name, "ms", goal_ms, &series);
}

static void bench_lists(struct moat_policy *policy)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *mixed = new_set(),
								    *hosts = new_set();

	fill(mixed, mixed_prefix, PREFIXES);
	bench_commit(policy, mixed, "commit_1m_prefixes", 1000);
	fill(hosts, host_prefix, PREFIXES);
	bench_commit(policy, hosts, "commit_1m_hosts", 0);
}

static void bench_rules(struct moat_policy *policy)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *small = new_set(),
								    *full = new_set();

	add_different_rules(small, 64);
	bench_commit(policy, small, "commit_64_rules", 15);
	add_different_rules(full, MOAT_RULES_MAX);
	bench_commit(policy, full, "commit_4096_rules", 150);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static void bench_load(void)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	struct moat_bench_series series = { .count = 0 };
	char path[] = "/tmp/moat-bench-XXXXXX";
	moat_auto_close int fd = mkstemp(path);
	moat_auto_fclose FILE *file = fd < 0 ? NULL : fopen(path, "we");
	size_t count;
	const struct moat_prefix *prefixes;

	if (!file) {
		missed = 1;
		return;
	}
	fill(set, mixed_prefix, PREFIXES);
	prefixes = moat_ruleset_prefixes(set, MOAT_LIST_DENY, &count);
	for (size_t i = 0; i < count; i++) {
		char text[MOAT_PREFIX_TEXT_LEN];

		fprintf(file, "%s\n", moat_prefix_format(&prefixes[i], text));
	}
	fflush(file);
	for (int i = 0; i < runs; i++) {
		moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *loaded = new_set();
		double begin = cpu_ns();

		missed |= moat_ruleset_load(loaded, path, "bench", 0, NULL, NULL) != 0;
		moat_bench_series_add(&series, (cpu_ns() - begin) / 1e6);
		moat_bench_progress("policy", "load_1m_lines", i + 1, runs);
	}
	unlink(path);
	report("load_1m_lines", "ms", 0, &series);
}

/* ---- judging ---------------------------------------------------------------------------------- */

static void bench_judge(struct moat_policy *policy, const struct moat_headers *packets,
			const char *case_name, enum moat_reason expected)
{
	struct moat_judge *judge = moat_policy_judge(policy, 0);
	struct moat_bench_series series = { .count = 0 };
	size_t others = 0;

	for (int i = 0; i < runs; i++) {
		double begin = cpu_ns();

		for (size_t n = 0; n < (size_t)ROUNDS * PACKETS; n++) {
			uint32_t id;

			others += moat_judge_packet(judge, &packets[n % PACKETS], MOAT_PARSE_OK, 1,
						    &id) != expected;
			if (n % 64 == 63)
				moat_judge_quiesce(judge);
		}
		moat_bench_series_add(&series, (cpu_ns() - begin) / ROUNDS / PACKETS);
		moat_bench_progress("policy", case_name, i + 1, runs);
	}
	moat_judge_quiesce(judge);
	if (others) {
		fprintf(stderr, "%s: %zu packets don't end in %s\n", case_name, others,
			moat_reason_name(expected));
		missed = 1;
		return;
	}
	report(case_name, "ns/packet", 0, &series);
}

static void bench_judges(struct moat_policy *policy)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = new_set();
	static struct moat_headers packets[PACKETS];

	for (size_t i = 0; i < PACKETS; i++) {
		packets[i] = (struct moat_headers){
			.family = MOAT_FAMILY_V4,
			.proto = 6,
			.has_ports = 1,
			.tcp_flags = MOAT_TCP_ACK,
			.l3_len = 60,
			.sport = (uint16_t)random_u32(),
			.dport = 443,
		};
		packets[i].src = host_prefix().addr;
		moat_addr_from_v4(&packets[i].dst, htobe32(0xc0000200 | (i & 255)));
	}
	missed |= moat_policy_commit(policy, set, NULL) != 0;
	bench_judge(policy, packets, "judge_no_rules", MOAT_REASON_PASS_DEFAULT);
	for (int i = 0; i < MOAT_RULES_MAX - 1; i++) {
		char text[128];

		/* each matches a part of the packets in all but one dimension */
		snprintf(text, sizeof(text),
			 "drop dst 192.0.2.%d proto tcp sport %d-65535 flags S len %d-", i % 256, i,
			 i % 50);
		add_rule(set, text);
	}
	missed |= moat_policy_commit(policy, set, NULL) != 0;
	bench_judge(policy, packets, "judge_4095_no_match", MOAT_REASON_PASS_DEFAULT);
	add_rule(set, "drop proto tcp dport 443 priority 60000");
	missed |= moat_policy_commit(policy, set, NULL) != 0;
	bench_judge(policy, packets, "judge_4096_last_drops", MOAT_REASON_DROP_RULE);
}

int main(int argc, char **argv)
{
	struct moat_policy *policy = NULL;

	runs = moat_bench_begin("policy", argc, argv, 7);
	if (runs < 0 || moat_policy_new(1, 1, &policy) < 0)
		return 1;
	bench_judges(policy);
	bench_rules(policy);
	bench_lists(policy);
	bench_load();
	moat_policy_free(policy);
	return missed;
}
