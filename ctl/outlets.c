/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom findings go to beyond this box: people (notify.h) and routers (upstream.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/appliance_priv.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

static int open_notify(const struct moat_config *config, struct moat_notify **ret_notify,
		       struct moat_error *error)
{
	if (!config->notify.script && !config->notify.webhook)
		return 0;
	return moat_notify_new(&config->notify, ret_notify, error);
}

int moat_outlets_open(struct moat_appliance *appliance, struct moat_error *error)
{
	if (moat_upstream_new(&appliance->config->upstream, &appliance->upstream) < 0)
		return moat_error_set(error, -ENOMEM, "out of memory");
	return open_notify(appliance->config, &appliance->notify, error);
}

void moat_outlets_close(struct moat_appliance *appliance)
{
	moat_notify_free(appliance->notify);
	moat_upstream_free(appliance->upstream);
}

int moat_outlets_prepare(const struct moat_config *config, struct moat_notify **ret_notify,
			 struct moat_error *error)
{
	return open_notify(config, ret_notify, error);
}

static bool is_same_upstream(const struct moat_upstream_options *a,
			     const struct moat_upstream_options *b)
{
	struct moat_upstream_options mine = *a, theirs = *b;

	if (a->prefix_count != b->prefix_count ||
	    (a->prefix_count &&
	     memcmp(a->prefixes, b->prefixes, a->prefix_count * sizeof(*a->prefixes)) != 0))
		return false;
	mine.prefixes = theirs.prefixes = NULL;
	return mine.action == theirs.action && mine.uplink_mbps == theirs.uplink_mbps &&
	       mine.share == theirs.share && mine.hold_ns == theirs.hold_ns &&
	       mine.max_routes == theirs.max_routes && mine.community == theirs.community &&
	       moat_addr_equal(&mine.next_hop4, &theirs.next_hop4) &&
	       moat_addr_equal(&mine.next_hop6, &theirs.next_hop6);
}

void moat_outlets_adopt(struct moat_appliance *appliance, const struct moat_config *before,
			const struct moat_config *config, struct moat_notify *notify)
{
	moat_notify_free(appliance->notify);
	appliance->notify = notify;
	moat_upstream_configure(appliance->upstream, &config->upstream,
				is_same_upstream(&before->upstream, &config->upstream));
}

/* ---- findings ------------------------------------------------------------------------------------ */

/* The whole story of a finding, and what stands against it. */
static json_t *report_of(struct moat_appliance *appliance, const struct moat_event_context *context,
			 const struct moat_finding *finding)
{
	json_t *report = moat_event_finding_detail(context, finding);

	if (report)
		json_object_set_new(report, "rules",
				    moat_appliance_rules_of_finding(appliance, finding->id));
	return report;
}

void moat_outlets_finding(struct moat_appliance *appliance, const struct moat_event_context *context,
			  const struct moat_finding *finding)
{
	char subject[MOAT_ADDR_TEXT_LEN];
	const char *const words[] = { moat_finding_state_name(finding->state),
				      moat_finding_kind_name(finding->kind),
				      moat_addr_format(&finding->subject, subject) };
	moat_auto_free char *line = NULL;
	json_t *report;

	moat_upstream_finding(appliance->upstream, finding, moat_clock_monotonic_ns());
	if (!appliance->notify || finding->state == MOAT_FINDING_UPDATE)
		return;
	report = report_of(appliance, context, finding);
	line = report ? json_dumps(report, JSON_COMPACT) : NULL;
	json_decref(report);
	if (line)
		moat_notify_send(appliance->notify, line, words);
}

void moat_outlets_tick(struct moat_appliance *appliance, uint64_t now_ns)
{
	moat_upstream_tick(appliance->upstream, now_ns);
}

/* ---- shown --------------------------------------------------------------------------------------- */

json_t *moat_outlets_notify_status(const struct moat_appliance *appliance)
{
	struct moat_notify_counters counters;

	if (!appliance->notify)
		return NULL;
	moat_notify_counters(appliance->notify, &counters);
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "lost", (json_int_t)counters.lost, "script_sent",
			 (json_int_t)counters.script_sent, "script_failed",
			 (json_int_t)counters.script_failed, "webhook_sent",
			 (json_int_t)counters.webhook_sent, "webhook_failed",
			 (json_int_t)counters.webhook_failed);
}

static json_t *routes_of(const struct moat_appliance *appliance, uint64_t now_ns)
{
	const struct moat_upstream_route *route;
	json_t *routes = json_array();

	for (size_t i = 0; (route = moat_upstream_at(appliance->upstream, i)); i++)
		json_array_append_new(
			routes,
			json_pack("{s:s,s:I,s:f,s:f}", "route", route->text, "finding",
				  (json_int_t)route->finding, "age_s",
				  (double)(now_ns - route->since_ns) / MOAT_NS_PER_S, "expires_s",
				  route->until_ns > now_ns
					  ? (double)(route->until_ns - now_ns) / MOAT_NS_PER_S
					  : 0.0));
	return routes;
}

json_t *moat_outlets_upstream_status(const struct moat_appliance *appliance)
{
	static const char *const actions[] = {
		[MOAT_UPSTREAM_OFF] = "off",
		[MOAT_UPSTREAM_BLACKHOLE] = "blackhole",
		[MOAT_UPSTREAM_FLOWSPEC] = "flowspec",
	};
	const struct moat_upstream_options *options = &appliance->config->upstream;
	struct moat_upstream_counters counters;

	moat_upstream_counters(appliance->upstream, &counters);
	return json_pack("{s:s,s:f,s:i,s:I,s:I,s:I,s:I,s:o}", "action", actions[options->action],
			 "threshold_mbps", options->uplink_mbps * options->share, "max_routes",
			 (int)options->max_routes, "announced", (json_int_t)counters.announced,
			 "withdrawn", (json_int_t)counters.withdrawn, "refused_full",
			 (json_int_t)counters.refused_full, "refused_foreign",
			 (json_int_t)counters.refused_foreign, "routes",
			 routes_of(appliance, moat_clock_monotonic_ns()));
}

int moat_appliance_upstream(struct moat_appliance *appliance, struct moat_control_call *call,
			    json_t **ret_result, struct moat_error *error)
{
	json_int_t finding = json_integer_value(json_object_get(call->params, "finding"));
	size_t count;

	if (strcmp(call->method, "upstream.list") == 0) {
		*ret_result = moat_outlets_upstream_status(appliance);
		return *ret_result ? 0 : -ENOMEM;
	}
	count = finding > 0 ? moat_upstream_withdraw(appliance->upstream, (uint64_t)finding) : 0;
	if (count == 0)
		return moat_error_set(error, -ENOENT,
				      "no route stands for finding %lld (moat upstream lists them)",
				      (long long)finding);
	*ret_result = json_pack("{s:I}", "withdrawn", (json_int_t)count);
	return *ret_result ? 0 : -ENOMEM;
}
