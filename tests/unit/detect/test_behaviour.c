/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Each behaviour beside the harmless one that looks most like it. */
#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "tests/harness/unit.h"
#include "tests/unit/detect/behaviour.h"

static struct behaviour behaviour;

static void expect(enum moat_finding_kind kind, int found)
{
	for (int i = 0; i < behaviour.count && behaviour_found(&behaviour, kind) != found; i++)
		printf("  %s\n", behaviour.found[i].sentence);
	CU_ASSERT_EQUAL(behaviour_found(&behaviour, kind), found);
	behaviour_end(&behaviour);
}

/* ---- scans --------------------------------------------------------------------------------------- */

/* `hosts` servers, `ports` ports of each; every `good`th attempt succeeds (0: none). */
static void fan_out(const char *net, int hosts, int ports, int good, uint8_t proto, double gap_s)
{
	for (int n = 0; n < hosts * ports; n++) {
		char server[64];
		struct behaviour_flow flow = {
			.client = strchr(net, ':') ? "2001:db8::66" : "198.51.100.66",
			.server = server,
			.client_port = 50000,
			.server_port = (uint16_t)(ports > 1 ? 20 + n % ports : 445),
			.proto = proto,
			.outcome = n % 2 ? MOAT_OUTCOME_UNANSWERED : MOAT_OUTCOME_REJECTED,
		};

		snprintf(server, sizeof(server), "%s%d", net, 1 + n / ports);
		if (good && n % good == 0)
			flow.outcome = MOAT_OUTCOME_CONVERSED;
		behaviour_flow(&behaviour, &flow);
		behaviour_wait(&behaviour, gap_s);
	}
}

static void test_scans(void)
{
	behaviour_begin(&behaviour);
	fan_out("192.0.2.", 1, 12, 0, 6, 0);
	CU_ASSERT_EQUAL(behaviour.found[0].proposal_count, 1);
	CU_ASSERT_FALSE(behaviour.found[0].peer.quads[1] == 0);
	expect(MOAT_FINDING_SCAN, 1);
	behaviour_begin(&behaviour);
	fan_out("192.0.2.", 12, 1, 0, 6, 0);
	expect(MOAT_FINDING_SCAN, 1);
	behaviour_begin(&behaviour);
	fan_out("2001:db8:1::", 12, 1, 0, 6, 0);
	expect(MOAT_FINDING_SCAN, 1);
	/* nmap -T1: a probe in 15 s; and one in 5 minutes */
	behaviour_begin(&behaviour);
	fan_out("192.0.2.", 1, 12, 0, 6, 15);
	expect(MOAT_FINDING_SCAN, 1);
	behaviour_begin(&behaviour);
	fan_out("192.0.2.", 1, 12, 0, 6, 300);
	expect(MOAT_FINDING_SCAN, 1);
}

static void test_no_scans(void)
{
	struct behaviour_flow flow = { "198.51.100.1", "192.0.2.1", 80, 50000, 6, 0, 0, { 0, 0 } };

	/* a client with some bad luck, a peer-to-peer node's lost datagrams */
	behaviour_begin(&behaviour);
	fan_out("192.0.2.", 40, 1, 3, 6, 0);
	expect(MOAT_FINDING_SCAN, 0);
	behaviour_begin(&behaviour);
	fan_out("192.0.2.", 24, 1, 0, 17, 0);
	expect(MOAT_FINDING_SCAN, 0);
	/* backscatter: answers to nothing, from one victim to many of ours */
	behaviour_begin(&behaviour);
	for (int i = 0; i < 200; i++) {
		char server[64];

		snprintf(server, sizeof(server), "192.0.2.%d", i);
		flow.server = server;
		flow.outcome = MOAT_OUTCOME_UNKNOWN;
		behaviour_flow(&behaviour, &flow);
	}
	expect(MOAT_FINDING_SCAN, 0);
}

/* ---- brute force --------------------------------------------------------------------------------- */

static void log_in(const char *client, int times, uint32_t answer, uint32_t differs, double seconds,
		   double gap_s)
{
	for (int i = 0; i < times; i++) {
		struct behaviour_flow flow = { client,
					       "192.0.2.22",
					       (uint16_t)(40000 + i),
					       22,
					       6,
					       MOAT_OUTCOME_CONVERSED,
					       seconds,
					       { 1500, answer + (uint32_t)i * differs } };

		behaviour_flow(&behaviour, &flow);
		behaviour_wait(&behaviour, gap_s);
	}
}

static void test_brute(void)
{
	struct moat_detect_config config = behaviour_config();
	struct behaviour_flow ftp = { "198.51.100.9", "192.0.2.21", 40000, 21, 6, 0, 0, { 0, 0 } };

	behaviour_begin(&behaviour);
	log_in("198.51.100.9", 20, 2200, 3, 1.5, 0.5);
	CU_ASSERT_EQUAL(behaviour.found[0].port, 22);
	expect(MOAT_FINDING_BRUTE_FORCE, 1);
	/* patient: one in a minute */
	behaviour_begin(&behaviour);
	log_in("198.51.100.9", 60, 2200, 3, 1.5, 58);
	expect(MOAT_FINDING_BRUTE_FORCE, 1);
	behaviour_begin(&behaviour);
	for (int i = 0; i < 20; i++)
		behaviour_say(&behaviour, &ftp, 1, "530 Login incorrect.\r\n", 0);
	expect(MOAT_FINDING_BRUTE_FORCE, 1);
	/* an administrator who runs things on a host all day, sessions among them */
	behaviour_begin(&behaviour);
	for (int i = 0; i < 8; i++) {
		log_in("198.51.100.9", 1, 90000, 0, 300, 1);
		log_in("198.51.100.9", 6, 2200, 700, 2, 1);
	}
	expect(MOAT_FINDING_BRUTE_FORCE, 0);
	/* a script whose every login does something else */
	behaviour_begin(&behaviour);
	log_in("198.51.100.9", 20, 1500, 900, 1, 1);
	expect(MOAT_FINDING_BRUTE_FORCE, 0);
	/* whom the configuration names */
	moat_prefix_parse("198.51.100.0/24", &config.admins[0]);
	config.admin_count = 1;
	behaviour_begin_with(&behaviour, &config);
	log_in("198.51.100.9", 40, 2200, 3, 1.5, 0.5);
	expect(MOAT_FINDING_BRUTE_FORCE, 0);
}

/* ---- beacons and miners -------------------------------------------------------------------------- */

static uint32_t state;

static double uniform(void)
{
	state = state * 1664525u + 1013904223u;
	return (double)(state >> 8) / (1 << 24);
}

static void report_home(uint16_t port, int times, double gap_s, double jitter, uint32_t differs)
{
	state = 7;
	for (int i = 0; i < times; i++) {
		struct behaviour_flow flow = { "10.0.0.5",
					       "203.0.113.7",
					       (uint16_t)(40000 + i),
					       port,
					       6,
					       MOAT_OUTCOME_CONVERSED,
					       0.2,
					       { 300 + (uint32_t)(uniform() * differs), 200 } };

		behaviour_flow(&behaviour, &flow);
		behaviour_wait(&behaviour, gap_s * (1 + jitter * (2 * uniform() - 1)));
	}
}

static void test_beacons(void)
{
	static const double jitters[] = { 0, 0.1, 0.3, 0.5 };

	for (size_t i = 0; i < sizeof(jitters) / sizeof(jitters[0]); i++) {
		behaviour_begin(&behaviour);
		report_home(4444, 40, 60, jitters[i], 0);
		expect(MOAT_FINDING_BEACON, 1);
	}
	/* visits at random (all gaps from nothing to twice the mean and more), of any size */
	behaviour_begin(&behaviour);
	report_home(443, 60, 60, 0.97, 5000);
	expect(MOAT_FINDING_BEACON, 0);
	/* a poller of a few rounds at a usual place */
	behaviour_begin(&behaviour);
	report_home(443, 14, 300, 0, 0);
	expect(MOAT_FINDING_BEACON, 0);
}

static void mine(double gap_s, uint32_t job, uint32_t differs, int times)
{
	struct moat_flow_record record = { .client_port = 40000,
					   .server_port = 443,
					   .proto = 6,
					   .event = MOAT_RECORD_SPEAKS,
					   .direction = 1,
					   .outcome = MOAT_OUTCOME_CONVERSED,
					   .is_whole = true,
					   .payload = { 900, 2000 } };

	moat_addr_parse("10.0.0.5", &record.client);
	moat_addr_parse("203.0.113.7", &record.server);
	state = 7;
	record.first_ns = (uint64_t)(behaviour.now_s * 1e9);
	for (int i = 0; i < times; i++) {
		behaviour_wait(&behaviour, gap_s);
		record.last_ns = (uint64_t)(behaviour.now_s * 1e9);
		moat_detect_flow(behaviour.detect, &record);
		record.payload[1] += job + (uint32_t)(uniform() * differs);
	}
	behaviour_wait(&behaviour, 1);
}

static void test_miners(void)
{
	struct behaviour_flow flow = { "10.0.0.5", "203.0.113.7", 40000, 3333, 6, 0, 0, { 0, 0 } };

	behaviour_begin(&behaviour);
	behaviour_say(&behaviour, &flow, 0, "{\"id\":1,\"method\":\"mining.subscribe\"}\n", 0);
	expect(MOAT_FINDING_MINER, 1);
	/* joined midway: the pool speaks first, the miner is the one that listens */
	behaviour_begin(&behaviour);
	behaviour_say(&behaviour, &flow, 0, "{\"method\":\"mining.notify\"}\n", 0);
	CU_ASSERT_EQUAL(behaviour.found[0].subject.bytes[12], 203);
	expect(MOAT_FINDING_MINER, 1);
	behaviour_begin(&behaviour);
	behaviour_say(&behaviour, &flow, 0, "{\"id\":1,\"method\":\"getUser\",\"params\":[]}\n", 0);
	expect(MOAT_FINDING_MINER, 0);
	/* encrypted */
	behaviour_begin(&behaviour);
	mine(25, 400, 0, 12);
	expect(MOAT_FINDING_MINER, 1);
	/* a chat: pushes of any size; a keep-alive: tiny ones */
	behaviour_begin(&behaviour);
	mine(25, 200, 3000, 30);
	expect(MOAT_FINDING_MINER, 0);
	behaviour_begin(&behaviour);
	mine(25, 30, 0, 30);
	expect(MOAT_FINDING_MINER, 0);
}

/* ---- names --------------------------------------------------------------------------------------- */

static size_t dns(uint8_t *out, const char *name, uint16_t type, uint8_t rcode, bool response)
{
	size_t length = 12;

	memset(out, 0, 12);
	out[2] = response ? 0x81 : 0x01;
	out[3] = rcode;
	out[5] = 1;
	while (*name) {
		size_t label = strcspn(name, ".");

		out[length++] = (uint8_t)label;
		memcpy(out + length, name, label);
		length += label;
		name += label + (name[label] == '.');
	}
	out[length++] = 0;
	out[length++] = (uint8_t)(type >> 8);
	out[length++] = (uint8_t)type;
	out[length++] = 0;
	out[length++] = 1;
	return length;
}

/* Names of `prefix`, so many letters and digits at random, and `suffix`. */
static void ask(const char *prefix, int random, const char *suffix, int times, uint16_t type,
		uint8_t rcode)
{
	struct behaviour_flow flow = { "10.0.0.5", "10.0.0.1", 40000, 53, 17, 0, 0, { 0, 0 } };

	state = 7;
	for (int i = 0; i < times; i++) {
		uint8_t message[384];
		char name[256], label[64];
		size_t length;

		for (int c = 0; c < 40; c++)
			label[c] = "abcdefghijklmnopqrstuvwxyz0123456789"[(int)(uniform() * 36)];
		label[40] = '\0';
		snprintf(name, sizeof(name), "%s%.*s%s", prefix, random, label, suffix);
		length = dns(message, name, type, 0, false);
		behaviour_say(&behaviour, &flow, 0, message, length);
		length = dns(message, name, type, rcode, true);
		behaviour_say(&behaviour, &flow, 1, message, length);
	}
}

static void test_names(void)
{
	behaviour_begin(&behaviour);
	ask("", 40, ".t.example.com", 80, 1, 0);
	expect(MOAT_FINDING_DNS_TUNNEL, 1);
	behaviour_begin(&behaviour);
	ask("", 40, ".t.example.com", 30, 10, 0);
	expect(MOAT_FINDING_DNS_TUNNEL, 1);
	/* short names of a CDN, any number of them */
	behaviour_begin(&behaviour);
	ask("e", 6, ".example.com", 300, 1, 0);
	CU_ASSERT_EQUAL(behaviour_found(&behaviour, MOAT_FINDING_DGA), 0);
	expect(MOAT_FINDING_DNS_TUNNEL, 0);
	behaviour_begin(&behaviour);
	ask("", 14, ".com", 30, 1, 3);
	expect(MOAT_FINDING_DGA, 1);
	/* a mistyped domain asked for again and again; names of the local network */
	behaviour_begin(&behaviour);
	ask("", 2, ".exmaple.com", 60, 1, 3);
	ask("", 8, ".local", 60, 1, 3);
	expect(MOAT_FINDING_DGA, 0);
}

/* ---- lateral movement ---------------------------------------------------------------------------- */

static void sweep(int hosts)
{
	for (int i = 1; i <= hosts; i++) {
		char server[64];
		struct behaviour_flow flow = {
			"10.0.0.5", server, 40000, 22, 6, MOAT_OUTCOME_CONVERSED, 5, { 5000, 40000 }
		};

		snprintf(server, sizeof(server), "10.0.1.%d", i);
		behaviour_flow(&behaviour, &flow);
	}
}

static void test_lateral(void)
{
	static const uint8_t tree[] = "\xfeSMB............\\\0A\0D\0M\0I\0N\0$\0";
	struct behaviour_flow smb = { "10.0.0.5", "10.0.1.9", 40000, 445, 6, 0, 0, { 0, 0 } };
	struct moat_detect_config config = behaviour_config();

	behaviour_begin(&behaviour);
	behaviour_say(&behaviour, &smb, 0, tree, sizeof(tree) - 1);
	expect(MOAT_FINDING_LATERAL, 1);
	behaviour_begin(&behaviour);
	sweep(8);
	expect(MOAT_FINDING_LATERAL, 1);
	/* a host or two more is everyday life */
	behaviour_begin(&behaviour);
	sweep(2);
	expect(MOAT_FINDING_LATERAL, 0);
	/* what was learned is normal */
	config.learn_edges_ns = 3600ULL * 1000000000;
	behaviour_begin_with(&behaviour, &config);
	sweep(8);
	behaviour_say(&behaviour, &smb, 0, tree, sizeof(tree) - 1);
	behaviour_wait(&behaviour, 7200);
	sweep(8);
	behaviour_say(&behaviour, &smb, 0, tree, sizeof(tree) - 1);
	expect(MOAT_FINDING_LATERAL, 0);
}

/* ---- services and findings ----------------------------------------------------------------------- */

static void test_slow_http(void)
{
	struct moat_flow_record record = { .server_port = 80,
					   .proto = 6,
					   .event = MOAT_RECORD_SPEAKS,
					   .is_whole = true,
					   .outcome = MOAT_OUTCOME_ACCEPTED,
					   .payload = { 120, 0 } };

	behaviour_begin(&behaviour);
	moat_addr_parse("198.51.100.9", &record.client);
	moat_addr_parse("192.0.2.80", &record.server);
	for (int i = 0; i < 120; i++) {
		record.client_port = (uint16_t)(40000 + i);
		record.first_ns = (uint64_t)(behaviour.now_s * 1e9) - 12000000000ULL;
		record.last_ns = (uint64_t)(behaviour.now_s * 1e9);
		moat_detect_flow(behaviour.detect, &record);
		behaviour_wait(&behaviour, 0.1);
	}
	expect(MOAT_FINDING_SLOW_HTTP, 1);
}

/* One finding while it lasts, closed after its quiet time. */
static void test_merging(void)
{
	behaviour_begin(&behaviour);
	fan_out("192.0.2.", 1, 60, 0, 6, 1);
	CU_ASSERT_EQUAL(behaviour.count, 1);
	CU_ASSERT_EQUAL(behaviour.closed, 0);
	behaviour_wait(&behaviour, 1000);
	CU_ASSERT_EQUAL(behaviour.closed, 1);
	expect(MOAT_FINDING_SCAN, 1);
}

/* A gate sees no flows: nothing that needs them runs. */
static void test_modes(void)
{
	struct moat_detect_config config = behaviour_config();

	config.mode = MOAT_MODE_GATEWAY;
	behaviour_begin_with(&behaviour, &config);
	fan_out("192.0.2.", 1, 60, 0, 6, 0);
	expect(MOAT_FINDING_SCAN, 0);
}

static const struct moat_test tests[] = {
	{ "scans: vertical, horizontal, IPv6, slow", test_scans },
	{ "no scans: bad luck, lost datagrams, backscatter", test_no_scans },
	{ "brute force, and busy administrators", test_brute },
	{ "beacons with jitter, and visitors", test_beacons },
	{ "miners, and chats", test_miners },
	{ "DNS tunnels and generated names", test_names },
	{ "lateral movement, and what is usual", test_lateral },
	{ "slow HTTP", test_slow_http },
	{ "one finding while it lasts", test_merging },
	{ "what the mode can't see", test_modes },
	{ NULL, NULL },
};

int main(void)
{
	return moat_test_main("detect-behaviour", tests);
}
