/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dataplane/worker*.c: every packet in one counter, verdicts, samples, time and windows, the thread. */
#include "dataplane/worker.h"

#include <errno.h>
#include <string.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "tests/harness/frame.h"
#include "tests/harness/unit.h"

#define FRAMES 8
#define WINDOW_NS ((1ULL << MOAT_WINDOW_SHIFT_MS) * MOAT_NS_PER_MS)

static struct frame frames[FRAMES];
static struct moat_packet packets[FRAMES];

/* Six UDP datagrams to as many ports, an ARP frame and one cut short. */
static void make_frames(void)
{
	for (unsigned int i = 0; i < FRAMES; i++) {
		frame_ethernet(&frames[i], i == 6 ? 0x0806 : 0x0800);
		frame_ipv4(&frames[i], "192.0.2.1", "198.51.100.7", 17, 0, 8 + 20);
		frame_udp(&frames[i], 1000, 50 + i, 20);
		packets[i] = frame_packet(&frames[i], 0);
	}
	packets[7].captured = 20;
}

static struct moat_port *dummy_new(const struct moat_packet *given, size_t count, uint64_t repeat)
{
	const struct moat_port_dummy_options options = { given, count, repeat, 64 };
	struct moat_port *port = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_port_dummy_open(&options, &port, NULL), 0);
	return port;
}

static struct moat_worker *worker_new(const struct moat_worker_options *options)
{
	struct moat_worker *worker = NULL;
	struct moat_error error;

	CU_ASSERT_EQUAL_FATAL(moat_worker_new(options, &worker, &error), 0);
	return worker;
}

static struct moat_worker_counters expect_balance(const struct moat_worker *worker)
{
	struct moat_worker_counters c;
	uint64_t outs = 0, bytes = 0;

	moat_worker_counters(worker, &c);
	for (unsigned int i = 0; i < MOAT_REASON_COUNT; i++) {
		outs += c.reasons[i].packets;
		bytes += c.reasons[i].bytes;
	}
	CU_ASSERT_TRUE(c.in.packets == outs && c.in.bytes == bytes);
	CU_ASSERT_EQUAL(c.in.packets, c.port.received.packets);
	return c;
}

static void policy_commit(struct moat_policy *policy, const char *text)
{
	struct moat_ruleset *set = NULL;
	struct moat_rule rule;

	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL(moat_rule_parse(text, 0, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), 0);
	CU_ASSERT_EQUAL(moat_policy_commit(policy, set, NULL), 0);
	moat_ruleset_free(set);
}

static struct moat_policy *policy_new(const char *text)
{
	struct moat_policy *policy = NULL;

	CU_ASSERT_EQUAL_FATAL(moat_policy_new(1, 1, &policy), 0);
	policy_commit(policy, text);
	return policy;
}

static void test_mirror(void)
{
	const struct moat_worker_options options = {
		.port = dummy_new(packets, FRAMES, 10),
		.cpu = -1,
		.hash_seed = 1,
		.sample_pass = 1,
		.flow_ring = 64,
	};
	struct moat_worker *worker = worker_new(&options);
	struct moat_worker_counters c;
	struct moat_sample sample;
	struct moat_flow_record flow;
	unsigned int samples = 0, flows = 0;

	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(moat_worker_step(worker), FRAMES);
	CU_ASSERT_EQUAL(moat_worker_step(worker), -ENODATA);
	CU_ASSERT_EQUAL(moat_worker_step(worker), -ENODATA);
	c = expect_balance(worker);
	CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_CONSUMED].packets, 80);
	CU_ASSERT_EQUAL(moat_worker_cells(worker)->head->packets, 60);
	while (moat_ring_pop(moat_worker_samples(worker), &sample)) {
		/* the judge's reason, though the port consumed it */
		CU_ASSERT_EQUAL(sample.reason, samples % FRAMES == 6   ? MOAT_REASON_PASS_NOT_IP
					       : samples % FRAMES == 7 ? MOAT_REASON_PASS_TRUNCATED
								       : MOAT_REASON_PASS_NO_TABLE);
		CU_ASSERT_EQUAL(sample.cap_len, packets[samples % FRAMES].captured);
		CU_ASSERT_EQUAL(memcmp(sample.data, frames[samples % FRAMES].data, sample.cap_len),
				0);
		CU_ASSERT_EQUAL(sample.interval, 1);
		samples++;
	}
	CU_ASSERT_TRUE(samples == 80 && c.samples == 80 && c.samples_lost == 0);
	while (moat_ring_pop(moat_worker_flows(worker), &flow)) {
		CU_ASSERT_EQUAL(flow.packets[0], 10);
		flows++;
	}
	CU_ASSERT_TRUE(flows == 6 && c.flow.created == 6 && c.flow.live == 0 && c.flows_lost == 0);
	moat_worker_free(worker);
}

static void test_wire(void)
{
	moat_cleanup(moat_port_close_cleanup) struct moat_port *peer = dummy_new(NULL, 0, 0);
	struct moat_policy *policy = policy_new("drop proto udp dport 52");
	const struct moat_worker_options options = {
		.port = dummy_new(packets, FRAMES, 5),
		.peer = peer,
		.judge = moat_policy_judge(policy, 0),
		.cpu = -1,
		.hash_seed = 1,
		.sample_drop = 1,
	};
	struct moat_worker *worker = worker_new(&options);
	struct moat_worker_counters c;
	struct moat_sample sample;
	unsigned int samples = 0;
	const uint8_t *data;
	size_t length;

	while (moat_worker_step(worker) >= 0)
		;
	c = expect_balance(worker);
	CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_DROP_RULE].packets, 5);
	CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_PASS_DEFAULT].packets, 25);
	CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_PASS_NOT_IP].packets, 5);
	CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_PASS_TRUNCATED].packets, 5);
	CU_ASSERT_EQUAL(peer->counters.sent.packets, 35);
	/* in order, unchanged, without the third */
	for (unsigned int i = 0; i < 35; i++) {
		unsigned int from = i % 7 < 2 ? i % 7 : i % 7 + 1;

		CU_ASSERT_EQUAL(moat_port_dummy_sent(peer, i, &data, &length), 0);
		CU_ASSERT_TRUE(length == packets[from].captured &&
			       memcmp(data, packets[from].data, length) == 0);
	}
	while (moat_ring_pop(moat_worker_samples(worker), &sample)) {
		CU_ASSERT_TRUE(sample.reason == MOAT_REASON_DROP_RULE && sample.rule_id > 0);
		CU_ASSERT_EQUAL(sample.headers.dport, 52);
		samples++;
	}
	CU_ASSERT_EQUAL(samples, 5);
	/* what is dropped has no flow, but is counted in its cells */
	CU_ASSERT_EQUAL(c.flow.created, 5);
	CU_ASSERT_EQUAL(moat_worker_cells(worker)->head->packets, 30);
	moat_worker_free(worker);
	moat_policy_free(policy);
}

/* Rules redirect to the peer, or back to where the packet came from; a worker reaches no other port. */
static void test_redirect(void)
{
	static const struct {
		const char *rule;
		uint64_t sent, back, redirected;
	} cases[] = {
		{ "redirect to right src 192.0.2.1 dport 52", 8, 0, 1 },
		{ "redirect to left src 192.0.2.1 dport 52", 7, 1, 1 },
		{ "redirect to other src 192.0.2.1 dport 52", 8, 0, 0 },
	};

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(cases); i++) {
		moat_cleanup(moat_port_close_cleanup) struct moat_port *peer = dummy_new(NULL, 0, 0);
		struct moat_policy *policy = NULL;
		struct moat_worker_options options = {
			.port = dummy_new(packets, FRAMES, 1),
			.peer = peer,
			.cpu = -1,
		};
		struct moat_worker *worker;
		struct moat_worker_counters c;

		CU_ASSERT_EQUAL_FATAL(moat_policy_new(1, 1, &policy), 0);
		options.judge = moat_policy_judge(policy, 0);
		CU_ASSERT_EQUAL(moat_judge_set_targets(options.judge, "left", "right"), 0);
		policy_commit(policy, cases[i].rule);
		worker = worker_new(&options);
		while (moat_worker_step(worker) >= 0)
			;
		c = expect_balance(worker);
		CU_ASSERT_EQUAL(peer->counters.sent.packets, cases[i].sent);
		CU_ASSERT_EQUAL(c.port.replies.packets, cases[i].back);
		CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_REDIRECT_RULE].packets, cases[i].redirected);
		CU_ASSERT_EQUAL(c.reasons[MOAT_REASON_PASS_NO_TARGET].packets,
				1 - cases[i].redirected);
		moat_worker_free(worker);
		moat_policy_free(policy);
	}
}

/* A peer that can't send: a port that only reads. */
static unsigned int refuse_all(struct moat_port *port, struct moat_port *from,
			       const struct moat_packet *burst, unsigned int count)
{
	moat_port_release(from, burst, count);
	return 0;
}

static void test_no_peer(void)
{
	static const struct moat_port_ops refusing = { .name = "refusing", .tx = refuse_all };
	static const struct moat_port_ops mute = { .name = "mute" };
	struct moat_port peers[] = { { .ops = &refusing }, { .ops = &mute } };

	for (size_t i = 0; i < MOAT_ARRAY_SIZE(peers); i++) {
		const struct moat_worker_options options = {
			.port = dummy_new(packets, FRAMES, 3),
			.peer = &peers[i],
			.cpu = -1,
		};
		struct moat_worker *worker = worker_new(&options);

		while (moat_worker_step(worker) >= 0)
			;
		CU_ASSERT_EQUAL(expect_balance(worker).reasons[MOAT_REASON_DROP_NO_PEER].packets,
				24);
		CU_ASSERT_TRUE(peers[i].counters.tx_ring_full == 24 &&
			       peers[i].counters.sent.packets == 0);
		moat_worker_free(worker);
	}
}

/* Sampling 1 in N takes about that many, at distances that vary, and the same ones in every run. */
static void test_sampling(void)
{
	uint64_t taken[2];

	for (int run = 0; run < 2; run++) {
		const struct moat_worker_options options = {
			.port = dummy_new(packets, FRAMES, 10000),
			.cpu = -1,
			.hash_seed = 77,
			.sample_pass = 100,
		};
		struct moat_worker *worker = worker_new(&options);
		struct moat_sample sample;
		bool seen[FRAMES] = { false };

		while (moat_worker_step(worker) >= 0)
			;
		taken[run] = expect_balance(worker).samples;
		while (moat_ring_pop(moat_worker_samples(worker), &sample)) {
			if (sample.headers.dport)
				seen[sample.headers.dport - 50] = true;
		}
		for (unsigned int i = 0; i < 6; i++)
			CU_ASSERT_TRUE(seen[i]);
		moat_worker_free(worker);
	}
	CU_ASSERT_TRUE(taken[0] > 720 && taken[0] < 880);
	CU_ASSERT_EQUAL(taken[0], taken[1]);
}

/* A replay: windows one by one, time that goes on whatever the capture's clock does. */
static void test_replay_time(void)
{
	static const uint64_t base = 1000000 * WINDOW_NS;
	const uint64_t times[FRAMES] = {
		base,
		base + 5,
		base + 3,                                         /* late: as of base + 5 */
		base + WINDOW_NS + 1,                             /* the next window */
		base + 40 * WINDOW_NS,                            /* a gap */
		base + 40 * WINDOW_NS - 3600 * MOAT_NS_PER_S,     /* the clock was set back ... */
		base + 40 * WINDOW_NS - 3600 * MOAT_NS_PER_S + 9, /* ... and goes on from there */
		base + 40 * WINDOW_NS - 3600 * MOAT_NS_PER_S + WINDOW_NS,
	};
	static const struct {
		int handled;
		uint64_t after;
	} steps[] = {
		{ 3, 5 },
		{ 0, WINDOW_NS + 1 },
		{ 1, WINDOW_NS + 1 },
		{ 0, 40 * WINDOW_NS },
		{ 3, 40 * WINDOW_NS + 9 },
		{ 0, 41 * WINDOW_NS },
		{ 1, 41 * WINDOW_NS },
		{ -ENODATA, 41 * WINDOW_NS },
	};
	struct moat_packet timed[FRAMES];
	struct moat_worker_options options = { .cpu = -1 };
	struct moat_worker *worker;

	for (unsigned int i = 0; i < FRAMES; i++) {
		timed[i] = packets[0];
		timed[i].time_ns = times[i];
	}
	options.port = dummy_new(timed, FRAMES, 1);
	worker = worker_new(&options);
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(steps); i++) {
		CU_ASSERT_EQUAL(moat_worker_step(worker), steps[i].handled);
		CU_ASSERT_EQUAL(moat_worker_now_ns(worker), base + steps[i].after);
	}
	CU_ASSERT_EQUAL(expect_balance(worker).time_backwards, 2);
	moat_worker_free(worker);
}

static void test_thread(void)
{
	const struct moat_worker_options options = {
		.port = dummy_new(packets, FRAMES, 200000),
		.cpu = 0,
		.hash_seed = 1,
		.flows = 1024,
	};
	struct moat_worker *worker = worker_new(&options);
	struct moat_error error = { 0 };
	int ended = -1;

	CU_ASSERT_EQUAL_FATAL(moat_worker_start(worker, &error), 0);
	/* the books balance at every moment, seen from another thread */
	while (!moat_worker_is_done(worker, &ended))
		expect_balance(worker);
	CU_ASSERT_EQUAL(ended, 0);
	CU_ASSERT_EQUAL(expect_balance(worker).in.packets, 200000ULL * FRAMES);
	CU_ASSERT_TRUE(expect_balance(worker).busy_ns > 0);
	moat_worker_stop(worker);
	moat_worker_free(worker);
}

static void test_bad_cpu(void)
{
	const struct moat_worker_options options = { .port = dummy_new(packets, FRAMES, 1),
						     .cpu = 1000 };
	struct moat_worker *worker = worker_new(&options);
	struct moat_error error = { 0 };

	CU_ASSERT_EQUAL(moat_worker_start(worker, &error), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "CPU 1000"));
	moat_worker_free(worker);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "mirror", test_mirror },
		{ "wire", test_wire },
		{ "redirect", test_redirect },
		{ "no_peer", test_no_peer },
		{ "sampling", test_sampling },
		{ "replay_time", test_replay_time },
		{ "thread", test_thread },
		{ "bad_cpu", test_bad_cpu },
		{ NULL, NULL },
	};

	make_frames();
	return moat_test_main("worker", tests);
}
