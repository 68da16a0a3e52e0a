/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An owner of the gate and a sender, for tests/netns/gate.py.
 *
 *   gate own PIN IF [generic]   opens the gate, attaches it and obeys lines on stdin, each answered by
 *                               one line: "rule TEXT", "deny PREFIX", "commit", "flip N" (two sets that
 *                               both drop UDP to port 9 in turns), "counters", "release"
 *   gate move PIN IF [half]     likewise of a gate of another version: with the rule "drop proto udp dport 9";
 *                               half: ends before the last step
 *   gate age PIN                makes what is pinned look like another version's
 *   gate detach PIN             removes the gate
 *   gate foreign IF             attaches a program named "stranger"
 *   gate filter IF              adds a traffic-control filter "neighbour" for what comes in, priority 1
 *   gate send IF SECONDS [ADDRESS COUNT]
 *                               sends UDP to port 9 until then, from one source or from COUNT /28s from ADDRESS
 *                               on; prints how many
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/gate.h"
#include "dataplane/rule.h"

#define LINE 512

static struct moat_gate *gate;
static struct moat_gate_port_info port;
static struct moat_ruleset *set;
static struct moat_error error;

static int answer(int r)
{
	if (r < 0)
		printf("{\"error\": %d, \"text\": \"%s\"}\n", -r, error.text);
	else
		printf("{\"result\": %d}\n", r);
	fflush(stdout);
	return r;
}

static int add_rule(struct moat_ruleset *to, const char *text)
{
	struct moat_rule rule;
	int r = moat_rule_parse(text, moat_clock_monotonic_ns(), &rule, &error);

	return r < 0 ? r : moat_ruleset_add(to, &rule, NULL);
}

static int deny(struct moat_ruleset *to, const char *text)
{
	struct moat_prefix prefix;
	int r = moat_prefix_parse(text, &prefix);

	return r < 0 ? r : moat_ruleset_list_add(to, MOAT_LIST_DENY, &prefix);
}

/* What drops by a rule, and what drops by a list, in turns: no packet may see neither. */
static int flip(long times)
{
	struct moat_ruleset *sets[2] = { NULL, NULL };
	int r = moat_ruleset_new(&sets[0]);

	if (r == 0)
		r = moat_ruleset_new(&sets[1]);
	if (r == 0)
		r = add_rule(sets[0], "drop proto udp dport 9");
	if (r == 0)
		r = deny(sets[1], "10.66.0.0/24");
	for (long i = 0; r == 0 && i < times; i++)
		r = moat_gate_commit(gate, sets[i & 1], &error);
	moat_ruleset_free(sets[0]);
	moat_ruleset_free(sets[1]);
	return r;
}

static int print_counters(void)
{
	struct moat_gate_counters counters;
	int r = moat_gate_counters(gate, port.index, &counters);

	if (r < 0)
		return answer(r);
	printf("{\"in\": %" PRIu64, (uint64_t)counters.in.packets);
	for (uint32_t i = 0; i < MOAT_REASON_COUNT; i++)
		printf(", \"%s\": %" PRIu64, moat_reason_name(i),
		       (uint64_t)counters.reasons[i].packets);
	puts("}");
	fflush(stdout);
	return 0;
}

static void obey(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "rule ", 5) == 0)
		answer(add_rule(set, line + 5));
	else if (strncmp(line, "deny ", 5) == 0)
		answer(deny(set, line + 5));
	else if (strncmp(line, "flip ", 5) == 0)
		answer(flip(strtol(line + 5, NULL, 10)));
	else if (strcmp(line, "commit") == 0)
		answer(moat_gate_commit(gate, set, &error));
	else if (strcmp(line, "release") == 0)
		answer(moat_gate_release(gate, port.name, &error));
	else
		print_counters();
}

static int own(const char *pin_path, const char *interface, bool generic)
{
	const struct moat_gate_options options = { .pin_path = pin_path,
						   .cells = 1024,
						   .nodes = 1024 };
	const struct moat_gate_port_options wish = { .name = interface, .generic = generic };
	char line[LINE];
	size_t ports;

	if (moat_ruleset_new(&set) < 0)
		return 1;
	if (answer(moat_gate_open(&options, &gate, &error)) < 0)
		return 1;
	moat_gate_ports(gate, &ports);
	if (answer(moat_gate_attach(gate, &wish, &port, &error)) == 0) {
		printf("{\"native\": %s, \"adopted\": %s, \"index\": %u, \"fallback\": \"%s\", "
		       "\"policy\": %s, \"ports\": %zu}\n",
		       port.native ? "true" : "false", port.adopted ? "true" : "false", port.index,
		       port.fallback, moat_gate_has_policy(gate) ? "true" : "false", ports);
		fflush(stdout);
		while (fgets(line, sizeof(line), stdin))
			obey(line);
	}
	moat_gate_close(gate);
	moat_ruleset_free(set);
	return 0;
}

/* A rule set that drops what the sender sends is in force before the port is attached, and the old tables
 * go afterwards. */
static int move(const char *pin_path, const char *interface, bool half)
{
	const struct moat_gate_options options = { .pin_path = pin_path,
						   .cells = 1024,
						   .nodes = 1024 };
	const struct moat_gate_port_options wish = { .name = interface };
	size_t found;
	int r = moat_ruleset_new(&set);

	if (r == 0)
		r = moat_gate_open(&options, &gate, &error);
	if (r < 0)
		return answer(r);
	moat_gate_ports(gate, &found);
	printf("{\"moving\": %s, \"ports\": %zu}\n", moat_gate_is_moving(gate) ? "true" : "false",
	       found);
	r = add_rule(set, "drop proto udp dport 9");
	if (r == 0)
		r = moat_gate_commit(gate, set, &error);
	if (r == 0)
		r = moat_gate_attach(gate, &wish, &port, &error);
	if (r == 0 && half)
		_exit(answer(r));
	if (r == 0)
		r = moat_gate_settle(gate, &error);
	answer(r);
	print_counters();
	moat_gate_close(gate);
	moat_ruleset_free(set);
	return r < 0;
}

/* The control word says another layout, and a table has another size. */
static int age(const char *pin_path)
{
	struct moat_gate_ctl control;
	const uint32_t key = 0;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/maps/ctl", pin_path);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_map_lookup_elem(fd, &key, &control) < 0)
		return 1;
	control.abi_version = 1;
	if (bpf_map_update_elem(fd, &key, &control, BPF_ANY) < 0)
		return 1;
	snprintf(path, sizeof(path), "%s/maps/limits", pin_path);
	unlink(path);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "limits", 4, 8, 16, NULL);
	return fd < 0 || bpf_obj_pin(fd, path) < 0;
}

static int foreign(const char *interface)
{
	const struct bpf_insn instructions[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "stranger", "GPL", instructions, 2, NULL);

	return fd < 0 || bpf_xdp_attach((int)if_nametoindex(interface), fd, 0, NULL) < 0;
}

static int filter(const char *interface)
{
	const struct bpf_insn instructions[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex(interface),
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1);
	int r;

	opts.prog_fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "neighbour", "GPL", instructions, 2,
				     NULL);
	r = bpf_tc_hook_create(&hook);
	return opts.prog_fd < 0 || (r < 0 && r != -EEXIST) || bpf_tc_attach(&hook, &opts) < 0;
}

static int detach(const char *pin_path)
{
	return answer(moat_gate_detach(pin_path, &error)) < 0;
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = number;
}

/* Where frames come from: any address of so many /28s. */
struct sources {
	uint32_t first; /* host order */
	uint32_t count; /* 0: the frame's own */
	uint64_t random;
};

static void set_source(struct sources *sources, uint8_t *frame)
{
	uint32_t address;

	if (sources->count == 0)
		return;
	/* a linear congruential generator, its upper half (Knuth, MMIX) */
	sources->random = sources->random * 6364136223846793005ULL + 1442695040888963407ULL;
	address = htonl(sources->first +
			(uint32_t)((sources->random >> 32) % (sources->count * 16ULL)));
	memcpy(frame + 26, &address, sizeof(address));
}

/* Some 20,000 packets a second: enough to meet every instant of a commit, few enough that none is lost
 * on the way to the gate. */
static int send_frames(const char *interface, double seconds, struct sources *sources)
{
	static uint8_t frame[60] = {
		0x02, 0, 0,  0,  0, 2, 0x02, 0,  0, 0, 0,  1,  0x08, 0, 0x45, 0,    0, 46, 0, 1,
		0,    0, 64, 17, 0, 0, 10,   66, 0, 1, 10, 66, 0,    2, 0x30, 0x39, 0, 9,  0, 26,
	};
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex(interface),
				  .sll_halen = 6 };
	uint64_t until = moat_clock_monotonic_ns() + (uint64_t)(seconds * MOAT_NS_PER_S);
	const struct timespec pause = { .tv_nsec = 1000000 };
	const struct sigaction on_interrupt = { .sa_handler = on_signal };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	uint64_t sent = 0;

	memcpy(to.sll_addr, frame, 6);
	sigaction(SIGINT, &on_interrupt, NULL);
	while (fd >= 0 && !stopped && moat_clock_monotonic_ns() < until) {
		for (int i = 0; i < 20; i++) {
			set_source(sources, frame);
			if (sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to,
				   sizeof(to)) > 0)
				sent++;
		}
		nanosleep(&pause, NULL);
	}
	printf("{\"sent\": %" PRIu64 "}\n", sent);
	return fd < 0;
}

static int send_from(int argc, char **argv)
{
	struct sources sources = { .count = 0 };
	struct in_addr first;

	if (argc == 6) {
		if (inet_pton(AF_INET, argv[4], &first) != 1)
			return 2;
		sources.first = ntohl(first.s_addr);
		sources.count = (uint32_t)strtoul(argv[5], NULL, 10);
	}
	return send_frames(argv[2], strtod(argv[3], NULL), &sources);
}

int main(int argc, char **argv)
{
	if (argc >= 4 && strcmp(argv[1], "own") == 0)
		return own(argv[2], argv[3], argc > 4);
	if (argc >= 4 && strcmp(argv[1], "move") == 0)
		return move(argv[2], argv[3], argc > 4);
	if (argc == 3 && strcmp(argv[1], "age") == 0)
		return age(argv[2]);
	if (argc == 3 && strcmp(argv[1], "detach") == 0)
		return detach(argv[2]);
	if (argc == 3 && strcmp(argv[1], "foreign") == 0)
		return foreign(argv[2]);
	if (argc == 3 && strcmp(argv[1], "filter") == 0)
		return filter(argv[2]);
	if ((argc == 4 || argc == 6) && strcmp(argv[1], "send") == 0)
		return send_from(argc, argv);
	fprintf(stderr,
		"usage: gate own PIN IF [generic] | detach PIN | send IF SECONDS [ADDRESS COUNT]\n");
	return 2;
}
