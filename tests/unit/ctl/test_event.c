/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Events: EVE's names, what is moat's own, and nothing that JSON can't carry. */
#include <string.h>

#include "ctl/event.h"
#include "ctl/findings.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "tests/harness/unit.h"

static struct moat_gate_port_info port = { .name = "eth0", .index = 3 };
static const struct moat_event_context context = {
	.realtime_offset_ns = 1000 * MOAT_NS_PER_S,
	.ports = &port,
	.port_count = 1,
};

static const char *text_at(const json_t *object, const char *a, const char *b)
{
	const json_t *value = json_object_get(object, a);

	return json_string_value(b ? json_object_get(value, b) : value);
}

static struct moat_finding *flood(void)
{
	static struct moat_finding finding;
	struct moat_sample *sample = &finding.evidence[0];

	memset(&finding, 0, sizeof(finding));
	finding.id = 5;
	finding.kind = MOAT_FINDING_SYN_FLOOD;
	finding.first_ns = 10 * MOAT_NS_PER_S;
	finding.detected_ns = 11 * MOAT_NS_PER_S;
	finding.last_ns = 12 * MOAT_NS_PER_S;
	moat_addr_parse("198.51.100.7", &finding.subject);
	finding.drivers[finding.driver_count++] = (struct moat_driver){ "syn/s", 10, 5000, 44 };
	finding.proposal_count = 1;
	finding.proposals[0].match = moat_rule_default().match;
	finding.proposals[0].match.proto = 6;
	finding.proposals[0].collateral = -1;
	finding.evidence_count = 1;
	sample->port = 3;
	sample->headers.family = MOAT_FAMILY_V4;
	sample->headers.proto = 6;
	sample->headers.tcp_flags = MOAT_TCP_SYN;
	sample->headers.has_ports = 1;
	sample->headers.sport = 1234;
	sample->headers.dport = 80;
	moat_addr_parse("192.0.2.1", &sample->headers.src);
	moat_addr_parse("198.51.100.7", &sample->headers.dst);
	return &finding;
}

static void test_finding(void)
{
	json_t *event = moat_event_finding(&context, flood(), true);
	json_t *moat = json_object_get(event, "moat");

	CU_ASSERT_PTR_NOT_NULL_FATAL(event);
	CU_ASSERT_STRING_EQUAL(text_at(event, "timestamp", NULL), "1970-01-01T00:16:51.000000+0000");
	CU_ASSERT_STRING_EQUAL(text_at(event, "event_type", NULL), "alert");
	CU_ASSERT_STRING_EQUAL(text_at(event, "in_iface", NULL), "eth0");
	CU_ASSERT_STRING_EQUAL(text_at(event, "src_ip", NULL), "192.0.2.1");
	CU_ASSERT_STRING_EQUAL(text_at(event, "dest_ip", NULL), "198.51.100.7");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(event, "dest_port")), 80);
	CU_ASSERT_STRING_EQUAL(text_at(event, "proto", NULL), "TCP");
	CU_ASSERT_EQUAL(strncmp(text_at(event, "community_id", NULL), "1:", 2), 0);
	CU_ASSERT_STRING_EQUAL(text_at(event, "alert", "action"), "blocked");
	CU_ASSERT_STRING_EQUAL(text_at(event, "alert", "signature"), "moat SYN flood");
	CU_ASSERT_STRING_EQUAL(text_at(moat, "state", NULL), "open");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(moat, "mono_ns")),
			11 * (json_int_t)MOAT_NS_PER_S);
	CU_ASSERT_STRING_EQUAL(text_at(json_array_get(json_object_get(moat, "proposals"), 0),
				       "match", NULL),
			       "proto tcp");
	CU_ASSERT_TRUE(json_is_null(json_object_get(
		json_array_get(json_object_get(moat, "proposals"), 0), "collateral")));
	CU_ASSERT_STRING_EQUAL(text_at(json_array_get(json_object_get(moat, "evidence"), 0),
				       "tcp_flags", NULL),
			       "S");
	json_decref(event);
}

/* Without a sampled packet the victim is still named. */
static void test_no_evidence(void)
{
	struct moat_finding *finding = flood();
	json_t *event;

	finding->evidence_count = 0;
	event = moat_event_finding(&context, finding, false);
	CU_ASSERT_STRING_EQUAL(text_at(event, "dest_ip", NULL), "198.51.100.7");
	CU_ASSERT_PTR_NULL(json_object_get(event, "src_ip"));
	CU_ASSERT_STRING_EQUAL(text_at(event, "alert", "action"), "allowed");
	json_decref(event);
	finding->kind = MOAT_FINDING_SCAN;
	finding->subject_is_source = true;
	event = moat_event_finding(&context, finding, false);
	CU_ASSERT_STRING_EQUAL(text_at(event, "src_ip", NULL), "198.51.100.7");
	json_decref(event);
}

static void test_rule(void)
{
	struct moat_rule rule;
	struct moat_event_rule change = {
		.change = "added",
		.rule = &rule,
		.mono_ns = 12 * MOAT_NS_PER_S,
		.first_ns = 11750 * MOAT_NS_PER_MS,
	};
	json_t *event, *moat;

	CU_ASSERT_EQUAL_FATAL(moat_rule_parse("drop src 192.0.2.1", 0, &rule, NULL), 0);
	rule.id = 9;
	rule.finding = 5;
	event = moat_event_rule(&context, &change);
	moat = json_object_get(event, "moat");
	CU_ASSERT_STRING_EQUAL(text_at(moat, "object", NULL), "rule");
	CU_ASSERT_STRING_EQUAL(text_at(moat, "rule", NULL), "drop src 192.0.2.1");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(moat, "id")), 9);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(moat, "finding")), 5);
	CU_ASSERT_EQUAL(json_real_value(json_object_get(moat, "rule_ms")), 250);
	CU_ASSERT_PTR_NULL(json_object_get(moat, "why"));
	json_decref(event);
}

static void test_names(void)
{
	char text[16];

	CU_ASSERT_STRING_EQUAL(moat_event_proto(58, text), "IPv6-ICMP");
	CU_ASSERT_STRING_EQUAL(moat_event_proto(47, text), "47");
	CU_ASSERT_STRING_EQUAL(moat_event_tcp_flags(MOAT_TCP_SYN | MOAT_TCP_ACK, text), "SA");
	CU_ASSERT_STRING_EQUAL(moat_event_tcp_flags(0xff, text), "FSRPAUEC");
	CU_ASSERT_STRING_EQUAL(moat_event_tcp_flags(0, text), ".");
}

/* The open ones stay when the store is full; the one that closed first goes. */
static void test_kept(void)
{
	struct moat_findings *kept = NULL;
	struct moat_finding *finding = flood();

	CU_ASSERT_EQUAL_FATAL(moat_findings_new(&kept), 0);
	for (uint64_t id = 1; id <= MOAT_FINDINGS_KEPT; id++) {
		finding->id = id;
		finding->state = id == 1 || id > 3 ? MOAT_FINDING_OPEN : MOAT_FINDING_CLOSED;
		finding->last_ns = 1000 - id;
		moat_findings_put(kept, finding);
	}
	finding->id = MOAT_FINDINGS_KEPT + 1;
	moat_findings_put(kept, finding);
	CU_ASSERT_PTR_NULL(moat_findings_get(kept, 3));
	CU_ASSERT_PTR_NOT_NULL(moat_findings_get(kept, 2));
	CU_ASSERT_PTR_NOT_NULL(moat_findings_get(kept, 1));
	CU_ASSERT_EQUAL(moat_findings_at(kept, 0)->id, MOAT_FINDINGS_KEPT + 1);
	CU_ASSERT_PTR_NULL(moat_findings_at(kept, MOAT_FINDINGS_KEPT));
	CU_ASSERT_EQUAL(moat_findings_open_count(kept), MOAT_FINDINGS_KEPT - 1);
	/* a new state replaces the old one */
	finding->state = MOAT_FINDING_CLOSED;
	moat_findings_put(kept, finding);
	CU_ASSERT_EQUAL(moat_findings_open_count(kept), MOAT_FINDINGS_KEPT - 2);
	moat_findings_free(kept);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "finding", test_finding }, { "no evidence", test_no_evidence },
		{ "rule", test_rule },       { "names", test_names },
		{ "kept", test_kept },       { NULL, NULL },
	};

	return moat_test_main("event", tests);
}
