/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Builds events; jansson's json_pack returns NULL when memory ends, and so do these. */
#include "ctl/event.h"

#include <stdio.h>
#include <string.h>

#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/parse.h"
#include "dataplane/rule.h"

/* Signature ids of moat's own findings, one a kind. */
#define SIGNATURE_ID_BASE 9000001

struct moat_event_context moat_event_context_now(const struct moat_gate_port_info *ports,
						 size_t port_count)
{
	return (struct moat_event_context){
		.realtime_offset_ns = moat_clock_realtime_ns() - moat_clock_monotonic_ns(),
		.ports = ports,
		.port_count = port_count,
	};
}

const char *moat_event_proto(uint8_t proto, char ret_text[8])
{
	switch (proto) {
	case 1:
		return "ICMP";
	case 6:
		return "TCP";
	case 17:
		return "UDP";
	case 58:
		return "IPv6-ICMP";
	case 132:
		return "SCTP";
	default:
		snprintf(ret_text, 8, "%u", proto);
		return ret_text;
	}
}

const char *moat_event_tcp_flags(uint8_t flags, char ret_text[9])
{
	static const char letters[] = "FSRPAUEC";
	size_t length = 0;

	for (size_t i = 0; i < 8; i++) {
		if (flags & (1u << i))
			ret_text[length++] = letters[i];
	}
	if (length == 0)
		ret_text[length++] = '.';
	ret_text[length] = '\0';
	return ret_text;
}

static json_t *time_of(const struct moat_event_context *context, uint64_t ns)
{
	char text[MOAT_TIME_TEXT_LEN];

	moat_clock_format(ns + context->realtime_offset_ns, text);
	return json_string(text);
}

static json_t *address(const struct moat_addr *addr)
{
	char text[MOAT_ADDR_TEXT_LEN];

	return json_string(moat_addr_format(addr, text));
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static bool is_no_address(const struct moat_addr *addr)
{
	return (addr->quads[0] | addr->quads[1]) == 0;
}

static const char *port_name(const struct moat_event_context *context, uint32_t index)
{
	for (size_t i = 0; i < context->port_count; i++) {
		if (context->ports[i].index == index)
			return context->ports[i].name;
	}
	return NULL;
}

/* Where, from whom, to whom: the head that EVE's network events share. */
static void add_flow(const struct moat_event_context *context, json_t *event,
		     const struct moat_sample *sample)
{
	const struct moat_headers *headers = &sample->headers;
	const char *port = port_name(context, sample->port);
	char community[MOAT_COMMUNITY_ID_LEN], proto[8];

	if (port)
		json_object_set_new(event, "in_iface", json_string(port));
	if (headers->family == MOAT_FAMILY_ANY)
		return;
	json_object_set_new(event, "src_ip", address(&headers->src));
	if (headers->has_ports)
		json_object_set_new(event, "src_port", json_integer(headers->sport));
	json_object_set_new(event, "dest_ip", address(&headers->dst));
	if (headers->has_ports)
		json_object_set_new(event, "dest_port", json_integer(headers->dport));
	json_object_set_new(event, "proto", json_string(moat_event_proto(headers->proto, proto)));
	if (headers->vlan)
		json_object_set_new(event, "vlan", json_pack("[i]", headers->vlan));
	if (headers->proto == 1 || headers->proto == 58) {
		json_object_set_new(event, "icmp_type", json_integer(headers->icmp_type));
		json_object_set_new(event, "icmp_code", json_integer(headers->icmp_code));
	}
	if (moat_headers_community_id(headers, community) == 0)
		json_object_set_new(event, "community_id", json_string(community));
}

json_t *moat_event_sample(const struct moat_event_context *context, const struct moat_sample *sample)
{
	const struct moat_headers *headers = &sample->headers;
	json_t *event = json_pack("{s:o}", "timestamp", time_of(context, sample->time_ns));
	char flags[9];

	if (!event)
		return NULL;
	add_flow(context, event, sample);
	json_object_set_new(event, "length", json_integer(headers->l3_len));
	json_object_set_new(event, "ttl", json_integer(headers->ttl));
	if (headers->proto == 6)
		json_object_set_new(event, "tcp_flags",
				    json_string(moat_event_tcp_flags(headers->tcp_flags, flags)));
	if (headers->fragment != MOAT_FRAGMENT_NONE)
		json_object_set_new(event, "fragment", json_true());
	json_object_set_new(event, "reason", json_string(moat_reason_name(sample->reason)));
	json_object_set_new(event, "stands_for", json_integer(sample->interval));
	return event;
}

static json_t *drivers_of(const struct moat_finding *finding)
{
	json_t *drivers = json_array();

	for (uint32_t i = 0; i < finding->driver_count; i++) {
		const struct moat_driver *driver = &finding->drivers[i];

		json_array_append_new(drivers,
				      json_pack("{s:s,s:f,s:f,s:f}", "name", driver->name,
						"expected", driver->expected, "seen", driver->seen,
						"deviation", driver->deviation));
	}
	return drivers;
}

static json_t *proposals_of(const struct moat_finding *finding)
{
	json_t *proposals = json_array();
	char text[MOAT_RULE_TEXT_LEN];

	for (uint32_t i = 0; i < finding->proposal_count; i++) {
		const struct moat_proposal *proposal = &finding->proposals[i];
		json_t *collateral = proposal->collateral < 0 ? json_null()
							      : json_real(proposal->collateral);

		json_array_append_new(
			proposals,
			json_pack("{s:s,s:s,s:I,s:b,s:f,s:o}", "action",
				  moat_action_name(proposal->action), "match",
				  moat_match_format(&proposal->match, text), "rate_pps",
				  (json_int_t)proposal->rate_pps, "prefer_known",
				  (proposal->flags & MOAT_RULE_PREFER_KNOWN) != 0, "coverage",
				  proposal->coverage, "collateral", collateral));
	}
	return proposals;
}

static json_t *evidence_of(const struct moat_event_context *context,
			   const struct moat_finding *finding)
{
	json_t *evidence = json_array();

	for (uint32_t i = 0; i < finding->evidence_count; i++)
		json_array_append_new(evidence, moat_event_sample(context, &finding->evidence[i]));
	return evidence;
}

static uint64_t moment_of(const struct moat_finding *finding)
{
	return finding->state == MOAT_FINDING_OPEN ? finding->detected_ns : finding->last_ns;
}

json_t *moat_event_finding_detail(const struct moat_event_context *context,
				  const struct moat_finding *finding)
{
	json_t *detail = json_pack("{s:s,s:I,s:s,s:s,s:s,s:o,s:o,s:b}", "object", "finding", "id",
				   (json_int_t)finding->id, "state",
				   moat_finding_state_name(finding->state), "kind",
				   moat_finding_kind_name(finding->kind), "title",
				   moat_finding_kind_title(finding->kind), "mono_ns",
				   number(moment_of(finding)), "subject", address(&finding->subject),
				   "subject_is_source", finding->subject_is_source);

	if (!detail)
		return NULL;
	if (!is_no_address(&finding->peer))
		json_object_set_new(detail, "peer", address(&finding->peer));
	if (finding->port)
		json_object_set_new(detail, "port", json_integer(finding->port));
	if (finding->prefix_len)
		json_object_set_new(detail, "prefix_len", json_integer(finding->prefix_len));
	json_object_set_new(detail, "first_ns", number(finding->first_ns));
	json_object_set_new(detail, "detected_ns", number(finding->detected_ns));
	json_object_set_new(detail, "last_ns", number(finding->last_ns));
	json_object_set_new(detail, "first", time_of(context, finding->first_ns));
	json_object_set_new(detail, "detected", time_of(context, finding->detected_ns));
	json_object_set_new(detail, "last", time_of(context, finding->last_ns));
	json_object_set_new(detail, "score", json_real(finding->score));
	json_object_set_new(detail, "pps", json_real(finding->pps));
	json_object_set_new(detail, "mbps", json_real(finding->mbps));
	json_object_set_new(detail, "peak_pps", json_real(finding->peak_pps));
	json_object_set_new(detail, "by_guard", json_boolean(finding->by_guard));
	json_object_set_new(detail, "technique",
			    json_string(moat_finding_kind_attack(finding->kind)));
	json_object_set_new(detail, "sentence", json_string(finding->sentence));
	json_object_set_new(detail, "drivers", drivers_of(finding));
	json_object_set_new(detail, "proposals", proposals_of(finding));
	json_object_set_new(detail, "evidence", evidence_of(context, finding));
	return detail;
}

/* 1 is the most severe, as Suricata counts. */
static int severity_of(const struct moat_finding *finding)
{
	switch (finding->kind) {
	case MOAT_FINDING_SCAN:
	case MOAT_FINDING_BRUTE_FORCE:
	case MOAT_FINDING_ANONYMIZER:
		return 2;
	case MOAT_FINDING_ANOMALY:
		return 3;
	default:
		return 1;
	}
}

/* Suricata's classification.config. */
static const char *category_of(const struct moat_finding *finding)
{
	switch (finding->kind) {
	case MOAT_FINDING_SCAN:
		return "Detection of a Network Scan";
	case MOAT_FINDING_ANOMALY:
		return "Unusual Client Port Connection";
	case MOAT_FINDING_BRUTE_FORCE:
		return "Attempted User Privilege Gain";
	case MOAT_FINDING_MINER:
		return "Crypto Currency Mining Activity Detected";
	case MOAT_FINDING_BEACON:
	case MOAT_FINDING_COMMAND:
	case MOAT_FINDING_DGA:
		return "Malware Command and Control Activity Detected";
	case MOAT_FINDING_DNS_TUNNEL:
	case MOAT_FINDING_EXFILTRATION:
		return "Potential Corporate Privacy Violation";
	case MOAT_FINDING_ANONYMIZER:
		return "Potentially Bad Traffic";
	case MOAT_FINDING_LATERAL:
		return "Attempted Administrator Privilege Gain";
	default:
		return "Detection of a Denial of Service Attack";
	}
}

/* The subject's side of the flow is certain even where no packet was sampled. */
static void add_subject(json_t *event, const struct moat_finding *finding)
{
	if (finding->subject_is_source) {
		json_object_set_new(event, "src_ip", address(&finding->subject));
		if (!is_no_address(&finding->peer))
			json_object_set_new(event, "dest_ip", address(&finding->peer));
	} else {
		json_object_set_new(event, "dest_ip", address(&finding->subject));
	}
}

json_t *moat_event_finding(const struct moat_event_context *context,
			   const struct moat_finding *finding, bool blocked)
{
	json_t *event = json_pack("{s:o,s:s}", "timestamp", time_of(context, moment_of(finding)),
				  "event_type", "alert");
	char signature[64];

	if (!event)
		return NULL;
	if (finding->evidence_count > 0)
		add_flow(context, event, &finding->evidence[0]);
	add_subject(event, finding);
	snprintf(signature, sizeof(signature), "moat %s", moat_finding_kind_title(finding->kind));
	json_object_set_new(event, "alert",
			    json_pack("{s:s,s:i,s:i,s:i,s:s,s:s,s:i,s:{s:[s]}}", "action",
				      blocked ? "blocked" : "allowed", "gid", 1, "signature_id",
				      SIGNATURE_ID_BASE + (int)finding->kind, "rev", 1, "signature",
				      signature, "category", category_of(finding), "severity",
				      severity_of(finding), "metadata", "mitre_technique_id",
				      moat_finding_kind_attack(finding->kind)));
	json_object_set_new(event, "moat", moat_event_finding_detail(context, finding));
	return event;
}

json_t *moat_event_rule_detail(const struct moat_rule *rule, const struct moat_rule_count *count,
			       uint64_t now_ns)
{
	char text[MOAT_RULE_TEXT_LEN], match[MOAT_RULE_TEXT_LEN];
	json_t *detail = json_pack(
		"{s:I,s:s,s:s,s:b,s:s,s:I,s:s,s:I,s:I,s:I}", "id", (json_int_t)rule->id, "rule",
		moat_rule_format(rule, now_ns, text), "action", moat_action_name(rule->action),
		"count_only", (rule->flags & MOAT_RULE_COUNT_ONLY) != 0, "match",
		moat_match_format(&rule->match, match), "priority", (json_int_t)rule->priority,
		"owner", rule->owner, "hits", (json_int_t)count->packets, "acted",
		(json_int_t)count->acted, "bytes", (json_int_t)count->bytes);
	json_t *expires = json_null();

	if (!detail)
		return NULL;
	if (rule->expires_ns > now_ns)
		expires = json_real((double)(rule->expires_ns - now_ns) / (double)MOAT_NS_PER_S);
	else if (rule->expires_ns)
		expires = json_real(0);
	json_object_set_new(detail, "expires_s", expires);
	json_object_set_new(detail, "finding", rule->finding ? number(rule->finding) : json_null());
	json_object_set_new(detail, "comment", json_string(rule->comment));
	return detail;
}

json_t *moat_event_rule(const struct moat_event_context *context,
			const struct moat_event_rule *change)
{
	const struct moat_rule *rule = change->rule;
	char text[MOAT_RULE_TEXT_LEN];
	json_t *detail = json_pack("{s:s,s:s,s:s,s:I,s:s,s:o}", "object", "rule", "change",
				   change->change, "rule",
				   moat_rule_format(rule, change->mono_ns, text), "id",
				   (json_int_t)rule->id, "owner", rule->owner, "mono_ns",
				   number(change->mono_ns));

	if (!detail)
		return NULL;
	json_object_set_new(detail, "finding", rule->finding ? number(rule->finding) : json_null());
	if (change->first_ns && change->mono_ns > change->first_ns)
		json_object_set_new(detail, "rule_ms",
				    json_real((double)(change->mono_ns - change->first_ns) /
					      (double)MOAT_NS_PER_MS));
	if (change->why)
		json_object_set_new(detail, "why", json_string(change->why));
	return json_pack("{s:o,s:s,s:o}", "timestamp", time_of(context, change->mono_ns),
			 "event_type", "moat", "moat", detail);
}

json_t *moat_event_moatd(const struct moat_event_context *context, const char *change,
			 json_t *detail)
{
	uint64_t now_ns = moat_clock_monotonic_ns();

	if (!detail)
		detail = json_object();
	if (!detail)
		return NULL;
	json_object_set_new(detail, "object", json_string("moatd"));
	json_object_set_new(detail, "change", json_string(change));
	json_object_set_new(detail, "mono_ns", number(now_ns));
	return json_pack("{s:o,s:s,s:o}", "timestamp", time_of(context, now_ns), "event_type",
			 "moat", "moat", detail);
}

json_t *moat_event_host(json_t *object)
{
	json_int_t ms = json_integer_value(json_object_get(object, "time"));
	char text[MOAT_TIME_TEXT_LEN];

	moat_clock_format((uint64_t)ms * MOAT_NS_PER_MS, text);
	return json_pack("{s:s,s:s,s:O}", "timestamp", text, "event_type", "host", "ocsf", object);
}
