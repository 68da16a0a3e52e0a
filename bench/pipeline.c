/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many packets a second one core takes through a worker: parse, policy, cells, flow table, ageing and
 * counters, of 64-byte frames that lie in 64 MB of memory. The baseline is a loop that receives the
 * same frames from the same port and does nothing but read their first line. Time is the thread's own.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/common.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "dataplane/worker.h"

#define FRAME_SIZE 64
#define FRAME_COUNT (1u << 20) /* 64 MB: more than any cache */
#define REPEATS 4
#define RUNS 7
#define FLOWS_PER_CLIENT 8
#define SERVERS 256

struct bench_case {
	const char *name;
	uint32_t flows;
};

static const struct bench_case cases[] = {
	{ "dummy_1k", 1000 },
	{ "dummy_100k", 100000 },
};

/* What an operator may have in force: a few lists and rules, none of which these packets match. */
static const char *const rules[] = {
	"drop src 203.0.113.0/24 proto udp dport 53",
	"drop proto udp sport 11211",
	"drop dst 10.200.0.0/16 proto tcp dport 23",
	"limit 1000/s dst 10.200.0.1 proto udp",
	"pass src 198.51.100.0/24 dst 10.200.0.2",
	"drop proto tcp flags FSRPAU/FSRPAU",
	"count proto icmp",
	"drop src 192.0.2.7 len 1000-1500",
};

/* Of this thread: what other processes take on a shared machine is not the pipeline's. */
static uint64_t cpu_ns(void)
{
	return moat_clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

struct pool {
	uint8_t (*frames)[FRAME_SIZE];
	struct moat_packet *packets;
};

static void *map_pages(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* splitmix64 (Steele, Lea, Flood, OOPSLA'14) */
static uint64_t mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15ULL;
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
	return value ^ value >> 31;
}

/* A TCP segment with ACK of flow `flow`, from its client or its server. */
static void write_frame(uint8_t frame[FRAME_SIZE], uint32_t flow, bool from_server)
{
	static const uint8_t head[] = { 2, 0, 0,    0, 0, 2,  2, 0, 0,    0, 0,  1,
					8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6 };
	uint32_t client = 0x0a000000u + flow / FLOWS_PER_CLIENT; /* 10.0.0.0/9 */
	uint32_t server = 0x0ac80000u + flow % SERVERS;          /* 10.200.0.0/24 */
	uint16_t port = (uint16_t)(1024 + flow % 60000), service = 443;
	uint32_t addresses[2] = { __builtin_bswap32(from_server ? server : client),
				  __builtin_bswap32(from_server ? client : server) };
	uint16_t ports[2] = { __builtin_bswap16(from_server ? service : port),
			      __builtin_bswap16(from_server ? port : service) };

	memset(frame, 0, FRAME_SIZE);
	memcpy(frame, head, sizeof(head));
	memcpy(frame + 26, addresses, sizeof(addresses));
	memcpy(frame + 34, ports, sizeof(ports));
	frame[46] = 0x50;
	frame[47] = MOAT_TCP_ACK;
}

static void pool_fill(struct pool *pool, uint32_t flows)
{
	for (uint32_t i = 0; i < FRAME_COUNT; i++) {
		uint64_t random = mix(i);

		write_frame(pool->frames[i], (uint32_t)(random % flows), random >> 63);
		pool->packets[i] = (struct moat_packet){ .data = pool->frames[i],
							 .captured = FRAME_SIZE - 4,
							 .length = FRAME_SIZE - 4 };
	}
}

static int port_open(const struct pool *pool, uint64_t repeat, struct moat_port **ret_port,
		     struct moat_error *error)
{
	const struct moat_port_dummy_options options = {
		.frames = pool->packets,
		.frame_count = FRAME_COUNT,
		.repeat = repeat,
	};

	return moat_port_dummy_open(&options, ret_port, error);
}

static int policy_new(struct moat_policy **ret_policy, struct moat_error *error)
{
	moat_cleanup(moat_ruleset_free_cleanup) struct moat_ruleset *set = NULL;
	struct moat_policy *policy;
	int r;

	r = moat_ruleset_new(&set);
	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(rules); i++) {
		struct moat_rule rule = moat_rule_default();

		r = moat_rule_parse(rules[i], 0, &rule, error);
		if (r == 0)
			r = moat_ruleset_add(set, &rule, NULL);
	}
	if (r == 0)
		r = moat_policy_new(1, 1, &policy);
	if (r != 0)
		return r;
	r = moat_policy_commit(policy, set, error);
	if (r != 0) {
		moat_policy_free(policy);
		return r;
	}
	*ret_policy = policy;
	return 0;
}

/* Mpps of the bare loop. */
static int run_bare(const struct pool *pool, double *ret_mpps, struct moat_error *error)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct moat_packet burst[MOAT_BURST];
	uint64_t start, packets = 0;
	volatile uint8_t sink;
	int count;

	count = port_open(pool, REPEATS, &port, error);
	if (count < 0)
		return count;
	start = cpu_ns();
	while ((count = moat_port_rx(port, burst, MOAT_BURST)) >= 0) {
		for (int i = 0; i < count; i++)
			sink = burst[i].data[12];
		moat_port_release(port, burst, (unsigned int)count);
		packets += (unsigned int)count;
	}
	(void)sink;
	*ret_mpps = (double)packets * 1e3 / (double)(cpu_ns() - start);
	return 0;
}

/* Nothing may be lost or left out on the way. */
static int check(const struct moat_worker *worker, const struct bench_case *bench_case)
{
	struct moat_worker_counters c;
	uint64_t reasons = 0;

	moat_worker_counters(worker, &c);
	for (size_t i = 0; i < MOAT_REASON_COUNT; i++)
		reasons += c.reasons[i].packets;
	if (c.in.packets == reasons && c.in.packets == (uint64_t)FRAME_COUNT * (REPEATS + 1) &&
	    c.flow.created <= bench_case->flows && c.flow.refused + c.flow.replaced == 0)
		return 0;
	fprintf(stderr, "%s: %llu in, %llu out, %llu flows made\n", bench_case->name, c.in.packets,
		(unsigned long long)reasons, (unsigned long long)c.flow.created);
	return -EPROTO;
}

/* Mpps of a worker, after one round that makes the flows. */
static int run_worker(const struct pool *pool, const struct bench_case *bench_case,
		      struct moat_policy *policy, double *ret_mpps, struct moat_error *error)
{
	struct moat_worker_options options = {
		.judge = moat_policy_judge(policy, 0),
		.cpu = -1,
		.flows = bench_case->flows * 2,
		.cells = bench_case->flows / FLOWS_PER_CLIENT * 4,
		.hash_seed = 1,
	};
	struct moat_worker *worker;
	uint64_t start, packets = 0;
	int r;

	r = port_open(pool, REPEATS + 1, &options.port, error);
	if (r < 0)
		return r;
	r = moat_worker_new(&options, &worker, error);
	if (r < 0) {
		moat_port_close(options.port);
		return r;
	}
	while (packets < FRAME_COUNT && (r = moat_worker_step(worker)) >= 0)
		packets += (unsigned int)r;
	packets = 0;
	start = cpu_ns();
	while ((r = moat_worker_step(worker)) >= 0)
		packets += (unsigned int)r;
	*ret_mpps = (double)packets * 1e3 / (double)(cpu_ns() - start);
	r = check(worker, bench_case);
	moat_worker_free(worker);
	return r;
}

/* Bare loop and worker by turns, so that both see the same machine. */
static int run_case(struct pool *pool, const struct bench_case *bench_case, int runs,
		    struct moat_policy *policy, struct moat_error *error)
{
	static struct moat_bench_series bare, piped;
	const struct moat_bench_result result = {
		.bench = "pipeline",
		.case_name = bench_case->name,
		.metric = "rate",
		.unit = "Mpps",
		.baseline = &bare,
	};

	bare.count = piped.count = 0;
	pool_fill(pool, bench_case->flows);
	for (int i = 0; i < runs; i++) {
		double mpps;
		int r;

		r = run_bare(pool, &mpps, error);
		if (r < 0)
			return r;
		moat_bench_series_add(&bare, mpps);
		r = run_worker(pool, bench_case, policy, &mpps, error);
		if (r < 0)
			return r;
		moat_bench_series_add(&piped, mpps);
		moat_bench_progress("pipeline", bench_case->name, i + 1, runs);
	}
	return moat_bench_report(&result, &piped);
}

int main(int argc, char **argv)
{
	struct moat_error error = { .text = "" };
	struct moat_policy *policy = NULL;
	struct pool pool;
	int runs, r, status = 0;

	runs = moat_bench_begin("pipeline", argc, argv, RUNS);
	if (runs < 0)
		return 2;
	pool.frames = map_pages((size_t)FRAME_COUNT * FRAME_SIZE);
	pool.packets = map_pages(FRAME_COUNT * sizeof(*pool.packets));
	r = pool.frames && pool.packets ? policy_new(&policy, &error) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < MOAT_ARRAY_SIZE(cases); i++) {
		r = run_case(&pool, &cases[i], runs, policy, &error);
		if (r > 0) {
			status = 1;
			r = 0;
		}
	}
	moat_policy_free(policy);
	if (r != 0) {
		fprintf(stderr, "pipeline: %s\n",
			error.text[0] ? error.text : strerror(r < 0 ? -r : r));
		return 2;
	}
	return status;
}
