/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The methods of the control socket. A change is drafted, committed, and only then answered. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/appliance_priv.h"
#include "ctl/guard.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/rule.h"

/* Prefixes that a listing carries; lists of a million are for files. */
#define PREFIXES_LISTED 1000

typedef int (*method_fn)(struct moat_appliance *appliance, struct moat_control_call *call,
			 json_t **ret_result, struct moat_error *error);

/* ---- reading ------------------------------------------------------------------------------------- */

static int do_status(struct moat_appliance *appliance, struct moat_control_call *call,
		     json_t **ret_result, struct moat_error *error)
{
	*ret_result = moat_appliance_status(appliance);
	return *ret_result ? 0 : -ENOMEM;
}

json_t *moat_top_host_json(const struct moat_top_host *host)
{
	char addr[MOAT_ADDR_TEXT_LEN];

	return json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f}", "addr",
			 moat_addr_format(&host->addr, addr), "pps", host->pps, "mbps", host->mbps,
			 "dropped_pps", host->dropped, "syn_pps", host->syn, "udp_pps", host->udp,
			 "icmp_pps", host->icmp);
}

static json_t *hosts_of(const struct moat_top *top, bool to, size_t max)
{
	json_t *hosts = json_array();
	size_t count;
	const struct moat_top_host *rows = moat_top_hosts(top, to, &count);

	for (size_t i = 0; i < count && i < max; i++)
		json_array_append_new(hosts, moat_top_host_json(&rows[i]));
	return hosts;
}

static int do_top(struct moat_appliance *appliance, struct moat_control_call *call,
		  json_t **ret_result, struct moat_error *error)
{
	json_int_t hosts = json_integer_value(json_object_get(call->params, "hosts"));
	size_t max = hosts > 0 && hosts < MOAT_TOP_HOSTS_MAX ? (size_t)hosts : 10;
	json_t *result;

	moat_top_update(appliance->top, moat_clock_monotonic_ns());
	result = moat_appliance_status(appliance);
	if (!result)
		return -ENOMEM;
	json_object_set_new(
		result, "interval_s",
		json_real((double)moat_top_interval_ns(appliance->top) / (double)MOAT_NS_PER_S));
	json_object_set_new(result, "to", hosts_of(appliance->top, true, max));
	json_object_set_new(result, "from", hosts_of(appliance->top, false, max));
	*ret_result = result;
	return 0;
}

static json_t *list_of(const struct moat_ruleset *set, enum moat_list list)
{
	json_t *prefixes = json_array();
	size_t count;
	const struct moat_prefix *rows = moat_ruleset_prefixes(set, list, &count);

	for (size_t i = 0; i < count && i < PREFIXES_LISTED; i++) {
		char text[MOAT_PREFIX_TEXT_LEN];

		json_array_append_new(prefixes, json_string(moat_prefix_format(&rows[i], text)));
	}
	return json_pack("{s:I,s:b,s:o}", "count", (json_int_t)count, "truncated",
			 count > PREFIXES_LISTED, "prefixes", prefixes);
}

static json_t *rule_of(const struct moat_appliance *appliance, const struct moat_rule *rule)
{
	struct moat_rule_count count = moat_appliance_rule_count(appliance, rule);

	json_t *detail = moat_event_rule_detail(rule, &count, moat_clock_monotonic_ns());

	if (detail)
		json_object_set_new(detail, "where",
				    moat_offloads_where(appliance->offloads, rule->id, NULL));
	return detail;
}

static int do_rules_list(struct moat_appliance *appliance, struct moat_control_call *call,
			 json_t **ret_result, struct moat_error *error)
{
	const struct moat_ruleset *set = moat_rulebook_live(appliance->rulebook);
	json_t *rules = json_array();
	size_t count;
	const struct moat_rule *rows = moat_ruleset_rules(set, &count);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(rules, rule_of(appliance, &rows[i]));
	*ret_result = json_pack("{s:o,s:o,s:o,s:o}", "rules", rules, "allow",
				list_of(set, MOAT_LIST_ALLOW), "deny", list_of(set, MOAT_LIST_DENY),
				"nic", moat_offloads_denied(appliance->offloads));
	return *ret_result ? 0 : -ENOMEM;
}

/* The host's latest events behind the others. */
static void add_host_events(const struct moat_appliance *appliance, json_t *events)
{
	uint64_t end = appliance->host_event_count;

	for (uint64_t i = end > MOAT_HOST_EVENTS_KEPT ? end - MOAT_HOST_EVENTS_KEPT : 0; i < end;
	     i++)
		json_array_append(events, appliance->host_events[i % MOAT_HOST_EVENTS_KEPT]);
}

static int do_events(struct moat_appliance *appliance, struct moat_control_call *call,
		     json_t **ret_result, struct moat_error *error)
{
	size_t have = json_array_size(appliance->events), last = have;
	json_t *wanted = json_object_get(call->params, "last");
	json_t *events = json_array();

	if (json_is_integer(wanted) && json_integer_value(wanted) >= 0 &&
	    (size_t)json_integer_value(wanted) < have)
		last = (size_t)json_integer_value(wanted);
	for (size_t i = have - last; i < have; i++)
		json_array_append(events, json_array_get(appliance->events, i));
	if (json_is_true(json_object_get(call->params, "host")))
		add_host_events(appliance, events);
	call->follow = json_is_true(json_object_get(call->params, "follow"));
	*ret_result = json_pack("{s:o}", "events", events);
	return *ret_result ? 0 : -ENOMEM;
}

static int do_findings(struct moat_appliance *appliance, struct moat_control_call *call,
		       json_t **ret_result, struct moat_error *error)
{
	struct moat_event_context context = moat_appliance_context(appliance);
	json_t *findings = json_array();
	const struct moat_finding *finding;

	for (size_t i = 0; (finding = moat_findings_at(appliance->findings, i)); i++)
		json_array_append_new(findings, moat_event_finding_detail(&context, finding));
	*ret_result = json_pack("{s:o}", "findings", findings);
	return *ret_result ? 0 : -ENOMEM;
}

json_t *moat_appliance_rules_of_finding(const struct moat_appliance *appliance, uint64_t finding)
{
	const struct moat_ruleset *set = moat_rulebook_live(appliance->rulebook);
	uint32_t ids[MOAT_PROPOSALS_MAX];
	size_t count = moat_respond_rules_of(appliance->respond, finding, ids, MOAT_ARRAY_SIZE(ids));
	json_t *rules = json_array();

	for (size_t i = 0; i < count; i++) {
		const struct moat_rule *rule = moat_ruleset_find(set, ids[i]);

		if (rule)
			json_array_append_new(rules, rule_of(appliance, rule));
	}
	return rules;
}

static int do_explain(struct moat_appliance *appliance, struct moat_control_call *call,
		      json_t **ret_result, struct moat_error *error)
{
	struct moat_event_context context = moat_appliance_context(appliance);
	json_int_t id = json_integer_value(json_object_get(call->params, "id"));
	const struct moat_finding *finding = moat_findings_get(appliance->findings, (uint64_t)id);

	if (!finding)
		return moat_error_set(
			error, -ENOENT,
			"there is no finding %lld here (moat status lists the open ones, the event file "
			"has all)",
			(long long)id);
	*ret_result = json_pack("{s:o,s:o}", "finding", moat_event_finding_detail(&context, finding),
				"rules", moat_appliance_rules_of_finding(appliance, finding->id));
	return *ret_result ? 0 : -ENOMEM;
}

/* ---- changing ------------------------------------------------------------------------------------ */

/* "allow PREFIX" and "deny PREFIX" name list entries, everything else rules. False: it is a rule. */
static bool is_list_entry(const char *text, enum moat_list *ret_list, const char **ret_prefix)
{
	if (strncmp(text, "allow ", 6) == 0)
		*ret_list = MOAT_LIST_ALLOW;
	else if (strncmp(text, "deny ", 5) == 0)
		*ret_list = MOAT_LIST_DENY;
	else
		return false;
	*ret_prefix = strchr(text, ' ') + 1;
	*ret_prefix += strspn(*ret_prefix, " ");
	return true;
}

static int parse_prefix(const char *text, struct moat_prefix *ret_prefix, struct moat_error *error)
{
	int r = moat_prefix_parse(text, ret_prefix);

	if (r == -EDOM)
		return moat_error_set(error, -EINVAL, "\"%s\" has bits set behind the prefix", text);
	if (r < 0 || ret_prefix->family == MOAT_FAMILY_ANY)
		return moat_error_set(error, -EINVAL,
				      "\"%s\" is no prefix (say 192.0.2.0/24 or 2001:db8::/32)",
				      text);
	return 0;
}

/* Refuses a draft that would cut off its author or who manages the box, unless that is forced. */
static int guard(struct moat_appliance *appliance, const json_t *params, struct moat_error *error)
{
	struct moat_session session;
	bool has_session = moat_guard_session(params, &session);
	int r;

	if (json_is_true(json_object_get(params, "force")))
		return 0;
	r = moat_guard_check(moat_rulebook_live(appliance->rulebook),
			     moat_rulebook_newest(appliance->rulebook),
			     has_session ? &session : NULL, error);
	if (r < 0)
		moat_rulebook_drop(appliance->rulebook);
	return r;
}

/* Whether one prefix may go into a list: the draft that says so is dropped again. */
static int guard_entry(struct moat_appliance *appliance, const json_t *params, enum moat_list list,
		       const struct moat_prefix *prefix, struct moat_error *error)
{
	struct moat_ruleset *after = NULL;
	struct moat_session session;
	bool has_session = moat_guard_session(params, &session);
	int r;

	if (list == MOAT_LIST_ALLOW || json_is_true(json_object_get(params, "force")))
		return 0;
	/* a set of this prefix alone: the lists may be long */
	r = moat_ruleset_new(&after);
	if (r == 0) {
		const struct moat_ruleset *live = moat_rulebook_live(appliance->rulebook);

		moat_ruleset_list_share(after, MOAT_LIST_ALLOW, live);
		moat_ruleset_share_stages(after, live);
		r = moat_ruleset_list_add(after, list, prefix);
		if (r == 0)
			r = moat_guard_check(live, after, has_session ? &session : NULL, error);
	}
	moat_ruleset_free(after);
	return r;
}

static void tell_list(struct moat_appliance *appliance, const char *change, const char *text)
{
	struct moat_event_context context = moat_appliance_context(appliance);

	moat_appliance_emit(appliance,
			    moat_event_moatd(&context, change, json_pack("{s:s}", "entry", text)));
}

static int add_entry(struct moat_appliance *appliance, const json_t *params, enum moat_list list,
		     const char *text, const char *prefix_text, json_t **ret_result,
		     struct moat_error *error)
{
	struct moat_prefix prefix;
	int r = parse_prefix(prefix_text, &prefix, error);

	if (r < 0)
		return r;
	/* Nobody sends from everywhere: it would cut off the operator, as a rule that drops all would. */
	if (list == MOAT_LIST_DENY && prefix.len == 0)
		return moat_error_set(error, -EINVAL, "\"%s\" would deny everything", text);
	r = guard_entry(appliance, params, list, &prefix, error);
	if (r < 0)
		return r;
	r = moat_appliance_change_list(appliance, true, list, &prefix, error);
	if (r == MOAT_RULESET_EXISTS)
		return moat_error_set(error, -EEXIST, "\"%s\" stands already", text);
	if (r == MOAT_RULESET_FULL)
		return moat_error_set(error, -ENOSPC, "there are %d prefixes already",
				      MOAT_PREFIXES_MAX);
	if (r < 0)
		return error->text[0] ? r
				      : moat_error_set(error, r, "\"%s\": %s", text, strerror(-r));
	tell_list(appliance, "list_added", text);
	*ret_result = json_pack("{s:s,s:f}", "entry", text, "in_force_us",
				(double)appliance->patch_last_ns / 1000);
	return 0;
}

static int add_rule(struct moat_appliance *appliance, const json_t *params, const char *text,
		    json_t **ret_result, struct moat_error *error)
{
	const char *owner = json_string_value(json_object_get(params, "owner"));
	struct moat_rule rule;
	uint32_t id = 0;
	int r = moat_rule_parse(text, moat_clock_monotonic_ns(), &rule, error);

	if (r < 0)
		return r;
	snprintf(rule.owner, sizeof(rule.owner), "%s",
		 owner && strcmp(owner, MOAT_OWNER_BAN) == 0 ? MOAT_OWNER_BAN : MOAT_OWNER_OPERATOR);
	r = moat_rulebook_add(appliance->rulebook, &rule, &id);
	if (r != 0)
		moat_rulebook_drop(appliance->rulebook);
	if (r == MOAT_RULESET_EXISTS)
		return moat_error_set(error, -EEXIST, "rule %u matches the same already", id);
	if (r == MOAT_RULESET_FULL)
		return moat_error_set(error, -ENOSPC, "there are %d rules already", MOAT_RULES_MAX);
	if (r < 0)
		return moat_error_set(error, r, "rule: %s", strerror(-r));
	r = guard(appliance, params, error);
	if (r == 0)
		r = moat_appliance_apply(appliance, error);
	if (r < 0)
		return r;
	*ret_result = rule_of(appliance,
			      moat_ruleset_find(moat_rulebook_live(appliance->rulebook), id));
	return *ret_result ? 0 : -ENOMEM;
}

static int do_rules_add(struct moat_appliance *appliance, struct moat_control_call *call,
			json_t **ret_result, struct moat_error *error)
{
	const char *text = json_string_value(json_object_get(call->params, "rule"));
	const char *prefix;
	enum moat_list list;

	int r = moat_pending_refuse(appliance, error);

	if (r < 0)
		return r;
	if (!text)
		return moat_error_set(error, -EINVAL, "params.rule is missing: the text of a rule");
	if (is_list_entry(text, &list, &prefix))
		return add_entry(appliance, call->params, list, text, prefix, ret_result, error);
	return add_rule(appliance, call->params, text, ret_result, error);
}

static int del_entry(struct moat_appliance *appliance, const char *text, struct moat_error *error)
{
	struct moat_prefix prefix;
	const char *prefix_text;
	enum moat_list list;
	int r;

	if (!is_list_entry(text, &list, &prefix_text))
		return moat_error_set(
			error, -EINVAL,
			"a rule is deleted by its id; \"allow PREFIX\" and \"deny PREFIX\" "
			"by their text");
	r = parse_prefix(prefix_text, &prefix, error);
	if (r < 0)
		return r;
	r = moat_appliance_change_list(appliance, false, list, &prefix, error);
	if (r == -EPERM)
		return moat_error_set(
			error, r, "\"%s\" stands in the configuration: change it there and reload",
			text);
	if (r == -ENOENT)
		return moat_error_set(error, r, "\"%s\" doesn't stand", text);
	if (r < 0)
		return error->text[0] ? r
				      : moat_error_set(error, r, "\"%s\": %s", text, strerror(-r));
	tell_list(appliance, "list_removed", text);
	return 0;
}

static int do_rules_del(struct moat_appliance *appliance, struct moat_control_call *call,
			json_t **ret_result, struct moat_error *error)
{
	const char *text = json_string_value(json_object_get(call->params, "rule"));
	json_int_t id = json_integer_value(json_object_get(call->params, "id"));
	int r = moat_pending_refuse(appliance, error);

	if (r < 0)
		return r;
	if (text)
		return del_entry(appliance, text, error);
	if (id < 1 || id > UINT32_MAX)
		return moat_error_set(
			error, -EINVAL,
			"a rule has a number from 1 to 4294967295 (moat rules list shows it)");
	r = moat_rulebook_del(appliance->rulebook, (uint32_t)id, "deleted by an operator");
	if (r < 0)
		moat_rulebook_drop(appliance->rulebook);
	if (r == -EPERM)
		return moat_error_set(
			error, r,
			"rule %lld stands in the configuration: change it there and reload",
			(long long)id);
	if (r < 0)
		return moat_error_set(error, r, "there is no rule %lld", (long long)id);
	r = moat_appliance_apply(appliance, error);
	if (r == 0)
		moat_respond_dismiss(appliance->respond, (uint32_t)id);
	return r;
}

/* A regular file that the client itself can read: a descriptor for writing, or with O_PATH, is no proof. */
static bool is_readable(int fd)
{
	struct stat facts;
	int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;

	return flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY &&
	       fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* Tells the client of its file by the name that it knows. */
static int refuse_file(int code, const char *text, const char *ours, const char *theirs,
		       struct moat_error *error)
{
	struct moat_error told = { .text = "" };
	size_t length = 0, ours_length = strlen(ours);

	while (*text && length + 1 < sizeof(told.text)) {
		if (strncmp(text, ours, ours_length) != 0) {
			told.text[length++] = *text++;
			continue;
		}
		snprintf(told.text + length, sizeof(told.text) - length, "%s", theirs);
		length = strlen(told.text);
		text += ours_length;
	}
	return moat_error_set(error, code, "%s", told.text);
}

/* Puts a loaded draft in force; with "confirm" until nobody confirms it, and the author's session stays open
 * meanwhile whatever the rules say. */
static int apply_loaded(struct moat_appliance *appliance, const json_t *params,
			struct moat_error *error)
{
	const json_t *confirm = json_object_get(params, "confirm");
	struct moat_session session;
	int r = guard(appliance, params, error);

	if (r < 0)
		return r;
	if (!confirm)
		return moat_appliance_apply(appliance, error);
	if (moat_guard_session(params, &session))
		moat_rulebook_add_session(appliance->rulebook, &session);
	r = moat_pending_begin(appliance, json_integer_value(confirm), error);
	if (r < 0) {
		moat_rulebook_drop(appliance->rulebook);
		return r;
	}
	r = moat_appliance_apply(appliance, error);
	if (r < 0)
		moat_pending_cancel(appliance);
	return r;
}

static json_t *report_of(const struct moat_ruleset_load_report *report)
{
	json_t *lines = json_array();

	for (size_t i = 0; i < report->duplicates && i < MOAT_DUPLICATES_NAMED; i++)
		json_array_append_new(lines, json_integer((json_int_t)report->duplicate_lines[i]));
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "lines", (json_int_t)report->lines, "rules",
			 (json_int_t)report->rules, "allowed", (json_int_t)report->allowed,
			 "denied", (json_int_t)report->denied, "duplicates",
			 (json_int_t)report->duplicates, "duplicate_lines", lines);
}

/* The file comes as a descriptor: what a client may not read moatd doesn't read for it. */
static int do_rules_load(struct moat_appliance *appliance, struct moat_control_call *call,
			 json_t **ret_result, struct moat_error *error)
{
	const char *name = json_string_value(json_object_get(call->params, "name"));
	struct moat_ruleset_load_report report = { 0 };
	struct moat_error ours = { .text = "" };
	char path[64];
	int r = moat_pending_refuse(appliance, error);

	if (r < 0)
		return r;
	if (!is_readable(call->fd))
		return moat_error_set(
			error, -EINVAL,
			"rules.load needs the descriptor of a regular file, open for reading");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", call->fd);
	r = moat_rulebook_load(appliance->rulebook, path, moat_clock_monotonic_ns(), &report, &ours);
	if (r < 0)
		return refuse_file(r, ours.text, path, name ? name : "(unnamed)", error);
	r = apply_loaded(appliance, call->params, error);
	if (r < 0)
		return r;
	*ret_result = report_of(&report);
	tell_list(appliance, "list_loaded", name ? name : "(unnamed)");
	return 0;
}

static int do_rules_confirm(struct moat_appliance *appliance, struct moat_control_call *call,
			    json_t **ret_result, struct moat_error *error)
{
	return moat_pending_confirm(appliance, error);
}

static int do_reload(struct moat_appliance *appliance, struct moat_control_call *call,
		     json_t **ret_result, struct moat_error *error)
{
	int r = moat_appliance_reload(appliance, error);

	if (r < 0)
		moat_log(MOAT_LOG_ERROR, "reload: %s; nothing has changed", error->text);
	else
		moat_log(MOAT_LOG_INFO, "reloaded %s", appliance->config->path);
	return r;
}

static const struct {
	const char *name;
	method_fn run;
} methods[] = {
	{ "status", do_status },
	{ "top", do_top },
	{ "events", do_events },
	{ "findings", do_findings },
	{ "explain", do_explain },
	{ "rules.list", do_rules_list },
	{ "rules.add", do_rules_add },
	{ "rules.del", do_rules_del },
	{ "rules.load", do_rules_load },
	{ "rules.confirm", do_rules_confirm },
	{ "reload", do_reload },
	{ "baseline.show", moat_appliance_baseline },
	{ "baseline.export", moat_appliance_baseline },
	{ "baseline.import", moat_appliance_baseline },
	{ "baseline.reset", moat_appliance_baseline },
	{ "challenge.show", moat_appliance_challenge },
	{ "upstream.list", moat_appliance_upstream },
	{ "upstream.withdraw", moat_appliance_upstream },
	{ "protect", moat_appliance_protect },
	{ "egress.list", moat_appliance_egress },
	{ "egress.limit", moat_appliance_egress },
	{ "egress.cut", moat_appliance_egress },
	{ "egress.release", moat_appliance_egress },
};

int moat_appliance_call(void *userdata, struct moat_control_call *call, json_t **ret_result,
			struct moat_error *error)
{
	for (size_t i = 0; i < MOAT_ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i].name, call->method) == 0)
			return methods[i].run(userdata, call, ret_result, error);
	}
	return -ENOSYS;
}
