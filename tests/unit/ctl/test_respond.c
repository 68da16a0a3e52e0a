/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The responder on a rule set without a gate. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/respond.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/clock.h"
#include "dataplane/rule.h"
#include "dataplane/ruleset.h"
#include "tests/harness/unit.h"

#define NOW (1000 * MOAT_NS_PER_S)
#define HOLD (60 * MOAT_NS_PER_S)

static struct moat_ruleset *set;
static unsigned int renewals;

static int on_add(void *userdata, const struct moat_rule *rule, uint32_t *ret_id)
{
	return moat_ruleset_add(set, rule, ret_id);
}

static const struct moat_rule *on_find(void *userdata, uint32_t id)
{
	return moat_ruleset_find(set, id);
}

static void on_renew(void *userdata, uint32_t id, uint64_t expires_ns)
{
	CU_ASSERT_EQUAL(moat_ruleset_renew(set, id, expires_ns), 0);
	renewals++;
}

static void on_del(void *userdata, uint32_t id, const char *why)
{
	CU_ASSERT_EQUAL(moat_ruleset_del(set, id), 0);
}

static const struct moat_respond_ops ops = { on_add, on_find, on_renew, on_del };

static struct moat_respond *begin(enum moat_respond_mode mode, uint32_t max_rules,
				  const struct moat_prefix *allow)
{
	struct moat_respond_options options = {
		.mode = mode,
		.max_rules = max_rules,
		.hold_ns = HOLD,
		.allow = allow,
		.allow_count = allow ? 1 : 0,
	};
	struct moat_respond *respond = NULL;

	renewals = 0;
	CU_ASSERT_EQUAL_FATAL(moat_ruleset_new(&set), 0);
	CU_ASSERT_EQUAL_FATAL(moat_respond_new(&options, &ops, NULL, &respond), 0);
	return respond;
}

static void end(struct moat_respond *respond)
{
	moat_respond_free(respond);
	moat_ruleset_free(set);
	set = NULL;
}

/* A finding whose proposals are the rules given, NULL-terminated, of equal coverage. */
static struct moat_finding *finding_of(uint64_t id, enum moat_finding_state state,
				       const char *const *rules)
{
	static struct moat_finding finding;
	size_t count = 0;

	memset(&finding, 0, sizeof(finding));
	finding.id = id;
	finding.kind = MOAT_FINDING_UDP_FLOOD;
	finding.state = state;
	moat_addr_parse("198.51.100.7", &finding.subject);
	while (rules && rules[count])
		count++;
	for (size_t i = 0; i < count; i++) {
		struct moat_proposal *proposal = &finding.proposals[finding.proposal_count++];
		struct moat_rule rule;

		CU_ASSERT_EQUAL_FATAL(moat_rule_parse(rules[i], NOW, &rule, NULL), 0);
		*proposal = (struct moat_proposal){ .match = rule.match,
						    .action = rule.action,
						    .flags = rule.flags,
						    .rate_pps = rule.rate_pps,
						    .coverage = 1.0 / (double)count,
						    .collateral = -1 };
	}
	return &finding;
}

static size_t count_rules(void)
{
	size_t count;

	moat_ruleset_rules(set, &count);
	return count;
}

static const struct moat_rule *first_rule(void)
{
	size_t count;

	return moat_ruleset_rules(set, &count);
}

static const char *const drop53[] = { "drop dst 198.51.100.7 proto udp sport 53", NULL };
static const char *const drop123[] = { "drop dst 198.51.100.7 proto udp sport 123", NULL };
static const char *const both[] = { "drop dst 198.51.100.7 proto udp sport 53",
				    "drop dst 198.51.100.7 proto udp sport 123", NULL };

static void test_life(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);
	struct moat_respond_counters counters;
	const struct moat_rule *rule;

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, drop53), NOW);
	CU_ASSERT_EQUAL_FATAL(count_rules(), 1);
	rule = first_rule();
	CU_ASSERT_EQUAL(rule->action, MOAT_ACTION_DROP);
	CU_ASSERT_EQUAL(rule->expires_ns, NOW + HOLD);
	CU_ASSERT_EQUAL(rule->finding, 1);
	CU_ASSERT_EQUAL(rule->priority, MOAT_RESPOND_PRIORITY);
	CU_ASSERT_STRING_EQUAL(rule->owner, "respond");
	CU_ASSERT_STRING_EQUAL(rule->comment, "finding 1: UDP flood on 198.51.100.7");
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_CLOSED, drop53),
			     NOW + MOAT_NS_PER_S);
	CU_ASSERT_EQUAL(count_rules(), 0);
	moat_respond_counters(respond, &counters);
	CU_ASSERT_EQUAL(counters.added, 1);
	CU_ASSERT_EQUAL(counters.lifted, 1);
	CU_ASSERT_EQUAL(counters.standing, 0);
	end(respond);
}

/* Renewed when half its time is over, not at each update. */
static void test_renewal(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, drop53), NOW);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, drop53), NOW + HOLD / 4);
	CU_ASSERT_EQUAL(renewals, 0);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, drop53), NOW + HOLD / 2);
	CU_ASSERT_EQUAL(renewals, 1);
	CU_ASSERT_EQUAL(first_rule()->expires_ns, NOW + HOLD / 2 + HOLD);
	/* an update that proposes nothing keeps what stands */
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, NULL), NOW + 2 * HOLD);
	CU_ASSERT_EQUAL(renewals, 2);
	CU_ASSERT_EQUAL(count_rules(), 1);
	end(respond);
}

static void test_replacement(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 1, NULL);
	struct moat_respond_counters counters;

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, drop53), NOW);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, drop123), NOW + 1);
	CU_ASSERT_EQUAL(count_rules(), 1);
	CU_ASSERT_EQUAL(first_rule()->match.sport_min, 123);
	moat_respond_counters(respond, &counters);
	CU_ASSERT_EQUAL(counters.replaced, 1);
	CU_ASSERT_EQUAL(counters.refused_full, 0);
	end(respond);
}

/* A limit follows its rate when that moves by more than half. */
static void test_limit(void)
{
	static const char *const limit[] = {
		"limit 1000/s prefer-known dst 198.51.100.7 proto tcp flags S", NULL
	};
	static const char *const near[] = {
		"limit 1200/s prefer-known dst 198.51.100.7 proto tcp flags S", NULL
	};
	static const char *const far[] = {
		"limit 4000/s prefer-known dst 198.51.100.7 proto tcp flags S", NULL
	};
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, limit), NOW);
	CU_ASSERT_EQUAL(first_rule()->rate_pps, 1000);
	CU_ASSERT_EQUAL(first_rule()->flags, MOAT_RULE_PREFER_KNOWN);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, near), NOW + 1);
	CU_ASSERT_EQUAL(first_rule()->rate_pps, 1000);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, far), NOW + 2);
	CU_ASSERT_EQUAL(count_rules(), 1);
	CU_ASSERT_EQUAL(first_rule()->rate_pps, 4000);
	end(respond);
}

/* In place of a limit on SYNs whoever sends them; not of one on known sources, and not of a drop. */
static void test_challenge(void)
{
	static const char *const limit[] = {
		"limit 1000/s prefer-known dst 198.51.100.7 proto tcp dport 80 flags S len 60", NULL
	};
	static const char *const others[] = {
		"limit 1000/s src 192.0.2.0/24 dst 198.51.100.7 proto tcp flags S",
		"drop dst 198.51.100.7 proto tcp dport 80 flags S len 40", NULL
	};
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);
	struct moat_respond_options options = {
		.mode = MOAT_RESPOND_ENFORCE, .max_rules = 8, .hold_ns = HOLD, .challenge = true
	};
	struct moat_finding finding = *finding_of(1, MOAT_FINDING_OPEN, limit);
	struct moat_rule expected;
	const struct moat_rule *rules;
	size_t count;

	finding.kind = MOAT_FINDING_SYN_FLOOD;
	moat_respond_configure(respond, &options);
	moat_respond_finding(respond, &finding, NOW);
	CU_ASSERT_EQUAL_FATAL(count_rules(), 1);
	CU_ASSERT_EQUAL(moat_rule_parse("challenge dst 198.51.100.7 proto tcp dport 80", NOW,
					&expected, NULL),
			0);
	CU_ASSERT_EQUAL(first_rule()->action, MOAT_ACTION_CHALLENGE);
	CU_ASSERT_EQUAL(memcmp(&first_rule()->match, &expected.match, sizeof(expected.match)), 0);
	CU_ASSERT_EQUAL(first_rule()->flags, 0);
	CU_ASSERT_EQUAL(first_rule()->rate_pps, 0);
	finding = *finding_of(2, MOAT_FINDING_OPEN, others);
	finding.kind = MOAT_FINDING_SYN_FLOOD;
	moat_respond_finding(respond, &finding, NOW);
	rules = moat_ruleset_rules(set, &count);
	CU_ASSERT_EQUAL_FATAL(count, 3);
	for (size_t i = 0; i < count; i++)
		CU_ASSERT_TRUE(rules[i].finding == 1 || rules[i].action != MOAT_ACTION_CHALLENGE);
	end(respond);
}

static void test_bound(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 1, NULL);
	struct moat_respond_counters counters;

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, both), NOW);
	CU_ASSERT_EQUAL(count_rules(), 1);
	moat_respond_counters(respond, &counters);
	CU_ASSERT_EQUAL(counters.refused_full, 1);
	/* room again once the first has gone */
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_CLOSED, both), NOW);
	moat_respond_finding(respond, finding_of(2, MOAT_FINDING_OPEN, drop123), NOW);
	CU_ASSERT_EQUAL(count_rules(), 1);
	end(respond);
}

/* Proposals are taken until they cover the attack. */
static void test_coverage(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);
	struct moat_finding *finding = finding_of(1, MOAT_FINDING_OPEN, both);
	uint32_t ids[4];

	moat_respond_finding(respond, finding, NOW);
	CU_ASSERT_EQUAL(count_rules(), 2);
	CU_ASSERT_EQUAL(moat_respond_rules_of(respond, 1, ids, 4), 2);
	finding->state = MOAT_FINDING_UPDATE;
	finding->proposals[0].coverage = 0.995;
	moat_respond_finding(respond, finding, NOW + 1);
	CU_ASSERT_EQUAL(count_rules(), 1);
	end(respond);
}

static void test_allowed(void)
{
	static const char *const source[] = { "drop src 203.0.113.0/24 dst 198.51.100.7", NULL };
	struct moat_prefix allow;
	struct moat_respond *respond;
	struct moat_respond_counters counters;

	CU_ASSERT_EQUAL_FATAL(moat_prefix_parse("203.0.113.8", &allow), 0);
	respond = begin(MOAT_RESPOND_ENFORCE, 8, &allow);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, source), NOW);
	CU_ASSERT_EQUAL(count_rules(), 0);
	/* a rule on the victim alone names no source; the allow list is judged before it */
	moat_respond_finding(respond, finding_of(2, MOAT_FINDING_OPEN, drop53), NOW);
	CU_ASSERT_EQUAL(count_rules(), 1);
	moat_respond_counters(respond, &counters);
	CU_ASSERT_EQUAL(counters.refused_allowed, 1);
	end(respond);
}

static void test_observe(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_OBSERVE, 8, NULL);
	struct moat_respond_options enforce = { .mode = MOAT_RESPOND_ENFORCE,
						.max_rules = 8,
						.hold_ns = HOLD };

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, drop53), NOW);
	CU_ASSERT_EQUAL(first_rule()->action, MOAT_ACTION_COUNT);
	moat_respond_configure(respond, &enforce);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, drop53), NOW + 1);
	CU_ASSERT_EQUAL(count_rules(), 1);
	CU_ASSERT_EQUAL(first_rule()->action, MOAT_ACTION_DROP);
	end(respond);
}

/* What an operator takes down stays down until the finding has closed. */
static void test_dismissed(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);
	uint32_t id;

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, drop53), NOW);
	id = first_rule()->id;
	moat_ruleset_del(set, id);
	moat_respond_dismiss(respond, id);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, drop53), NOW + 1);
	CU_ASSERT_EQUAL(count_rules(), 0);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_CLOSED, drop53), NOW + 2);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, drop53), NOW + 3);
	CU_ASSERT_EQUAL(count_rules(), 1);
	end(respond);
}

/* Expired, or lost with a failed commit: put up again. */
static void test_vanished(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, drop53), NOW);
	CU_ASSERT_EQUAL(moat_ruleset_expire(set, NOW + HOLD), 1);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, drop53), NOW + HOLD);
	CU_ASSERT_EQUAL(count_rules(), 1);
	end(respond);
}

/* A drop from before a restart isn't softened by who knows less now; it goes when the finding closes. */
static void test_restart(void)
{
	static const char *const limit53[] = {
		"limit 5000/s prefer-known dst 198.51.100.7 proto udp sport 53", NULL
	};
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);
	struct moat_rule rule;

	CU_ASSERT_EQUAL_FATAL(moat_rule_parse(drop53[0], NOW, &rule, NULL), 0);
	snprintf(rule.owner, sizeof(rule.owner), MOAT_RESPOND_OWNER);
	rule.expires_ns = NOW + 5;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), 0);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, limit53), NOW);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_UPDATE, limit53), NOW + HOLD / 2);
	CU_ASSERT_EQUAL_FATAL(count_rules(), 1);
	CU_ASSERT_EQUAL(first_rule()->action, MOAT_ACTION_DROP);
	CU_ASSERT_EQUAL(first_rule()->expires_ns, NOW + HOLD / 2 + HOLD);
	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_CLOSED, limit53), NOW + HOLD);
	CU_ASSERT_EQUAL(count_rules(), 0);
	end(respond);
}

/* A finding whose end was lost holds no place for ever. */
static void test_lost_end(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 1, NULL);
	struct moat_respond_counters counters;

	moat_respond_finding(respond, finding_of(1, MOAT_FINDING_OPEN, drop53), NOW);
	CU_ASSERT_EQUAL(moat_ruleset_expire(set, NOW + HOLD), 1);
	moat_respond_finding(respond, finding_of(2, MOAT_FINDING_OPEN, drop123), NOW + HOLD);
	CU_ASSERT_EQUAL(count_rules(), 1);
	moat_respond_counters(respond, &counters);
	CU_ASSERT_EQUAL(counters.standing, 1);
	CU_ASSERT_EQUAL(counters.refused_full, 0);
	end(respond);
}

/* Small attacks first can't keep the rules of a large one out; one of like size doesn't push. */
static void test_displacement(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 1, NULL);
	struct moat_respond_counters counters;
	struct moat_finding *finding = finding_of(1, MOAT_FINDING_OPEN, drop53);

	finding->pps = 1000;
	moat_respond_finding(respond, finding, NOW);
	finding = finding_of(2, MOAT_FINDING_OPEN, drop123);
	finding->pps = 2000;
	moat_respond_finding(respond, finding, NOW);
	CU_ASSERT_EQUAL(first_rule()->match.sport_min, 53);
	finding->pps = 50000;
	moat_respond_finding(respond, finding, NOW);
	CU_ASSERT_EQUAL_FATAL(count_rules(), 1);
	CU_ASSERT_EQUAL(first_rule()->match.sport_min, 123);
	finding = finding_of(1, MOAT_FINDING_UPDATE, drop53);
	finding->pps = 1000;
	moat_respond_finding(respond, finding, NOW);
	CU_ASSERT_EQUAL(first_rule()->match.sport_min, 123);
	moat_respond_counters(respond, &counters);
	CU_ASSERT_EQUAL(counters.standing, 1);
	CU_ASSERT_EQUAL(counters.displaced, 1);
	CU_ASSERT_EQUAL(counters.refused_full, 2);
	end(respond);
}

/* An operator's equal rule does the work and is never touched; the responder's from before a restart is
 * taken over. */
static void test_standing_rules(void)
{
	struct moat_respond *respond = begin(MOAT_RESPOND_ENFORCE, 8, NULL);
	struct moat_rule rule;

	CU_ASSERT_EQUAL_FATAL(moat_rule_parse(drop53[0], NOW, &rule, NULL), 0);
	snprintf(rule.owner, sizeof(rule.owner), "operator");
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(moat_rule_parse(drop123[0], NOW, &rule, NULL), 0);
	snprintf(rule.owner, sizeof(rule.owner), MOAT_RESPOND_OWNER);
	rule.expires_ns = NOW + 5;
	CU_ASSERT_EQUAL(moat_ruleset_add(set, &rule, NULL), 0);
	moat_respond_finding(respond, finding_of(9, MOAT_FINDING_OPEN, both), NOW);
	CU_ASSERT_EQUAL(count_rules(), 2);
	CU_ASSERT_EQUAL(renewals, 1);
	moat_respond_finding(respond, finding_of(9, MOAT_FINDING_CLOSED, both), NOW + 1);
	CU_ASSERT_EQUAL_FATAL(count_rules(), 1);
	CU_ASSERT_STRING_EQUAL(first_rule()->owner, "operator");
	end(respond);
}

int main(void)
{
	static const struct moat_test tests[] = {
		{ "life", test_life },
		{ "renewal", test_renewal },
		{ "replacement", test_replacement },
		{ "limit", test_limit },
		{ "challenge", test_challenge },
		{ "bound", test_bound },
		{ "coverage", test_coverage },
		{ "allowed", test_allowed },
		{ "observe", test_observe },
		{ "dismissed", test_dismissed },
		{ "vanished", test_vanished },
		{ "restart", test_restart },
		{ "lost end", test_lost_end },
		{ "displacement", test_displacement },
		{ "standing rules", test_standing_rules },
		{ NULL, NULL },
	};

	return moat_test_main("respond", tests);
}
