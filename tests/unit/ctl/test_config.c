/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration file: what it means, and that each error names its place and changes nothing. */
#include <errno.h>
#include <string.h>

#include "ctl/config.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "tests/harness/unit.h"

static int parse(const char *text, struct moat_config **ret_config, struct moat_error *error)
{
	return moat_config_parse("f", text, strlen(text), 0, ret_config, error);
}

/* Refused, with exactly this sentence. */
static void check_refused(const char *text, const char *expected)
{
	struct moat_config *config = (struct moat_config *)0x1;
	struct moat_error error = { .text = "" };
	int r = parse(text, &config, &error);

	CU_ASSERT_EQUAL(r, -EINVAL);
	CU_ASSERT_PTR_EQUAL(config, (struct moat_config *)0x1);
	if (strcmp(error.text, expected) != 0)
		fprintf(stderr, "expected: %s\n     got: %s\n", expected, error.text);
	CU_ASSERT_STRING_EQUAL(error.text, expected);
}

static void test_defaults(void)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;

	CU_ASSERT_EQUAL_FATAL(parse("ports: [{name: eth0}]\n", &config, NULL), 0);
	CU_ASSERT_STRING_EQUAL(config->run_dir, "/run/moat");
	CU_ASSERT_STRING_EQUAL(config->events_path, "/var/log/moat/events.json");
	CU_ASSERT_EQUAL(config->port_count, 1);
	CU_ASSERT_EQUAL(config->ports[0].role, MOAT_ROLE_GATEWAY);
	CU_ASSERT_EQUAL(config->respond.mode, MOAT_RESPOND_OBSERVE);
	CU_ASSERT_EQUAL(config->respond.max_rules, 64);
	CU_ASSERT_EQUAL(config->respond.allow_count, 0);
	CU_ASSERT_EQUAL(config->log_level, MOAT_LOG_INFO);
}

static void test_everything(void)
{
	static const char text[] = "run_dir: /r\n"
				   "log_level: debug\n"
				   "ports:\n"
				   "  - {name: a, role: wire, peer: b}\n"
				   "  - {name: b, role: wire, peer: a, mode: generic}\n"
				   "afxdp: {frames: 1024, busy_poll: 20, budget: 32}\n"
				   "gate: {cells: 2048, nodes: 5000, sample_pass: 0, sample_drop: 7}\n"
				   "detect:\n"
				   "  protected: [10.0.0.0/8, \"2001:db8::/32\"]\n"
				   "  learn: 20s\n"
				   "  floor: {udp: 5}\n"
				   "  guard: {syn: 0, amplification: 1e4}\n"
				   "  sensitivity: 2.5\n"
				   "  seed: 18446744073709551615\n"
				   "respond: {mode: enforce, max_rules: 3, hold: 2m, allow: [192.0.2.1]}\n"
				   "lists: {allow: [192.0.2.2], deny: [198.51.100.0/24]}\n"
				   "events: {path: none, queue: 64}\n";
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;

	CU_ASSERT_EQUAL_FATAL(parse(text, &config, NULL), 0);
	CU_ASSERT_EQUAL(config->log_level, MOAT_LOG_DEBUG);
	CU_ASSERT_STRING_EQUAL(config->ports[1].peer, "a");
	CU_ASSERT_TRUE(config->ports[1].generic);
	CU_ASSERT_EQUAL(config->gate_cells, 2048);
	CU_ASSERT_EQUAL(config->afxdp.frames, 1024);
	CU_ASSERT_EQUAL(config->afxdp.busy_poll_us, 20);
	CU_ASSERT_EQUAL(config->afxdp.busy_poll_budget, 32);
	CU_ASSERT_EQUAL(config->sample_pass, 0);
	CU_ASSERT_EQUAL(config->detect.protected_count, 2);
	CU_ASSERT_EQUAL(config->detect.learn_ns, 20 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(config->detect.floor_pps[1], 5);
	CU_ASSERT_EQUAL(config->detect.guard_pps[0], 0);
	CU_ASSERT_EQUAL(config->detect.guard_pps[3], 10000);
	CU_ASSERT_EQUAL(config->detect.seed, UINT64_MAX);
	CU_ASSERT_EQUAL(config->respond.hold_ns, 120 * MOAT_NS_PER_S);
	/* the responder spares both lists */
	CU_ASSERT_EQUAL(config->respond.allow_count, 2);
	CU_ASSERT_EQUAL(config->list_deny.count, 1);
	CU_ASSERT_PTR_NULL(config->events_path);
}

static void test_places(void)
{
	check_refused("ports:\n  - name: a\n    rolle: x\n",
		      "f:3:5: unknown key \"rolle\" in ports.0");
	check_refused("prots: []\n", "f:1:1: unknown key \"prots\"");
	check_refused("ports:\n  - role: wire\n", "f:2:5: \"name\" is missing in ports.0");
	check_refused("ports:\n  - name: a\n    role: x\n",
		      "f:3:11: ports.0.role: \"x\" is none of gateway, wire, mirror, container");
	check_refused("ports: [{name: a, mode: native}]\n",
		      "f:1:25: ports.0.mode: \"native\" is none of auto, generic");
	check_refused("ports: [{name: a}]\nrespond: {mode: Enforce}\n",
		      "f:2:17: respond.mode: \"Enforce\" is none of observe, enforce");
	check_refused("ports: [{name: a}]\nlog_level: all\n",
		      "f:2:12: log_level: \"all\" is none of error, warning, info, debug");
	check_refused("ports: [{name: a}]\ndetect:\n  learn: soon\n",
		      "f:3:10: detect.learn: \"soon\" is no duration (say 90s, 5m or 1.5h)");
	check_refused("ports: [{name: a}]\nlists:\n  deny:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n",
		      "f:5:7: lists.deny.1: \"10.0.0.1/8\" has bits set behind the prefix");
	check_refused(
		"ports: [{name: a}]\nrespond: {allow: [nobody]}\n",
		"f:2:19: respond.allow.0: \"nobody\" is no prefix (say 192.0.2.0/24 or 2001:db8::/32)");
	check_refused("ports: [{name: a}]\nafxdp: {frames: 1000}\n",
		      "f:2:17: afxdp.frames: 1000 is not a power of two");
	check_refused("ports: [{name: a}]\nafxdp: {frames: 32}\n",
		      "f:2:17: afxdp.frames: 32 is not in 64 to 65536");
	check_refused("ports: [{name: a}]\nafxdp: {busy_poll: 5000}\n",
		      "f:2:20: afxdp.busy_poll: 5000 is not in 0 to 1000");
	check_refused("ports: [{name: a}]\nafxdp: {busy_poll: 20, budget: 0}\n",
		      "f:2:32: afxdp.budget: 0 is not in 1 to 1024");
	check_refused("ports: [{name: a}]\ngate: {cells: 1000}\n",
		      "f:2:15: gate.cells: 1000 is not a power of two");
	check_refused("ports: [{name: a}]\nrespond: {max_rules: 0}\n",
		      "f:2:22: respond.max_rules: 0 is not in 1 to 512");
	check_refused("ports: [{name: a}]\ndetect: {sensitivity: nan}\n",
		      "f:2:23: detect.sensitivity: nan is not in 0.01 to 100");
	check_refused("ports: [{name: a}]\nrun_dir: run\n",
		      "f:2:10: run_dir: \"run\" is no absolute path");
}

static void test_ports(void)
{
	check_refused("", "f:1:1: ports: at least one port is needed");
	check_refused("ports:\n  - name: a\n  - name: a\n",
		      "f:3:11: ports.1.name: port \"a\" is listed twice");
	check_refused("ports:\n  - {name: a, role: wire}\n",
		      "f:2:5: ports.0.peer: a wire needs the port on its other side as \"peer\"");
	check_refused("ports:\n  - {name: a, role: wire, peer: b}\n",
		      "f:2:33: ports.0.peer: \"b\" is no other port with role wire");
	check_refused("ports:\n  - {name: a, peer: b}\n",
		      "f:2:21: ports.0.peer: only a port with role wire has a peer");
	check_refused("ports:\n  - {name: a, dpdk: net_null0}\n",
		      "f:2:21: ports.0.dpdk: only a port with role wire or mirror can be DPDK's");
	check_refused("ports:\n  - {name: a, role: mirror, queues: 2}\n",
		      "f:2:37: ports.0.queues: only of a port with dpdk; interfaces: ethtool -L");
	check_refused("ports:\n  - {name: a, role: wire, peer: b, dpdk: net_null0}\n"
		      "  - {name: b, role: wire, peer: a}\n",
		      "f:2:33: ports.0.peer: one side of a wire can't be DPDK's alone");
	check_refused("ports:\n  - {name: a, role: container, fail: closed}\n",
		      "f:2:38: ports.0.fail: a container's port doesn't judge: it can't fail");
	check_refused("ports:\n  - {name: a, forward: wire}\n",
		      "f:2:5: ports.0.peer: a wire needs the port on its other side as \"peer\"");
	check_refused("ports:\n  - {name: a, role: mirror, forward: fib}\n",
		      "f:2:38: ports.0.forward: only a port with role gateway forwards");
	check_refused("ports:\n  - name: a/b\n",
		      "f:2:11: ports.0.name: \"a/b\" is no interface name");
}

/* A name goes before a pattern, and among patterns the first does. */
static void test_patterns(void)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	struct moat_error error = { .text = "" };
	static const char text[] = "ports:\n"
				   "  - {name: \"veth*\", mode: generic}\n"
				   "  - {name: \"v[a-f]*\"}\n"
				   "  - {name: veth9, replace: true}\n";

	CU_ASSERT_EQUAL_FATAL(moat_config_parse("f", text, strlen(text), 0, &config, &error), 0);
	CU_ASSERT_PTR_EQUAL(moat_config_port_of(config, "veth1"), &config->ports[0]);
	CU_ASSERT_PTR_EQUAL(moat_config_port_of(config, "vath1"), &config->ports[1]);
	CU_ASSERT_PTR_EQUAL(moat_config_port_of(config, "veth9"), &config->ports[2]);
	CU_ASSERT_PTR_NULL(moat_config_port_of(config, "eth0"));
	CU_ASSERT(config->ports[0].is_pattern);
	CU_ASSERT(!config->ports[2].is_pattern);
	CU_ASSERT(config->ports[2].replace);
	CU_ASSERT(!config->ports[1].replace);
	check_refused("ports:\n  - {name: a, egress: {packets: 5}}\n",
		      "f:2:23: ports.0.egress: only a port with role container has limits on what it "
		      "sends");
	check_refused("ports:\n  - {name: \"m*\", role: mirror}\n",
		      "f:2:12: ports.0.name: \"m*\" is a pattern: a wire or mirror port has a name");
}

static void test_missing_port(void)
{
	static const char text[] = "ports:\n  - name: moat-none\n";
	struct moat_config *config = NULL;
	struct moat_error error = { .text = "" };

	CU_ASSERT_EQUAL(moat_config_parse("f", text, strlen(text), MOAT_CONFIG_CHECK_PORTS, &config,
					  &error),
			-EINVAL);
	CU_ASSERT_STRING_EQUAL(
		error.text,
		"f:2:11: ports.0.name: there is no interface \"moat-none\" (see: ip link)");
}

static void test_tunnels(void)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;

	CU_ASSERT_EQUAL_FATAL(parse("ports: [{name: a}]\ntunnels: [gre, ip, vxlan:8472, geneve]\n",
				    &config, NULL),
			      0);
	CU_ASSERT_EQUAL(config->tunnels.kinds, MOAT_STAGE_TUNNELS);
	CU_ASSERT_EQUAL(config->tunnels.vxlan_port, 8472);
	CU_ASSERT_EQUAL(config->tunnels.geneve_port, 6081);
	check_refused("ports: [{name: a}]\ntunnels: [gre, l2tp]\n",
		      "f:2:16: tunnels.1: \"l2tp\" is none of gre, ip, vxlan, vxlan:PORT, geneve, "
		      "geneve:PORT");
	check_refused("ports: [{name: a}]\ntunnels: [gre:5]\n",
		      "f:2:11: tunnels.0: \"gre:5\" is a kind of tunnel that has no port");
	check_refused("ports: [{name: a}]\ntunnels: [\"vxlan:\"]\n",
		      "f:2:11: tunnels.0: \"vxlan:\" is without a port from 1 to 65535 behind the "
		      "colon");
	check_refused("ports: [{name: a}]\ntunnels: [vxlan:65536]\n",
		      "f:2:11: tunnels.0: \"vxlan:65536\" is without a port from 1 to 65535 behind "
		      "the colon");
	check_refused("ports: [{name: a}]\ntunnels: [gre, gre]\n",
		      "f:2:16: tunnels.1: \"gre\" is named twice");
	check_refused("ports: [{name: a}]\ntunnels: [geneve, vxlan:6081]\n",
		      "f:2:19: tunnels.1: \"vxlan:6081\" is on the port of another tunnel");
}

static void test_challenge(void)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;

	CU_ASSERT_EQUAL_FATAL(parse("ports: [{name: a}]\n"
				    "challenge: {lifetime: 1h, prefix_rate: 10, rate: 5000, form: "
				    "reset}\n"
				    "respond: {challenge: true}\n",
				    &config, NULL),
			      0);
	CU_ASSERT_EQUAL(config->challenge.lifetime_s, 3600);
	CU_ASSERT_EQUAL(config->challenge.prefix_pps, 10);
	CU_ASSERT_EQUAL(config->challenge.box_pps, 5000);
	CU_ASSERT_EQUAL(config->challenge.form, MOAT_CHALLENGE_RESET);
	CU_ASSERT_TRUE(config->respond.challenge);
	check_refused("ports: [{name: a}]\nchallenge: {lifetime: 8d}\n",
		      "f:2:23: challenge.lifetime: no duration of 1s to 7d");
	check_refused("ports: [{name: a}]\nchallenge: {prefix_rate: 0}\n",
		      "f:2:26: challenge.prefix_rate: 0 is not in 1 to 65535");
	check_refused("ports: [{name: a, role: mirror}]\nrespond: {challenge: true}\n",
		      "f:2:22: respond.challenge: a mirror port can't answer");
}

static void test_outlets(void)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;

	CU_ASSERT_EQUAL_FATAL(
		parse("ports: [{name: a}]\n"
		      "notify: {script: /x, webhook: 'https://a/b', token_file: /y, "
		      "timeout: 2s}\n"
		      "upstream: {action: blackhole, uplink: 2.5Gbit/s, share: 0.5, hold: "
		      "1m, max_routes: 2,\n"
		      "  community: '64500:1', next_hop6: '100::1', prefixes: "
		      "['2001:db8::/32']}\n",
		      &config, NULL),
		0);
	CU_ASSERT_STRING_EQUAL(config->notify.webhook, "https://a/b");
	CU_ASSERT_EQUAL(config->notify.timeout_ns, 2 * MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(config->upstream.action, MOAT_UPSTREAM_BLACKHOLE);
	CU_ASSERT_EQUAL(config->upstream.uplink_mbps, 2500);
	CU_ASSERT_EQUAL(config->upstream.community, 64500u << 16 | 1);
	CU_ASSERT_EQUAL(config->upstream.prefix_count, 1);
	check_refused("ports: [{name: a}]\nnotify: {script: x}\n",
		      "f:2:18: notify.script: \"x\" is no absolute path");
	check_refused("ports: [{name: a}]\nnotify: {webhook: 'ftp://a'}\n",
		      "f:2:19: notify.webhook: is no http:// or https:// URL");
	check_refused("ports: [{name: a}]\nnotify: {webhook: 'http://a', token_file: /x}\n",
		      "f:2:43: notify.token_file: a token goes to an https:// URL only");
	check_refused("ports: [{name: a}]\nupstream: {action: flowspec}\n",
		      "f:2:11: upstream: \"uplink\" is missing: what the uplink holds");
	check_refused("ports: [{name: a}]\nupstream: {action: maybe}\n",
		      "f:2:20: upstream.action: \"maybe\" is none of off, blackhole, flowspec");
	check_refused("ports: [{name: a}]\nupstream: {uplink: 10}\n",
		      "f:2:20: upstream.uplink: \"10\" is no bandwidth (say 10Gbit/s or 500Mbit/s)");
	check_refused("ports: [{name: a}]\nupstream: {community: '65536:1'}\n",
		      "f:2:23: upstream.community: \"65536:1\" is no community (say 65535:666)");
	check_refused("ports: [{name: a}]\nflows: {listen: [{}]}\n",
		      "f:2:8: flows: \"exporters\" is missing: whose datagrams are believed");
	check_refused("ports: [{name: a}]\nflows: {exporters: [192.0.2.1], listen: [{port: 0}]}\n",
		      "f:2:49: flows.listen.0.port: 0 is not in 1 to 65535");
	check_refused("ports: [{name: a}]\nflows: {export: {address: nowhere}}\n",
		      "f:2:27: flows.export.address: \"nowhere\" is no address");
	check_refused("ports: [{name: a}]\nupstream: {next_hop: '::1'}\n",
		      "f:2:22: upstream.next_hop: \"::1\" is no IPv4 address");
}

static void test_no_yaml(void)
{
	check_refused(
		"ports:\n\t- a\n",
		"f:2:1: found character that cannot start any token, while scanning for the next token");
	check_refused("- a\n", "f:1:1: \"key: value\" lines belong here");
	check_refused("ports: a\n", "f:1:8: ports: a list belongs here, as in [a, b]");
	check_refused("ports: &x [{name: a}]\nlists: *x\n", "f:2:1: lists: YAML alias unsupported");
}

static void test_mixed_kinds(void)
{
	struct moat_config *config = NULL;
	struct moat_error error = { .text = "" };

	CU_ASSERT_EQUAL(parse("ports:\n  - name: a\n  - {name: b, role: mirror}\n", &config, &error),
			-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(error.text, "f:3:21: ports.1.role: gateway ports, and wire or mirror ports"));
}

static void test_file(void)
{
	struct moat_config *config = NULL;
	struct moat_error error = { .text = "" };

	CU_ASSERT_EQUAL(moat_config_load("/nonexistent", 0, &config, &error), -ENOENT);
	CU_ASSERT_STRING_EQUAL(error.text, "/nonexistent: No such file or directory");
	CU_ASSERT_EQUAL(moat_config_load("/", 0, &config, &error), -EISDIR);
	CU_ASSERT_PTR_NULL(config);
}

static void test_stages(void)
{
	static const char text[] =
		"ports:\n"
		"  - {name: a}\n"
		"  - {name: b, stages: {broken: off, martians: off, sample: off}}\n"
		"gate: {buckets: 1024}\n"
		"stages: {broken: on, flags: on}\n"
		"protect:\n"
		"  - {prefix: 198.51.100.0/24, syn: 5000, udp: 2000/s burst 500, challenge: 800}\n"
		"  - {prefix: \"2001:db8::/32\", icmp: 10/s, other: 7, each: true, challenge: on}\n"
		"sources:\n"
		"  - {prefix: any, limit: 20000/s and 100Mbit/s burst 400}\n"
		"  - {prefix: 10.0.0.0/8, limit: none, v4: 24, v6: 48}\n"
		"amplification: [default, \"53:4096\", \"19:0\"]\n"
		"fragments: drop\n"
		"neighbours: [192.0.2.1]\n"
		"management: [192.0.2.64/26, \"2001:db8:1::/48\"]\n"
		"martians: [rfc6890, 203.0.114.0/24]\n";
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;
	struct moat_error error = { .text = "" };
	const struct moat_stage_set *set;
	const uint32_t all = MOAT_STAGES_DEFAULT | MOAT_STAGE_BROKEN | MOAT_STAGE_FLAGS |
			     MOAT_STAGE_MARTIAN | MOAT_STAGE_AMPLIFICATION | MOAT_STAGE_FRAGMENTS |
			     MOAT_STAGE_SOURCES | MOAT_STAGE_CHALLENGE | MOAT_STAGE_PROFILES;

	CU_ASSERT_EQUAL(parse(text, &config, &error), 0);
	CU_ASSERT_STRING_EQUAL_FATAL(error.text, "");
	set = config->stages;
	CU_ASSERT_EQUAL(config->ports[0].stages, all | MOAT_STAGE_NONE);
	CU_ASSERT_EQUAL(config->ports[1].stages,
			(all &
			 ~(uint32_t)(MOAT_STAGE_BROKEN | MOAT_STAGE_MARTIAN | MOAT_STAGE_SAMPLE)) |
				MOAT_STAGE_NONE);
	CU_ASSERT_EQUAL(config->gate_buckets, 1024);
	CU_ASSERT_EQUAL_FATAL(set->protection_count, 2);
	CU_ASSERT_EQUAL(set->protections[0].rates[MOAT_KIND_SYN].per_s, 5000);
	CU_ASSERT_EQUAL(set->protections[0].rates[MOAT_KIND_UDP].per_s, 2000);
	CU_ASSERT_EQUAL(set->protections[0].rates[MOAT_KIND_UDP].burst, 500);
	CU_ASSERT_EQUAL(set->protections[0].challenge, MOAT_CHALLENGE_ABOVE);
	CU_ASSERT_EQUAL(set->protections[0].challenge_above.per_s, 800);
	CU_ASSERT_FALSE(set->protections[0].each);
	CU_ASSERT_EQUAL(set->protections[1].rates[MOAT_KIND_OTHER].per_s, 7);
	CU_ASSERT_EQUAL(set->protections[1].challenge, MOAT_CHALLENGE_ALWAYS);
	CU_ASSERT_TRUE(set->protections[1].each);
	CU_ASSERT_EQUAL_FATAL(set->source_count, 2);
	CU_ASSERT_EQUAL(set->sources[0].prefix.family, MOAT_FAMILY_ANY);
	CU_ASSERT_EQUAL(set->sources[0].packets.per_s, 20000);
	CU_ASSERT_EQUAL(set->sources[0].bytes.per_s, 12500000);
	CU_ASSERT_EQUAL(set->sources[0].bytes.burst, 600000);
	CU_ASSERT_EQUAL(set->sources[0].v4_len, 32);
	CU_ASSERT_EQUAL(set->sources[0].v6_len, 64);
	CU_ASSERT_EQUAL(set->sources[1].packets.per_s, 0);
	CU_ASSERT_EQUAL(set->sources[1].v4_len, 24);
	CU_ASSERT_EQUAL(set->reflect_len[53], 4096);
	CU_ASSERT_EQUAL(set->reflect_len[19], 0);
	CU_ASSERT_EQUAL(set->reflect_len[123], 128);
	CU_ASSERT_TRUE(set->drop_fragments);
	CU_ASSERT_EQUAL(set->marked[MOAT_MARKED_NEIGHBOUR].count, 1);
	CU_ASSERT_EQUAL(set->marked[MOAT_MARKED_MANAGEMENT].count, 2);
	CU_ASSERT_EQUAL(set->marked[MOAT_MARKED_MARTIAN].count, 25);
}

/* Nothing that could cut off anybody is on unasked, and what is wrong is named by its place. */
static void test_stages_refused(void)
{
	moat_cleanup(moat_config_free_cleanup) struct moat_config *config = NULL;

	CU_ASSERT_EQUAL_FATAL(parse("ports: [{name: eth0}]\n", &config, NULL), 0);
	CU_ASSERT_EQUAL(config->ports[0].stages, MOAT_STAGES_DEFAULT | MOAT_STAGE_NONE);
	CU_ASSERT_EQUAL(config->stages->protection_count + config->stages->source_count, 0);
	check_refused("ports: [{name: a}]\nstages: {land: maybe}\n",
		      "f:2:16: stages.land: \"maybe\" is none of on, off");
	check_refused("ports: [{name: a}]\nstages: {lnad: on}\n",
		      "f:2:10: unknown key \"lnad\" in stages");
	check_refused("ports: [{name: a}]\nfragments: never\n",
		      "f:2:12: fragments: \"never\" is none of pass, drop");
	check_refused("ports: [{name: a}]\nprotect: [{syn: 5}]\n",
		      "f:2:11: \"prefix\" is missing in protect.0");
	check_refused("ports: [{name: a}]\nprotect:\n - {prefix: 10.0.0.0/8, syn: fast}\n",
		      "f:3:30: protect.0.syn: \"fast\" is no rate (say 2000/s, 100Mbit/s, or 2000/s "
		      "burst 500)");
	check_refused(
		"ports: [{name: a}]\nprotect:\n - {prefix: 10.0.0.0/8, syn: 5 dst 10.0.0.1}\n",
		"f:3:30: protect.0.syn: \"5 dst 10.0.0.1\" is no rate (say 2000/s, 100Mbit/s, or "
		"2000/s burst 500)");
	check_refused("ports: [{name: a}]\nprotect:\n - {prefix: 10.0.0.0/8, udp: 5Mbit/s}\n",
		      "f:3:30: protect.0.udp: \"5Mbit/s\" is in bytes: this is a rate of packets");
	check_refused("ports: [{name: a}]\nprotect:\n - {prefix: 10.0.0.0/8}\n"
		      " - {prefix: 10.0.0.0/8}\n",
		      "f:4:13: protect.1.prefix: 10.0.0.0/8 is protected twice");
	check_refused("ports: [{name: a}]\nsources: [{prefix: any, limit: 5, v4: 33}]\n",
		      "f:2:39: sources.0.v4: 33 is no length of a prefix, 1 to 32");
	check_refused("ports: [{name: a}]\namplification: [\"70000:5\"]\n",
		      "f:2:17: amplification.0: \"70000:5\" is neither default nor PORT:BYTES (say "
		      "\"53:1280\", 0: no bound)");
	check_refused("ports: [{name: a}]\nmanagement: [0.0.0.0/0]\n",
		      "f:2:14: management.0: \"0.0.0.0/0\" is everybody");
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "defaults", test_defaults },
		{ "everything", test_everything },
		{ "places", test_places },
		{ "ports", test_ports },
		{ "patterns", test_patterns },
		{ "missing port", test_missing_port },
		{ "no yaml", test_no_yaml },
		{ "mixed kinds", test_mixed_kinds },
		{ "file", test_file },
		{ "tunnels", test_tunnels },
		{ "outlets", test_outlets },
		{ "challenge", test_challenge },
		{ "stages", test_stages },
		{ "stages refused", test_stages_refused },
		{ NULL, NULL },
	};

	return moat_test_main("config", tests);
}
