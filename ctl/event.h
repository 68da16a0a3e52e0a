/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events as JSON, one object a line, with the field names of Suricata's EVE where EVE has one (timestamp,
 * event_type, in_iface, src_ip, src_port, dest_ip, dest_port, proto, community_id, alert); what is moat's
 * own stands under "moat". Shapes: moat.yaml(5), "EVENTS".
 */
#ifndef MOAT_CTL_EVENT_H
#define MOAT_CTL_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "dataplane/gate.h"
#include "detect/finding.h"
#include "moat/rule.h"

/* What turns indices and monotonic times into names and dates. */
struct moat_event_context {
	uint64_t realtime_offset_ns; /* add to a time of the engine's clock for the time since the epoch */
	const struct moat_gate_port_info *ports; /* borrowed; samples name them by index */
	size_t port_count;
};

/* The context of now for a running appliance. */
struct moat_event_context moat_event_context_now(const struct moat_gate_port_info *ports,
						 size_t port_count);

/* The "moat" object of a finding: every field, with evidence. NULL without memory. */
json_t *moat_event_finding_detail(const struct moat_event_context *context,
				  const struct moat_finding *finding);

/* The alert event of a finding's state. `blocked`: a rule that drops or limits stands for it. */
json_t *moat_event_finding(const struct moat_event_context *context,
			   const struct moat_finding *finding, bool blocked);

/* One sampled packet in EVE's field names. */
json_t *moat_event_sample(const struct moat_event_context *context,
			  const struct moat_sample *sample);

struct moat_event_rule {
	const char *change; /* "added", "renewed", "removed", "expired" */
	const struct moat_rule *rule;
	const char *why;   /* NULL: nothing to add */
	uint64_t mono_ns;  /* when it took effect, CLOCK_MONOTONIC */
	uint64_t first_ns; /* begin of what the finding saw; 0: no finding */
};
json_t *moat_event_rule(const struct moat_event_context *context,
			const struct moat_event_rule *event);

/* A change of moatd itself: "started", "reloaded", "stopped", "list". `detail` is stolen; may be NULL. */
json_t *moat_event_moatd(const struct moat_event_context *context, const char *change,
			 json_t *detail);

/* An event of the host (ctl/sidecar/ocsf.h) on moat's own timeline: event_type "host", the OCSF object under
 * "ocsf". `object` is borrowed. */
json_t *moat_event_host(json_t *object);

/* A rule with all its fields, for listings. `hits` in packets. */
json_t *moat_event_rule_detail(const struct moat_rule *rule, const struct moat_rule_count *count,
			       uint64_t now_ns);

/* "TCP", "UDP", "ICMP", "IPv6-ICMP" or the number, as EVE writes them. Returns ret_text or a constant. */
const char *moat_event_proto(uint8_t proto, char ret_text[8]);

/* The set flags as letters ("SA"), "." if none. Returns ret_text. */
const char *moat_event_tcp_flags(uint8_t flags, char ret_text[9]);

#endif
