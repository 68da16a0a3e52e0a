/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The appliance's inside, for the files that show it (report.c), act on it (methods.c) and change it
 * (reload.c). */
#ifndef MOAT_CTL_APPLIANCE_PRIV_H
#define MOAT_CTL_APPLIANCE_PRIV_H

#include <jansson.h>

#include "ctl/appliance.h"
#include "ctl/control.h"
#include "ctl/detection.h"
#include "ctl/event.h"
#include "ctl/findings.h"
#include "ctl/host.h"
#include "ctl/notify.h"
#include "ctl/offload.h"
#include "ctl/ports.h"
#include "ctl/respond.h"
#include "ctl/rulebook.h"
#include "ctl/sink.h"
#include "ctl/top.h"
#include "ctl/upstream.h"
#include "ctl/wire.h"
#include "dataplane/egress.h"

/* Events that `moat events` shows without -f. */
#define MOAT_EVENTS_KEPT 256
#define MOAT_HOST_EVENTS_KEPT 512

struct moat_appliance {
	sd_event *loop;
	struct moat_config *config;
	int lock_fd;
	struct moat_gate *gate;
	struct moat_egress *egress; /* NULL: no port is a container's */
	bool had_policy;            /* an adopted gate that judged already */
	struct moat_ports ports;
	struct moat_wire wire;
	struct moat_offloads *offloads;
	uint64_t offloads_wire; /* lanes that had come back when cards were last told */
	struct moat_rulebook *rulebook;
	struct moat_respond *respond;
	struct moat_findings *findings;
	struct moat_detection *detection;
	struct moat_sink *sink; /* NULL: no event file */
	struct moat_control *control;
	struct moat_host *host; /* the link to moat-sidecar */
	struct moat_top *top;
	struct moat_notify *notify; /* NULL: nobody is told */
	struct moat_upstream *upstream;
	struct moat_flow_intake *intake; /* NULL: no exporter is listened to */
	struct moat_export *exporter;    /* NULL: nobody is told of flows */
	sd_event_source *finding_source;
	sd_event_source *timer_source;
	uint64_t keys_changed_ns;                   /* of the SYN challenge */
	json_t *events;                             /* an array, newest last */
	json_t *host_events[MOAT_HOST_EVENTS_KEPT]; /* a ring of the latest, apart: they are many */
	uint64_t host_event_count;
	uint64_t saved_ns, saved_finding; /* of what detection has learned (baseline.c) */
	sd_event_source *pending_source; /* rules that wait to be confirmed: pending.c; NULL: none */
	uint64_t pending_until_ns;
	uint64_t started_ns;
	uint64_t commits, commits_failed;
	uint64_t patches;        /* changes of one prefix ... */
	uint64_t patch_last_ns;  /* ... and how long the last one took to be in force */
	uint64_t commit_last_ns; /* how long the last one took ... */
	uint64_t commit_done_ns; /* ... and when it was in force, CLOCK_MONOTONIC */
};

/* Puts the rulebook's draft in force and tells of every change. 0, also without a draft. */
int moat_appliance_apply(struct moat_appliance *appliance, struct moat_error *error);

/* Likewise for what the responder or the clock asked for, which have nobody to hand an error to: it is logged.
 * *ret_mono_ns is when it took effect, 0 if there was no draft or it failed; then tell of it. */
void moat_appliance_put(struct moat_appliance *appliance, uint64_t *ret_mono_ns);
void moat_appliance_tell_changes(struct moat_appliance *appliance, uint64_t mono_ns);

/* The way of a finding (answer.c). */
extern const struct moat_respond_ops moat_appliance_respond_ops;
int moat_appliance_on_findings(sd_event_source *source, int fd, uint32_t events, void *userdata);

/* Puts one prefix into a list or takes it out, in force when this returns: as moat_rulebook_list_add_now. */
int moat_appliance_change_list(struct moat_appliance *appliance, bool add, enum moat_list list,
			       const struct moat_prefix *prefix, struct moat_error *error);

/* Likewise an event of the host, which the memory of the latest leaves out: there are too many. */
void moat_appliance_emit_host(void *appliance, json_t *object);

/* Hands an event to the file, the followers and the memory of the latest. Stolen; NULL is ignored. */
void moat_appliance_emit(struct moat_appliance *appliance, json_t *event);

struct moat_event_context moat_appliance_context(const struct moat_appliance *appliance);

bool moat_appliance_has_gateway(const struct moat_config *config);

/* Of struct moat_detect_config: what the ports of a configuration let detectors see. */
uint32_t moat_appliance_modes(const struct moat_config *config);

/* What a rule has counted since it stands, in gate and workers. */
struct moat_rule_count moat_appliance_rule_count(const struct moat_appliance *appliance,
						 const struct moat_rule *rule);

/* Rules to be confirmed (pending.c): begin saves what stands, before the change; cancel if the change fails. */
int moat_pending_begin(struct moat_appliance *appliance, json_int_t seconds,
		       struct moat_error *error);
void moat_pending_cancel(struct moat_appliance *appliance);
/* 0; -ENOENT if nothing waits. */
int moat_pending_confirm(struct moat_appliance *appliance, struct moat_error *error);
/* -EBUSY with the sentence while something waits, else 0. */
int moat_pending_refuse(const struct moat_appliance *appliance, struct moat_error *error);
/* At the start, before rules are read: undoes what nobody confirmed. */
void moat_pending_restore(const struct moat_config *config);

/* The method handler of the control socket (methods.c). */
int moat_appliance_call(void *userdata, struct moat_control_call *call, json_t **ret_result,
			struct moat_error *error);

/* Rules that stand for a finding, as moat_event_rule_detail says them (methods.c). */
json_t *moat_appliance_rules_of_finding(const struct moat_appliance *appliance, uint64_t finding);

/* Whom findings go to beyond this box (outlets.c). A reload prepares, which can fail, and then adopts. */
int moat_outlets_open(struct moat_appliance *appliance, struct moat_error *error);
void moat_outlets_close(struct moat_appliance *appliance);
int moat_outlets_prepare(const struct moat_config *config, struct moat_notify **ret_notify,
			 struct moat_error *error);
void moat_outlets_adopt(struct moat_appliance *appliance, const struct moat_config *before,
			const struct moat_config *config, struct moat_notify *notify);
void moat_outlets_finding(struct moat_appliance *appliance, const struct moat_event_context *context,
			  const struct moat_finding *finding);
void moat_outlets_tick(struct moat_appliance *appliance, uint64_t now_ns);
/* Flows of others, and ours to others (exporters.c). */
int moat_exporters_open(struct moat_appliance *appliance, struct moat_error *error);
void moat_exporters_close(struct moat_appliance *appliance);
bool moat_exporters_differ(const struct moat_config *before, const struct moat_config *after);
json_t *moat_exporters_status(const struct moat_appliance *appliance);
/* For `moat status`; NULL if nobody is told, or without memory. */
json_t *moat_outlets_notify_status(const struct moat_appliance *appliance);
json_t *moat_outlets_upstream_status(const struct moat_appliance *appliance);
/* The methods upstream.list and upstream.withdraw. */
int moat_appliance_upstream(struct moat_appliance *appliance, struct moat_control_call *call,
			    json_t **ret_result, struct moat_error *error);

/* The method protect (protect.c). */
int moat_appliance_protect(struct moat_appliance *appliance, struct moat_control_call *call,
			   json_t **ret_result, struct moat_error *error);
/* A row of "to" and "from" of the method top (methods.c). */
json_t *moat_top_host_json(const struct moat_top_host *host);
/* The names of stages, as in the configuration. */
json_t *moat_stages_json(uint32_t stages);

/* The methods egress.list, limit, cut and release (egress.c). */
int moat_appliance_egress(struct moat_appliance *appliance, struct moat_control_call *call,
			  json_t **ret_result, struct moat_error *error);
/* What containers sent in all, for `moat status`; NULL without containers or memory. */
/* baseline.c: the methods baseline.*, and the file in state_dir: read before the first packet is judged, written
 * now and then and at the end. Failures are logged. */
int moat_appliance_baseline(struct moat_appliance *appliance, struct moat_control_call *call,
			    json_t **ret_result, struct moat_error *error);
void moat_appliance_load_baseline(struct moat_appliance *appliance);
void moat_appliance_save_baseline(struct moat_appliance *appliance, bool now);

json_t *moat_appliance_egress_status(const struct moat_appliance *appliance);

/* The SYN challenge (challenge.c): settings in force, keys that change with time, challenge.show. */
void moat_appliance_challenge_configure(struct moat_appliance *appliance,
					const struct moat_config *config);
void moat_appliance_challenge_tick(struct moat_appliance *appliance, uint64_t now_ns);
int moat_appliance_challenge(struct moat_appliance *appliance, struct moat_control_call *call,
			     json_t **ret_result, struct moat_error *error);

/* All that `moat status` shows (report.c). NULL without memory. */
json_t *moat_appliance_status(struct moat_appliance *appliance);

#endif
