/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lab-meter: holds the lab's BPF programs in place for one run and answers the lab line by line.
 *
 *   lab-meter DSCP SERVERS MASK SERVERS6 MARK TTL SENT PASSED UPLINK     each place as NETNS_FILE:INTERFACE
 *
 * Commands on stdin, one JSON line each on stdout: `base` starts the clock and zeroes the counters, `read`
 * prints every bucket so far, `pass on|off` attaches the stand-in for the gate. End of input ends it, and the
 * kernel drops its programs with the namespaces.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lab_meter.skel.h"
#include "tests/lab/meter.h"

#define MAP_BYTES (METER_BUCKETS * sizeof(struct meter_bucket))

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

/* Moves the process into a place's namespace; returns its interface's index there, or negative errno. */
static int enter(const char *place)
{
	const char *colon = strrchr(place, ':');
	char file[256];
	int fd, index, r;

	if (!colon || (size_t)(colon - place) >= sizeof(file))
		return -EINVAL;
	memcpy(file, place, (size_t)(colon - place));
	file[colon - place] = '\0';
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = setns(fd, CLONE_NEWNET) ? -errno : 0;
	close(fd);
	if (r)
		return r;
	index = (int)if_nametoindex(colon + 1);
	return index ? index : -errno;
}

/* Attaches a program to the clsact egress of a place; returns 0 or negative errno. */
static int attach_egress(const char *place, const struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(program));
	int r;

	hook.ifindex = enter(place);
	if (hook.ifindex < 0)
		return hook.ifindex;
	r = bpf_tc_hook_create(&hook);
	if (r && r != -EEXIST)
		return r;
	return bpf_tc_attach(&hook, &opts);
}

/* Prints one point's buckets as [[marked, clean], ...]. */
static void print_buckets(const char *name, const struct meter_bucket *buckets, unsigned int count)
{
	printf(", \"%s\": [", name);
	for (unsigned int i = 0; i < count; i++)
		printf("%s[%llu,%llu]", i ? "," : "", buckets[i].marked, buckets[i].clean);
	printf("]");
}

struct meter {
	struct lab_meter *bpf;
	struct meter_bucket *sent, *passed;
	const char *uplink, *outer; /* places of both ends of the uplink */
	struct bpf_link *pass, *outer_pass;
};

/* Puts an XDP program on a place, or takes it off. */
static int meter_xdp(const struct bpf_program *program, const char *place, struct bpf_link **link,
		     bool on)
{
	int index;

	if (!on) {
		bpf_link__destroy(*link);
		*link = NULL;
		return 0;
	}
	if (*link)
		return 0;
	index = enter(place);
	if (index < 0)
		return index;
	*link = bpf_program__attach_xdp(program, index);
	return *link ? 0 : -errno;
}

/* One command, one line of answer. */
static void answer(struct meter *meter, const char *line)
{
	unsigned long long slots;
	int r;

	if (!strcmp(line, "base\n")) {
		memset(meter->sent, 0, MAP_BYTES);
		memset(meter->passed, 0, MAP_BYTES);
		meter->bpf->bss->first_marked_ns = 0;
		meter->bpf->bss->base_ns = now_ns();
		printf("{\"base_ns\": %llu}\n", (unsigned long long)meter->bpf->bss->base_ns);
	} else if (!strcmp(line, "read\n")) {
		slots = (now_ns() - meter->bpf->bss->base_ns) / METER_BUCKET_NS + 1;
		slots = slots < METER_BUCKETS ? slots : METER_BUCKETS;
		printf("{\"base_ns\": %llu, \"first_ns\": %llu, \"bucket_ns\": %llu",
		       (unsigned long long)meter->bpf->bss->base_ns,
		       (unsigned long long)meter->bpf->bss->first_marked_ns, METER_BUCKET_NS);
		print_buckets("sent", meter->sent, (unsigned int)slots);
		print_buckets("passed", meter->passed, (unsigned int)slots);
		printf("}\n");
	} else if (!strcmp(line, "pass on\n") || !strcmp(line, "pass off\n")) {
		r = meter_xdp(meter->bpf->progs.pass_all, meter->uplink, &meter->pass,
			      line[6] == 'n');
		printf("{\"error\": %d}\n", r);
	} else if (!strcmp(line, "receive on\n")) {
		/* veth delivers what XDP sends back to a peer with a program alone */
		r = meter_xdp(meter->bpf->progs.take_answers, meter->outer, &meter->outer_pass,
			      true);
		printf("{\"error\": %d}\n", r);
	} else {
		printf("{\"error\": %d}\n", -EINVAL);
	}
	fflush(stdout);
}

static int meter_open(struct meter *meter, char **argv)
{
	struct in6_addr servers6;
	struct in_addr address, mask;
	unsigned long dscp;
	char *end;
	int r;

	dscp = strtoul(argv[1], &end, 10);
	if (*end != '\0' || dscp < 1 || dscp > 63)
		return -EINVAL;
	if (inet_pton(AF_INET, argv[2], &address) != 1 || inet_pton(AF_INET, argv[3], &mask) != 1 ||
	    inet_pton(AF_INET6, argv[4], &servers6) != 1)
		return -EINVAL;
	meter->bpf = lab_meter__open();
	if (!meter->bpf)
		return -errno;
	meter->bpf->rodata->mark_dscp = (unsigned char)dscp;
	meter->bpf->rodata->servers_net = ntohl(address.s_addr);
	meter->bpf->rodata->servers_mask = ntohl(mask.s_addr);
	memcpy((void *)meter->bpf->rodata->servers6_net, &servers6,
	       sizeof(meter->bpf->rodata->servers6_net));
	r = lab_meter__load(meter->bpf);
	if (r)
		return r;
	meter->sent = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			   bpf_map__fd(meter->bpf->maps.sent), 0);
	meter->passed = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			     bpf_map__fd(meter->bpf->maps.passed), 0);
	return meter->sent == MAP_FAILED || meter->passed == MAP_FAILED ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct meter meter = {};
	char line[64];
	int r;

	if (argc != 10) {
		fprintf(stderr,
			"usage: lab-meter DSCP SERVERS MASK SERVERS6 MARK TTL SENT PASSED UPLINK\n");
		return 2;
	}
	meter.outer = argv[7];
	meter.uplink = argv[9];
	r = meter_open(&meter, argv);
	if (!r)
		r = attach_egress(argv[5], meter.bpf->progs.mark_attack);
	if (!r)
		r = attach_egress(argv[6], meter.bpf->progs.spread_ttl);
	if (!r)
		r = attach_egress(argv[7], meter.bpf->progs.count_sent);
	if (!r)
		r = attach_egress(argv[8], meter.bpf->progs.count_passed);
	if (r) {
		fprintf(stderr, "lab-meter: %s\n", strerror(-r));
		return 1;
	}
	answer(&meter, "base\n");
	while (fgets(line, sizeof(line), stdin))
		answer(&meter, line);
	bpf_link__destroy(meter.outer_pass);
	bpf_link__destroy(meter.pass);
	lab_meter__destroy(meter.bpf);
	return 0;
}
