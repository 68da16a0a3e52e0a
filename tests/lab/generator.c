/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lab-generator: floods INTERFACE's peer with look-alike frames at a bounded rate, from the one CPU it is
 * pinned to.
 *
 *   lab-generator KIND INTERFACE TARGET PORT SOURCE_MAC TARGET_MAC DSCP RATE SECONDS BASE_NS IDLE
 *
 * IDLE is an unused interface that the program is attached to meanwhile: otherwise each BPF_PROG_TEST_RUN
 * call puts the program into the kernel's XDP dispatcher and takes it out again, 24 ms of waiting for RCU.
 *
 * Prints one JSON line: frames handed to the interface, when the first one was, and the frames of each 20 ms
 * since BASE_NS. How many of them the interface took is the interface's own count (ethtool -S).
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lab/generator.h"
#include "tests/lab/meter.h"

#include "lab_generator.skel.h" /* uses the types of generator.h */

#define CALL_SECONDS 0.005 /* of frames: long enough to amortise a call's set-up, within a bucket */
#define BATCH 8            /* frames between deliveries */
#define L4_PAYLOAD (14 + 20 + 8)
#define FRAME_MAX 1514

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

static unsigned int sum_bytes(const unsigned char *data, size_t length)
{
	unsigned int sum = 0;
	unsigned short word;

	for (size_t i = 0; i < length; i += 2) {
		word = 0;
		memcpy(&word, data + i, length - i < 2 ? 1 : 2);
		sum += word;
	}
	return sum;
}

/* A DNS question as the lab's clients ask it: A record of LABEL.lab.test, recursion desired, EDNS. */
static size_t put_query(unsigned char *out, const char *label)
{
	static const unsigned char tail[] = { 3, 'l', 'a', 'b', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1 };
	static const unsigned char edns[] = { 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0 };
	static const unsigned char header[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1 };
	size_t at = sizeof(header);

	memcpy(out, header, sizeof(header));
	out[at++] = (unsigned char)strlen(label);
	while (*label)
		out[at++] = (unsigned char)*label++;
	memcpy(out + at, tail, sizeof(tail));
	at += sizeof(tail);
	memcpy(out + at, edns, sizeof(edns));
	return at + sizeof(edns);
}

/*
 * Fills the variants and the template behind the heads; returns the longest frame's length. The template's
 * payload is what every variant's payload continues with after its head.
 */
static size_t make_variants(struct generator_config *config, unsigned char *frame)
{
	static const char *const labels[] = { "www",   "api",       "mail", "static",
					      "login", "img-cache", "a",    "edge-7" };
	size_t longest = GENERATOR_HEAD, length;
	unsigned char *payload = frame + L4_PAYLOAD;

	for (size_t i = 0; i < FRAME_MAX - L4_PAYLOAD; i++)
		payload[i] = (unsigned char)(config->kind == GENERATOR_ICMP ? i : i * 37);
	config->variants = config->kind == GENERATOR_ICMP || config->kind == GENERATOR_SYN ? 1 : 8;
	for (unsigned int i = 0; i < config->variants; i++) {
		struct generator_variant *variant = &config->variant[i];

		if (config->kind == GENERATOR_UDP) {
			memset(payload, 0, GENERATOR_HEAD);
			length = put_query(payload, labels[i]);
		} else if (config->kind == GENERATOR_AMP) {
			static const unsigned char answer[] = { 0, 0,  0x81, 0x80, 0, 1,
								0, 20, 0,    0,    0, 1 };

			memcpy(payload, answer, sizeof(answer));
			length = 1100 + i * 40;
		} else {
			length = config->kind == GENERATOR_ICMP ? 56 : 0;
			memset(payload + length, 0, GENERATOR_HEAD - length);
		}
		variant->length = (unsigned short)length;
		variant->sum = sum_bytes(payload, length);
		memcpy(variant->head, payload, GENERATOR_HEAD);
		longest = length > longest ? length : longest;
	}
	return L4_PAYLOAD + longest;
}

/* What the command line asks for. */
struct request {
	struct generator_config config;
	double rate, seconds;
	unsigned long long base;
};

/* A whole number up to `max`; false if the text is anything else. */
static bool take_number(const char *text, unsigned long long max, unsigned long long *ret_value)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end != '\0' || value > max)
		return false;
	*ret_value = value;
	return true;
}

static bool take_real(const char *text, double max, double *ret_value)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value > 0 && value <= max))
		return false;
	*ret_value = value;
	return true;
}

static bool take_mac(const char *text, unsigned char *ret_mac)
{
	struct ether_addr mac;

	if (!ether_aton_r(text, &mac))
		return false;
	memcpy(ret_mac, &mac, sizeof(mac));
	return true;
}

static bool parse(struct request *ret_request, char **argv)
{
	static const char *const kinds[] = { "syn", "udp", "icmp", "amp" };
	struct request request = { 0 };
	struct generator_config *config = &request.config;
	unsigned long long port, dscp;

	while (config->kind < 4 && strcmp(argv[1], kinds[config->kind]) != 0)
		config->kind++;
	config->ifindex = if_nametoindex(argv[2]);
	if (config->kind == 4 || !config->ifindex ||
	    inet_pton(AF_INET, argv[3], &config->target) != 1)
		return false;
	if (!take_number(argv[4], 65535, &port) || !take_mac(argv[5], config->source_mac) ||
	    !take_mac(argv[6], config->target_mac) || !take_number(argv[7], 63, &dscp) ||
	    !take_real(argv[8], 1e7, &request.rate) || !take_real(argv[9], 60, &request.seconds) ||
	    !take_number(argv[10], ~0ULL, &request.base))
		return false;
	config->target_port = (unsigned short)port;
	config->dscp = (unsigned char)dscp;
	config->interval_ns = (unsigned int)(1e9 / request.rate);
	*ret_request = request;
	return true;
}

/* Runs the program, which paces itself, for the asked time; fills 20 ms buckets. Returns 0 or negative errno. */
static int run_flood(const struct request *request, struct lab_generator *bpf, unsigned char *frame,
		     size_t length, unsigned int *buckets)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (unsigned int)length,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH,
		    .repeat = 1 + (int)(request->rate * CALL_SECONDS));
	unsigned long long end = now_ns() + (unsigned long long)(request->seconds * 1e9), slot,
			   before;
	int fd = bpf_program__fd(bpf->progs.generate), r;

	while (!stopped && now_ns() < end) {
		before = bpf->bss->frames;
		r = bpf_prog_test_run_opts(fd, &opts);
		if (r < 0 && r != -EINTR)
			return r;
		slot = (now_ns() - request->base) / METER_BUCKET_NS;
		if (slot < METER_BUCKETS)
			buckets[slot] += (unsigned int)(bpf->bss->frames - before);
	}
	return 0;
}

static void print_result(const struct lab_generator *bpf, unsigned long long first,
			 unsigned long long end, const unsigned int *buckets)
{
	unsigned int last = 0;

	for (unsigned int i = 0; i < METER_BUCKETS; i++)
		last = buckets[i] ? i + 1 : last;
	printf("{\"frames\": %llu, \"first_ns\": %llu, \"end_ns\": %llu, \"buckets\": [",
	       (unsigned long long)bpf->bss->frames, first, end);
	for (unsigned int i = 0; i < last; i++)
		printf("%s%u", i ? "," : "", buckets[i]);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	static unsigned int buckets[METER_BUCKETS];
	static unsigned char frame[FRAME_MAX];
	struct sigaction action = { .sa_handler = on_signal };
	struct request request;
	struct bpf_link *idle = NULL;
	struct lab_generator *bpf;
	unsigned long long first;
	size_t length;
	int r;

	if (argc != 12 || !parse(&request, argv)) {
		fprintf(stderr,
			"usage: lab-generator syn|udp|icmp|amp INTERFACE TARGET PORT SOURCE_MAC TARGET_MAC "
			"DSCP RATE SECONDS BASE_NS IDLE\n");
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	length = make_variants(&request.config, frame);
	bpf = lab_generator__open();
	if (!bpf) {
		fprintf(stderr, "lab-generator: %s\n", strerror(errno));
		return 1;
	}

	r = lab_generator__load(bpf);
	if (!r) {
		bpf->bss->flood = request.config;
		idle = bpf_program__attach_xdp(bpf->progs.generate, (int)if_nametoindex(argv[11]));
		r = idle ? 0 : -errno;
	}
	first = now_ns();
	if (!r)
		r = run_flood(&request, bpf, frame, length, buckets);
	if (r)
		fprintf(stderr, "lab-generator: %s\n", strerror(-r));
	else
		print_result(bpf, first, now_ns(), buckets);
	bpf_link__destroy(idle);
	lab_generator__destroy(bpf);
	return r ? 1 : 0;
}
