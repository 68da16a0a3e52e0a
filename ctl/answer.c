/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way of a finding: into the responder and its rules, and only then to everybody who is told of it. */
#include <errno.h>
#include <stdlib.h>

#include "ctl/appliance_priv.h"
#include "dataplane/base/cleanup.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#define FINDINGS_AT_ONCE 64

/* ---- the responder's hands ----------------------------------------------------------------------- */

static int respond_add(void *userdata, const struct moat_rule *rule, uint32_t *ret_id)
{
	struct moat_appliance *appliance = userdata;

	return moat_rulebook_add(appliance->rulebook, rule, ret_id);
}

static const struct moat_rule *respond_find(void *userdata, uint32_t id)
{
	struct moat_appliance *appliance = userdata;

	return moat_ruleset_find(moat_rulebook_newest(appliance->rulebook), id);
}

static void respond_renew(void *userdata, uint32_t id, uint64_t expires_ns)
{
	struct moat_appliance *appliance = userdata;

	moat_rulebook_renew(appliance->rulebook, id, expires_ns);
}

static void respond_del(void *userdata, uint32_t id, const char *why)
{
	struct moat_appliance *appliance = userdata;

	moat_rulebook_del(appliance->rulebook, id, why);
}

const struct moat_respond_ops moat_appliance_respond_ops = {
	.add = respond_add,
	.find = respond_find,
	.renew = respond_renew,
	.del = respond_del,
};

/* ---- findings ------------------------------------------------------------------------------------ */

static void tell_finding(struct moat_appliance *appliance, const struct moat_event_context *context,
			 const struct moat_finding *finding)
{
	uint32_t id;
	bool blocked = appliance->config->respond.mode == MOAT_RESPOND_ENFORCE &&
		       moat_respond_rules_of(appliance->respond, finding->id, &id, 1) > 0;

	if (finding->state != MOAT_FINDING_UPDATE)
		moat_log(finding->state == MOAT_FINDING_OPEN ? MOAT_LOG_WARNING : MOAT_LOG_INFO,
			 "finding %llu %s: %s", (unsigned long long)finding->id,
			 moat_finding_state_name(finding->state), finding->sentence);
	moat_appliance_emit(appliance, moat_event_finding(context, finding, blocked));
}

static size_t take_findings(struct moat_appliance *appliance, struct moat_finding *batch, size_t max)
{
	size_t count = 0;

	while (count < max && moat_detection_pop(appliance->detection, &batch[count])) {
		moat_findings_put(appliance->findings, &batch[count]);
		moat_respond_finding(appliance->respond, &batch[count], moat_clock_monotonic_ns());
		count++;
	}
	return count;
}

/* The rule goes in before anything is written about it. */
int moat_appliance_on_findings(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct moat_appliance *appliance = userdata;
	moat_auto_free struct moat_finding *batch = calloc(FINDINGS_AT_ONCE, sizeof(*batch));
	struct moat_event_context context;
	uint64_t mono_ns;
	size_t count;

	if (!batch)
		return 0;
	do {
		count = take_findings(appliance, batch, FINDINGS_AT_ONCE);
		moat_appliance_put(appliance, &mono_ns);
		context = moat_appliance_context(appliance);
		for (size_t i = 0; i < count; i++)
			tell_finding(appliance, &context, &batch[i]);
		moat_appliance_tell_changes(appliance, mono_ns);
		for (size_t i = 0; i < count; i++)
			moat_outlets_finding(appliance, &context, &batch[i]);
	} while (count == FINDINGS_AT_ONCE);
	return 0;
}
