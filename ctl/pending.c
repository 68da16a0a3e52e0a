/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changes of rules that an operator has to confirm in time. What stood before is saved first; as long as that
 * file is there, the change is unconfirmed, whoever dies meanwhile: a moatd that starts and finds it puts it
 * back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/appliance_priv.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#define SECONDS_MAX 86400

static void before_path(const struct moat_config *config, char ret_path[4096])
{
	snprintf(ret_path, 4096, "%s/rules.before", config->state_dir);
}

static void tell(struct moat_appliance *appliance, const char *change)
{
	struct moat_event_context context = moat_appliance_context(appliance);

	moat_appliance_emit(appliance, moat_event_moatd(&context, change, NULL));
}

/* Nothing is unconfirmed any more. */
static void forget(struct moat_appliance *appliance)
{
	char path[4096];

	before_path(appliance->config, path);
	if (unlink(path) < 0 && errno != ENOENT)
		moat_log(MOAT_LOG_ERROR, "%s: %s: the next start would roll back", path,
			 strerror(errno));
	sd_event_source_disable_unref(appliance->pending_source);
	appliance->pending_source = NULL;
	appliance->pending_until_ns = 0;
}

static void roll_back(struct moat_appliance *appliance)
{
	struct moat_error error = { .text = "" };
	char path[4096];
	int r;

	before_path(appliance->config, path);
	r = moat_rulebook_roll_back(appliance->rulebook, path, appliance->config, &error);
	if (r == 0)
		r = moat_appliance_apply(appliance, &error);
	if (r < 0) {
		moat_log(MOAT_LOG_ERROR,
			 "rolling back unconfirmed rules: %s; the next start does it", error.text);
		sd_event_source_disable_unref(appliance->pending_source);
		appliance->pending_source = NULL;
		return;
	}
	forget(appliance);
	moat_log(MOAT_LOG_WARNING, "rules were not confirmed in time: those before are in force");
	tell(appliance, "rules_rolled_back");
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	roll_back(userdata);
	return 0;
}

int moat_pending_begin(struct moat_appliance *appliance, json_int_t seconds,
		       struct moat_error *error)
{
	char path[4096];
	int r;

	if (seconds < 1 || seconds > SECONDS_MAX)
		return moat_error_set(error, -EINVAL, "--confirm takes 1 to %d seconds",
				      SECONDS_MAX);
	before_path(appliance->config, path);
	r = moat_rulebook_save_before(appliance->rulebook, path, error);
	if (r < 0)
		return r;
	appliance->pending_until_ns = moat_clock_monotonic_ns() + (uint64_t)seconds * MOAT_NS_PER_S;
	r = sd_event_add_time(appliance->loop, &appliance->pending_source, CLOCK_MONOTONIC,
			      appliance->pending_until_ns / 1000, 1000, on_deadline, appliance);
	if (r < 0) {
		forget(appliance);
		return moat_error_set(error, r, "event loop: %s", strerror(-r));
	}
	return 0;
}

void moat_pending_cancel(struct moat_appliance *appliance)
{
	forget(appliance);
}

int moat_pending_refuse(const struct moat_appliance *appliance, struct moat_error *error)
{
	if (!appliance->pending_source)
		return 0;
	return moat_error_set(error, -EBUSY,
			      "rules wait to be confirmed: \"moat rules confirm\" keeps them, and in "
			      "%.0f s those before come back",
			      (double)(appliance->pending_until_ns - moat_clock_monotonic_ns()) /
				      (double)MOAT_NS_PER_S);
}

int moat_pending_confirm(struct moat_appliance *appliance, struct moat_error *error)
{
	int r;

	if (!appliance->pending_source)
		return moat_error_set(error, -ENOENT, "no rules wait to be confirmed");
	forget(appliance);
	tell(appliance, "rules_confirmed");
	/* the session that was kept open meanwhile is judged like others again */
	r = moat_rulebook_clear_sessions(appliance->rulebook);
	return r < 0 ? moat_error_set(error, r, "rules: out of memory")
		     : moat_appliance_apply(appliance, error);
}

void moat_pending_restore(const struct moat_config *config)
{
	char before[4096], rules[4096];

	before_path(config, before);
	snprintf(rules, sizeof(rules), "%s/rules", config->state_dir);
	if (rename(before, rules) == 0)
		moat_log(MOAT_LOG_WARNING,
			 "rules were not confirmed before moatd ended: those before are in force");
	else if (errno != ENOENT)
		moat_log(MOAT_LOG_ERROR, "%s: %s", before, strerror(errno));
}
