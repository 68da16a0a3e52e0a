/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * libcyaml's schema of the configuration file, and its complaints as one sentence with a place.
 *
 * libcyaml reports through a log function: first what is wrong, then a backtrace of the mappings and
 * sequences it was in, innermost first. Its places are those of the last token read, which for an unknown
 * or missing key is another line than the operator wants, so the path is looked up in the marks.
 */
#include "ctl/config_schema.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/respond.h"
#include "ctl/upstream.h"
#include "dataplane/base/log.h"
#include "dataplane/gate.h"

#define OPT CYAML_FLAG_OPTIONAL
#define OPT_PTR (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)
#define ENUM (CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT)

static const cyaml_strval_t roles[] = {
	{ "gateway", MOAT_ROLE_GATEWAY },
	{ "wire", MOAT_ROLE_WIRE },
	{ "mirror", MOAT_ROLE_MIRROR },
	{ "container", MOAT_ROLE_CONTAINER },
};
static const cyaml_strval_t port_forwards[] = {
	{ "kernel", MOAT_FORWARD_KERNEL },
	{ "fib", MOAT_FORWARD_FIB },
	{ "wire", MOAT_FORWARD_WIRE },
};
static const cyaml_strval_t port_attaches[] = { { "alone", 0 }, { "dispatcher", 1 } };
static const cyaml_strval_t port_modes[] = { { "auto", 0 }, { "generic", 1 } };
static const cyaml_strval_t port_fails[] = {
	{ "open", MOAT_FAIL_OPEN },
	{ "closed", MOAT_FAIL_CLOSED },
};
static const cyaml_strval_t respond_modes[] = {
	{ "observe", MOAT_RESPOND_OBSERVE },
	{ "enforce", MOAT_RESPOND_ENFORCE },
};
static const cyaml_strval_t challenge_forms[] = {
	{ "wrong-ack", MOAT_CHALLENGE_WRONG_ACK },
	{ "reset", MOAT_CHALLENGE_RESET },
};
static const cyaml_strval_t upstream_actions[] = {
	{ "off", MOAT_UPSTREAM_OFF },
	{ "blackhole", MOAT_UPSTREAM_BLACKHOLE },
	{ "flowspec", MOAT_UPSTREAM_FLOWSPEC },
};
static const cyaml_strval_t log_levels[] = {
	{ "error", MOAT_LOG_ERROR },
	{ "warning", MOAT_LOG_WARNING },
	{ "info", MOAT_LOG_INFO },
	{ "debug", MOAT_LOG_DEBUG },
};

static const cyaml_schema_value_t string_entry = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 4095),
};

static const cyaml_strval_t switches[] = { { "on", MOAT_RAW_ON }, { "off", MOAT_RAW_OFF } };
static const cyaml_strval_t fragments[] = { { "pass", 1 }, { "drop", 2 } };

#define SWITCH(name, index)                                                             \
	CYAML_FIELD_ENUM(name, ENUM, struct moat_raw_stages, switches[index], switches, \
			 CYAML_ARRAY_LEN(switches))

static const cyaml_schema_field_t stages_fields[] = {
	SWITCH("broken", 0),     SWITCH("flags", 1),
	SWITCH("land", 2),       SWITCH("martians", 3),
	SWITCH("allow", 4),      SWITCH("deny", 5),
	SWITCH("rules", 6),      SWITCH("amplification", 7),
	SWITCH("fragments", 8),  SWITCH("sources", 9),
	SWITCH("challenge", 10), SWITCH("protect", 11),
	SWITCH("sample", 12),    CYAML_FIELD_END,
};

static const cyaml_schema_field_t protect_fields[] = {
	CYAML_FIELD_STRING_PTR("prefix", CYAML_FLAG_POINTER, struct moat_raw_protect, prefix, 1, 63),
	CYAML_FIELD_STRING_PTR("syn", OPT_PTR, struct moat_raw_protect, syn, 1, 127),
	CYAML_FIELD_STRING_PTR("udp", OPT_PTR, struct moat_raw_protect, udp, 1, 127),
	CYAML_FIELD_STRING_PTR("icmp", OPT_PTR, struct moat_raw_protect, icmp, 1, 127),
	CYAML_FIELD_STRING_PTR("other", OPT_PTR, struct moat_raw_protect, other, 1, 127),
	CYAML_FIELD_STRING_PTR("challenge", OPT_PTR, struct moat_raw_protect, challenge, 1, 127),
	CYAML_FIELD_BOOL_PTR("each", OPT_PTR, struct moat_raw_protect, each),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t protect_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct moat_raw_protect, protect_fields),
};

static const cyaml_schema_field_t source_fields[] = {
	CYAML_FIELD_STRING_PTR("prefix", CYAML_FLAG_POINTER, struct moat_raw_source, prefix, 1, 63),
	CYAML_FIELD_STRING_PTR("limit", CYAML_FLAG_POINTER, struct moat_raw_source, limit, 1, 127),
	CYAML_FIELD_UINT_PTR("v4", OPT_PTR, struct moat_raw_source, v4),
	CYAML_FIELD_UINT_PTR("v6", OPT_PTR, struct moat_raw_source, v6),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t source_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct moat_raw_source, source_fields),
};

static const cyaml_schema_field_t egress_fields[] = {
	CYAML_FIELD_UINT_PTR("packets", OPT_PTR, struct moat_raw_egress, packets),
	CYAML_FIELD_UINT_PTR("bytes", OPT_PTR, struct moat_raw_egress, bytes),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t port_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct moat_raw_port, name, 1, 15),
	CYAML_FIELD_ENUM("role", ENUM, struct moat_raw_port, role, roles, CYAML_ARRAY_LEN(roles)),
	CYAML_FIELD_STRING_PTR("peer", OPT_PTR, struct moat_raw_port, peer, 1, 15),
	CYAML_FIELD_ENUM("mode", ENUM, struct moat_raw_port, mode, port_modes,
			 CYAML_ARRAY_LEN(port_modes)),
	CYAML_FIELD_ENUM("forward", ENUM, struct moat_raw_port, forward, port_forwards,
			 CYAML_ARRAY_LEN(port_forwards)),
	CYAML_FIELD_BOOL_PTR("replace", OPT_PTR, struct moat_raw_port, replace),
	CYAML_FIELD_BOOL_PTR("offload", OPT_PTR, struct moat_raw_port, offload),
	CYAML_FIELD_ENUM("attach", ENUM, struct moat_raw_port, attach, port_attaches,
			 CYAML_ARRAY_LEN(port_attaches)),
	CYAML_FIELD_MAPPING_PTR("egress", OPT_PTR, struct moat_raw_port, egress, egress_fields),
	CYAML_FIELD_ENUM("fail", ENUM, struct moat_raw_port, fail, port_fails,
			 CYAML_ARRAY_LEN(port_fails)),
	CYAML_FIELD_MAPPING_PTR("stages", OPT_PTR, struct moat_raw_port, stages, stages_fields),
	CYAML_FIELD_STRING_PTR("dpdk", OPT_PTR, struct moat_raw_port, dpdk, 1, 255),
	CYAML_FIELD_UINT_PTR("queues", OPT_PTR, struct moat_raw_port, queues),
	CYAML_FIELD_UINT_PTR("cpu", OPT_PTR, struct moat_raw_port, cpu),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t port_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct moat_raw_port, port_fields),
};

static const cyaml_schema_field_t gate_fields[] = {
	CYAML_FIELD_UINT_PTR("cells", OPT_PTR, struct moat_raw_gate, cells),
	CYAML_FIELD_UINT_PTR("nodes", OPT_PTR, struct moat_raw_gate, nodes),
	CYAML_FIELD_UINT_PTR("buckets", OPT_PTR, struct moat_raw_gate, buckets),
	CYAML_FIELD_UINT_PTR("sample_pass", OPT_PTR, struct moat_raw_gate, sample_pass),
	CYAML_FIELD_UINT_PTR("sample_drop", OPT_PTR, struct moat_raw_gate, sample_drop),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t dpdk_fields[] = {
	CYAML_FIELD_SEQUENCE("eal", OPT_PTR, struct moat_raw_dpdk, eal, &string_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_UINT_PTR("idle_us", OPT_PTR, struct moat_raw_dpdk, idle_us),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t afxdp_fields[] = {
	CYAML_FIELD_UINT_PTR("frames", OPT_PTR, struct moat_raw_afxdp, frames),
	CYAML_FIELD_UINT_PTR("busy_poll", OPT_PTR, struct moat_raw_afxdp, busy_poll),
	CYAML_FIELD_UINT_PTR("budget", OPT_PTR, struct moat_raw_afxdp, budget),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t rates_fields[] = {
	CYAML_FIELD_FLOAT_PTR("syn", OPT_PTR, struct moat_raw_rates, syn),
	CYAML_FIELD_FLOAT_PTR("udp", OPT_PTR, struct moat_raw_rates, udp),
	CYAML_FIELD_FLOAT_PTR("icmp", OPT_PTR, struct moat_raw_rates, icmp),
	CYAML_FIELD_FLOAT_PTR("amplification", OPT_PTR, struct moat_raw_rates, amplification),
	CYAML_FIELD_FLOAT_PTR("ack", OPT_PTR, struct moat_raw_rates, ack),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t detect_fields[] = {
	CYAML_FIELD_SEQUENCE_COUNT("protected", OPT_PTR, struct moat_raw_detect, protected_prefixes,
				   protected_count, &string_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("learn", OPT_PTR, struct moat_raw_detect, learn, 1, 31),
	CYAML_FIELD_MAPPING_PTR("floor", OPT_PTR, struct moat_raw_detect, floor, rates_fields),
	CYAML_FIELD_MAPPING_PTR("guard", OPT_PTR, struct moat_raw_detect, guard, rates_fields),
	CYAML_FIELD_FLOAT_PTR("scan_targets", OPT_PTR, struct moat_raw_detect, scan_targets),
	CYAML_FIELD_FLOAT_PTR("scan_failures", OPT_PTR, struct moat_raw_detect, scan_failures),
	CYAML_FIELD_FLOAT_PTR("brute_logins", OPT_PTR, struct moat_raw_detect, brute_logins),
	CYAML_FIELD_FLOAT_PTR("beacon_times", OPT_PTR, struct moat_raw_detect, beacon_times),
	CYAML_FIELD_STRING_PTR("learn_edges", OPT_PTR, struct moat_raw_detect, learn_edges, 1, 31),
	CYAML_FIELD_SEQUENCE_COUNT("admins", OPT_PTR, struct moat_raw_detect, admins, admin_count,
				   &string_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_FLOAT_PTR("sensitivity", OPT_PTR, struct moat_raw_detect, sensitivity),
	CYAML_FIELD_STRING_PTR("close_after", OPT_PTR, struct moat_raw_detect, close_after, 1, 31),
	CYAML_FIELD_FLOAT_PTR("collateral_max", OPT_PTR, struct moat_raw_detect, collateral_max),
	CYAML_FIELD_UINT_PTR("hosts", OPT_PTR, struct moat_raw_detect, hosts),
	CYAML_FIELD_UINT_PTR("clusters", OPT_PTR, struct moat_raw_detect, clusters),
	CYAML_FIELD_UINT_PTR("seed", OPT_PTR, struct moat_raw_detect, seed),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t respond_fields[] = {
	CYAML_FIELD_ENUM("mode", ENUM, struct moat_raw_respond, mode, respond_modes,
			 CYAML_ARRAY_LEN(respond_modes)),
	CYAML_FIELD_UINT_PTR("max_rules", OPT_PTR, struct moat_raw_respond, max_rules),
	CYAML_FIELD_STRING_PTR("hold", OPT_PTR, struct moat_raw_respond, hold, 1, 31),
	CYAML_FIELD_SEQUENCE("allow", OPT_PTR, struct moat_raw_respond, allow, &string_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_BOOL_PTR("challenge", OPT_PTR, struct moat_raw_respond, challenge),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t challenge_fields[] = {
	CYAML_FIELD_STRING_PTR("lifetime", OPT_PTR, struct moat_raw_challenge, lifetime, 1, 31),
	CYAML_FIELD_UINT_PTR("prefix_rate", OPT_PTR, struct moat_raw_challenge, prefix_rate),
	CYAML_FIELD_UINT_PTR("rate", OPT_PTR, struct moat_raw_challenge, rate),
	CYAML_FIELD_ENUM("form", ENUM, struct moat_raw_challenge, form, challenge_forms,
			 CYAML_ARRAY_LEN(challenge_forms)),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t lists_fields[] = {
	CYAML_FIELD_SEQUENCE("allow", OPT_PTR, struct moat_raw_lists, allow, &string_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("deny", OPT_PTR, struct moat_raw_lists, deny, &string_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("files", OPT_PTR, struct moat_raw_lists, files, &string_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t events_fields[] = {
	CYAML_FIELD_STRING_PTR("path", OPT_PTR, struct moat_raw_events, path, 1, 4095),
	CYAML_FIELD_UINT_PTR("queue", OPT_PTR, struct moat_raw_events, queue),
	CYAML_FIELD_BOOL_PTR("host", OPT_PTR, struct moat_raw_events, host),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t notify_fields[] = {
	CYAML_FIELD_STRING_PTR("script", OPT_PTR, struct moat_raw_notify, script, 1, 4095),
	CYAML_FIELD_STRING_PTR("webhook", OPT_PTR, struct moat_raw_notify, webhook, 1, 4095),
	CYAML_FIELD_STRING_PTR("token_file", OPT_PTR, struct moat_raw_notify, token_file, 1, 4095),
	CYAML_FIELD_STRING_PTR("timeout", OPT_PTR, struct moat_raw_notify, timeout, 1, 31),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t upstream_fields[] = {
	CYAML_FIELD_ENUM("action", ENUM, struct moat_raw_upstream, action, upstream_actions,
			 CYAML_ARRAY_LEN(upstream_actions)),
	CYAML_FIELD_STRING_PTR("uplink", OPT_PTR, struct moat_raw_upstream, uplink, 1, 31),
	CYAML_FIELD_FLOAT_PTR("share", OPT_PTR, struct moat_raw_upstream, share),
	CYAML_FIELD_STRING_PTR("hold", OPT_PTR, struct moat_raw_upstream, hold, 1, 31),
	CYAML_FIELD_UINT_PTR("max_routes", OPT_PTR, struct moat_raw_upstream, max_routes),
	CYAML_FIELD_STRING_PTR("community", OPT_PTR, struct moat_raw_upstream, community, 1, 31),
	CYAML_FIELD_STRING_PTR("next_hop", OPT_PTR, struct moat_raw_upstream, next_hop, 1, 63),
	CYAML_FIELD_STRING_PTR("next_hop6", OPT_PTR, struct moat_raw_upstream, next_hop6, 1, 63),
	CYAML_FIELD_SEQUENCE("prefixes", OPT_PTR, struct moat_raw_upstream, prefixes, &string_entry,
			     0, CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t listener_fields[] = {
	CYAML_FIELD_STRING_PTR("address", OPT_PTR, struct moat_raw_listener, address, 1, 63),
	CYAML_FIELD_UINT_PTR("port", OPT_PTR, struct moat_raw_listener, port),
	CYAML_FIELD_UINT_PTR("sampling", OPT_PTR, struct moat_raw_listener, sampling),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t listener_entry = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct moat_raw_listener, listener_fields),
};

static const cyaml_schema_field_t export_fields[] = {
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct moat_raw_export, address, 1, 63),
	CYAML_FIELD_UINT_PTR("port", OPT_PTR, struct moat_raw_export, port),
	CYAML_FIELD_UINT_PTR("domain", OPT_PTR, struct moat_raw_export, domain),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t flows_fields[] = {
	CYAML_FIELD_SEQUENCE("listen", OPT_PTR, struct moat_raw_flows, listen, &listener_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("exporters", OPT_PTR, struct moat_raw_flows, exporters, &string_entry,
			     0, CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING_PTR("export", OPT_PTR, struct moat_raw_flows, export, export_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
	CYAML_FIELD_STRING_PTR("run_dir", OPT_PTR, struct moat_raw_config, run_dir, 1, 4095),
	CYAML_FIELD_STRING_PTR("state_dir", OPT_PTR, struct moat_raw_config, state_dir, 1, 4095),
	CYAML_FIELD_STRING_PTR("pin_dir", OPT_PTR, struct moat_raw_config, pin_dir, 1, 4095),
	CYAML_FIELD_ENUM("log_level", ENUM, struct moat_raw_config, log_level, log_levels,
			 CYAML_ARRAY_LEN(log_levels)),
	CYAML_FIELD_SEQUENCE("ports", OPT_PTR, struct moat_raw_config, ports, &port_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING_PTR("gate", OPT_PTR, struct moat_raw_config, gate, gate_fields),
	CYAML_FIELD_MAPPING_PTR("dpdk", OPT_PTR, struct moat_raw_config, dpdk, dpdk_fields),
	CYAML_FIELD_MAPPING_PTR("afxdp", OPT_PTR, struct moat_raw_config, afxdp, afxdp_fields),
	CYAML_FIELD_SEQUENCE("tunnels", OPT_PTR, struct moat_raw_config, tunnels, &string_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING_PTR("challenge", OPT_PTR, struct moat_raw_config, challenge,
				challenge_fields),
	CYAML_FIELD_MAPPING_PTR("stages", OPT_PTR, struct moat_raw_config, stages, stages_fields),
	CYAML_FIELD_SEQUENCE("protect", OPT_PTR, struct moat_raw_config, protect, &protect_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("sources", OPT_PTR, struct moat_raw_config, sources, &source_entry, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("amplification", OPT_PTR, struct moat_raw_config, amplification,
			     &string_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_ENUM("fragments", ENUM, struct moat_raw_config, fragments, fragments,
			 CYAML_ARRAY_LEN(fragments)),
	CYAML_FIELD_SEQUENCE("neighbours", OPT_PTR, struct moat_raw_config, neighbours,
			     &string_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("management", OPT_PTR, struct moat_raw_config, management,
			     &string_entry, 0, CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("martians", OPT_PTR, struct moat_raw_config, martians, &string_entry,
			     0, CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING_PTR("detect", OPT_PTR, struct moat_raw_config, detect, detect_fields),
	CYAML_FIELD_MAPPING_PTR("respond", OPT_PTR, struct moat_raw_config, respond, respond_fields),
	CYAML_FIELD_MAPPING_PTR("lists", OPT_PTR, struct moat_raw_config, lists, lists_fields),
	CYAML_FIELD_MAPPING_PTR("events", OPT_PTR, struct moat_raw_config, events, events_fields),
	CYAML_FIELD_MAPPING_PTR("flows", OPT_PTR, struct moat_raw_config, flows, flows_fields),
	CYAML_FIELD_MAPPING_PTR("notify", OPT_PTR, struct moat_raw_config, notify, notify_fields),
	CYAML_FIELD_MAPPING_PTR("upstream", OPT_PTR, struct moat_raw_config, upstream,
				upstream_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct moat_raw_config, config_fields),
};

/* The words that a key takes, for the complaint about another one. */
static const struct {
	const char *where; /* the end of its path */
	const cyaml_strval_t *words;
	size_t count;
} enums[] = {
	{ ".role", roles, CYAML_ARRAY_LEN(roles) },
	{ ".forward", port_forwards, CYAML_ARRAY_LEN(port_forwards) },
	{ "respond.mode", respond_modes, CYAML_ARRAY_LEN(respond_modes) },
	{ ".mode", port_modes, CYAML_ARRAY_LEN(port_modes) }, /* behind respond.mode */
	{ "challenge.form", challenge_forms, CYAML_ARRAY_LEN(challenge_forms) },
	{ "upstream.action", upstream_actions, CYAML_ARRAY_LEN(upstream_actions) },
	{ "log_level", log_levels, CYAML_ARRAY_LEN(log_levels) },
	{ "fragments", fragments, CYAML_ARRAY_LEN(fragments) }, /* behind stages.fragments */
};

#define COMPLAINT_LEN 256

/* What libcyaml said: the complaint, the first place of its backtrace, and the path, "ports.0.role". */
struct complaint {
	char what[COMPLAINT_LEN];
	char where[COMPLAINT_LEN];
	struct moat_mark mark;
	bool has_mark;
};

static void prepend(struct complaint *complaint, const char *word)
{
	char joined[2 * COMPLAINT_LEN];

	snprintf(joined, sizeof(joined), "%s%s%s", word, complaint->where[0] ? "." : "",
		 complaint->where);
	snprintf(complaint->where, sizeof(complaint->where), "%.*s", COMPLAINT_LEN - 1, joined);
}

/* The number behind `word` in a line, 0 if it isn't there. */
static size_t number_after(const char *line, const char *word)
{
	const char *at = strstr(line, word);

	return at ? strtoul(at + strlen(word), NULL, 10) : 0;
}

/* What stands in quotes behind `word`, false if it isn't there. */
static bool quoted_after(const char *line, const char *word, char ret_text[64])
{
	const char *at = strstr(line, word);
	size_t length;

	if (!at)
		return false;
	at += strlen(word);
	length = strcspn(at, "'");
	snprintf(ret_text, 64, "%.*s", (int)(length < 64 ? length : 63), at);
	return true;
}

static void take_line(struct complaint *complaint, const char *line)
{
	char word[64];

	if (strncmp(line, "Load: Backtrace", 15) == 0)
		return;
	if (!complaint->what[0] && strncmp(line, "Load:", 5) == 0) {
		const char *what = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;

		snprintf(complaint->what, sizeof(complaint->what), "%.*s", (int)strcspn(what, "\n"),
			 what);
		return;
	}
	if (!complaint->has_mark) {
		complaint->mark.line = number_after(line, "(line: ");
		complaint->mark.column = number_after(line, ", column: ");
		complaint->has_mark = complaint->mark.line > 0 && complaint->mark.column > 0;
	}
	if (quoted_after(line, " in mapping field '", word)) {
		prepend(complaint, word);
	} else if (quoted_after(line, " in sequence entry '", word)) {
		/* libcyaml counts from 1 */
		snprintf(word, sizeof(word), "%zu", number_after(line, " in sequence entry '") - 1);
		prepend(complaint, word);
	}
}

__attribute__((format(printf, 3, 0))) static void log_line(cyaml_log_t level, void *ctx,
							   const char *format, va_list args)
{
	char line[2 * COMPLAINT_LEN];

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(line, sizeof(line), format, args);
	take_line(ctx, line);
}

/* Cuts the last word off a path. */
static void to_parent(char *where)
{
	char *dot = strrchr(where, '.');

	*(dot ? dot : where) = '\0';
}

static void name_words(const char *where, const char *value, char ret_text[static COMPLAINT_LEN])
{
	for (size_t i = 0; i < CYAML_ARRAY_LEN(enums); i++) {
		size_t length = strlen(where), end = strlen(enums[i].where);

		const cyaml_strval_t *words = enums[i].words;
		size_t count = enums[i].count;

		if (strstr(where, "stages.")) {
			words = switches;
			count = CYAML_ARRAY_LEN(switches);
		} else if (length < end || strcmp(where + length - end, enums[i].where) != 0) {
			continue;
		}
		length = (size_t)snprintf(ret_text, COMPLAINT_LEN, "\"%.63s\" is none of", value);
		for (size_t k = 0; k < count; k++)
			length += (size_t)snprintf(ret_text + length, COMPLAINT_LEN - length,
						   "%s %s", k ? "," : "", words[k].str);
		return;
	}
}

/* libcyaml's names of types and events, as an operator would say it. */
static void put_plainly(struct complaint *complaint)
{
	static const char word[] = "Invalid ENUM value: ";
	char plain[COMPLAINT_LEN] = "";

	if (strncmp(complaint->what, word, strlen(word)) == 0)
		name_words(complaint->where, complaint->what + strlen(word), plain);
	else if (strncmp(complaint->what, "Expecting SEQUENCE,", 19) == 0)
		snprintf(plain, sizeof(plain), "a list belongs here, as in [a, b]");
	else if (strncmp(complaint->what, "Expecting MAPPING,", 18) == 0)
		snprintf(plain, sizeof(plain), "\"key: value\" lines belong here");
	if (plain[0])
		memcpy(complaint->what, plain, sizeof(plain));
}

static int complain(const char *path, struct complaint *complaint, const struct moat_marks *marks,
		    struct moat_error *error)
{
	static const char unknown[] = "Unexpected key: ",
			  missing[] = "Missing required mapping field: ";
	struct moat_mark mark = complaint->mark;
	char *what = complaint->what;

	if (strncmp(what, unknown, strlen(unknown)) == 0) {
		char where[2 * COMPLAINT_LEN];
		const char *key = what + strlen(unknown);

		snprintf(where, sizeof(where), "%s%s%s", complaint->where,
			 complaint->where[0] ? "." : "", key);
		mark = moat_marks_key(marks, where);
		return moat_error_set(error, -EINVAL, "%s:%zu:%zu: unknown key \"%s\"%s%s", path,
				      mark.line, mark.column, key,
				      complaint->where[0] ? " in " : "", complaint->where);
	}
	if (strncmp(what, missing, strlen(missing)) == 0) {
		to_parent(complaint->where);
		mark = moat_marks_value(marks, complaint->where);
		return moat_error_set(error, -EINVAL, "%s:%zu:%zu: \"%s\" is missing in %s", path,
				      mark.line, mark.column, what + strlen(missing),
				      complaint->where);
	}
	put_plainly(complaint);
	if (!complaint->has_mark)
		mark = moat_marks_value(marks, complaint->where);
	if (!complaint->where[0])
		return moat_error_set(error, -EINVAL, "%s:%zu:%zu: %s", path, mark.line,
				      mark.column, what);
	return moat_error_set(error, -EINVAL, "%s:%zu:%zu: %s: %s", path, mark.line, mark.column,
			      complaint->where, what);
}

static cyaml_config_t cyaml_options(struct complaint *complaint)
{
	return (cyaml_config_t){
		.log_fn = log_line,
		.log_ctx = complaint,
		.log_level = CYAML_LOG_ERROR,
		.mem_fn = cyaml_mem,
		/* A name used twice by reference helps nobody find the value that counts. */
		.flags = CYAML_CFG_NO_ALIAS,
	};
}

int moat_raw_config_load(const char *path, const char *text, size_t length,
			 const struct moat_marks *marks, struct moat_raw_config **ret_raw,
			 struct moat_error *error)
{
	struct complaint complaint = { 0 };
	cyaml_config_t options = cyaml_options(&complaint);
	struct moat_raw_config *raw = NULL;
	cyaml_err_t r;

	r = cyaml_load_data((const uint8_t *)text, length, &options, &config_schema,
			    (cyaml_data_t **)&raw, NULL);
	if (r == CYAML_ERR_OOM)
		return moat_error_set(error, -ENOMEM, "%s: out of memory", path);
	if (r != CYAML_OK) {
		if (!complaint.what[0])
			snprintf(complaint.what, sizeof(complaint.what), "%s", cyaml_strerror(r));
		return complain(path, &complaint, marks, error);
	}
	*ret_raw = raw;
	return 0;
}

void moat_raw_config_free(struct moat_raw_config *raw)
{
	cyaml_config_t options = cyaml_options(NULL);

	options.log_fn = NULL;
	cyaml_free(&options, &config_schema, raw, 0);
}

void moat_raw_config_free_cleanup(struct moat_raw_config **raw)
{
	moat_raw_config_free(*raw);
}
