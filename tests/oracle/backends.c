/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One recording, all backends. The gate judges generated frames and those of captures by BPF_PROG_TEST_RUN,
 * beside the oracle; its answers, replies and counts are kept. Then each backend's worker, stepped in this thread, gets
 * the same frames in groups. Every packet is sampled, and samples come in the packets' order: the i-th
 * sample has to carry the i-th frame's bytes and the gate's verdict on it. A port in between gives packets
 * the recording's time, so that limits, expiry and cookies have one right answer too.
 *
 * MOAT_TEST_PACKETS, MOAT_TEST_SEED: as of differential.c. Captures: tests/harness/unit.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "dataplane/worker.h"
#include "tests/harness/unit.h"
#include "tests/oracle/backends.h"
#include "tests/oracle/differential.h"
#include "tests/oracle/replay/clock.h"

#define PACKETS_DEFAULT 3000
#define FRAMES_OF_SET 500
#define FRAMES_OF_CAPTURE 400
#define PATIENCE_NS (5 * MOAT_NS_PER_S)
#define REPLY_MAX 4096

static struct world world;
static struct recording recording;

/* ---- recording -------------------------------------------------------------------------------- */

static void *grown(void *array, size_t count, size_t size)
{
	void *larger = count & (count - 1) ? array : realloc(array, (count ? 2 * count : 1) * size);

	if (!larger)
		abort();
	return larger;
}

static void *copied(const void *bytes, size_t length)
{
	void *copy = malloc(length);

	if (!copy)
		abort();
	return memcpy(copy, bytes, length);
}

/* One frame through gate and oracle. */
static bool record_frame(const uint8_t *data, size_t length)
{
	struct recorded *frame;

	recording.frames = grown(recording.frames, recording.frame_count, sizeof(*frame));
	if (!compare_packet(&world, 0, data, length))
		return false;
	frame = &recording.frames[recording.frame_count++];
	*frame = (struct recorded){ .data = copied(data, length),
				    .length = (uint32_t)length,
				    .ms = replay_clock.ms,
				    .answer = world.gate.sample };
	recording.reasons[frame->answer.reason]++;
	if (frame->answer.reason == MOAT_REASON_TX_CHALLENGE) {
		frame->reply = copied(world.gate.answer, world.gate.answer_length);
		frame->reply_length = world.gate.answer_length;
	} else if (frame->answer.reason == MOAT_REASON_REDIRECT_RULE) {
		frame->reply = copied(data, length); /* to "lo", which is where it came from */
		frame->reply_length = (uint32_t)length;
	}
	return true;
}

/* Puts a rule set in force that is the generator's and, for captures, what aims at them. */
static void record_begin(const char *const *rules)
{
	struct moat_challenge_state challenge;
	struct recorded_set *recorded;

	recording.sets = grown(recording.sets, recording.set_count, sizeof(*recorded));
	choose_stages(&world);
	begin_set(&world);
	/* the generator may have had the same idea */
	for (; rules && *rules; rules++)
		gate_fixture_rule(&world.gate.fixture, *rules);
	if (rules) {
		CU_ASSERT_EQUAL_FATAL(moat_policy_commit(world.policy, world.set, NULL), 0);
		CU_ASSERT_TRUE_FATAL(gate_fixture_commit(&world.gate.fixture));
	}
	world.sampled = true;
	moat_gate_set_sampling(world.gate.fixture.gate, 1, 1);
	challenge = *moat_policy_challenge(world.policy);
	/* for the gate, keys change at another moment */
	memcpy(challenge.keys, moat_gate_challenge(world.gate.fixture.gate)->keys,
	       sizeof(challenge.keys));
	recorded = &recording.sets[recording.set_count++];
	*recorded = (struct recorded_set){
		.known = copied(moat_policy_known(world.policy), sizeof(struct moat_known)),
		.challenge = challenge,
		.stages = world.settings.stages & ~(uint32_t)MOAT_STAGE_TUNNELS,
		.fail_closed = world.settings.fail_closed,
		.first = recording.frame_count,
	};
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_copy(world.set, &recorded->set), 0);
}

static bool record_end(void)
{
	struct recorded_set *recorded = &recording.sets[recording.set_count - 1];
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(recorded->set, &count);

	recorded->end = recording.frame_count;
	recorded->counts = calloc(count + 1, sizeof(*recorded->counts));
	for (size_t i = 0; i < count; i++)
		recorded->counts[i] = moat_gate_rule_count(world.gate.fixture.gate, rules[i].slot);
	return end_set(&world);
}

/* Time stands still within a group. */
static void pass_time(size_t index)
{
	if (index % BACKENDS_GROUP == 0)
		replay_clock.ms += 1 + moat_generate_below(&world.generator, 40);
}

static bool record_generated(size_t count)
{
	record_begin(NULL);
	for (size_t i = 0; i < count; i++) {
		uint8_t frame[MOAT_GENERATE_FRAME_LEN];
		size_t length = moat_generate_frame(&world.generator, &world.settings, world.set,
						    frame);

		pass_time(i);
		if (world.handshakes[0].length && moat_generate_below(&world.generator, 12) == 0) {
			size_t answer = answer_challenge(&world, frame);

			length = answer ? answer : length;
		}
		if (!record_frame(frame, length))
			return false;
	}
	return record_end();
}

/* The beginning of a capture, by rules that its packets meet. */
static bool record_capture(const char *path)
{
	static const char *const rules[] = { "limit 20/s proto udp dport 53",
					     "drop proto tcp dport 445",
					     "count proto tcp flags S",
					     "limit 100/s burst 20 proto tcp",
					     "drop proto icmp",
					     NULL };
	const struct moat_port_pcap_options options = { .paths = &path, .path_count = 1 };
	moat_cleanup(moat_port_close_cleanup) struct moat_port *port = NULL;
	struct moat_packet burst[MOAT_BURST];
	size_t taken = 0;
	int count;

	if (moat_port_pcap_open(&options, &port, NULL) < 0)
		return false;
	record_begin(rules);
	while (taken < FRAMES_OF_CAPTURE && (count = moat_port_rx(port, burst, MOAT_BURST)) > 0) {
		for (int i = 0; i < count; i++) {
			/* longer frames were made by a card from several */
			if (burst[i].captured != burst[i].length ||
			    burst[i].length > MOAT_GENERATE_FRAME_LEN ||
			    burst[i].length < MOAT_GENERATE_FRAME_LEAST)
				continue;
			pass_time(taken++);
			if (!record_frame(burst[i].data, burst[i].length))
				return false;
		}
		moat_port_release(port, burst, (unsigned int)count);
	}
	return record_end();
}

static void test_record(void)
{
	static const char *const captures[] = { "scan/ndpi_synscan.pcap",
						"brute/zeek_ftp_bruteforce.pcap",
						"ddos-suricata/denial6-5.pcap" };
	const char *text = getenv("MOAT_TEST_PACKETS");
	size_t wanted = text && *text ? strtoull(text, NULL, 0) : PACKETS_DEFAULT;
	bool agree = true;

	recording.judges = world.settings.judges;
	for (size_t i = 0; agree && i < MOAT_ARRAY_SIZE(captures); i++) {
		const char *path = moat_test_capture(captures[i]);

		if (path)
			agree = record_capture(path);
		else
			printf("without %s, which isn't here\n", captures[i]);
	}
	while (agree && recording.frame_count < wanted)
		agree = record_generated(FRAMES_OF_SET);
	CU_ASSERT_TRUE_FATAL(agree);
	printf("gate: %zu packets, %zu rule sets:", recording.frame_count, recording.set_count);
	for (uint32_t reason = 0; reason < MOAT_REASON_COUNT; reason++) {
		if (recording.reasons[reason])
			printf(" %s %" PRIu64, moat_reason_name(reason), recording.reasons[reason]);
	}
	printf("\n");
}

/* ---- a port that tells the recording's time ---------------------------------------------------- */

struct port_timed {
	struct moat_port port;
	struct moat_port *inner;
	size_t next; /* frame */
	size_t end;  /* of its group */
};

static int timed_rx(struct moat_port *port, struct moat_packet *ret_burst, unsigned int max)
{
	struct port_timed *timed = (struct port_timed *)port;
	size_t left = timed->end - timed->next;
	int count = left == 0 ? 0
			      : moat_port_rx(timed->inner, ret_burst,
					     left < max ? (unsigned int)left : max);

	for (int i = 0; i < count; i++)
		ret_burst[i].time_ns = recording.frames[timed->next++].ms * MOAT_NS_PER_MS;
	return count;
}

static void timed_release(struct moat_port *port, const struct moat_packet *burst,
			  unsigned int count)
{
	moat_port_release(((struct port_timed *)port)->inner, burst, count);
}

static bool timed_reply(struct moat_port *port, const uint8_t *data, uint32_t length)
{
	return moat_port_reply(((struct port_timed *)port)->inner, data, length);
}

static void timed_close(struct moat_port *port)
{
	moat_port_close(((struct port_timed *)port)->inner);
}

static const struct moat_port_ops timed_ops = {
	.name = "timed",
	.close = timed_close,
	.rx = timed_rx,
	.release = timed_release,
	.reply = timed_reply,
};

/* ---- a backend ---------------------------------------------------------------------------------- */

struct run {
	struct backend *backend;
	struct port_timed port;
	struct moat_port *peer; /* keeps what passes */
	struct moat_policy *policy;
	struct moat_worker *worker;
	size_t judged;  /* frames */
	size_t replied; /* frames up to which replies have been seen */
};

/* The first byte that differs, on stderr. */
static void explain_bytes(const uint8_t *data, const uint8_t *wanted, size_t length)
{
	size_t at = 0;

	while (at < length && data[at] == wanted[at])
		at++;
	if (at < length)
		fprintf(stderr, "byte %zu of %zu: %02x, wanted %02x\n", at, length, data[at],
			wanted[at]);
}

static bool check_sample(const struct run *run, const struct moat_sample *sample)
{
	const struct recorded *frame = &recording.frames[run->judged];
	const struct moat_sample *gate = &frame->answer;
	uint32_t length = frame->length < MOAT_SAMPLE_BYTES ? frame->length : MOAT_SAMPLE_BYTES;

	if (sample->cap_len != length || memcmp(sample->data, frame->data, length) != 0) {
		fprintf(stderr, "%s: packet %zu isn't the one that was sent (%u of %u bytes)\n",
			run->backend->name, run->judged, sample->cap_len, length);
		explain_bytes(sample->data, frame->data, length);
		return false;
	}
	if (sample->reason == gate->reason && sample->rule_id == gate->rule_id &&
	    sample->parse == gate->parse &&
	    (gate->parse != MOAT_PARSE_OK ||
	     memcmp(&sample->headers, &gate->headers, sizeof(gate->headers)) == 0))
		return true;
	fprintf(stderr,
		"%s: packet %zu: %s by rule %u, parse %u; the gate: %s by rule %u, parse %u\n",
		run->backend->name, run->judged, moat_reason_name(sample->reason), sample->rule_id,
		sample->parse, moat_reason_name(gate->reason), gate->rule_id, gate->parse);
	return false;
}

/* What came out of the port, in order, against what the gate sent back. Up to frame `end`. */
static bool check_replies(struct run *run, size_t end)
{
	uint8_t buffer[REPLY_MAX];

	for (; run->replied < end; run->replied++) {
		const struct recorded *frame = &recording.frames[run->replied];
		size_t length = 0;

		for (int i = 0; frame->reply && length == 0 && i < 1000; i++) {
			length = run->backend->take(run->backend, buffer, sizeof(buffer));
			if (length == 0)
				nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		}
		if (!frame->reply ||
		    (length == frame->reply_length && memcmp(buffer, frame->reply, length) == 0))
			continue;
		fprintf(stderr, "%s: packet %zu (%s): the reply has %zu bytes, the gate's %u%s\n",
			run->backend->name, run->replied, moat_reason_name(frame->answer.reason),
			length, frame->reply_length,
			length == frame->reply_length ? ", which are others" : "");
		explain_bytes(buffer, frame->reply,
			      length < frame->reply_length ? length : frame->reply_length);
		return false;
	}
	return true;
}

/* Frames up to the end of their group, which the port is told. */
static bool run_group(struct run *run, size_t end)
{
	struct backend *backend = run->backend;
	uint64_t deadline = moat_clock_monotonic_ns() + PATIENCE_NS;
	struct moat_sample sample;

	run->port.end = end;
	if (backend->feed &&
	    !backend->feed(backend, recording.frames + run->judged, end - run->judged))
		return false;
	while (run->judged < end) {
		int r = moat_worker_step(run->worker);

		if (r < 0 || moat_clock_monotonic_ns() > deadline) {
			fprintf(stderr, "%s: packet %zu doesn't arrive: %s\n", backend->name,
				run->judged, r < 0 ? strerror(-r) : "waited in vain");
			return false;
		}
		while (moat_ring_pop(moat_worker_samples(run->worker), &sample)) {
			if (!check_sample(run, &sample))
				return false;
			run->judged++;
		}
	}
	return !backend->take || backend->takes_at_end || check_replies(run, end);
}

static bool check_counts(const struct run *run, const struct recorded_set *recorded)
{
	size_t count;
	const struct moat_rule *rules = moat_ruleset_rules(recorded->set, &count);

	for (size_t i = 0; i < count; i++) {
		struct moat_rule_count own = moat_policy_rule_count(run->policy, rules[i].slot);
		const struct moat_rule_count *gate = &recorded->counts[i];

		/* when a rule samples is left to chance */
		if (own.packets == gate->packets && own.bytes == gate->bytes &&
		    (rules[i].action == MOAT_ACTION_SAMPLE || own.acted == gate->acted))
			continue;
		fprintf(stderr, "%s: rule %u counts %" PRIu64 " packets, the gate %" PRIu64 "\n",
			run->backend->name, rules[i].id, (uint64_t)own.packets,
			(uint64_t)gate->packets);
		return false;
	}
	return true;
}

static bool run_set(struct run *run, const struct recorded_set *recorded)
{
	struct moat_judge *judge = moat_policy_judge(run->policy, 0);

	memcpy(moat_policy_known(run->policy), recorded->known, sizeof(*recorded->known));
	*moat_policy_challenge(run->policy) = recorded->challenge;
	moat_judge_set_stages(judge, recorded->stages, recorded->fail_closed);
	if (moat_policy_commit(run->policy, recorded->set, NULL) != 0)
		return false;
	for (size_t at = recorded->first; at < recorded->end;) {
		size_t end = at + BACKENDS_GROUP < recorded->end ? at + BACKENDS_GROUP
								 : recorded->end;

		if (!run_group(run, end))
			return false;
		at = end;
	}
	return check_counts(run, recorded);
}

/* The reason that a packet has in the end: what can't be sent back is dropped for that. */
static enum moat_reason final_reason(const struct run *run, const struct recorded *frame)
{
	return frame->reply && !run->port.inner->ops->reply ? MOAT_REASON_DROP_NO_PEER
							    : frame->answer.reason;
}

/* Each packet in one counter, and what passed with its bytes at the other side. */
static bool check_books(const struct run *run)
{
	uint64_t reasons[MOAT_REASON_COUNT] = { 0 };
	struct moat_worker_counters counters;
	const uint8_t *data;
	size_t passed = 0, length;

	moat_worker_counters(run->worker, &counters);
	for (size_t i = 0; i < recording.frame_count; i++) {
		const struct recorded *frame = &recording.frames[i];
		enum moat_reason reason = final_reason(run, frame);

		reasons[reason]++;
		if (frame->reply || moat_reason_verdict(reason) != MOAT_VERDICT_PASS)
			continue;
		if (moat_port_dummy_sent(run->peer, passed++, &data, &length) < 0 ||
		    length != frame->length || memcmp(data, frame->data, length) != 0) {
			fprintf(stderr, "%s: packet %zu didn't pass as it was\n",
				run->backend->name, i);
			return false;
		}
	}
	for (uint32_t reason = 0; reason < MOAT_REASON_COUNT; reason++) {
		if (counters.reasons[reason].packets == reasons[reason])
			continue;
		fprintf(stderr, "%s: %" PRIu64 " packets are %s, of the gate's %" PRIu64 "\n",
			run->backend->name, (uint64_t)counters.reasons[reason].packets,
			moat_reason_name(reason), reasons[reason]);
		return false;
	}
	return counters.in.packets == recording.frame_count && counters.samples_lost == 0 &&
	       counters.port.rx_ring_full + counters.port.rx_no_buffer == 0 &&
	       moat_port_dummy_sent(run->peer, passed, &data, &length) == -ENOENT;
}

static bool run_worker(struct run *run)
{
	const struct moat_worker_options options = {
		.port = &run->port.port,
		.peer = run->peer,
		.judge = moat_policy_judge(run->policy, 0),
		.cpu = -1,
		.cells = 1024,
		.hash_seed = HASH_SEED,
		.sample_pass = 1,
		.sample_drop = 1,
		.tunnels = world.tunnels,
	};
	bool agree = true;

	if (moat_judge_set_targets(options.judge, "lo", NULL) < 0 ||
	    moat_worker_new(&options, &run->worker, NULL) < 0)
		return false;
	for (size_t i = 0; agree && i < recording.set_count; i++)
		agree = run_set(run, &recording.sets[i]);
	return agree && check_books(run);
}

/* One backend from end to end. */
static bool run_backend(struct backend *backend)
{
	const struct moat_port_dummy_options keep = { .keep = recording.frame_count };
	struct run run = { .backend = backend, .port.port.ops = &timed_ops };
	struct moat_error error = { .text = "" };
	int r = backend->open(backend, &recording, &run.port.inner, &error);
	bool agree;

	if (r == -ENOTSUP) {
		printf("%s: not here: %s\n", backend->name, error.text);
		return true;
	}
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", backend->name, error.text);
		return false;
	}
	snprintf(run.port.port.name, sizeof(run.port.port.name), "%.*s",
		 (int)sizeof(run.port.port.name) - 1, run.port.inner->name);
	agree = moat_policy_new(recording.judges, HASH_SEED, &run.policy) == 0 &&
		moat_port_dummy_open(&keep, &run.peer, &error) == 0 && run_worker(&run);
	moat_worker_free(run.worker);
	if (backend->close)
		backend->close(backend);
	if (agree && backend->takes_at_end)
		agree = check_replies(&run, recording.frame_count);
	moat_port_close(run.peer);
	moat_policy_free(run.policy);
	if (agree)
		printf("%s: equal, %zu packets\n", backend->name, recording.frame_count);
	return agree;
}

static void test_memory(void)
{
	CU_ASSERT_TRUE(run_backend(&backend_dummy));
}

static void test_pcap(void)
{
	CU_ASSERT_TRUE(run_backend(&backend_pcap));
}

static void test_net_pcap(void)
{
	CU_ASSERT_TRUE(run_backend(&backend_net_pcap));
}

static void test_net_ring(void)
{
	CU_ASSERT_TRUE(run_backend(&backend_net_ring));
}

static void test_afxdp(void)
{
	CU_ASSERT_TRUE_FATAL(backends_veth_up());
	CU_ASSERT_TRUE(run_backend(&backend_afxdp));
}

static void test_net_af_xdp(void)
{
	CU_ASSERT_TRUE(run_backend(&backend_net_af_xdp));
}

static void forget(void)
{
	for (size_t i = 0; i < recording.frame_count; i++) {
		free(recording.frames[i].data);
		free(recording.frames[i].reply);
	}
	for (size_t i = 0; i < recording.set_count; i++) {
		moat_ruleset_free(recording.sets[i].set);
		free(recording.sets[i].known);
		free(recording.sets[i].counts);
	}
	free(recording.frames);
	free(recording.sets);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "record", test_record },
		{ "memory", test_memory },
		{ "pcap", test_pcap },
		{ "afxdp", test_afxdp },
		{ "net_pcap", test_net_pcap },
		{ "net_ring", test_net_ring },
		{ "net_af_xdp", test_net_af_xdp },
		{ NULL, NULL },
	};
	int r;

	/* windows and buckets as the workers' policy has them: the clocks have to agree */
	open_world(&world, 0, 1U << MOAT_ROW_BITS_DEFAULT);
	r = moat_test_main("backends", tests);
	close_world(&world);
	moat_dpdk_deinit();
	forget();
	return r;
}
